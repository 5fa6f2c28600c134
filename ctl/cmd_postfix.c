#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "ctl/srs_hop.h"
#include "value/buf.h"

/* Where Postfix keeps its sockets unless it says otherwise. */
#define QUEUE_DIRECTORY "/var/spool/postfix"
#define PATH_SIZE       1024

/* What a policy service that cannot be asked means. */
#define POLICY_TAIL \
 "timeout=10s, { default_action = 451 4.3.5 Directory policy unavailable } }"

/*
 * The policy service permits nobody to relay while it observes. Who could do it by a login
 * before Coexist came must not lose it: nothing is to be refused that was not before.
 */
#define WHILE_OBSERVING "permit_sasl_authenticated, "

struct site {
	const struct conf *conf;
	bool is_local; /* Postfix delivers to the mailboxes itself */
	char queue[PATH_SIZE];
	/* Listeners as Postfix names them. */
	char policy[PATH_SIZE];
	char map[PATH_SIZE];
	char milter[PATH_SIZE];
};

/* The installed one's, or that of MAIL_CONFIG, which postconf honours. */
static void read_queue_directory(char out[PATH_SIZE])
{
	FILE *in = popen("postconf -h queue_directory 2>/dev/null", "r");
	bool is_read = in != NULL && fgets(out, PATH_SIZE, in) != NULL;

	if (in != NULL && pclose(in) != 0) {
		is_read = false;
	}
	if (is_read) {
		out[strcspn(out, "\n")] = '\0';
	}
	if (!is_read || out[0] != '/') {
		snprintf(out, PATH_SIZE, "%s", QUEUE_DIRECTORY);
	}
}

/* A socket below the queue directory is found chrooted and not by its name there. */
static void name_listener(const struct site *site, const char *listener,
    char out[PATH_SIZE])
{
	static const char unix_prefix[] = "unix:";
	size_t prefix = sizeof(unix_prefix) - 1, len = strlen(site->queue);
	const char *path = listener + prefix;

	if (strncmp(listener, unix_prefix, prefix) == 0 &&
	    strncmp(path, site->queue, len) == 0 && path[len] == '/') {
		snprintf(out, PATH_SIZE, "unix:%s", path + len + 1);
	} else {
		snprintf(out, PATH_SIZE, "%s", listener);
		if (strncmp(listener, unix_prefix, prefix) == 0) {
			complain(
			    "%s is not below %s: what is chrooted does not reach it",
			    listener, site->queue);
		}
	}
}

static void print_main(const struct site *site)
{
	printf("# main.cf\n"
	       "smtpd_milters = { %s, connect_timeout=5s, default_action=tempfail }\n"
	       "non_smtpd_milters = $smtpd_milters\n"
	       "internal_mail_filter_classes = bounce, notify\n"
	       "smtpd_relay_restrictions =\n"
	       "    check_policy_service { %s, policy_context=relay,\n"
	       "        " POLICY_TAIL ",\n"
	       "    permit_mynetworks, %sreject_unauth_destination\n"
	       "smtpd_recipient_restrictions =\n"
	       "    check_policy_service { %s, policy_context=recipient,\n"
	       "        " POLICY_TAIL "\n"
	       "smtpd_relay_before_recipient_restrictions = yes\n",
	    site->milter, site->policy,
	    site->conf->settings.observe ? WHILE_OBSERVING : "", site->policy);
	if (site->is_local) {
		printf("virtual_mailbox_domains = socketmap:%s:mailbox_domains\n"
		       "virtual_mailbox_maps = socketmap:%s:recipients\n",
		    site->map, site->map);
	}
	printf("relay_domains = socketmap:%s:%s\n"
	       "relay_recipient_maps =\n"
	       "transport_maps = socketmap:%s:transport\n"
	       "disable_vrfy_command = yes\n",
	    site->map, site->is_local ? "relay_domains" : "domains", site->map);
}

static bool is_of_postfix(struct span transport)
{
	return span_equal(transport, SPAN("smtp")) ||
	       span_equal(transport, SPAN("relay"));
}

static void print_hop_client(const struct srs_hop *hop)
{
	printf("%.*s unix - - y - - smtp\n"
	       "  -o smtp_bind_address%s=%.*s\n"
	       "  -o smtp_tls_security_level=none\n"
	       "  -o smtp_sasl_auth_enable=no\n"
	       "  -o smtp_fallback_relay=\n"
	       "  -o smtp_discard_ehlo_keywords=\n"
	       "  -o smtp_discard_ehlo_keyword_address_maps=\n"
	       "  -o smtp_generic_maps=\n"
	       "  -o smtp_header_checks=\n"
	       "  -o smtp_mime_header_checks=\n"
	       "  -o smtp_nested_header_checks=\n"
	       "  -o smtp_body_checks=\n",
	    SPAN_ARGS(hop->transport), hop->is_v6 ? "6" : "", SPAN_ARGS(hop->address));
}

/*
 * A client and a server that change nothing whatever main.cf says for others, and a server
 * that asks us and nobody else, for addresses of SRS alone. What cleanup(8) did when the
 * message came in first it must not do again.
 */
static void print_hop(const struct site *site, const struct srs_hop *hop)
{
	bool is_own = !is_of_postfix(hop->transport);

	if (is_own) {
		printf("%.*s_destination_recipient_limit = 1000\n",
		    SPAN_ARGS(hop->transport));
	}
	printf("\n# master.cf\n");
	if (is_own) {
		print_hop_client(hop);
	}
	printf("coexist-srs-cleanup unix n - y - 0 cleanup\n"
	       "  -o always_bcc=\n"
	       "  -o sender_bcc_maps=\n"
	       "  -o recipient_bcc_maps=\n"
	       "  -o message_size_limit=0\n");
	printf(hop->is_v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", SPAN_ARGS(hop->address),
	    SPAN_ARGS(hop->port));
	printf(
	    " inet n - y - - smtpd\n"
	    "  -o cleanup_service_name=coexist-srs-cleanup\n"
	    "  -o message_size_limit=0\n"
	    "  -o local_header_rewrite_clients=\n"
	    "  -o smtpd_discard_ehlo_keywords=\n"
	    "  -o smtpd_discard_ehlo_keyword_address_maps=\n"
	    "  -o smtpd_client_event_limit_exceptions=static:all\n"
	    "  -o { smtpd_milters = { %s, connect_timeout=5s, default_action=tempfail } }\n"
	    "  -o smtpd_milter_maps=\n"
	    "  -o smtpd_client_restrictions=\n"
	    "  -o smtpd_helo_restrictions=\n"
	    "  -o smtpd_sender_restrictions=\n"
	    "  -o allow_untrusted_routing=yes\n"
	    "  -o smtpd_relay_restrictions=reject_unauth_destination\n"
	    "  -o { smtpd_recipient_restrictions = check_policy_service\n"
	    "      { %s, policy_context=recipient,\n"
	    "      " POLICY_TAIL ",\n"
	    "      check_recipient_access inline:{%s=permit}, reject }\n"
	    "  -o smtpd_data_restrictions=\n"
	    "  -o smtpd_end_of_data_restrictions=\n"
	    "  -o smtpd_proxy_filter=\n"
	    "  -o smtpd_authorized_xclient_hosts=\n"
	    "  -o smtpd_tls_security_level=none\n"
	    "  -o content_filter=\n"
	    "  -o receive_override_options=no_header_body_checks\n",
	    site->milter, site->policy, site->conf->settings.srs_domain);
}

static int print_settings(struct site *site)
{
	const struct conf *conf = site->conf;
	struct srs_hop hop;

	if (conf->policyd.policy_listen[0] == NULL ||
	    conf->policyd.map_listen[0] == NULL) {
		complain("policyd has no policy_listen or no map_listen");
		return EX_CONFIG;
	}
	if (site->is_local != (conf->settings.mailbox_transport[0] == '\0')) {
		if (site->is_local) {
			complain(
			    "mailbox_transport is %s, so mailboxes go there and not to "
			    "virtual_transport: empty it for --role local",
			    conf->settings.mailbox_transport);
		} else {
			complain(
			    "mailbox_transport is empty, so a gateway knows no way to "
			    "the mailboxes: set it for --role gateway");
		}
	}
	if (conf->milter.enforce) {
		complain(
		    "enforce of the section milter is true, which is for Sendmail: the "
		    "milter refuses what permit_mynetworks lets through");
	}
	if (conf->settings.observe) {
		complain(
		    "observe is true: nothing is refused but by Postfix itself, and "
		    "every login may relay (permit_sasl_authenticated), until it "
		    "goes and this is printed anew");
	}
	read_queue_directory(site->queue);
	name_listener(site, conf->policyd.policy_listen[0], site->policy);
	name_listener(site, conf->policyd.map_listen[0], site->map);
	name_listener(site, conf->milter.listen, site->milter);
	print_main(site);
	srs_hop_read(conf, &hop);
	if (!span_is_empty(hop.transport)) {
		print_hop(site, &hop);
	}
	return EX_OK;
}

static int run(const struct conf *conf, int argc, char **argv)
{
	static const struct option options[] = {
		{ "role", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	struct site site = { .conf = conf,
		.is_local = conf->settings.mailbox_transport[0] == '\0' };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r') {
			return usage_error(&command_postfix, "wrong option");
		}
		if (strcmp(optarg, "gateway") != 0 && strcmp(optarg, "local") != 0) {
			return usage_error(&command_postfix,
			    "--role %s: gateway or local", optarg);
		}
		site.is_local = strcmp(optarg, "local") == 0;
	}
	if (optind != argc) {
		return usage_error(&command_postfix, "no arguments");
	}
	return print_settings(&site);
}

const struct command command_postfix = {
	.name = "postfix",
	.arguments = "[--role gateway|local]",
	.help = "lines for Postfix's main.cf and master.cf",
	.run = run,
};
