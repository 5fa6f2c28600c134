#include "config.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "daemon/log.h"

static const struct command *const table[] = {
	&command_resolve,
	&command_check,
	&command_dump,
	&command_status,
	&command_postfix,
	&command_sendmail,
	&command_accept_refresh,
	NULL,
};

static void print_help(FILE *out)
{
	size_t i;

	fprintf(out, "usage: coexistctl [-c FILE] COMMAND ...\n\n");
	for (i = 0; table[i] != NULL; i++) {
		fprintf(out, "  %s %s\n      %s\n", table[i]->name, table[i]->arguments,
		    table[i]->help);
	}
	fprintf(out,
	    "\n  -c FILE  configuration (default " CONF_DEFAULT_PATH ")\n"
	    "  -V       version\n  -h       this help\n");
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; table[i] != NULL; i++) {
		if (strcmp(table[i]->name, name) == 0) {
			return table[i];
		}
	}
	return NULL;
}

static int run_command(const struct command *command, const char *path, int argc,
    char **argv)
{
	struct conf *conf;
	struct errbuf err;
	int code;

	if (conf_load(path, &conf, &err) != CX_OK) {
		complain("%s", err.text);
		return EX_CONFIG;
	}
	code = command->run(conf, argc, argv);
	conf_unref(conf);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("cannot write the result");
		return EX_IOERR;
	}
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = CONF_DEFAULT_PATH;
	const struct command *command;
	int option;

	setlocale(LC_CTYPE, "");
	log_open("coexistctl");
	log_set_level(LOG_LEVEL_WARNING);
	while ((option = getopt_long(argc, argv, "+c:Vh", options, NULL)) != -1) {
		switch (option) {
		case 'c': path = optarg; break;
		case 'V': printf("coexistctl %s\n", PACKAGE_VERSION); return EX_OK;
		case 'h': print_help(stdout); return EX_OK;
		default: print_help(stderr); return EX_USAGE;
		}
	}
	if (optind == argc) {
		print_help(stderr);
		return EX_USAGE;
	}
	command = find_command(argv[optind]);
	if (command == NULL) {
		complain("no command '%s'", argv[optind]);
		print_help(stderr);
		return EX_USAGE;
	}
	argc -= optind;
	argv += optind;
	optind = 0; /* the command's own options are read from the start */
	return run_command(command, path, argc, argv);
}
