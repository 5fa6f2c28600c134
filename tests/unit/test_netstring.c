#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "policyd/netstring.h"
#include "unit.h"

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* clang-format off */
static const struct {
	const char *label;
	const char *input;
	enum frame_status status;
	size_t len; /* of the frame */
	const char *body;
} rows[] = {
	{ "whole",                 "5:hello,",       FRAME_WHOLE,   8, "hello" },
	{ "whole, more follows",   "5:hello,5:wor",  FRAME_WHOLE,   8, "hello" },
	{ "empty",                 "0:,",            FRAME_WHOLE,   3, "" },
	{ "two digits",            "10:0123456789,", FRAME_WHOLE,  14, "0123456789" },
	{ "a comma within",        "3:a,b,",         FRAME_WHOLE,   6, "a,b" },
	{ "nothing",               "",               FRAME_PARTIAL, 0, NULL },
	{ "half a length",         "1",              FRAME_PARTIAL, 0, NULL },
	{ "no string yet",         "5:",             FRAME_PARTIAL, 0, NULL },
	{ "half a string",         "5:hel",          FRAME_PARTIAL, 0, NULL },
	{ "no comma yet",          "5:hello",        FRAME_PARTIAL, 0, NULL },
	{ "no comma",              "5:hello!",       FRAME_BAD,     0, NULL },
	{ "too short a length",    "4:hello,",       FRAME_BAD,     0, NULL },
	{ "no length",             ":hello,",        FRAME_BAD,     0, NULL },
	{ "no digits",             "hello",          FRAME_BAD,     0, NULL },
	{ "a sign",                "+5:hello,",      FRAME_BAD,     0, NULL },
	{ "less than nothing",     "-1:,",           FRAME_BAD,     0, NULL },
	{ "a blank",               " 5:hello,",      FRAME_BAD,     0, NULL },
	{ "a blank behind",        "5 :hello,",      FRAME_BAD,     0, NULL },
	{ "a leading zero",        "05:hello,",      FRAME_BAD,     0, NULL },
	{ "zeros",                 "00:,",           FRAME_BAD,     0, NULL },
	{ "the longest",           "65536:x",        FRAME_PARTIAL, 0, NULL },
	{ "too long",              "65537:x",        FRAME_BAD,     0, NULL },
	{ "over any number",       "99999999999999999999999999999999:x", FRAME_BAD, 0, NULL },
};
/* clang-format on */

START_TEST(frames)
{
	struct frame frame = { 0, { NULL, 0 } };
	const char *why = NULL;
	size_t scanned = 0;
	enum frame_status status =
	    netstring_frame(unit_text(rows[_i].input), &scanned, &frame, &why);

	ck_assert_msg(status == rows[_i].status, "%s: %d", rows[_i].label, (int)status);
	ck_assert_uint_eq(frame.len, rows[_i].len);
	ck_assert_msg((why != NULL) == (status == FRAME_BAD), "%s", rows[_i].label);
	if (rows[_i].body != NULL) {
		unit_assert_span(frame.body, rows[_i].body, rows[_i].label);
	}
}
END_TEST

START_TEST(takes_nuls_in_a_string)
{
	struct frame frame;
	const char *why = NULL;
	size_t scanned = 0;

	ck_assert_int_eq(netstring_frame(unit_span("3:a\0b,", 6), &scanned, &frame, &why),
	    FRAME_WHOLE);
	ck_assert(span_equal(frame.body, (struct span){ "a\0b", 3 }));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("netstring");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, frames, 0, ROWS(rows));
	tcase_add_test(tcase, takes_nuls_in_a_string);
	suite_add_tcase(suite, tcase);
	return suite;
}
