#ifndef CX_CONF_OPTIONS_H
#define CX_CONF_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/conf.h"
#include "daemon/conf_check.h"
#include "value/buf.h"

/*
 * Every key of coexist.conf, one row each: what it is called, what it may be, what it is
 * where the file does not say, and where it goes. conf.c reads the file by these
 * rows; tests hold the example file and the manual page against them.
 */
enum option_type {
	OPTION_TEXT, /* const char * */
	OPTION_LIST, /* const char *const *, NULL-terminated; one value needs no braces */
	OPTION_BOOL,    /* bool */
	OPTION_NUMBER,  /* unsigned, from `min` to `max` */
	OPTION_MS,      /* int64_t; `min` and `max` are milliseconds too */
	OPTION_SECONDS, /* the same, but kept in whole seconds */
	OPTION_CHOICE,  /* an enum whose values are places in `choices` */
};

struct option {
	const char *name;
	enum option_type type;
	/* As it would be written; "" for nothing; of a list, its only value. */
	const char *fallback;
	size_t offset; /* in struct conf, or in struct directory_section */
	/* Text and lists: each value that is not empty; NULL: any text. */
	conf_check *check;
	int64_t min, max;
	/* CHOICE, TEXT, LIST: the words that are allowed, NULL-terminated; or NULL. */
	const char *const *choices;
	bool may_be_empty; /* "" is right although it is not the fallback */
};

enum section_id {
	SECTION_TOP,
	SECTION_DIRECTORY,
	SECTION_ATTRIBUTES, /* within a directory */
	SECTION_SYNCD,
	SECTION_MILTER,
	SECTION_POLICYD,
	SECTION_SRS,
	SECTION_LOG,
	SECTION_COUNT
};

struct section {
	const char *name; /* "" at the top level */
	enum section_id parent;
	const struct option *options;
	size_t option_count;
};
extern const struct section conf_sections[SECTION_COUNT];

/* The row called `name` in a section; NULL: none. */
const struct option *section_find(enum section_id, const char *name);
/* The key of, or section in, a section that `name` may be a slip for; NULL: none. */
const char *section_nearest(enum section_id, const char *name);
/* The key of any section that `name` may be a slip for; NULL: none. */
const char *section_nearest_anywhere(const char *name);
/* "syncd or milter": what a person calls the sections that have the key; false: none has. */
bool section_print_homes(const char *name, struct buf *out);

/* A directory while it is being filled: what struct conf_directory does not keep. */
struct directory_section {
	struct conf_directory conf;
	const char *const *provides;
};

#endif
