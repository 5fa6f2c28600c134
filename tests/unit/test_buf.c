#include "config.h"

#include <stdint.h>

#include "unit.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/errbuf.h"

START_TEST(a_new_buffer_is_an_empty_text)
{
	struct buf buf;

	buf_init(&buf);
	ck_assert_str_eq(buf.data, "");
	buf_clear(&buf);
	buf_release(&buf);
	buf_release(&buf);
	buf_release(NULL);
	ck_assert_str_eq(buf.data, "");
}
END_TEST

START_TEST(appends_grow_a_heap_buffer)
{
	struct buf buf;

	buf_init(&buf);
	for (int i = 0; i < 1000; i++) {
		buf_add_text(&buf, "abc");
		buf_add_char(&buf, '-');
		buf_add_span(&buf, SPAN("\0x"));
		buf_printf(&buf, "%d,", 7);
	}
	ck_assert(!buf.failed);
	ck_assert_uint_eq(buf.len, 8000);
	ck_assert_mem_eq(buf.data + 7992, "abc-\0x7,", 9);
	buf_clear(&buf);
	ck_assert_uint_eq(buf.len, 0);
	ck_assert_str_eq(buf.data, "");
	buf_release(&buf);
}
END_TEST

START_TEST(a_fixed_buffer_keeps_what_fitted_and_fails_from_then_on)
{
	char memory[6];
	struct buf buf;

	buf_init_fixed(&buf, memory, sizeof(memory));
	buf_add_text(&buf, "abc");
	buf_add_text(&buf, "de");
	ck_assert(!buf.failed);
	buf_add_char(&buf, 'f');
	ck_assert(buf.failed);
	buf_clear(&buf);
	buf_printf(&buf, "%s", "1234");
	buf_printf(&buf, "%s", "56");
	ck_assert(buf.failed);
	buf_add_text(&buf, "7");
	ck_assert_str_eq(buf.data, "1234");
	ck_assert_uint_eq(buf.len, 4);
	buf_release(&buf);
	ck_assert_str_eq(memory, "1234");
}
END_TEST

START_TEST(a_fixed_buffer_of_no_size_takes_nothing)
{
	struct buf buf;

	buf_init_fixed(&buf, NULL, 0);
	buf_printf(&buf, "%s", "");
	ck_assert(!buf.failed);
	buf_add_char(&buf, 'x');
	ck_assert(buf.failed);
	ck_assert_str_eq(buf.data, "");
}
END_TEST

/* clang-format off */
static const struct {
	const char *label, *text, *expected;
	size_t len;
} escapes[] = {
	{ "plain",           "adam@acme.example", "adam@acme.example", 17 },
	{ "line end",        "a\r\nb",     "a\\x0d\\x0ab", 4 },
	{ "NUL",             "a\0b",       "a\\x00b", 3 },
	{ "tab and escape",  "\t\x1b[0m",  "\\x09\\x1b[0m", 5 },
	{ "DEL",             "\x7f",       "\\x7f", 1 },
	{ "backslash",       "\\x41",      "\\x5cx41", 4 },
	{ "escaped comma",   "cn=a\\, b", "cn=a\\, b", 8 },
	{ "escaped byte",    "cn=a\\2Cb", "cn=a\\2Cb", 8 },
	{ "backslashes",     "\\\\x",     "\\\\x5cx", 3 },
	{ "last backslash",  "a\\",       "a\\x5c", 2 },
	{ "UTF-8",           "j\xc3\xbcrgen", "j\xc3\xbcrgen", 7 },
	{ "C1 control",      "\xc2\x9b" "0m", "\\xc2\\x9b0m", 4 },
	{ "line separator",  "a\xe2\x80\xa8" "b", "a\\xe2\\x80\\xa8b", 5 },
	{ "override",        "\xe2\x80\xae" "fdp", "\\xe2\\x80\\xaefdp", 6 },
	{ "isolate",         "\xe2\x81\xa6" "a\xe2\x81\xa9", "\\xe2\\x81\\xa6a\\xe2\\x81\\xa9", 7 },
	{ "joiner stays",    "\xe2\x80\x8d\xe2\x81\xa5", "\xe2\x80\x8d\xe2\x81\xa5", 6 },
	{ "stray byte",      "a\xfcz",     "a\\xfcz", 3 },
	{ "cut sequence",    "a\xe2\x82",  "a\\xe2\\x82", 3 },
	{ "overlong slash",  "\xc0\xaf",   "\\xc0\\xaf", 2 },
	{ "surrogate",       "\xed\xa0\x80", "\\xed\\xa0\\x80", 3 },
	{ "empty",           "",           "", 0 },
};
/* clang-format on */

START_TEST(escapes_untrusted_text)
{
	struct buf buf;

	buf_init(&buf);
	buf_add_escaped(&buf, unit_span(escapes[_i].text, escapes[_i].len));
	unit_assert_span(buf_span(&buf), escapes[_i].expected, escapes[_i].label);
	buf_release(&buf);
}
END_TEST

START_TEST(an_escape_is_written_whole_or_not_at_all)
{
	char memory[6];
	struct buf buf;

	buf_init_fixed(&buf, memory, sizeof(memory));
	buf_add_escaped(&buf, SPAN("ab\n"));
	ck_assert(buf.failed);
	ck_assert_str_eq(buf.data, "ab");
}
END_TEST

START_TEST(spans_compare_and_trim)
{
	struct span text = unit_text(" \t a b \r\n");

	unit_assert_span(span_trim(text), "a b", "trim");
	ck_assert(span_is_empty(span_trim(unit_text(" \n"))));
	ck_assert(span_is_empty(span_trim((struct span){ NULL, 0 })));
	ck_assert(span_equal((struct span){ NULL, 0 }, SPAN("")));
	ck_assert(span_equal_case(unit_text("AbZ@["), unit_text("aBz@[")));
	ck_assert(!span_equal_case(SPAN("@"), SPAN("`")));
	ck_assert(!span_equal_case(SPAN("a"), SPAN("ab")));
	ck_assert(span_starts_with_case(unit_text("SMTP:x"), SPAN("smtp:")));
	ck_assert(!span_starts_with_case(unit_text("SMT"), SPAN("smtp")));
	ck_assert_int_lt(span_compare(SPAN("a"), SPAN("ab")), 0);
	ck_assert_int_gt(span_compare(SPAN("b"), SPAN("ab")), 0);
	ck_assert_int_gt(span_compare(SPAN("\xff"), SPAN("a")), 0);
	ck_assert_int_eq(span_compare(SPAN(""), (struct span){ NULL, 0 }), 0);
}
END_TEST

START_TEST(an_error_text_is_one_clean_line)
{
	struct errbuf err;

	errbuf_set(&err, "bad\tvalue \"%s\"\n", "x\ny");
	ck_assert_str_eq(err.text, "bad?value \"x?y\"");
	errbuf_prefix(&err, "%s:%d", "coexist.conf", 12);
	ck_assert_str_eq(err.text, "coexist.conf:12: bad?value \"x?y\"");
	errbuf_set(&err, "again: %s", err.text);
	ck_assert_str_eq(err.text, "again: coexist.conf:12: bad?value \"x?y\"");
}
END_TEST

START_TEST(a_long_error_text_is_cut_between_characters)
{
	struct errbuf err;
	const char *filler = unit_repeat('x', sizeof(err.text) - 2);

	errbuf_set(&err, "%s\xc3\xbc", filler);
	ck_assert_str_eq(err.text, filler);
	errbuf_prefix(&err, "%s", unit_repeat('y', 2 * sizeof(err.text)));
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

START_TEST(an_arena_gives_aligned_memory_until_it_is_used_up)
{
	char memory[256];
	struct arena arena = { memory + 1, sizeof(memory) - 1, 0 };
	struct span copy = arena_copy(&arena, unit_text("abc"));
	long double *number = arena_get(&arena, sizeof(*number));

	unit_assert_span(copy, "abc", "copy");
	ck_assert_int_eq(copy.ptr[3], '\0');
	ck_assert_ptr_nonnull(number);
	ck_assert_uint_eq((uintptr_t)number % _Alignof(long double), 0);
	*number = 1;
	ck_assert_ptr_nonnull(arena_copy(&arena, (struct span){ NULL, 0 }).ptr);
	ck_assert_ptr_null(arena_get(&arena, 256));
	ck_assert_ptr_null(arena_get(&arena, SIZE_MAX));
	ck_assert_ptr_null(arena_copy(&arena, (struct span){ memory, 256 }).ptr);
	ck_assert_ptr_null(arena_copy(&arena, (struct span){ memory, SIZE_MAX }).ptr);
	while (arena_get(&arena, 1) != NULL) {
	}
	ck_assert_uint_le(arena.used, arena.size);
	arena.used = 0;
	ck_assert_ptr_nonnull(arena_get(&arena, 200));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("buf, span, errbuf, arena");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, a_new_buffer_is_an_empty_text);
	tcase_add_test(tcase, appends_grow_a_heap_buffer);
	tcase_add_test(tcase, a_fixed_buffer_keeps_what_fitted_and_fails_from_then_on);
	tcase_add_test(tcase, a_fixed_buffer_of_no_size_takes_nothing);
	tcase_add_loop_test(tcase, escapes_untrusted_text, 0,
	    sizeof(escapes) / sizeof(escapes[0]));
	tcase_add_test(tcase, an_escape_is_written_whole_or_not_at_all);
	tcase_add_test(tcase, spans_compare_and_trim);
	tcase_add_test(tcase, an_error_text_is_one_clean_line);
	tcase_add_test(tcase, a_long_error_text_is_cut_between_characters);
	tcase_add_test(tcase, an_arena_gives_aligned_memory_until_it_is_used_up);
	suite_add_tcase(suite, tcase);
	return suite;
}
