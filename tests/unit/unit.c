#include "config.h"

#include "unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is freed at exit; a test that has threads uses it from one of them. */
struct kept {
	struct kept *next;
	char *memory;
};

static struct kept *kept_list;

static void release_kept(void)
{
	while (kept_list != NULL) {
		struct kept *next = kept_list->next;

		free(kept_list->memory);
		free(kept_list);
		kept_list = next;
	}
}

static char *keep(char *memory)
{
	struct kept *kept = malloc(sizeof(*kept));

	ck_assert_ptr_nonnull(kept);
	if (kept_list == NULL) {
		atexit(release_kept);
	}
	*kept = (struct kept){ kept_list, memory };
	kept_list = kept;
	return memory;
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

struct span unit_span(const void *data, size_t len)
{
	return (struct span){ keep(unit_copy(data, len)), len };
}

struct span unit_text(const char *text)
{
	return text != NULL ? unit_span(text, strlen(text)) : (struct span){ NULL, 0 };
}

const char *unit_repeat(char c, size_t count)
{
	char *text = malloc(count + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, c, count);
	text[count] = '\0';
	return keep(text);
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

const char *unit_status_name(enum status status)
{
	switch (status) {
	case CX_OK: return "CX_OK";
	case CX_NOTFOUND: return "CX_NOTFOUND";
	case CX_ETEMP: return "CX_ETEMP";
	case CX_EINVAL: return "CX_EINVAL";
	case CX_ETOOLONG: return "CX_ETOOLONG";
	case CX_EFULL: return "CX_EFULL";
	case CX_ENOMEM: return "CX_ENOMEM";
	case CX_EFORMAT: return "CX_EFORMAT";
	case CX_ECONF: return "CX_ECONF";
	case CX_EIO: return "CX_EIO";
	case CX_EEXIST: return "CX_EEXIST";
	}
	return "unknown status";
}
