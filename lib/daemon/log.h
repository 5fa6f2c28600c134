#ifndef CX_LOG_H
#define CX_LOG_H

#include <stdbool.h>

#include "value/attrs.h"

/*
 * One event, one line. To syslog (facility mail), or to standard error; when that is
 * systemd's journal, to the journal itself (journal.h), or with <N> priorities where it
 * takes no fields. Any thread; errno is kept.
 * Values that come from outside are escaped by the caller (buf_add_escaped).
 */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Before threads. `program` must stay. To standard error until log_to_syslog(). */
void log_open(const char *program);
void log_to_syslog(void);
void log_set_level(enum log_level); /* messages above it are dropped; default info */
bool log_is_enabled(enum log_level);

void log_error(const char *fmt, ...) CX_PRINTF(1, 2);
void log_warn(const char *fmt, ...) CX_PRINTF(1, 2); /* adds ": strerror(errno)" */
void log_warnx(const char *fmt, ...) CX_PRINTF(1, 2);
void log_info(const char *fmt, ...) CX_PRINTF(1, 2);
void log_debug(const char *fmt, ...) CX_PRINTF(1, 2);

/* Takes the lines instead (tests). NULL: back to normal. */
typedef void log_sink(enum log_level, const char *line);
void log_set_sink(log_sink *);

#endif
