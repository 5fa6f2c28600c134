#include "config.h"

#include "milter/session_parts.h"

#include <stdlib.h>
#include <strings.h>

#include "value/xtext.h"

struct session *session_new(const struct session_env *env)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session) {
		session->env = env;
		counter_add(&env->counts->accepted, 1);
		counter_add(&env->counts->open, 1);
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
	session->lost = (struct span){ NULL, 0 };
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
		counter_subtract(&session->env->counts->open, 1);
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
	session->lacks_headers = facts->lacks_headers;
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

/* Sendmail tells it in xtext; what is none it has not written, and stays. As pool_copy(). */
static struct span keep_login(struct session *session, struct span given)
{
	struct span login = { NULL, 0 };
	struct buf plain;

	buf_init(&plain);
	if (session->mta == MTA_SENDMAIL && given.len > 0 &&
	    xtext_decode(given, &plain) == CX_OK) {
		given = buf_span(&plain);
	}
	if (!plain.failed) {
		login = pool_copy(&session->pool, given);
	}
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

/* Without the headers that it would be bound to there is no trace. */
static void begin_tracing(struct session *session)
{
	const struct trace_site site = {
		.secrets = session->lacks_headers ? NULL : &session->keys->site,
		.organization = span_of(session->conf->settings.organization),
	};

	tracing_begin(&session->tracing, &site, session->env->now());
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
	begin_tracing(session);
	envelope_begin(&session->envelope, session->mta, session->is_local_submission);
}

/* Whether there is a message, of which nothing was lost for want of memory: not its client. */
static bool is_known(const struct session *session)
{
	return session->conf != NULL && session->sender.ptr != NULL &&
	       session->client.login.ptr != NULL &&
	       session->client.certificate_fingerprint.ptr != NULL;
}

struct answer session_rcpt(struct session *session, const char *const *arguments,
    struct span mailer)
{
	static const enum recipient_fate fates[] = {
		[ANSWER_CONTINUE] = RECIPIENT_ACCEPTED,
		[ANSWER_REJECT] = RECIPIENT_REJECTED,
		[ANSWER_DEFER] = RECIPIENT_DEFERRED,
	};
	struct counts *counts = session->env->counts;
	uint64_t start_ns = histogram_clock_ns();
	struct answer answer = is_known(session)
				   ? recipient_decide(session, arguments, mailer)
				   : answer_with(&answer_temporary_failure);

	counter_add(&counts->recipients[fates[answer.kind]], 1);
	histogram_add(&counts->rcpt_seconds, histogram_clock_ns() - start_ns);
	return answer;
}

bool session_is_done(struct session *session)
{
	bool is_done = session->conf && session->deferral.code == NULL &&
		       envelope_changes_nothing(&session->envelope);

	if (is_done) {
		counter_add(&session->env->counts->messages[MESSAGE_UNCHANGED], 1);
		forget_message(session);
	}
	return is_done;
}

void session_header(struct session *session, struct span name, struct span value)
{
	if (session->conf && tracing_header(&session->tracing, name, value) != CX_OK) {
		answer_defer_message(session, &answer_temporary_failure);
	}
}

struct answer session_end(struct session *session, struct span queue_id,
    const struct plan **plan)
{
	struct answer answer = answer_go_on();
	struct counts *counts = session->env->counts;

	session->end_ns = histogram_clock_ns();
	*plan = &session->plan;
	if (session->deferral.code) {
		answer = answer_with(&session->deferral);
	} else if (session->conf) {
		answer = finish_plan(session, queue_id);
	}
	if (answer.kind != ANSWER_CONTINUE) {
		counter_add(&counts->messages[answer.kind == ANSWER_REJECT
						  ? MESSAGE_REJECTED
						  : MESSAGE_DEFERRED],
		    1);
		forget_message(session);
	}
	return answer;
}

struct answer session_edited(struct session *session, bool was_applied,
    struct span queue_id)
{
	struct counts *counts = session->env->counts;
	enum message_fate fate = MESSAGE_DEFERRED;

	if (was_applied) {
		counts_add_edits(counts, &session->plan);
		fate = session->plan.count > 0 ? MESSAGE_CHANGED : MESSAGE_UNCHANGED;
	}
	counter_add(&counts->messages[fate], 1);
	histogram_add(&counts->end_seconds, histogram_clock_ns() - session->end_ns);
	finish_report(session, was_applied, queue_id);
	forget_message(session);
	return was_applied ? answer_go_on() : answer_with(&answer_temporary_failure);
}
