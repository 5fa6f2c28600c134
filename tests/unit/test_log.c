#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/log_line.h"
#include "unit.h"

static char taken[8192];
static enum log_level taken_level;
static int taken_count;

static void take(enum log_level level, const char *line)
{
	taken_level = level;
	taken_count++;
	snprintf(taken, sizeof(taken), "%s", line);
}

static void setup(void)
{
	taken_count = 0;
	taken[0] = '\0';
	log_set_sink(take);
	log_set_level(LOG_LEVEL_INFO);
}

static void teardown(void)
{
	log_set_sink(NULL);
	log_set_level(LOG_LEVEL_INFO);
}

START_TEST(drops_what_is_above_the_level)
{
	log_debug("no");
	ck_assert_int_eq(taken_count, 0);
	ck_assert(!log_is_enabled(LOG_LEVEL_DEBUG));
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("yes %d", 1);
	ck_assert_str_eq(taken, "yes 1");
	ck_assert_int_eq(taken_level, LOG_LEVEL_DEBUG);
	log_set_level(LOG_LEVEL_ERROR);
	log_warnx("no");
	ck_assert_int_eq(taken_count, 1);
	log_error("still");
	ck_assert_str_eq(taken, "still");
}
END_TEST

START_TEST(adds_the_reason_and_keeps_errno)
{
	errno = ENOENT;
	log_warn("cannot open '%s'", "x");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(taken, "cannot open 'x': No such file or directory");
	ck_assert_int_eq(taken_level, LOG_LEVEL_WARNING);
	log_warnx("plain");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(taken, "plain");
}
END_TEST

START_TEST(one_event_stays_one_line)
{
	log_info("a\nb\x1b[2Jc\x7f");
	ck_assert_str_eq(taken, "a?b?[2Jc?");
}
END_TEST

START_TEST(marks_a_line_that_it_cut)
{
	const char *text = unit_repeat('x', 6000);

	log_info("%s", text);
	ck_assert_uint_lt(strlen(taken), 6000);
	ck_assert_str_eq(taken + strlen(taken) - 4, "x...");
	errno = EACCES;
	log_warn("%s", text);
	ck_assert_str_eq(taken + strlen(taken) - 4, "x...");
}
END_TEST

/* The journal shows what is no UTF-8 as "blob data": one, two or three bytes too many. */
START_TEST(cuts_no_character_in_two)
{
	const char *fill = unit_repeat('x', 4000 + (size_t)_i);
	char text[8000];

	snprintf(text, sizeof(text), "%s", fill);
	for (size_t len = strlen(text); len < 7000; len += 3) {
		memcpy(text + len, "\xe2\x82\xac", 4);
	}
	log_info("%s", text);
	ck_assert_str_eq(taken + strlen(taken) - 6, "\xe2\x82\xac...");
	ck_assert_uint_gt(strlen(taken), 4088);
}
END_TEST

START_TEST(a_value_is_cut_between_characters)
{
	struct log_line line;
	struct span part;
	char value[LOG_VALUE_MAX + 3];

	memset(value, 'x', sizeof(value));
	memcpy(value + LOG_VALUE_MAX - 1, "\xc3\xbc", 2);
	log_line_init(&line);
	log_line_add_value(&line, "to=<", LOG_FIELD_TO,
	    (struct span){ value, sizeof(value) }, ">");
	ck_assert(log_line_part(&line, LOG_FIELD_TO, &part));
	ck_assert_uint_eq(part.len, LOG_VALUE_MAX - 1 + 3);
	ck_assert_str_eq(line.text.data + line.text.len - 6, "xx...>");
	log_line_release(&line);
}
END_TEST

/* What is written to standard error, as a string to free(). */
static char *written(const char *journal_stream)
{
	char path[] = "/tmp/coexist-log-XXXXXX", stream[64];
	int saved = dup(STDERR_FILENO), fd = mkstemp(path);
	char *text = calloc(1, 1024);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	dup2(fd, STDERR_FILENO);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", journal_stream != NULL ? journal_stream : stream, 1);
	log_set_sink(NULL);
	log_open("coexist-test");
	log_info("up");
	log_warnx("odd");
	log_error("bad");
	dup2(saved, STDERR_FILENO);
	close(saved);
	unsetenv("JOURNAL_STREAM");
	log_open("coexist-test");
	ck_assert_int_ge(pread(fd, text, 1023, 0), 0);
	close(fd);
	unlink(path);
	return text;
}

START_TEST(writes_priorities_to_the_journal)
{
	char *text = written(NULL);

	ck_assert_str_eq(text, "<6>up\n<4>warning: odd\n<3>error: bad\n");
	free(text);
}
END_TEST

START_TEST(names_itself_where_standard_error_is_not_the_journal)
{
	static const char *const streams[] = { "1:1", "", "x", "1:1:1" };
	char *text = written(streams[_i]);

	ck_assert_str_eq(text,
	    "coexist-test: up\ncoexist-test: warning: odd\ncoexist-test: error: bad\n");
	free(text);
}
END_TEST

/* What syslog(3) was told: the C library's is not reached. */
static char opened[128], told[256];

void openlog(const char *identifier, int option, int facility)
{
	snprintf(opened, sizeof(opened), "%s %d %d", identifier,
	    (option & LOG_PID) != 0, facility);
}

static void vtell(int priority, const char *fmt, va_list ap) CX_PRINTF(2, 0);

static void vtell(int priority, const char *fmt, va_list ap)
{
	int n = snprintf(told, sizeof(told), "%d ", priority);

	vsnprintf(told + n, sizeof(told) - (size_t)n, fmt, ap);
}

#undef syslog /* clang's, with _FORTIFY_SOURCE */
void syslog(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vtell(priority, fmt, ap);
	va_end(ap);
}

/* The same with _FORTIFY_SOURCE. */
void __syslog_chk(int priority, int flag, const char *fmt, ...) CX_PRINTF(3, 4);

void __syslog_chk(int priority, int flag, const char *fmt, ...)
{
	va_list ap;

	(void)flag;
	va_start(ap, fmt);
	vtell(priority, fmt, ap);
	va_end(ap);
}

/* Where mail administrators look. */
START_TEST(a_daemon_in_the_background_writes_to_the_mail_log)
{
	char expected[64];

	log_set_sink(NULL);
	log_open("coexist-test");
	log_to_syslog();
	snprintf(expected, sizeof(expected), "coexist-test 1 %d", LOG_MAIL);
	ck_assert_str_eq(opened, expected);
	log_info("up");
	ck_assert_str_eq(told, "6 up");
	log_error("bad");
	ck_assert_str_eq(told, "3 error: bad");
	log_open("coexist-test");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, drops_what_is_above_the_level);
	tcase_add_test(tc, adds_the_reason_and_keeps_errno);
	tcase_add_test(tc, one_event_stays_one_line);
	tcase_add_test(tc, marks_a_line_that_it_cut);
	tcase_add_test(tc, a_value_is_cut_between_characters);
	tcase_add_loop_test(tc, cuts_no_character_in_two, 0, 3);
	tcase_add_test(tc, writes_priorities_to_the_journal);
	tcase_add_loop_test(tc, names_itself_where_standard_error_is_not_the_journal, 0,
	    4);
	tcase_add_test(tc, a_daemon_in_the_background_writes_to_the_mail_log);
	suite_add_tcase(suite, tc);
	return suite;
}
