#ifndef CX_PROCESS_H
#define CX_PROCESS_H

#include <stdbool.h>

#include "daemon/conf.h"
#include "value/errbuf.h"

/*
 * What the three daemons share around their work: arguments, signals, users,
 * daemonising, the service manager. In main():
 *
 *   process_arguments -> process_block_signals -> conf_load -> (-t: say so, exit)
 *   -> open sockets -> process_detach -> process_drop_user -> process_ready
 *   -> work until process_wait_signal() -> process_stopping -> exit
 */
struct process {
	const char *program;   /* "coexist-policyd" */
	const char *conf_path; /* -c; absolute once it was loaded */
	bool foreground;       /* -f */
	bool check_only;       /* -t */
	int ready_fd;	       /* the parent waits on it while detaching; -1 */
};

/*
 * Reads -c FILE, -f, -t, -V, -h. Prints version or usage and exits where that is
 * asked for; EX_USAGE (64) for anything else.
 */
void process_arguments(struct process *, const char *program, int argc, char **argv);

/*
 * Loads the configuration, sets the level of the log, prints what is wrong and exits
 * EX_CONFIG (78); as root, a `user` that does not exist is wrong too. With -t also checks, as
 * that user, the files that the program reads (conf_files.h), says "FILE: ok" and exits 0.
 */
struct conf *process_load_conf(struct process *);

/* First thing before any thread: SIGTERM, SIGINT, SIGHUP, SIGUSR1 blocked, SIGPIPE ignored. */
void process_block_signals(void);

enum process_event {
	PROCESS_STOP,	/* SIGTERM, SIGINT */
	PROCESS_RELOAD, /* SIGUSR1, SIGHUP */
};
/* Waits for a blocked signal. */
enum process_event process_wait_signal(void);

/*
 * Unless -f: to the background; the parent returns to the shell only when
 * process_ready() was called (exit 0) or the child died (its exit code). Log goes to syslog
 * from then on.
 */
void process_detach(struct process *);
/* As root: to this user and its groups, for good. "" or not root: nothing. */
enum status process_drop_user(const char *user, struct errbuf *);
/* Tells the parent and systemd (READY=1). */
void process_ready(struct process *);
void process_reloading(void); /* RELOADING=1; process_ready() again when done */
void process_stopping(void);  /* STOPPING=1 */
/* Interval at which process_alive() is wanted, 0 for none (WatchdogSec / 2). */
unsigned process_watchdog_ms(void);
void process_alive(void);

#endif
