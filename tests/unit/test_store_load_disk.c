#include "config.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_fixture.h"

/* A load on a disk that has no room for it. */

static void limit_file_size(rlim_t size)
{
	struct rlimit limit = { size, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Without assertions: Check notes each in a file of its own, under the same limit. */
static struct span plain_record(const char *mail)
{
	record_begin(&fx.buf, RECORD_RECIPIENT);
	record_put(&fx.buf, TAG_MAIL, span_of(mail));
	return buf_span(&fx.buf);
}

/* A disk that fills up at any point of a load: first in its own files, then in the build. */
START_TEST(a_full_disk_is_a_clear_error_and_harms_no_reader)
{
	static const rlim_t limits[] = { 300 << 10, 500 << 10, 1000 << 10, 1500 << 10,
		2000 << 10 };
	enum status status = CX_OK;
	struct store_load *loaded;
	struct span stored;
	char mail[64];

	fixture_begin();
	fixture_put_mailbox(1, 5, "a@acme.example");
	fixture_commit();
	loaded = fixture_load(fx.writer, 1, 4000);
	limit_file_size(limits[_i]);
	for (unsigned n = 0; n < 20000 && status == CX_OK; n++) {
		struct record_id id = make_id(1, n);

		snprintf(mail, sizeof(mail), "user%06u@acme.example", n);
		status = store_load_put(loaded, id.uuid, plain_record(mail));
	}
	unit_assert_status(status == CX_OK ? CX_EIO : status, CX_EIO, "put");
	unit_assert_status(store_load_build(loaded, &fx.err), CX_EIO, "build");
	ck_assert_msg(strstr(fx.err.text, "File too large") ||
			  strstr(fx.err.text, "disk full?"),
	    "%s", fx.err.text);
	store_load_free(loaded);
	fixture_assert_owners("a@acme.example", "1/5 ");
	/* And it goes on. */
	limit_file_size(RLIM_INFINITY);
	fixture_begin();
	struct record_id id = make_id(1, 5);

	unit_assert_status(store_get(fx.writer, &id, &stored), CX_OK, "get");
	fixture_put_mailbox(1, 6, "b@acme.example");
	fixture_commit();
	fixture_assert_owners("b@acme.example", "1/6 ");
}
END_TEST

enum {
	NOT_ALLOWED = 77
};

/*
 * On a file system of `megabytes`: 0 where a load that is too large for it ends with a clear
 * error, and the replica that was there can be read and written. Without assertions, as this
 * is another process. From 10: what went wrong.
 */
static int load_on_a_small_disk(unsigned megabytes)
{
	struct record_id id = make_id(1, 5);
	struct store_load *loaded;
	enum status status = CX_OK;
	struct span stored;
	char text[64];
	bool is_new;

	snprintf(text, sizeof(text), "size=%um", megabytes);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", fx.folder, "tmpfs", 0, text) < 0) {
		return NOT_ALLOWED;
	}
	if (store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err) != CX_OK ||
	    store_begin(fx.writer, &fx.err) != CX_OK ||
	    store_put(fx.writer, &id, plain_record("a@acme.example"), NULL) != CX_OK ||
	    store_commit(fx.writer, &fx.err) != CX_OK) {
		return 10;
	}
	if (store_load_new_sized(fx.writer, 1, 4000, &loaded, &fx.err) != CX_OK) {
		return 11;
	}
	for (unsigned n = 0; n < 100000 && status == CX_OK; n++) {
		struct record_id other = make_id(1, n);

		snprintf(text, sizeof(text), "user%06u@acme.example", n);
		status = store_load_put(loaded, other.uuid, plain_record(text));
	}
	if (status != CX_OK && status != CX_EIO) {
		return 12;
	}
	if (store_load_build(loaded, &fx.err) != CX_EIO) {
		return 13;
	}
	if (!strstr(fx.err.text, "No space left on device") &&
	    !strstr(fx.err.text, "disk full?")) {
		return 14;
	}
	store_load_free(loaded);
	if (store_begin(fx.writer, &fx.err) != CX_OK ||
	    store_get(fx.writer, &id, &stored) != CX_OK ||
	    store_put(fx.writer, &id, plain_record("b@acme.example"), NULL) != CX_OK ||
	    store_commit(fx.writer, &fx.err) != CX_OK) {
		return 15;
	}
	store_writer_close(fx.writer);
	return 0;
}

/* A load takes about 12 MB here, and gives them back as the new file, of as many, grows. */
START_TEST(a_small_disk_is_a_clear_error_and_no_signal)
{
	static const unsigned megabytes[] = { 1, 2, 5, 9, 11 };
	int result;
	pid_t pid;

	fixture_close();
	pid = fork();
	if (pid == 0) {
		_exit(load_on_a_small_disk(megabytes[_i]));
	}
	ck_assert_int_eq(waitpid(pid, &result, 0), pid);
	ck_assert_msg(WIFEXITED(result), "signal %d", WTERMSIG(result));
	ck_assert_msg(WEXITSTATUS(result) == 0 || WEXITSTATUS(result) == NOT_ALLOWED,
	    "%u MB: %d", megabytes[_i], WEXITSTATUS(result));
	fixture_open_writer();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_load_disk");
	TCase *tcase = tcase_create("store_load_disk");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_loop_test(tcase, a_full_disk_is_a_clear_error_and_harms_no_reader, 0, 5);
	tcase_add_loop_test(tcase, a_small_disk_is_a_clear_error_and_no_signal, 0, 5);
	suite_add_tcase(suite, tcase);
	return suite;
}
