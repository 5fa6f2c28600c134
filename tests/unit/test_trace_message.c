#include "config.h"

#include <string.h>

#include "forward/trace_message.h"
#include "unit.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

enum {
	HEADERS_MAX = 6,
};

struct header {
	const char *name, *value;
};

static void read_all(const struct header *headers, struct trace_message *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < HEADERS_MAX && headers[i].name != NULL; i++) {
		unit_assert_status(trace_message_add(out, unit_text(headers[i].name),
				       unit_text(headers[i].value)),
		    CX_OK, headers[i].value);
	}
}

#define ID     { "Message-ID", "<1@x.example>" }
#define DATE   { "Date", "Sun, 22 Nov 2026 05:32:31 +0000 (UTC)" }
#define FROM   { "From", "Sue <s@x.example>" }
#define RESENT { "Resent-Message-ID", "<r1@x.example>" }
#define LIST   { "List-Id", "Friends <friends.x.example>" }

/* What other systems do to headers on the way, and what makes another message of one. */
static const struct row {
	const char *label;
	bool is_same;
	struct header before[HEADERS_MAX], after[HEADERS_MAX];
} rows[] = {
	{ "as it was", true, { ID }, { ID } },
	{ "name in other case", true, { ID }, { { "message-id", "<1@x.example>" } } },
	{ "folded before it", true, { ID }, { { "Message-ID", "\r\n\t<1@x.example>" } } },
	{ "folded within it", true, { ID }, { { "Message-ID", "<1@x.\n example>" } } },
	{ "with a comment", true, { ID }, { { "Message-ID", "<1@x.example> (added)" } } },
	{ "without <>", true, { { "Message-ID", "1@x.example" } }, { ID } },
	{ "a second one behind it", true, { ID }, { ID, { "Message-ID", "<2@x>" } } },
	{ "other headers", true, { ID }, { { "Received", "x" }, ID, { "Resent-From", "x" } } },
	{ "another date", true, { ID, DATE }, { ID, { "Date", "today" } } },
	{ "none", true, { { "Subject", "x" } }, { { "Subject", "y" } } },
	{ "an empty one", true, { { "Message-ID", " \r\n " } }, { { NULL, NULL } } },
	{ "another id", false, { ID }, { { "Message-ID", "<2@x.example>" } } },
	{ "id in other case", false, { ID }, { { "Message-ID", "<1@X.example>" } } },
	{ "id in the wrong place", false, { ID }, { { "From", "<1@x.example>" } } },
	{ "another id before it", false, { ID }, { { "Message-ID", "<2@x>" }, ID } },
	{ "sent again", false, { ID }, { RESENT, ID } },
	{ "sent again before", true, { RESENT, ID }, { RESENT, ID } },
	{ "sent again twice", false, { RESENT, ID },
	    { { "Resent-Message-ID", "<r2@x.example>" }, RESENT, ID } },
	{ "sent again twice by one", false, { RESENT, ID }, { RESENT, RESENT, ID } },
	{ "sent again with a date only", false, { RESENT, ID },
	    { { "Resent-Date", "today" }, RESENT, ID } },
	{ "sent again by a server", true, { ID }, { { "Resent-From", "a@x.example" }, ID } },
	{ "by a list", false, { ID }, { ID, LIST } },
	{ "list under another name", true, { LIST }, { { "List-ID", "<friends.x.example>" } } },
	{ "by another list", false, { LIST }, { { "List-Id", "<others.x.example>" } } },
	{ "list for sender", false, { { "List-Id", "today" } }, { { "Resent-Date", "today" } } },
	{ "date and author", true, { DATE, FROM },
	    { { "From", "\"Sue\"\n <s@x.example>" }, DATE } },
	{ "date without its comment", true, { DATE, FROM },
	    { { "Date", "Sun, 22 Nov 2026\n 05:32:31 +0000" }, FROM } },
	{ "an id since", true, { DATE, FROM }, { DATE, FROM, ID } },
	{ "another author", false, { DATE, FROM }, { DATE, { "From", "<t@x.example>" } } },
	{ "a date as author", false, { { "Date", "x" } }, { { "From", "x" } } },
};

/* As tokens are bound: to the id if it was there at first. */
static bool is_same(const struct trace_message *before, const struct trace_message *after)
{
	if (memcmp(before->sendings, after->sendings, sizeof(before->sendings)) != 0) {
		return false;
	}
	return before->has_id ? memcmp(before->id, after->id, sizeof(before->id)) == 0
			      : memcmp(before->date, after->date, sizeof(before->date)) == 0 &&
				    memcmp(before->from, after->from,
					sizeof(before->from)) == 0;
}

START_TEST(knows_a_message_again)
{
	const struct row *row = &rows[_i];
	struct trace_message before, after;

	read_all(row->before, &before);
	read_all(row->after, &after);
	ck_assert_msg(is_same(&before, &after) == row->is_same, "%s", row->label);
}
END_TEST

START_TEST(odd_values_do_no_harm)
{
	static const char *const values[] = { "<", ">", "<>", "><", "<<", ">>", "<<<>", "(", ")",
		"\x01\xff%s", "<\n>", "()" };
	struct trace_message message;

	for (int i = 0; i < ROWS(values); i++) {
		const struct header headers[HEADERS_MAX] = { { "Message-ID", values[i] },
			{ "Date", values[i] }, { "From", values[i] },
			{ "List-Id", values[i] }, { "Resent-Date", values[i] } };

		read_all(headers, &message);
		ck_assert_msg(message.has_id && message.has_date, "%s", values[i]);
	}
	unit_assert_status(trace_message_add(&message, SPAN("Message-ID"),
			       unit_span("<\0>", 3)),
	    CX_OK, "NUL");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("trace_message");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, knows_a_message_again, 0, ROWS(rows));
	tcase_add_test(tcase, odd_values_do_no_harm);
	suite_add_tcase(suite, tcase);
	return suite;
}
