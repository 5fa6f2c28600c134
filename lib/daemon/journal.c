#include "config.h"

#include "daemon/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/*
 * systemd names the device and inode of the journal's stream; only while standard
 * error is still that one may lines carry <N> (sd-daemon(3), systemd.exec(5)).
 */
bool journal_has_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char end;

	if (stream == NULL ||
	    sscanf(stream, "%llu:%llu%c", &device, &inode, &end) != 2) {
		return false;
	}
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
	       st.st_ino == (ino_t)inode;
}

#ifdef HAVE_SYSTEMD

/* Where a line was written in our source is nobody's business. */
# define SD_JOURNAL_SUPPRESS_LOCATION
# include <systemd/sd-journal.h>

/* sd_journal_sendv() takes no other, and drops entries in silence where it is missing. */
# define JOURNAL_SOCKET "/run/systemd/journal/socket"
/* All fields of an entry: its message twice (whole, and in parts), and their names. */
# define ENTRY_MAX  20480
# define FIELDS_MAX (4 + LOG_FIELD_COUNT)

bool journal_is_open(void)
{
	return access(JOURNAL_SOCKET, W_OK) == 0;
}

/* A field that does not fit is left out. */
static void add(struct buf *memory, struct iovec *fields, int *count, const char *name,
    struct span value)
{
	size_t start = memory->len;

	if (memory->size - memory->len < strlen(name) + value.len + 2) {
		return;
	}
	buf_add_text(memory, name);
	buf_add_char(memory, '=');
	buf_add_span(memory, value);
	fields[*count].iov_base = memory->data + start;
	fields[*count].iov_len = memory->len - start;
	*count += 1;
}

bool journal_send(int priority, const char *identifier, const char *message,
    const struct log_line *line)
{
	char memory[ENTRY_MAX], digits[8];
	struct iovec fields[FIELDS_MAX];
	struct buf entry, number;
	struct span part;
	int count = 0;

	buf_init_fixed(&entry, memory, sizeof(memory));
	add(&entry, fields, &count, "MESSAGE", span_of(message));
	buf_init_fixed(&number, digits, sizeof(digits));
	buf_printf(&number, "%d", priority);
	add(&entry, fields, &count, "PRIORITY", buf_span(&number));
	buf_clear(&number);
	buf_printf(&number, "%d", LOG_MAIL >> 3);
	add(&entry, fields, &count, "SYSLOG_FACILITY", buf_span(&number));
	add(&entry, fields, &count, "SYSLOG_IDENTIFIER", span_of(identifier));
	for (int i = 0; line != NULL && i < LOG_FIELD_COUNT; i++) {
		if (log_line_part(line, (enum log_field)i, &part)) {
			add(&entry, fields, &count, log_field_name((enum log_field)i),
			    part);
		}
	}
	return sd_journal_sendv(fields, count) == 0;
}

#else

bool journal_is_open(void)
{
	return false;
}

bool journal_send(int priority, const char *identifier, const char *message,
    const struct log_line *line)
{
	(void)priority;
	(void)identifier;
	(void)message;
	(void)line;
	return false;
}

#endif
