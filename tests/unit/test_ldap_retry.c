#include "config.h"

#include <check.h>
#include <limits.h>

#include "syncd/ldap_source.h"
#include "unit.h"

enum {
	TRIES = 200
};

static int64_t middle(unsigned failures)
{
	int64_t ms = sync_times.backoff_min;

	while (--failures > 0 && ms < sync_times.backoff_max) {
		ms *= 2;
	}
	return ms < sync_times.backoff_max ? ms : sync_times.backoff_max;
}

START_TEST(waits_grow_differ_and_are_bounded)
{
	static const unsigned failures[] = { 1, 2, 3, 5, 8, 9, 10, 100, UINT_MAX };
	int64_t wanted = middle(failures[_i]), least = INT64_MAX, most = 0;

	for (int i = 0; i < TRIES; i++) {
		int64_t ms = lsrc_backoff(failures[_i]);

		ck_assert_int_ge(ms, wanted - wanted / 4);
		ck_assert_int_le(ms, wanted + wanted / 4);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	/* So many keep to one half with a chance of 2^-199. */
	ck_assert_int_lt(least, wanted);
	ck_assert_int_gt(most, wanted);
}
END_TEST

START_TEST(begins_within_seconds_and_ends_within_minutes)
{
	ck_assert_int_le(lsrc_backoff(1), 1250);
	ck_assert_int_le(lsrc_backoff(1000), (int64_t)375 * 1000);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("ldap_retry");
	TCase *tc = tcase_create("ldap_retry");

	tcase_add_loop_test(tc, waits_grow_differ_and_are_bounded, 0, 9);
	tcase_add_test(tc, begins_within_seconds_and_ends_within_minutes);
	suite_add_tcase(suite, tc);
	return suite;
}
