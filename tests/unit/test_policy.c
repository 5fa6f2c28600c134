#include "config.h"

#include <stdio.h>
#include <string.h>

#include "policyd/counts.h"
#include "policyd/policy.h"
#include "small_site.h"
#include "unit.h"

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

#define STRANGER  "198.51.100.7"
#define PERMITTED "192.0.2.7"
#define FORBIDDEN "192.0.2.9"
#define PEER      "203.0.113.4"
#define CERT                                        \
 "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:" \
 "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

struct row {
	const char *context;
	const char *client;
	const char *login;
	const char *sender;
	const char *recipient;
	const char *action; /* up to the enhanced code */
	const char *state;  /* NULL: RCPT */
	const char *fingerprint;
};

/* clang-format off */
static const struct row rows[] = {
	/* relay: on grounds of the client alone, and only for domains that are not ours */
	{ "relay", PERMITTED, "",     "a@b.example", "joe@out.example",           "OK", NULL, NULL },
	{ "relay", "::ffff:192.0.2.7", "", "",       "joe@out.example",           "OK", NULL, NULL },
	{ "relay", "2001:db8::25", "", "",           "joe@out.example",           "OK", NULL, NULL },
	{ "relay", STRANGER,  "",     "",            "joe@out.example",           "DUNNO", NULL, NULL },
	{ "relay", "unknown", "",     "",            "joe@out.example",           "DUNNO", NULL, NULL },
	{ "relay", "",        "",     "",            "joe@out.example",           "DUNNO", NULL, NULL },
	{ "relay", FORBIDDEN, "",     "",            "joe@out.example",           "554 5.7.1", NULL, NULL },
	{ "relay", FORBIDDEN, "adam", "",            "joe@out.example",           "OK", NULL, NULL },
	{ "relay", FORBIDDEN, "",     "",            "joe@out.example",           "OK", NULL, CERT },
	{ "relay", STRANGER,  "",     "",            "joe@out.example",           "OK", NULL, CERT },
	{ "relay", STRANGER,  "adam", "",            "joe@out.example",           "OK", NULL, NULL },
	{ "relay", STRANGER,  "ADAM", "",            "joe@out.example",           "OK", NULL, NULL },
	{ "relay", STRANGER,  "eve@acme.example", "", "joe@out.example",          "OK", NULL, NULL },
	{ "relay", STRANGER,  "nobody", "",          "joe@out.example",           "DUNNO", NULL, NULL },
	{ "relay", STRANGER,  "twin", "",            "joe@out.example",           "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "kid",  "",            "joe@out.example",           "554 5.7.1", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "joe@[192.0.2.1]",           "OK", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "nobody@acme.example",       "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "nobody@ACME.Example.",      "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "x@deep.wild.example",       "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "x@off.example",             "DUNNO", NULL, NULL },
	{ "relay", FORBIDDEN, "",     "",            "adam.barr@acme.example",    "DUNNO", NULL, NULL },
	{ "relay", STRANGER,  "kid",  "",            "adam.barr@acme.example",    "DUNNO", NULL, NULL },
	/* tricks to get one's domain taken for another */
	{ "relay", STRANGER,  "",     "",            "joe%out.example@acme.example", "DUNNO", NULL, NULL },
	{ "relay", STRANGER,  "",     "",            "joe@out.example@acme.example", "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "joe@out.example@acme.example", "DUNNO", NULL, NULL },
	{ "relay", STRANGER,  "",     "",            "out.example!joe@acme.example", "DUNNO", NULL, NULL },
	{ "relay", STRANGER,  "",     "",            "adam.barr@acme.example@out.example", "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "out.example!joe",           "DUNNO", NULL, NULL },
	{ "relay", PERMITTED, "",     "",            "joe%out.example",           "DUNNO", NULL, NULL },

	/* recipient: never OK */
	{ "recipient", STRANGER, "",  "", "adam.barr@acme.example",    "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "Adam.Barr+x@ACME.example.", "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "we ird@acme.example",       "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "eve@acme.example",          "DUNNO", NULL, NULL },
	{ "recipient", PERMITTED, "", "", "adam.barr@acme.example",    "DUNNO", NULL, NULL },
	{ "recipient", PERMITTED, "", "", "joe@out.example",           "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "joe@out.example",           "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "nobody@acme.example",       "550 5.1.1", NULL, NULL },
	{ "recipient", PERMITTED, "adam", "", "nobody@acme.example",   "550 5.1.1", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "joe@out.example@acme.example", "550 5.1.1", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "joe%out.example@acme.example", "550 5.1.1", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "x@relay.example",           "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "adam.barr@old.example",     "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "nobody@old.example",        "550 5.1.1", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "x@off.example",             "451 4.3.2", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "parked@acme.example",       "450 4.2.1", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "gone@acme.example",         "451 4.3.5", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "twins@acme.example",        "451 4.3.5", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "boss@acme.example",         "550 5.7.1", NULL, NULL },
	{ "recipient", PERMITTED, "", "", "boss@acme.example",         "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "nobody", "", "boss@acme.example",    "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "boss@acme.example",         "DUNNO", NULL, CERT },
	{ "recipient", STRANGER, "",  "", "nobody@watch.example",      "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "",  "", "IMCEAMS-A_B+ZZ@acme.example", "501 5.1.3", NULL, NULL },

	/* both: relay first */
	{ "", PERMITTED, "",     "", "joe@out.example",         "OK", NULL, NULL },
	{ "", STRANGER,  "",     "", "joe@out.example",         "DUNNO", NULL, NULL },
	{ "", FORBIDDEN, "",     "", "joe@out.example",         "554 5.7.1", NULL, NULL },
	{ "", PERMITTED, "",     "", "nobody@acme.example",     "550 5.1.1", NULL, NULL },
	{ "", PERMITTED, "",     "", "adam.barr@acme.example",  "DUNNO", NULL, NULL },

	/* what needs no directory */
	{ "both",      PERMITTED, "", "", "joe@out.example",    "451 4.3.5", NULL, NULL },
	{ "both",      PERMITTED, "", "", "joe@out.example",    "DUNNO", "DATA", NULL },
	{ "recipient", STRANGER,  "", "", "nobody@acme.example", "DUNNO", "VRFY", NULL },
	{ "recipient", STRANGER,  "", "", "nobody@acme.example", "DUNNO", "END-OF-MESSAGE", NULL },
	{ "recipient", STRANGER,  "", "", "nobody@acme.example", "DUNNO", "rcpt", NULL },
	{ "recipient", STRANGER,  "", "", "",                   "DUNNO", NULL, NULL },
	{ "recipient", STRANGER,  "", "", "postmaster",         "DUNNO", NULL, NULL },
	{ "recipient", STRANGER,  "", "", "x@acme..example",    "501 5.1.3", NULL, NULL },
	{ "relay",     PERMITTED, "", "", "x@acme..example",    "501 5.1.3", NULL, NULL },
	{ "relay",     PERMITTED, "", "", "x@",                 "501 5.1.3", NULL, NULL },
};
/* clang-format on */

static struct policy_request make_request(const struct row *row)
{
	return (struct policy_request){
		.protocol_state = unit_text(row->state != NULL ? row->state : "RCPT"),
		.client_address = unit_text(row->client),
		.client_name = unit_text("mx.example"),
		.sender = unit_text(row->sender),
		.recipient = unit_text(row->recipient),
		.sasl_username = unit_text(row->login),
		.ccert_fingerprint = unit_text(row->fingerprint),
		.policy_context = unit_text(row->context),
	};
}

/* Where the last answer was counted. */
static struct counts counts;

/* Answers a row; the line of log too, "" where there is none. */
static void ask(const struct small_site *site, const struct row *row, char action[256],
    char log[POLICY_LOG_MAX])
{
	struct policy_request request = make_request(row);
	struct policy_answer answer;
	struct workspace workspace;
	struct log_line line;
	struct buf out;

	buf_init_fixed(&out, action, 256);
	log_line_init_fixed(&line, log, POLICY_LOG_MAX);
	ck_assert_int_eq(workspace_init(&workspace), CX_OK);
	policy_decide(&site->view, &request, &workspace, &answer);
	policy_answer_print(&answer, &out);
	memset(&counts, 0, sizeof(counts));
	counts_add_policy(&counts, &answer, 1);
	if (policy_answer_is_logged(&answer)) {
		policy_answer_log(&answer, &request, &line);
	}
	ck_assert(!out.failed && !line.text.failed);
	workspace_release(&workspace);
}

static void assert_action(const char *action, const char *expected, const char *label)
{
	size_t len = strlen(expected);

	ck_assert_msg(strncmp(action, "action=", 7) == 0, "%s: %s", label, action);
	ck_assert_msg(strncmp(action + 7, expected, len) == 0, "%s: %s, not %s", label,
	    action, expected);
	if (expected[0] >= '0' && expected[0] <= '9') {
		/* A code with no text would mean "permit". */
		ck_assert_msg(action[7 + len] == ' ' && action[7 + len + 1] != '\n',
		    "%s: %s", label, action);
	} else {
		ck_assert_str_eq(action + 7 + len, "\n\n");
	}
}

static void assert_counted(enum answer_action action, const char *label)
{
	for (int i = 0; i < ACTION_COUNT; i++) {
		ck_assert_msg(counter_value(&counts.actions[i]) == (i == (int)action),
		    "%s: counted as %d", label, i);
	}
}

static enum answer_action action_of(const char *expected, const char *log)
{
	switch (expected[0]) {
	case 'O': return ACTION_OK;
	case '4': return ACTION_DEFER;
	case '5': return ACTION_REJECT;
	default: return *log != '\0' ? ACTION_OBSERVED : ACTION_DUNNO;
	}
}

START_TEST(answers)
{
	struct small_site site;
	char action[256];
	char log[POLICY_LOG_MAX];
	char label[512];

	small_site_init(&site, NULL);
	ask(&site, &rows[_i], action, log);
	(void)snprintf(label, sizeof(label), "row %d: %s %s %s", _i, rows[_i].context,
	    rows[_i].client, rows[_i].recipient);
	assert_action(action, rows[_i].action, label);
	assert_counted(action_of(rows[_i].action, log), label);
	small_site_free(&site);
}
END_TEST

START_TEST(observing_answers_dunno_and_logs_what_it_would_have_been)
{
	struct small_site site;
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init(&site, NULL);
	site.settings.observe = true;
	ask(&site, &rows[_i], action, log);
	ck_assert_str_eq(action, "action=DUNNO\n\n");
	if (strcmp(rows[_i].action, "DUNNO") == 0) {
		ck_assert(*log == '\0' || strstr(log, "@watch.example") != NULL);
	} else {
		char expected[64];

		(void)snprintf(expected, sizeof(expected), "reply=\"%s",
		    rows[_i].action);
		ck_assert_msg(strncmp(log, "NOQUEUE: observe: ", 18) == 0, "%s", log);
		ck_assert_msg(strstr(log, expected) != NULL, "%s: %s", expected, log);
	}
	assert_counted(action_of("DUNNO", log), rows[_i].recipient);
	small_site_free(&site);
}
END_TEST

/* With no replica nothing is permitted, and nothing refused for good but bad syntax. */
START_TEST(without_replica_everything_is_temporary)
{
	struct small_site site;
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init_empty(&site);
	ask(&site, &rows[_i], action, log);
	ck_assert_msg(strncmp(action, "action=DUNNO\n", 13) == 0 ||
			  strncmp(action, "action=451 4.3.", 15) == 0 ||
			  (strncmp(action, "action=501 5.1.3 ", 17) == 0 &&
			      strcmp(rows[_i].action, "501 5.1.3") == 0),
	    "%s: %s", rows[_i].recipient, action);
	if (strcmp(rows[_i].action, "OK") == 0) {
		assert_action(action, "451 4.3.0", rows[_i].recipient);
	}
	small_site_free(&site);
}
END_TEST

/* clang-format off */
static const struct {
	const char *label;
	struct small_site_age age;
	struct row row;
} ages[] = {
	{ "a known recipient is good for days", { true, 86400 },
	  { "recipient", STRANGER, "", "", "adam.barr@acme.example", "DUNNO", NULL, NULL } },
	{ "but not for ever", { true, 8 * 86400 },
	  { "recipient", STRANGER, "", "", "adam.barr@acme.example", "451 4.3.0", NULL, NULL } },
	{ "an unknown one may be new", { true, 7200 },
	  { "recipient", STRANGER, "", "", "nobody@acme.example", "451 4.3.0", NULL, NULL } },
	{ "and is refused while we know", { true, 600 },
	  { "recipient", STRANGER, "", "", "nobody@acme.example", "550 5.1.1", NULL, NULL } },
	{ "an unknown login may be new", { true, 7200 },
	  { "relay", STRANGER, "nobody", "", "joe@out.example", "451 4.3.0", NULL, NULL } },
	{ "a client by its network is none of it", { true, 7200 },
	  { "relay", STRANGER, "", "", "joe@out.example", "DUNNO", NULL, NULL } },
	{ "a known login relays for days", { true, 86400 },
	  { "relay", STRANGER, "adam", "", "joe@out.example", "OK", NULL, NULL } },
	{ "nothing is foreign before the first load", { false, 0 },
	  { "relay", PERMITTED, "", "", "joe@out.example", "451 4.3.0", NULL, NULL } },
	{ "nor unknown", { false, 0 },
	  { "recipient", STRANGER, "", "", "joe@out.example", "451 4.3.0", NULL, NULL } },
	{ "a clock far in the future is no proof", { true, -600 },
	  { "recipient", STRANGER, "", "", "nobody@acme.example", "451 4.3.0", NULL, NULL } },
};
/* clang-format on */

START_TEST(the_age_of_the_directory_counts)
{
	struct small_site site;
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init(&site, &ages[_i].age);
	ask(&site, &ages[_i].row, action, log);
	assert_action(action, ages[_i].row.action, ages[_i].label);
	small_site_free(&site);
}
END_TEST

/* clang-format off */
static const struct row senders[] = {
	{ "recipient", STRANGER, "adam", "adam.barr@acme.example",  "eve@acme.example",    "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "adam", "A.Barr+tag@acme.example", "eve@acme.example",    "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "adam", "",                        "eve@acme.example",    "DUNNO", NULL, NULL },
	{ "recipient", STRANGER, "adam", "eve@acme.example",        "eve@acme.example",    "553 5.7.1", NULL, NULL },
	{ "recipient", STRANGER, "adam", "x@out.example",           "eve@acme.example",    "553 5.7.1", NULL, NULL },
	{ "recipient", STRANGER, "adam", "x@out..example",          "eve@acme.example",    "553 5.7.1", NULL, NULL },
	{ "recipient", STRANGER, "adam", "postmaster",              "eve@acme.example",    "553 5.7.1", NULL, NULL },
	{ "recipient", STRANGER, "nobody", "adam.barr@acme.example", "eve@acme.example",   "553 5.7.1", NULL, NULL },
	{ "recipient", STRANGER, "",     "adam.barr@acme.example",  "eve@acme.example",    "DUNNO", NULL, NULL },
	{ "relay",     STRANGER, "adam", "eve@acme.example",        "joe@out.example",     "OK", NULL, NULL },
	{ "",          STRANGER, "adam", "eve@acme.example",        "joe@out.example",     "553 5.7.1", NULL, NULL },
	{ "",          STRANGER, "adam", "adam.barr@acme.example",  "joe@out.example",     "OK", NULL, NULL },
};
/* clang-format on */

START_TEST(senders_belong_to_their_users)
{
	struct small_site site;
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init(&site, NULL);
	site.settings.enforce_sender = true;
	ask(&site, &senders[_i], action, log);
	assert_action(action, senders[_i].action, senders[_i].sender);
	small_site_free(&site);
}
END_TEST

/* clang-format off */
static const struct {
	struct row row;
	const char *line;
} lines[] = {
	{ { "recipient", STRANGER, "", "a@b.example", "nobody@acme.example", NULL, NULL, NULL },
	  "NOQUEUE: reject: client=mx.example[198.51.100.7], sasl_username=, from=<a@b.example>, "
	  "to=<nobody@acme.example>, verdict=unknown, rule=unknown, reply=\"550 5.1.1 User unknown\"" },
	{ { "relay", STRANGER, "kid", "", "joe@out.example", NULL, NULL, NULL },
	  "NOQUEUE: reject: client=mx.example[198.51.100.7], sasl_username=kid, from=<>, "
	  "to=<joe@out.example>, verdict=forbidden, rule=login, reply=\"554 5.7.1 Relay access denied\"" },
	{ { "x\ny", STRANGER, "", "a\x1b[2J@b", "c@d", NULL, NULL, NULL },
	  "NOQUEUE: reject: client=mx.example[198.51.100.7], sasl_username=, from=<\"a\\x1b[2J\"@b>, "
	  "to=<c@d>, policy_context=x\\x0ay, verdict=unavailable, rule=policyContext, "
	  "reply=\"451 4.3.5 Server configuration error\"" },
	/* what would end the address and begin parts of its own */
	{ { "recipient", STRANGER, "", "joe@out.example>, to=<a@b", "x>, verdict=deliver@acme.example",
	    NULL, NULL, NULL },
	  "NOQUEUE: reject: client=mx.example[198.51.100.7], sasl_username=, "
	  "from=<\"joe@out.example>, to=<a\"@b>, to=<\"x>, verdict=deliver\"@acme.example>, "
	  "verdict=unknown, rule=unknown, reply=\"550 5.1.1 User unknown\"" },
	{ { "recipient", STRANGER, "", "a@b>, verdict=\"x", "n@acme.example>, verdict=deliver", NULL, NULL,
	    NULL },
	  "NOQUEUE: reject: client=mx.example[198.51.100.7], sasl_username=, "
	  "from=<\"a@b>, verdict=\\\"x\">, to=<\"n@acme.example>, verdict=deliver\">, "
	  "verdict=invalid, rule=syntax, reply=\"501 5.1.3 Bad recipient address syntax\"" },
	{ { "recipient", STRANGER, "", "", "nobody@watch.example", NULL, NULL, NULL },
	  "NOQUEUE: observe: client=mx.example[198.51.100.7], sasl_username=, from=<>, "
	  "to=<nobody@watch.example>, verdict=unknown, rule=observe, reply=\"550 5.1.1 User unknown\"" },
	{ { "recipient", STRANGER, "", "", "adam.barr@acme.example", NULL, NULL, NULL }, "" },
	{ { "relay", PERMITTED, "", "", "joe@out.example", NULL, NULL, NULL }, "" },
};
/* clang-format on */

START_TEST(logs_refusals_in_one_line)
{
	struct small_site site;
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init(&site, NULL);
	ask(&site, &lines[_i].row, action, log);
	ck_assert_str_eq(log, lines[_i].line);
	small_site_free(&site);
}
END_TEST

START_TEST(cuts_long_values_in_the_log)
{
	struct small_site site;
	struct row row = { "recipient", STRANGER, unit_repeat('\x01', 5000),
		unit_repeat('\xff', 5000), "nobody@acme.example", NULL, NULL, NULL };
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init(&site, NULL);
	ask(&site, &row, action, log);
	ck_assert(strstr(log, "\\x01..., from=<\\x") != NULL);
	ck_assert(strstr(log, "\\xff...>, to=<nobody@acme.example>, verdict=") != NULL);
	small_site_free(&site);
}
END_TEST

START_TEST(split_horizon_applies)
{
	struct small_site site;
	struct row row = { "recipient", PEER, "", "", "eve@pop.partner.example", NULL,
		NULL, NULL };
	char action[256];
	char log[POLICY_LOG_MAX];

	small_site_init(&site, NULL);
	/* The partner's own domain is none of ours; its user's shared address goes to it
	 * under another name. Neither is a loop. */
	ask(&site, &row, action, log);
	assert_action(action, "DUNNO", "foreign");
	row.recipient = "eve@acme.example";
	ask(&site, &row, action, log);
	assert_action(action, "DUNNO", "another address");
	small_site_free(&site);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("policy");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, answers, 0, ROWS(rows));
	tcase_add_loop_test(tcase,
	    observing_answers_dunno_and_logs_what_it_would_have_been, 0, ROWS(rows));
	tcase_add_loop_test(tcase, without_replica_everything_is_temporary, 0,
	    ROWS(rows));
	tcase_add_loop_test(tcase, the_age_of_the_directory_counts, 0, ROWS(ages));
	tcase_add_loop_test(tcase, senders_belong_to_their_users, 0, ROWS(senders));
	tcase_add_loop_test(tcase, logs_refusals_in_one_line, 0, ROWS(lines));
	tcase_add_test(tcase, cuts_long_values_in_the_log);
	tcase_add_test(tcase, split_horizon_applies);
	suite_add_tcase(suite, tcase);
	return suite;
}
