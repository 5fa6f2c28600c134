#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/log.h"
#include "policyd/service.h"
#include "policyd/watchdog.h"
#include "unit.h"

/*
 * The watchdog alone: workers are numbers here, and the clock stands. A worker that hangs cannot be
 * made from outside.
 */
#define NOW 100000

struct worker {
	atomic_int_fast64_t seen_at_ms;
};

static struct worker one, other;
static struct worker *workers[] = { &one, &other };

int64_t service_clock_ms(void)
{
	return NOW;
}

int64_t worker_seen_at_ms(const struct worker *w)
{
	return atomic_load(&w->seen_at_ms);
}

static atomic_int complaints;

static void take(enum log_level level, const char *line)
{
	if (level == LOG_LEVEL_WARNING && strcmp(line, "a worker hangs") == 0) {
		atomic_fetch_add(&complaints, 1);
	}
}

static void setup(void)
{
	atomic_store(&one.seen_at_ms, NOW);
	atomic_store(&other.seen_at_ms, NOW);
	atomic_store(&complaints, 0);
	log_set_sink(take);
}

static void teardown(void)
{
	log_set_sink(NULL);
}

START_TEST(each_worker_must_have_gone_round_within_ten_seconds)
{
	atomic_store(&other.seen_at_ms, NOW - 10000);
	ck_assert(watchdog_is_content(workers, 2));
	ck_assert_int_eq(atomic_load(&complaints), 0);
	atomic_store(&other.seen_at_ms, NOW - 10001);
	ck_assert(!watchdog_is_content(workers, 2));
	ck_assert(watchdog_is_content(workers, 1));
	ck_assert_int_eq(atomic_load(&complaints), 0); /* whoever asks must not fill the log */
}
END_TEST

START_TEST(nobody_is_told_where_nobody_asks)
{
	struct watchdog *watchdog = (struct watchdog *)&one;

	unit_assert_status(watchdog_new(workers, 2, &watchdog), CX_OK, "no WATCHDOG_USEC");
	ck_assert_ptr_null(watchdog);
	watchdog_free(watchdog);
}
END_TEST

#ifdef HAVE_SYSTEMD
static void assert_told(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char text[64] = "";

	ck_assert_int_eq(poll(&ready, 1, 20000), 1);
	ck_assert_int_gt(recv(fd, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, "WATCHDOG=1");
}

static void wait_for_complaints(int count)
{
	while (atomic_load(&complaints) < count) {
		usleep(1000);
	}
}

/* Until one hangs; then it is for the service manager to end us. */
START_TEST(the_service_manager_hears_of_it_while_all_go_round)
{
	char *folder = unit_mkdir(), pid[32], text[64];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), count;
	struct watchdog *watchdog;

	snprintf(un.sun_path, sizeof(un.sun_path), "%.90s/n", folder);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("NOTIFY_SOCKET", un.sun_path, 1);
	setenv("WATCHDOG_USEC", "4000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	unit_assert_status(watchdog_new(workers, 2, &watchdog), CX_OK, "asked");
	assert_told(fd);
	assert_told(fd);
	atomic_store(&one.seen_at_ms, 0);
	wait_for_complaints(1);
	while (recv(fd, text, sizeof(text), 0) > 0) {
		continue;
	}
	count = atomic_load(&complaints);
	wait_for_complaints(count + 3);
	ck_assert_int_lt(recv(fd, text, sizeof(text), 0), 0);
	ck_assert_int_eq(errno, EAGAIN);
	atomic_store(&one.seen_at_ms, NOW);
	assert_told(fd);
	watchdog_free(watchdog);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	close(fd);
	unit_rmdir(folder);
}
END_TEST
#endif

Suite *unit_suite(void)
{
	Suite *suite = suite_create("watchdog");
	TCase *tc = tcase_create("watchdog");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, each_worker_must_have_gone_round_within_ten_seconds);
	tcase_add_test(tc, nobody_is_told_where_nobody_asks);
#ifdef HAVE_SYSTEMD
	tcase_add_test(tc, the_service_manager_hears_of_it_while_all_go_round);
#endif
	suite_add_tcase(suite, tc);
	return suite;
}
