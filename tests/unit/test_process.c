#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/process.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *folder;
static char conf_path[4096], other_path[4096];

static void setup(void)
{
	folder = unit_mkdir();
	snprintf(conf_path, sizeof(conf_path), "%s/c.conf", folder);
	snprintf(other_path, sizeof(other_path), "%s/other", folder);
}

static void teardown(void)
{
	unit_rmdir(folder);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* What a child left: its exit code, and what it wrote to standard output and error. */
static int child_code;
static char child_text[8192];

/* Runs `work` in a child; one that returns exits 99. */
static void run_child(void (*work)(char **), char **argv)
{
	int fds[2], result;
	size_t len = 0;
	ssize_t n;
	pid_t child;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		work(argv);
		fflush(NULL);
		_exit(99);
	}
	close(fds[1]);
	while ((n = read(fds[0], child_text + len, sizeof(child_text) - 1 - len)) > 0) {
		len += (size_t)n;
	}
	child_text[len] = '\0';
	close(fds[0]);
	ck_assert_int_eq(waitpid(child, &result, 0), child);
	ck_assert_msg(WIFEXITED(result), "signal %d", WTERMSIG(result));
	child_code = WEXITSTATUS(result);
}

static struct process process;

static void start(char **argv)
{
	int argc = 0;

	while (argv[argc] != NULL) {
		argc++;
	}
	optind = 1;
	process_arguments(&process, argv[0], argc, argv);
}

static void load(char **argv)
{
	start(argv);
	process_load_conf(&process);
}

static void check(const char *program)
{
	char name[64], c[] = "-c", t[] = "-t";
	char *argv[] = { name, c, conf_path, t, NULL };

	snprintf(name, sizeof(name), "%s", program);
	run_child(load, argv);
}

/* clang-format off */
static const struct {
	const char *arguments[4];
	int code;
	const char *text; /* how what is printed begins */
} arguments[] = {
	{ { "-V" }, 0, "coexist-x " PACKAGE_VERSION "\n" },
	{ { "-h" }, 0, "usage: coexist-x [-ft] [-c FILE]\n" },
	{ { "--version" }, 0, "coexist-x " PACKAGE_VERSION "\n" },
	{ { "--help" }, 0, "usage: coexist-x [-ft] [-c FILE]\n" },
	{ { "--nonsense" }, 64, "coexist-x: unrecognized option '--nonsense'\nusage: " },
	{ { "-x" }, 64, "coexist-x: invalid option -- 'x'\nusage: " },
	{ { "-c" }, 64, "coexist-x: option requires an argument -- 'c'\nusage: " },
	{ { "-f", "more" }, 64, "usage: " },
	{ { "-f", "-c", "/x", "-t" }, 99, "" },
};
/* clang-format on */

START_TEST(understands_its_arguments)
{
	char *argv[6] = { strdup("coexist-x") };

	for (size_t i = 0; i < 4 && arguments[_i].arguments[i] != NULL; i++) {
		argv[i + 1] = strdup(arguments[_i].arguments[i]);
	}
	run_child(start, argv);
	ck_assert_int_eq(child_code, arguments[_i].code);
	ck_assert_msg(strncmp(child_text, arguments[_i].text,
			  strlen(arguments[_i].text)) == 0,
	    "%s", child_text);
	for (size_t i = 0; argv[i] != NULL; i++) {
		free(argv[i]);
	}
}
END_TEST

START_TEST(keeps_what_the_arguments_said)
{
	char name[] = "coexist-x", c[] = "-c", path[] = "/x", flags[] = "-ft";
	char *none[] = { name, NULL }, *all[] = { name, c, path, flags, NULL };

	start(none);
	ck_assert_str_eq(process.conf_path, CONF_DEFAULT_PATH);
	ck_assert(!process.foreground && !process.check_only);
	ck_assert_int_eq(process.ready_fd, -1);
	start(all);
	ck_assert_str_eq(process.program, "coexist-x");
	ck_assert_str_eq(process.conf_path, "/x");
	ck_assert(process.foreground && process.check_only);
}
END_TEST

START_TEST(exits_78_and_says_where_the_configuration_is_wrong)
{
	char expected[8192];

	write_file(conf_path, "directory \"a\" { ldif = \"/d\" }\n\nnonsense = 1\n",
	    0644);
	check("coexist-syncd");
	ck_assert_int_eq(child_code, 78);
	snprintf(expected, sizeof(expected), "%s:3: unknown option 'nonsense'\n",
	    conf_path);
	ck_assert_str_eq(child_text, expected);
}
END_TEST

/* In the background it is in another folder when it reads the file again. */
START_TEST(finds_its_configuration_again_from_another_folder)
{
	char name[] = "coexist-milter", c[] = "-c", path[] = "c.conf";
	char *argv[] = { name, c, path, NULL };

	write_file(conf_path, "user = \"\" directory \"a\" { ldif = \"/d\" }\n", 0644);
	ck_assert_int_eq(chdir(folder), 0);
	start(argv);
	conf_unref(process_load_conf(&process));
	ck_assert_str_eq(process.conf_path, conf_path);
	ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(exits_78_without_a_configuration)
{
	check("coexist-syncd");
	ck_assert_int_eq(child_code, 78);
	ck_assert_ptr_nonnull(strstr(child_text,
	    "/c.conf: No such file or directory\n"));
}
END_TEST

START_TEST(refuses_a_user_that_does_not_exist_only_as_root)
{
	char expected[8192];

	write_file(conf_path,
	    "user = nobody\ndirectory \"a\" { ldif = \"c.conf\" }\n"
	    "milter { user = \"no.such.user\" }\n",
	    0644);
	ck_assert_int_eq(chmod(folder, 0755), 0);
	check("coexist-syncd");
	ck_assert_msg(child_code == 0, "%s", child_text);
	check("coexist-milter");
	if (geteuid() != 0) {
		ck_assert_int_eq(child_code, 0);
		return;
	}
	ck_assert_int_eq(child_code, 78);
	snprintf(expected, sizeof(expected),
	    "%s: there is no user 'no.such.user': create it, or set another 'user'\n",
	    conf_path);
	ck_assert_str_eq(child_text, expected);
}
END_TEST

/* What -t of which program says about a file of which mode, as the user nobody. */
/* clang-format off */
static const struct {
	const char *label;
	const char *keys;
	int mode; /* of the file "other"; 0: there is none */
	const char *program;
	const char *message; /* behind the path; NULL: all is well */
} files[] = {
	{ "ldif", "directory \"a\" { ldif = other }", 0644, "coexist-syncd", NULL },
	{ "no ldif", "directory \"a\" { ldif = other }", 0, "coexist-syncd",
	    ": No such file or directory (ldif)\n" },
	{ "unreadable ldif", "directory \"a\" { ldif = other }", 0600, "coexist-syncd",
	    ": Permission denied for nobody (ldif)\n" },
	{ "not the milter's", "directory \"a\" { ldif = other }", 0600, "coexist-milter", NULL },
	{ "ldif is a folder", "directory \"a\" { ldif = other }", S_IFDIR | 0755, "coexist-syncd",
	    ": a file is wanted (ldif)\n" },
	{ "open password", "directory \"a\" { uri = \"ldap://h\" base = \"dc=a\" bind_dn = \"cn=a\" "
	    "bind_password_file = other }", 0644, "coexist-syncd",
	    ": everybody can read it, say chmod o-rwx (bind_password_file)\n" },
	{ "closed password", "directory \"a\" { uri = \"ldap://h\" base = \"dc=a\" bind_dn = \"cn=a\" "
	    "bind_password_file = other }", 0600, "coexist-syncd",
	    ": Permission denied for nobody (bind_password_file)\n" },
	{ "CA", "directory \"a\" { uri = \"ldap://h\" base = \"dc=a\" tls_ca_file = other }", 0,
	    "coexist-syncd", ": No such file or directory (tls_ca_file)\n" },
	{ "secret that is set", "secret_file = other directory \"a\" { ldif = \"/d\" }", 0,
	    "coexist-milter", ": No such file or directory (secret_file)\n" },
	{ "secret and syncd", "secret_file = other directory \"a\" { ldif = c.conf }", 0,
	    "coexist-syncd", NULL },
	{ "default secret", "directory \"a\" { ldif = \"/d\" }", 0, "coexist-policyd", NULL },
	{ "secret of SRS", "directory \"a\" { ldif = \"/d\" }\n"
	    "srs { enable = true domain = \"srs.example\" secret_file = other }", 0,
	    "coexist-policyd", ": No such file or directory (secret_file)\n" },
};
/* clang-format on */

START_TEST(checks_files_as_the_user_that_reads_them)
{
	char text[2048], expected[8192];
	bool is_denial = files[_i].message != NULL &&
			 strstr(files[_i].message, "Permission denied") != NULL;

	if (is_denial && geteuid() != 0) {
		return; /* the file is our own */
	}
	snprintf(text, sizeof(text), "user = nobody\n%s\n", files[_i].keys);
	write_file(conf_path, text, 0644);
	ck_assert_int_eq(chmod(folder, 0755), 0);
	if (S_ISDIR(files[_i].mode)) {
		ck_assert_int_eq(mkdir(other_path, 0755), 0);
	} else if (files[_i].mode != 0) {
		write_file(other_path, "secret\n", (mode_t)files[_i].mode);
	}
	check(files[_i].program);
	snprintf(expected, sizeof(expected), "%s%s",
	    files[_i].message != NULL ? other_path : conf_path,
	    files[_i].message != NULL ? files[_i].message : ": ok\n");
	ck_assert_str_eq(child_text, expected);
	ck_assert_int_eq(child_code, files[_i].message != NULL ? 78 : 0);
}
END_TEST

START_TEST(a_configuration_that_its_user_cannot_read_again_is_wrong)
{
	if (geteuid() != 0) {
		return; /* root alone reads it on somebody's behalf */
	}
	write_file(conf_path, "user = nobody\ndirectory \"a\" { ldif = c.conf }\n",
	    0600);
	ck_assert_int_eq(chmod(folder, 0755), 0);
	check("coexist-milter");
	ck_assert_int_eq(child_code, 78);
	ck_assert_ptr_nonnull(strstr(child_text, "/c.conf: Permission denied for nobody (-c)\n"));
}
END_TEST

START_TEST(tells_signals_apart)
{
	static const struct {
		int number;
		enum process_event event;
	} rows[] = {
		{ SIGTERM, PROCESS_STOP },
		{ SIGINT, PROCESS_STOP },
		{ SIGHUP, PROCESS_RELOAD },
		{ SIGUSR1, PROCESS_RELOAD },
	};

	process_block_signals();
	ck_assert_int_eq(kill(getpid(), rows[_i].number), 0);
	ck_assert_int_eq(process_wait_signal(), rows[_i].event);
}
END_TEST

START_TEST(survives_a_broken_pipe)
{
	int fds[2];

	process_block_signals();
	ck_assert_int_eq(pipe(fds), 0);
	close(fds[0]);
	ck_assert_int_lt(write(fds[1], "x", 1), 0);
	ck_assert_int_eq(errno, EPIPE);
	close(fds[1]);
}
END_TEST

/* The daemon of the next tests writes what it is to `other_path` when it is told to. */
static void be_ready(char **argv)
{
	char line[256];

	start(argv);
	process_detach(&process);
	snprintf(line, sizeof(line), "%d %d %s", getsid(0) == getpid(),
	    process.ready_fd >= 0, getcwd((char[64]){ 0 }, 64));
	write_file(other_path, line, 0644);
	log_info("to syslog, and nowhere else");
	process_ready(&process);
	_exit(98);
}

START_TEST(returns_to_the_shell_when_it_is_ready)
{
	char name[] = "coexist-x", *argv[] = { name, NULL }, *text;
	FILE *f;
	char line[256] = "";

	run_child(be_ready, argv);
	ck_assert_int_eq(child_code, 0);
	ck_assert_str_eq(child_text, "");
	f = fopen(other_path, "r");
	ck_assert_ptr_nonnull(f);
	text = fgets(line, sizeof(line), f);
	fclose(f);
	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(line, "1 1 /");
}
END_TEST

static void die_early(char **argv)
{
	start(argv);
	process_detach(&process);
	_exit(EX_CONFIG);
}

START_TEST(passes_on_how_the_child_died)
{
	char name[] = "coexist-x", *argv[] = { name, NULL };

	run_child(die_early, argv);
	ck_assert_int_eq(child_code, EX_CONFIG);
	ck_assert_str_eq(child_text, "coexist-x: could not start, see the log\n");
}
END_TEST

static void stay(char **argv)
{
	pid_t before = getpid();

	start(argv);
	process_detach(&process);
	process_ready(&process);
	printf("%d %d", before == getpid(), process.ready_fd);
}

START_TEST(stays_in_the_foreground_with_f)
{
	char name[] = "coexist-x", f[] = "-f", *argv[] = { name, f, NULL };

	run_child(stay, argv);
	ck_assert_int_eq(child_code, 99);
	ck_assert_str_eq(child_text, "1 -1");
}
END_TEST

static void drop(char **argv)
{
	struct errbuf err = { "" };
	gid_t groups[64] = { 0 };
	/* Root may have groups of its own, or, as here and there, none. */
	bool has_groups = geteuid() != 0 || setgroups(1, groups) == 0;
	enum status status = process_drop_user(argv[0], &err);
	int count = getgroups(COUNT(groups), groups);

	ck_assert(has_groups);
	printf("%d %d %d %s", status == CX_OK, (int)geteuid(), setuid(0) == 0,
	    err.text);
	for (int i = 0; i < count; i++) {
		if (groups[i] == 0) {
			printf(" and group 0");
		}
	}
}

START_TEST(becomes_another_user_for_good)
{
	char nobody[] = "nobody", *argv[] = { nobody, NULL }, expected[64];
	struct passwd *entry = getpwnam("nobody");

	ck_assert_ptr_nonnull(entry);
	run_child(drop, argv);
	snprintf(expected, sizeof(expected), "1 %d 0 ",
	    (int)(geteuid() == 0 ? entry->pw_uid : geteuid()));
	ck_assert_str_eq(child_text, expected);
}
END_TEST

START_TEST(says_which_user_is_missing)
{
	char name[] = "no.such.user", *argv[] = { name, NULL };

	run_child(drop, argv);
	if (geteuid() == 0) {
		ck_assert_int_eq(strncmp(child_text,
				     "0 0 1 there is no user 'no.such.user'", 36),
		    0);
	} else {
		ck_assert_int_eq(child_text[0], '1');
	}
}
END_TEST

START_TEST(stays_root_where_no_user_is_named)
{
	struct errbuf err;
	uid_t before = geteuid();

	unit_assert_status(process_drop_user("", &err), CX_OK, "no user");
	ck_assert_uint_eq(geteuid(), before);
}
END_TEST

#ifdef HAVE_SYSTEMD
START_TEST(tells_systemd_how_it_is)
{
	static const struct {
		void (*tell)(void);
		const char *message;
	} rows[] = {
		{ process_reloading, "RELOADING=1\nMONOTONIC_USEC=" },
		{ process_stopping, "STOPPING=1" },
		{ process_alive, "WATCHDOG=1" },
	};
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct process foreground = { .foreground = true, .ready_fd = -1 };
	char text[256] = "";
	ssize_t n;

	snprintf(un.sun_path, sizeof(un.sun_path), "%.90s/n", folder);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	setenv("NOTIFY_SOCKET", un.sun_path, 1);
	process_ready(&foreground);
	n = recv(fd, text, sizeof(text) - 1, 0);
	ck_assert_int_eq(n, 7);
	ck_assert_str_eq(text, "READY=1");
	for (size_t i = 0; i < COUNT(rows); i++) {
		memset(text, 0, sizeof(text));
		rows[i].tell();
		ck_assert_int_gt(recv(fd, text, sizeof(text) - 1, 0), 0);
		ck_assert_int_eq(strncmp(text, rows[i].message,
				     strlen(rows[i].message)),
		    0);
	}
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}
END_TEST

START_TEST(is_watched_at_half_the_interval)
{
	char pid[32];

	ck_assert_uint_eq(process_watchdog_ms(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_USEC", "30000000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	ck_assert_uint_eq(process_watchdog_ms(), 15000);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}
END_TEST
#endif

Suite *unit_suite(void)
{
	Suite *suite = suite_create("process");
	TCase *tc = tcase_create("process");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, understands_its_arguments, 0, COUNT(arguments));
	tcase_add_test(tc, keeps_what_the_arguments_said);
	tcase_add_test(tc, exits_78_and_says_where_the_configuration_is_wrong);
	tcase_add_test(tc, finds_its_configuration_again_from_another_folder);
	tcase_add_test(tc, exits_78_without_a_configuration);
	tcase_add_test(tc, refuses_a_user_that_does_not_exist_only_as_root);
	tcase_add_loop_test(tc, checks_files_as_the_user_that_reads_them, 0,
	    COUNT(files));
	tcase_add_test(tc, a_configuration_that_its_user_cannot_read_again_is_wrong);
	tcase_add_loop_test(tc, tells_signals_apart, 0, 4);
	tcase_add_test(tc, survives_a_broken_pipe);
	tcase_add_test(tc, returns_to_the_shell_when_it_is_ready);
	tcase_add_test(tc, passes_on_how_the_child_died);
	tcase_add_test(tc, stays_in_the_foreground_with_f);
	tcase_add_test(tc, becomes_another_user_for_good);
	tcase_add_test(tc, says_which_user_is_missing);
	tcase_add_test(tc, stays_root_where_no_user_is_named);
#ifdef HAVE_SYSTEMD
	tcase_add_test(tc, tells_systemd_how_it_is);
	tcase_add_test(tc, is_watched_at_half_the_interval);
#endif
	suite_add_tcase(suite, tc);
	return suite;
}
