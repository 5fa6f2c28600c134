#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/conf_files.h"
#include "daemon/keys.h"
#include "unit.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

enum {
	FILES_MAX = 10,
};

static char *folder;
static struct conf *conf;
static const char *files[FILES_MAX];
static char paths[FILES_MAX][100];

static void setup(void)
{
	folder = unit_mkdir();
	conf = calloc(1, sizeof(*conf));
	ck_assert_ptr_nonnull(conf);
	conf->path = "/dev/null";
	conf->secret_files = files;
	conf->srs.secret_files = files;
	conf->has_secret_files = true;
	memset(files, 0, sizeof(files));
}

static void teardown(void)
{
	free(conf);
	unit_rmdir(folder);
}

/* The file number `index` of the configuration. */
static const char *name(int index)
{
	snprintf(paths[index], sizeof(paths[index]), "%s/%d", folder, index);
	files[index] = paths[index];
	return paths[index];
}

static void put(int index, const char *text, size_t len, mode_t mode)
{
	int fd = open(name(index), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

/* What a start and a reload say, and "-t"; "" where nothing is wrong. */
static void assert_load(const char *expected, const char *label)
{
	struct errbuf err = { .text = "" };
	struct errbuf checked = { .text = "" };
	struct keys *keys = NULL;
	const char *text;

	if (keys_load(conf, &keys, &err) == CX_OK) {
		err.text[0] = '\0';
	}
	text = err.text[0] ? err.text + strlen(folder) : "";
	ck_assert_msg(strcmp(text, expected) == 0, "%s: \"%s\"", label, text);
	ck_assert_msg((keys == NULL) == (expected[0] != '\0'), "%s", label);
	keys_unref(keys);
	ck_assert_msg((conf_files_check(conf, "coexist-milter", &checked) == CX_OK) ==
			  (expected[0] == '\0'),
	    "%s: -t: \"%s\"", label, checked.text);
}

START_TEST(takes_a_file_that_is_nobody_elses)
{
	static const struct {
		const char *label, *text;
		size_t len;
		mode_t mode;
		const char *expected;
	} rows[] = {
		{ "a line", "secret\n", 7, 0600, "" },
		{ "no line", "secret", 6, 0600, "" },
		{ "one byte", "x", 1, 0400, "" },
		{ "any bytes", "\0\r\n\n", 4, 0600, "" },
		{ "its group's", "secret\n", 7, 0660, "" },
		{ "everybody's", "secret\n", 7, 0644,
		    "/0: everybody can read it, say chmod o-rwx (secret_file)" },
		{ "to write", "secret\n", 7, 0602,
		    "/0: everybody can write it, say chmod o-rwx (secret_file)" },
		{ "empty", "", 0, 0600, "/0: the secret is empty (secret_file)" },
		{ "an empty line", "\n", 1, 0600, "/0: the secret is empty (secret_file)" },
	};

	for (int i = 0; i < ROWS(rows); i++) {
		put(0, rows[i].text, rows[i].len, rows[i].mode);
		assert_load(rows[i].expected, rows[i].label);
	}
	put(0, unit_repeat('x', SECRET_LENGTH_MAX), SECRET_LENGTH_MAX, 0600);
	assert_load("", "the longest");
	put(0, unit_repeat('x', SECRET_LENGTH_MAX + 2), SECRET_LENGTH_MAX + 2, 0600);
	assert_load("/0: the secret is longer than 1024 bytes (secret_file)", "longer");
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	(void)name(0);
	assert_load("/0: No such file or directory (secret_file)", "nothing");
	ck_assert_int_eq(mkdir(files[0], 0700), 0);
	assert_load("/0: a file is wanted (secret_file)", "a folder");
	ck_assert_int_eq(rmdir(files[0]), 0);
	ck_assert_int_eq(mkfifo(files[0], 0600), 0);
	assert_load("/0: a file is wanted (secret_file)", "a pipe that nobody writes to");
}
END_TEST

START_TEST(only_the_default_file_may_be_missing)
{
	struct errbuf err;
	struct keys *keys;

	(void)name(0);
	conf->has_secret_files = false;
	assert_load("", "no trace");
	ck_assert_int_eq(keys_load(conf, &keys, &err), CX_OK);
	ck_assert_uint_eq(keys->site.count, 0);
	keys_unref(keys);
	conf->srs.enable = true;
	assert_load("/0: No such file or directory (secret_file)", "needed for SRS");
	conf->srs.enable = false;
	put(0, "", 0, 0600);
	assert_load("/0: the secret is empty (secret_file)", "there, but empty");
}
END_TEST

START_TEST(keeps_their_order)
{
	struct errbuf err;
	struct keys *keys;

	for (int i = 0; i < SECRETS_MAX; i++) {
		put(i, (char[]){ (char)('a' + i), '\n' }, 2, 0600);
	}
	assert_load("", "eight");
	ck_assert_int_eq(keys_load(conf, &keys, &err), CX_OK);
	ck_assert_uint_eq(keys->site.count, SECRETS_MAX);
	for (int i = 0; i < SECRETS_MAX; i++) {
		ck_assert_uint_eq(keys->site.items[i].len, 1);
		ck_assert_int_eq(keys->site.items[i].bytes[0], 'a' + i);
	}
	keys_unref(keys);
	put(SECRETS_MAX, "z", 1, 0600);
	assert_load("/8: more than 8 secrets (secret_file)", "nine");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("keys");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, takes_a_file_that_is_nobody_elses);
	tcase_add_test(tcase, refuses_what_is_no_file);
	tcase_add_test(tcase, only_the_default_file_may_be_missing);
	tcase_add_test(tcase, keeps_their_order);
	suite_add_tcase(suite, tcase);
	return suite;
}
