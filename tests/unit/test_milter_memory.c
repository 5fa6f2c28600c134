/*
 * A milter without memory: whatever allocation of a message fails, the answer is the one that it
 * would be otherwise, or temporary; what is not deferred is edited as it should be; and nothing leaks
 * (under AddressSanitizer).
 */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "make_record.h"
#include "milter/session.h"
#include "org.h"
#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "tests/support/no_memory.h"
#include "unit.h"
#include "value/dn.h"

#define WORDS_MAX 12
#define EDITS_MAX 4096

/* One message. */
struct message {
	const char *label;
	enum mta mta;
	const char *options; /* of the configuration */
	const char *login;
	const char *sender[3];
	const char *recipients[WORDS_MAX];
	bool is_local_submission;
	bool returns; /* with the trace of its first time */
};

#define U_UE      "\xc3\xbc"
#define U_O       "\xc3\xb6"
#define U_O_LARGE "\xc3\x96"

/* clang-format off */
static const struct message messages[] = {
	{ .label = "rewritten in many ways", .mta = MTA_POSTFIX, .options = "", .login = "",
	    .sender = { "<me@b" U_UE "cher.example>", "SMTPUTF8" },
	    .recipients = { "<J" U_O_LARGE "RG@acme.example>", "<j" U_O "rg@acme.example>",
		"<all@acme.example>", "<out@acme.example>", "<copied@acme.example>",
		"<adam@b" U_UE "cher.example>", "<other@elsewhere.example>",
		"<postmaster@acme.example>" } },
	{ .label = "to one outside", .mta = MTA_POSTFIX, .options = "", .login = "",
	    .sender = { "<me@elsewhere.example>" }, .recipients = { "<out@acme.example>" } },
	{ .label = "refused in many ways", .mta = MTA_POSTFIX, .options = "", .login = "",
	    .sender = { "<me@elsewhere.example>" },
	    .recipients = { "<board@acme.example>", "<ring@acme.example>",
		"<j" U_O "rg@acme.example>", "<x%b" U_UE "cher.example@elsewhere.example>",
		"<IMCEAMS-A_B_C@acme.example>",
		"<IMCEASMTP-x+40elsewhere+2Eexample@acme.example>", "<nobody@acme.example>" } },
	{ .label = "enforced, with a login that is an address", .mta = MTA_SENDMAIL,
	    .options = "enforce_sender = true milter { enforce = true }",
	    .login = "r" U_O "b@b" U_UE "cher.example",
	    .sender = { "<r" U_O "b@b" U_UE "cher.example>", "SMTPUTF8" },
	    .recipients = { "<other@elsewhere.example>", "<board@acme.example>",
		"<all@acme.example>" } },
	{ .label = "enforced, with a login in xtext", .mta = MTA_SENDMAIL,
	    .options = "milter { enforce = true }", .login = "bo+62",
	    .sender = { "<bob@acme.example>" },
	    .recipients = { "<other@elsewhere.example>", "<board@acme.example>",
		"<nobody@acme.example>", "<IMCEAMS-A_B_c+C3+B6@acme.example>" } },
	{ .label = "of sendmail(1)", .mta = MTA_POSTFIX, .options = "", .login = "",
	    .sender = { "me@elsewhere.example" },
	    .recipients = { "all@acme.example", "adam@b" U_UE "cher.example", "out@acme.example" },
	    .is_local_submission = true },
	{ .label = "back again", .mta = MTA_POSTFIX, .options = "", .login = "",
	    .sender = { "<me@elsewhere.example>" },
	    .recipients = { "<all@acme.example>", "<out@acme.example>", "<copied@acme.example>" },
	    .returns = true },
};
/* clang-format on */
#define MESSAGES ((int)(sizeof(messages) / sizeof(messages[0])))

static struct org org;
static struct conf *conf;
static struct keys *keys;
static struct counts counts;
static char trace[2000]; /* the header of a message that returns; empty: none */

static void put_referring(const char *name, uint32_t flags, enum record_tag tag,
    const char *first, const char *second)
{
	char dn[64], mail[64];
	struct key keys_of[2];

	snprintf(dn, sizeof(dn), "uid=%s,dc=acme", first);
	ck_assert_int_eq(dn_key(span_of(dn), &keys_of[0]), CX_OK);
	snprintf(dn, sizeof(dn), "uid=%s,dc=acme", second);
	ck_assert_int_eq(dn_key(span_of(dn), &keys_of[1]), CX_OK);
	snprintf(dn, sizeof(dn), "uid=%s,dc=acme", name);
	snprintf(mail, sizeof(mail), "%s@acme.example", name);
	org_put(&org, RECORD_RECIPIENT, flags, TAG_DN, dn, TAG_MAIL, mail, tag,
	    keys_of[0].bytes, tag, keys_of[1].bytes, 0);
}

static void put_all(void)
{
	org_put_domain(&org);
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, "dc=books", TAG_DOMAIN,
	    "xn--bcher-kva.example", TAG_DOMAIN_TYPE, "2", TAG_UNKNOWN, "1", 0);
	org_put_mailbox(&org, "bob");
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "uid=adam,dc=acme", TAG_MAIL,
	    "adam@acme.example", TAG_PROXY, "adam@xn--bcher-kva.example", 0);
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "uid=j,dc=acme", TAG_MAIL,
	    "j" U_O "rg@acme.example", 0);
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "uid=rob,dc=acme", TAG_MAIL,
	    "r" U_O "b@xn--bcher-kva.example", 0);
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "uid=out,dc=acme", TAG_MAIL,
	    "out@acme.example", TAG_TARGET, "out@m" U_UE "ller.example", 0);
	org_put(&org, RECORD_RECIPIENT, RECIPIENT_REQUIRE_AUTH, TAG_DN,
	    "uid=board,dc=acme", TAG_MAIL, "board@acme.example", 0);
	put_referring("all", RECIPIENT_IS_GROUP, TAG_MEMBER_KEY, "bob", "out");
	put_referring("copied", RECIPIENT_DELIVER_AND_REDIRECT, TAG_ALT_KEY, "bob",
	    "out");
	put_referring("ring", 0, TAG_ALT_KEY, "ring", "ring");
	org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, "cn=po", TAG_NAME, "po",
	    TAG_NEXT_HOP, "relay:[192.0.2.1]", TAG_SPACE, "MS:A/B/*", 0);
	org_look(&org);
	store_abort(org.writer); /* readers come now: the order of locks, again */
}

static void write_file(const char *folder, const char *name, mode_t mode,
    const char *text)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fchmod(fileno(file), mode), 0);
	ck_assert_int_eq(fclose(file), 0);
}

static void load(const char *options)
{
	char *folder = unit_mkdir();
	char text[1000], path[300];
	struct errbuf err = { "" };

	write_file(folder, "secret", 0600, "of the site\n");
	snprintf(text, sizeof(text),
	    "organization = \"acme\"\nsecret_file = \"%s/secret\"\n"
	    "directory \"d\" { ldif = \"/nowhere\" }\n"
	    "srs { enable = true domain = \"srs.example\" hop = \"srs:[127.0.0.1]:10027\" "
	    "secret_file = \"%s/secret\" }\n%s\n",
	    folder, folder, options);
	write_file(folder, "conf", 0600, text);
	snprintf(path, sizeof(path), "%s/conf", folder);
	ck_assert_msg(conf_load(path, &conf, &err) == CX_OK, "%s", err.text);
	ck_assert_msg(keys_load(conf, &keys, &err) == CX_OK, "%s", err.text);
	unit_rmdir(folder);
}

static void say_nothing(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static void set_up(void)
{
	log_set_sink(say_nothing);
	org_open(&org);
	put_all();
}

static void tear_down(void)
{
	conf_unref(conf);
	keys_unref(keys);
	org_close(&org);
	log_set_sink(NULL);
}

static struct conf *hold_conf(void *context)
{
	(void)context;
	return conf_ref(conf);
}

static struct keys *hold_keys(void *context)
{
	(void)context;
	return keys_ref(keys);
}

static int64_t now(void)
{
	return ORG_NOW;
}

/* What became of a message; its texts take no memory from the system. */
struct outcome {
	char answers[WORDS_MAX][8]; /* "ok", "550", "none": not asked */
	char end[8]; /* "ok", "451", "done": at DATA; "none": no recipient */
	char edits[EDITS_MAX];
	size_t len;
};

static void set(char out[8], struct answer answer)
{
	const char *text = answer.kind == ANSWER_CONTINUE ? "ok"
			   : answer.reply                 ? answer.reply->code
							  : "451";

	memcpy(out, text, strlen(text) + 1);
}

static void add(struct outcome *out, const char *text)
{
	size_t len = strlen(text);

	assert(out->len + len < sizeof(out->edits));
	memcpy(out->edits + out->len, text, len + 1);
	out->len += len;
}

static void keep_edits(const struct plan *plan, struct outcome *out)
{
	static const char *const signs[EDIT_KINDS] = { "+", "-", "h ", "from " };

	for (size_t i = 0; i < plan->count; i++) {
		const struct edit *edit = &plan->edits[i];

		add(out, signs[edit->kind]);
		add(out, edit->address);
		add(out, " ");
		add(out, edit->arguments);
		add(out, "\n");
	}
}

static void finish(struct session *session, struct outcome *out)
{
	struct span queue_id = trace[0] ? SPAN("5B1A2B3C4D") : SPAN("4F1A2B3C4D");
	const struct plan *plan;
	struct answer answer;

	if (session_is_done(session)) {
		memcpy(out->end, "done", 5);
		return;
	}
	session_header(session, SPAN("Message-ID"), SPAN("<1@elsewhere.example>"));
	session_header(session, SPAN("Subject"), SPAN("hello"));
	if (trace[0]) {
		session_header(session, SPAN("X-Coexist-Forwarded"), span_of(trace));
	}
	answer = session_end(session, queue_id, &plan);
	if (answer.kind == ANSWER_CONTINUE) {
		keep_edits(plan, out);
		answer = session_edited(session, true, queue_id);
	}
	set(out->end, answer);
}

static void converse(struct session *session, const struct message *message,
    unsigned left_out, struct outcome *out)
{
	struct session_connection connection = { .mta = message->mta,
		.host = SPAN("client.example"),
		.has_ip = true,
		.ip = { { [10] = 0xff, [11] = 0xff, 192, 0, 2, 7 } } };
	bool has_recipient = false;

	session_connect(session, &connection);
	session_mail(session, &(struct session_sender){ .arguments = message->sender,
				  .login = span_of(message->login),
				  .has_mailer = !message->is_local_submission });
	for (int i = 0; i < WORDS_MAX && message->recipients[i]; i++) {
		const char *arguments[] = { message->recipients[i],
			"ORCPT=utf-8;j\xc3\xb6rg@x.example", NULL };

		if ((left_out >> i & 1) == 0) {
			set(out->answers[i],
			    session_rcpt(session, arguments, SPAN("esmtp")));
			has_recipient = has_recipient || out->answers[i][0] == 'o';
		}
	}
	if (has_recipient) {
		finish(session, out);
	}
}

/* `fails_at`: which allocation; 0: none. Their number. */
static unsigned long play(const struct message *message, unsigned left_out,
    unsigned long fails_at, bool lasts, struct outcome *out)
{
	const struct session_env env = { .conf_hold = hold_conf,
		.keys_hold = hold_keys,
		.judge = judge_by_store,
		.judge_sender = judge_sender_by_store,
		.judge_context = org.store,
		.now = now,
		.counts = &counts };
	struct session *session;
	unsigned long count;

	*out = (struct outcome){ .len = 0 };
	for (int i = 0; i < WORDS_MAX; i++) {
		memcpy(out->answers[i], "none", 5);
	}
	memcpy(out->end, "none", 5);
	no_memory_arm(fails_at, lasts);
	session = session_new(&env);
	if (session) {
		converse(session, message, left_out, out);
	}
	count = no_memory_disarm();
	session_free(session);
	return count;
}

/* The next line, or one of NULL at the end. */
static struct span next_line(const char **rest)
{
	size_t len = strcspn(*rest, "\n");
	struct span line = { **rest ? *rest : NULL, len };

	*rest += len + ((*rest)[len] == '\n');
	return line;
}

/* But for the trace, which may name what was looked into for one that is to be tried again. */
static bool is_edit(struct span line)
{
	return line.len > 0 && line.ptr[0] != 'h' && line.ptr[0] != ' ';
}

static size_t count_lines(const char *edits, struct span wanted)
{
	struct span line;
	size_t count = 0;

	while ((line = next_line(&edits)).ptr) {
		count += is_edit(line) && (!wanted.ptr || span_equal(line, wanted));
	}
	return count;
}

/* Whether they are the same, in any order. */
static bool are_equal(const char *a, const char *b)
{
	struct span all = { NULL, 0 }, line;
	const char *rest = a;

	while ((line = next_line(&rest)).ptr) {
		if (is_edit(line) && count_lines(b, line) != count_lines(a, line)) {
			return false;
		}
	}
	return count_lines(a, all) == count_lines(b, all);
}

/* That it went as it would with memory, but for what is to be tried again. */
static void compare(const struct message *message, const struct outcome *whole,
    const struct outcome *out, unsigned long fails_at, bool lasts)
{
	struct outcome expected;
	unsigned left_out = 0;

	for (int i = 0; i < WORDS_MAX && message->recipients[i]; i++) {
		const char *answer = out->answers[i];

		ck_assert_msg(strcmp(answer, whole->answers[i]) == 0 ||
				  answer[0] == '4' || answer[0] == 'n',
		    "%s, %lu%s: %s to %s, not %s", message->label, fails_at,
		    lasts ? "-" : "", answer, message->recipients[i],
		    whole->answers[i]);
		if (answer[0] != 'o') {
			left_out |= 1U << i;
		}
	}
	if (out->end[0] == '4' || out->end[0] == 'n') {
		return;
	}
	(void)play(message, left_out, 0, false, &expected);
	ck_assert_msg(strcmp(out->end, expected.end) == 0 &&
			  are_equal(out->edits, expected.edits),
	    "%s, %lu%s: %s with\n%snot %s with\n%s", message->label, fails_at,
	    lasts ? "-" : "", out->end, out->edits, expected.end, expected.edits);
}

START_TEST(defers_for_want_of_memory_and_never_decides_otherwise)
{
	const struct message *message = &messages[_i];
	struct outcome whole, out;
	unsigned long count;

	load(message->options);
	(void)play(message, 0, 0, false, &whole); /* what is made once is made now */
	if (message->returns) {
		const char *header = strstr(whole.edits, "h X-Coexist-Forwarded ");

		ck_assert_ptr_nonnull(header);
		snprintf(trace, sizeof(trace), "%s", header + 22);
		(void)play(message, 0, 0, false, &whole);
	}
	count = play(message, 0, 0, false, &whole);
	ck_assert_uint_gt(count, 10);
	for (unsigned long n = 1; n <= count; n++) {
		(void)play(message, 0, n, false, &out);
		compare(message, &whole, &out, n, false);
		(void)play(message, 0, n, true, &out);
		compare(message, &whole, &out, n, true);
	}
	trace[0] = '\0';
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter_memory");
	TCase *tcase = tcase_create("faults");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase,
	    defers_for_want_of_memory_and_never_decides_otherwise, 0, MESSAGES);
	suite_add_tcase(suite, tcase);
	return suite;
}
