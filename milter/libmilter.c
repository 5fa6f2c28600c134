#include "config.h"

#include "milter/libmilter.h"

#include <libmilter/mfapi.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "milter/flight.h"

#define FILTER_NAME "coexist-milter"
/* What an MTA must let us do; ORCPT and NOTIFY are not to be had otherwise. */
#define ACTIONS                                                                        \
	(SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR | SMFIF_DELRCPT | SMFIF_ADDHDRS |           \
	    SMFIF_CHGFROM)
/* libmilter closes its sessions on its own; this is how long a reply may take to leave. */
#define REPLY_WAIT_MS 100

static const struct session_env *env;
static bool is_tcp;

/* One connection of an MTA. */
struct link {
	struct session *session;
	bool has_connect_reply; /* the MTA waits for one */
	bool has_mail_reply;
	bool has_header_reply;
	bool has_eoh_reply;
	bool wants_mailer;
	bool wants_headers;
};

static void link_free(struct link *link)
{
	if (link) {
		session_free(link->session);
		free(link);
	}
}

/* The connection behind a context, made where there is none; NULL: no memory. */
static struct link *link_of(SMFICTX *ctx)
{
	struct link *link = smfi_getpriv(ctx);

	if (link) {
		return link;
	}
	link = calloc(1, sizeof(*link));
	if (link == NULL) {
		return NULL;
	}
	link->has_connect_reply = true;
	link->has_mail_reply = true;
	link->has_header_reply = true;
	link->has_eoh_reply = true;
	link->session = session_new(env);
	if (link->session == NULL || smfi_setpriv(ctx, link) != MI_SUCCESS) {
		link_free(link);
		return NULL;
	}
	return link;
}

/*
 * Begins a callback: the connection, until leave(). NULL: no new work, or no memory; what the
 * MTA asks for now is to be tried again.
 */
static struct link *enter(SMFICTX *ctx)
{
	struct link *link;

	if (!flight_enter()) {
		return NULL;
	}
	link = link_of(ctx);
	if (link == NULL) {
		flight_leave();
	}
	return link;
}

static sfsistat leave(sfsistat result)
{
	flight_leave();
	return result;
}

/* What to return where nothing is to be said. */
static sfsistat no_answer(bool has_reply)
{
	return has_reply ? SMFIS_CONTINUE : SMFIS_NOREPLY;
}

static struct span macro(SMFICTX *ctx, const char *name)
{
	char symbol[32];

	snprintf(symbol, sizeof(symbol), "%s", name);
	return span_of(smfi_getsymval(ctx, symbol));
}

static bool has_macro(SMFICTX *ctx, const char *name)
{
	return macro(ctx, name).ptr != NULL;
}

/*
 * What is asked for whatever the MTA sends by default. RCPT needs nothing; but an empty list
 * means the default to Postfix, which is longer than a queue id. Sendmail, which has the mailer,
 * sends nothing at the end of message that is asked for there.
 */
static void ask_for_macros(SMFICTX *ctx, bool wants_mailer)
{
	static const struct {
		int place;
		const char *names;
		const char *names_with_mailer;
	} wanted[] = {
		{ SMFIM_CONNECT, "v {client_addr}", "v {client_addr}" },
		{ SMFIM_ENVFROM,
		    "{auth_authen} {tls_version} {cert_fp} {mail_mailer}",
		    "i {auth_authen} {tls_version} {cert_fp} {mail_mailer}" },
		{ SMFIM_ENVRCPT, "i", "{rcpt_mailer}" },
		{ SMFIM_EOM, "i", "i" },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		char names[128];

		snprintf(names, sizeof(names), "%s",
		    wants_mailer ? wanted[i].names_with_mailer : wanted[i].names);
		if (smfi_setsymlist(ctx, wanted[i].place, names) != MI_SUCCESS) {
			log_warnx("libmilter takes no list of macros");
		}
	}
}

/*
 * Only what is needed: CONNECT and MAIL without a reply, RCPT, end of message. Where there is a
 * trace also the headers, without a reply, and DATA: it is there that a message with nothing to
 * do is let go, as most are, and the MTA spares itself its headers and its end. The end of the
 * headers then, too: libmilter waits for ever where none at all come between DATA and the end. Over TCP
 * DATA in any case, for the sake of its reply: Postfix sends the macros of DATA and the end of
 * message from two processes in two small writes, and the second would wait for the
 * delayed acknowledgement of the first (background/performance.md, "the 40 ms trap").
 */
static sfsistat negotiate(SMFICTX *ctx, struct link *link, unsigned long actions,
    unsigned long steps, unsigned long *actions_out, unsigned long *steps_out)
{
	unsigned long wanted = SMFIP_NOHELO | SMFIP_NOBODY | SMFIP_NOUNKNOWN |
			       SMFIP_NR_CONN | SMFIP_NR_MAIL | SMFIP_NR_HDR |
			       SMFIP_NR_EOH;
	struct conf *conf = env->conf_hold(env->conf_context);
	struct keys *keys = env->keys_hold(env->conf_context);

	link->wants_mailer = conf->milter.enforce;
	conf_unref(conf);
	/* Headers are for the trace, and without a secret there is none. */
	link->wants_headers = keys->site.count > 0;
	if (!link->wants_headers) {
		wanted |= SMFIP_NOHDRS | SMFIP_NOEOH;
	}
	keys_unref(keys);
	if (!is_tcp && !link->wants_headers) {
		wanted |= SMFIP_NODATA;
	}
	if ((actions & ACTIONS) != ACTIONS) {
		log_error("the MTA lets no milter edit senders, recipients and headers (%#lx)",
		    actions);
		return SMFIS_REJECT;
	}
	*actions_out = ACTIONS | (actions & SMFIF_SETSYMLIST);
	*steps_out = wanted & steps;
	link->has_connect_reply = !(*steps_out & SMFIP_NR_CONN);
	link->has_mail_reply = !(*steps_out & SMFIP_NR_MAIL);
	link->has_header_reply = !(*steps_out & SMFIP_NR_HDR);
	link->has_eoh_reply = !(*steps_out & SMFIP_NR_EOH);
	if (actions & SMFIF_SETSYMLIST) {
		ask_for_macros(ctx, link->wants_mailer);
	}
	return SMFIS_CONTINUE;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
    unsigned long unused_2, unsigned long unused_3, unsigned long *actions_out,
    unsigned long *steps_out, unsigned long *unused_2_out, unsigned long *unused_3_out)
{
	struct link *link = enter(ctx);

	(void)unused_2;
	(void)unused_3;
	*unused_2_out = 0;
	*unused_3_out = 0;
	if (link == NULL) {
		return SMFIS_REJECT;
	}
	return leave(negotiate(ctx, link, actions, steps, actions_out, steps_out));
}

static bool read_ip(const struct sockaddr *address, struct ip *out)
{
	*out = (struct ip){ { 0 } };
	if (address && address->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		out->bytes[10] = 0xff;
		out->bytes[11] = 0xff;
		memcpy(out->bytes + 12, &in.sin_addr, 4);
		return true;
	}
	if (address && address->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		memcpy(out->bytes, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, struct sockaddr *address)
{
	struct session_connection facts = { .host = span_of(host) };
	struct link *link = enter(ctx);

	if (link == NULL) {
		return SMFIS_TEMPFAIL;
	}
	/* Sendmail's version does not start so, and is not sent unless asked for. */
	facts.mta = span_starts_with_case(macro(ctx, "v"), SPAN("Postfix"))
			? MTA_POSTFIX
			: MTA_SENDMAIL;
	facts.has_ip = read_ip(address, &facts.ip);
	facts.lacks_mailers = !link->wants_mailer;
	facts.lacks_headers = !link->wants_headers;
	session_connect(link->session, &facts);
	return leave(no_answer(link->has_connect_reply));
}

/* What fails in the session shows at RCPT, which has a reply in any case. */
static sfsistat on_mail(SMFICTX *ctx, char **arguments)
{
	struct link *link = enter(ctx);

	if (link == NULL) {
		return SMFIS_TEMPFAIL;
	}
	session_mail(link->session,
	    &(struct session_sender){
		.arguments = (const char *const *)arguments,
		.client_address = macro(ctx, "{client_addr}"),
		.login = macro(ctx, "{auth_authen}"),
		.certificate = macro(ctx, "{cert_fp}"),
		.is_encrypted = macro(ctx, "{tls_version}").len > 0,
		.has_mailer = has_macro(ctx, "{mail_mailer}"),
	    });
	return leave(no_answer(link->has_mail_reply));
}

/* The text is a format to libmilter's other end. */
static void copy_text(char *out, size_t size, const char *text)
{
	size_t len = 0;

	for (; *text && len + 2 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '%') {
			out[len++] = '%';
		}
		out[len++] = c >= ' ' && c < 0x7f ? (char)c : '?';
	}
	out[len] = '\0';
}

static sfsistat answer_to(SMFICTX *ctx, struct answer answer)
{
	if (answer.kind == ANSWER_CONTINUE) {
		return SMFIS_CONTINUE;
	}
	if (answer.reply) {
		char code[4];
		char enhanced[16];
		char text[400];

		snprintf(code, sizeof(code), "%s", answer.reply->code);
		copy_text(enhanced, sizeof(enhanced), answer.reply->enhanced);
		copy_text(text, sizeof(text), answer.reply->text);
		if (smfi_setreply(ctx, code, enhanced, text) != MI_SUCCESS) {
			log_warnx("libmilter refuses the reply \"%s %s\"", code,
			    enhanced);
		}
	}
	return answer.kind == ANSWER_REJECT ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **arguments)
{
	struct link *link = enter(ctx);
	struct span mailer;

	if (link == NULL) {
		return SMFIS_TEMPFAIL;
	}
	mailer = link->wants_mailer ? macro(ctx, "{rcpt_mailer}") : SPAN("");
	return leave(answer_to(ctx,
	    session_rcpt(link->session, (const char *const *)arguments, mailer)));
}

static sfsistat on_data(SMFICTX *ctx)
{
	struct link *link = enter(ctx);

	if (link == NULL) {
		return SMFIS_TEMPFAIL;
	}
	return leave(session_is_done(link->session) ? SMFIS_ACCEPT : SMFIS_CONTINUE);
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	struct link *link = enter(ctx);

	if (link == NULL) {
		return SMFIS_TEMPFAIL;
	}
	session_header(link->session, span_of(name), span_of(value));
	return leave(no_answer(link->has_header_reply));
}

static sfsistat on_headers_end(SMFICTX *ctx)
{
	struct link *link = enter(ctx);

	if (link == NULL) {
		return SMFIS_TEMPFAIL;
	}
	return leave(no_answer(link->has_eoh_reply));
}

static bool apply(SMFICTX *ctx, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct edit *edit = &plan->edits[i];
		int result = MI_FAILURE;

		switch (edit->kind) {
		case EDIT_ADD:
			result = smfi_addrcpt_par(ctx, edit->address,
			    edit->arguments[0] ? edit->arguments : NULL);
			break;
		case EDIT_HEADER:
			result = smfi_addheader(ctx, edit->address, edit->arguments);
			break;
		case EDIT_SENDER:
			/* With no arguments RET and ENVID stay (postfix-facts 5.2, 5.5). */
			result = smfi_chgfrom(ctx, edit->address, NULL);
			break;
		case EDIT_DELETE: result = smfi_delrcpt(ctx, edit->address); break;
		}
		if (result != MI_SUCCESS) {
			return false;
		}
	}
	return true;
}

static sfsistat end_message(SMFICTX *ctx, struct session *session)
{
	const struct plan *plan;
	struct answer answer = session_end(session, macro(ctx, "i"), &plan);

	if (answer.kind == ANSWER_CONTINUE) {
		bool was_applied = apply(ctx, plan);

		answer = session_edited(session, was_applied, macro(ctx, "i"));
	}
	return answer_to(ctx, answer);
}

static sfsistat on_end(SMFICTX *ctx)
{
	struct link *link = enter(ctx);

	return link ? leave(end_message(ctx, link->session)) : SMFIS_TEMPFAIL;
}

static sfsistat on_abort(SMFICTX *ctx)
{
	struct link *link = enter(ctx);

	if (link == NULL) {
		return SMFIS_CONTINUE;
	}
	session_abort(link->session);
	return leave(SMFIS_CONTINUE);
}

/* Also for connections that never got as far as negotiating, and while the process stops. */
static sfsistat on_close(SMFICTX *ctx)
{
	bool is_counted = flight_enter();

	link_free(smfi_getpriv(ctx));
	smfi_setpriv(ctx, NULL);
	return is_counted ? leave(SMFIS_CONTINUE) : SMFIS_CONTINUE;
}

enum status libmilter_open(int fd, bool listens_on_tcp,
    const struct session_env *shared, struct errbuf *err)
{
	char name[] = FILTER_NAME;
	char listener[32];
	struct smfiDesc filter = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = ACTIONS,
		.xxfi_connect = on_connect,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_header,
		.xxfi_data = on_data,
		.xxfi_eoh = on_headers_end,
		.xxfi_eom = on_end,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_negotiate = on_negotiate,
	};

	env = shared;
	is_tcp = listens_on_tcp;
	/* Debian's libmilter takes a listening descriptor. */
	snprintf(listener, sizeof(listener), "fd:%d", fd);
	if (smfi_setconn(listener) != MI_SUCCESS ||
	    smfi_register(filter) != MI_SUCCESS) {
		errbuf_set(err, "libmilter takes no listening descriptor");
		return CX_EIO;
	}
	return CX_OK;
}

enum status libmilter_run(void)
{
	return smfi_main() == MI_SUCCESS ? CX_OK : CX_EIO;
}

bool libmilter_close(void)
{
	const struct timespec reply_wait = { .tv_nsec = REPLY_WAIT_MS * 1000000L };
	unsigned count = flight_close();

	if (count == 0) {
		return true;
	}
	log_info("waiting for %u callbacks under way", count);
	if (!flight_wait(LIBMILTER_STOP_WAIT_S)) {
		return false;
	}
	/*
	 * libmilter writes the last replies after the callbacks have returned, and tells
	 * nobody when it has.
	 */
	nanosleep(&reply_wait, NULL);
	return true;
}
