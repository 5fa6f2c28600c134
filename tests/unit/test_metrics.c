#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "metrics/page.h"
#include "metrics/verdicts.h"
#include "unit.h"

/* What the page is after `print`; the caller's to free(). */
static void assert_page(struct buf *page, const char *wanted)
{
	ck_assert(!page->failed);
	ck_assert_str_eq(page->data, wanted);
	buf_release(page);
}

START_TEST(a_family_is_told_once_and_its_series_follow)
{
	struct buf page;

	buf_init(&page);
	page_family(&page, "x_total", PAGE_COUNTER, "How many.");
	page_count(&page, "x_total", NULL, UINT64_MAX);
	page_family(&page, "y", PAGE_GAUGE, "How much.");
	page_number(&page, "y",
	    PAGE_LABELS({ "a", SPAN("1") }, { "b", SPAN("2") }), 0.25);
	page_number(&page, "y", PAGE_LABELS({ "a", SPAN("") }), INFINITY);
	page_number(&page, "y", NULL, -INFINITY);
	page_number(&page, "y", NULL, -NAN);
	page_number(&page, "y", NULL, 1234567890123);
	assert_page(&page,
	    "# HELP x_total How many.\n# TYPE x_total counter\n"
	    "x_total 18446744073709551615\n"
	    "# HELP y How much.\n# TYPE y gauge\n"
	    "y{a=\"1\",b=\"2\"} 0.25\ny{a=\"\"} +Inf\ny -Inf\n"
	    "y NaN\ny 1234567890123\n");
}
END_TEST

/* clang-format off */
static const struct {
	const char *label;
	const char *value;
	size_t len;
	const char *printed;
} values[] = {
	{ "plain",            "corp",         4, "corp" },
	{ "quote",            "a\"b",         3, "a\\\"b" },
	{ "backslash",        "a\\b",         3, "a\\\\b" },
	{ "line end",         "a\nb",         3, "a\\\\x0Ab" },
	{ "NUL",              "a\0b",         3, "a\\\\x00b" },
	{ "closing a label",  "\"} 1\nz 2",   8, "\\\"} 1\\\\x0Az 2" },
	{ "UTF-8",            "b\xc3\xbcro",  5, "b\xc3\xbcro" },
	{ "no UTF-8",         "b\xfc",        2, "b\\\\xFC" },
};
/* clang-format on */

START_TEST(no_value_of_a_label_ends_it)
{
	char wanted[128];
	struct buf page;

	buf_init(&page);
	page_count(&page, "x",
	    PAGE_LABELS({ "l", unit_span(values[_i].value, values[_i].len) }), 1);
	snprintf(wanted, sizeof(wanted), "x{l=\"%s\"} 1\n", values[_i].printed);
	ck_assert_msg(strcasecmp(page.data, wanted) == 0, "%s: %s", values[_i].label,
	    page.data);
	buf_release(&page);
}
END_TEST

/* The number behind `series`. */
static unsigned long number_of(const struct buf *page, const char *series)
{
	const char *line = strstr(page->data, series);

	ck_assert_msg(line != NULL, "no %s in %s", series, page->data);
	return strtoul(line + strlen(series), NULL, 10);
}

START_TEST(a_histogram_counts_what_is_not_longer)
{
	static struct histogram histogram;
	struct buf page;

	histogram_add(&histogram, 0);
	histogram_add(&histogram, 1000);
	histogram_add(&histogram, 1001);
	histogram_add(&histogram, UINT64_C(10000000000));
	histogram_add(&histogram, UINT64_C(10000000001));
	buf_init(&page);
	page_histogram(&page, "x_seconds", PAGE_LABELS({ "s", SPAN("a") }), &histogram);
	ck_assert_uint_eq(number_of(&page, "x_seconds_bucket{s=\"a\",le=\"1e-06\"} "), 2);
	ck_assert_uint_eq(number_of(&page, "x_seconds_bucket{s=\"a\",le=\"2.5e-06\"} "),
	    3);
	ck_assert_uint_eq(number_of(&page, "x_seconds_bucket{s=\"a\",le=\"1\"} "), 3);
	ck_assert_uint_eq(number_of(&page, "x_seconds_bucket{s=\"a\",le=\"10\"} "), 4);
	ck_assert_uint_eq(number_of(&page, "x_seconds_bucket{s=\"a\",le=\"+Inf\"} "), 5);
	ck_assert_uint_eq(number_of(&page, "x_seconds_count{s=\"a\"} "), 5);
	ck_assert_uint_eq(number_of(&page, "x_seconds_sum{s=\"a\"} "), 20);
	buf_release(&page);
}
END_TEST

START_TEST(a_sum_of_years_shows_one_nanosecond_more)
{
	static struct histogram histogram;
	struct buf page;

	histogram_add(&histogram, UINT64_C(100000000000000000));
	histogram_add(&histogram, 1);
	buf_init(&page);
	page_histogram(&page, "x", NULL, &histogram);
	ck_assert_ptr_nonnull(strstr(page.data, "\nx_sum 100000000.000000001\n"));
	buf_release(&page);
}
END_TEST

/* Each text once: TOO_MANY is shown as "unavailable". */
START_TEST(every_verdict_has_a_series)
{
	static struct counter counts[VERDICT_COUNT];
	const char *first, *again;
	struct buf page;

	for (size_t i = 0; i < VERDICT_COUNT; i++) {
		counter_add(&counts[i], i + 1);
	}
	buf_init(&page);
	metrics_print_verdicts(&page, counts);
	ck_assert_uint_eq(
	    number_of(&page, "coexist_decisions_total{verdict=\"deliver\"} "),
	    VERDICT_DELIVER + 1);
	ck_assert_uint_eq(
	    number_of(&page, "coexist_decisions_total{verdict=\"parked\"} "),
	    VERDICT_PARKED + 1);
	ck_assert_uint_eq(
	    number_of(&page, "coexist_decisions_total{verdict=\"unavailable\"} "),
	    VERDICT_TOO_MANY + 1 + VERDICT_UNAVAILABLE + 1);
	first = strstr(page.data, "{verdict=\"unavailable\"}");
	again = strstr(first + 1, "{verdict=\"unavailable\"}");
	ck_assert_ptr_null(again);
	buf_release(&page);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tcase = tcase_create("page");

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, a_family_is_told_once_and_its_series_follow);
	tcase_add_loop_test(tcase, no_value_of_a_label_ends_it, 0,
	    sizeof(values) / sizeof(values[0]));
	tcase_add_test(tcase, a_histogram_counts_what_is_not_longer);
	tcase_add_test(tcase, a_sum_of_years_shows_one_nanosecond_more);
	tcase_add_test(tcase, every_verdict_has_a_series);
	return suite;
}
