#include "config.h"

#include "milter/session_parts.h"

#include "daemon/log.h"
#include "milter/report.h"
#include "milter/sender.h"

static const struct reply came_back = { "554", "5.4.6", "Mail forwarding loop" };

/* The trace of what is expanded now. */
static enum status add_trace(struct session *session)
{
	struct buf value;
	enum status status;

	buf_init(&value);
	status = tracing_write(&session->tracing, &session->envelope, &value);
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
		.has_hop = settings->srs_hop[0] != '\0',
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
			session->new_sender =
			    pool_copy(&session->pool, buf_span(&text));
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
	    session_has_empty_sender(session)) {
		return CX_OK;
	}
	status = address_parse_path(session->sender, &sender);
	if (status == CX_OK) {
		status = address_follow_route(&sender); /* as the MTA does */
	}
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

static enum status make_plan(struct session *session, struct span queue_id)
{
	enum status status = tracing_end(&session->tracing, queue_id);

	if (status == CX_OK) {
		status = recipient_decide_again(session);
	}
	if (status == CX_OK) {
		status = plan_make(&session->envelope, &session->plan);
	}
	if (status == CX_OK) {
		status = add_trace(session);
	}
	return status == CX_OK ? rewrite_sender(session) : status;
}

static struct answer refuse_message(const struct session *session, enum status status)
{
	if (status == CX_NOTFOUND) {
		answer_report(session, session->lost, verdict_text(VERDICT_LOOP),
		    rule_text(RULE_LOOP), &came_back, false);
		return answer_with(&came_back);
	}
	log_error("message deferred: %s",
	    status == CX_EINVAL ? "no recipient would be left" : status_text(status));
	return answer_with(&answer_temporary_failure);
}

struct answer finish_plan(struct session *session, struct span queue_id)
{
	enum status status = make_plan(session, queue_id);

	return status == CX_OK ? answer_go_on() : refuse_message(session, status);
}

static void report_failure(struct span queue_id)
{
	struct buf id;

	buf_init(&id);
	buf_add_escaped(&id, queue_id);
	log_warnx("%s: an edit of the envelope failed, message deferred",
	    id.failed || id.len == 0 ? "NOQUEUE" : id.data);
	buf_release(&id);
}

void finish_report(const struct session *session, bool was_applied,
    struct span queue_id)
{
	if (!was_applied) {
		report_failure(queue_id);
		return;
	}
	report_changes(&session->envelope, queue_id);
	if (session->kept_sender || session->new_sender.len > 0) {
		report_sender(queue_id, session->sender, session->new_sender,
		    session->kept_sender ? session->kept_sender : "srs");
	}
}
