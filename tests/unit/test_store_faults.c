#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_fixture.h"
#include "tests/support/check_snapshot.h"
#include "tests/support/faults.h"

/*
 * Each thing that the writer does, with a disk that fails, or a process that dies, at each of
 * its calls that write a file, one after the other: readers have what there was before
 * or what there is after, whole; and the same thing, done again, works.
 */
enum {
	RECORDS = 120,
	CALLS_MAX = 2000
};

static void put(unsigned number, const char *what)
{
	char mail[64], proxy[64], name[400];

	snprintf(mail, sizeof(mail), "u%u@acme.example", number);
	snprintf(proxy, sizeof(proxy), "%s.%u@acme.example", what, number);
	memset(name, what[0], sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	struct record_id id = make_id(1, number);

	/* A failure loses the transaction, and the commit says so. */
	store_put(fx.writer, &id,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_NAME, name, TAG_MAIL, mail,
		TAG_PROXY, proxy, 0),
	    NULL);
}

static enum status put_all(const char *what)
{
	enum status status = store_begin(fx.writer, &fx.err);

	if (status != CX_OK) {
		return status;
	}
	for (unsigned n = 1; n <= RECORDS; n++) {
		put(n, what);
	}
	store_put_meta(fx.writer, "src/1/cookie", span_of(what));
	return store_commit(fx.writer, &fx.err);
}

static enum status change(const char *what)
{
	return put_all(what);
}

static enum status remove_and_put(const char *what)
{
	enum status status = store_begin(fx.writer, &fx.err);

	if (status != CX_OK) {
		return status;
	}
	for (unsigned n = 1; n <= RECORDS; n++) {
		struct record_id id = make_id(1, n);

		store_remove(fx.writer, &id);
	}
	for (unsigned n = RECORDS; n >= 1; n--) {
		put(n, what);
	}
	store_put_meta(fx.writer, "src/1/cookie", span_of(what));
	return store_commit(fx.writer, &fx.err);
}

static enum status finish_build(enum status status)
{
	if (status == CX_OK) {
		status = store_writer_publish(fx.writer, &fx.err);
	}
	if (status != CX_OK) {
		store_writer_discard(fx.writer);
	}
	return status;
}

static enum status build(const char *what)
{
	enum status status = store_writer_build(fx.writer, &fx.err);

	return finish_build(status == CX_OK ? put_all(what) : status);
}

static enum status load(const char *what)
{
	struct store_load *load;
	enum status status = store_load_new(fx.writer, 1, &load, &fx.err);

	if (status != CX_OK) {
		return status;
	}
	for (unsigned n = 1; n <= RECORDS && status == CX_OK; n++) {
		struct record_id id = make_id(1, n);
		char mail[64], proxy[64];

		snprintf(mail, sizeof(mail), "u%u@acme.example", n);
		snprintf(proxy, sizeof(proxy), "%s.%u@acme.example", what, n);
		status = store_load_put(load, id.uuid,
		    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, mail, TAG_PROXY,
			proxy, 0));
	}
	if (status == CX_OK) {
		status = store_load_build(load, &fx.err);
	}
	store_load_free(load);
	if (status == CX_OK) {
		status = store_begin(fx.writer, &fx.err);
	}
	if (status == CX_OK) {
		store_put_meta(fx.writer, "src/1/cookie", span_of(what));
		status = store_commit(fx.writer, &fx.err);
	}
	return finish_build(status);
}

static const struct {
	const char *label;
	enum status (*run)(const char *what);
} works[] = {
	{ "a change", change },
	{ "removals and additions", remove_and_put },
	{ "a build", build },
	{ "a load", load },
};
enum {
	WORKS = sizeof(works) / sizeof(works[0])
};

/* Whole, and of one piece with its cookie: `before` or `after`. */
static bool is_state(const char *what)
{
	struct snapshot *snapshot = fixture_snapshot();
	struct tally tally;
	struct address address;
	struct address_owner owner;
	struct span cookie;
	char text[64];
	struct key key;
	size_t count;

	index_init(&tally.set);
	ck_assert(check_whole(snapshot, &tally));
	ck_assert_uint_eq(tally.total, RECORDS);
	index_release(&tally.set);
	unit_assert_status(snapshot_meta(snapshot, "src/1/cookie", &cookie), CX_OK,
	    "cookie");
	bool is_it = span_equal(cookie, span_of(what));

	snprintf(text, sizeof(text), "%.*s.%u@acme.example", SPAN_ARGS(cookie),
	    RECORDS);
	unit_assert_status(address_parse_typed(span_of(text), &address), CX_OK, text);
	address_key(&address, &key);
	unit_assert_status(snapshot_address_owners(snapshot, &key, &owner, 1, &count),
	    CX_OK, text);
	snapshot_end(snapshot);
	return is_it;
}

/* The reader looks at the link now, not within a second. */
static void reopen_reader(void)
{
	store_close(fx.store);
	fixture_open_store();
}

static void fail_at_each_call(enum status (*run)(const char *), int error)
{
	unsigned long n = 0;
	bool is_done = false;

	unit_assert_status(run("before"), CX_OK, fx.err.text);
	while (!is_done) {
		ck_assert_uint_lt(++n, CALLS_MAX);
		faults_arm(n, error);
		enum status status = run("after");

		is_done = faults_disarm() < n;
		/* LMDB may be at an end with the file, for readers in this process too. */
		fixture_begin();
		store_abort(fx.writer);
		reopen_reader();
		if (status == CX_OK) {
			/* What cannot be undone is done: the link is there, or it had begun to tidy. */
			ck_assert(is_state("after"));
		} else {
			ck_assert(!is_done);
			ck_assert(fx.err.text[0] != '\0');
			ck_assert(is_state("before"));
		}
		/* Room again: the same works, with nothing opened anew by hand. */
		unit_assert_status(run("after"), CX_OK, fx.err.text);
		reopen_reader();
		ck_assert(is_state("after"));
		unit_assert_status(run("before"), CX_OK, fx.err.text);
	}
	ck_assert_uint_gt(n, 3);
}

START_TEST(a_full_disk_leaves_what_was_there)
{
	fail_at_each_call(works[_i].run, ENOSPC);
}
END_TEST

START_TEST(a_disk_with_errors_leaves_what_was_there)
{
	fail_at_each_call(works[_i].run, EIO);
}
END_TEST

START_TEST(dying_at_any_call_leaves_what_was_there_or_what_comes)
{
	bool is_done = false;

	unit_assert_status(works[_i].run("before"), CX_OK, fx.err.text);
	for (unsigned long n = 1; !is_done; n++) {
		uint64_t before = fixture_generation();
		int result;

		store_close(fx.store);
		fx.store = NULL;
		store_writer_close(fx.writer);
		ck_assert_uint_lt(n, CALLS_MAX);
		pid_t pid = fork();

		if (pid == 0) {
			fixture_reopen_writer(false);
			faults_arm(n, FAULT_KILL);
			works[_i].run("after");
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &result, 0), pid);
		is_done = WIFEXITED(result) && WEXITSTATUS(result) == 0;
		ck_assert(is_done ||
			  (WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL));
		/* What it left is enough for readers, before anybody tidies. */
		fixture_open_store();
		ck_assert(is_state("after") || !is_done);
		ck_assert_uint_ge(fixture_generation(), before);
		store_close(fx.store);
		fixture_reopen_writer(false);
		fixture_open_store();
		unit_assert_status(works[_i].run("before"), CX_OK, fx.err.text);
		reopen_reader();
		ck_assert(is_state("before"));
	}
}
END_TEST

static void limit_files(rlim_t count)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = count;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void tell_nobody(void *context, const struct store_old_reader *reader)
{
	(void)context;
	(void)reader;
	ck_abort_msg("nobody holds anything");
}

/* LMDB is at an end with the file, and it cannot be opened again yet: nothing may touch it. */
START_TEST(a_file_that_cannot_be_opened_again_is_waited_for)
{
	struct record_id id = make_id(1, 1);
	struct store_load *load;
	struct snapshot *snapshot;

	unit_assert_status(change("before"), CX_OK, fx.err.text);
	unit_assert_status(store_load_new(fx.writer, 2, &load, &fx.err), CX_OK,
	    fx.err.text);
	struct span record = make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL,
	    "a@acme.example", 0);

	unit_assert_status(store_load_put(load, id.uuid, record), CX_OK, "put");
	fx.writer->must_reopen = true;
	limit_files(0);
	unit_assert_status(store_begin(fx.writer, &fx.err), CX_ETEMP, "begin");
	ck_assert(!store_holds(fx.writer, &id, record));
	store_check_readers(fx.writer);
	store_old_readers(fx.writer, 1000, 0, tell_nobody, NULL);
	ck_assert_int_eq(snapshot_begin(fx.store, &snapshot, &fx.err), CX_ETEMP);
	unit_assert_status(store_load_build(load, &fx.err), CX_ETEMP, "load");
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_ETEMP, "build");
	limit_files(256);
	unit_assert_status(store_load_build(load, &fx.err), CX_OK, fx.err.text);
	store_load_free(load);
	fixture_begin();
	fixture_commit();
	fixture_publish();
	reopen_reader();
	fixture_assert_owners("a@acme.example", "2/1 ");
	fixture_assert_owners("u7@acme.example", "1/7 ");
}
END_TEST

/* LMDB gives up the old map before it asks for a larger one. */
START_TEST(a_map_that_cannot_grow_is_opened_again)
{
	struct rlimit limit, usual;
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	unit_assert_status(change("before"), CX_OK, fx.err.text);
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &usual), 0);
	limit = usual;
	limit.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)1 << 30);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	fx.writer->was_full = true;
	unit_assert_status(store_begin(fx.writer, &fx.err), CX_ENOMEM, "no room");
	unit_assert_status(store_begin(fx.writer, &fx.err), CX_ENOMEM, "still none");
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &usual), 0);
	unit_assert_status(change("after"), CX_OK, fx.err.text);
	ck_assert(is_state("after"));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_faults");
	TCase *tcase = tcase_create("store_faults");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, a_file_that_cannot_be_opened_again_is_waited_for);
	tcase_add_test(tcase, a_map_that_cannot_grow_is_opened_again);
	tcase_add_loop_test(tcase, a_full_disk_leaves_what_was_there, 0, WORKS);
	tcase_add_loop_test(tcase, a_disk_with_errors_leaves_what_was_there, 0, WORKS);
	tcase_add_loop_test(tcase,
	    dying_at_any_call_leaves_what_was_there_or_what_comes, 0, WORKS);
	suite_add_tcase(suite, tcase);
	return suite;
}
