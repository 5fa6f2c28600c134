/*
 * What a milter is told and what it answers, with a directory made of local parts: the
 * verdict for "loop@acme.example" is `loop`, "redirect@" goes to x@pop.example, and so on;
 * every other domain is foreign.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "milter/session.h"
#include "tests/unit/unit.h"

/* The question that was asked last. */
static struct {
	unsigned count;
	bool has_ip;
	bool is_trusted;
	bool has_sender;
	const struct judge_memory *memory;
	char login[32];
	char certificate[100];
	struct ip ip;
} asked;

static struct buf lines;

static void keep_line(enum log_level level, const char *line)
{
	(void)level;
	buf_printf(&lines, "%s\n", line);
}

static int64_t now(void)
{
	return 1000000000;
}

static const struct {
	const char *local;
	enum verdict verdict;
	enum rule rule;
} verdicts[] = {
	{ "unknown", VERDICT_UNKNOWN, RULE_UNKNOWN },
	{ "denied", VERDICT_DENIED, RULE_REQUIRE_AUTH },
	{ "loop", VERDICT_LOOP, RULE_LOOP },
	{ "horizon", VERDICT_HORIZON, RULE_SPLIT_HORIZON },
	{ "broken", VERDICT_BROKEN, RULE_MISSING },
	{ "disabled", VERDICT_DISABLED, RULE_DISABLED },
	{ "parked", VERDICT_PARKED, RULE_PARKED },
	{ "toomany", VERDICT_TOO_MANY, RULE_LIMIT },
	{ "down", VERDICT_UNAVAILABLE, RULE_REPLICA },
	{ "route", VERDICT_INVALID, RULE_ROUTE },
};

static void deliver(struct resolution *out, struct delivery *delivery, struct key *key,
    const char *to, enum delivery_kind kind, enum rule rule)
{
	struct address address;

	*delivery = (struct delivery){ .address = span_of(to), .kind = kind, .rule = rule };
	ck_assert_int_eq(address_parse_path(delivery->address, &address), CX_OK);
	address_key(&address, key);
	delivery->key = key_span(key);
	delivery->needs_smtputf8 = address_needs_smtputf8(&address);
	out->delivery_count++;
}

static void fake_resolve(const struct address *address, struct resolution *out)
{
	static struct delivery deliveries[40];
	static struct key keys[40];
	static char texts[40][40];
	struct span local = { address->local, address->local_len };

	*out = (struct resolution){ .verdict = VERDICT_FOREIGN, .rule = RULE_FOREIGN };
	if (!span_equal(span_of(address->domain), SPAN("acme.example"))) {
		return;
	}
	*out = (struct resolution){ .verdict = VERDICT_DELIVER,
		.is_ours = true,
		.is_known = true,
		.object = SPAN("uid=adam,dc=acme"),
		.deliveries = deliveries };
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		if (span_equal_case(local, span_of(verdicts[i].local))) {
			out->verdict = verdicts[i].verdict;
			out->rule = verdicts[i].rule;
			return;
		}
	}
	if (span_equal_case(local, SPAN("redirect"))) {
		deliver(out, &deliveries[0], &keys[0], "x@pop.example", DELIVERY_REDIRECT,
		    RULE_ALT_RECIPIENT);
	} else if (span_equal_case(local, SPAN("eai"))) {
		deliver(out, &deliveries[0], &keys[0], "\xc3\xa9@pop.example",
		    DELIVERY_REDIRECT, RULE_ALT_RECIPIENT);
	} else if (span_equal_case(local, SPAN("copy"))) {
		deliver(out, &deliveries[0], &keys[0], "copy@acme.example", DELIVERY_SELF,
		    RULE_MAILBOX);
		deliveries[0].is_unchanged = true;
		deliver(out, &deliveries[1], &keys[1], "x@pop.example", DELIVERY_COPY,
		    RULE_ALT_RECIPIENT);
	} else if (span_starts_with_case(local, SPAN("group"))) {
		int count = atoi(address->local + 5);

		for (int i = 0; i < count; i++) {
			snprintf(texts[i], sizeof(texts[i]), "m%d@acme.example", i);
			deliver(out, &deliveries[i], &keys[i], texts[i], DELIVERY_GROUP,
			    RULE_MEMBER);
		}
	} else {
		deliver(out, &deliveries[0], &keys[0], "plain@acme.example", DELIVERY_SELF,
		    RULE_MAILBOX);
		deliveries[0].is_unchanged = true;
		if (span_equal(local, SPAN("observed"))) {
			out->is_observed = true;
			out->observed = VERDICT_UNKNOWN;
			out->rule = RULE_OBSERVE;
		}
	}
}

static void keep_text(char *out, size_t size, struct span text)
{
	snprintf(out, size, "%.*s", SPAN_ARGS(text));
}

/* `context`: how relay authorization goes. */
static void fake_judge(void *context, const struct judge_question *question,
    struct judge_memory *memory, struct judgement *out)
{
	asked.count++;
	asked.memory = memory;
	asked.has_ip = question->client->has_ip;
	asked.ip = question->client->ip;
	asked.is_trusted = question->is_trusted;
	asked.has_sender = question->sender != NULL;
	if (question->address && question->address->local[0] == 'H') {
		/* As a huge group would have it. */
		judge_memory_release(memory);
		memory->arena.memory = malloc(2 * JUDGE_MEMORY_KEEP);
		memory->arena.size = 2 * JUDGE_MEMORY_KEEP;
	}
	keep_text(asked.login, sizeof(asked.login), question->client->login);
	keep_text(asked.certificate, sizeof(asked.certificate),
	    question->client->certificate_fingerprint);
	ck_assert_int_eq(question->now, 1000000000);
	out->relay = *(enum relay_verdict *)context;
	out->sender = question->sender &&
			      !span_equal(span_of(question->sender->domain), SPAN("acme.example")) ?
			    CX_NOTFOUND :
			    CX_OK;
	if (question->address == NULL) {
		resolution_invalid(&out->resolution);
	} else {
		fake_resolve(question->address, &out->resolution);
	}
}

static struct conf *hold(void *context)
{
	return conf_ref(context);
}

static struct conf *load(const char *more)
{
	char *folder = unit_mkdir();
	char path[300];
	struct errbuf err = { "" };
	struct conf *conf = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/coexist.conf", folder);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "directory \"d\" { ldif = \"/nowhere\" }\n%s\n", more);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_msg(conf_load(path, &conf, &err) == CX_OK, "%s", err.text);
	unit_rmdir(folder);
	return conf;
}

/* A session at work. */
struct fixture {
	struct conf *conf;
	struct keys *keys;
	enum relay_verdict relay;
	struct session_env env;
	struct session *session;
};

static struct fixture fixture;

static struct keys *hold_keys(void *context)
{
	(void)context;
	return keys_ref(fixture.keys);
}

static void start(const char *conf_text, enum mta mta)
{
	struct errbuf err;

	struct session_connection connection = { .mta = mta,
		.host = SPAN("client.example"),
		.has_ip = true };

	memset(&asked, 0, sizeof(asked));
	buf_init(&lines);
	log_set_sink(keep_line);
	fixture.conf = load(conf_text);
	ck_assert_msg(keys_load(fixture.conf, &fixture.keys, &err) == CX_OK, "%s", err.text);
	fixture.relay = RELAY_NOT_PERMITTED;
	fixture.env = (struct session_env){ .conf_context = fixture.conf,
		.conf_hold = hold,
		.keys_hold = hold_keys,
		.judge = fake_judge,
		.judge_context = &fixture.relay,
		.now = now };
	fixture.session = session_new(&fixture.env);
	ck_assert_ptr_nonnull(fixture.session);
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &connection.ip), CX_OK);
	session_connect(fixture.session, &connection);
}

static void stop(void)
{
	session_free(fixture.session);
	conf_unref(fixture.conf);
	keys_unref(fixture.keys);
	log_set_sink(NULL);
	buf_release(&lines);
}

static void mail(const char *path, const char *argument)
{
	const char *arguments[] = { path, argument, NULL };

	session_mail(fixture.session,
	    &(struct session_sender){ .arguments = arguments, .has_mailer = true });
}

static struct answer rcpt(const char *path)
{
	const char *arguments[] = { path, NULL };

	return session_rcpt(fixture.session, arguments, SPAN("smtp"));
}

/* "550 5.1.1", "continue". */
static void assert_answer(struct answer answer, const char *expected, const char *label)
{
	char text[40] = "continue";

	if (answer.kind != ANSWER_CONTINUE) {
		ck_assert_ptr_nonnull(answer.reply);
		ck_assert_int_eq(answer.kind == ANSWER_REJECT, answer.reply->code[0] == '5');
		snprintf(text, sizeof(text), "%s %s", answer.reply->code, answer.reply->enhanced);
	}
	ck_assert_msg(strcmp(text, expected) == 0, "%s: %s, not %s", label, text, expected);
}

/* The edits of the message as "+<x@y> ARGS -a@b". */
static void assert_end(const char *expected, const char *label)
{
	const struct plan *plan;
	struct buf text;

	assert_answer(session_end(fixture.session, &plan), "continue", label);
	buf_init(&text);
	for (size_t i = 0; i < plan->count; i++) {
		buf_printf(&text, "%s%c%s", i ? " " : "",
		    plan->edits[i].kind == EDIT_ADD ? '+' : '-', plan->edits[i].address);
	}
	unit_assert_span(buf_span(&text), expected, label);
	buf_release(&text);
	assert_answer(session_edited(fixture.session, true, SPAN("4F1")), "continue", label);
}

static bool has_line(const char *part)
{
	return lines.data && strstr(lines.data, part);
}

/* clang-format off */
static const struct {
	const char *label;
	const char *conf;
	const char *rcpt;
	const char *answer;
	const char *edits; /* NULL: no message comes of it */
} rows[] = {
	{ "plain", "", "<plain@acme.example>", "continue", "" },
	{ "foreign", "", "<joe@else.example>", "continue", "" },
	{ "no domain", "", "<postmaster>", "continue", "" },
	{ "redirect", "", "<redirect@acme.example>", "continue", "+<x@pop.example> -redirect@acme.example" },
	{ "copy", "", "<copy@acme.example>", "continue", "+<x@pop.example>" },
	{ "unknown is the policy service's", "", "<unknown@acme.example>", "continue", "" },
	{ "denied", "", "<denied@acme.example>", "550 5.7.1", NULL },
	{ "loop", "", "<loop@acme.example>", "550 5.4.6", NULL },
	{ "broken", "", "<broken@acme.example>", "451 4.3.5", NULL },
	{ "disabled", "", "<disabled@acme.example>", "451 4.3.2", NULL },
	{ "parked", "", "<parked@acme.example>", "450 4.2.1", NULL },
	{ "split horizon", "", "<horizon@acme.example>", "451 4.4.6", NULL },
	{ "too many", "", "<toomany@acme.example>", "452 4.5.3", NULL },
	{ "unavailable", "", "<down@acme.example>", "451 4.3.0", NULL },
	{ "not an address", "", "<a@b..c>", "501 5.1.3", NULL },
	{ "over the limit of deliveries", "max_deliveries = 4", "<group5@acme.example>", "452 4.5.3", NULL },
	{ "at the limit", "max_deliveries = 4", "<group4@acme.example>", "continue",
	  "+<m0@acme.example> +<m1@acme.example> +<m2@acme.example> +<m3@acme.example> -group4@acme.example" },
	{ "a delivery that needs SMTPUTF8", "", "<eai@acme.example>", "550 5.6.7", NULL },

	{ "observe: loop", "observe = true", "<loop@acme.example>", "continue", "" },
	{ "observe: unavailable", "observe = true", "<down@acme.example>", "continue", "" },
	{ "observe: not an address", "observe = true", "<a@b..c>", "continue", "" },
	{ "observe: over the limit", "observe = true max_deliveries = 4", "<group5@acme.example>", "continue", "" },
	{ "observe: the others are rewritten", "observe = true", "<redirect@acme.example>", "continue",
	  "+<x@pop.example> -redirect@acme.example" },

	{ "enforce: unknown", "milter { enforce = true }", "<unknown@acme.example>", "550 5.1.1", NULL },
	{ "enforce: relay", "milter { enforce = true }", "<joe@else.example>", "554 5.7.1", NULL },
	{ "enforce: the MTA's own", "milter { enforce = true }", "<postmaster>", "continue", "" },
	{ "enforce: ours", "milter { enforce = true }", "<plain@acme.example>", "continue", "" },
	{ "enforce: let through by its domain", "milter { enforce = true }", "<observed@acme.example>", "continue", "" },
	{ "enforce and observe", "observe = true milter { enforce = true }", "<joe@else.example>", "continue", "" },
};
/* clang-format on */

START_TEST(answers_one_recipient)
{
	const char *label = rows[_i].label;

	start(rows[_i].conf, MTA_POSTFIX);
	mail("<s@else.example>", NULL);
	assert_answer(rcpt(rows[_i].rcpt), rows[_i].answer, label);
	if (rows[_i].edits) {
		assert_end(rows[_i].edits, label);
	}
	stop();
}
END_TEST

START_TEST(a_refused_recipient_does_not_disturb_the_others)
{
	start("", MTA_POSTFIX);
	mail("<>", NULL);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "plain");
	assert_answer(rcpt("<loop@acme.example>"), "550 5.4.6", "loop");
	assert_answer(rcpt("<redirect@acme.example>"), "continue", "redirect");
	assert_end("+<x@pop.example> -redirect@acme.example", "message");
	stop();
}
END_TEST

START_TEST(decides_an_address_once_in_a_message)
{
	start("", MTA_POSTFIX);
	mail("<>", NULL);
	for (unsigned i = 0; i < 100; i++) {
		assert_answer(rcpt("<redirect@acme.example>"), "continue", "redirect");
		assert_answer(rcpt("<Redirect@ACME.example>"), "continue", "other spelling");
	}
	ck_assert_uint_eq(asked.count, 1);
	assert_end("+<x@pop.example> -redirect@acme.example -Redirect@ACME.example", "message");
	/* And again in the next. */
	mail("<>", NULL);
	assert_answer(rcpt("<redirect@acme.example>"), "continue", "next message");
	ck_assert_uint_eq(asked.count, 2);
	stop();
}
END_TEST

/* A client may take minutes to the end of the message, and a hundred clients at once. */
START_TEST(keeps_no_large_memory_while_the_client_takes_its_time)
{
	start("", MTA_POSTFIX);
	mail("<>", NULL);
	assert_answer(rcpt("<Huge@acme.example>"), "continue", "huge");
	ck_assert_uint_le(asked.memory->arena.size, JUDGE_MEMORY_KEEP);
	stop();
}
END_TEST

START_TEST(knows_nothing_of_a_message_that_was_aborted)
{
	start("", MTA_POSTFIX);
	mail("<>", NULL);
	rcpt("<redirect@acme.example>");
	session_abort(fixture.session);
	assert_answer(rcpt("<plain@acme.example>"), "451 4.3.0", "RCPT without MAIL");
	mail("<>", NULL);
	rcpt("<plain@acme.example>");
	assert_end("", "next message");
	/* Nor of one that was begun anew without a word. */
	mail("<>", NULL);
	rcpt("<redirect@acme.example>");
	mail("<>", NULL);
	rcpt("<plain@acme.example>");
	assert_end("", "message begun anew");
	stop();
}
END_TEST

START_TEST(a_failed_edit_defers_the_message)
{
	const struct plan *plan;

	start("", MTA_POSTFIX);
	mail("<>", NULL);
	rcpt("<redirect@acme.example>");
	assert_answer(session_end(fixture.session, &plan), "continue", "end");
	assert_answer(session_edited(fixture.session, false, SPAN("4F1")), "451 4.3.0", "edited");
	ck_assert(has_line("4F1: an edit of the envelope failed"));
	ck_assert(!has_line("action="));
	stop();
}
END_TEST

START_TEST(logs_what_became_of_a_recipient)
{
	start("", MTA_POSTFIX);
	mail("<s@else.example>", NULL);
	rcpt("<Redirect@acme.example>");
	rcpt("<copy@acme.example>");
	rcpt("<plain@acme.example>");
	rcpt("<group30@acme.example>");
	ck_assert_uint_eq(lines.len, 0);
	assert_end("+<x@pop.example> +<m0@acme.example> +<m1@acme.example> +<m2@acme.example> "
		   "+<m3@acme.example> +<m4@acme.example> +<m5@acme.example> +<m6@acme.example> "
		   "+<m7@acme.example> +<m8@acme.example> +<m9@acme.example> +<m10@acme.example> "
		   "+<m11@acme.example> +<m12@acme.example> +<m13@acme.example> "
		   "+<m14@acme.example> +<m15@acme.example> +<m16@acme.example> "
		   "+<m17@acme.example> +<m18@acme.example> +<m19@acme.example> "
		   "+<m20@acme.example> +<m21@acme.example> +<m22@acme.example> "
		   "+<m23@acme.example> +<m24@acme.example> +<m25@acme.example> "
		   "+<m26@acme.example> +<m27@acme.example> +<m28@acme.example> "
		   "+<m29@acme.example> -Redirect@acme.example -group30@acme.example",
	    "message");
	unit_assert_span(buf_span(&lines),
	    "4F1: to=<x@pop.example>, orig_to=<Redirect@acme.example>, action=redirect, "
	    "object=\"uid=adam,dc=acme\", rule=altRecipient\n"
	    "4F1: to=<x@pop.example>, orig_to=<copy@acme.example>, action=copy, "
	    "object=\"uid=adam,dc=acme\", rule=altRecipient\n"
	    "4F1: orig_to=<group30@acme.example>, action=expand, "
	    "object=\"uid=adam,dc=acme\", rule=member, count=30\n",
	    "log");
	stop();
}
END_TEST

START_TEST(logs_a_refusal_escaped)
{
	const char *arguments[] = { "<s@else.example>", NULL };

	start("", MTA_POSTFIX);
	session_mail(fixture.session,
	    &(struct session_sender){ .arguments = arguments,
		.login = SPAN("bob\n"),
		.client_address = SPAN("IPv6:2001:db8::1") });
	rcpt("<\"a\x01"
	     "b\"@b..c>");
	unit_assert_span(buf_span(&lines),
	    "NOQUEUE: reject: client=client.example[2001:db8::1], sasl_username=bob\\x0a, "
	    "from=<s@else.example>, to=<\"a\\x01b\"@b..c>, verdict=invalid, rule=syntax, "
	    "reply=\"501 5.1.3 Bad recipient address syntax\"\n",
	    "log");
	stop();
}
END_TEST

START_TEST(a_client_without_a_name_is_unknown_in_the_log)
{
	struct session_connection nameless = { .mta = MTA_POSTFIX,
		.host = SPAN("[192.0.2.7]"),
		.has_ip = true };

	start("", MTA_POSTFIX);
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &nameless.ip), CX_OK);
	session_connect(fixture.session, &nameless);
	mail("<>", NULL);
	rcpt("<loop@acme.example>");
	ck_assert(has_line("NOQUEUE: reject: client=unknown[192.0.2.7], "));
	stop();
}
END_TEST

START_TEST(observe_logs_what_would_have_been)
{
	start("observe = true", MTA_POSTFIX);
	mail("<>", NULL);
	rcpt("<loop@acme.example>");
	ck_assert(has_line("NOQUEUE: observe: client=client.example[192.0.2.7], "));
	ck_assert(has_line("verdict=loop, rule=loop, reply=\"550 5.4.6 "));
	stop();
}
END_TEST

START_TEST(reads_the_login_that_sendmail_writes_in_xtext)
{
	static const struct {
		enum mta mta;
		const char *given, *login;
	} logins[] = {
		{ MTA_SENDMAIL, "bob+2Bx+40acme.example", "bob+x@acme.example" },
		{ MTA_SENDMAIL, "bob+", "bob+" },
		{ MTA_POSTFIX, "bob+2Bx", "bob+2Bx" },
	};
	const char *arguments[] = { "<>", NULL };

	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		start("", logins[i].mta);
		session_mail(fixture.session,
		    &(struct session_sender){ .arguments = arguments,
			.login = span_of(logins[i].given) });
		rcpt("<plain@acme.example>");
		ck_assert_str_eq(asked.login, logins[i].login);
		stop();
	}
}
END_TEST

START_TEST(tells_who_the_client_is)
{
	const char *arguments[] = { "<>", NULL };
	struct session_sender sender = { .arguments = arguments,
		.login = SPAN("bob"),
		.certificate = SPAN("AA:BB") };
	struct ip ip;

	start("", MTA_SENDMAIL);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &ip), CX_OK);
	ck_assert(asked.has_ip && memcmp(&asked.ip, &ip, sizeof(ip)) == 0);
	ck_assert_str_eq(asked.login, "bob");
	ck_assert_str_eq(asked.certificate, "AA:BB");
	ck_assert(!asked.is_trusted);

	/* What the macro says counts, where it says an address. */
	sender.client_address = SPAN("198.51.100.9");
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert_int_eq(ip_parse(SPAN("198.51.100.9"), &ip), CX_OK);
	ck_assert(asked.has_ip && memcmp(&asked.ip, &ip, sizeof(ip)) == 0);
	sender.client_address = SPAN("unknown");
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &ip), CX_OK);
	ck_assert(asked.has_ip && memcmp(&asked.ip, &ip, sizeof(ip)) == 0);
	stop();
}
END_TEST

/* Postfix does not tell the fingerprint; its policy service knows it and was there before. */
START_TEST(leaves_clients_that_may_have_a_certificate_to_the_policy_service)
{
	const char *arguments[] = { "<>", NULL };
	struct session_sender sender = { .arguments = arguments, .is_encrypted = true };

	start("", MTA_POSTFIX);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert(asked.is_trusted);
	stop();
	start("milter { enforce = true }", MTA_POSTFIX);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert(!asked.is_trusted);
	stop();
	start("", MTA_SENDMAIL);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert(!asked.is_trusted);
	stop();
}
END_TEST

START_TEST(enforce_permits_relaying_as_the_directory_does)
{
	start("milter { enforce = true }", MTA_SENDMAIL);
	mail("<>", NULL);
	fixture.relay = RELAY_PERMITTED;
	assert_answer(rcpt("<a@else.example>"), "continue", "permitted");
	fixture.relay = RELAY_FORBIDDEN;
	assert_answer(rcpt("<b@else.example>"), "554 5.7.1", "forbidden");
	fixture.relay = RELAY_UNAVAILABLE;
	assert_answer(rcpt("<c@else.example>"), "451 4.3.0", "unavailable");
	stop();
}
END_TEST

START_TEST(enforce_spares_what_the_mta_is_final_for)
{
	const char *arguments[] = { "<unknown@acme.example>", NULL };
	struct answer answer;

	start("milter { enforce = true }", MTA_SENDMAIL);
	mail("<>", NULL);
	answer = session_rcpt(fixture.session, arguments, SPAN("local"));
	assert_answer(answer, "continue", "local");
	stop();
}
END_TEST

START_TEST(enforce_checks_the_sender_of_an_authenticated_client)
{
	const char *foreign[] = { "<s@else.example>", NULL };
	const char *own[] = { "<bob@acme.example>", NULL };
	const char *empty[] = { "<>", NULL };
	/* Sendmail may make an address of them all the same. */
	const char *odd[][2] = { { "<bob@acme.example ceo@acme.example>", NULL },
		{ "<ceo@acme..example>", NULL } };
	struct session_sender sender = { .arguments = foreign, .login = SPAN("bob") };

	start("enforce_sender = true milter { enforce = true }", MTA_SENDMAIL);
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "553 5.7.1", "foreign");
	sender.arguments = own;
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "own");
	ck_assert(asked.has_sender);
	sender.arguments = empty;
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "empty");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		sender.arguments = odd[i];
		session_mail(fixture.session, &sender);
		assert_answer(rcpt("<plain@acme.example>"), "553 5.7.1", odd[i][0]);
	}
	sender.arguments = foreign;
	sender.login = (struct span){ NULL, 0 };
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "stranger");
	stop();
}
END_TEST

/* Mail of sendmail(1): no brackets, and the sender was not resolved. */
static void mail_locally(void)
{
	const char *arguments[] = { "root@acme.example", NULL };

	session_mail(fixture.session, &(struct session_sender){ .arguments = arguments });
}

START_TEST(refuses_nothing_in_a_local_submission)
{
	const struct plan *plan;

	start("", MTA_POSTFIX);
	mail_locally();
	assert_answer(rcpt("redirect@acme.example"), "continue", "redirect");
	assert_answer(rcpt("unknown@acme.example"), "continue", "unknown");
	assert_answer(rcpt("a@b..c"), "continue", "not an address");
	ck_assert(!asked.has_ip);
	ck_assert(asked.is_trusted);
	assert_end("+<x@pop.example> -redirect@acme.example -redirect", "message");
	mail_locally();
	assert_answer(rcpt("plain@acme.example"), "continue", "plain");
	assert_answer(rcpt("loop@acme.example"), "continue", "loop");
	ck_assert(has_line("verdict=loop"));
	/* It stays in the queue. */
	assert_answer(session_end(fixture.session, &plan), "451 4.4.6", "loop at the end");
	mail_locally();
	assert_answer(rcpt("broken@acme.example"), "continue", "broken");
	assert_answer(session_end(fixture.session, &plan), "451 4.3.5", "broken at the end");
	/* The MTA would follow it, past the decision about where it leads. */
	mail_locally();
	assert_answer(rcpt("route@acme.example"), "continue", "route");
	assert_answer(session_end(fixture.session, &plan), "451 4.1.3", "route at the end");
	/* And the next message is none of it. */
	mail_locally();
	assert_answer(rcpt("plain@acme.example"), "continue", "plain");
	assert_end("", "next message");
	stop();
}
END_TEST

START_TEST(a_client_that_leaves_out_brackets_is_no_local_submission)
{
	start("", MTA_POSTFIX);
	mail("s@else.example", NULL);
	assert_answer(rcpt("loop@acme.example"), "550 5.4.6", "loop");
	ck_assert(asked.has_ip);
	stop();
}
END_TEST

START_TEST(takes_an_internationalised_delivery_with_smtputf8)
{
	start("", MTA_POSTFIX);
	mail("<>", "SMTPUTF8");
	assert_answer(rcpt("<eai@acme.example>"), "continue", "eai");
	assert_end("+<\xc3\xa9@pop.example> -eai@acme.example", "message");
	stop();
}
END_TEST

START_TEST(the_limit_of_deliveries_is_the_messages)
{
	start("max_deliveries = 5", MTA_POSTFIX);
	mail("<>", NULL);
	assert_answer(rcpt("<group4@acme.example>"), "continue", "group4");
	assert_answer(rcpt("<group5@acme.example>"), "continue", "one more");
	assert_answer(rcpt("<redirect@acme.example>"), "452 4.5.3", "another");
	assert_answer(rcpt("<joe@else.example>"), "continue", "no delivery of ours");
	assert_end("+<m0@acme.example> +<m1@acme.example> +<m2@acme.example> +<m3@acme.example> "
		   "+<m4@acme.example> -group4@acme.example -group5@acme.example",
	    "message");
	stop();
}
END_TEST

START_TEST(an_end_without_a_message_is_no_harm)
{
	start("", MTA_POSTFIX);
	assert_end("", "no MAIL");
	mail("<>", NULL);
	assert_end("", "no RCPT");
	stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter session");
	TCase *tcase = tcase_create("session");

	tcase_add_loop_test(tcase, answers_one_recipient, 0,
	    (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tcase, a_refused_recipient_does_not_disturb_the_others);
	tcase_add_test(tcase, decides_an_address_once_in_a_message);
	tcase_add_test(tcase, keeps_no_large_memory_while_the_client_takes_its_time);
	tcase_add_test(tcase, knows_nothing_of_a_message_that_was_aborted);
	tcase_add_test(tcase, a_failed_edit_defers_the_message);
	tcase_add_test(tcase, logs_what_became_of_a_recipient);
	tcase_add_test(tcase, logs_a_refusal_escaped);
	tcase_add_test(tcase, observe_logs_what_would_have_been);
	tcase_add_test(tcase, a_client_without_a_name_is_unknown_in_the_log);
	tcase_add_test(tcase, reads_the_login_that_sendmail_writes_in_xtext);
	tcase_add_test(tcase, tells_who_the_client_is);
	tcase_add_test(tcase, leaves_clients_that_may_have_a_certificate_to_the_policy_service);
	tcase_add_test(tcase, enforce_permits_relaying_as_the_directory_does);
	tcase_add_test(tcase, enforce_spares_what_the_mta_is_final_for);
	tcase_add_test(tcase, enforce_checks_the_sender_of_an_authenticated_client);
	tcase_add_test(tcase, refuses_nothing_in_a_local_submission);
	tcase_add_test(tcase, a_client_that_leaves_out_brackets_is_no_local_submission);
	tcase_add_test(tcase, takes_an_internationalised_delivery_with_smtputf8);
	tcase_add_test(tcase, the_limit_of_deliveries_is_the_messages);
	tcase_add_test(tcase, an_end_without_a_message_is_no_harm);
	suite_add_tcase(suite, tcase);
	return suite;
}
