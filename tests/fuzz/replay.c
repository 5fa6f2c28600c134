#include "config.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "value/attrs.h"

/*
 * main() of a fuzz target that is not linked with libFuzzer: runs it once with
 * each file named, or with those of its corpus (tests/fuzz/corpus/NAME, for the
 * program fuzz_NAME). Each in a buffer of its exact size.
 */

static CX_NORETURN void die(const char *path, const char *what)
{
	fprintf(stderr, "%s: %s\n", path, what);
	exit(EXIT_FAILURE);
}

static void replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) {
		die(path, "cannot read");
	}
	rewind(file);
	data = malloc((size_t)size);
	if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
		die(path, "cannot read");
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
}

static int replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (dir == NULL) {
		die(path, "cannot open");
	}
	while ((entry = readdir(dir)) != NULL) {
		char name[4096];

		if (entry->d_name[0] == '.') {
			continue;
		}
		if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(name)) {
			die(path, "name too long");
		}
		replay_file(name);
		count++;
	}
	closedir(dir);
	return count;
}

static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		return replay_folder(path);
	}
	replay_file(path);
	return 1;
}

static int replay_corpus(const char *program)
{
	const char *top = getenv("top_srcdir");
	const char *name = strstr(program, "fuzz_");
	const char *next;
	char path[4096];

	while (name != NULL && (next = strstr(name + 1, "fuzz_")) != NULL) {
		name = next;
	}
	if (name == NULL) {
		die(program, "not named fuzz_NAME");
	}
	if (snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top != NULL ? top : ".",
		name + strlen("fuzz_")) >= (int)sizeof(path)) {
		die(program, "name too long");
	}
	return replay_folder(path);
}

int main(int argc, char **argv)
{
	int count = 0;

	for (int i = 1; i < argc; i++) {
		count += replay(argv[i]);
	}
	if (argc == 1) {
		count = replay_corpus(argv[0]);
	}
	if (count == 0) {
		die(argv[0], "no input");
	}
	return EXIT_SUCCESS;
}
