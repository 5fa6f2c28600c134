#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit.h"
#include "value/spool.h"

static char *folder;
static struct spool spool;

static void set_up(void)
{
	folder = unit_mkdir();
	spool_init(&spool, folder);
}

static void tear_down(void)
{
	spool_release(&spool);
	unit_rmdir(folder);
}

static size_t count_files(void)
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir)) {
		count++;
	}
	closedir(dir);
	return count - 2;
}

/* The lowest descriptor that is free: the same again once all are closed. */
static int next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* A byte that tells its offset. */
static char byte_at(size_t offset)
{
	return (char)(offset * 31 + (offset >> 8) * 17 + (offset >> 16));
}

static void fill(size_t len, size_t step)
{
	while (spool.len < len) {
		size_t at = spool.len;
		size_t more = len - at < step ? len - at : step;
		char *room = spool_extend(&spool, more);

		ck_assert_ptr_nonnull(room);
		for (size_t i = 0; i < more; i++) {
			room[i] = byte_at(at + i);
		}
	}
}

static void check(size_t len)
{
	ck_assert_uint_eq(spool.len, len);
	struct span all = spool_at(&spool, 0, len);

	for (size_t i = 0; i < len; i++) {
		if (all.ptr[i] != byte_at(i)) {
			ck_abort_msg("byte %zu of %zu", i, len);
		}
	}
}

START_TEST(keeps_what_is_added_at_any_size)
{
	static const struct {
		size_t len, step;
	} rows[] = {
		{ 1, 1 },
		{ 5000, 7 },
		{ SPOOL_HEAP_MAX, 1000 },
		{ SPOOL_HEAP_MAX, SPOOL_HEAP_MAX },
		{ SPOOL_HEAP_MAX + 1, SPOOL_HEAP_MAX + 1 },
		{ SPOOL_HEAP_MAX + 1, 1 },
		{ 5 << 20, 3 << 20 },
		{ 9 << 20, 4093 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fill(rows[i].len, rows[i].step);
		check(rows[i].len);
		ck_assert_int_eq(spool.is_mapped, rows[i].len > SPOOL_HEAP_MAX);
		spool_seal(&spool);
		check(rows[i].len);
		spool_release(&spool);
		spool_init(&spool, folder);
	}
}
END_TEST

START_TEST(adds_copies_and_lends_by_offset)
{
	unit_assert_status(spool_add(&spool, "abc", 3), CX_OK, "abc");
	unit_assert_status(spool_add(&spool, NULL, 0), CX_OK, "nothing");
	unit_assert_status(spool_add(&spool, "defg", 4), CX_OK, "defg");
	unit_assert_span(spool_at(&spool, 2, 3), "cde", "across");
	unit_assert_span(spool_at(&spool, 7, 0), "", "the end");
	unit_assert_status(spool_failure(&spool, NULL), CX_OK, "no failure");
}
END_TEST

START_TEST(its_file_has_no_name_and_goes_with_it)
{
	int free_fd = next_fd();

	fill(SPOOL_HEAP_MAX + 1, 5000);
	ck_assert_uint_eq(count_files(), 0);
	spool_seal(&spool);
	ck_assert_int_eq(next_fd(), free_fd);
	spool_release(&spool);
	spool_release(&spool);
	ck_assert_int_eq(next_fd(), free_fd);
}
END_TEST

START_TEST(cleared_it_is_empty_and_in_the_heap_again)
{
	fill(2 << 20, 5000);
	spool_clear(&spool);
	ck_assert_uint_eq(spool.len, 0);
	ck_assert(!spool.is_mapped);
	fill(100, 10);
	check(100);
	spool_clear(&spool);
	fill(3 << 20, 5000);
	spool_rewind(&spool);
	ck_assert_uint_eq(spool.len, 0);
	ck_assert(spool.is_mapped);
	fill(4 << 20, 5000);
	check(4 << 20);
}
END_TEST

/* Bytes in front and behind stay, to the last one. */
START_TEST(what_is_forgotten_takes_no_space)
{
	static const struct {
		size_t offset, len;
	} rows[] = { { 0, 0 }, { 0, 4 << 20 }, { 1, 4095 }, { 4095, 4098 },
		{ 4097, 1 << 20 }, { 3 << 20, 1 << 20 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t end = rows[i].offset + rows[i].len;

		fill(4 << 20, 100000);
		spool_seal(&spool);
		spool_forget(&spool, rows[i].offset, rows[i].len);
		for (size_t at = 0; at < 4 << 20; at++) {
			if ((at < rows[i].offset || at >= end) &&
			    spool.data[at] != byte_at(at)) {
				ck_abort_msg("row %zu, byte %zu", i, at);
			}
		}
		spool_release(&spool);
		spool_init(&spool, folder);
	}
	/* In the heap it is nothing at all. */
	fill(5000, 100);
	spool_forget(&spool, 0, 5000);
	check(5000);
}
END_TEST

START_TEST(a_folder_that_takes_no_file_is_an_error)
{
	struct errbuf err = { "" };

	spool_release(&spool);
	spool_init(&spool, "/nonexistent/folder");
	fill(SPOOL_HEAP_MAX, 5000);
	unit_assert_status(spool_add(&spool, "x", 1), CX_EIO, "no folder");
	unit_assert_status(spool_failure(&spool, &err), CX_EIO, "no folder");
	ck_assert_str_eq(err.text,
	    "scratch file in /nonexistent/folder: No such file or directory");
	check(SPOOL_HEAP_MAX);
}
END_TEST

static void limit_file_size(rlim_t size)
{
	struct rlimit limit = { size, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(no_room_is_an_error_and_leaves_what_is_there)
{
	struct errbuf err = { "" };
	size_t len = 0;

	limit_file_size(4 << 20);
	/* From the heap, which has more than the file may. */
	spool.heap_max = 6 << 20;
	fill(5 << 20, 1 << 20);
	ck_assert_ptr_null(spool_extend(&spool, 2 << 20));
	unit_assert_status(spool_failure(&spool, &err), CX_EIO, "to a file");
	check(5 << 20);
	/* A file that cannot grow. */
	spool_release(&spool);
	spool_init(&spool, folder);
	while (spool_extend(&spool, 100000)) {
		len = spool.len;
		ck_assert_uint_le(len, 4 << 20);
		memset(spool.data + len - 100000, 1, 100000);
	}
	ck_assert_uint_eq(spool.len, len);
	ck_assert_uint_gt(len, 3 << 20);
	unit_assert_status(spool_failure(&spool, &err), CX_EIO, "grown");
	ck_assert_ptr_nonnull(strstr(err.text, "File too large"));
	ck_assert_int_eq(spool.data[len - 1], 1);
}
END_TEST

START_TEST(absurd_sizes_are_no_memory)
{
	fill(100, 10);
	ck_assert_ptr_null(spool_extend(&spool, SIZE_MAX - 50));
	unit_assert_status(spool_failure(&spool, NULL), CX_ENOMEM, "absurd");
	check(100);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("spool");
	TCase *tcase = tcase_create("spool");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, keeps_what_is_added_at_any_size);
	tcase_add_test(tcase, adds_copies_and_lends_by_offset);
	tcase_add_test(tcase, its_file_has_no_name_and_goes_with_it);
	tcase_add_test(tcase, cleared_it_is_empty_and_in_the_heap_again);
	tcase_add_test(tcase, what_is_forgotten_takes_no_space);
	tcase_add_test(tcase, a_folder_that_takes_no_file_is_an_error);
	tcase_add_test(tcase, no_room_is_an_error_and_leaves_what_is_there);
	tcase_add_test(tcase, absurd_sizes_are_no_memory);
	suite_add_tcase(suite, tcase);
	return suite;
}
