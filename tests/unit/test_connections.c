#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policyd/connections.h"
#include "policyd/netstring.h"
#include "unit.h"

/* Netstrings, echoed: the service behind is none of this test. */
static bool answer(void *context, struct span body, struct buf *out, const char **why)
{
	(void)context;
	(void)why;
	buf_add_span(out, body);
	return true;
}

static void complain(void *context, const char *why, struct span what)
{
	(void)context;
	(void)why;
	(void)what;
}

static void farewell(struct buf *out)
{
	buf_add_text(out, "bye");
}

static const struct protocol echo = {
	.name = "echo",
	.answer_max = NETSTRING_QUERY_MAX,
	.find = netstring_frame,
	.answer = answer,
	.farewell = farewell,
	.complain = complain,
};

struct bench {
	struct event_base *base;
	struct connections *all;
};

static void bench_init(struct bench *bench)
{
	bench->base = event_base_new();
	ck_assert_ptr_nonnull(bench->base);
	ck_assert_int_eq(connections_new(bench->base, &echo, NULL, &bench->all), CX_OK);
}

static void bench_free(struct bench *bench)
{
	connections_free(bench->all);
	event_base_free(bench->base);
}

/* A client's end of a new connection. */
static int bench_connect(struct bench *bench)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	connections_adopt(bench->all, ends[0]);
	return ends[1];
}

/* Everything that is ready is done. */
static void bench_turn(struct bench *bench)
{
	for (int i = 0; i < 20; i++) {
		ck_assert_int_ge(event_base_loop(bench->base, EVLOOP_NONBLOCK), 0);
	}
}

static void say(struct bench *bench, int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
	    (ssize_t)strlen(text));
	bench_turn(bench);
}

static void hear(int fd, const char *expected)
{
	char text[256];
	ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	ck_assert_msg(got >= 0, "nothing came, not even \"%s\"", expected);
	text[got] = '\0';
	ck_assert_str_eq(text, expected);
}

static bool is_silent(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int64_t later(int64_t ms)
{
	return service_clock_ms() + ms;
}

START_TEST(keeps_idle_connections_for_long)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = bench_connect(&bench);
	connections_expire(bench.all, later(CONNECTION_IDLE_MS - 1000));
	say(&bench, fd, "5:hello,");
	hear(fd, "hello");
	connections_expire(bench.all, later(CONNECTION_IDLE_MS - 1000));
	ck_assert_uint_eq(connections_count(bench.all), 1);
	connections_expire(bench.all, later(CONNECTION_IDLE_MS));
	ck_assert_uint_eq(connections_count(bench.all), 0);
	hear(fd, "");
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

START_TEST(bytes_that_trickle_in_do_not_prolong_a_request)
{
	struct bench bench;
	int64_t began;
	int fd;

	bench_init(&bench);
	fd = bench_connect(&bench);
	began = service_clock_ms();
	say(&bench, fd, "5:hel");
	usleep(20000); /* so that a clock set again would be seen to be */
	say(&bench, fd, "l");
	connections_expire(bench.all, began + CONNECTION_PARTIAL_MS - 1);
	ck_assert_uint_eq(connections_count(bench.all), 1);
	connections_expire(bench.all, began + CONNECTION_PARTIAL_MS + 10);
	ck_assert_uint_eq(connections_count(bench.all), 0);
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

START_TEST(a_new_request_has_its_own_time)
{
	struct bench bench;
	int64_t began;
	int fd;

	bench_init(&bench);
	fd = bench_connect(&bench);
	began = service_clock_ms();
	say(&bench, fd, "5:hel");
	usleep(20000);
	say(&bench, fd, "lo,3:wo");
	hear(fd, "hello");
	connections_expire(bench.all, began + CONNECTION_PARTIAL_MS + 10);
	ck_assert_uint_eq(connections_count(bench.all), 1);
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

#define STUFF 60000

/* Requests without end, until neither side takes any more; how many bytes. */
static size_t stuff(struct bench *bench, int fd)
{
	char *request = malloc(STUFF + 8);
	size_t total = 0;
	int idle_turns = 0;

	ck_assert_ptr_nonnull(request);
	(void)snprintf(request, STUFF + 8, "%d:%0*d,", STUFF, STUFF, 7);
	while (idle_turns < 3) {
		size_t at = total % (STUFF + 7);
		ssize_t sent =
		    send(fd, request + at, STUFF + 7 - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0) {
			total += (size_t)sent;
			idle_turns = 0;
		} else {
			idle_turns++;
		}
		bench_turn(bench);
		ck_assert_uint_lt(total, 64u << 20);
	}
	free(request);
	return total;
}

START_TEST(does_not_read_from_who_does_not_read)
{
	struct bench bench;
	size_t sent, got = 0, answers;
	char *bytes = malloc(1 << 16);
	ssize_t n;
	int fd;

	ck_assert_ptr_nonnull(bytes);
	bench_init(&bench);
	fd = bench_connect(&bench);
	sent = stuff(&bench, fd);
	answers = sent / (STUFF + 7) * STUFF;
	/* All the answers are there, once they are read. */
	while (got < answers && (n = recv(fd, bytes, 1 << 16, MSG_DONTWAIT)) > 0) {
		got += (size_t)n;
		bench_turn(&bench);
	}
	ck_assert_uint_eq(got, answers);
	ck_assert_uint_eq(connections_count(bench.all), 1);
	free(bytes);
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

START_TEST(gives_up_on_who_does_not_read)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = bench_connect(&bench);
	(void)stuff(&bench, fd);
	connections_expire(bench.all, later(CONNECTION_BLOCKED_MS - 10000));
	ck_assert_uint_eq(connections_count(bench.all), 1);
	connections_expire(bench.all, later(CONNECTION_BLOCKED_MS));
	ck_assert_uint_eq(connections_count(bench.all), 0);
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

START_TEST(says_goodbye_before_closing)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = bench_connect(&bench);
	say(&bench, fd, "1:a,garbage");
	hear(fd, "abye");
	hear(fd, "");
	/* What still comes is dropped, and only for a while. */
	say(&bench, fd, "more garbage");
	ck_assert_uint_eq(connections_count(bench.all), 1);
	connections_expire(bench.all, later(CONNECTION_LINGER_MS));
	ck_assert_uint_eq(connections_count(bench.all), 0);
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

START_TEST(closes_when_the_client_has)
{
	struct bench bench;
	int fd;

	bench_init(&bench);
	fd = bench_connect(&bench);
	say(&bench, fd, "1:a,1:b,");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	bench_turn(&bench);
	hear(fd, "ab");
	hear(fd, "");
	ck_assert_uint_eq(connections_count(bench.all), 0);
	(void)close(fd);
	bench_free(&bench);
}
END_TEST

START_TEST(makes_room_by_closing_the_longest_idle)
{
	struct bench bench;
	int first, second, partial;

	bench_init(&bench);
	partial = bench_connect(&bench);
	say(&bench, partial, "5:h");
	first = bench_connect(&bench);
	second = bench_connect(&bench);
	say(&bench, first, "1:a,"); /* now the second is idle for longer */
	hear(first, "a");
	ck_assert(!connections_evict(bench.all, later(CONNECTION_EVICT_MS - 5000)));
	ck_assert(connections_evict(bench.all, later(CONNECTION_EVICT_MS)));
	hear(second, "");
	ck_assert(is_silent(first));
	ck_assert(connections_evict(bench.all, later(CONNECTION_EVICT_MS)));
	ck_assert(!connections_evict(bench.all, later(CONNECTION_EVICT_MS)));
	ck_assert(is_silent(partial));
	(void)close(first);
	(void)close(second);
	(void)close(partial);
	bench_free(&bench);
}
END_TEST

START_TEST(finishing_answers_what_is_there_and_waits_for_the_rest)
{
	struct bench bench;
	int idle, partial, unread;

	bench_init(&bench);
	idle = bench_connect(&bench);
	partial = bench_connect(&bench);
	unread = bench_connect(&bench);
	say(&bench, partial, "5:he");
	ck_assert_int_eq(send(unread, "1:a,1:b,", 8, MSG_NOSIGNAL), 8);
	connections_finish(bench.all);
	hear(idle, "");
	hear(unread, "ab");
	hear(unread, "");
	ck_assert_uint_eq(connections_count(bench.all), 1);
	say(&bench, partial, "llo,");
	hear(partial, "hello");
	hear(partial, "");
	ck_assert_uint_eq(connections_count(bench.all), 0);
	(void)close(idle);
	(void)close(partial);
	(void)close(unread);
	bench_free(&bench);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("connections");
	TCase *tcase = tcase_create("all");

	tcase_add_test(tcase, keeps_idle_connections_for_long);
	tcase_add_test(tcase, bytes_that_trickle_in_do_not_prolong_a_request);
	tcase_add_test(tcase, a_new_request_has_its_own_time);
	tcase_add_test(tcase, does_not_read_from_who_does_not_read);
	tcase_add_test(tcase, gives_up_on_who_does_not_read);
	tcase_add_test(tcase, says_goodbye_before_closing);
	tcase_add_test(tcase, closes_when_the_client_has);
	tcase_add_test(tcase, makes_room_by_closing_the_longest_idle);
	tcase_add_test(tcase, finishing_answers_what_is_there_and_waits_for_the_rest);
	suite_add_tcase(suite, tcase);
	return suite;
}
