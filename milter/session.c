#include "config.h"

#include "milter/session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/log.h"
#include "milter/again.h"
#include "milter/envelope.h"
#include "milter/pool.h"
#include "milter/report.h"
#include "milter/sender.h"
#include "milter/tracing.h"
#include "value/xtext.h"

static const struct reply needs_smtputf8 = { "550", "5.6.7",
	"This recipient needs a message with SMTPUTF8" };
static const struct reply came_back = { "554", "5.4.6", "Mail forwarding loop" };
static const struct reply temporary_failure = { "451", "4.3.0",
	"Temporary failure; try again later" };

struct session {
	const struct session_env *env;

	/* The connection. */
	struct pool connection_pool;
	enum mta mta;
	struct span host;
	bool has_connection_ip;
	struct ip connection_ip;
	bool lacks_mailers;

	/* The message. */
	struct pool pool;
	struct conf *conf; /* NULL: no message */
	struct keys *keys;
	struct span sender;
	struct span new_sender;	   /* by SRS; empty: it stays */
	const char *kept_sender; /* why it stays though SRS is wanted; NULL */
	struct relay_facts client;
	bool is_enforcing;
	bool is_local_submission;
	bool is_trusted;
	bool has_smtputf8;
	struct envelope envelope;
	struct tracing tracing;
	struct plan plan;
	struct judge_memory memory;

	/* What the whole message is deferred with; code[0] is 0 for nothing. */
	struct reply deferral;
	char deferral_enhanced[16];
};

struct session *session_new(const struct session_env *env)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session) {
		session->env = env;
		pool_init(&session->connection_pool);
		pool_init(&session->pool);
		envelope_init(&session->envelope);
		tracing_init(&session->tracing);
		plan_init(&session->plan);
	}
	return session;
}

/* Ends the message, if there is one. What answers point to is left alone. */
static void forget_message(struct session *session)
{
	conf_unref(session->conf);
	session->conf = NULL;
	keys_unref(session->keys);
	session->keys = NULL;
	session->sender = (struct span){ NULL, 0 };
	session->new_sender = (struct span){ NULL, 0 };
	session->kept_sender = NULL;
	session->client = (struct relay_facts){ 0 };
	envelope_release(&session->envelope);
	tracing_release(&session->tracing);
	plan_release(&session->plan);
	judge_memory_release(&session->memory);
	pool_release(&session->pool);
}

void session_free(struct session *session)
{
	if (session) {
		forget_message(session);
		pool_release(&session->connection_pool);
		free(session);
	}
}

void session_abort(struct session *session)
{
	forget_message(session);
}

void session_connect(struct session *session, const struct session_connection *facts)
{
	forget_message(session);
	pool_release(&session->connection_pool);
	session->mta = facts->mta;
	session->host = pool_copy(&session->connection_pool, facts->host);
	session->has_connection_ip = facts->has_ip;
	session->connection_ip = facts->ip;
	session->lacks_mailers = facts->lacks_mailers;
}

/*
 * Postfix shows mail of sendmail(1) as a connection from localhost; what gives it away
 * is a sender without <> (postfix-facts 8.2), and to be sure, that it was not resolved
 * (8.5): a client may leave the <> out too.
 */
static bool is_local_submission(const struct session *session,
    const struct session_sender *facts)
{
	const char *path = facts->arguments[0];

	return session->mta == MTA_POSTFIX && path && path[0] != '<' &&
	       !facts->has_mailer;
}

/* Sendmail tells it in xtext; what is none it has not written, and stays. */
static struct span keep_login(struct session *session, struct span given)
{
	struct span login;
	struct buf plain;

	buf_init(&plain);
	if (session->mta == MTA_SENDMAIL && given.len > 0 &&
	    xtext_decode(given, &plain) == CX_OK && !plain.failed) {
		given = buf_span(&plain);
	}
	login = pool_copy(&session->pool, given);
	buf_release(&plain);
	return login;
}

/*
 * Who the client is, as far as this MTA tells. Postfix has no macro for the fingerprint of
 * a client's certificate. Where a certificate may be what entitles the client, the policy
 * service, which knows it and was asked before, has answered for this recipient already.
 */
static void set_client(struct session *session, const struct session_sender *facts)
{
	struct relay_facts *client = &session->client;

	client->login = keep_login(session, facts->login);
	client->certificate_fingerprint = pool_copy(&session->pool, facts->certificate);
	client->has_ip = session->has_connection_ip;
	client->ip = session->connection_ip;
	if (ip_parse(facts->client_address, &client->ip) == CX_OK) {
		client->has_ip = true;
	} else {
		client->ip = session->connection_ip;
	}
	if (session->is_local_submission) {
		client->has_ip = false;
	}
	session->is_trusted = session->is_local_submission ||
			      (session->mta == MTA_POSTFIX && facts->is_encrypted &&
				  !session->is_enforcing);
}

static bool has_argument(const char *const *arguments, const char *name)
{
	for (; *arguments; arguments++) {
		if (strcasecmp(*arguments, name) == 0) {
			return true;
		}
	}
	return false;
}

void session_mail(struct session *session, const struct session_sender *facts)
{
	forget_message(session);
	session->deferral = (struct reply){ NULL, NULL, NULL };
	session->conf = session->env->conf_hold(session->env->conf_context);
	session->keys = session->env->keys_hold(session->env->conf_context);
	session->sender = pool_copy(&session->pool, span_of(facts->arguments[0]));
	session->is_enforcing =
	    session->conf->milter.enforce && !session->lacks_mailers;
	session->is_local_submission = is_local_submission(session, facts);
	session->has_smtputf8 = has_argument(facts->arguments, "SMTPUTF8");
	set_client(session, facts);
	envelope_begin(&session->envelope, session->mta, session->is_local_submission);
}

static void report(const struct session *session, struct span typed,
    const char *verdict, const char *rule, const struct reply *reply, bool is_observed)
{
	char text[INET6_ADDRSTRLEN] = "unknown";
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const struct ip *ip = &session->client.ip;

	if (session->client.has_ip && memcmp(ip->bytes, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, ip->bytes + 12, text, sizeof(text));
	} else if (session->client.has_ip) {
		inet_ntop(AF_INET6, ip->bytes, text, sizeof(text));
	}
	report_refusal(&(struct report_refusal){ .host = session->host,
	    .client = span_of(text),
	    .login = session->client.login,
	    .sender = session->sender,
	    .recipient = typed,
	    .verdict = verdict,
	    .rule = rule,
	    .reply = reply,
	    .is_observed = is_observed });
}

static struct answer answer_with(const struct reply *reply)
{
	return (struct answer){
		.kind = reply_is_temporary(reply) ? ANSWER_DEFER : ANSWER_REJECT,
		.reply = reply,
	};
}

/*
 * Nothing can be refused in a local submission: the whole message waits in the queue,
 * where somebody will see it.
 */
static struct answer defer_message(struct session *session, const struct reply *reply)
{
	snprintf(session->deferral_enhanced, sizeof(session->deferral_enhanced), "4%s",
	    reply->enhanced + 1);
	session->deferral = (struct reply){
		.code = reply_is_temporary(reply) ? reply->code : "451",
		.enhanced = session->deferral_enhanced,
		.text = reply->text,
	};
	return (struct answer){ .kind = ANSWER_CONTINUE };
}

/* A recipient at RCPT. */
struct candidate {
	struct envelope_entry entry;
	struct dsn dsn;
	bool has_domain;
	struct span mailer;
	struct judgement judgement;
};

static bool is_final_here(const struct candidate *candidate)
{
	return span_equal_case(candidate->mailer, SPAN("local")) ||
	       !candidate->has_domain;
}

/* What `enforce` adds: the part of a policy service (SPEC section 7). */
static const struct reply *refuse_by_policy(const struct candidate *candidate)
{
	const struct judgement *judgement = &candidate->judgement;

	if (judgement->sender != CX_OK) {
		return judgement->sender == CX_NOTFOUND ? reply_sender_not_owned()
							: reply_unavailable();
	}
	if (is_final_here(candidate)) {
		return NULL;
	}
	if (judgement->resolution.verdict == VERDICT_UNKNOWN) {
		return reply_of_resolution(&judgement->resolution);
	}
	if (judgement->resolution.verdict != VERDICT_FOREIGN) {
		return NULL;
	}
	/* Sendmail's own rules are behind nothing: what is not permitted is refused. */
	return judgement->relay == RELAY_NOT_PERMITTED
		   ? reply_of_relay(RELAY_FORBIDDEN)
		   : reply_of_relay(judgement->relay);
}

static bool needs_utf8(const struct resolution *resolution)
{
	for (size_t i = 0; i < resolution->delivery_count; i++) {
		const struct delivery *delivery = &resolution->deliveries[i];

		if (delivery->needs_smtputf8 && !delivery->is_unchanged) {
			return true;
		}
	}
	return false;
}

/* NULL: nothing speaks against it. */
static const struct reply *refuse(const struct session *session,
    const struct candidate *candidate)
{
	const struct resolution *resolution = &candidate->judgement.resolution;
	const struct reply *reply = NULL;

	if (session->is_enforcing && !session->is_local_submission) {
		reply = refuse_by_policy(candidate);
	}
	if (reply) {
		return reply;
	}
	switch (resolution->verdict) {
	case VERDICT_FOREIGN:
	case VERDICT_UNKNOWN: return NULL;
	case VERDICT_INVALID:
		/*
		 * The MTA bounces it, and that is what a local sender should get; but a route
		 * it would follow.
		 */
		return session->is_local_submission && resolution->rule != RULE_ROUTE
			   ? NULL
			   : reply_of_resolution(resolution);
	case VERDICT_DELIVER:
		return needs_utf8(resolution) && !session->has_smtputf8 &&
			       !session->is_local_submission
			   ? &needs_smtputf8
			   : NULL;
	case VERDICT_DENIED:
	case VERDICT_LOOP:
	case VERDICT_HORIZON:
	case VERDICT_BROKEN:
	case VERDICT_DISABLED:
	case VERDICT_PARKED:
	case VERDICT_TOO_MANY:
	case VERDICT_UNAVAILABLE:
	case VERDICT_COUNT: break;
	}
	reply = reply_of_resolution(resolution);
	return reply ? reply : reply_unavailable();
}

/* Refused, or under `observe` let through as it is. */
static struct answer do_refuse(struct session *session,
    const struct candidate *candidate, const struct reply *reply)
{
	const struct resolution *resolution = &candidate->judgement.resolution;
	bool is_observed = session->conf->settings.observe;

	report(session, candidate->entry.typed, verdict_text(resolution->verdict),
	    rule_text(resolution->rule), reply, is_observed);
	if (is_observed) {
		return envelope_add_untouched(&session->envelope, &candidate->entry) ==
			       CX_OK
			   ? (struct answer){ .kind = ANSWER_CONTINUE }
			   : answer_with(&temporary_failure);
	}
	return session->is_local_submission ? defer_message(session, reply)
					    : answer_with(reply);
}

static struct answer take(struct session *session, struct candidate *candidate)
{
	struct resolution *resolution = &candidate->judgement.resolution;
	enum status status;

	if (resolution->verdict == VERDICT_DELIVER && resolution->delivery_count > 0) {
		status = envelope_add(&session->envelope, &candidate->entry, resolution,
		    session->conf->settings.max_deliveries);
	} else {
		status = envelope_add_untouched(&session->envelope, &candidate->entry);
	}
	if (status == CX_EFULL) {
		resolution->verdict = VERDICT_TOO_MANY;
		resolution->rule = RULE_LIMIT;
		return do_refuse(session, candidate, reply_of_resolution(resolution));
	}
	if (status != CX_OK) {
		log_error("recipient deferred: %s", status_text(status));
		return session->is_local_submission
			   ? defer_message(session, &temporary_failure)
			   : answer_with(&temporary_failure);
	}
	return (struct answer){ .kind = ANSWER_CONTINUE };
}

static bool is_sender_empty(const struct session *session)
{
	return dsn_strip_brackets(session->sender).len == 0;
}

/* The empty sender is everybody's. */
static bool must_own_sender(const struct session *session)
{
	return session->is_enforcing && session->conf->settings.enforce_sender &&
	       session->client.login.len > 0 && !is_sender_empty(session);
}

/* `was_here`: the message brought a trace, which is asked. */
static void judge(struct session *session, const struct address *address, bool was_here,
    struct judgement *out)
{
	const struct conf *conf = session->conf;
	struct judge_question question = { .settings = &conf->settings,
		.now = session->env->now(),
		.address = address,
		.client = &session->client,
		.is_trusted = session->is_trusted,
		.is_sender_empty = is_sender_empty(session),
		.srs_secrets = &session->keys->srs,
		.was_expanded = was_here ? tracing_was_expanded : NULL,
		.was_expanded_context = &session->tracing };
	struct address sender;
	bool is_nobodys = false;

	if (must_own_sender(session)) {
		if (address_parse_path(session->sender, &sender) == CX_OK) {
			question.sender = &sender;
		} else {
			is_nobodys = true; /* whatever the MTA makes of it */
		}
	}
	session->env->judge(session->env->judge_context, &question, &session->memory,
	    out);
	if (is_nobodys) {
		out->sender = CX_NOTFOUND;
	}
}

static struct answer decide(struct session *session, struct candidate *candidate,
    const struct address *address)
{
	const struct envelope_recipient *same =
	    address ? envelope_find(&session->envelope, candidate->entry.key) : NULL;
	const struct resolution *resolution = &candidate->judgement.resolution;
	const struct reply *reply;

	if (same) {
		report_decision(candidate->entry.typed, "same", same->object);
		return envelope_add_same(&session->envelope, &candidate->entry, same) ==
			       CX_OK
			   ? (struct answer){ .kind = ANSWER_CONTINUE }
			   : answer_with(&temporary_failure);
	}
	judge(session, address, false, &candidate->judgement);
	report_decision(candidate->entry.typed, verdict_text(resolution->verdict),
	    resolution->object);
	reply = refuse(session, candidate);
	if (reply) {
		return do_refuse(session, candidate, reply);
	}
	if (resolution->is_observed && session->is_enforcing) {
		struct resolution would_be = { .verdict = resolution->observed };

		reply = reply_of_resolution(&would_be);
		if (reply) {
			report(session, candidate->entry.typed,
			    verdict_text(would_be.verdict), rule_text(resolution->rule),
			    reply, true);
		}
	}
	return take(session, candidate);
}

struct answer session_rcpt(struct session *session, const char *const *arguments,
    struct span mailer)
{
	struct candidate candidate = { .mailer = mailer };
	struct address address;
	struct buf text;
	struct key key;
	struct answer answer;
	bool is_address;

	if (session->conf == NULL || session->sender.ptr == NULL) {
		return answer_with(&temporary_failure);
	}
	dsn_parse(arguments + 1, &candidate.dsn);
	candidate.entry.typed = span_of(arguments[0]);
	candidate.entry.dsn = &candidate.dsn;
	is_address = address_parse_path(candidate.entry.typed, &address) == CX_OK &&
		     address_follow_route(&address) == CX_OK;
	buf_init(&text);
	if (is_address) {
		address_key(&address, &key);
		address_print(&address, &text);
		candidate.entry.key = key_span(&key);
		candidate.has_domain = address.domain_len > 0;
	}
	candidate.entry.text = buf_span(&text);
	answer = text.failed
		     ? answer_with(&temporary_failure)
		     : decide(session, &candidate, is_address ? &address : NULL);
	judge_memory_trim(&session->memory);
	buf_release(&text);
	return answer;
}

void session_header(struct session *session, struct span name, struct span value)
{
	if (session->conf && tracing_header(&session->tracing, &session->pool, name,
				 value) != CX_OK) {
		defer_message(session, &temporary_failure);
	}
}

/* What recipients are decided with again, one after the other. */
struct again {
	struct session *session;
	struct judgement judgement;
};

static const struct resolution *judge_again(void *context, const struct address *address)
{
	struct again *again = context;

	judge(again->session, address, true, &again->judgement);
	return &again->judgement.resolution;
}

/* The message was here before: what was done for it then is not done again. */
static enum status decide_again(struct session *session)
{
	struct again again = { .session = session };
	struct envelope envelope;
	enum status status;

	if (session->envelope.expanded_count == 0 ||
	    !tracing_may_return(&session->tracing)) {
		return CX_OK;
	}
	envelope_init(&envelope);
	status = again_decide(&session->envelope,
	    session->conf->settings.max_deliveries, judge_again, &again, &envelope);
	if (status != CX_OK) {
		envelope_release(&envelope);
		return status;
	}
	envelope_release(&session->envelope);
	session->envelope = envelope;
	return CX_OK;
}

/* The trace of what is expanded now. */
static enum status add_trace(struct session *session)
{
	struct buf value;
	enum status status;

	buf_init(&value);
	status = tracing_write(&session->tracing, &session->envelope,
	    session->env->now(), &value);
	if (status == CX_OK && value.len > 0) {
		status = plan_add_header(&session->plan, SPAN(TRACE_HEADER),
		    buf_span(&value));
	}
	buf_release(&value);
	return status;
}

static enum status apply_srs(struct session *session, const struct address *sender)
{
	const struct settings *settings = &session->conf->settings;
	const struct sender_rule rule = {
		.secrets = &session->keys->srs,
		.domain = span_of(settings->srs_domain),
		/* No Sendmail has a mailer for it. */
		.has_hop = settings->srs_hop[0] != '\0' && session->mta == MTA_POSTFIX,
		.now_s = session->env->now(),
	};
	enum sender_fate fate;
	enum status status;
	struct buf text;

	buf_init(&text);
	status = sender_rewrite(&session->plan, sender, &rule, &fate, &text);
	if (status == CX_OK) {
		switch (fate) {
		case SENDER_CHANGED:
			session->new_sender = pool_copy(&session->pool, buf_span(&text));
			status = session->new_sender.ptr ? CX_OK : CX_ENOMEM;
			break;
		case SENDER_BY_HOP: break;
		case SENDER_NO_HOP: session->kept_sender = "srsNoHop"; break;
		case SENDER_TOO_LONG: session->kept_sender = "srsTooLong"; break;
		}
	}
	buf_release(&text);
	return status;
}

/* Mail that we forward to foreign domains leaves with a sender of ours (SPEC section 9). */
static enum status rewrite_sender(struct session *session)
{
	struct address sender;
	enum status status;

	if (!session->conf->srs.enable || session->plan.leaving_count == 0 ||
	    is_sender_empty(session)) {
		return CX_OK;
	}
	status = address_parse_path(session->sender, &sender);
	if (status == CX_ENOMEM) {
		return status;
	}
	if (status != CX_OK || !address_is_smtp(&sender) || sender.domain_len == 0) {
		return CX_OK; /* whatever the MTA makes of it */
	}
	status = session->env->judge_sender(session->env->judge_context,
	    &session->conf->settings, session->env->now(), &sender);
	if (status == CX_OK) {
		return CX_OK; /* in a domain of ours */
	}
	return status == CX_NOTFOUND ? apply_srs(session, &sender) : CX_ETEMP;
}

static enum status make_plan(struct session *session)
{
	const struct trace_site site = { &session->keys->site,
		span_of(session->conf->settings.organization) };
	enum status status = tracing_read(&session->tracing, &session->pool, &site,
	    session->env->now());

	if (status == CX_OK) {
		status = decide_again(session);
	}
	if (status == CX_OK) {
		status = plan_make(&session->envelope, &session->plan);
	}
	if (status == CX_OK) {
		status = add_trace(session);
	}
	return status == CX_OK ? rewrite_sender(session) : status;
}

static struct answer refuse_message(struct session *session, enum status status)
{
	bool is_back = status == CX_NOTFOUND;

	if (is_back) {
		report(session, SPAN(""), verdict_text(VERDICT_LOOP),
		    rule_text(RULE_LOOP), &came_back, false);
	} else {
		log_error("message deferred: %s",
		    status == CX_EINVAL ? "no recipient would be left"
					: status_text(status));
	}
	forget_message(session);
	return answer_with(is_back ? &came_back : &temporary_failure);
}

struct answer session_end(struct session *session, const struct plan **plan)
{
	enum status status;

	*plan = &session->plan;
	if (session->deferral.code) {
		forget_message(session);
		return answer_with(&session->deferral);
	}
	if (session->conf == NULL) {
		return (struct answer){ .kind = ANSWER_CONTINUE }; /* no message */
	}
	status = make_plan(session);
	return status == CX_OK ? (struct answer){ .kind = ANSWER_CONTINUE }
			       : refuse_message(session, status);
}

struct answer session_edited(struct session *session, bool was_applied,
    struct span queue_id)
{
	if (was_applied) {
		report_changes(&session->envelope, queue_id);
		if (session->kept_sender || session->new_sender.len > 0) {
			report_sender(queue_id, session->sender, session->new_sender,
			    session->kept_sender ? session->kept_sender : "srs");
		}
	} else {
		struct buf id;

		buf_init(&id);
		buf_add_escaped(&id, queue_id);
		log_warnx("%s: an edit of the envelope failed, message deferred",
		    id.failed || id.len == 0 ? "NOQUEUE" : id.data);
		buf_release(&id);
	}
	forget_message(session);
	return was_applied ? (struct answer){ .kind = ANSWER_CONTINUE }
			   : answer_with(&temporary_failure);
}
