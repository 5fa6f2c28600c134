#include "config.h"

#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/journal.h"
#include "value/utf8.h"

/* Longer lines are cut, visibly; syslog daemons do the same, invisibly. */
#define LOG_LINE_MAX 4096

static const char *log_program = "coexist";
static atomic_int log_level = LOG_LEVEL_INFO;
static atomic_bool log_uses_syslog;
static atomic_bool log_uses_priorities;
static atomic_bool log_uses_journal;
static _Atomic(log_sink *) log_taker;

static const int syslog_priorities[] = {
	[LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_WARNING] = LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

static const char *const level_words[] = {
	[LOG_LEVEL_ERROR] = "error: ",
	[LOG_LEVEL_WARNING] = "warning: ",
	[LOG_LEVEL_INFO] = "",
	[LOG_LEVEL_DEBUG] = "debug: ",
};

void log_open(const char *program)
{
	log_program = program;
	atomic_store(&log_uses_syslog, false);
	atomic_store(&log_uses_priorities, journal_has_stderr());
	atomic_store(&log_uses_journal, journal_has_stderr() && journal_open());
}

void log_to_syslog(void)
{
	openlog(log_program, LOG_PID | LOG_NDELAY, LOG_MAIL);
	atomic_store(&log_uses_syslog, true);
}

void log_set_level(enum log_level level)
{
	atomic_store(&log_level, (int)level);
}

bool log_is_enabled(enum log_level level)
{
	return (int)level <= atomic_load(&log_level);
}

void log_set_sink(log_sink *sink)
{
	atomic_store(&log_taker, sink);
}

static void write_all(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, bytes, len);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return; /* nowhere left to complain */
		}
		bytes += n;
		len -= (size_t)n;
	}
}

/* One write for one line, so that lines of several threads do not mix. */
static void write_line(enum log_level level, const char *word, const char *line)
{
	char text[LOG_LINE_MAX + 128];
	int n;

	if (atomic_load(&log_uses_priorities)) {
		n = snprintf(text, sizeof(text), "<%d>%s%s\n", syslog_priorities[level],
		    word, line);
	} else {
		n = snprintf(text, sizeof(text), "%.64s: %s%s\n", log_program, word,
		    line);
	}
	if (n > 0) {
		write_all(text,
		    (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	}
}

/* Appends to `line` (NUL-terminated, of LOG_LINE_MAX bytes). */
static void append(char *line, const char *text)
{
	size_t used = strlen(line);

	snprintf(line + used, LOG_LINE_MAX - used, "%s", text);
}

/* `parts` of it are fields of the journal; NULL: it has none. */
static void deliver(enum log_level level, const char *word, const char *text,
    const struct log_line *parts)
{
	log_sink *sink = atomic_load(&log_taker);
	char message[LOG_LINE_MAX + 16];

	if (sink != NULL) {
		sink(level, text);
		return;
	}
	if (atomic_load(&log_uses_syslog)) {
		syslog(syslog_priorities[level], "%s%s", word, text);
		return;
	}
	if (atomic_load(&log_uses_journal)) {
		snprintf(message, sizeof(message), "%s%s", word, text);
		/* What was lost would hang on standard error, which is the journal, too. */
		if (journal_send(syslog_priorities[level], log_program, message, parts) !=
		    JOURNAL_NOBODY) {
			return;
		}
	}
	write_line(level, word, text);
}

/* Where a line was cut (NUL-terminated, of LOG_LINE_MAX bytes), and what has no place in one. */
static void tidy(char *line, bool is_cut)
{
	if (is_cut) {
		size_t end = utf8_cut(line, LOG_LINE_MAX - sizeof("..."));

		strcpy(line + end, "...");
	}
	for (char *p = line; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			*p = '?';
		}
	}
}

CX_PRINTF(3, 0)
static void log_text(enum log_level level, int error, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX], reason[256];
	int saved = errno;
	int n;

	if (!log_is_enabled(level)) {
		return;
	}
	n = vsnprintf(line, sizeof(line), fmt, ap);
	if (n < 0) {
		n = 0;
		line[0] = '\0';
	}
	if (error != 0) {
		append(line, ": ");
		append(line, strerror_r(error, reason, sizeof(reason)));
	}
	tidy(line, (size_t)n >= sizeof(line));
	deliver(level, level_words[level], line, NULL);
	errno = saved;
}

void log_line_send(enum log_level level, const struct log_line *parts)
{
	char line[LOG_LINE_MAX];
	int saved = errno;
	int n;

	if (!log_is_enabled(level) || parts->text.len == 0) {
		return;
	}
	n = snprintf(line, sizeof(line), "%s", parts->text.data);
	tidy(line, n < 0 || (size_t)n >= sizeof(line));
	deliver(level, "", line, parts);
	errno = saved;
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LEVEL_ERROR, 0, fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LEVEL_WARNING, errno, fmt, ap);
	va_end(ap);
}

void log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LEVEL_WARNING, 0, fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LEVEL_INFO, 0, fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_text(LOG_LEVEL_DEBUG, 0, fmt, ap);
	va_end(ap);
}
