/* NOTIFY and ORCPT: what is understood, and what is built from it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "milter/dsn.h"
#include "milter/dsn_text.h"
#include "tests/unit/unit.h"

/* clang-format off */
static const struct {
	const char *label;
	const char *arguments[3];
	unsigned notify;
	const char *orcpt;
	bool has_odd;
} parse_rows[] = {
	{ "nothing", { NULL }, 0, "", false },
	{ "others are passed over", { "SIZE=5", "X" }, 0, "", false },
	{ "never", { "NOTIFY=NEVER" }, DSN_NOTIFY_NEVER, "", false },
	{ "case does not count", { "notify=success,Delay", "orcpt=rfc822;A@b" },
	  DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY, "rfc822;A@b", false },
	{ "never and more", { "NOTIFY=NEVER,DELAY" }, 0, "", true },
	{ "unknown word", { "NOTIFY=SUCCESS,LATER" }, 0, "", true },
	{ "empty list", { "NOTIFY=" }, 0, "", true },
	{ "empty words are passed over, as by Postfix", { "NOTIFY=,DELAY,,FAILURE," },
	  DSN_NOTIFY_DELAY | DSN_NOTIFY_FAILURE, "", false },
	{ "nothing but commas", { "NOTIFY=,," }, 0, "", true },
	{ "no type", { "ORCPT=;a@b" }, 0, "", true },
	{ "no semicolon", { "ORCPT=rfc822" }, 0, "", true },
	{ "no address", { "ORCPT=rfc822;" }, 0, "", true },
	{ "xtext", { "ORCPT=rfc822;a+2Bb+3D@c" }, 0, "rfc822;a+2Bb+3D@c", false },
	{ "half an escape", { "ORCPT=rfc822;a+2" }, 0, "", true },
	{ "plus that is no escape", { "ORCPT=rfc822;a+zz@b" }, 0, "", true },
	{ "a byte of zero, on which no two agree", { "ORCPT=rfc822;a+00" }, 0, "", true },
	{ "zero as a code point", { "ORCPT=utf-8;a\\x{00}" }, 0, "", true },
	{ "no code point", { "ORCPT=utf-8;a\\x{}" }, 0, "", true },
	{ "a blank at the end, which Postfix cuts off", { "ORCPT=rfc822;a+20" }, 0, "rfc822;a+20", true },
	{ "the same for utf-8", { "ORCPT=utf-8;a\\x{A}" }, 0, "utf-8;a\\x{A}", true },
	{ "a type is an atom", { "ORCPT=x_y!+;a" }, 0, "x_y!+;a", false },
	{ "a type with a blank", { "ORCPT=x y;a" }, 0, "", true },
	{ "a type that is not ASCII", { "ORCPT=\xc3\xa9;a" }, 0, "", true },
	/* Not as it should be, but Postfix lets it through and knows what is meant. */
	{ "equals sign", { "ORCPT=rfc822;a=b" }, 0, "rfc822;a=b", false },
	{ "blank", { "ORCPT=rfc822;a b" }, 0, "rfc822;a b", false },
	{ "raw UTF-8 under rfc822", { "ORCPT=rfc822;\xc3\xa9@b" }, 0, "rfc822;\xc3\xa9@b", false },
	{ "a lone backslash", { "ORCPT=utf-8;a\\b\\X{41}\\" }, 0, "utf-8;a\\b\\X{41}\\", false },
	{ "zeros before a code point", { "ORCPT=utf-8;\\x{00000000041}" }, 0, "utf-8;\\x{00000000041}", false },
	{ "raw UTF-8 under utf-8", { "ORCPT=utf-8;\xc3\xa9@b" }, 0, "utf-8;\xc3\xa9@b", false },
	{ "escapes under utf-8", { "ORCPT=UTF-8;\\x{E9}\\x{2b}@b" }, 0, "UTF-8;\\x{E9}\\x{2b}@b", false },
	{ "surrogate", { "ORCPT=utf-8;\\x{D800}" }, 0, "", true },
	{ "beyond Unicode", { "ORCPT=utf-8;\\x{110000}" }, 0, "", true },
	{ "far beyond Unicode", { "ORCPT=utf-8;\\x{100000041}" }, 0, "", true },
	{ "escape that does not end", { "ORCPT=utf-8;\\x{E9" }, 0, "", true },
	{ "escape that only begins", { "ORCPT=utf-8;\\x{" }, 0, "", true },
	{ "not UTF-8", { "ORCPT=utf-8;\xc3" }, 0, "", true },
};

static const struct {
	const char *label;
	const char *arguments[3];
	enum dsn_role role;
	enum mta mta;
	const char *typed;
	const char *expected;
} build_rows[] = {
	{ "xtext stays as it is", { "ORCPT=rfc822;a+2Bb@c" }, DSN_REDIRECT, MTA_POSTFIX, "<x@y>",
	  "ORCPT=rfc822;a+2Bb@c" },
	{ "another type stays as it is", { "ORCPT=x400;a@c", "NOTIFY=FAILURE,SUCCESS" }, DSN_REDIRECT, MTA_SENDMAIL, "<x@y>",
	  "NOTIFY=SUCCESS,FAILURE ORCPT=x400;a@c" },
	{ "what was typed becomes xtext", { NULL }, DSN_REDIRECT, MTA_SENDMAIL, "<\"a b\"+=@y>",
	  "ORCPT=rfc822;\"a+20b\"+2B+3D@y" },
	{ "without brackets", { NULL }, DSN_REDIRECT, MTA_POSTFIX, "x@y", "ORCPT=rfc822;x@y" },
	{ "a bad ORCPT is replaced by what was typed", { "ORCPT=nonsense" }, DSN_REDIRECT, MTA_SENDMAIL, "<x@y>",
	  "ORCPT=rfc822;x@y" },
	{ "utf-8 for Postfix: raw, but + and = and blank", { "ORCPT=utf-8;j\\x{F6}s\\x{2B}\\x{3D}\\x{20}\\x{5C}@y" },
	  DSN_REDIRECT, MTA_POSTFIX, "<x@y>", "ORCPT=utf-8;j\xc3\xb6s+2B+3D+20\\@y" },
	{ "utf-8 for Sendmail: printable ASCII", { "ORCPT=utf-8;j\xc3\xb6s\\x{2B}@y" },
	  DSN_REDIRECT, MTA_SENDMAIL, "<x@y>", "ORCPT=utf-8;j\\x{F6}s\\x{2B}@y" },
	{ "an astral code point", { "ORCPT=utf-8;\\x{1F600}@y" }, DSN_REDIRECT, MTA_POSTFIX, "<x@y>",
	  "ORCPT=utf-8;\xf0\x9f\x98\x80@y" },
	{ "and back", { "ORCPT=utf-8;\xf0\x9f\x98\x80@y" }, DSN_REDIRECT, MTA_SENDMAIL, "<x@y>",
	  "ORCPT=utf-8;\\x{1F600}@y" },
	{ "bytes that are no UTF-8 are named as Postfix itself does", { "NOTIFY=DELAY" }, DSN_REDIRECT, MTA_POSTFIX, "<\xc3@y>",
	  "NOTIFY=DELAY ORCPT=rfc822;+C3@y" },
	{ "what is not xtext becomes it", { "ORCPT=rfc822;a=b \xc3\xa9\x01+2b" }, DSN_REDIRECT, MTA_POSTFIX, "<x@y>",
	  "ORCPT=rfc822;a+3Db+20+C3+A9+01+2B" },
	{ "the same for Sendmail", { "ORCPT=rfc822;a=b \xc3\xa9\x01+2b" }, DSN_REDIRECT, MTA_SENDMAIL, "<x@y>",
	  "ORCPT=rfc822;a+3Db+20+C3+A9+01+2B" },
	{ "an odd type for Postfix", { "ORCPT=a=+b;c" }, DSN_REDIRECT, MTA_POSTFIX, "<x@y>", "ORCPT=a=+b;c" },
	{ "is not given to Sendmail, which wants xtext", { "ORCPT=a=+b;c" }, DSN_REDIRECT, MTA_SENDMAIL, "<x@y>",
	  "ORCPT=rfc822;x@y" },
	{ "every control character is escaped for Sendmail", { "ORCPT=utf-8;a\\x{A}\\x{20}\\" }, DSN_REDIRECT, MTA_SENDMAIL,
	  "<x@y>", "ORCPT=utf-8;a\\x{0A}\\x{20}\\x{5C}" },
	{ "and for Postfix", { "ORCPT=utf-8;a\\x{A}\\x{20}\\" }, DSN_REDIRECT, MTA_POSTFIX, "<x@y>",
	  "ORCPT=utf-8;a+0A+20\\" },
	{ "an own recipient is rfc822 to Postfix whatever it is", { NULL }, DSN_OWN, MTA_POSTFIX, "<\xc3\xa9@y>",
	  "ORCPT=rfc822;+C3+A9@y" },
	{ "own arguments stay", { "NOTIFY=SUCCESS" }, DSN_OWN, MTA_POSTFIX, "<x@y>", "NOTIFY=SUCCESS ORCPT=rfc822;x@y" },
	{ "group: default", { NULL }, DSN_GROUP, MTA_POSTFIX, "<x@y>", "ORCPT=rfc822;x@y" },
	{ "group: never", { "NOTIFY=NEVER" }, DSN_GROUP, MTA_POSTFIX, "<x@y>", "NOTIFY=NEVER ORCPT=rfc822;x@y" },
	{ "group: all", { "NOTIFY=SUCCESS,FAILURE,DELAY" }, DSN_GROUP, MTA_POSTFIX, "<x@y>",
	  "NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y" },
	{ "group: success alone", { "NOTIFY=SUCCESS" }, DSN_GROUP, MTA_POSTFIX, "<x@y>", "NOTIFY=NEVER ORCPT=rfc822;x@y" },
	{ "copy: default", { NULL }, DSN_COPY, MTA_POSTFIX, "<x@y>", "NOTIFY=NEVER ORCPT=rfc822;x@y" },
	{ "copy: whatever was asked", { "NOTIFY=SUCCESS", "ORCPT=rfc822;a@b" }, DSN_COPY, MTA_POSTFIX, "<x@y>",
	  "NOTIFY=NEVER ORCPT=rfc822;a@b" },
};
/* clang-format on */

START_TEST(reads_arguments)
{
	struct dsn dsn;

	dsn_parse(parse_rows[_i].arguments, &dsn);
	ck_assert_msg(dsn.notify == parse_rows[_i].notify, "%s: notify %u",
	    parse_rows[_i].label, dsn.notify);
	unit_assert_span(dsn.orcpt, parse_rows[_i].orcpt, parse_rows[_i].label);
	ck_assert_msg(dsn.has_odd == parse_rows[_i].has_odd, "%s: has_odd",
	    parse_rows[_i].label);
}
END_TEST

START_TEST(builds_arguments)
{
	struct dsn dsn;
	struct buf out;

	dsn_parse(build_rows[_i].arguments, &dsn);
	buf_init(&out);
	dsn_build(&dsn, build_rows[_i].role, build_rows[_i].mta,
	    unit_text(build_rows[_i].typed), &out);
	ck_assert(!out.failed);
	unit_assert_span(buf_span(&out), build_rows[_i].expected, build_rows[_i].label);
	buf_release(&out);
}
END_TEST

/* RFC 3461 allows no more, and Sendmail must not be given a bad argument. */
START_TEST(leaves_out_an_orcpt_that_is_too_long_for_sendmail)
{
	const char *long_name = unit_repeat('a', DSN_ORCPT_MAX);
	struct dsn dsn = { .notify = DSN_NOTIFY_DELAY };
	struct buf out;

	buf_init(&out);
	dsn_build(&dsn, DSN_REDIRECT, MTA_SENDMAIL, span_of(long_name), &out);
	unit_assert_span(buf_span(&out), "NOTIFY=DELAY", "Sendmail");
	buf_clear(&out);
	dsn_build(&dsn, DSN_REDIRECT, MTA_POSTFIX, span_of(long_name), &out);
	ck_assert_uint_gt(out.len, DSN_ORCPT_MAX);
	buf_release(&out);
}
END_TEST

START_TEST(puts_the_address_in_place_of_one_that_is_too_long_for_sendmail)
{
	const char *arguments[2] = { NULL };
	struct dsn dsn;
	struct buf text;
	struct buf out;

	buf_init(&text);
	buf_printf(&text, "ORCPT=rfc822;%s", unit_repeat('a', DSN_ORCPT_MAX));
	arguments[0] = text.data;
	dsn_parse(arguments, &dsn);
	buf_init(&out);
	dsn_build(&dsn, DSN_REDIRECT, MTA_SENDMAIL, SPAN("<x@y>"), &out);
	unit_assert_span(buf_span(&out), "ORCPT=rfc822;x@y", "Sendmail");
	buf_clear(&out);
	dsn_build(&dsn, DSN_REDIRECT, MTA_POSTFIX, SPAN("<x@y>"), &out);
	unit_assert_span(buf_span(&out), text.data, "Postfix");
	buf_release(&text);
	buf_release(&out);
}
END_TEST

/* Up to what fits, and not a byte beyond. */
START_TEST(takes_no_value_that_is_longer_than_a_line)
{
	for (size_t len = DSN_VALUE_MAX - 1; len <= DSN_VALUE_MAX + 1; len++) {
		const char *arguments[2] = { NULL };
		struct dsn dsn;
		struct buf text;

		buf_init(&text);
		buf_printf(&text, "ORCPT=rfc822;%s", unit_repeat('a', len));
		arguments[0] = text.data;
		dsn_parse(arguments, &dsn);
		ck_assert_int_eq(dsn.has_odd, len > DSN_VALUE_MAX);
		ck_assert_int_eq(dsn.orcpt.len == 0, len > DSN_VALUE_MAX);
		buf_release(&text);
	}
}
END_TEST

START_TEST(whatever_is_built_is_well_formed)
{
	for (unsigned a = 1; a < 256; a++) {
		const char typed[] = { '<', (char)a, 'x', (char)a, '@', 'y', '>' };
		struct dsn dsn = { 0 };
		struct span value;
		struct buf out;
		char *copy = unit_copy(typed, sizeof(typed));

		buf_init(&out);
		dsn_build(&dsn, DSN_REDIRECT, MTA_SENDMAIL,
		    (struct span){ copy, sizeof(typed) }, &out);
		value = buf_span(&out);
		if (value.len > 0) {
			const char *semicolon = memchr(value.ptr, ';', value.len);

			ck_assert_ptr_nonnull(semicolon);
			value.len -= (size_t)(semicolon + 1 - value.ptr);
			value.ptr = semicolon + 1;
			ck_assert_msg(dsn_is_xtext(value), "byte %u", a);
		}
		buf_release(&out);
		free(copy);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter dsn");
	TCase *tcase = tcase_create("dsn");

	tcase_add_loop_test(tcase, reads_arguments, 0,
	    (int)(sizeof(parse_rows) / sizeof(parse_rows[0])));
	tcase_add_loop_test(tcase, builds_arguments, 0,
	    (int)(sizeof(build_rows) / sizeof(build_rows[0])));
	tcase_add_test(tcase, leaves_out_an_orcpt_that_is_too_long_for_sendmail);
	tcase_add_test(tcase, puts_the_address_in_place_of_one_that_is_too_long_for_sendmail);
	tcase_add_test(tcase, takes_no_value_that_is_longer_than_a_line);
	tcase_add_test(tcase, whatever_is_built_is_well_formed);
	suite_add_tcase(suite, tcase);
	return suite;
}
