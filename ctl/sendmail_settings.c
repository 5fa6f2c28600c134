#include "config.h"

#include "ctl/sendmail.h"

#include <stdio.h>
#include <string.h>

/*
 * Rules have tabs between their two sides. An apostrophe in what m4 reads would end a quotation
 * that nobody began.
 */

static const char head[] =
    "dnl Coexist, for sendmail.mc: before the MAILER lines, of which MAILER(`smtp') is needed.\n"
    "dnl Printed by coexistctl sendmail; print it again when a connector gets another port.\n"
    "dnl coexist-milter asks for the macros that it needs: confMILTER_MACROS_* stay as they are.\n";

/*
 * Sendmail would follow host!user itself, tell everybody whom it knows, and use another fingerprint
 * than the directory.
 */
static const char features[] =
    "FEATURE(`nouucp', `reject')dnl\n"
    "define(`confPRIVACY_FLAGS', ifdef(`confPRIVACY_FLAGS', `defn(`confPRIVACY_FLAGS')',\n"
    "    `authwarnings')`,novrfy,noexpn')dnl\n"
    "define(`confCERT_FINGERPRINT_ALGORITHM', `sha256')dnl\n";

/*
 * Never an error for what cannot be delivered at present: an address that comes from an alias
 * or the milter would bounce. A look-up that fails temporarily queues it (no -T).
 */
static const char routing_begin[] =
    "LOCAL_RULE_0\n"
    "# An address goes where the directory says; what it does not know goes its usual way.\n"
    "R$*\t\t\t\t$: < $&{addr_type} > $1\n"
    "R< e s > $*\t\t\t$@ $1\n"
    "R< $* > $*\t\t\t$: $2\n"
    "# What did not come by SMTP no filter has seen: to this host once more.\n"
    "R$+ <@ $+ >\t\t\t$: < $&r > $1 <@ $2 >\n"
    "R< > $+ <@ $+ >\t\t\t$: <! $(domains $2 $: NONE $) > $1 <@ $2 >\n"
    "R<! NONE > $+\t\t\t$: $1\n"
    "R<! $* <TMPF> > $+ <@ $+ >\t$#coexistself $@ [127.0.0.1] $: $2 <@ $3 >\n"
    "R<! $+ > $+ <@ $+ >\t\t$#coexistself $@ [127.0.0.1] $: $2 <@ $3 >\n"
    "R< $+ > $+ <@ $+ >\t\t$: $2 <@ $3 >\n";

static const char routing_routes[] =
    "R$+ <@ $+ >\t\t\t$: < $1 @ $2 > $1 <@ $2 >\n"
    "R< $+ @ $+ . > $+\t\t$: < $1 @ $2 > $3\n"
    "R< $+ @ $+ > $+\t\t\t$: $(transport $1 @ $2 $: NONE $) $| $3\n"
    "# A filter would have put something in the place of those that have no way: it has not seen\n"
    "# them, as they come from an alias, or a bounce goes there.\n"
    "RNONE $| $+ <@ $=w . >\t\t$@ $1 <@ $2 . >\n"
    "RNONE $| $+ <@ $+ >\t\t$: < $(domains $2 $: NONE $) > $| $1 <@ $2 >\n"
    "R< $* <TMPF> > $| $+ <@ $+ >\t$#coexistself $@ [127.0.0.1] $: $2 <@ $3 >\n"
    "R< authoritative > $| $+ <@ $+ >\t$#coexistself $@ [127.0.0.1] $: $1 <@ $2 >\n"
    "R< shared > $| $+ <@ $+ >\t$#coexistself $@ [127.0.0.1] $: $1 <@ $2 >\n"
    "R< rewrite > $| $+ <@ $+ >\t$#coexistself $@ [127.0.0.1] $: $1 <@ $2 >\n"
    "R< $* > $| $+\t\t\t$@ $2\n"
    "R$* , $* $| $+ <@ $+ >\t\t$#coexistwait $@ $4 $: $3 <@ $4 >\n"
    "# Postfix writes an IPv6 address in brackets as it is.\n"
    "R$- : [ IPv6 : $+ ] $* $| $+\t$: $1 : [ $2 ] $3 $| $4\n"
    "R$- : [ $* : $* ] $* $| $+\t$: $1 : [ IPv6 : $2 : $3 ] $4 $| $5\n"
    "Rlmtp : inet : $+ $| $+\t\t$: lmtp : $1 $| $2\n"
    "Rsmtp : [ $+ ] $| $+ <@ $+ >\t$#esmtp $@ [$1] $: $2 <@ $3 >\n"
    "Rrelay : [ $+ ] $| $+ <@ $+ >\t$#relay $@ [$1] $: $2 <@ $3 >\n";

static const char routing_end[] =
    "# No mailer for that port, or no transport of that name here: it waits.\n"
    "R$- : $* : $* $| $+ <@ $+ >\t$#coexistwait $@ $5 $: $4 <@ $5 >\n"
    "Rsmtp : $+ $| $+ <@ $+ >\t$#esmtp $@ $1 $: $2 <@ $3 >\n"
    "Rrelay : $+ $| $+ <@ $+ >\t$#relay $@ $1 $: $2 <@ $3 >\n"
    "Rsmtp : $| $+ <@ $+ >\t\t$#esmtp $@ $2 $: $1 <@ $2 >\n"
    "Rrelay : $| $+ <@ $+ >\t\t$#relay $@ $2 $: $1 <@ $2 >\n"
    "R$* $| $+ <@ $+ >\t\t$#coexistwait $@ $3 $: $2 <@ $3 >\n"
    "R$* $| $+\t\t\t$@ $2\n";

/*
 * Rules behind those of Rcpt_ok, which Sendmail reaches with a recipient that it has neither
 * refused (FEATURE(blocklist_recipients)) nor accepted. What they accept they accept as class R
 * would, with RELAY: $# and a word would, with FEATURE(delay_checks), let every client and sender
 * pass who writes to a domain of ours. Those who may relay are spared the checks, as by
 * TRUST_AUTH_MECH.
 */
static const char permission[] =
    "LOCAL_RULESETS\n"
    "SRcpt_ok\n"
    "# Domains of the directory, and the clients that it lets relay, are accepted too. The milter\n"
    "# then judges each recipient that is.\n"
    "R$* <@ $* . >\t\t\t$1 <@ $2 >\n"
    "R$* <@ $+ >\t\t\t$: < $(domains $2 $: NONE $) >\n"
    "R< NONE >\t\t\t$: <? $(relay $&{client_addr} / $&{cert_fp} / $&{auth_authen} $: NONE $) >\n"
    "R< $* <TMPF> >\t\t\t$#error $@ 4.3.0 $: \"451 Directory unavailable; try again later\"\n"
    "R<? NONE >\t\t\t$@ NONE\n"
    "R<? $+ >\t\t\t$# RELAY\n"
    "ifdef(`_DELAY_CHECKS_', `dnl\n"
    "R< $+ >\t\t\t\t$: <! $(relay $&{client_addr} / $&{cert_fp} / $&{auth_authen} $: NONE $) >\n"
    "R<! $* <TMPF> >\t\t\t$@ RELAY\n"
    "R<! NONE >\t\t\t$@ RELAY\n"
    "R<! $+ >\t\t\t$# RELAY\n"
    "', `dnl\n"
    "R< $+ >\t\t\t\t$@ RELAY\n"
    "')dnl\n";

static void print_mailer(struct buf *out, const char *kind, const char *flags,
    const char *name_end, const char *arguments)
{
	buf_printf(out,
	    "M%s%s,\tP=[IPC], F=mDFMuX%s, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP,\n"
	    "\t\tE=\\r\\n, L=990, T=DNS/RFC822/SMTP,\n\t\tA=%s\n",
	    kind, name_end, flags, arguments);
}

static void print_hop_mailer(struct buf *out, const struct hop *hop, size_t number)
{
	char name[32];
	struct buf arguments;

	buf_init(&arguments);
	if (hop->kind == HOP_LMTP_SOCKET) {
		snprintf(name, sizeof(name), "%zu", number);
		buf_printf(&arguments, "FILE `%s'", hop->path);
		print_mailer(out, "coexistsocket", "z", name, arguments.data);
	} else {
		snprintf(name, sizeof(name), "%u", hop->port);
		buf_printf(&arguments, "TCP $h %u", hop->port);
		print_mailer(out,
		    hop->kind == HOP_LMTP_PORT ? "coexistlmtp" : "coexist",
		    hop->kind == HOP_LMTP_PORT ? "z" : "a", name, arguments.data);
	}
	out->failed = out->failed || arguments.failed;
	buf_release(&arguments);
}

static void print_rule(struct buf *out, const char *transport, unsigned port,
    const char *mailer)
{
	buf_printf(out,
	    "R%s : [ $+ ] : %u $| $+ <@ $+ >\t$#%s%u $@ [$1] $: $2 <@ $3 >\n",
	    transport, port, mailer, port);
}

static void print_hop_rules(struct buf *out, const struct hop *hop, size_t number)
{
	unsigned port = hop->port;

	switch (hop->kind) {
	case HOP_SMTP_PORT:
		print_rule(out, "smtp", port, "coexist");
		print_rule(out, "relay", port, "coexist");
		buf_printf(out,
		    "Rsmtp : $+ : %u $| $+ <@ $+ >\t$#coexist%u $@ $1 $: $2 <@ $3 >\n"
		    "Rrelay : $+ : %u $| $+ <@ $+ >\t$#coexist%u $@ $1 $: $2 <@ $3 >\n",
		    port, port, port, port);
		break;
	case HOP_LMTP_PORT:
		print_rule(out, "lmtp", port, "coexistlmtp");
		buf_printf(out,
		    "Rlmtp : $+ : %u $| $+ <@ $+ >\t$#coexistlmtp%u $@ [$1] $: $2 <@ $3 >\n",
		    port, port);
		break;
	case HOP_LMTP_SOCKET:
		buf_printf(out,
		    "Rlmtp : unix : `%s' $| $+ <@ $+ >\t$#coexistsocket%zu $@ localhost $: $1 <@ $2 >\n",
		    hop->path, number);
		break;
	case HOP_PLAIN:
	case HOP_UNUSABLE: break;
	}
}

/*
 * The re-injection hop of SRS: a port of this Sendmail, where the milter is the only filter, and
 * a mailer that may talk to itself (F=k).
 */
static void print_srs_port(struct buf *out, const struct srs_hop *srs)
{
	buf_printf(out,
	    "dnl The re-injection hop of SRS. Port 25 needs a DAEMON_OPTIONS line of its own.\n"
	    "DAEMON_OPTIONS(`Name=coexistsrs, Family=%s, Addr=%.*s, Port=%.*s, "
	    "InputMailFilters=coexist')dnl\n",
	    srs->is_v6 ? "inet6" : "inet", SPAN_ARGS(srs->address),
	    SPAN_ARGS(srs->port));
}

static void print_srs_rule(struct buf *out, const struct srs_hop *srs)
{
	buf_printf(out,
	    "R%.*s : [ $+ ] : %.*s $| $+ <@ $+ >\t$#coexistsrs $@ [$1] $: $2 <@ $3 >\n",
	    SPAN_ARGS(srs->transport), SPAN_ARGS(srs->port));
}

static void print_srs_mailer(struct buf *out, const struct srs_hop *srs)
{
	char arguments[64];

	snprintf(arguments, sizeof(arguments), "TCP $h %.*s", SPAN_ARGS(srs->port));
	print_mailer(out, "coexistsrs", "ak", "", arguments);
}

void sendmail_print_socket(struct buf *out, const char *spec)
{
	struct span text = span_of(spec);
	const char *colon;
	struct span host;

	if (span_starts_with_case(text, SPAN("unix:"))) {
		buf_printf(out, "local:%s", spec + 5);
		return;
	}
	colon = strrchr(spec, ':');
	host = (struct span){ spec + 5,
		colon > spec + 5 ? (size_t)(colon - spec) - 5 : 0 };
	if (host.len > 2 && host.ptr[0] == '[') {
		buf_printf(out, "inet6:%s@%.*s", colon + 1, (int)host.len - 2,
		    host.ptr + 1);
	} else {
		buf_printf(out, "inet:%s@%.*s", colon + 1, SPAN_ARGS(host));
	}
}

static void print_map(struct buf *out, const char *name, const char *listen)
{
	/* One that routes must not say more than that it failed: see routing_begin. */
	bool is_route = strcmp(name, "transport") == 0;

	buf_printf(out, "K%s socket -f %s", name, is_route ? "" : "-T<TMPF> ");
	sendmail_print_socket(out, listen);
	buf_add_char(out, '\n');
}

void sendmail_print(const struct conf *conf, const struct hops *hops,
    const struct srs_hop *srs, struct buf *out)
{
	bool has_srs = !span_is_empty(srs->transport);
	const char *listen = conf->policyd.map_listen[0];

	buf_add_text(out, head);
	buf_add_text(out, "INPUT_MAIL_FILTER(`coexist',\n    `S=");
	sendmail_print_socket(out, conf->milter.listen);
	buf_add_text(out, ", F=T, T=C:5s;S:30s;R:30s;E:5m')dnl\n");
	if (has_srs) {
		print_srs_port(out, srs);
	}
	buf_add_text(out, features);
	buf_add_text(out, "LOCAL_CONFIG\n");
	print_map(out, "domains", listen);
	print_map(out, "relay", listen);
	print_map(out, "transport", listen);
	buf_add_text(out, routing_begin);
	if (conf->srs.enable && !has_srs) {
		/* Only the milter turns it back: mail for it is a bounce of Sendmail's. */
		buf_printf(out,
		    "R$+ <@ %s $* >\t$#coexistself $@ [127.0.0.1] $: $1 <@ %s >\n",
		    conf->settings.srs_domain, conf->settings.srs_domain);
	}
	buf_add_text(out, routing_routes);
	if (has_srs) {
		print_srs_rule(out, srs);
	}
	for (size_t i = 0; i < hops->count; i++) {
		print_hop_rules(out, &hops->hops[i], i + 1);
	}
	buf_add_text(out, routing_end);
	buf_add_text(out, permission);
	buf_add_text(out, "MAILER_DEFINITIONS\n");
	if (has_srs) {
		print_srs_mailer(out, srs);
	}
	for (size_t i = 0; i < hops->count; i++) {
		print_hop_mailer(out, &hops->hops[i], i + 1);
	}
	/* F=k: that it is this host itself is no loop. */
	print_mailer(out, "coexistself", "ak", "",
	    "TCP $h ifdef(`COEXIST_PORT', `COEXIST_PORT', `25')");
	/* F=%: only a queue run that is asked for it delivers. */
	print_mailer(out, "coexistwait", "a%", "", "TCP $h");
	buf_add_text(out, "divert(0)dnl\n");
}
