#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "syncd/link.h"
#include "unit.h"

/* clang-format off */
static const struct {
	const char *label;
	const char *content;
	size_t len;
	mode_t mode;
	enum status status;
	const char *password;
} rows[] = {
	{ "plain", "secret", 6, 0600, CX_OK, "secret" },
	{ "one newline is not part of it", "secret\n", 7, 0640, CX_OK, "secret" },
	{ "a second one is", "secret\n\n", 8, 0600, CX_OK, "secret\n" },
	{ "blanks are", " s \n", 4, 0600, CX_OK, " s " },
	{ "others may read", "secret", 6, 0604, CX_EINVAL, NULL },
	{ "others may write", "secret", 6, 0602, CX_EINVAL, NULL },
	{ "empty", "", 0, 0600, CX_EINVAL, NULL },
	{ "only a newline", "\n", 1, 0600, CX_EINVAL, NULL },
	{ "NUL inside", "a\0b", 3, 0600, CX_EINVAL, NULL },
};
/* clang-format on */

static enum status read_file(const void *content, size_t len, mode_t mode,
    char out[LINK_PASSWORD_MAX + 1], size_t *out_len, struct errbuf *err)
{
	char *folder = unit_mkdir(), path[4200];
	enum status status;
	FILE *file;

	snprintf(path, sizeof(path), "%s/secret", folder);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(content, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
	status = link_read_password(path, out, out_len, err);
	unit_rmdir(folder);
	return status;
}

START_TEST(reads_a_password_or_says_why_not)
{
	char out[LINK_PASSWORD_MAX + 1];
	struct errbuf err = { "" };
	size_t len = 0;

	ck_assert_msg(read_file(rows[_i].content, rows[_i].len, rows[_i].mode, out,
			  &len, &err) == rows[_i].status,
	    "%s", rows[_i].label);
	if (rows[_i].status == CX_OK) {
		ck_assert_uint_eq(len, strlen(rows[_i].password));
		ck_assert_str_eq(out, rows[_i].password);
	} else {
		ck_assert_ptr_nonnull(strstr(err.text, "/secret: "));
		ck_assert_ptr_null(strstr(err.text, "secret\n"));
	}
}
END_TEST

START_TEST(takes_the_longest_password_and_none_longer)
{
	char content[LINK_PASSWORD_MAX + 2], out[LINK_PASSWORD_MAX + 1];
	struct errbuf err;
	size_t len;

	memset(content, 'x', sizeof(content));
	content[LINK_PASSWORD_MAX] = '\n';
	ck_assert(read_file(content, LINK_PASSWORD_MAX + 1, 0600, out, &len, &err) ==
		  CX_OK);
	ck_assert_uint_eq(len, LINK_PASSWORD_MAX);
	content[LINK_PASSWORD_MAX] = 'x';
	ck_assert(read_file(content, LINK_PASSWORD_MAX + 1, 0600, out, &len, &err) ==
		  CX_EINVAL);
	ck_assert(read_file(content, LINK_PASSWORD_MAX + 2, 0600, out, &len, &err) ==
		  CX_EINVAL);
}
END_TEST

START_TEST(names_a_file_that_is_not_there)
{
	char out[LINK_PASSWORD_MAX + 1];
	struct errbuf err;
	size_t len;

	ck_assert(link_read_password("/nonexistent/secret", out, &len, &err) == CX_EIO);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/secret"));
}
END_TEST

START_TEST(a_password_of_another_user_is_not_ours)
{
	char *folder = unit_mkdir(), path[4200], out[LINK_PASSWORD_MAX + 1];
	struct errbuf err = { "" };
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%s/secret", folder);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs("secret", file), 0);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert(link_read_password(path, out, &len, &err) == CX_OK);
	if (chown(path, 12345, (gid_t)-1) == 0) { /* only root can */
		ck_assert(link_read_password(path, out, &len, &err) == CX_EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "uid 12345"));
	}
	unit_rmdir(folder);
}
END_TEST

START_TEST(a_change_of_any_file_shows)
{
	char *folder = unit_mkdir(), path[4200];
	struct conf_directory conf = { .bind_password_file = path, .tls_ca_file = "",
		.tls_cert_file = "", .tls_key_file = "" };
	struct link_marks missing, before, after;
	FILE *file;

	snprintf(path, sizeof(path), "%s/secret", folder);
	link_mark_files(&conf, &missing);
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fclose(file), 0);
	link_mark_files(&conf, &before);
	ck_assert_int_ne(memcmp(&missing, &before, sizeof(before)), 0);
	link_mark_files(&conf, &after);
	ck_assert_int_eq(memcmp(&before, &after, sizeof(before)), 0);
	ck_assert_int_eq(truncate(path, 5), 0);
	link_mark_files(&conf, &after);
	ck_assert_int_ne(memcmp(&before, &after, sizeof(before)), 0);
	unit_rmdir(folder);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("link_password");
	TCase *tc = tcase_create("link_password");

	tcase_add_loop_test(tc, reads_a_password_or_says_why_not, 0,
	    sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tc, takes_the_longest_password_and_none_longer);
	tcase_add_test(tc, names_a_file_that_is_not_there);
	tcase_add_test(tc, a_password_of_another_user_is_not_ours);
	tcase_add_test(tc, a_change_of_any_file_shows);
	suite_add_tcase(suite, tc);
	return suite;
}
