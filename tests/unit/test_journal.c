#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "daemon/journal.h"
#include "unit.h"

/*
 * How long lines wait for a journal: what it says to each attempt is written down ("y": takes
 * it, "f": its queue is full, "n": nobody is there). The C library's call is not reached.
 */
static const char *answers;
static unsigned waits;  /* attempts that may wait */
static char last[4096]; /* what it took last */

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct iovec *part = message->msg_iov;
	char answer = *answers;

	(void)fd;
	ck_assert_msg(answer != '\0', "one attempt too many");
	answers++;
	waits += (flags & MSG_DONTWAIT) == 0;
	if (answer != 'y') {
		errno = answer == 'f' ? EAGAIN : ECONNREFUSED;
		return -1;
	}
	ck_assert_uint_lt(part->iov_len, sizeof(last));
	memcpy(last, part->iov_base, part->iov_len);
	last[part->iov_len] = '\0';
	for (size_t i = 0; i < part->iov_len; i++) {
		last[i] = last[i] ? last[i] : ' ';
	}
	return (ssize_t)part->iov_len;
}

struct line {
	const char *answers;
	enum journal_result result;
	unsigned waits;
	unsigned
	    told; /* so many are said to be lost; 0: it is the line that came last */
};

static const struct {
	const char *label;
	struct line lines[6];
} rows[] = {
	{ "takes all", { { "y", JOURNAL_TAKEN, 0, 0 }, { "y", JOURNAL_TAKEN, 0, 0 } } },
	{ "a short jam",
	    { { "fy", JOURNAL_TAKEN, 1, 0 }, { "fy", JOURNAL_TAKEN, 1, 0 } } },
	{ "hangs, and goes on",
	    { { "ff", JOURNAL_LOST, 1, 0 }, { "f", JOURNAL_LOST, 0, 0 },
		{ "f", JOURNAL_LOST, 0, 0 }, { "yy", JOURNAL_TAKEN, 0, 3 },
		{ "fy", JOURNAL_TAKEN, 1, 0 } } },
	{ "room for one line only",
	    { { "ff", JOURNAL_LOST, 1, 0 }, { "yf", JOURNAL_TAKEN, 0, 0 },
		{ "fyf", JOURNAL_TAKEN, 1, 0 }, { "ff", JOURNAL_LOST, 1, 0 },
		{ "yy", JOURNAL_TAKEN, 0, 2 } } },
	{ "goes away while it hangs",
	    { { "ff", JOURNAL_LOST, 1, 0 }, { "n", JOURNAL_NOBODY, 0, 0 },
		{ "yy", JOURNAL_TAKEN, 0, 1 } } },
	{ "goes away in a wait",
	    { { "fn", JOURNAL_NOBODY, 1, 0 }, { "y", JOURNAL_TAKEN, 0, 0 } } },
};

START_TEST(a_line_waits_once_at_most)
{
	char expected[64];

	for (size_t i = 0; rows[_i].lines[i].answers; i++) {
		const struct line *line = &rows[_i].lines[i];

		answers = line->answers;
		waits = 0;
		ck_assert_msg(journal_send(LOG_INFO, "test", "the line", NULL) ==
				  line->result,
		    "%s, line %zu", rows[_i].label, i);
		ck_assert_msg(*answers == '\0' && waits == line->waits,
		    "%s, line %zu: '%s' not asked for, %u waits", rows[_i].label, i,
		    answers, waits);
		snprintf(expected, sizeof(expected), "%u lines of log were lost",
		    line->told);
		ck_assert_msg(line->result != JOURNAL_TAKEN ||
				  strstr(last, line->told ? expected : "the line"),
		    "%s, line %zu: %s", rows[_i].label, i, last);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("journal");
	TCase *tcase = tcase_create("journal");

	tcase_add_loop_test(tcase, a_line_waits_once_at_most, 0,
	    sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
