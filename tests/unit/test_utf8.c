#include "config.h"

#include "unit.h"
#include "value/utf8.h"

/* clang-format off */
static const struct {
	const char *label, *text;
	const char *nfc, *nfkd; /* NULL: CX_EINVAL */
} folds[] = {
	{ "ASCII",              "Adam.Barr",            "adam.barr",         "adam.barr" },
	{ "empty",              "",                     "",                  "" },
	{ "umlaut",             "J\xc3\x9cRGEN",        "j\xc3\xbcrgen",     "ju\xcc\x88rgen" },
	{ "decomposed",         "JU\xcc\x88RGEN",       "j\xc3\xbcrgen",     "ju\xcc\x88rgen" },
	{ "sharp s stays",      "Stra\xc3\x9f" "e",     "stra\xc3\x9f" "e",  "stra\xc3\x9f" "e" },
	{ "capital sharp s",    "\xe1\xba\x9e",         "\xc3\x9f",          "\xc3\x9f" },
	{ "Kelvin sign",        "\xe2\x84\xaa",         "k",                 "k" },
	{ "Angstrom sign",      "\xe2\x84\xab",         "\xc3\xa5",          "a\xcc\x8a" },
	{ "I with dot",         "\xc4\xb0",             "i",                 "i\xcc\x87" },
	{ "fi ligature",        "\xef\xac\x81",         "\xef\xac\x81",      "fi" },
	{ "full width",         "\xef\xbc\xa1",         "\xef\xbd\x81",      "a" },
	{ "final sigma stays",  "\xce\xa3\xcf\x82",     "\xcf\x83\xcf\x82",  "\xcf\x83\xcf\x82" },
	{ "grows",              "\xc8\xba",             "\xe2\xb1\xa5",      "\xe2\xb1\xa5" },
	{ "mark order",         "a\xcc\x82\xcc\xa3",    "\xe1\xba\xad",      "a\xcc\xa3\xcc\x82" },
	{ "Cherokee",           "\xe1\x8e\xa0",         "\xea\xad\xb0",      "\xea\xad\xb0" },
	{ "dotless i stays",    "\xc4\xb1",             "\xc4\xb1",          "\xc4\xb1" },
	{ "long s stays",       "\xc5\xbf",             "\xc5\xbf",          "s" },
	{ "title case",         "\xc7\x85",             "\xc7\x86",          "dz\xcc\x8c" },
	{ "wide at sign",       "\xef\xbc\xa0",         "\xef\xbc\xa0",      "@" },
	{ "wide full stop",     "\xef\xbc\x8e",         "\xef\xbc\x8e",      "." },
	{ "unassigned",         "\xcd\xb8",             "\xcd\xb8",          "\xcd\xb8" },
	{ "four bytes",         "\xf0\x90\x90\x80",     "\xf0\x90\x90\xa8",  "\xf0\x90\x90\xa8" },
	{ "Latin-1 byte",       "j\xfcrgen",            NULL, NULL },
	{ "cut sequence",       "j\xc3",                NULL, NULL },
	{ "overlong",           "\xc1\xa1",             NULL, NULL },
	{ "surrogate",          "\xed\xa0\x80",         NULL, NULL },
	{ "beyond Unicode",     "\xf4\x90\x80\x80",     NULL, NULL },
};
/* clang-format on */

static void check_fold(enum status (*fold)(struct span, struct buf *), const char *text,
    const char *expected, const char *label)
{
	struct buf out;

	buf_init(&out);
	unit_assert_status(fold(unit_text(text), &out),
	    expected != NULL ? CX_OK : CX_EINVAL, label);
	if (expected != NULL) {
		unit_assert_span(buf_span(&out), expected, label);
	}
	buf_clear(&out);
	if (expected != NULL) {
		fold(unit_text(expected), &out);
		unit_assert_span(buf_span(&out), expected, "folded twice");
	}
	buf_release(&out);
}

START_TEST(folds_code_point_by_code_point)
{
	check_fold(utf8_fold, folds[_i].text, folds[_i].nfc, folds[_i].label);
}
END_TEST

START_TEST(folds_compatibly_for_names)
{
	check_fold(utf8_fold_compatible, folds[_i].text, folds[_i].nfkd, folds[_i].label);
}
END_TEST

START_TEST(folding_appends_and_reports_what_does_not_fit)
{
	char memory[4];
	struct buf out;

	buf_init_fixed(&out, memory, sizeof(memory));
	buf_add_char(&out, 'x');
	unit_assert_status(utf8_fold(SPAN("\xc3\x9c"), &out), CX_OK, "fits");
	ck_assert_str_eq(out.data, "x\xc3\xbc");
	utf8_fold(SPAN("\xc3\x9c"), &out);
	ck_assert(out.failed);
}
END_TEST

START_TEST(tells_ascii_and_valid_text)
{
	ck_assert(span_is_ascii(unit_text("abc\x7f")));
	ck_assert(span_is_ascii((struct span){ NULL, 0 }));
	ck_assert(!span_is_ascii(unit_text("ab\x80")));
	ck_assert(utf8_is_valid(unit_text("\xc3\xbc")));
	ck_assert(utf8_is_valid((struct span){ NULL, 0 }));
	ck_assert(!utf8_is_valid(unit_text("\xc3")));
}
END_TEST

/* clang-format off */
static const struct {
	const char *label, *text;
	size_t len, cut;
} cuts[] = {
	{ "nothing",               "a",                     0, 0 },
	{ "ASCII",                 "abcd",                  2, 2 },
	{ "before a character",    "ab\xc3\xbc",            2, 2 },
	{ "in two bytes",          "ab\xc3\xbc",            3, 2 },
	{ "behind two bytes",      "a\xc3\xbc" "b",         3, 3 },
	{ "in three bytes",        "a\xe2\x82\xac" "b",     3, 1 },
	{ "in four bytes",         "a\xf0\x9f\x98\x80" "b", 4, 1 },
	{ "at the start of four",  "a\xf0\x9f\x98\x80",     2, 1 },
	{ "first of all",          "\xf0\x9f\x98\x80",      3, 0 },
	{ "no UTF-8",              "\x80\x80\x80\x80\x80",  4, 4 },
	{ "no UTF-8, short",       "\x80\x80\x80",          2, 2 },
};
/* clang-format on */

START_TEST(cuts_no_character_in_two)
{
	ck_assert_msg(utf8_cut(cuts[_i].text, cuts[_i].len) == cuts[_i].cut, "%s: %zu",
	    cuts[_i].label, utf8_cut(cuts[_i].text, cuts[_i].len));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("utf8");
	TCase *tcase = tcase_create("all");
	int rows = sizeof(folds) / sizeof(folds[0]);

	tcase_add_loop_test(tcase, folds_code_point_by_code_point, 0, rows);
	tcase_add_loop_test(tcase, folds_compatibly_for_names, 0, rows);
	tcase_add_test(tcase, folding_appends_and_reports_what_does_not_fit);
	tcase_add_test(tcase, tells_ascii_and_valid_text);
	tcase_add_loop_test(tcase, cuts_no_character_in_two, 0,
	    sizeof(cuts) / sizeof(cuts[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
