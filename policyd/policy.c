#include "config.h"

#include "policyd/policy.h"

#include "decide/age.h"
#include "value/utf8.h"

enum context {
	CONTEXT_BOTH,
	CONTEXT_RELAY,
	CONTEXT_RECIPIENT,
	CONTEXT_UNKNOWN,
};

/* What one request is about, once its values have been read. */
struct facts {
	const struct view *view;
	struct workspace *workspace;
	struct span sender;
	struct span login;
	struct span recipient; /* as Postfix has it */
	struct address address;
	bool is_routed; /* it came with no domain, as "user%domain" */
	struct client client;
	struct authorization authorization;
	bool is_relay_judged;
};

static const struct reply unknown_context = { "451", "4.3.5",
	"Server configuration error" };

static const struct policy_answer dunno = { .verdict = "", .rule = "" };

static struct policy_answer refusal(const struct reply *reply, const char *verdict,
    const char *rule)
{
	return (struct policy_answer){
		.reply = reply,
		.verdict = verdict,
		.rule = rule,
	};
}

static struct policy_answer refusal_of_resolution(const struct resolution *resolution)
{
	return refusal(reply_of_resolution(resolution),
	    verdict_text(resolution->verdict), rule_text(resolution->rule));
}

static struct policy_answer invalid(void)
{
	struct resolution resolution;

	resolution_invalid(&resolution);
	return refusal_of_resolution(&resolution);
}

static struct policy_answer unavailable(enum rule rule)
{
	return refusal(reply_unavailable(), verdict_text(VERDICT_UNAVAILABLE),
	    rule_text(rule));
}

/*
 * Whether Postfix takes a domain that is not ours for one that is, as its lists know names folded
 * in full only: reject_unauth_destination then lets everybody relay to it. CX_OK: it does.
 */
static enum status is_ours_when_folded(const struct facts *facts)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct domain ours;
	struct record_id id;
	enum status status;

	if (span_is_ascii(facts->recipient)) {
		return CX_NOTFOUND;
	}
	status = domain_folded_in_full(
	    (struct span){ facts->address.domain, facts->address.domain_len }, name);
	return status == CX_OK ? find_domain(facts->view, span_of(name), &ours, &id) : status;
}

static struct policy_answer decide_not_permitted(const struct facts *facts)
{
	enum status status = is_ours_when_folded(facts);

	if (status == CX_NOTFOUND) {
		return dunno;
	}
	return status == CX_OK ? refusal(reply_of_relay(RELAY_FORBIDDEN),
				     relay_verdict_text(RELAY_NOT_PERMITTED), "foldedDomain")
			       : unavailable(RULE_REPLICA);
}

/* "OK" on grounds of the client alone, and never for a domain of ours. */
static struct policy_answer decide_relay(struct facts *facts)
{
	const struct authorization *authorization = &facts->authorization;
	struct span domain = { facts->address.domain, facts->address.domain_len };
	struct domain ours;
	struct record_id id;
	struct policy_answer answer;
	enum status status;

	status = find_domain(facts->view, domain, &ours, &id);
	if (status == CX_OK) {
		return dunno;
	}
	if (status != CX_NOTFOUND) {
		return unavailable(RULE_REPLICA);
	}
	if (!age_knows_domains(facts->view)) {
		return unavailable(RULE_AGE);
	}
	facts->is_relay_judged = true;
	answer = refusal(reply_of_relay(authorization->verdict),
	    relay_verdict_text(authorization->verdict),
	    relay_reason_text(authorization->reason));
	switch (authorization->verdict) {
	case RELAY_NOT_PERMITTED: return decide_not_permitted(facts);
	case RELAY_PERMITTED:
		if (facts->is_routed) { /* whether the MTA follows it is the MTA's choice */
			return dunno;
		}
		answer.reply = NULL;
		answer.is_permitted = true;
		return answer;
	case RELAY_FORBIDDEN: return answer;
	case RELAY_UNAVAILABLE:
		return unavailable(authorization->reason == RELAY_BY_AGE
				       ? RULE_AGE
				       : RULE_REPLICA);
	}
	return unavailable(RULE_REPLICA);
}

static struct policy_answer decide_sender(const struct facts *facts)
{
	struct address sender;
	enum status status;

	if (!facts->view->settings->enforce_sender || span_is_empty(facts->login) ||
	    span_is_empty(facts->sender)) {
		return dunno;
	}
	status = address_parse_internal(facts->sender, &sender);
	if (status == CX_OK) {
		status = authorize_sender(facts->view, facts->login, &sender);
	} else if (status != CX_ENOMEM) {
		status = CX_NOTFOUND;
	}
	if (status == CX_OK) {
		return dunno;
	}
	if (status == CX_NOTFOUND) {
		return refusal(reply_sender_not_owned(), verdict_text(VERDICT_DENIED),
		    "enforceSender");
	}
	return unavailable(status == CX_ETEMP ? RULE_AGE : RULE_REPLICA);
}

static void resolve_as(struct facts *facts, bool may_relay, struct resolution *out)
{
	struct question question = {
		.address = &facts->address,
		.client = facts->client,
		.is_sender_empty = span_is_empty(facts->sender),
	};

	question.client.may_relay = may_relay;
	workspace_resolve(facts->workspace, facts->view, &question, out);
}

static bool is_final(const struct resolution *resolution)
{
	const struct reply *reply = reply_of_resolution(resolution);

	return reply != NULL && !reply_is_temporary(reply);
}

static struct policy_answer decide_recipient(struct facts *facts)
{
	struct resolution resolution;
	struct resolution permitted;
	struct policy_answer answer;

	resolve_as(facts, facts->client.may_relay, &resolution);
	/* Where nobody knows whether it may relay, that must not be what refuses it. */
	if (facts->authorization.verdict == RELAY_UNAVAILABLE &&
	    !facts->client.may_relay && is_final(&resolution)) {
		enum verdict refused = resolution.verdict;

		resolve_as(facts, true, &permitted);
		if (permitted.verdict != refused) {
			return unavailable(RULE_AGE);
		}
		resolution = permitted;
	}
	if (resolution.is_observed) {
		resolution.verdict = resolution.observed;
		resolution.is_observed = false;
		answer = refusal_of_resolution(&resolution);
		answer.is_observed = true;
	} else {
		answer = refusal_of_resolution(&resolution);
	}
	answer = answer.reply != NULL ? answer : dunno;
	answer.is_resolved = true;
	answer.resolved = resolution.verdict;
	answer.object = resolution.object;
	return answer;
}

static enum context parse_context(struct span text)
{
	if (span_is_empty(text)) {
		return CONTEXT_BOTH;
	}
	if (span_equal(text, SPAN("relay"))) {
		return CONTEXT_RELAY;
	}
	if (span_equal(text, SPAN("recipient"))) {
		return CONTEXT_RECIPIENT;
	}
	return CONTEXT_UNKNOWN;
}

/* Relay first. A permission to relay is no excuse from the rest. */
static struct policy_answer decide_context(struct facts *facts, enum context context)
{
	struct policy_answer relay = dunno;
	struct policy_answer answer;

	if (context == CONTEXT_RELAY || context == CONTEXT_BOTH) {
		relay = decide_relay(facts);
		if (context == CONTEXT_RELAY || relay.reply != NULL) {
			return relay;
		}
	}
	answer = decide_sender(facts);
	if (answer.reply == NULL) {
		answer = decide_recipient(facts);
	}
	if (relay.is_permitted && (answer.reply == NULL || answer.is_observed)) {
		relay.is_resolved = answer.is_resolved;
		relay.resolved = answer.resolved;
		relay.object = answer.object;
		return relay;
	}
	return answer;
}

static void read_client(const struct policy_request *request, struct facts *facts)
{
	struct relay_facts relay = {
		.login = request->sasl_username,
		.certificate_fingerprint = request->ccert_fingerprint,
		.key_fingerprint = request->ccert_pubkey_fingerprint,
	};

	relay.has_ip = ip_parse(request->client_address, &relay.ip) == CX_OK;
	authorize(facts->view, &relay, &facts->authorization);
	facts->sender = request->sender;
	facts->recipient = request->recipient;
	facts->login = request->sasl_username;
	facts->client = (struct client){
		.has_ip = relay.has_ip,
		.ip = relay.ip,
		.is_authenticated = !span_is_empty(request->sasl_username),
	};
	facts->client.may_relay = facts->authorization.verdict == RELAY_PERMITTED;
}

static struct policy_answer decide(const struct view *view,
    const struct policy_request *request, struct workspace *workspace)
{
	struct facts facts = { .view = view, .workspace = workspace };
	enum context context = parse_context(request->policy_context);
	enum status status;
	struct policy_answer answer;

	if (!span_equal(request->protocol_state, SPAN("RCPT"))) {
		return dunno;
	}
	if (context == CONTEXT_UNKNOWN) {
		return refusal(&unknown_context, verdict_text(VERDICT_UNAVAILABLE),
		    "policyContext");
	}
	if (span_is_empty(request->recipient)) {
		return dunno;
	}
	status = address_parse_internal(request->recipient, &facts.address);
	if (status == CX_OK && facts.address.domain_len == 0) {
		status = address_follow_route(&facts.address);
		if (status == CX_OK && facts.address.domain_len == 0) {
			return dunno;
		}
		facts.is_routed = true;
	}
	if (status != CX_OK) {
		return status == CX_ENOMEM ? unavailable(RULE_REPLICA) : invalid();
	}
	if (view->snapshot == NULL) {
		return unavailable(RULE_REPLICA);
	}
	read_client(request, &facts);
	answer = decide_context(&facts, context);
	answer.is_relay_judged = facts.is_relay_judged;
	answer.relay = facts.authorization.verdict;
	return answer;
}

void policy_decide(const struct view *view, const struct policy_request *request,
    struct workspace *workspace, struct policy_answer *out)
{
	*out = decide(view, request, workspace);
	if (view->settings->observe && (out->reply != NULL || out->is_permitted)) {
		out->is_observed = true;
	}
}

/*
 * To Postfix an empty action and a code without text mean "permit", and a line
 * break would end the answer. Replies are constants, but this is where it counts.
 */
static bool is_sound(const char *text)
{
	if (*text == '\0') {
		return false;
	}
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f) {
			return false;
		}
	}
	return true;
}

static void print_action(const struct policy_answer *answer, struct buf *out)
{
	const struct reply *reply = answer->reply;

	if (reply == NULL) {
		buf_add_text(out, answer->is_permitted ? "OK" : "DUNNO");
		return;
	}
	if (!is_sound(reply->code) || !is_sound(reply->enhanced) ||
	    !is_sound(reply->text)) {
		buf_add_text(out, "451 4.3.0 Temporary failure");
		return;
	}
	buf_printf(out, "%s %s %s", reply->code, reply->enhanced, reply->text);
}

void policy_answer_print(const struct policy_answer *answer, struct buf *out)
{
	buf_add_text(out, "action=");
	if (answer->is_observed) {
		buf_add_text(out, "DUNNO");
	} else {
		print_action(answer, out);
	}
	buf_add_text(out, "\n\n");
}

bool policy_answer_is_logged(const struct policy_answer *answer)
{
	return answer->reply != NULL || answer->is_observed;
}

enum log_level policy_answer_level(const struct policy_answer *answer)
{
	return answer->reply != NULL ? log_level_of_reply(answer->reply) : LOG_LEVEL_INFO;
}

/* In external form, as Postfix logs it: the parts of a line cannot be made up by a stranger. */
static void add_path(struct log_line *out, const char *before, enum log_field field,
    struct span path)
{
	char text[2 * LOG_VALUE_MAX + 8];
	struct buf external;

	/* One more than is shown, so that what is cut is seen to be. */
	if (path.len > LOG_VALUE_MAX + 1) {
		path.len = LOG_VALUE_MAX + 1;
	}
	buf_init_fixed(&external, text, sizeof(text));
	address_print_internal(path, &external);
	log_line_add_value(out, before, field, buf_span(&external), ">");
}

void policy_answer_log(const struct policy_answer *answer,
    const struct policy_request *request, struct log_line *out)
{
	log_line_add_value(out, "NOQUEUE: ", LOG_FIELD_ACTION,
	    answer->is_observed ? SPAN("observe") : SPAN("reject"), ": client=");
	log_line_add_value(out, "", LOG_FIELD_NONE, request->client_name, "");
	log_line_add_value(out, "[", LOG_FIELD_CLIENT, request->client_address, "]");
	log_line_add_value(out, ", sasl_username=", LOG_FIELD_LOGIN, request->sasl_username,
	    "");
	add_path(out, ", from=<", LOG_FIELD_FROM, request->sender);
	add_path(out, ", to=<", LOG_FIELD_TO, request->recipient);
	if (answer->reply == &unknown_context) {
		log_line_add_value(out, ", policy_context=", LOG_FIELD_NONE,
		    request->policy_context, "");
	}
	log_line_add_value(out, ", verdict=", LOG_FIELD_VERDICT, span_of(answer->verdict),
	    "");
	log_line_add_value(out, ", rule=", LOG_FIELD_RULE, span_of(answer->rule), "");
	log_line_add(out, ", reply=\"");
	print_action(answer, &out->text);
	log_line_add(out, "\"");
}

void policy_answer_trace(const struct policy_answer *answer,
    const struct policy_request *request, struct log_line *out)
{
	if (!answer->is_resolved) {
		return;
	}
	add_path(out, "rcpt: to=<", LOG_FIELD_TO, request->recipient);
	log_line_add_value(out, ", verdict=", LOG_FIELD_VERDICT,
	    span_of(verdict_text(answer->resolved)), "");
	log_line_add_value(out, ", object=\"", LOG_FIELD_OBJECT, answer->object, "\"");
}
