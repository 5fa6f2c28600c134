/*
 * The order of calls, what is answered to a recipient, and the edits of the message.
 */
#include "config.h"

#include "tests/unit/milter_fixture.h"

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
	assert_answer(session_end(fixture.session, SPAN("4F1A2B3C4D"), &plan), "continue", "end");
	assert_answer(session_edited(fixture.session, false, SPAN("4F1")), "451 4.3.0", "edited");
	ck_assert(has_line("4F1: an edit of the envelope failed"));
	ck_assert(!has_line("action="));
	ck_assert_uint_eq(counter_value(&fixture.counts.messages[MESSAGE_DEFERRED]), 1);
	ck_assert_uint_eq(counter_value(&fixture.counts.messages[MESSAGE_CHANGED]), 0);
	ck_assert_uint_eq(counter_value(&fixture.counts.edits[EDIT_ADD]), 0);
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
	tcase_add_test(tcase, takes_an_internationalised_delivery_with_smtputf8);
	tcase_add_test(tcase, the_limit_of_deliveries_is_the_messages);
	tcase_add_test(tcase, an_end_without_a_message_is_no_harm);
	suite_add_tcase(suite, tcase);
	return suite;
}
