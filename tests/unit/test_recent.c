#include "config.h"

#include <check.h>
#include <string.h>

#include "syncd/recent.h"
#include "unit.h"

enum {
	SPAN = 100
};

static const uint8_t *id(uint32_t number)
{
	static uint8_t uuid[16];

	memset(uuid, 0, sizeof(uuid));
	memcpy(uuid, &number, sizeof(number));
	return uuid;
}

static void add(struct recent *r, uint32_t number, size_t server, int64_t now)
{
	ck_assert(recent_add(r, id(number), server, now, SPAN) == CX_OK);
}

static bool is_of_others(const struct recent *r, uint32_t number, size_t server,
    int64_t since)
{
	struct uuid_set out;
	bool is_in;

	uuid_set_init(&out, "/tmp");
	ck_assert(recent_of_others(r, server, since, &out) == CX_OK);
	is_in = uuid_set_has(&out, id(number));
	uuid_set_release(&out);
	return is_in;
}

START_TEST(knows_what_another_server_sent_lately)
{
	struct recent r;

	recent_init(&r, "/tmp");
	add(&r, 1, 0, 1000);
	ck_assert(is_of_others(&r, 1, 1, 900));
	ck_assert(is_of_others(&r, 1, 1, 1000));
	ck_assert(!is_of_others(&r, 1, 1, 1001));
	ck_assert(!is_of_others(&r, 1, 0, 900));
	ck_assert(!is_of_others(&r, 2, 1, 900));
	recent_release(&r);
}
END_TEST

START_TEST(forgets_what_is_gone)
{
	struct recent r;

	recent_init(&r, "/tmp");
	add(&r, 1, 0, 1000);
	add(&r, 2, 0, 1000);
	recent_remove(&r, id(1));
	ck_assert(!is_of_others(&r, 1, 1, 900));
	ck_assert(is_of_others(&r, 2, 1, 900));
	recent_release(&r);
}
END_TEST

START_TEST(the_last_one_that_sent_it_counts)
{
	struct recent r;

	recent_init(&r, "/tmp");
	add(&r, 1, 0, 1000);
	add(&r, 1, 1, 1010);
	ck_assert(!is_of_others(&r, 1, 1, 900));
	ck_assert(is_of_others(&r, 1, 0, 900));
	recent_release(&r);
}
END_TEST

/* What is asked for goes back by one span, and no further. */
START_TEST(keeps_at_least_a_span_and_not_for_ever)
{
	struct recent r;

	recent_init(&r, "/tmp");
	for (int64_t now = 0; now <= 10 * SPAN; now += SPAN / 10) {
		add(&r, (uint32_t)now, 0, now);
		for (int64_t at = now < SPAN ? 0 : now - SPAN; at <= now;
		     at += SPAN / 10) {
			ck_assert(is_of_others(&r, (uint32_t)at, 1, now - SPAN));
		}
		if (now > 3 * SPAN) {
			ck_assert(!is_of_others(&r, 0, 1, now - SPAN));
		}
	}
	recent_release(&r);
}
END_TEST

START_TEST(is_bounded)
{
	struct recent r;
	size_t count = 0, last = 2 * RECENT_SEGMENTS * RECENT_SEGMENT_MAX;

	recent_init(&r, "/tmp");
	for (uint32_t i = 0; i <= last; i++) {
		add(&r, i, 0, 1000);
	}
	for (size_t i = 0; i < RECENT_SEGMENTS; i++) {
		ck_assert_uint_le(r.segments[i].uuids.count, RECENT_SEGMENT_MAX);
		count += r.segments[i].uuids.count;
	}
	ck_assert_uint_le(count, RECENT_SEGMENTS * RECENT_SEGMENT_MAX);
	ck_assert(is_of_others(&r, (uint32_t)last, 1, 1000));
	ck_assert(!is_of_others(&r, 0, 1, 1000));
	recent_release(&r);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("recent");
	TCase *tc = tcase_create("recent");

	tcase_add_test(tc, knows_what_another_server_sent_lately);
	tcase_add_test(tc, forgets_what_is_gone);
	tcase_add_test(tc, the_last_one_that_sent_it_counts);
	tcase_add_test(tc, keeps_at_least_a_span_and_not_for_ever);
	tcase_add_test(tc, is_bounded);
	suite_add_tcase(suite, tc);
	return suite;
}
