#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/load_sort.h"
#include "store_random.h"
#include "unit.h"

/* The order of keys in which a load writes its file. */

static const char **chosen; /* by sort_item.at */

static struct span key_of(const struct sort_item *item, void *unused)
{
	(void)unused;
	return span_of(chosen[item->at]);
}

static int compare_keys(const struct sort_item *a, const struct sort_item *b,
    void *unused)
{
	(void)unused;
	return strcmp(chosen[a->at], chosen[b->at]);
}

/* A text of a set that has few, or one of very many with long common beginnings. */
static const char *choose(bool is_few)
{
	static const char *const few[] = { "", "a", "abcdefgh", "abcdefghij",
		"abcdefghi", "abcdefgh", "b", "B", "\303\244", "abcdefg", "b" };
	static char many[20000][64];
	static unsigned used;

	if (is_few) {
		return few[random_below(sizeof(few) / sizeof(few[0]))];
	}
	used = (used + 1) % 20000;
	snprintf(many[used], sizeof(many[used]), "the same in all of them %s%u@%u",
	    random_below(2) ? "and in half" : "", random_below(50), random_below(3000));
	return many[used];
}

START_TEST(sorts_by_prefixes_and_what_is_equal_as_it_came)
{
	static const struct sort_order order = { key_of, compare_keys, NULL };
	enum {
		COUNT = 10000
	};
	struct sort_item *items = calloc(COUNT, sizeof(*items));
	struct sort_item *temp = calloc(COUNT, sizeof(*temp));

	chosen = calloc(COUNT, sizeof(*chosen));
	ck_assert(items && temp && chosen);
	for (size_t count = 0; count <= COUNT; count = count * 3 / 2 + 1) {
		for (size_t i = 0; i < count; i++) {
			chosen[i] =
			    choose(_i == 0 || (_i == 1 && random_below(2) == 0));
			items[i].at = i;
		}
		load_sort(items, temp, count, &order);
		for (size_t i = 1; i < count; i++) {
			int found =
			    strcmp(chosen[items[i - 1].at], chosen[items[i].at]);

			if (found > 0 ||
			    (found == 0 && items[i - 1].at > items[i].at)) {
				ck_abort_msg("%zu of %zu", i, count);
			}
		}
	}
	free(chosen);
	free(items);
	free(temp);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_load_sort");
	TCase *tcase = tcase_create("store_load_sort");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, sorts_by_prefixes_and_what_is_equal_as_it_came, 0, 3);
	suite_add_tcase(suite, tcase);
	return suite;
}
