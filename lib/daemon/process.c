#include "config.h"

#include "daemon/process.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/conf_files.h"
#include "daemon/log.h"
#include "daemon/notify.h"

static CX_NORETURN void print_usage(const char *program, FILE *f, int status)
{
	fprintf(f,
	    "usage: %s [-ft] [-c FILE]\n"
	    "       %s -V | -h\n"
	    "  -c FILE  the configuration (%s)\n"
	    "  -f       stay in the foreground, log to standard error\n"
	    "  -t       check the configuration and exit\n"
	    "  -V       say the version and exit (--version)\n"
	    "  -h       say this and exit (--help)\n",
	    program, program, CONF_DEFAULT_PATH);
	exit(status);
}

void process_arguments(struct process *process, const char *program, int argc,
    char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*process = (struct process){
		.program = program,
		.conf_path = CONF_DEFAULT_PATH,
		.ready_fd = -1,
	};
	log_open(program);
	while ((option = getopt_long(argc, argv, "c:fthV", options, NULL)) != -1) {
		switch (option) {
		case 'c': process->conf_path = optarg; break;
		case 'f': process->foreground = true; break;
		case 't': process->check_only = true; break;
		case 'h': print_usage(program, stdout, EX_OK);
		case 'V': printf("%s %s\n", program, PACKAGE_VERSION); exit(EX_OK);
		default: print_usage(program, stderr, EX_USAGE);
		}
	}
	if (optind < argc) {
		print_usage(program, stderr, EX_USAGE);
	}
}

/* To the person or the script that started us: no prefix, "file:line:" comes first. */
static CX_NORETURN void refuse(const struct errbuf *err)
{
	fprintf(stderr, "%s\n", err->text);
	exit(EX_CONFIG);
}

static const char *user_of(const struct process *process, const struct conf *conf)
{
	if (strcmp(process->program, "coexist-syncd") == 0) {
		return conf->syncd.user;
	}
	if (strcmp(process->program, "coexist-milter") == 0) {
		return conf->milter.user;
	}
	if (strcmp(process->program, "coexist-policyd") == 0) {
		return conf->policyd.user;
	}
	return conf->user;
}

/* In a child, as `user`: what conf_files_check() says, with the errbuf through a pipe. */
static enum status check_files_as(const char *user, const struct conf *conf,
    const char *program, struct errbuf *err)
{
	enum status status;
	int fds[2], result;
	ssize_t n;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		errbuf_set(err, "cannot check files: %s", strerror(errno));
		return CX_EIO;
	}
	if (child == 0) {
		status = process_drop_user(user, err);
		if (status == CX_OK) {
			status = conf_files_check(conf, program, err);
		}
		if (status != CX_OK && write(fds[1], err, sizeof(*err)) < 0) {
			_exit(EX_OSERR);
		}
		_exit(status == CX_OK ? EX_OK : EX_CONFIG);
	}
	close(fds[1]);
	n = read(fds[0], err, sizeof(*err));
	close(fds[0]);
	if (waitpid(child, &result, 0) == child && WIFEXITED(result) &&
	    WEXITSTATUS(result) == EX_OK) {
		return CX_OK;
	}
	if (n != (ssize_t)sizeof(*err)) {
		errbuf_set(err, "cannot check files: the check died");
	}
	return CX_ECONF;
}

/* For reloads, after the process has left the folder it was started in. */
static void keep_path(struct process *process, const char *absolute)
{
	static char kept[PATH_MAX];
	struct errbuf err;

	if (strlen(absolute) >= sizeof(kept)) {
		errbuf_set(&err, "%s: %s", process->conf_path, strerror(ENAMETOOLONG));
		refuse(&err);
	}
	strcpy(kept, absolute);
	process->conf_path = kept;
}

struct conf *process_load_conf(struct process *process)
{
	struct conf *conf;
	struct errbuf err;
	const char *user;

	if (conf_load(process->conf_path, &conf, &err) != CX_OK) {
		refuse(&err);
	}
	log_set_level(conf->log_level);
	keep_path(process, conf->path);
	user = user_of(process, conf);
	if (geteuid() == 0 && user[0] != '\0' && getpwnam(user) == NULL) {
		errbuf_set(&err,
		    "%s: there is no user '%s': create it, or set another 'user'",
		    conf->path, user);
		refuse(&err);
	}
	if (process->check_only) {
		if (check_files_as(user, conf, process->program, &err) != CX_OK) {
			refuse(&err);
		}
		printf("%s: ok\n", process->conf_path);
		exit(EX_OK);
	}
	return conf;
}

static void get_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

void process_block_signals(void)
{
	sigset_t set;

	get_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

enum process_event process_wait_signal(void)
{
	sigset_t set;
	int number = 0;

	get_signals(&set);
	while (sigwait(&set, &number) != 0) {
		continue;
	}
	return number == SIGTERM || number == SIGINT ? PROCESS_STOP : PROCESS_RELOAD;
}

/* The parent: waits for the child to be ready or to die, and says which to the shell. */
static CX_NORETURN void await_child(const struct process *process, pid_t child, int fd)
{
	char byte;
	ssize_t n;
	int result;

	while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR) {
		continue;
	}
	if (n == 1) {
		_exit(EX_OK);
	}
	while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
		continue;
	}
	fprintf(stderr, "%s: could not start, see the log\n", process->program);
	_exit(WIFEXITED(result) && WEXITSTATUS(result) != 0 ? WEXITSTATUS(result)
							    : EX_SOFTWARE);
}

void process_detach(struct process *process)
{
	int fds[2];
	pid_t child;

	if (process->foreground) {
		return;
	}
	if (pipe2(fds, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		log_warn("cannot go to the background");
		exit(EX_OSERR);
	}
	if (child > 0) {
		close(fds[1]);
		await_child(process, child, fds[0]);
	}
	close(fds[0]);
	process->ready_fd = fds[1];
	setsid();
	log_to_syslog();
	if (chdir("/") != 0) {
		log_warn("cannot change to /");
	}
}

enum status process_drop_user(const char *user, struct errbuf *err)
{
	struct passwd *entry;

	if (user[0] == '\0' || geteuid() != 0) {
		return CX_OK;
	}
	entry = getpwnam(user);
	if (entry == NULL) {
		errbuf_set(err, "there is no user '%s'", user);
		return CX_ECONF;
	}
	if (initgroups(entry->pw_name, entry->pw_gid) != 0 ||
	    setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0) {
		errbuf_set(err, "cannot become user '%s': %s", user, strerror(errno));
		return CX_EIO;
	}
	if (entry->pw_uid != 0 && setuid(0) == 0) {
		errbuf_set(err, "user '%s' can still become root", user);
		return CX_EIO;
	}
	return CX_OK;
}

static void leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO) {
			close(null);
		}
	}
}

void process_ready(struct process *process)
{
	if (process->ready_fd >= 0) {
		leave_terminal();
		while (write(process->ready_fd, "", 1) < 0 && errno == EINTR) {
			continue;
		}
		close(process->ready_fd);
		process->ready_fd = -1;
	}
	notify_ready();
}
