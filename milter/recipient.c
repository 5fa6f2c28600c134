#include "config.h"

#include "milter/session_parts.h"

#include "daemon/log.h"
#include "milter/again.h"
#include "milter/left_out.h"
#include "milter/report.h"
#include "value/utf8.h"

static const struct reply needs_smtputf8 = { "550", "5.6.7",
	"This recipient needs a message with SMTPUTF8" };

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
static const struct reply *objection_by_policy(const struct candidate *candidate)
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
static const struct reply *objection(const struct session *session,
    const struct candidate *candidate)
{
	const struct resolution *resolution = &candidate->judgement.resolution;
	const struct reply *reply = NULL;

	if (session->is_enforcing && !session->is_local_submission) {
		reply = objection_by_policy(candidate);
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

static struct answer defer_recipient(struct session *session, enum status status)
{
	struct resolution too_many = { .verdict = VERDICT_TOO_MANY };

	if (status == CX_EFULL) {
		return answer_refusal(session, reply_of_resolution(&too_many));
	}
	log_error("recipient deferred: %s", status_text(status));
	return answer_refusal(session, &answer_temporary_failure);
}

/* Refused, or under `observe` let through as it is. */
static struct answer refuse(struct session *session, const struct candidate *candidate,
    const struct reply *reply)
{
	const struct resolution *resolution = &candidate->judgement.resolution;
	bool is_observed = session->conf->settings.observe;
	enum status status;

	answer_report(session, candidate->entry.typed,
	    verdict_text(resolution->verdict), rule_text(resolution->rule), reply,
	    is_observed);
	if (!is_observed) {
		return answer_refusal(session, reply);
	}
	status = envelope_add_untouched(&session->envelope, &candidate->entry);
	return status == CX_OK ? answer_go_on() : defer_recipient(session, status);
}

/* How putting it into the envelope went. */
static struct answer answer_added(struct session *session, struct candidate *candidate,
    enum status status)
{
	struct resolution *resolution = &candidate->judgement.resolution;

	if (status == CX_OK) {
		return answer_go_on();
	}
	if (status != CX_EFULL) {
		return defer_recipient(session, status);
	}
	resolution->verdict = VERDICT_TOO_MANY;
	resolution->rule = RULE_LIMIT;
	return refuse(session, candidate, reply_of_resolution(resolution));
}

/*
 * Whether the recipient is `text` in letters beyond ASCII that are equal, not the same: a domain
 * in Unicode, another normal form or case. Neither the MTA nor what stands behind it takes the
 * two for one, so such a one becomes what the directory has, like a proxy address.
 */
static bool is_spelled_otherwise(const struct candidate *candidate, struct span text)
{
	struct span typed = candidate->entry.typed;

	return !span_is_ascii(typed) && !span_equal_case(dsn_strip_brackets(typed), text);
}

static bool becomes_primary(const struct session *session,
    const struct candidate *candidate)
{
	const struct resolution *resolution = &candidate->judgement.resolution;

	if (!session->conf->settings.rewrite_to_primary ||
	    span_is_empty(resolution->object)) {
		return false;
	}
	for (size_t i = 0; i < resolution->delivery_count; i++) {
		if (resolution->deliveries[i].is_unchanged) {
			return is_spelled_otherwise(candidate,
			    resolution->deliveries[i].address);
		}
	}
	return false;
}

static struct answer take(struct session *session, struct candidate *candidate)
{
	const struct resolution *resolution = &candidate->judgement.resolution;
	struct envelope *envelope = &session->envelope;
	enum status status;

	candidate->entry.is_replaced = becomes_primary(session, candidate);
	if (resolution->verdict == VERDICT_DELIVER &&
	    (resolution->delivery_count > 0 || resolution->is_covered)) {
		status = envelope_add(envelope, &candidate->entry, resolution,
		    session->conf->settings.max_deliveries);
	} else {
		status = envelope_add_untouched(envelope, &candidate->entry);
	}
	return answer_added(session, candidate, status);
}

/* The empty sender is everybody's. */
static bool must_own_sender(const struct session *session)
{
	return session->is_enforcing && session->conf->settings.enforce_sender &&
	       session->client.login.len > 0 && !session_has_empty_sender(session);
}

/*
 * For the recipients that are in `envelope` already. `was_here`: the message brought a trace,
 * which is asked.
 */
static void judge(struct session *session, const struct envelope *envelope,
    const struct dsn *dsn, const struct address *address, bool was_here,
    struct judgement *out)
{
	const struct conf *conf = session->conf;
	struct envelope_asker asker = { .envelope = envelope,
		.wants_failures = dsn_wants_failures(dsn) };
	struct judge_question question = { .settings = &conf->settings,
		.now = session->env->now(),
		.address = address,
		.client = &session->client,
		.is_trusted = session->is_trusted,
		.is_sender_empty = session_has_empty_sender(session),
		.srs_secrets = &session->keys->srs,
		.was_expanded = was_here ? tracing_was_expanded : NULL,
		.was_expanded_context = &session->tracing,
		.is_covered = envelope_is_covered,
		.is_covered_context = &asker };
	struct address sender;
	enum status status = CX_OK;

	if (must_own_sender(session)) {
		status = address_parse_path(session->sender, &sender);
		question.sender = status == CX_OK ? &sender : NULL;
	}
	session->env->judge(session->env->judge_context, &question, &session->memory,
	    out);
	if (status != CX_OK) {
		/* It is nobody's, whatever the MTA makes of it; or not known. */
		out->sender = status == CX_ENOMEM ? CX_ETEMP : CX_NOTFOUND;
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
		candidate->entry.is_replaced = envelope_keeps_itself(same) &&
		    same->object.len > 0 && session->conf->settings.rewrite_to_primary &&
		    is_spelled_otherwise(candidate, envelope_text(&session->envelope, same));
		report_decision(candidate->entry.typed, "same", 0, same->object);
		return answer_added(session, candidate,
		    envelope_add_same(&session->envelope, &candidate->entry, same));
	}
	judge(session, &session->envelope, &candidate->dsn, address, false,
	    &candidate->judgement);
	counter_add(&session->env->counts->verdicts[resolution->verdict], 1);
	report_decision(candidate->entry.typed, verdict_text(resolution->verdict),
	    resolution->entered, resolution->object);
	reply = objection(session, candidate);
	if (reply) {
		return refuse(session, candidate, reply);
	}
	left_out_report(resolution);
	if (resolution->is_observed && session->is_enforcing) {
		struct resolution would_be = { .verdict = resolution->observed };

		reply = reply_of_resolution(&would_be);
		if (reply) {
			answer_report(session, candidate->entry.typed,
			    verdict_text(would_be.verdict), rule_text(resolution->rule),
			    reply, true);
		}
	}
	return take(session, candidate);
}

struct answer recipient_decide(struct session *session, const char *const *arguments,
    struct span mailer)
{
	struct candidate candidate = { .mailer = mailer };
	struct address address;
	char memory[ADDRESS_PRINT_MAX];
	struct buf text;
	struct key key;
	struct answer answer;
	enum status status;

	dsn_parse(arguments + 1, &candidate.dsn);
	candidate.entry.typed = span_of(arguments[0]);
	candidate.entry.dsn = &candidate.dsn;
	status = address_parse_path(candidate.entry.typed, &address);
	if (status == CX_OK) {
		status = address_follow_route(&address);
	}
	if (status == CX_ENOMEM) {
		return answer_refusal(session, &answer_temporary_failure);
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	if (status == CX_OK) {
		address_key(&address, &key);
		address_print(&address, &text);
		candidate.entry.key = key_span(&key);
		candidate.has_domain = address.domain_len > 0;
	}
	candidate.entry.text = buf_span(&text);
	answer = decide(session, &candidate, status == CX_OK ? &address : NULL);
	judge_memory_trim(&session->memory);
	return answer;
}

/* What recipients are decided with again, one after the other. */
struct again {
	struct session *session;
	struct envelope envelope;
	struct judgement judgement;
};

static const struct resolution *judge_again(void *context,
    const struct address *address, const struct dsn *dsn)
{
	struct again *again = context;

	judge(again->session, &again->envelope, dsn, address, true, &again->judgement);
	return &again->judgement.resolution;
}

/* The message was here before: what was done for it then is not done again. */
enum status recipient_decide_again(struct session *session)
{
	struct again again = { .session = session };
	enum status status;

	if (session->envelope.expanded_count == 0 ||
	    !tracing_has_returned(&session->tracing)) {
		return CX_OK;
	}
	envelope_init(&again.envelope);
	status = again_decide(&session->envelope,
	    session->conf->settings.max_deliveries, judge_again, &again, &again.envelope,
	    &session->lost);
	if (status != CX_OK) {
		envelope_release(&again.envelope);
		return status;
	}
	envelope_release(&session->envelope);
	session->envelope = again.envelope;
	return CX_OK;
}
