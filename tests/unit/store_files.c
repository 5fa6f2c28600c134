#include "config.h"

#include "store_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_fixture.h"

char *files_path(const char *name)
{
	char *path;

	ck_assert_int_gt(asprintf(&path, "%s/%s", fx.folder, name), 0);
	return path;
}

bool files_has(const char *name)
{
	char *path = files_path(name);
	struct stat info;
	bool is_there = lstat(path, &info) == 0;

	free(path);
	return is_there;
}

unsigned files_mode(const char *name)
{
	char *path = files_path(name);
	struct stat info;

	ck_assert_int_eq(stat(path, &info), 0);
	free(path);
	return info.st_mode & 07777;
}

void files_make(const char *name, const char *text)
{
	char *path = files_path(name);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	free(path);
}

unsigned files_count(const char *prefix)
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

void files_link_current(const char *target)
{
	char *path = files_path("current");

	unlink(path);
	ck_assert_int_eq(symlink(target, path), 0);
	free(path);
}
