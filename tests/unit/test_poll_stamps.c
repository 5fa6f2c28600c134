#include "config.h"

#include <check.h>

#include "syncd/poll_stamps.h"
#include "unit.h"

/* Hashes that share all of their low bits, and others. */
static uint64_t nth(uint64_t i)
{
	return i % 2 ? i << 40 | 1 : i * 0x9e3779b97f4a7c15u + 1;
}

START_TEST(what_is_added_is_in_and_nothing_else)
{
	struct poll_stamps set, other;

	poll_stamps_init(&set);
	poll_stamps_init(&other);
	ck_assert(!poll_stamps_has(&set, 1));
	for (uint64_t i = 0; i < 20000; i++) {
		unit_assert_status(poll_stamps_add(&set, nth(i)), CX_OK, "add");
		unit_assert_status(poll_stamps_add(&set, nth(i)), CX_OK, "again");
	}
	ck_assert_uint_eq(set.count, 20000);
	for (uint64_t i = 0; i < 40000; i++) {
		ck_assert_int_eq(poll_stamps_has(&set, nth(i)), i < 20000);
	}
	unit_assert_status(poll_stamps_add(&other, 77), CX_OK, "add");
	poll_stamps_move(&other, &set);
	ck_assert_uint_eq(set.count, 0);
	ck_assert(!poll_stamps_has(&set, nth(3)));
	ck_assert(!poll_stamps_has(&other, 77));
	ck_assert(poll_stamps_has(&other, nth(3)));
	poll_stamps_release(&set);
	poll_stamps_release(&other);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("poll_stamps");
	TCase *tcase = tcase_create("poll_stamps");

	tcase_add_test(tcase, what_is_added_is_in_and_nothing_else);
	suite_add_tcase(suite, tcase);
	return suite;
}
