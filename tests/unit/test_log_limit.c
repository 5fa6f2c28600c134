#include "config.h"

#include "daemon/log_limit.h"
#include "unit.h"

START_TEST(writes_a_burst_and_counts_the_rest)
{
	struct log_limit limit = { 0, 0, 0 };
	unsigned long dropped;

	for (int i = 0; i < 3; i++) {
		ck_assert(log_limit_allow(&limit, 3, 5000, &dropped));
		ck_assert_uint_eq(dropped, 0);
	}
	for (int i = 0; i < 7; i++) {
		ck_assert(!log_limit_allow(&limit, 3, 5001 + i, &dropped));
	}
	ck_assert(!log_limit_allow(&limit, 3, 4999 + LOG_LIMIT_WINDOW_MS, &dropped));
	ck_assert(log_limit_allow(&limit, 3, 5000 + LOG_LIMIT_WINDOW_MS, &dropped));
	ck_assert_uint_eq(dropped, 8);
	ck_assert(log_limit_allow(&limit, 3, 5001 + LOG_LIMIT_WINDOW_MS, &dropped));
	ck_assert_uint_eq(dropped, 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("log_limit");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, writes_a_burst_and_counts_the_rest);
	suite_add_tcase(suite, tcase);
	return suite;
}
