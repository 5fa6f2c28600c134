#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "syncd/poll_mark.h"
#include "unit.h"

/* clang-format off */
static const struct {
	const char *label;
	const char *text;
	int64_t at; /* -1: it is none */
} times[] = {
	{ "as slapd writes it", "20260102030405Z", 1767323045 },
	{ "the epoch", "19700101000000Z", 0 },
	{ "the last second", "99991231235959Z", INT64_C(253402300799) },
	{ "29 February of a leap year", "20240229120000Z", 1709208000 },
	{ "29 February of 2000", "20000229000000Z", 951782400 },
	{ "no 29 February in 2100", "21000229000000Z", -1 },
	{ "no 29 February", "20250229000000Z", -1 },
	{ "a leap second", "20161231235960Z", 1483228800 },
	{ "as Active Directory writes it", "20260102030405.0Z", 1767323045 },
	{ "a fraction is dropped", "20260102030405.999999Z", 1767323045 },
	{ "a comma", "20260102030405,5Z", 1767323045 },
	{ "a very long fraction", "20260102030405.000000000000000000000001Z", 1767323045 },
	{ "no digits in the fraction", "20260102030405.Z", -1 },
	{ "no seconds", "202601020304Z", 1767323040 },
	{ "a half minute", "202601020304.5Z", 1767323070 },
	{ "no minutes", "2026010203Z", 1767322800 },
	{ "a half hour", "2026010203.5Z", 1767324600 },
	{ "east of Greenwich", "20260102040405+0100", 1767323045 },
	{ "west of it", "20260101220405-0500", 1767323045 },
	{ "hours alone", "20260102040405+01", 1767323045 },
	{ "half an hour more", "20260102083405+0530", 1767323045 },
	{ "before 1970 by its zone", "19700101000000+0001", -1 },
	{ "before 1970", "19691231235959Z", -1 },
	{ "no zone", "20260102030405", -1 },
	{ "zone cut off", "20260102030405+", -1 },
	{ "zone with three digits", "20260102030405+010", -1 },
	{ "zone of 24 hours", "20260102030405+2400", -1 },
	{ "zone with 60 minutes", "20260102030405+0060", -1 },
	{ "something behind", "20260102030405Zx", -1 },
	{ "something before", " 20260102030405Z", -1 },
	{ "month 0", "20260002030405Z", -1 },
	{ "month 13", "20261302030405Z", -1 },
	{ "day 0", "20260100030405Z", -1 },
	{ "day 32", "20260132030405Z", -1 },
	{ "31 April", "20260431030405Z", -1 },
	{ "hour 24", "20260102240405Z", -1 },
	{ "minute 60", "20260102036005Z", -1 },
	{ "second 61", "20260102030461Z", -1 },
	{ "odd digits", "202601020304051Z", -1 },
	{ "a sign", "-026010203040Z", -1 },
	{ "year 0", "00000102030405Z", -1 },
	{ "date alone", "20260102Z", -1 },
	{ "empty", "", -1 },
	{ "only a zone", "Z", -1 },
};

static const struct {
	const char *label;
	const char *text;
	int64_t value; /* -1: it is none */
} counters[] = {
	{ "a counter", "123456", 123456 },
	{ "zero", "0", 0 },
	{ "the largest", "9223372036854775807", INT64_MAX },
	{ "one more", "9223372036854775808", -1 },
	{ "twenty digits", "10000000000000000000", -1 },
	{ "negative", "-1", -1 },
	{ "empty", "", -1 },
	{ "a blank", "1 2", -1 },
	{ "letters", "12a", -1 },
};

static const struct {
	const char *label;
	struct poll_mark mark;
	int64_t overlap_ms;
	const char *filter;
} filters[] = {
	{ "ten minutes back", { .kind = POLL_MARK_TIME, .at = 1767323045 }, 600000,
		"(&(cn=*)(modifyTimestamp>=20260102025405Z))" },
	{ "and what reading took", { .kind = POLL_MARK_TIME, .at = 1767323045, .slack_s = 5 }, 600000,
		"(&(cn=*)(modifyTimestamp>=20260102025400Z))" },
	{ "parts of a second count", { .kind = POLL_MARK_TIME, .at = 1767323045 }, 1,
		"(&(cn=*)(modifyTimestamp>=20260102030404Z))" },
	{ "not before 1970", { .kind = POLL_MARK_TIME, .at = 5 }, 600000,
		"(&(cn=*)(modifyTimestamp>=19700101000000Z))" },
	{ "any slack", { .kind = POLL_MARK_TIME, .at = 5, .slack_s = INT64_MAX }, 600000,
		"(&(cn=*)(modifyTimestamp>=19700101000000Z))" },
	{ "the counter has no overlap", { .kind = POLL_MARK_USN, .at = 4711 }, 600000,
		"(&(cn=*)(uSNChanged>=4712))" },
	{ "the largest counter", { .kind = POLL_MARK_USN, .at = INT64_MAX }, 0,
		"(&(cn=*)(uSNChanged>=9223372036854775807))" },
};
/* clang-format on */

START_TEST(timestamps_are_read)
{
	int64_t at = -1;
	bool is_good = poll_time_parse(unit_text(times[_i].text), &at);

	ck_assert_msg(is_good == (times[_i].at >= 0), "%s", times[_i].label);
	if (is_good) {
		ck_assert_msg(at == times[_i].at, "%s: %lld", times[_i].label,
		    (long long)at);
	}
}
END_TEST

/* Against the C library, and back. */
START_TEST(timestamps_agree_with_the_system)
{
	for (int64_t at = 0; at < INT64_C(253402300799); at += INT64_C(86399999) + at / 7) {
		char text[POLL_TIME_TEXT], theirs[32];
		time_t when = (time_t)at;
		struct tm tm;
		int64_t back;

		poll_time_print(at, text);
		strftime(theirs, sizeof(theirs), "%Y%m%d%H%M%SZ", gmtime_r(&when, &tm));
		ck_assert_str_eq(text, theirs);
		ck_assert(poll_time_parse(span_of(text), &back));
		ck_assert_int_eq(back, at);
	}
}
END_TEST

START_TEST(a_timestamp_out_of_range_is_printed_all_the_same)
{
	char text[POLL_TIME_TEXT];

	poll_time_print(INT64_MIN, text);
	ck_assert_str_eq(text, "19700101000000Z");
	poll_time_print(INT64_MAX, text);
	ck_assert_str_eq(text, "99991231235959Z");
}
END_TEST

START_TEST(counters_are_read)
{
	int64_t value = -1;
	bool is_good = poll_usn_parse(unit_text(counters[_i].text), &value);

	ck_assert_msg(is_good == (counters[_i].value >= 0), "%s", counters[_i].label);
	ck_assert_msg(!is_good || value == counters[_i].value, "%s", counters[_i].label);
}
END_TEST

START_TEST(what_is_new_is_asked_for)
{
	struct buf out;

	buf_init(&out);
	poll_mark_filter(&filters[_i].mark, "(cn=*)", filters[_i].overlap_ms, &out);
	unit_assert_span(buf_span(&out), filters[_i].filter, filters[_i].label);
	buf_release(&out);
}
END_TEST

START_TEST(a_mark_is_stored_and_read)
{
	struct poll_mark mark = { .kind = POLL_MARK_USN, .at = 1234567890123, .slack_s = 77 };
	struct poll_mark back;
	struct buf out;

	memcpy(mark.server, "0123456789abcdef", sizeof(mark.server));
	buf_init(&out);
	poll_mark_print(&mark, &out);
	unit_assert_status(poll_mark_parse(unit_span(out.data, out.len), &back), CX_OK,
	    "whole");
	ck_assert_int_eq(back.kind, mark.kind);
	ck_assert_int_eq(back.at, mark.at);
	ck_assert_int_eq(back.slack_s, mark.slack_s);
	ck_assert_mem_eq(back.server, mark.server, sizeof(mark.server));
	for (size_t len = 0; len < out.len; len++) {
		unit_assert_status(poll_mark_parse(unit_span(out.data, len), &back),
		    CX_EINVAL, "cut off");
	}
	/* version, kind, the highest bytes of the two numbers */
	for (size_t i = 0; i < 4; i++) {
		static const size_t at[] = { 0, 1, 9, 17 };
		char *damaged = unit_copy(out.data, out.len);

		damaged[at[i]] = (char)0xee;
		unit_assert_status(poll_mark_parse((struct span){ damaged, out.len }, &back),
		    CX_EINVAL, "damaged");
		free(damaged);
	}
	buf_add_char(&out, 'x');
	unit_assert_status(poll_mark_parse(buf_span(&out), &back), CX_EINVAL, "longer");
	buf_release(&out);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *unit_suite(void)
{
	Suite *suite = suite_create("poll_mark");
	TCase *tcase = tcase_create("poll_mark");

	tcase_add_loop_test(tcase, timestamps_are_read, 0, COUNT(times));
	tcase_add_test(tcase, timestamps_agree_with_the_system);
	tcase_add_test(tcase, a_timestamp_out_of_range_is_printed_all_the_same);
	tcase_add_loop_test(tcase, counters_are_read, 0, COUNT(counters));
	tcase_add_loop_test(tcase, what_is_new_is_asked_for, 0, COUNT(filters));
	tcase_add_test(tcase, a_mark_is_stored_and_read);
	suite_add_tcase(suite, tcase);
	return suite;
}
