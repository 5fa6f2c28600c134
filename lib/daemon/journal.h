#ifndef CX_JOURNAL_H
#define CX_JOURNAL_H

#include <stdbool.h>

#include "daemon/log_line.h"

/*
 * systemd's journal, behind log.h: the only part that knows its protocol (its
 * JOURNAL_NATIVE_PROTOCOL). Not by libsystemd, which waits for a journal that hangs for as
 * long as it does, and mail would wait too. Any thread, but for journal_open().
 */

/* Whether standard error goes there (JOURNAL_STREAM, systemd.exec(5)). */
bool journal_has_stderr(void);
/* Whether it takes fields; before threads. */
bool journal_open(void);

enum journal_result {
	JOURNAL_TAKEN,
	JOURNAL_NOBODY, /* nobody is there to take it */
	JOURNAL_LOST, /* somebody is, but takes none: counted, and told of when it goes on */
};
/*
 * One entry: MESSAGE, PRIORITY (of syslog.h), SYSLOG_IDENTIFIER, SYSLOG_FACILITY (mail), and
 * the fields of `line`, which may be NULL. Waits half a second at most for a
 * journal that takes none, and not at all while it goes on taking none.
 */
enum journal_result journal_send(int priority, const char *identifier,
    const char *message, const struct log_line *line);

#endif
