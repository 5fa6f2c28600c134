#include "config.h"

#include "ctl/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/lost_route.h"
#include "daemon/keys.h"
#include "decide/reply.h"
#include "value/buf.h"

struct explainer {
	const struct conf *conf;
	struct keys *keys; /* NULL: unreadable; SRS addresses are unavailable */
	struct store *store;	   /* NULL: there is none */
	struct snapshot *snapshot; /* NULL: there was none */
	struct arena arena;
	struct errbuf trouble; /* why there is no snapshot */
	/* The present answer. */
	struct span text;
	const struct explain_facts *facts;
	struct address address;
	struct resolution resolution;
	struct authorization authorization;
	bool has_relay;
	bool has_lost_route; /* a custom recipient of a domain of ours that nothing routes */
	enum status sender_status;
};

struct explainer *explainer_new(const struct conf *conf)
{
	struct explainer *e = calloc(1, sizeof(*e));
	struct errbuf keys_trouble;

	if (e == NULL) {
		complain("out of memory");
		return NULL;
	}
	e->conf = conf;
	e->arena.size = RESOLVE_MEMORY;
	e->arena.memory = malloc(e->arena.size);
	if (e->arena.memory == NULL) {
		complain("out of memory");
		explainer_free(e);
		return NULL;
	}
	if (keys_load_srs(conf, &e->keys, &keys_trouble) != CX_OK) {
		e->keys = NULL;
		complain("%s (so addresses of SRS cannot be told)", keys_trouble.text);
	}
	if (store_open(conf->replica, &e->store, &e->trouble) != CX_OK) {
		e->store = NULL; /* `trouble` says why every answer is unavailable */
	}
	return e;
}

void explainer_free(struct explainer *e)
{
	if (e == NULL) {
		return;
	}
	explain_done(e);
	if (e->store != NULL) {
		store_close(e->store);
	}
	keys_unref(e->keys);
	free(e->arena.memory);
	free(e);
}

void explain_done(struct explainer *e)
{
	if (e->snapshot != NULL) {
		snapshot_end(e->snapshot);
		e->snapshot = NULL;
	}
}

static bool enlarge(struct arena *arena)
{
	char *larger;

	if (arena->size >= RESOLVE_MEMORY_MAX) {
		return false;
	}
	larger = realloc(arena->memory, arena->size * 2);
	if (larger == NULL) {
		return false;
	}
	arena->memory = larger;
	arena->size *= 2;
	arena->used = 0;
	return true;
}

/* As a bounce: "--sender ''" or "--sender '<>'". */
static bool is_sender_empty(const struct explainer *e)
{
	return e->facts->has_sender &&
	    (span_is_empty(e->facts->sender) || span_equal(e->facts->sender, SPAN("<>")));
}

static void look_for_lost_route(struct explainer *e, const struct view *view)
{
	size_t i;

	for (i = 0; i < e->resolution.delivery_count && !e->has_lost_route; i++) {
		const struct delivery *delivery = &e->resolution.deliveries[i];

		if (delivery->rule == RULE_TARGET_ADDRESS) {
			(void)delivery_lacks_route(view, delivery, &e->has_lost_route);
		}
	}
}

static bool ask(struct explainer *e, const struct view *view)
{
	struct question question = {
		.address = &e->address,
		.want_deliveries = true,
		.want_steps = true,
		.is_sender_empty = is_sender_empty(e),
	};
	const struct relay_facts *relay = &e->facts->relay;

	question.client.has_ip = relay->has_ip;
	question.client.ip = relay->ip;
	question.client.is_authenticated = !span_is_empty(relay->login);
	question.client.may_relay =
	    e->has_relay && e->authorization.verdict == RELAY_PERMITTED;
	e->arena.used = 0;
	while (resolve(view, &question, &e->arena, &e->resolution) == CX_EFULL) {
		if (!enlarge(&e->arena)) {
			return false;
		}
	}
	look_for_lost_route(e, view);
	return true;
}

static enum status check_sender(const struct explainer *e, const struct view *view)
{
	struct address sender;

	if (is_sender_empty(e)) {
		return authorize_sender(view, e->facts->relay.login, NULL);
	}
	if (address_parse_path(e->facts->sender, &sender) != CX_OK) {
		return CX_NOTFOUND;
	}
	return authorize_sender(view, e->facts->relay.login, &sender);
}

/* A typed address ("MS:NET/PO/BOX") or what a client would write in RCPT. */
static enum status parse(struct span text, struct address *out)
{
	struct span type, value;

	return address_split_type(text, &type, &value) ? address_parse_typed(text, out)
						       : address_parse_path(text, out);
}

bool explain(struct explainer *e, const struct explain_facts *facts, struct span text)
{
	struct view view = { .settings = &e->conf->settings, .now = time(NULL) };
	bool is_address = parse(text, &e->address) == CX_OK &&
	    address_follow_route(&e->address) == CX_OK;

	explain_done(e);
	e->text = text;
	e->facts = facts;
	e->sender_status = CX_OK;
	e->has_lost_route = false;
	e->has_relay = facts->relay.has_ip || !span_is_empty(facts->relay.login);
	memset(&e->authorization, 0, sizeof(e->authorization));
	if (e->store == NULL ||
	    snapshot_begin(e->store, &e->snapshot, &e->trouble) != CX_OK) {
		e->snapshot = NULL;
		e->authorization.verdict = RELAY_UNAVAILABLE;
		e->authorization.reason = RELAY_BY_REPLICA;
		resolution_unavailable(&e->resolution);
		return true;
	}
	view.snapshot = e->snapshot;
	view.srs_secrets = e->keys ? &e->keys->srs : NULL;
	if (e->has_relay) {
		authorize(&view, &facts->relay, &e->authorization);
	}
	if (facts->has_sender && !span_is_empty(facts->relay.login) &&
	    e->conf->settings.enforce_sender) {
		e->sender_status = check_sender(e, &view);
	}
	if (!is_address) {
		resolution_invalid(&e->resolution);
		return true;
	}
	return ask(e, &view);
}

static bool relay_matters(const struct explainer *e)
{
	return e->has_relay && e->resolution.verdict == VERDICT_FOREIGN;
}

static const struct reply *explain_reply(const struct explainer *e)
{
	if (e->sender_status == CX_NOTFOUND) {
		return reply_sender_not_owned();
	}
	if (e->sender_status != CX_OK) {
		return reply_unavailable();
	}
	if (relay_matters(e) && e->authorization.verdict == RELAY_NOT_PERMITTED) {
		/* What reject_unauth_destination says. */
		return reply_of_relay(RELAY_FORBIDDEN);
	}
	if (relay_matters(e) && e->authorization.verdict != RELAY_PERMITTED) {
		return reply_of_relay(e->authorization.verdict);
	}
	return reply_of_resolution(&e->resolution);
}

int explain_exit_code(const struct explainer *e)
{
	if (e->sender_status != CX_OK) {
		return e->sender_status == CX_NOTFOUND ? EX_NOPERM : EX_TEMPFAIL;
	}
	if (relay_matters(e) && e->authorization.verdict != RELAY_PERMITTED) {
		return e->authorization.verdict == RELAY_UNAVAILABLE ? EX_TEMPFAIL : EX_NOPERM;
	}
	return resolution_exit_code(&e->resolution);
}

static void print_escaped(struct span text)
{
	struct buf escaped;

	buf_init(&escaped);
	buf_add_escaped(&escaped, text);
	fwrite(escaped.data, 1, escaped.len, stdout);
	buf_release(&escaped);
}

static void print_steps(const struct resolution *resolution)
{
	size_t i;

	for (i = 0; i < resolution->step_count; i++) {
		const struct step *step = &resolution->steps[i];

		printf("  %*s%s ", (int)step->depth * 2, "", rule_text(step->rule));
		print_escaped(step->subject);
		if (!span_is_empty(step->detail)) {
			printf(" via ");
			print_escaped(step->detail);
		}
		putchar('\n');
	}
}

static void print_deliveries(const struct resolution *resolution)
{
	size_t i;

	for (i = 0; i < resolution->delivery_count; i++) {
		const struct delivery *delivery = &resolution->deliveries[i];

		printf("  -> ");
		print_escaped(delivery->address);
		printf(" (%s) ", delivery_kind_text(delivery->kind));
		if (span_is_empty(delivery->next_hop)) {
			printf("by the MTA's own routing\n");
		} else {
			printf("by ");
			print_escaped(delivery->next_hop);
			putchar('\n');
		}
	}
}

/* Where the steps alone would leave a person wondering. */
static void print_remark(const struct explainer *e)
{
	enum rule rule = e->resolution.rule;

	if (rule == RULE_AGE) {
		printf("  a directory was not heard of for too long, or was never loaded: see "
		       "coexistctl status\n");
	} else if (rule == RULE_AMBIGUOUS) {
		printf("  more than one object has the address: coexistctl check names them\n");
	} else if (rule == RULE_NO_ROUTE) {
		printf("  no connector that is switched on leads there: see coexistctl check\n");
	} else if (rule == RULE_FOREIGN && address_is_smtp(&e->address) &&
		   e->address.domain_len == 0) {
		printf("  no domain: the MTA's own\n");
	}
}

static void print_relay(const struct explainer *e)
{
	/* For an address of ours it makes no difference. */
	if (!relay_matters(e)) {
		return;
	}
	if (e->authorization.reason == RELAY_BY_NOTHING) {
		printf("  relay %s (nothing permits it)\n",
		    relay_verdict_text(e->authorization.verdict));
		return;
	}
	printf("  relay %s (by %s", relay_verdict_text(e->authorization.verdict),
	    relay_reason_text(e->authorization.reason));
	if (!span_is_empty(e->authorization.object)) {
		printf(", ");
		print_escaped(e->authorization.object);
	}
	printf(")\n");
}

void explain_print_text(const struct explainer *e)
{
	const struct reply *reply = explain_reply(e);
	const struct resolution *resolution = &e->resolution;

	print_escaped(e->text);
	printf(": %s (%s)", verdict_text(resolution->verdict), rule_text(resolution->rule));
	if (resolution->is_observed) {
		printf(", observed: would be %s", verdict_text(resolution->observed));
	}
	putchar('\n');
	if (e->snapshot == NULL) {
		printf("  %s\n", e->trouble.text);
	}
	print_steps(resolution);
	print_remark(e);
	print_deliveries(resolution);
	if (e->has_lost_route) {
		printf("  no connector takes it, and by MX it would come back: see coexistctl "
		       "check\n");
	}
	print_relay(e);
	if (reply != NULL) {
		printf("  reply: %s %s %s%s\n", reply->code, reply->enhanced, reply->text,
		    e->conf->settings.observe ? " (not given: observe is true)" : "");
	}
}

static json_t *deliveries_json(const struct resolution *resolution)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < resolution->delivery_count; i++) {
		const struct delivery *delivery = &resolution->deliveries[i];
		json_t *row = json_object();

		json_put(row, "address", json_span(delivery->address));
		json_put(row, "kind", json_string(delivery_kind_text(delivery->kind)));
		json_put(row, "nexthop", json_span_or_null(delivery->next_hop));
		json_put(row, "rule", json_string(rule_text(delivery->rule)));
		json_put(row, "object", json_span_or_null(delivery->object));
		json_add(list, row);
	}
	return list;
}

static json_t *steps_json(const struct resolution *resolution)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < resolution->step_count; i++) {
		const struct step *step = &resolution->steps[i];
		json_t *row = json_object();

		json_put(row, "depth", json_integer((json_int_t)step->depth));
		json_put(row, "rule", json_string(rule_text(step->rule)));
		json_put(row, "subject", json_span(step->subject));
		json_put(row, "detail", json_span_or_null(step->detail));
		json_add(list, row);
	}
	return list;
}

static json_t *reply_json(const struct reply *reply)
{
	return reply == NULL
	    ? json_null()
	    : json_sprintf("%s %s %s", reply->code, reply->enhanced, reply->text);
}

void explain_print_json(const struct explainer *e, bool one_line)
{
	const struct resolution *resolution = &e->resolution;
	json_t *out = json_object(), *relay;

	json_put(out, "address", json_span(e->text));
	json_put(out, "verdict", json_string(verdict_text(resolution->verdict)));
	json_put(out, "rule", json_string(rule_text(resolution->rule)));
	json_put(out, "object", json_span_or_null(resolution->object));
	json_put(out, "reply", reply_json(explain_reply(e)));
	json_put(out, "deliveries", deliveries_json(resolution));
	json_put(out, "steps", steps_json(resolution));
	if (resolution->is_observed) {
		json_put(out, "observed", json_string(verdict_text(resolution->observed)));
	}
	if (e->conf->settings.observe) {
		json_put(out, "observe", json_true());
	}
	if (e->has_relay) {
		relay = json_object();
		json_put(relay, "allowed",
		    json_boolean(e->authorization.verdict == RELAY_PERMITTED));
		json_put(relay, "why",
		    json_sprintf("%s: %s", relay_verdict_text(e->authorization.verdict),
			relay_reason_text(e->authorization.reason)));
		json_put(out, "relay", relay);
	}
	if (e->snapshot == NULL) {
		json_put(out, "trouble", json_span(span_of(e->trouble.text)));
	}
	json_print(out, one_line);
}
