#include "config.h"

#include <stdio.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "ctl/control.h"

static bool is_configured(const struct conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->directory_count; i++) {
		if (strcmp(conf->directories[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static int report(const struct buf *answer)
{
	struct span line = buf_span(answer);

	if (answer->failed) {
		complain("out of memory");
		return EX_OSERR;
	}
	if (!span_starts_with_case(line, SPAN("ok"))) {
		complain("coexist-syncd: %.*s", SPAN_ARGS(line));
		return EX_UNAVAILABLE;
	}
	printf("%.*s\n", SPAN_ARGS(line));
	return EX_OK;
}

static int run(const struct conf *conf, int argc, char **argv)
{
	struct buf request, answer;
	struct errbuf err;
	int code;

	if (argc != 2) {
		return usage_error(&command_accept_refresh, "one directory is wanted");
	}
	if (!is_configured(conf, argv[1])) {
		complain("%s: no directory '%s'", conf->path, argv[1]);
		return EX_USAGE;
	}
	buf_init(&request);
	buf_init(&answer);
	buf_printf(&request, "accept %s", argv[1]);
	if (request.failed) {
		complain("out of memory");
		code = EX_OSERR;
	} else if (control_ask(conf, request.data, &answer, &err) != CX_OK) {
		complain("%s", err.text);
		code = EX_UNAVAILABLE;
	} else {
		code = report(&answer);
	}
	buf_release(&request);
	buf_release(&answer);
	return code;
}

const struct command command_accept_refresh = {
	.name = "accept-refresh",
	.arguments = "DIRECTORY",
	.help = "let removals go through that coexist-syncd keeps back",
	.run = run,
};
