#ifndef CX_CONF_READ_H
#define CX_CONF_READ_H

#include "daemon/conf_options.h"
#include "value/buf.h"

/*
 * The text of a configuration, read by the rows of conf_options.h: the only place that
 * knows libconfuse. Every value has been checked and is in the form in which it is kept
 * (a time is milliseconds, a word its place among the choices).
 *
 * libconfuse's lexer is global, so readings are made one at a time (a lock inside);
 * what they return may be used by any thread.
 */
struct reading;

/*
 * `name` is what messages call the file; `folder` is where relative paths start; `text`
 * is changed. CX_OK; CX_ECONF with "name:line: what is wrong"; CX_ENOMEM.
 */
enum status reading_new(const char *name, const char *folder, char *text, size_t len,
    struct reading **out, struct errbuf *);
void reading_free(struct reading *);

/* A section: the top level, or number `directory` of the directories. */
struct place {
	enum section_id section;
	size_t directory;
};

size_t reading_directory_count(const struct reading *);
const char *reading_directory_name(const struct reading *, size_t directory);
/* The line of the closing brace; of the top level, the last one. */
int reading_last_line(const struct reading *, struct place);

bool reading_is_set(const struct reading *, struct place, const struct option *);
/* The line of its (last) value; the section's last line where it is not set. */
int reading_line(const struct reading *, struct place, const struct option *);
/* 0 or 1 but for lists. Not for what is not set: see option_convert(). */
size_t reading_count(const struct reading *, struct place, const struct option *);
const char *reading_value(const struct reading *, struct place, const struct option *,
    size_t n);

/*
 * The form in which `text` is kept, appended to `out`. CX_ECONF: errbuf says what is
 * wrong with it (not where). CX_ENOMEM.
 */
enum status option_convert(const struct option *, const char *text, const char *folder,
    struct buf *out, struct errbuf *);

#endif
