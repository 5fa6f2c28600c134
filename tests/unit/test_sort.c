#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "syncd/sort.h"
#include "unit.h"

struct item {
	uint32_t key;
	char rest[12];
};

static int compare_items(const void *a, const void *b)
{
	uint32_t left = ((const struct item *)a)->key;
	uint32_t right = ((const struct item *)b)->key;

	return (left > right) - (left < right);
}

static const size_t counts[] = { 0, 1, 2, 4095, 4096, 4097, 8192, 8193, 12289, 100000 };

static struct item *make_items(size_t count)
{
	struct item *items = calloc(count ? count : 1, sizeof(*items));
	uint32_t random = 1;

	ck_assert_ptr_nonnull(items);
	for (size_t i = 0; i < count; i++) {
		random = random * 1664525u + 1013904223u;
		/* Some are equal. */
		items[i].key = (random >> 8) % (uint32_t)(count + 1);
		memcpy(items[i].rest, &items[i].key, sizeof(items[i].key));
	}
	return items;
}

START_TEST(sorts_as_qsort_does)
{
	size_t count = counts[_i];
	struct item *ours = make_items(count), *theirs = make_items(count);

	ck_assert_int_eq(
	    sort_large(ours, count, sizeof(*ours), compare_items, "/tmp"), CX_OK);
	qsort(theirs, count, sizeof(*theirs), compare_items);
	ck_assert_int_eq(memcmp(ours, theirs, count * sizeof(*ours)), 0);
	free(ours);
	free(theirs);
}
END_TEST

START_TEST(says_that_there_is_no_place_for_a_file)
{
	size_t count = 100000;
	struct item *items = make_items(count);

	ck_assert_int_eq(
	    sort_large(items, count, sizeof(*items), compare_items, "/nowhere"),
	    CX_EIO);
	free(items);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sort");
	TCase *tc = tcase_create("sort");

	tcase_add_loop_test(tc, sorts_as_qsort_does, 0,
	    (int)(sizeof(counts) / sizeof(counts[0])));
	tcase_add_test(tc, says_that_there_is_no_place_for_a_file);
	suite_add_tcase(suite, tc);
	return suite;
}
