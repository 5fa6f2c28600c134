#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "ctl/command.h"
#include "ctl/explain.h"

/* What the words after `resolve` ask for. */
struct request {
	struct explain_facts facts;
	bool as_json;
};

static int read_options(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "client", required_argument, NULL, 'c' },
		{ "login", required_argument, NULL, 'l' },
		{ "sender", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	memset(request, 0, sizeof(*request));
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			if (ip_parse(span_of(optarg), &request->facts.relay.ip) != CX_OK) {
				return usage_error(&command_resolve,
				    "--client %s: not an IP address", optarg);
			}
			request->facts.relay.has_ip = true;
			break;
		case 'l': request->facts.relay.login = span_of(optarg); break;
		case 's':
			request->facts.sender = span_of(optarg);
			request->facts.has_sender = true;
			break;
		case 'j': request->as_json = true; break;
		default: return usage_error(&command_resolve, "wrong option");
		}
	}
	if (optind == argc) {
		return usage_error(&command_resolve, "no address");
	}
	return EX_OK;
}

static int explain_one(struct explainer *explainer, const struct request *request,
    struct span text, bool one_line)
{
	int code;

	if (!explain(explainer, &request->facts, text)) {
		complain("out of memory");
		return EX_OSERR;
	}
	code = explain_exit_code(explainer);
	if (request->as_json) {
		explain_print_json(explainer, one_line);
	} else {
		explain_print_text(explainer);
	}
	explain_done(explainer);
	return code;
}

static int higher(int a, int b)
{
	return a > b ? a : b;
}

/* One address a line; empty lines are passed over. */
static int explain_input(struct explainer *explainer, const struct request *request)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int code = EX_OK;

	while ((len = getline(&line, &room, stdin)) >= 0) {
		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
			line[--len] = '\0';
		}
		if (len > 0) {
			code = higher(code, explain_one(explainer, request,
					  (struct span){ line, (size_t)len }, true));
		}
	}
	free(line);
	return code;
}

static int run(const struct conf *conf, int argc, char **argv)
{
	struct explainer *explainer;
	struct request request;
	int i, code = read_options(&request, argc, argv);
	bool one_line = argc - optind > 1;

	if (code != EX_OK) {
		return code;
	}
	explainer = explainer_new(conf);
	if (explainer == NULL) {
		return EX_OSERR;
	}
	for (i = optind; i < argc; i++) {
		code = higher(code,
		    strcmp(argv[i], "-") == 0
			? explain_input(explainer, &request)
			: explain_one(explainer, &request, span_of(argv[i]), one_line));
	}
	explainer_free(explainer);
	return code;
}

const struct command command_resolve = {
	.name = "resolve",
	.arguments = "ADDRESS... [--client IP] [--login USER] [--sender ADDRESS] [--json]",
	.help = "the decision about an address and every step to it ('-': standard input)",
	.run = run,
};
