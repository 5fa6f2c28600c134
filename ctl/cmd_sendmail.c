#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/sendmail.h"

#define INSTALLED "/etc/mail/sendmail.cf"

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

/* What is there already, if it is where it usually is. */
static void judge_installed(const struct conf *conf)
{
	unsigned found = 0;

	if (access(INSTALLED, F_OK) == 0) {
		(void)sendmail_read(conf, INSTALLED, false, &found);
	}
}

static int print_settings(const struct conf *conf)
{
	struct hops hops = { 0 };
	struct srs_hop srs;
	struct buf text;
	int code = EX_OK;

	if (conf->policyd.map_listen[0] == NULL) {
		complain(
		    "policyd has no map_listen: Sendmail asks maps for domains, relay "
		    "permission and routes");
		return EX_CONFIG;
	}
	(void)judge_settings(conf);
	srs_hop_read(conf, &srs);
	judge_installed(conf);
	hops.taken = span_is_empty(srs.transport) ? 0 : 1;
	if (!hops_collect(&hops, conf)) {
		complain(
		    "no replica that can be read: the ports of connectors are not known, "
		    "print this again");
	}
	buf_init(&text);
	sendmail_print(conf, &hops, &srs, &text);
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

static int judge_file(const struct conf *conf, const char *path)
{
	unsigned found = judge_settings(conf);
	int code = sendmail_read(conf, path, true, &found);

	if (code != EX_OK) {
		return code;
	}
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
	.arguments = "[SENDMAIL.MC|SENDMAIL.CF]",
	.help =
	    "lines for sendmail.mc; with a file, what in it is dangerous or missing",
	.run = run,
};
