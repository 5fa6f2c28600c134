#include "config.h"

#include <stdlib.h>

#include "plain.h"
#include "replica/store_lmdb.h"
#include "store_fixture.h"

/*
 * How large the file is. Beside what is stored it holds the pages of the last two
 * transactions, which grow with these and not with the directory: a transaction is a
 * 400th of the directory here, as 2500 changes are of a million.
 */
enum {
	COUNT = 20000,
	TRANSACTION = 50,
	ROUNDS = 50,
	BYTES_MAX = 600, /* a plain recipient */
};

static void load_plain(void)
{
	enum status status = CX_OK;
	struct store_load *load;

	unit_assert_status(store_load_new(fx.writer, 1, &load, &fx.err), CX_OK,
	    fx.err.text);
	for (uint32_t n = 0; n < COUNT && status == CX_OK; n++) {
		struct record_id id = plain_id(1, n, false);

		status = store_load_put(load, id.uuid, plain_record(&fx.buf, n, 0));
	}
	unit_assert_status(status, CX_OK, "put");
	unit_assert_status(store_load_build(load, &fx.err), CX_OK, fx.err.text);
	store_load_free(load);
	fixture_begin();
	fixture_commit();
	fixture_publish();
	/* Sizes are the same, and a test need not wait for the disk. */
	mdb_env_set_flags(fx.writer->live->mdb, MDB_NOSYNC, 1);
}

static void assert_size(const char *when)
{
	uint64_t size = plain_file_size(fx.folder) / COUNT;

	ck_assert_msg(size <= BYTES_MAX, "%s: %u bytes a recipient", when,
	    (unsigned)size);
	/* Or it is not what we think we measure. */
	ck_assert_msg(size >= 200, "%s: %u bytes a recipient", when, (unsigned)size);
}

/* Each as the rounds left it, and no other. */
static void assert_records(const uint8_t *states)
{
	size_t wrong = 0;

	fixture_begin();
	for (uint32_t n = 0; n < COUNT; n++) {
		bool is_second = states[n] & PLAIN_SECOND;
		struct record_id id = plain_id(1, n, is_second);
		struct span stored;

		if (store_get(fx.writer, &id, &stored) != CX_OK ||
		    !span_equal(stored,
			plain_record(&fx.buf, n, states[n] & (PLAIN_SECOND - 1U)))) {
			wrong++;
		}
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), COUNT);
	fixture_commit();
}

START_TEST(a_plain_recipient_takes_little_after_a_load_and_after_many_changes)
{
	struct plain_rounds rounds = { NULL, 1, COUNT, calloc(COUNT, 1), 1 };

	ck_assert_ptr_nonnull(rounds.states);
	load_plain();
	assert_size("loaded");
	assert_records(rounds.states);
	rounds.writer = fx.writer;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unit_assert_status(plain_round(&rounds, COUNT / 50, COUNT / 500,
				       TRANSACTION, &fx.err),
		    CX_OK, fx.err.text);
	}
	assert_size("changed");
	assert_records(rounds.states);
	free(rounds.states);
}
END_TEST

static void put_one_by_one(void)
{
	fixture_begin();
	for (uint32_t n = 0; n < COUNT; n++) {
		struct record_id id = plain_id(1, n, false);

		if (store_put(fx.writer, &id, plain_record(&fx.buf, n, 0), NULL) !=
		    CX_OK) {
			ck_abort_msg("put %u", n);
		}
	}
	fixture_commit();
}

/* A copy of what is in force, packed. */
static void build_and_publish(void)
{
	fixture_build();
	fixture_publish();
}

START_TEST(a_load_and_a_build_make_the_file_small_again)
{
	uint8_t *states = calloc(COUNT, 1);
	uint64_t grown;

	ck_assert_ptr_nonnull(states);
	put_one_by_one();
	grown = plain_file_size(fx.folder);
	if (_i == 0) {
		load_plain();
	} else {
		build_and_publish();
	}
	ck_assert_uint_lt(plain_file_size(fx.folder), grown * 9 / 10);
	assert_size("anew");
	assert_records(states);
	free(states);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_size");
	TCase *tcase = tcase_create("store_size");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase,
	    a_plain_recipient_takes_little_after_a_load_and_after_many_changes);
	tcase_add_loop_test(tcase, a_load_and_a_build_make_the_file_small_again, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
