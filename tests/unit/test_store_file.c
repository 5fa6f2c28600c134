#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_fixture.h"

/* Files of the writer: publishing, what is left by one that was killed, and locks. */

static char *path_of(const char *name)
{
	char *path;

	ck_assert_int_gt(asprintf(&path, "%s/%s", fx.folder, name), 0);
	return path;
}

static bool exists(const char *name)
{
	char *path = path_of(name);
	struct stat info;
	bool is_there = lstat(path, &info) == 0;

	free(path);
	return is_there;
}

static unsigned mode_of(const char *name)
{
	char *path = path_of(name);
	struct stat info;

	ck_assert_int_eq(stat(path, &info), 0);
	free(path);
	return info.st_mode & 07777;
}

static void make_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	free(path);
}

static void point_current_at(const char *target)
{
	char *path = path_of("current");

	unlink(path);
	ck_assert_int_eq(symlink(target, path), 0);
	free(path);
}

/* How many names in the folder begin so. */
static unsigned count_files(const char *prefix)
{
	DIR *dir = opendir(fx.folder);
	struct dirent *entry;
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	}
	closedir(dir);
	return count;
}

static void close_all(void)
{
	store_close(fx.store);
	fx.store = NULL;
	store_writer_close(fx.writer);
	fx.writer = NULL;
}

static void open_store(void)
{
	unit_assert_status(store_open(fx.folder, &fx.store, &fx.err), CX_OK, fx.err.text);
}

static void reopen_writer(bool expect_new)
{
	bool is_new;

	unit_assert_status(
	    store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err), CX_OK, fx.err.text);
	ck_assert_int_eq(is_new, expect_new);
}

static void put_and_commit(const char *mail)
{
	fixture_begin();
	fixture_put_mailbox(1, 1, mail);
	fixture_commit();
}

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

static uint64_t generation(void)
{
	struct snapshot *snapshot = fixture_snapshot();
	uint64_t seen = snapshot_generation(snapshot);

	snapshot_end(snapshot);
	return seen;
}

START_TEST(group_readers_may_read_the_data_and_write_the_locks)
{
	mode_t old = umask(0077);

	close_all();
	point_current_at("nothing");
	reopen_writer(true);
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	umask(old);
	ck_assert_uint_eq(mode_of(fx.writer->live_name), 0640);
	ck_assert_uint_eq(mode_of(fx.writer->build_name), 0640);
	for (int i = 0; i < 2; i++) {
		char lock[STORE_NAME_MAX + 8];

		snprintf(lock, sizeof(lock), "%s-lock",
		    i == 0 ? fx.writer->live_name : fx.writer->build_name);
		ck_assert_uint_eq(mode_of(lock), 0660);
	}
	ck_assert_uint_eq(mode_of("writer.lock"), 0600);
	open_store();
}
END_TEST

START_TEST(a_build_is_a_copy_that_nobody_sees_until_it_is_published)
{
	struct snapshot *held;
	struct record record;
	struct record_id id = make_id(1, 1);
	uint64_t before;

	put_and_commit("x@acme.example");
	fixture_begin();
	fixture_put_mailbox(1, 2, "kept@acme.example");
	fixture_commit();
	before = generation();
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	put_and_commit("y@acme.example");
	fixture_assert_owners("x@acme.example", "1/1 ");
	held = fixture_snapshot();
	unit_assert_status(store_writer_publish(fx.writer, &fx.err), CX_OK, fx.err.text);
	ck_assert_uint_eq(count_files("data-"), 2);
	ck_assert_int_lt(await_generation(before + 1), 2000);
	fixture_assert_owners("x@acme.example", "");
	fixture_assert_owners("y@acme.example", "1/1 ");
	fixture_assert_owners("kept@acme.example", "1/2 ");
	unit_assert_status(snapshot_record(held, &id, &record), CX_OK, "held over the change");
	ck_assert_uint_eq(snapshot_generation(held), before);
	snapshot_end(held);
	/* The writer goes on with what it published. */
	put_and_commit("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
}
END_TEST

START_TEST(a_discarded_build_is_gone)
{
	put_and_commit("x@acme.example");
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	put_and_commit("y@acme.example");
	ck_assert_uint_eq(count_files("data-"), 4);
	store_writer_discard(fx.writer);
	ck_assert_uint_eq(count_files("data-"), 2);
	fixture_assert_owners("x@acme.example", "1/1 ");
	put_and_commit("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
	unit_assert_status(store_writer_publish(fx.writer, &fx.err), CX_EINVAL, "no build");
}
END_TEST

START_TEST(a_build_that_is_not_published_is_gone_after_a_restart)
{
	put_and_commit("x@acme.example");
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	put_and_commit("y@acme.example");
	close_all();
	reopen_writer(false);
	open_store();
	ck_assert_uint_eq(count_files("data-"), 2);
	fixture_assert_owners("x@acme.example", "1/1 ");
}
END_TEST

START_TEST(what_a_killed_writer_left_goes_at_the_next_start)
{
	put_and_commit("x@acme.example");
	close_all();
	make_file("data-77.mdb", "half a file");
	make_file("data-77.mdb-lock", "");
	make_file("data-3.mdb-lock", "");
	make_file("current.new", "");
	make_file("data-x.mdb", "not ours");
	make_file("data-08.mdb", "not ours");
	make_file("notes", "not ours");
	reopen_writer(false);
	open_store();
	ck_assert(!exists("data-77.mdb") && !exists("data-77.mdb-lock"));
	ck_assert(!exists("data-3.mdb-lock") && !exists("current.new"));
	ck_assert(exists("data-x.mdb") && exists("data-08.mdb") && exists("notes"));
	fixture_assert_owners("x@acme.example", "1/1 ");
}
END_TEST

static void set_format(const char *bytes, size_t len)
{
	MDB_val key = { strlen(META_FORMAT), (void *)(uintptr_t)META_FORMAT };
	MDB_val value = { len, (void *)(uintptr_t)bytes };

	fixture_begin();
	ck_assert_int_eq(
	    mdb_put(fx.writer->txn, fx.writer->live->dbi[DB_META], &key, &value, 0), 0);
	fixture_commit();
}

/* What a reader and then a writer make of a replica that is none of ours. */
static void assert_refused_and_replaced(void)
{
	struct snapshot *snapshot;

	open_store();
	unit_assert_status(snapshot_begin(fx.store, &snapshot, &fx.err), CX_EFORMAT, "reader");
	ck_assert_int_ne(fx.err.text[0], '\0');
	reopen_writer(true);
	ck_assert_uint_eq(count_files("data-"), 2);
	store_close(fx.store);
	open_store();
	ck_assert_uint_eq(generation(), 0);
}

START_TEST(an_unknown_format_is_refused_by_readers_and_replaced_by_the_writer)
{
	put_and_commit("x@acme.example");
	set_format("\xff\0\0\0", 4);
	close_all();
	assert_refused_and_replaced();
}
END_TEST

START_TEST(a_format_of_another_size_is_unknown_too)
{
	set_format("\1", 1);
	close_all();
	assert_refused_and_replaced();
}
END_TEST

START_TEST(a_file_that_is_no_replica_is_refused_and_replaced)
{
	close_all();
	make_file("data-9.mdb", "this is not a replica, and never was one");
	point_current_at("data-9.mdb");
	assert_refused_and_replaced();
}
END_TEST

enum {
	PAGE_BYTES = 4096
};

/* What a disk does to a page. */
static void spoil_nothing(uint8_t page[PAGE_BYTES])
{
	(void)page;
}

static void spoil_with_zeros(uint8_t page[PAGE_BYTES])
{
	memset(page, 0, PAGE_BYTES);
}

static void spoil_with_noise(uint8_t page[PAGE_BYTES])
{
	unsigned noise = 1;

	for (size_t i = 0; i < PAGE_BYTES; i++) {
		noise = noise * 1103515245u + 12345u;
		page[i] = (uint8_t)(noise >> 16);
	}
}

/* Flags and bounds of the page, behind its number. */
static void spoil_header(uint8_t page[PAGE_BYTES])
{
	for (size_t i = 8; i < 16; i++) {
		page[i] ^= 0x5a;
	}
}

static const struct {
	void (*run)(uint8_t page[PAGE_BYTES]);
	bool is_harmful;
} spoils[] = {
	{ spoil_nothing, false },
	{ spoil_with_zeros, true },
	{ spoil_with_noise, true },
	{ spoil_header, true },
};

static void fill_replica(void)
{
	fixture_begin();
	for (unsigned n = 0; n < 300; n++) {
		char mail[64];

		snprintf(mail, sizeof(mail), "somebody.number%u@acme.example", n);
		fixture_put_mailbox(1 + n % 2, n, mail);
	}
	fixture_commit();
	for (unsigned n = 0; n < 200; n += 3) {
		struct record_id id = make_id(1 + n % 2, n);

		fixture_begin();
		store_remove(fx.writer, &id);
		fixture_commit();
	}
}

/*
 * LMDB gives up with an assertion, or reads beyond the end, where a page is not what it wrote: the
 * writer begins a new replica, and does not die of it at each start.
 */
START_TEST(a_file_with_a_damaged_page_is_replaced)
{
	char name[STORE_NAME_MAX];
	size_t size = 0, replaced = 0;
	bool is_new;

	fill_replica();
	store_close(fx.store);
	fx.store = NULL;
	store_writer_close(fx.writer);
	fx.writer = NULL;
	unit_assert_status(store_read_current(fx.folder, name), CX_OK, "current");
	char *path = path_of(name);
	int fd = open(path, O_RDONLY);
	uint8_t *bytes = malloc(4u << 20);
	ssize_t len = read(fd, bytes, 4u << 20);

	close(fd);
	free(path);
	ck_assert_int_gt(len, 30 * PAGE_BYTES);
	size = (size_t)len;
	/* The first two pages are LMDB's heads: one of them is enough. */
	for (size_t at = 2 * PAGE_BYTES; at + PAGE_BYTES <= size; at += PAGE_BYTES) {
		uint8_t page[PAGE_BYTES];

		memcpy(page, bytes + at, PAGE_BYTES);
		spoils[_i].run(bytes + at);
		path = path_of("data-7.mdb");
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
		ck_assert_int_eq(write(fd, bytes, size), len);
		close(fd);
		free(path);
		memcpy(bytes + at, page, PAGE_BYTES);
		point_current_at("data-7.mdb");
		unit_assert_status(
		    store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err), CX_OK,
		    fx.err.text);
		replaced += is_new;
		if (!is_new) {
			/* Then it was of no importance. */
			fixture_begin();
			fixture_put_mailbox(1, 7, "a@acme.example");
			fixture_commit();
			ck_assert_uint_gt(store_count(fx.writer, 1, RECORD_RECIPIENT),
			    100);
		}
		store_writer_close(fx.writer);
	}
	ck_assert(spoils[_i].is_harmful ? replaced > 20 : replaced == 0);
	free(bytes);
	fixture_open_writer();
}
END_TEST

START_TEST(a_link_to_somewhere_else_is_not_followed)
{
	close_all();
	point_current_at("../../etc/passwd");
	assert_refused_and_replaced();
}
END_TEST

START_TEST(numbers_of_files_are_never_used_again)
{
	char first[STORE_NAME_MAX];

	memcpy(first, fx.writer->live_name, sizeof(first));
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(store_writer_publish(fx.writer, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	ck_assert_str_ne(first, fx.writer->build_name);
	ck_assert_str_ne(fx.writer->live_name, fx.writer->build_name);
}
END_TEST

/* --- Other processes --- */

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
	reopen_writer(false);
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
	put_and_commit("x@acme.example");
	close_all();
	run_and_kill(leave_transaction_open);
	open_store();
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_assert_owners("y9@acme.example", "");
	reopen_writer(false);
	put_and_commit("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
}
END_TEST

static void leave_build_open(int ready)
{
	reopen_writer(false);
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
	put_and_commit("y@acme.example");
	fixture_begin();
	fixture_put_mailbox(1, 2, "y2@acme.example");
	say_ready(ready);
}

START_TEST(a_writer_killed_in_a_build_leaves_what_is_in_force)
{
	put_and_commit("x@acme.example");
	close_all();
	run_and_kill(leave_build_open);
	ck_assert_uint_eq(count_files("data-"), 4);
	open_store();
	fixture_assert_owners("x@acme.example", "1/1 ");
	reopen_writer(false);
	ck_assert_uint_eq(count_files("data-"), 2);
	put_and_commit("z@acme.example");
	fixture_assert_owners("z@acme.example", "1/1 ");
}
END_TEST

/* Commits, builds and publishes for ever; each commit keeps record and value in step. */
static void commit_for_ever(int ready)
{
	char text[32];

	reopen_writer(false);
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
	close_all();
	for (int round = 0; round < 20; round++) {
		run_and_kill(commit_for_ever);
		open_store();
		assert_cookie_names_the_records();
		reopen_writer(false);
		ck_assert_uint_eq(count_files("data-"), 2);
		assert_cookie_names_the_records();
		close_all();
	}
	reopen_writer(false);
	open_store();
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

	close_all();
	point_current_at("nothing");
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
	open_store();
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

	close_all();
	pid = fork();
	if (pid == 0) {
		_exit(read_on_a_read_only_mount());
	}
	ck_assert_int_eq(waitpid(pid, &result, 0), pid);
	ck_assert(WIFEXITED(result));
	ck_assert(WEXITSTATUS(result) == 0 || WEXITSTATUS(result) == 77);
	reopen_writer(false);
	open_store();
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
	tcase_add_test(
	    tcase, an_unknown_format_is_refused_by_readers_and_replaced_by_the_writer);
	tcase_add_test(tcase, a_format_of_another_size_is_unknown_too);
	tcase_add_test(tcase, a_file_that_is_no_replica_is_refused_and_replaced);
	tcase_add_loop_test(tcase, a_file_with_a_damaged_page_is_replaced, 0,
	    sizeof(spoils) / sizeof(spoils[0]));
	tcase_add_test(tcase, a_link_to_somewhere_else_is_not_followed);
	tcase_add_test(tcase, numbers_of_files_are_never_used_again);
	tcase_add_test(tcase, a_writer_killed_in_a_transaction_leaves_the_last_commit);
	tcase_add_test(tcase, a_writer_killed_in_a_build_leaves_what_is_in_force);
	tcase_add_test(
	    tcase, a_writer_killed_at_any_moment_leaves_records_and_cookie_in_step);
	tcase_add_test(tcase, the_map_grows_when_it_is_full_and_readers_elsewhere_follow);
	tcase_add_test(tcase, readers_refuse_a_read_only_mount);
	suite_add_tcase(suite, tcase);
	return suite;
}
