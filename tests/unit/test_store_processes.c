#include "config.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_files.h"
#include "store_fixture.h"

/* One replica and several processes: writers that are killed, readers beside a map that grows. */

/* Runs `work` in a child that says when it is ready and then waits to be killed. */
static void run_and_kill(void (*work)(int ready))
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		work(ready[1]);
		for (;;) {
			pause();
		}
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(ready[0]);
	close(ready[1]);
}

static void say_ready(int fd)
{
	ck_assert_int_eq(write(fd, "r", 1), 1);
}

static void leave_transaction_open(int ready)
{
	fixture_reopen_writer(false);
	fixture_begin();
	for (unsigned n = 1; n < 200; n++) {
		char mail[32];

		snprintf(mail, sizeof(mail), "y%u@acme.example", n);
		fixture_put_mailbox(1, n, mail);
	}
	say_ready(ready);
}

START_TEST(a_writer_killed_in_a_transaction_leaves_the_last_commit)
{
	fixture_commit_mailbox("x@acme.example");
	fixture_close();
	run_and_kill(leave_transaction_open);
	fixture_open_store();
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_assert_owners("y9@acme.example", "");
	fixture_reopen_writer(false);
	fixture_commit_mailbox("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
}
END_TEST

static void leave_build_open(int ready)
{
	fixture_reopen_writer(false);
	fixture_build();
	fixture_commit_mailbox("y@acme.example");
	fixture_begin();
	fixture_put_mailbox(1, 2, "y2@acme.example");
	say_ready(ready);
}

START_TEST(a_writer_killed_in_a_build_leaves_what_is_in_force)
{
	fixture_commit_mailbox("x@acme.example");
	fixture_close();
	run_and_kill(leave_build_open);
	ck_assert_uint_eq(files_count("data-"), 4);
	fixture_open_store();
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_reopen_writer(false);
	ck_assert_uint_eq(files_count("data-"), 2);
	fixture_commit_mailbox("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
}
END_TEST

/* Commits, builds and publishes for ever; each commit keeps record and value in step. */
static void commit_for_ever(int ready)
{
	char text[32];

	fixture_reopen_writer(false);
	for (unsigned n = 0;; n++) {
		snprintf(text, sizeof(text), "u%u@acme.example", n);
		if (n % 16 == 5) {
			store_writer_build(fx.writer, &fx.err);
		}
		fixture_begin();
		store_put_meta(fx.writer, "src/1/cookie", span_of(text));
		fixture_put_mailbox(1, 1, text);
		fixture_put_mailbox(1, 2, text);
		fixture_commit();
		if (n % 16 == 8) {
			store_writer_publish(fx.writer, &fx.err);
		}
		if (n == 20) {
			say_ready(ready);
		}
	}
}

static void assert_cookie_names_the_records(void)
{
	struct snapshot *snapshot = fixture_snapshot();
	char address[64];
	struct span cookie;

	unit_assert_status(
	    snapshot_meta(snapshot, "src/1/cookie", &cookie), CX_OK, "cookie");
	snprintf(address, sizeof(address), "%.*s", SPAN_ARGS(cookie));
	snapshot_end(snapshot);
	fixture_assert_owners(address, "1/1 1/2 ");
}

START_TEST(a_writer_killed_at_any_moment_leaves_records_and_cookie_in_step)
{
	fixture_close();
	for (int round = 0; round < 20; round++) {
		run_and_kill(commit_for_ever);
		fixture_open_store();
		assert_cookie_names_the_records();
		fixture_reopen_writer(false);
		ck_assert_uint_eq(files_count("data-"), 2);
		assert_cookie_names_the_records();
		fixture_close();
	}
	fixture_reopen_writer(false);
	fixture_open_store();
}
END_TEST

/*
 * A reader of its own: looks, says so, and looks again when it is told to; all the while it
 * holds a snapshot of nothing, as one that is stopped does.
 */
static int read_twice(int told, int ready)
{
	struct snapshot *snapshot, *held;
	struct record record;
	struct record_id id = make_id(1, 1);
	char byte;

	if (store_open(fx.folder, &fx.store, &fx.err) != CX_OK ||
	    snapshot_begin(fx.store, &snapshot, &fx.err) != CX_OK) {
		return 1;
	}
	snapshot_end(snapshot);
	if (snapshot_begin(fx.store, &held, &fx.err) != CX_OK ||
	    write(ready, "r", 1) != 1 || read(told, &byte, 1) != 1) {
		return 2;
	}
	/* Its own state is what it was. While it holds that, the map cannot grow here. */
	if (snapshot_record(held, &id, &record) != CX_NOTFOUND) {
		return 5;
	}
	snapshot_end(held);
	if (snapshot_begin(fx.store, &snapshot, &fx.err) != CX_OK) {
		return 3;
	}
	if (snapshot_record(snapshot, &id, &record) != CX_OK) {
		return 4;
	}
	snapshot_end(snapshot);
	return 0;
}

/* Puts `count` records of some size; how many transactions failed for want of room. */
static unsigned fill(unsigned count)
{
	char name[1000];
	unsigned failures = 0;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (;;) {
		enum status status = CX_OK;

		fixture_begin();
		for (unsigned n = 1; n <= count && status == CX_OK; n++) {
			struct record_id id = make_id(1, n);

			status = store_put(fx.writer, &id,
			    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_NAME, name, 0), NULL);
		}
		enum status committed = store_commit(fx.writer, &fx.err);

		if (committed == CX_OK) {
			ck_assert_int_eq(status, CX_OK);
			return failures;
		}
		unit_assert_status(committed, CX_ETEMP, "full");
		ck_assert_ptr_nonnull(strstr(fx.err.text, "map is full"));
		ck_assert_uint_lt(++failures, 20);
	}
}

START_TEST(the_map_grows_when_it_is_full_and_readers_elsewhere_follow)
{
	int told[2], ready[2], result;
	bool is_new;
	char byte;
	pid_t pid;

	fixture_close();
	files_link_current("nothing");
	unit_assert_status(
	    store_writer_open_sized(fx.folder, 1 << 18, &fx.writer, &is_new, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert_int_eq(pipe(told), 0);
	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		_exit(read_twice(told[0], ready[1]));
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	fixture_open_store();
	struct snapshot *snapshot = fixture_snapshot();

	snapshot_end(snapshot);
	ck_assert_uint_gt(fill(4000), 0);
	ck_assert_int_eq(write(told[1], "g", 1), 1);
	ck_assert_int_eq(waitpid(pid, &result, 0), pid);
	ck_assert_int_eq(result, 0);
	/* And the reader that shares the writer's map. */
	snapshot = fixture_snapshot();
	struct record record;
	struct record_id id = make_id(1, 4000);

	unit_assert_status(snapshot_record(snapshot, &id, &record), CX_OK, "last");
	snapshot_end(snapshot);
	for (int i = 0; i < 2; i++) {
		close(told[i]);
		close(ready[i]);
	}
}
END_TEST

/* 77: not allowed to mount here, which root is. */
static int read_on_a_read_only_mount(void)
{
	struct store_env *env;
	char *path;

	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(fx.folder, fx.folder, NULL, MS_BIND, NULL) < 0 ||
	    mount("", fx.folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0) {
		return geteuid() == 0 ? 4 : 77;
	}
	if (store_open(fx.folder, &fx.store, &fx.err) != CX_ECONF ||
	    !strstr(fx.err.text, "read-only")) {
		return 1;
	}
	/* Mounted read-only under a reader that is running. */
	if (asprintf(&path, "%s/current", fx.folder) < 0) {
		return 2;
	}
	char *real = realpath(path, NULL);

	return real && env_acquire(real, ENV_READ, 0, &env, &fx.err) == CX_ECONF ? 0 : 3;
}

START_TEST(readers_refuse_a_read_only_mount)
{
	int result;
	pid_t pid;

	fixture_close();
	pid = fork();
	if (pid == 0) {
		_exit(read_on_a_read_only_mount());
	}
	ck_assert_int_eq(waitpid(pid, &result, 0), pid);
	ck_assert(WIFEXITED(result));
	ck_assert(WEXITSTATUS(result) == 0 || WEXITSTATUS(result) == 77);
	fixture_reopen_writer(false);
	fixture_open_store();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_processes");
	TCase *tcase = tcase_create("store_processes");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, a_writer_killed_in_a_transaction_leaves_the_last_commit);
	tcase_add_test(tcase, a_writer_killed_in_a_build_leaves_what_is_in_force);
	tcase_add_test(tcase, a_writer_killed_at_any_moment_leaves_records_and_cookie_in_step);
	tcase_add_test(tcase, the_map_grows_when_it_is_full_and_readers_elsewhere_follow);
	tcase_add_test(tcase, readers_refuse_a_read_only_mount);
	suite_add_tcase(suite, tcase);
	return suite;
}
