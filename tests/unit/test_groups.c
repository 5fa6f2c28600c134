/*
 * Groups that several recipients of a message name: what one was expanded to is not expanded for
 * another, and nobody is lost by that.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "decide/resolve.h"
#include "make_record.h"
#include "milter/envelope.h"
#include "org.h"
#include "replica/recipient.h"
#include "unit.h"
#include "value/dn.h"

static struct org org;
static uint8_t partner; /* a second directory */

/* A group, by the names of up to four members. */
static void put_group(const char *name, uint32_t flags, const char *const members[4])
{
	char dn[64], mail[64], text[64];
	struct key keys[4] = { { .len = 0 } };
	enum record_tag tags[4] = { 0 };

	for (int i = 0; i < 4 && members[i]; i++) {
		snprintf(text, sizeof(text), "uid=%s,dc=acme", members[i]);
		ck_assert_int_eq(dn_key(span_of(text), &keys[i]), CX_OK);
		tags[i] = TAG_MEMBER_KEY;
	}
	snprintf(dn, sizeof(dn), "uid=%s,dc=acme", name);
	snprintf(mail, sizeof(mail), "%s@acme.example", name);
	org_put(&org, RECORD_RECIPIENT, flags | RECIPIENT_IS_GROUP, TAG_DN, dn,
	    TAG_MAIL, mail, tags[0], keys[0].bytes, tags[1], keys[1].bytes, tags[2],
	    keys[2].bytes, tags[3], keys[3].bytes, 0);
}

/* A mailbox that is redirected to, or copied to (`flags`), another object. */
static void put_redirected(const char *name, uint32_t flags, const char *to)
{
	char dn[64], mail[64], text[64];
	struct key key;

	snprintf(text, sizeof(text), "uid=%s,dc=acme", to);
	ck_assert_int_eq(dn_key(span_of(text), &key), CX_OK);
	snprintf(dn, sizeof(dn), "uid=%s,dc=acme", name);
	snprintf(mail, sizeof(mail), "%s@acme.example", name);
	org_put(&org, RECORD_RECIPIENT, flags, TAG_DN, dn, TAG_MAIL, mail, TAG_ALT_KEY,
	    key.bytes, 0);
}

#define GROUP(NAME, ...) put_group(NAME, 0, (const char *const[4]){ __VA_ARGS__ })

static void open_org(void)
{
	struct source_info sources[] = {
		{ .name = "corp",
		    .provides_recipients = true,
		    .provides_domains = true,
		    .provides_connectors = true },
		{ .name = "partner", .provides_recipients = true },
	};
	struct record_id id;
	struct buf buf;

	org_open(&org);
	ck_assert_int_eq(store_set_sources(org.writer, sources, 2), CX_OK);
	partner = sources[1].id;
	ck_assert_int_eq(store_set_contact(org.writer, partner, ORG_NOW, true), CX_OK);
	org_put_domain(&org);
	for (const char *name = "abcd"; *name; name++) {
		org_put_mailbox(&org, (char[]){ *name, '\0' });
	}
	id = make_id(partner, 1);
	buf_init(&buf);
	make_record(&buf, RECORD_RECIPIENT, 0, TAG_DN, "uid=far,dc=acme", TAG_MAIL,
	    "far@acme.example", 0);
	ck_assert_int_eq(store_put(org.writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
	GROUP("ab", "a", "b");
	GROUP("outer", "ab", "c");
	GROUP("wrap", "ab");
	GROUP("void", "gone");
	GROUP("half", "void", "a");
	GROUP("this", "that", "a");
	GROUP("that", "this");
	GROUP("distant", "far", "a");
	GROUP("above", "distant", "b");
	put_redirected("copied", RECIPIENT_DELIVER_AND_REDIRECT, "ab");
	put_redirected("redirected", 0, "ab");
	put_redirected("wrapped", 0, "wrap");
	org_look(&org);
}

static void close_org(void)
{
	org_close(&org);
}

static struct resolution ask_with(const char *text, bool wants_failures,
    struct envelope *envelope)
{
	struct envelope_asker asker = { .envelope = envelope,
		.wants_failures = wants_failures };
	struct question question = { .want_deliveries = true,
		.is_covered = envelope_is_covered,
		.is_covered_context = &asker };
	struct resolution resolution;
	struct address address;

	ck_assert_int_eq(address_parse_internal(span_of(text), &address), CX_OK);
	question.address = &address;
	org.arena.used = 0;
	ck_assert_int_eq(resolve(&org.view, &question, &org.arena, &resolution), CX_OK);
	return resolution;
}

static struct resolution ask(const char *text, struct envelope *envelope)
{
	return ask_with(text, true, envelope);
}

static void add(struct envelope *envelope, const char *text,
    const struct resolution *resolution)
{
	const struct dsn dsn = { .notify = 0 };
	struct envelope_entry entry = {
		.typed = span_of(text), .dsn = &dsn, .text = span_of(text)
	};
	struct address address;
	struct key key;

	ck_assert_int_eq(address_parse_internal(span_of(text), &address), CX_OK);
	address_key(&address, &key);
	entry.key = key_span(&key);
	ck_assert_int_eq(envelope_add(envelope, &entry, resolution, 10000), CX_OK);
}

/* clang-format off */
static const struct {
	const char *label;
	const char *before; /* of the message, accepted */
	const char *address;
	enum verdict verdict;
	const char *deliveries; /* new ones: first letters and kinds */
	bool is_covered;
	size_t entered;
} rows[] = {
	{ "alone", NULL, "ab@acme.example", VERDICT_DELIVER, "a:group b:group ", false, 3 },
	{ "the same again", "ab@acme.example", "ab+x@acme.example", VERDICT_DELIVER, "", true, 1 },
	{ "in another", "ab@acme.example", "outer@acme.example", VERDICT_DELIVER, "c:group ", true, 3 },
	{ "all of another", "ab@acme.example", "wrap@acme.example", VERDICT_DELIVER, "", true, 2 },
	{ "of another", "outer@acme.example", "ab@acme.example", VERDICT_DELIVER, "", true, 1 },
	{ "a redirect to it", "outer@acme.example", "redirected@acme.example", VERDICT_DELIVER, "", true, 2 },
	{ "a redirect to a group of it", "ab@acme.example", "wrapped@acme.example", VERDICT_DELIVER, "", true, 3 },
	{ "by a redirect before", "wrapped@acme.example", "outer@acme.example", VERDICT_DELIVER, "c:group ", true, 3 },
	{ "a copy to it", "ab@acme.example", "copied@acme.example", VERDICT_DELIVER, "c:self ", true, 2 },
	{ "a copy of it before is not as good", "copied@acme.example", "ab@acme.example", VERDICT_DELIVER,
	  "a:group b:group ", false, 3 },
	{ "one that led to nobody is nobody's either", "half@acme.example", "void@acme.example", VERDICT_BROKEN,
	  "", false, 1 },
	{ "one that was cut off in a circle is asked anew", "this@acme.example", "that@acme.example",
	  VERDICT_DELIVER, "", true, 2 },
	{ "a mailbox is no group", "a@acme.example", "ab@acme.example", VERDICT_DELIVER, "a:group b:group ", false, 3 },
};
/* clang-format on */

START_TEST(expands_a_group_once_in_a_message)
{
	struct envelope envelope;
	struct resolution resolution;
	char found[200] = "";

	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	if (rows[_i].before) {
		resolution = ask(rows[_i].before, &envelope);
		ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
		add(&envelope, rows[_i].before, &resolution);
	}
	resolution = ask(rows[_i].address, &envelope);
	for (size_t i = 0; i < resolution.delivery_count; i++) {
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%c:%s ",
		    resolution.deliveries[i].address.ptr[0],
		    delivery_kind_text(resolution.deliveries[i].kind));
	}
	ck_assert_msg(resolution.verdict == rows[_i].verdict, "%s: %s", rows[_i].label,
	    verdict_text(resolution.verdict));
	ck_assert_msg(strcmp(found, rows[_i].deliveries) == 0, "%s: %s", rows[_i].label,
	    found);
	ck_assert_msg(resolution.is_covered == rows[_i].is_covered, "%s",
	    rows[_i].label);
	ck_assert_msg(resolution.entered == rows[_i].entered, "%s: %zu objects",
	    rows[_i].label, resolution.entered);
	envelope_release(&envelope);
}
END_TEST

/* Otherwise NOTIFY=NEVER for one would silence a failure of another. */
START_TEST(who_wants_to_hear_of_failures_is_not_covered_by_one_who_does_not)
{
	const struct dsn silent = { .notify = DSN_NOTIFY_NEVER };
	struct envelope_entry entry = { .typed = SPAN("<ab@acme.example>"),
		.dsn = &silent,
		.key = SPAN("smtp:ab@acme.example") };
	struct envelope envelope;
	struct resolution resolution;

	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	resolution = ask_with("ab@acme.example", false, &envelope);
	ck_assert_int_eq(envelope_add(&envelope, &entry, &resolution, 10000), CX_OK);
	ck_assert(ask_with("wrap@acme.example", false, &envelope).is_covered);
	/* A copy is never heard of, and a group comes before it. */
	ck_assert(ask("copied@acme.example", &envelope).is_covered);
	resolution = ask("wrap@acme.example", &envelope);
	ck_assert(!resolution.is_covered);
	add(&envelope, "wrap@acme.example", &resolution);
	ck_assert(ask("ab+x@acme.example", &envelope).is_covered);
	ck_assert(ask_with("ab+x@acme.example", false, &envelope).is_covered);
	envelope_release(&envelope);
}
END_TEST

/* Members of "ab+x" are a+x and b+x then, and of "ab+y" others. */
START_TEST(an_extension_that_goes_along_makes_other_deliveries)
{
	struct envelope envelope;
	struct resolution resolution;

	org.settings.propagate_extension = true;
	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	resolution = ask("ab@acme.example", &envelope);
	add(&envelope, "ab@acme.example", &resolution);
	for (int turn = 0; turn < 2; turn++) {
		const char *text = turn ? "outer+y@acme.example" : "ab+x@acme.example";

		resolution = ask(text, &envelope);
		ck_assert(!resolution.is_covered);
		ck_assert_uint_eq(resolution.delivery_count, turn ? 3 : 2);
		add(&envelope, text, &resolution);
	}
	ck_assert(ask("ab@acme.example", &envelope).is_covered);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	resolution = ask("ab+x@acme.example", &envelope);
	add(&envelope, "ab+x@acme.example", &resolution);
	ck_assert(!ask("ab@acme.example", &envelope).is_covered);
	envelope_release(&envelope);
}
END_TEST

/* Memory that a client could make a message cost on an MTA that sets no limit. */
START_TEST(takes_no_more_recipients_than_a_message_may_have)
{
	const struct dsn dsn = { .notify = 0 };
	struct envelope envelope;
	struct resolution resolution;
	char text[40];

	envelope_init(&envelope);
	for (int is_local = 0; is_local < 2; is_local++) {
		struct envelope_entry entry = { .dsn = &dsn };

		envelope_begin(&envelope, MTA_SENDMAIL, is_local);
		for (unsigned i = 0; i < ENVELOPE_RECIPIENTS_MAX; i++) {
			snprintf(text, sizeof(text), "r%u@outside.example", i);
			entry.typed = entry.text = entry.key = span_of(text);
			ck_assert_int_eq(envelope_add_untouched(&envelope, &entry),
			    CX_OK);
		}
		resolution = ask("a@acme.example", &envelope);
		ck_assert_int_eq(envelope_add_untouched(&envelope, &entry),
		    is_local ? CX_OK : CX_EFULL);
		ck_assert_int_eq(envelope_add_same(&envelope, &entry,
				     &envelope.recipients[0]),
		    is_local ? CX_OK : CX_EFULL);
		ck_assert_int_eq(envelope_add(&envelope, &entry, &resolution, 10000),
		    is_local ? CX_OK : CX_EFULL);
	}
	envelope_release(&envelope);
}
END_TEST

START_TEST(a_member_whose_directory_is_too_old_makes_the_group_unavailable)
{
	static const struct {
		int64_t age_s;
		enum verdict verdict;
	} ages[] = { { 604800, VERDICT_DELIVER }, { 604801, VERDICT_UNAVAILABLE } };
	struct envelope envelope;
	struct resolution resolution;

	ck_assert_int_eq(store_set_contact(org.writer, partner,
			     ORG_NOW - ages[_i].age_s, true),
	    CX_OK);
	org_look(&org);
	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	ck_assert_int_eq(ask("distant@acme.example", &envelope).verdict,
	    ages[_i].verdict);
	resolution = ask("above@acme.example", &envelope);
	ck_assert_int_eq(resolution.verdict, ages[_i].verdict);
	ck_assert_uint_eq(resolution.delivery_count, _i == 0 ? 3 : 0);
	ck_assert_int_eq(ask("outer@acme.example", &envelope).verdict, VERDICT_DELIVER);
	envelope_release(&envelope);
}
END_TEST

static void assert_in_arena(struct span text, struct span expected)
{
	ck_assert(span_equal(text, expected));
	ck_assert(text.ptr >= org.arena.memory &&
		  text.ptr < org.arena.memory + org.arena.size);
}

/* It is logged when the snapshot is gone. */
START_TEST(what_is_said_of_a_group_outlives_the_snapshot)
{
	struct envelope envelope;
	struct resolution resolution;
	struct key gone;

	ck_assert_int_eq(dn_key(SPAN("uid=gone,dc=acme"), &gone), CX_OK);
	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	resolution = ask("half@acme.example", &envelope);
	assert_in_arena(resolution.object, SPAN("uid=half,dc=acme"));
	ck_assert_uint_eq(resolution.missing_count, 1);
	assert_in_arena(resolution.missing, key_span(&gone));
	envelope_release(&envelope);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("groups");
	TCase *tcase = tcase_create("groups");

	tcase_add_checked_fixture(tcase, open_org, close_org);
	tcase_add_loop_test(tcase, expands_a_group_once_in_a_message, 0,
	    (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tcase,
	    who_wants_to_hear_of_failures_is_not_covered_by_one_who_does_not);
	tcase_add_test(tcase, an_extension_that_goes_along_makes_other_deliveries);
	tcase_add_test(tcase, takes_no_more_recipients_than_a_message_may_have);
	tcase_add_loop_test(tcase,
	    a_member_whose_directory_is_too_old_makes_the_group_unavailable, 0, 2);
	tcase_add_test(tcase, what_is_said_of_a_group_outlives_the_snapshot);
	suite_add_tcase(suite, tcase);
	return suite;
}
