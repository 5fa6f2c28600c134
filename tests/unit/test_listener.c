#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */
static const struct {
	const char *spec;
	const char *message; /* NULL: right */
} specs[] = {
	{ "unix:/run/x", NULL },
	{ "inet:127.0.0.1:10040", NULL },
	{ "inet:[::1]:0", NULL },
	{ "inet:localhost:smtp", NULL },
	{ "inet:localhost:65535", NULL },
	{ "", "'' is neither unix:/path nor inet:host:port" },
	{ "/run/x", "'/run/x' is neither unix:/path nor inet:host:port" },
	{ "local:/run/x", "'local:/run/x' is neither unix:/path nor inet:host:port" },
	{ "unix:", "'unix:' needs an absolute path" },
	{ "unix:run/x", "'unix:run/x' needs an absolute path" },
	{ "inet:10040", "'inet:10040' does not end in a port (inet:HOST:PORT)" },
	{ "inet::10040", "'inet::10040' has no host (inet:127.0.0.1:PORT)" },
	{ "inet:host:", "'inet:host:' does not end in a port (inet:HOST:PORT)" },
	{ "inet:host:65536", "'inet:host:65536' does not end in a port (inet:HOST:PORT)" },
	{ "inet:host:-1", "'inet:host:-1' does not end in a port (inet:HOST:PORT)" },
	{ "inet:host:99999999999", "'inet:host:99999999999' does not end in a port (inet:HOST:PORT)" },
	{ "inet:::1:25", "'inet:::1:25': an IPv6 address stands in []" },
	{ "inet:[]:25", "'inet:[]:25' has no host (inet:127.0.0.1:PORT)" },
	{ "inet:10040@host:1", "'inet:10040@host:1' has no host (inet:127.0.0.1:PORT)" },
};
/* clang-format on */

START_TEST(checks_the_syntax)
{
	struct errbuf err = { "" };
	enum status status = listener_check(specs[_i].spec, &err);

	unit_assert_status(status, specs[_i].message != NULL ? CX_EINVAL : CX_OK,
	    specs[_i].spec);
	if (specs[_i].message != NULL) {
		ck_assert_str_eq(err.text, specs[_i].message);
	}
}
END_TEST

START_TEST(refuses_a_path_that_no_socket_can_have)
{
	char spec[256];
	struct errbuf err;

	snprintf(spec, sizeof(spec), "unix:/%s", unit_repeat('x', 106));
	unit_assert_status(listener_check(spec, &err), CX_OK, "107 bytes");
	snprintf(spec, sizeof(spec), "unix:/%s", unit_repeat('x', 107));
	unit_assert_status(listener_check(spec, &err), CX_EINVAL, "108 bytes");
	ck_assert_ptr_nonnull(strstr(err.text, "at most 107 bytes"));
}
END_TEST

static char *folder;
static char path[4096], spec[4112];

static void setup(void)
{
	folder = unit_mkdir();
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(spec, sizeof(spec), "unix:%s", path);
}

static void teardown(void)
{
	unit_rmdir(folder);
}

static int open_ok(const char *what)
{
	struct errbuf err = { "" };
	int fd = -1;
	enum status status = listener_open(what, 16, &fd, &err);

	ck_assert_msg(status == CX_OK, "%s", err.text);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	return fd;
}

static int connect_to(int listener)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd;

	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_msg(connect(fd, (struct sockaddr *)&address, len) == 0, "%s",
	    strerror(errno));
	return fd;
}

START_TEST(lets_its_group_connect_and_nobody_else)
{
	const struct group *postfix = getgrnam("postfix");
	gid_t group = postfix != NULL ? postfix->gr_gid : (gid_t)-1;
	mode_t mask = umask(0);
	int fd = open_ok(spec), client = connect_to(fd);
	struct stat st;
	char name[256];

	umask(mask);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0660);
	if (geteuid() == 0 && group != (gid_t)-1) {
		ck_assert_uint_eq(st.st_gid, group);
	}
	listener_name(fd, name, sizeof(name));
	ck_assert_str_eq(name, spec);
	close(client);
	close(fd);
	listener_remove(spec);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

static char victim[4200], lure[4200];
static atomic_bool is_over;

/* Somebody who may write to the folder, as the daemon's user may. */
static void *swap(void *unused)
{
	(void)unused;
	while (!atomic_load(&is_over)) {
		(void)!symlink(victim, lure);
		if (access(path, F_OK) == 0) {
			(void)rename(lure, path);
		}
	}
	return NULL;
}

/* What root opens must not give away a file of root's. */
START_TEST(gives_no_other_file_away_when_the_socket_is_swapped)
{
	struct errbuf err;
	struct stat st;
	pthread_t thread;
	int fd;

	snprintf(victim, sizeof(victim), "%s/victim", folder);
	snprintf(lure, sizeof(lure), "%s/lure", folder);
	close(open(victim, O_CREAT | O_WRONLY, 0640));
	atomic_store(&is_over, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, swap, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		enum status status =
		    i % 2 == 0 ? listener_open(spec, 16, &fd, &err)
			       : listener_open_private(spec, "nobody", 16, &fd, &err);

		if (status == CX_OK) {
			close(fd);
		}
		(void)unlink(path);
	}
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	(void)unlink(path);
	(void)unlink(lure);
	ck_assert_int_eq(stat(victim, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0640);
	ck_assert_uint_eq(st.st_uid, geteuid());
}
END_TEST

START_TEST(keeps_a_private_socket_from_others)
{
	const struct passwd *nobody = getpwnam("nobody");
	mode_t mask = umask(0);
	struct errbuf err;
	struct stat st;
	int fd;

	ck_assert_ptr_nonnull(nobody);
	unit_assert_status(listener_open_private(spec, "nobody", 16, &fd, &err), CX_OK,
	    err.text);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0600);
	ck_assert_uint_eq(st.st_uid, geteuid() == 0 ? nobody->pw_uid : geteuid());
	close(connect_to(fd));
	close(fd);
	unit_assert_status(
	    listener_open_private("inet:127.0.0.1:0", "", 16, &fd, &err), CX_EINVAL, "TCP");
	umask(mask);
}
END_TEST

START_TEST(replaces_a_stale_socket)
{
	int fd = open_ok(spec);

	close(fd);
	ck_assert_int_eq(access(path, F_OK), 0);
	fd = open_ok(spec);
	close(connect_to(fd));
	close(fd);
}
END_TEST

START_TEST(leaves_a_live_socket_alone)
{
	struct errbuf err;
	char message[4200];
	int fd = open_ok(spec), second;

	snprintf(message, sizeof(message), "%s is in use: another process listens there", spec);
	unit_assert_status(listener_open(spec, 16, &second, &err), CX_EIO, "live");
	ck_assert_str_eq(err.text, message);
	close(connect_to(fd));
	close(fd);
}
END_TEST

/* A full queue answers EAGAIN: that listener lives, however busy. */
START_TEST(leaves_a_busy_socket_alone)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), second, clients[16];
	size_t count = 0;
	struct errbuf err;

	strcpy(un.sun_path, path);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(listener, 0), 0);
	for (; count < COUNT(clients); count++) {
		clients[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(clients[count], (struct sockaddr *)&un, sizeof(un)) != 0) {
			ck_assert_int_eq(errno, EAGAIN);
			break;
		}
	}
	ck_assert_uint_lt(count, COUNT(clients));
	unit_assert_status(listener_open(spec, 16, &second, &err), CX_EIO, "busy");
	for (size_t i = 0; i <= count; i++) {
		close(clients[i]);
	}
	close(listener);
}
END_TEST

START_TEST(leaves_other_files_alone)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600), listener;
	struct errbuf err;
	struct stat st;

	close(fd);
	unit_assert_status(listener_open(spec, 16, &listener, &err), CX_EIO, "a file");
	ck_assert_ptr_nonnull(strstr(err.text,
	    "a file that is no socket is in the way"));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
}
END_TEST

START_TEST(removes_what_nobody_listens_on_any_more_and_nothing_else)
{
	int fd = open_ok(spec), next;

	close(fd);
	next = open_ok(spec); /* of the process that comes after */
	listener_remove_stale(spec);
	close(connect_to(next));
	close(next);
	listener_remove_stale(spec);
	ck_assert_int_ne(access(path, F_OK), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	listener_remove_stale(spec);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(says_why_it_cannot_listen)
{
	struct errbuf err;
	int fd;

	strcat(spec, "/not/there");
	unit_assert_status(listener_open(spec, 16, &fd, &err), CX_EIO, "no folder");
	ck_assert_ptr_nonnull(strstr(err.text, "No such file or directory"));
	unit_assert_status(listener_open("inet:host.invalid:1", 16, &fd, &err), CX_EIO,
	    "no host");
	ck_assert_int_eq(strncmp(err.text, "inet:host.invalid:1: ", 21), 0);
}
END_TEST

START_TEST(picks_a_port_and_tells_it)
{
	static const struct {
		const char *spec;
		const char *start;
	} rows[] = { { "inet:127.0.0.1:0", "inet:127.0.0.1:" },
		{ "inet:[::1]:0", "inet:[::1]:" }, { "inet:[::]:0", "inet:[::]:" } };
	int fd = open_ok(rows[_i].spec), client = connect_to(fd), accepted, value,
	    second;
	socklen_t len = sizeof(value);
	struct errbuf err;
	char name[64];

	listener_name(fd, name, sizeof(name));
	ck_assert_int_eq(strncmp(name, rows[_i].start, strlen(rows[_i].start)), 0);
	ck_assert_int_gt(atoi(strrchr(name, ':') + 1), 0);
	unit_assert_status(listener_open(name, 16, &second, &err), CX_EIO, "twice");
	ck_assert_ptr_nonnull(strstr(err.text, " is in use"));
	/* What the kernel made of the listener's options for the connection. */
	accepted = accept(fd, NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	ck_assert_int_eq(getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &value, &len),
	    0);
	ck_assert_int_ne(value, 0);
	if (_i == 2) { /* so that 0.0.0.0 may stand beside it */
		ck_assert_int_eq(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len), 0);
		ck_assert_int_ne(value, 0);
	}
	close(accepted);
	close(client);
	close(fd);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("listener");
	TCase *tc = tcase_create("listener");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, checks_the_syntax, 0, COUNT(specs));
	tcase_add_test(tc, refuses_a_path_that_no_socket_can_have);
	tcase_add_test(tc, lets_its_group_connect_and_nobody_else);
	tcase_add_test(tc, gives_no_other_file_away_when_the_socket_is_swapped);
	tcase_add_test(tc, keeps_a_private_socket_from_others);
	tcase_add_test(tc, replaces_a_stale_socket);
	tcase_add_test(tc, leaves_a_live_socket_alone);
	tcase_add_test(tc, leaves_a_busy_socket_alone);
	tcase_add_test(tc, leaves_other_files_alone);
	tcase_add_test(tc, removes_what_nobody_listens_on_any_more_and_nothing_else);
	tcase_add_test(tc, says_why_it_cannot_listen);
	tcase_add_loop_test(tc, picks_a_port_and_tells_it, 0, 3);
	suite_add_tcase(suite, tc);
	return suite;
}
