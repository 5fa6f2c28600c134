#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policyd/netstring.h"
#include "policyd/session.h"
#include "unit.h"

/*
 * A protocol of netstrings: the answer to a string is the string in brackets; "bad" ends
 * the session without one.
 */
struct journal {
	char complaint[64];
	unsigned complaints;
};

static bool answer(void *context, struct span body, struct buf *out, const char **why)
{
	(void)context;
	if (span_equal(body, SPAN("bad"))) {
		*why = "bad";
		return false;
	}
	buf_add_char(out, '[');
	buf_add_span(out, body);
	buf_add_char(out, ']');
	return true;
}

static void farewell(struct buf *out)
{
	buf_add_text(out, "bye");
}

static void complain(void *context, const char *why, struct span what)
{
	struct journal *journal = context;

	(void)what;
	journal->complaints++;
	(void)snprintf(journal->complaint, sizeof(journal->complaint), "%s", why);
}

static const struct protocol echo = {
	.name = "echo",
	.answer_max = 65540,
	.find = netstring_frame,
	.answer = answer,
	.farewell = farewell,
	.complain = complain,
};

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* clang-format off */
static const struct {
	const char *label;
	const char *input;
	const char *output;
	enum session_state state; /* after the client has closed its sending side */
	const char *complaint;
} streams[] = {
	{ "nothing",            "",                     "",           SESSION_ENDED, "" },
	{ "one",                "1:a,",                 "[a]",        SESSION_ENDED, "" },
	{ "pipelined",          "1:a,2:bc,0:,3:def,",   "[a][bc][][def]", SESSION_ENDED, "" },
	{ "a truncated one",    "1:a,5:hel",            "[a]",        SESSION_ENDED, "truncated" },
	{ "garbage behind one", "1:a,garbage",          "[a]bye",     SESSION_ENDED, "not a netstring" },
	{ "a refused one",      "1:a,3:bad,1:b,",       "[a]",        SESSION_ENDED, "bad" },
};
/* clang-format on */

static enum session_state feed(struct session *session, struct span input, size_t chunk,
    struct journal *journal, struct buf *out)
{
	enum session_state state = SESSION_IDLE;

	for (size_t at = 0; at < input.len && state != SESSION_ENDED; at += chunk) {
		size_t len = input.len - at < chunk ? input.len - at : chunk;
		/* What is kept must not point into what was read. */
		char *bytes = unit_copy(input.ptr + at, len);

		state = session_input(session, (struct span){ bytes, len }, journal, out);
		free(bytes);
		ck_assert_int_ne(state, SESSION_FULL);
	}
	return state;
}

START_TEST(answers_the_same_in_whatever_pieces_input_comes)
{
	struct span input = span_of(streams[_i].input);

	for (size_t chunk = 1; chunk <= input.len + 1; chunk++) {
		struct session session;
		struct journal journal = { "", 0 };
		struct buf out;

		buf_init(&out);
		session_init(&session, &echo);
		if (feed(&session, input, chunk, &journal, &out) != SESSION_ENDED) {
			ck_assert_int_eq(session_eof(&session, &journal), streams[_i].state);
		}
		unit_assert_span(buf_span(&out), streams[_i].output, streams[_i].label);
		ck_assert_str_eq(journal.complaint, streams[_i].complaint);
		ck_assert_uint_eq(journal.complaints, *streams[_i].complaint ? 1 : 0);
		session_release(&session);
		buf_release(&out);
	}
}
END_TEST

START_TEST(tells_idle_from_the_middle_of_a_request)
{
	struct session session;
	struct journal journal = { "", 0 };
	struct buf out;

	buf_init(&out);
	session_init(&session, &echo);
	ck_assert_int_eq(session.state, SESSION_IDLE);
	ck_assert_int_eq(session_input(&session, SPAN("5:he"), &journal, &out),
	    SESSION_PARTIAL);
	ck_assert_int_eq(session_input(&session, SPAN("llo,"), &journal, &out),
	    SESSION_IDLE);
	ck_assert_ptr_null(session.kept);
	session_release(&session);
	buf_release(&out);
}
END_TEST

#define BIG	  1000
#define BIG_COUNT 300

/* 300 requests of 1000 bytes in one piece, and half of another. */
START_TEST(stops_when_output_is_full_and_goes_on_in_order)
{
	struct session session;
	struct journal journal = { "", 0 };
	struct buf input, out, all;
	enum session_state state;
	size_t at = 0;
	unsigned stops = 0;

	buf_init(&input);
	buf_init(&out);
	buf_init(&all);
	for (int i = 0; i < BIG_COUNT; i++) {
		buf_printf(&input, "%d:%0*d,", BIG, BIG, i);
	}
	buf_add_text(&input, "4:la");
	session_init(&session, &echo);
	state = session_input(&session, buf_span(&input), &journal, &out);
	while (state == SESSION_FULL) {
		ck_assert_uint_ge(out.len, SESSION_OUTPUT_HIGH);
		ck_assert_uint_le(out.len, SESSION_OUTPUT_HIGH + BIG + 2);
		buf_add_span(&all, buf_span(&out));
		buf_clear(&out);
		stops++;
		state = session_resume(&session, &journal, &out);
	}
	ck_assert_int_eq(state, SESSION_PARTIAL);
	ck_assert_int_eq(session_input(&session, SPAN("st,"), &journal, &out), SESSION_IDLE);
	buf_add_span(&all, buf_span(&out));
	ck_assert_uint_ge(stops, 4);
	for (int i = 0; i < BIG_COUNT; i++) {
		char expected[BIG + 3];

		(void)snprintf(expected, sizeof(expected), "[%0*d]", BIG, i);
		ck_assert_msg(memcmp(all.data + at, expected, BIG + 2) == 0, "answer %d", i);
		at += BIG + 2;
	}
	ck_assert_str_eq(all.data + at, "[last]");
	session_release(&session);
	buf_release(&input);
	buf_release(&out);
	buf_release(&all);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("session");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, answers_the_same_in_whatever_pieces_input_comes, 0,
	    ROWS(streams));
	tcase_add_test(tcase, tells_idle_from_the_middle_of_a_request);
	tcase_add_test(tcase, stops_when_output_is_full_and_goes_on_in_order);
	suite_add_tcase(suite, tcase);
	return suite;
}
