#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "ctl/sendmail.h"

/* A sendmail.mc is a few kilobytes. */
#define MC_SIZE_MAX ((size_t)1024 * 1024)

/* How many of them are wrong for Sendmail. */
static unsigned judge_settings(const struct conf *conf)
{
	unsigned found = 0;

	if (!conf->milter.enforce) {
		complain(
		    "enforce of the section milter is false: without it nothing refuses "
		    "unknown recipients");
		found++;
	}
	if (conf->settings.observe) {
		complain("observe is true: the milter refuses nothing");
		found++;
	}
	return found;
}

static int print_settings(const struct conf *conf)
{
	struct hops hops = { 0 };
	struct buf text;
	int code = EX_OK;

	if (conf->policyd.map_listen[0] == NULL) {
		complain(
		    "policyd has no map_listen: Sendmail asks maps for domains, relay "
		    "permission and routes");
		return EX_CONFIG;
	}
	(void)judge_settings(conf);
	if (!hops_collect(&hops, conf)) {
		complain(
		    "no replica that can be read: the ports of connectors are not known, "
		    "print this again");
	}
	buf_init(&text);
	sendmail_print(conf, &hops, &text);
	if (text.failed || hops.failed) {
		complain("out of memory");
		code = EX_OSERR;
	} else {
		fwrite(text.data, 1, text.len, stdout);
	}
	buf_release(&text);
	hops_release(&hops);
	return code;
}

/* False: errno says why. */
static bool read_file(const char *path, struct buf *out)
{
	char block[4096];
	size_t len;
	FILE *in = fopen(path, "r");
	bool is_read;

	if (in == NULL) {
		return false;
	}
	while ((len = fread(block, 1, sizeof(block), in)) > 0 &&
	       out->len < MC_SIZE_MAX) {
		buf_add(out, block, len);
	}
	is_read = !ferror(in) && feof(in) && !out->failed;
	fclose(in);
	return is_read;
}

static int judge_file(const struct conf *conf, const char *path)
{
	struct buf text;
	unsigned found = 0;

	buf_init(&text);
	if (!read_file(path, &text)) {
		complain("%s cannot be read", path);
		buf_release(&text);
		return EX_NOINPUT;
	}
	found += judge_settings(conf);
	found += sendmail_read(path, buf_span(&text));
	buf_release(&text);
	return found > 0 ? 1 : EX_OK;
}

static int run(const struct conf *conf, int argc, char **argv)
{
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		return usage_error(&command_sendmail, "one file at most");
	}
	return argc == 2 ? judge_file(conf, argv[1]) : print_settings(conf);
}

const struct command command_sendmail = {
	.name = "sendmail",
	.arguments = "[SENDMAIL.MC]",
	.help =
	    "lines for sendmail.mc; with a file, what in it is dangerous or missing",
	.run = run,
};
