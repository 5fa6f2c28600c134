#include "config.h"

#include "tests/unit/milter_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"

struct asked asked;
struct buf lines;

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

struct fixture fixture;

static struct keys *hold_keys(void *context)
{
	(void)context;
	return keys_ref(fixture.keys);
}

void start(const char *conf_text, enum mta mta)
{
	struct errbuf err;
	struct session_connection connection = { .mta = mta,
		.host = SPAN("client.example"),
		.has_ip = true };

	memset(&asked, 0, sizeof(asked));
	memset(&fixture.counts, 0, sizeof(fixture.counts));
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
		.now = now,
		.counts = &fixture.counts };
	fixture.session = session_new(&fixture.env);
	ck_assert_ptr_nonnull(fixture.session);
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &connection.ip), CX_OK);
	session_connect(fixture.session, &connection);
}

void stop(void)
{
	session_free(fixture.session);
	conf_unref(fixture.conf);
	keys_unref(fixture.keys);
	log_set_sink(NULL);
	buf_release(&lines);
}

void mail(const char *path, const char *argument)
{
	const char *arguments[] = { path, argument, NULL };

	session_mail(fixture.session,
	    &(struct session_sender){ .arguments = arguments, .has_mailer = true });
}

struct answer rcpt(const char *path)
{
	const char *arguments[] = { path, NULL };

	return session_rcpt(fixture.session, arguments, SPAN("smtp"));
}

void assert_answer(struct answer answer, const char *expected, const char *label)
{
	char text[40] = "continue";

	if (answer.kind != ANSWER_CONTINUE) {
		ck_assert_ptr_nonnull(answer.reply);
		ck_assert_int_eq(answer.kind == ANSWER_REJECT, answer.reply->code[0] == '5');
		snprintf(text, sizeof(text), "%s %s", answer.reply->code, answer.reply->enhanced);
	}
	ck_assert_msg(strcmp(text, expected) == 0, "%s: %s, not %s", label, text, expected);
}

void assert_end(const char *expected, const char *label)
{
	const struct plan *plan;
	struct buf text;

	assert_answer(session_end(fixture.session, SPAN("4F1A2B3C4D"), &plan), "continue", label);
	buf_init(&text);
	for (size_t i = 0; i < plan->count; i++) {
		buf_printf(&text, "%s%c%s", i ? " " : "",
		    plan->edits[i].kind == EDIT_ADD ? '+' : '-', plan->edits[i].address);
	}
	unit_assert_span(buf_span(&text), expected, label);
	buf_release(&text);
	assert_answer(session_edited(fixture.session, true, SPAN("4F1")), "continue", label);
}

bool has_line(const char *part)
{
	return lines.data && strstr(lines.data, part);
}
