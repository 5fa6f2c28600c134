#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "replica/store_lmdb.h"
#include "store_files.h"
#include "store_fixture.h"

/* Files of the writer: publishing, and what is left of a build that came to nothing. */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Begins snapshots until one has this generation; the time that took. */
static int64_t await_generation(uint64_t generation)
{
	const struct timespec pause = { 0, 10000000 };
	int64_t start = now_ms();

	for (;;) {
		struct snapshot *snapshot = fixture_snapshot();
		uint64_t seen = snapshot_generation(snapshot);

		snapshot_end(snapshot);
		if (seen == generation) {
			return now_ms() - start;
		}
		ck_assert_int_lt(now_ms() - start, 10000);
		nanosleep(&pause, NULL);
	}
}

START_TEST(group_readers_may_read_the_data_and_write_the_locks)
{
	mode_t old = umask(0077);

	fixture_close();
	files_link_current("nothing");
	fixture_reopen_writer(true);
	fixture_build();
	umask(old);
	ck_assert_uint_eq(files_mode(fx.writer->live_name), 0640);
	ck_assert_uint_eq(files_mode(fx.writer->build_name), 0640);
	for (int i = 0; i < 2; i++) {
		char lock[STORE_NAME_MAX + 8];

		snprintf(lock, sizeof(lock), "%s-lock",
		    i == 0 ? fx.writer->live_name : fx.writer->build_name);
		ck_assert_uint_eq(files_mode(lock), 0660);
	}
	ck_assert_uint_eq(files_mode("writer.lock"), 0600);
	fixture_open_store();
}
END_TEST

START_TEST(a_build_is_a_copy_that_nobody_sees_until_it_is_published)
{
	struct snapshot *held;
	struct record record;
	struct record_id id = make_id(1, 1);
	uint64_t before;

	fixture_commit_mailbox("x@acme.example");
	fixture_begin();
	fixture_put_mailbox(1, 2, "kept@acme.example");
	fixture_commit();
	before = fixture_generation();
	fixture_build();
	fixture_commit_mailbox("y@acme.example");
	fixture_assert_owners("x@acme.example", "1/1 ");
	held = fixture_snapshot();
	fixture_publish();
	ck_assert_uint_eq(files_count("data-"), 2);
	ck_assert_int_lt(await_generation(before + 1), 2000);
	fixture_assert_owners("x@acme.example", "");
	fixture_assert_owners("y@acme.example", "1/1 ");
	fixture_assert_owners("kept@acme.example", "1/2 ");
	unit_assert_status(snapshot_record(held, &id, &record), CX_OK, "held over the change");
	ck_assert_uint_eq(snapshot_generation(held), before);
	snapshot_end(held);
	/* The writer goes on with what it published. */
	fixture_commit_mailbox("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
}
END_TEST

START_TEST(a_discarded_build_is_gone)
{
	fixture_commit_mailbox("x@acme.example");
	fixture_build();
	fixture_commit_mailbox("y@acme.example");
	ck_assert_uint_eq(files_count("data-"), 4);
	store_writer_discard(fx.writer);
	ck_assert_uint_eq(files_count("data-"), 2);
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_commit_mailbox("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
	unit_assert_status(store_writer_publish(fx.writer, &fx.err), CX_EINVAL, "no build");
}
END_TEST

START_TEST(a_build_that_is_not_published_is_gone_after_a_restart)
{
	fixture_commit_mailbox("x@acme.example");
	fixture_build();
	fixture_commit_mailbox("y@acme.example");
	fixture_close();
	fixture_reopen_writer(false);
	fixture_open_store();
	ck_assert_uint_eq(files_count("data-"), 2);
	fixture_assert_owners("x@acme.example", "1/1 ");
}
END_TEST

START_TEST(what_a_killed_writer_left_goes_at_the_next_start)
{
	fixture_commit_mailbox("x@acme.example");
	fixture_close();
	files_make("data-77.mdb", "half a file");
	files_make("data-77.mdb-lock", "");
	files_make("data-3.mdb-lock", "");
	files_make("current.new", "");
	files_make("data-x.mdb", "not ours");
	files_make("data-08.mdb", "not ours");
	files_make("notes", "not ours");
	fixture_reopen_writer(false);
	fixture_open_store();
	ck_assert(!files_has("data-77.mdb") && !files_has("data-77.mdb-lock"));
	ck_assert(!files_has("data-3.mdb-lock") && !files_has("current.new"));
	ck_assert(files_has("data-x.mdb") && files_has("data-08.mdb") && files_has("notes"));
	fixture_assert_owners("x@acme.example", "1/1 ");
}
END_TEST

START_TEST(numbers_of_files_are_never_used_again)
{
	char first[STORE_NAME_MAX];

	memcpy(first, fx.writer->live_name, sizeof(first));
	fixture_build();
	fixture_publish();
	fixture_build();
	ck_assert_str_ne(first, fx.writer->build_name);
	ck_assert_str_ne(fx.writer->live_name, fx.writer->build_name);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_file");
	TCase *tcase = tcase_create("store_file");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, group_readers_may_read_the_data_and_write_the_locks);
	tcase_add_test(tcase, a_build_is_a_copy_that_nobody_sees_until_it_is_published);
	tcase_add_test(tcase, a_discarded_build_is_gone);
	tcase_add_test(tcase, a_build_that_is_not_published_is_gone_after_a_restart);
	tcase_add_test(tcase, what_a_killed_writer_left_goes_at_the_next_start);
	tcase_add_test(tcase, numbers_of_files_are_never_used_again);
	suite_add_tcase(suite, tcase);
	return suite;
}
