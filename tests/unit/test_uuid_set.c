#include "config.h"

#include <check.h>
#include <string.h>

#include "syncd/uuid_set.h"
#include "unit.h"

#define MANY 1000

/* As those of one slapd are: nearly all bytes equal. */
static void make(uint8_t uuid[16], unsigned number)
{
	memset(uuid, 0x5a, 16);
	uuid[2] = (uint8_t)number;
	uuid[3] = (uint8_t)(number >> 8);
}

START_TEST(holds_what_was_added_and_not_removed)
{
	static bool is_in[MANY];
	struct uuid_set set;
	uint8_t uuid[16];
	unsigned random = 1;
	size_t count = 0;

	memset(is_in, 0, sizeof(is_in));
	uuid_set_init(&set, "/tmp");
	for (int step = 0; step < 20000; step++) {
		unsigned n = (random = random * 1103515245 + 12345) >> 8 & 0xffffff;
		unsigned at = n % MANY;

		make(uuid, at);
		if (n / MANY % 3 > 0) {
			ck_assert(uuid_set_add(&set, uuid) == CX_OK);
			count += !is_in[at];
			is_in[at] = true;
		} else {
			uuid_set_remove(&set, uuid);
			count -= is_in[at];
			is_in[at] = false;
		}
		ck_assert_uint_eq(set.count, count);
	}
	for (unsigned i = 0; i < MANY; i++) {
		make(uuid, i);
		ck_assert(uuid_set_has(&set, uuid) == is_in[i]);
	}
	for (size_t i = 0; i < set.count; i++) {
		ck_assert(is_in[set.list[i][2] + 256 * set.list[i][3]]);
	}
	uuid_set_clear(&set);
	for (unsigned i = 0; i < MANY; i++) {
		make(uuid, i);
		ck_assert(!uuid_set_has(&set, uuid));
	}
	uuid_set_release(&set);
}
END_TEST

START_TEST(is_empty_before_anything_is_added)
{
	struct uuid_set set;
	uint8_t uuid[16];

	make(uuid, 1);
	uuid_set_init(&set, "/tmp");
	ck_assert(!uuid_set_has(&set, uuid));
	uuid_set_remove(&set, uuid);
	uuid_set_clear(&set);
	ck_assert_uint_eq(set.count, 0);
	uuid_set_release(&set);
}
END_TEST

START_TEST(is_in_a_file_once_it_is_large)
{
	struct uuid_set set;
	uint8_t uuid[16];

	uuid_set_init(&set, "/tmp");
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 60000; i++) {
			make(uuid, i);
			ck_assert(uuid_set_add(&set, uuid) == CX_OK);
		}
		ck_assert(set.list_spool.is_mapped && set.slot_spool.is_mapped);
		ck_assert_uint_eq(set.count, 60000);
		for (unsigned i = 0; i < 60000; i++) {
			make(uuid, i);
			ck_assert(uuid_set_has(&set, uuid));
		}
		uuid_set_clear(&set);
		ck_assert(!set.list_spool.is_mapped && !set.slot_spool.is_mapped);
		ck_assert(!uuid_set_has(&set, uuid));
	}
	uuid_set_release(&set);
}
END_TEST

START_TEST(says_that_there_is_no_place_for_the_file)
{
	struct uuid_set set;
	uint8_t uuid[16];
	enum status status = CX_OK;
	size_t count = 0;

	uuid_set_init(&set, "/nowhere");
	for (unsigned i = 0; i < 60000 && status == CX_OK; i++) {
		make(uuid, i);
		status = uuid_set_add(&set, uuid);
		count += status == CX_OK;
	}
	ck_assert_int_eq(status, CX_EIO);
	ck_assert_int_eq(uuid_set_add(&set, uuid), CX_EIO);
	ck_assert_uint_eq(set.count, count);
	for (unsigned i = 0; i < count; i++) {
		make(uuid, i);
		ck_assert(uuid_set_has(&set, uuid));
	}
	uuid_set_release(&set);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("uuid_set");
	TCase *tc = tcase_create("uuid_set");

	tcase_add_test(tc, holds_what_was_added_and_not_removed);
	tcase_add_test(tc, is_empty_before_anything_is_added);
	tcase_add_test(tc, is_in_a_file_once_it_is_large);
	tcase_add_test(tc, says_that_there_is_no_place_for_the_file);
	suite_add_tcase(suite, tc);
	return suite;
}
