/*
 * From recipients to edits. A recipient is written "TYPED | ARGUMENTS | DELIVERIES":
 * deliveries are "KIND:ADDRESS", or "self" for the recipient as it is; none: it is not
 * the directory's. An edit is "+ADDRESS ARGUMENTS" or "-ADDRESS".
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "milter/plan.h"
#include "tests/unit/unit.h"

#define RCPTS_MAX 6

struct row {
	const char *label;
	enum mta mta;
	bool is_local_submission;
	const char *recipients[RCPTS_MAX];
	const char *edits[8];
};

#define ADAM "<adam.barr@acme.example>"
#define ORCPT_ADAM "ORCPT=rfc822;adam.barr@acme.example"

/* clang-format off */
static const struct row rows[] = {
	{ "what is not in the directory is not touched", MTA_POSTFIX, false,
	  { "<joe@else.example> | |" }, { NULL } },
	{ "a plain mailbox costs no edit", MTA_POSTFIX, false,
	  { ADAM " | NOTIFY=SUCCESS | self" }, { NULL } },
	{ "a redirect carries ORCPT as typed", MTA_POSTFIX, false,
	  { ADAM " | | redirect:adam@pop.acme.example" },
	  { "+<adam@pop.acme.example> " ORCPT_ADAM, "-adam.barr@acme.example" } },
	{ "a redirect carries NOTIFY and ORCPT of the sender", MTA_POSTFIX, false,
	  { ADAM " | ORCPT=rfc822;orig+2Bx@old.example NOTIFY=SUCCESS,DELAY | redirect:adam@pop.acme.example" },
	  { "+<adam@pop.acme.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;orig+2Bx@old.example",
	    "-adam.barr@acme.example" } },
	{ "a copy is never heard of", MTA_POSTFIX, false,
	  { ADAM " | NOTIFY=SUCCESS,FAILURE | self copy:adam@pop.acme.example" },
	  { "+<adam@pop.acme.example> NOTIFY=NEVER " ORCPT_ADAM } },
	{ "group members carry NOTIFY without SUCCESS", MTA_POSTFIX, false,
	  { "<staff@acme.example> | NOTIFY=SUCCESS,FAILURE | group:a@acme.example group:b@acme.example" },
	  { "+<a@acme.example> NOTIFY=FAILURE ORCPT=rfc822;staff@acme.example",
	    "+<b@acme.example> NOTIFY=FAILURE ORCPT=rfc822;staff@acme.example",
	    "-staff@acme.example" } },
	{ "group members of a sender who asked for SUCCESS alone are silent", MTA_POSTFIX, false,
	  { "<staff@acme.example> | NOTIFY=SUCCESS | group:a@acme.example" },
	  { "+<a@acme.example> NOTIFY=NEVER ORCPT=rfc822;staff@acme.example", "-staff@acme.example" } },
	{ "a proxy address becomes the primary one as a redirect does", MTA_POSTFIX, false,
	  { "<adam+x@acme.example> | | self:adam.barr+x@acme.example" },
	  { "+<adam.barr+x@acme.example> ORCPT=rfc822;adam+2Bx@acme.example", "-adam+x@acme.example" } },

	/* Lost mail. */
	{ "additions come before deletions", MTA_POSTFIX, false,
	  { "<a@acme.example> | | redirect:x@pop.example", "<b@acme.example> | | redirect:y@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;a@acme.example", "+<y@pop.example> ORCPT=rfc822;b@acme.example",
	    "-a@acme.example", "-b@acme.example" } },
	{ "two who changed places between their RCPTs are neither deleted nor lost", MTA_POSTFIX, false,
	  { "<a@acme.example> | | redirect:b@acme.example", "<b@acme.example> | | redirect:a@acme.example" },
	  { "+<a@acme.example> ORCPT=rfc822;a@acme.example", "+<b@acme.example> ORCPT=rfc822;b@acme.example" } },
	{ "a target that was to go itself stays", MTA_POSTFIX, false,
	  { "<a@acme.example> | | redirect:b@acme.example", "<b@acme.example> | | redirect:c@acme.example" },
	  { "+<c@acme.example> ORCPT=rfc822;b@acme.example", "+<b@acme.example> ORCPT=rfc822;b@acme.example",
	    "-a@acme.example" } },

	/* Double delivery. */
	{ "two who lead to one target deliver once, with the first one's arguments", MTA_POSTFIX, false,
	  { "<a@acme.example> | NOTIFY=DELAY | redirect:x@pop.example",
	    "<b@acme.example> | NOTIFY=SUCCESS | redirect:x@pop.example" },
	  { "+<x@pop.example> NOTIFY=DELAY ORCPT=rfc822;a@acme.example", "-a@acme.example", "-b@acme.example" } },
	{ "a redirect beats a group, a group a copy", MTA_POSTFIX, false,
	  { "<a@acme.example> | | self copy:x@pop.example copy:y@pop.example",
	    "<staff@acme.example> | | group:x@pop.example group:y@pop.example",
	    "<b@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;b@acme.example", "+<y@pop.example> ORCPT=rfc822;staff@acme.example",
	    "-staff@acme.example", "-b@acme.example" } },
	{ "a target that the client named is added with that recipient's own arguments", MTA_POSTFIX, false,
	  { ADAM " | NOTIFY=SUCCESS | redirect:adam@pop.acme.example",
	    "<Adam@pop.acme.example> | NOTIFY=DELAY ORCPT=rfc822;one@two.example |" },
	  { "+<Adam@pop.acme.example> NOTIFY=DELAY ORCPT=rfc822;one@two.example", "-adam.barr@acme.example" } },
	{ "the same without arguments, as Postfix makes them up", MTA_POSTFIX, false,
	  { "<adam@pop.acme.example> | |", ADAM " | | redirect:adam@pop.acme.example" },
	  { "+<adam@pop.acme.example> ORCPT=rfc822;adam@pop.acme.example", "-adam.barr@acme.example" } },
	{ "it is added once however many lead to it", MTA_POSTFIX, false,
	  { "<x@pop.example> | |", "<X@pop.example> | |", "<a@acme.example> | | redirect:x@pop.example",
	    "<b@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;x@pop.example", "-a@acme.example", "-b@acme.example" } },
	{ "it is not added where Postfix would not know it again: trailing dot", MTA_POSTFIX, false,
	  { "<x@pop.example.> | |", "<a@acme.example> | | redirect:x@pop.example" }, { "-a@acme.example" } },
	{ "with a source route the address alone is added, and ORCPT has the route", MTA_POSTFIX, false,
	  { "<@r.example:x@pop.example> | |", "<a@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;@r.example:x@pop.example", "-a@acme.example" } },
	{ "nor when it came with arguments that we do not understand", MTA_POSTFIX, false,
	  { "<x@pop.example> | ORCPT=rfc822;a+ |", "<a@acme.example> | | redirect:x@pop.example" },
	  { "-a@acme.example" } },
	{ "nor where Postfix cuts off what it would not cut off here", MTA_POSTFIX, false,
	  { "<x@pop.example> | ORCPT=rfc822;a+20 |", "<a@acme.example> | | redirect:x@pop.example" },
	  { "-a@acme.example" } },
	{ "of two that lead there in the same way, one who hears of a failure", MTA_POSTFIX, false,
	  { "<a@acme.example> | NOTIFY=NEVER | redirect:x@pop.example",
	    "<b@acme.example> | NOTIFY=SUCCESS | redirect:x@pop.example",
	    "<c@acme.example> | | redirect:x@pop.example",
	    "<d@acme.example> | NOTIFY=FAILURE | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;c@acme.example", "-a@acme.example", "-b@acme.example",
	    "-c@acme.example", "-d@acme.example" } },
	{ "a redirect that hears nothing beats a group that does", MTA_POSTFIX, false,
	  { "<s@acme.example> | NOTIFY=FAILURE | group:x@pop.example",
	    "<a@acme.example> | NOTIFY=NEVER | redirect:x@pop.example" },
	  { "+<x@pop.example> NOTIFY=NEVER ORCPT=rfc822;a@acme.example", "-s@acme.example",
	    "-a@acme.example" } },
	{ "a copy to a mailbox that the client named too", MTA_POSTFIX, false,
	  { "<a@acme.example> | | self copy:b@acme.example", "<b@acme.example> | | self" },
	  { "+<b@acme.example> ORCPT=rfc822;b@acme.example" } },
	{ "a recipient met again through its own copy is left alone", MTA_POSTFIX, false,
	  { "<a@acme.example> | | self", "<b@acme.example> | | redirect:a@acme.example" },
	  { "+<a@acme.example> ORCPT=rfc822;a@acme.example", "-b@acme.example" } },

	/* Spellings. */
	{ "every spelling is deleted, the target added once", MTA_POSTFIX, false,
	  { "<adam@acme.example> | | redirect:x@pop.example", "<ADAM@acme.example> | | redirect:x@pop.example",
	    "<adam@ACME.example> | | redirect:x@pop.example", "<adam@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example", "-adam@acme.example", "-ADAM@acme.example",
	    "-adam@ACME.example" } },
	{ "quoted and not", MTA_POSTFIX, false,
	  { "<\"adam\"@acme.example> | | redirect:x@pop.example", "<adam@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;\"adam\"@acme.example", "-\"adam\"@acme.example", "-adam@acme.example" } },
	{ "Postfix is told no source route", MTA_POSTFIX, false,
	  { "<@r.example,@s.example:adam@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;@r.example,@s.example:adam@acme.example", "-adam@acme.example" } },
	{ "Postfix is told the trailing dot", MTA_POSTFIX, false,
	  { "<adam@acme.example.> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example.", "-adam@acme.example." } },
	{ "without brackets", MTA_POSTFIX, false,
	  { "adam@acme.example | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example", "-adam@acme.example" } },
	{ "Sendmail is told exactly what was typed", MTA_SENDMAIL, false,
	  { "<@r.example:adam@acme.example> | | redirect:x@pop.example",
	    "<\"adam\"@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;@r.example:adam@acme.example", "-<@r.example:adam@acme.example>",
	    "-<\"adam\"@acme.example>" } },
	{ "the extension is part of the address", MTA_POSTFIX, false,
	  { "<adam+x@acme.example> | | redirect:x@pop.example", "<adam@acme.example> | | self" },
	  { "+<x@pop.example> ORCPT=rfc822;adam+2Bx@acme.example", "-adam+x@acme.example" } },
	{ "an address that is not ASCII: utf-8, raw for Postfix", MTA_POSTFIX, false,
	  { "<jos\xc3\xa9+x@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=utf-8;jos\xc3\xa9+2Bx@acme.example", "-jos\xc3\xa9+x@acme.example" } },
	{ "and encoded for Sendmail", MTA_SENDMAIL, false,
	  { "<jos\xc3\xa9+x@acme.example> | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=utf-8;jos\\x{E9}\\x{2B}x@acme.example", "-<jos\xc3\xa9+x@acme.example>" } },

	/* sendmail(1). */
	{ "of a local submission goes all that is shown as this address", MTA_POSTFIX, true,
	  { "adam@acme.example | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example", "-adam@acme.example", "-adam", "-adam@acme",
	    "-adam@acme.example.", "-adam%acme.example", "-acme.example!adam" } },
	{ "once, however often it was written", MTA_POSTFIX, true,
	  { "adam@acme.example | | redirect:x@pop.example", "adam@acme.example | | redirect:x@pop.example",
	    "adam@acme.example | | redirect:x@pop.example" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example", "-adam@acme.example", "-adam", "-adam@acme",
	    "-adam@acme.example.", "-adam%acme.example", "-acme.example!adam" } },
	{ "but for what may be somebody of that name who stays", MTA_POSTFIX, true,
	  { "adam@acme.example | | redirect:x@pop.example", "adam@mta.example | |" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example", "-adam@acme.example",
	    "-adam@acme.example.", "-adam%acme.example", "-acme.example!adam" } },
	{ "or a local part that looks like it", MTA_POSTFIX, true,
	  { "adam@acme.example | | redirect:x@pop.example", "adam%acme.example@mta.example | |",
	    "acme.example!adam@mta.example | |" },
	  { "+<x@pop.example> ORCPT=rfc822;adam@acme.example", "-adam@acme.example", "-adam", "-adam@acme",
	    "-adam@acme.example." } },
	{ "or the MTA's own postmaster, if that is what is added", MTA_POSTFIX, true,
	  { "postmaster@acme.example | | redirect:postmaster" },
	  { "+<postmaster> ORCPT=rfc822;postmaster@acme.example", "-postmaster@acme.example",
	    "-postmaster@acme.example.", "-postmaster%acme.example", "-acme.example!postmaster" } },
	{ "or a recipient that is added, on a host without a domain", MTA_POSTFIX, true,
	  { "adam@acme.example | | redirect:Adam@acme" },
	  { "+<Adam@acme> ORCPT=rfc822;adam@acme.example", "-adam@acme.example", "-adam",
	    "-adam@acme.example.", "-adam%acme.example", "-acme.example!adam" } },
	{ "or would pass for an address", MTA_POSTFIX, true,
	  { "\"a@pop.example\"@acme.example | | redirect:a@pop.example" },
	  { "+<a@pop.example> ORCPT=rfc822;\"a@pop.example\"@acme.example",
	    "-\"a@pop.example\"@acme.example", "-\"a@pop.example\"@acme",
	    "-\"a@pop.example\"@acme.example." } },
	{ "what stays is not added again there: its arguments are not known", MTA_POSTFIX, true,
	  { "adam@acme.example | | redirect:bob@acme.example", "bob@acme.example | | self" },
	  { "-adam@acme.example", "-adam", "-adam@acme", "-adam@acme.example.", "-adam%acme.example",
	    "-acme.example!adam" } },
};
/* clang-format on */

static struct key key_of(struct span text)
{
	struct address address;
	struct key key;

	ck_assert_int_eq(address_parse_path(text, &address), CX_OK);
	address_key(&address, &key);
	return key;
}

static const struct {
	const char *name;
	enum delivery_kind kind;
} kinds[] = {
	{ "self", DELIVERY_SELF },
	{ "redirect", DELIVERY_REDIRECT },
	{ "group", DELIVERY_GROUP },
	{ "copy", DELIVERY_COPY },
};

static void read_delivery(char *word, const struct key *own, struct key *key,
    struct delivery *out)
{
	char *colon = strchr(word, ':');

	*out = (struct delivery){ .is_unchanged = colon == NULL };
	if (colon) {
		*colon = '\0';
		out->address = span_of(colon + 1);
		*key = key_of(out->address);
	} else {
		*key = *own;
	}
	out->key = key_span(key);
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(word, kinds[i].name) == 0) {
			out->kind = kinds[i].kind;
			return;
		}
	}
	ck_abort_msg("no such kind: %s", word);
}

static void add(struct envelope *envelope, const char *line, unsigned max,
    enum status expected)
{
	char *copy = strdup(line);
	char *at = copy;
	char *typed = strsep(&at, "|");
	char *options = strsep(&at, "|");
	const char *arguments[4] = { NULL };
	size_t argument_count = 0;
	struct dsn dsn;
	struct key own;
	struct key keys[8];
	struct delivery deliveries[8];
	struct resolution resolution = { .verdict = VERDICT_DELIVER, .deliveries = deliveries };
	struct envelope_entry entry = { .dsn = &dsn };
	struct address address;
	struct buf text;
	enum status status;
	char *word;

	entry.typed = span_trim(span_of(typed));
	own = key_of(entry.typed);
	entry.key = key_span(&own);
	buf_init(&text);
	ck_assert_int_eq(address_parse_path(entry.typed, &address), CX_OK);
	address_print(&address, &text);
	entry.text = buf_span(&text);
	while ((word = strsep(&options, " ")) != NULL) {
		if (*word) {
			arguments[argument_count++] = word;
		}
	}
	dsn_parse(arguments, &dsn);
	while ((word = strsep(&at, " ")) != NULL) {
		if (*word) {
			size_t i = resolution.delivery_count++;

			read_delivery(word, &own, &keys[i], &deliveries[i]);
		}
	}
	status = resolution.delivery_count ?
			 envelope_add(envelope, &entry, &resolution, max) :
			 envelope_add_untouched(envelope, &entry);
	unit_assert_status(status, expected, line);
	buf_release(&text);
	free(copy);
}

static void add_line(struct buf *out, const struct edit *edit)
{
	buf_printf(out, "%c%s", edit->kind == EDIT_ADD ? '+' : '-', edit->address);
	if (edit->arguments[0]) {
		buf_printf(out, " %s", edit->arguments);
	}
	buf_add_char(out, '\n');
}

START_TEST(makes_the_edits)
{
	const struct row *row = &rows[_i];
	struct envelope envelope;
	struct plan plan;
	struct buf actual;
	struct buf expected;

	envelope_init(&envelope);
	plan_init(&plan);
	buf_init(&actual);
	buf_init(&expected);
	envelope_begin(&envelope, row->mta, row->is_local_submission);
	for (size_t i = 0; i < RCPTS_MAX && row->recipients[i]; i++) {
		add(&envelope, row->recipients[i], 100, CX_OK);
	}
	unit_assert_status(plan_make(&envelope, &plan), CX_OK, row->label);
	ck_assert_msg(envelope_changes_nothing(&envelope) == (plan.count == 0), "%s", row->label);
	for (size_t i = 0; i < plan.count; i++) {
		ck_assert_int_eq(plan.edits[i].kind == EDIT_ADD, i < plan.add_count);
		add_line(&actual, &plan.edits[i]);
	}
	for (size_t i = 0; row->edits[i]; i++) {
		buf_printf(&expected, "%s\n", row->edits[i]);
	}
	unit_assert_span(buf_span(&actual), expected.len ? expected.data : "", row->label);
	buf_release(&actual);
	buf_release(&expected);
	plan_release(&plan);
	envelope_release(&envelope);
}
END_TEST

START_TEST(counts_each_delivery_of_a_message_once)
{
	struct envelope envelope;

	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	add(&envelope, "<s@acme.example> | | group:a@acme.example group:b@acme.example", 3, CX_OK);
	add(&envelope, "<t@acme.example> | | group:b@acme.example group:a@acme.example", 3, CX_OK);
	add(&envelope, "<u@acme.example> | | group:b@acme.example group:c@acme.example", 3, CX_OK);
	add(&envelope, "<v@acme.example> | | redirect:d@acme.example", 3, CX_EFULL);
	ck_assert_uint_eq(envelope.recipient_count, 3);
	ck_assert_uint_eq(envelope.delivery_count, 3);
	/* What is left of the limit is still to be had. */
	add(&envelope, "<w@acme.example> | | redirect:c@acme.example", 3, CX_OK);
	envelope_release(&envelope);
}
END_TEST

START_TEST(bounds_what_many_groups_of_the_same_members_take)
{
	struct envelope envelope;
	unsigned max = 4;

	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	for (unsigned i = 0; i < max * ENVELOPE_PATHS_PER_DELIVERY; i += 2) {
		char line[100];

		snprintf(line, sizeof(line),
		    "<g%u@acme.example> | | group:a@acme.example group:b@acme.example", i);
		add(&envelope, line, max, CX_OK);
	}
	add(&envelope, "<g@acme.example> | | group:a@acme.example group:b@acme.example", max,
	    CX_EFULL);
	envelope_release(&envelope);
}
END_TEST

START_TEST(keeps_a_long_list_once_for_all_who_have_it)
{
	static const char line[] = "<g%u@acme.example> | | group:a@x.example group:b@x.example "
				   "group:c@x.example group:d@x.example group:e@x.example "
				   "group:f@x.example group:g@x.example group:h@x.example";
	struct envelope envelope;
	struct plan plan;

	envelope_init(&envelope);
	plan_init(&plan);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	for (unsigned i = 0; i < 200; i++) {
		char text[300];

		snprintf(text, sizeof(text), line, i);
		add(&envelope, text, 10, CX_OK);
	}
	ck_assert_uint_eq(envelope.path_total, 8);
	ck_assert_ptr_eq(envelope.recipients[0].paths, envelope.recipients[199].paths);
	unit_assert_status(plan_make(&envelope, &plan), CX_OK, "plan");
	ck_assert_uint_eq(plan.add_count, 8);
	ck_assert_uint_eq(plan.count, 208);
	ck_assert_ptr_eq(plan.edits[0].arguments, plan.edits[7].arguments);
	plan_release(&plan);
	envelope_release(&envelope);
}
END_TEST

/* Behind so many recipients Postfix may have forgotten it, and would deliver twice. */
START_TEST(adds_none_again_that_the_mta_may_have_forgotten)
{
	struct envelope envelope;
	struct plan plan;

	envelope_init(&envelope);
	plan_init(&plan);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	for (unsigned i = 0; i < PLAN_REPEAT_MAX; i++) {
		char line[60];

		snprintf(line, sizeof(line), "<r%u@else.example> | |", i);
		add(&envelope, line, 10, CX_OK);
	}
	add(&envelope, "<x@pop.example> | |", 10, CX_OK);
	add(&envelope, "<a@acme.example> | | redirect:x@pop.example", 10, CX_OK);
	unit_assert_status(plan_make(&envelope, &plan), CX_OK, "plan");
	ck_assert_uint_eq(plan.count, 1);
	ck_assert_str_eq(plan.edits[0].address, "a@acme.example");
	plan_release(&plan);
	envelope_release(&envelope);
}
END_TEST

/* 1,001 would keep Postfix busy for a quarter of a minute. */
START_TEST(looks_for_rare_spellings_in_a_message_to_few_only)
{
	struct envelope envelope;
	struct plan plan;

	envelope_init(&envelope);
	plan_init(&plan);
	envelope_begin(&envelope, MTA_POSTFIX, true);
	for (unsigned i = 0; i < PLAN_RARE_MAX; i++) {
		char line[60];

		snprintf(line, sizeof(line), "r%u@else.example | |", i);
		add(&envelope, line, 10, CX_OK);
	}
	add(&envelope, "a@acme.example | | redirect:x@pop.example", 10, CX_OK);
	unit_assert_status(plan_make(&envelope, &plan), CX_OK, "plan");
	ck_assert_uint_eq(plan.count, 3);
	ck_assert_str_eq(plan.edits[1].address, "a@acme.example");
	ck_assert_str_eq(plan.edits[2].address, "a");
	plan_release(&plan);
	envelope_release(&envelope);
}
END_TEST

START_TEST(a_message_begun_anew_knows_nothing_of_the_one_before)
{
	struct envelope envelope;
	struct plan plan;
	struct key key = key_of(SPAN("<a@acme.example>"));

	envelope_init(&envelope);
	plan_init(&plan);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	add(&envelope, "<a@acme.example> | | redirect:x@pop.example", 10, CX_OK);
	ck_assert_ptr_nonnull(envelope_find(&envelope, key_span(&key)));
	unit_assert_status(plan_make(&envelope, &plan), CX_OK, "plan");
	ck_assert_uint_eq(plan.count, 2);
	envelope_begin(&envelope, MTA_SENDMAIL, false);
	ck_assert_ptr_null(envelope_find(&envelope, key_span(&key)));
	unit_assert_status(plan_make(&envelope, &plan), CX_OK, "plan");
	ck_assert_uint_eq(plan.count, 0);
	plan_release(&plan);
	envelope_release(&envelope);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter plan");
	TCase *tcase = tcase_create("plan");

	tcase_add_loop_test(tcase, makes_the_edits, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tcase, counts_each_delivery_of_a_message_once);
	tcase_add_test(tcase, bounds_what_many_groups_of_the_same_members_take);
	tcase_add_test(tcase, keeps_a_long_list_once_for_all_who_have_it);
	tcase_add_test(tcase, adds_none_again_that_the_mta_may_have_forgotten);
	tcase_add_test(tcase, looks_for_rare_spellings_in_a_message_to_few_only);
	tcase_add_test(tcase, a_message_begun_anew_knows_nothing_of_the_one_before);
	suite_add_tcase(suite, tcase);
	return suite;
}
