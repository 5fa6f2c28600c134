#include "config.h"

#include "ctl/sendmail_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/command.h"

/* A sendmail.cf is some 70 kilobytes, a table of access may be larger. */
#define FILE_SIZE_MAX     ((size_t)1024 * 1024)
#define PATH_SIZE         1024
#define INCLUDE_DEPTH_MAX 8

/* NULL, or what is wrong with it. */
static const char *read_file(const char *path, struct buf *out)
{
	char block[4096];
	size_t len;
	FILE *in = fopen(path, "r");
	const char *wrong = NULL;

	if (in == NULL) {
		return strerror(errno);
	}
	errno = 0;
	while (!wrong && (len = fread(block, 1, sizeof(block), in)) > 0) {
		buf_add(out, block, len);
		if (out->len > FILE_SIZE_MAX) {
			wrong = "larger than 1 MB";
		} else if (memchr(block, '\0', len) != NULL) {
			wrong = "not a text";
		}
	}
	if (!wrong && ferror(in)) {
		wrong = strerror(errno);
	}
	if (!wrong && out->failed) {
		wrong = strerror(ENOMEM);
	}
	fclose(in);
	return wrong;
}

/* Reads what is in the file by `read`, as the reader's file for so long. */
static const char *read_inside(struct reader *reader, const char *path,
    void (*read)(struct reader *, struct span))
{
	struct reader before = *reader;
	struct buf text;
	const char *wrong;

	buf_init(&text);
	wrong = read_file(path, &text);
	if (!wrong) {
		reader->name = path;
		reader->line = 0;
		reader->behind = 0;
		reader->depth++;
		read(reader, buf_span(&text));
		reader->name = before.name;
		reader->line = before.line;
		reader->behind = before.behind;
		reader->depth--;
	}
	buf_release(&text);
	return wrong;
}

/* False: it is too long, or has what should not go to a terminal. */
static bool copy_path(struct span path, char out[PATH_SIZE])
{
	for (size_t i = 0; i < path.len; i++) {
		if ((unsigned char)path.ptr[i] < ' ' || path.ptr[i] == 0x7f) {
			return false;
		}
	}
	return path.len > 0 && path.len < PATH_SIZE &&
	       snprintf(out, PATH_SIZE, "%.*s", SPAN_ARGS(path)) < PATH_SIZE;
}

void reader_include(struct reader *reader, struct span path, bool must_exist)
{
	static const struct span macros = { "cf.m4", 5 };
	char name[PATH_SIZE];
	const char *wrong;

	if (path.len >= macros.len &&
	    memcmp(path.ptr + path.len - macros.len, macros.ptr, macros.len) == 0) {
		return; /* of Sendmail itself */
	}
	if (reader->depth == INCLUDE_DEPTH_MAX || !copy_path(path, name)) {
		reader_find(reader, SPAN("include"),
		    "goes too deep, or names no file");
		return;
	}
	wrong = read_inside(reader, name, mc_read);
	if (wrong && must_exist) {
		complain("%s:%u: %s: %s", reader->name, reader->line, name, wrong);
		reader->found++;
	}
}

static bool is_this_host(struct span name)
{
	return span_starts_with_case(name, SPAN("localhost")) ||
	       span_starts_with_case(name, SPAN("127.")) ||
	       span_equal(name, SPAN("127")) ||
	       span_starts_with_case(name, SPAN("ipv6:::1")) ||
	       span_equal_case(name, SPAN("IPv6:0:0:0:0:0:0:0:1"));
}

static void read_access(struct reader *reader, struct span text)
{
	while (text.len > 0) {
		struct span line = span_trim(reader_line(reader, &text));
		struct span key = span_next(&line, " \t");
		struct span host = key;

		if (key.len == 0 || key.ptr[0] == '#' ||
		    !span_equal_case(span_trim(line), SPAN("RELAY"))) {
			continue;
		}
		if (span_starts_with_case(host, SPAN("connect:"))) {
			host.ptr += 8;
			host.len -= 8;
		}
		if (!is_this_host(host)) {
			reader_find(reader, SPAN("RELAY"),
			    "opens the relay beside the directory");
		}
	}
}

static void read_relay_domains(struct reader *reader, struct span text)
{
	while (text.len > 0) {
		struct span line = span_trim(reader_line(reader, &text));

		if (line.len > 0 && line.ptr[0] != '#' && !is_this_host(line)) {
			reader_find(reader, SPAN("class R"),
			    "opens the relay beside the directory");
		}
	}
}

void reader_access(struct reader *reader, struct span path)
{
	char name[PATH_SIZE];

	if (copy_path(path, name)) {
		read_inside(reader, name, read_access);
	}
}

void reader_relay_domains(struct reader *reader, struct span path)
{
	char name[PATH_SIZE];

	if (copy_path(path, name)) {
		read_inside(reader, name, read_relay_domains);
	}
}

static void read_either(struct reader *reader, struct span text)
{
	reader->is_cf = cf_is_one(text);
	(reader->is_cf ? cf_read : mc_read)(reader, text);
}

int sendmail_read(const struct conf *conf, const char *path, bool wants_all,
    unsigned *found)
{
	struct reader reader = { .conf = conf, .name = path };
	const char *wrong = read_inside(&reader, path, read_either);

	if (wrong) {
		complain("%s: %s", path, wrong);
		return EX_NOINPUT;
	}
	if (!reader.is_cf && !reader.has_calls) {
		complain("%s: neither a sendmail.mc nor a sendmail.cf", path);
		return EX_DATAERR;
	}
	if (wants_all) {
		reader_judge_whole(&reader);
	}
	*found += reader.found;
	return EX_OK;
}
