#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_files.h"
#include "store_fixture.h"

/* What stands where the replica should, and is none: refused by readers, replaced by the writer. */

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

	fixture_open_store();
	unit_assert_status(snapshot_begin(fx.store, &snapshot, &fx.err), CX_EFORMAT, "reader");
	ck_assert_int_ne(fx.err.text[0], '\0');
	fixture_reopen_writer(true);
	ck_assert_uint_eq(files_count("data-"), 2);
	store_close(fx.store);
	fixture_open_store();
	ck_assert_uint_eq(fixture_generation(), 0);
}

START_TEST(an_unknown_format_is_refused_by_readers_and_replaced_by_the_writer)
{
	fixture_commit_mailbox("x@acme.example");
	set_format("\xff\0\0\0", 4);
	fixture_close();
	assert_refused_and_replaced();
}
END_TEST

START_TEST(a_format_of_another_size_is_unknown_too)
{
	set_format("\1", 1);
	fixture_close();
	assert_refused_and_replaced();
}
END_TEST

START_TEST(a_file_that_is_no_replica_is_refused_and_replaced)
{
	fixture_close();
	files_make("data-9.mdb", "this is not a replica, and never was one");
	files_link_current("data-9.mdb");
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
	fixture_close();
	unit_assert_status(store_read_current(fx.folder, name), CX_OK, "current");
	char *path = files_path(name);
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
		path = files_path("data-7.mdb");
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
		ck_assert_int_eq(write(fd, bytes, size), len);
		close(fd);
		free(path);
		memcpy(bytes + at, page, PAGE_BYTES);
		files_link_current("data-7.mdb");
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
	fixture_close();
	files_link_current("../../etc/passwd");
	assert_refused_and_replaced();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_foreign");
	TCase *tcase = tcase_create("store_foreign");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(
	    tcase, an_unknown_format_is_refused_by_readers_and_replaced_by_the_writer);
	tcase_add_test(tcase, a_format_of_another_size_is_unknown_too);
	tcase_add_test(tcase, a_file_that_is_no_replica_is_refused_and_replaced);
	tcase_add_loop_test(tcase, a_file_with_a_damaged_page_is_replaced, 0,
	    sizeof(spoils) / sizeof(spoils[0]));
	tcase_add_test(tcase, a_link_to_somewhere_else_is_not_followed);
	suite_add_tcase(suite, tcase);
	return suite;
}
