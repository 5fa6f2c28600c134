#include "config.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

#include "ctl/command.h"

static void vcomplain(const char *fmt, va_list args) CX_PRINTF(1, 0);

static void vcomplain(const char *fmt, va_list args)
{
	fprintf(stderr, "coexistctl: ");
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
}

void complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vcomplain(fmt, args);
	va_end(args);
}

int usage_error(const struct command *command, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vcomplain(fmt, args);
	va_end(args);
	fprintf(stderr, "usage: coexistctl [-c FILE] %s %s\n", command->name,
	    command->arguments);
	return EX_USAGE;
}

bool takes_json(const struct command *command, int argc, char **argv, bool *as_json)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*as_json = false;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'j') {
			(void)usage_error(command, "wrong option");
			return false;
		}
		*as_json = true;
	}
	if (optind != argc) {
		(void)usage_error(command, "'%s' is too much", argv[optind]);
		return false;
	}
	return true;
}
