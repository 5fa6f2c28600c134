#ifndef CX_COMMAND_H
#define CX_COMMAND_H

#include "daemon/conf.h"
#include "replica/store.h"

/*
 * One row a command in main.c's table. `run` gets the words behind the command's name (argv[0] is
 * the name) and returns the exit code (sysexits). Commands print results to standard
 * output and trouble to standard error.
 */
struct command {
	const char *name;
	const char *arguments; /* "ADDRESS... [--json]" */
	const char *help;      /* one line */
	int (*run)(const struct conf *, int argc, char **argv);
};

extern const struct command command_accept_refresh, command_check, command_dump,
    command_postfix, command_resolve, command_sendmail, command_status;

/* "coexistctl: text" to standard error. */
void complain(const char *fmt, ...) CX_PRINTF(1, 2);
/* The same with the command's usage; returns EX_USAGE. */
int usage_error(const struct command *, const char *fmt, ...) CX_PRINTF(2, 3);
/*
 * For commands with no arguments but --json: sets *as_json. False: there was another, and
 * usage_error() has said so.
 */
bool takes_json(const struct command *, int argc, char **argv, bool *as_json);

#endif
