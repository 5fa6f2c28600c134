#include "config.h"

#include "unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	SRunner *runner = srunner_create(unit_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

char *unit_copy(const void *data, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len > 0) {
		memcpy(copy, data, len);
		return copy;
	}
	/* malloc(0) may be NULL; a buffer of no bytes at all is wanted. */
	free(copy);
	copy = malloc(0);
	ck_assert_ptr_nonnull(copy);
	return copy;
}

char *unit_read_source(const char *path, size_t *len)
{
	const char *top = getenv("top_srcdir");
	char name[4096];
	char *text;
	long size;
	FILE *file;
	int n;

	n = snprintf(name, sizeof(name), "%s/%s", top != NULL ? top : ".", path);
	ck_assert(n > 0 && (size_t)n < sizeof(name));
	file = fopen(name, "rb");
	ck_assert_msg(file != NULL, "%s: cannot open", name);
	ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	ck_assert(size >= 0);
	rewind(file);
	text = malloc((size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
	text[size] = '\0';
	fclose(file);
	*len = (size_t)size;
	return text;
}

char *unit_mkdir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = malloc(4096);
	int n;

	ck_assert_ptr_nonnull(path);
	n = snprintf(path, 4096, "%s/coexist-unit-XXXXXX", tmp != NULL ? tmp : "/tmp");
	ck_assert(n > 0 && n < 4096);
	ck_assert_ptr_nonnull(mkdtemp(path));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void unit_rmdir(char *path)
{
	ck_assert_int_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(path);
}
