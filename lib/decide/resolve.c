#include "config.h"

#include "decide/resolve.h"

#include "decide/age.h"
#include "decide/expand.h"
#include "decide/horizon.h"

static void decide(struct resolution *out, enum verdict verdict, enum rule rule)
{
	out->verdict = verdict;
	out->rule = rule;
}

void resolution_invalid(struct resolution *out)
{
	memset(out, 0, sizeof(*out));
	decide(out, VERDICT_INVALID, RULE_SYNTAX);
}

void resolution_unavailable(struct resolution *out)
{
	memset(out, 0, sizeof(*out));
	decide(out, VERDICT_UNAVAILABLE, RULE_REPLICA);
}

/* What blocks the whole recipient, the graver first. */
static bool decide_blocked(const struct expansion *x, struct resolution *out)
{
	if (x->list.too_many) {
		decide(out, VERDICT_TOO_MANY, RULE_LIMIT);
	} else if (x->is_too_deep) {
		decide(out, VERDICT_LOOP, RULE_DEPTH);
	} else if (x->has_disabled) {
		decide(out, VERDICT_DISABLED, RULE_DISABLED);
	} else if (x->has_ambiguous) {
		decide(out, VERDICT_BROKEN, RULE_AMBIGUOUS);
	} else if (x->has_no_route) {
		decide(out, VERDICT_BROKEN, RULE_NO_ROUTE);
	} else {
		return false;
	}
	return true;
}

/* Why there is nothing to deliver to: what may mend itself before what is final. */
static void decide_nothing_left(const struct expansion *x, struct resolution *out)
{
	if (x->is_invalid) {
		decide(out, VERDICT_INVALID, RULE_SYNTAX);
	} else if (x->is_unknown) {
		decide(out, VERDICT_UNKNOWN, RULE_UNKNOWN);
	} else if (x->has_missing) {
		decide(out, VERDICT_BROKEN, RULE_MISSING);
	} else if (x->has_denied) {
		decide(out, VERDICT_DENIED, RULE_REQUIRE_AUTH);
	} else if (x->has_loop) {
		decide(out, VERDICT_LOOP, RULE_LOOP);
	} else {
		decide(out, VERDICT_BROKEN, RULE_MISSING); /* a group with no member */
	}
}

static void decide_deliver(struct expansion *x, struct resolution *out)
{
	const struct client *client = &x->question->client;
	bool is_back;
	enum status status;

	if (x->has_parked) {
		decide(out, VERDICT_PARKED, RULE_PARKED);
		return;
	}
	/* Who is in no directory may be in one that has not come up yet: left out, or sent
	 * to another system, the mail would be lost. */
	if (x->is_by_absence && !age_knows_recipients(x->view)) {
		decide(out, VERDICT_UNAVAILABLE, RULE_AGE);
		return;
	}
	status = horizon_check(x->view, client, x->list.deliveries, x->list.delivery_count,
	    &is_back, &x->sources);
	if (status != CX_OK) {
		decide(out, VERDICT_UNAVAILABLE, RULE_REPLICA);
	} else if (is_back) {
		decide(out, VERDICT_HORIZON, RULE_SPLIT_HORIZON);
	} else {
		decide(out, VERDICT_DELIVER,
		    x->list.delivery_count > 0 ? x->list.deliveries[0].rule : RULE_MEMBER);
		out->is_observed = x->is_observed;
		out->observed = VERDICT_UNKNOWN;
	}
}

/* Whether the directories are known well enough for this verdict (SPEC section 10). */
static bool is_backed(const struct view *view, const struct resolution *resolution)
{
	switch (resolution->verdict) {
	case VERDICT_DELIVER: return age_allows_delivery(view, resolution->sources_read);
	case VERDICT_FOREIGN: return age_knows_domains(view);
	case VERDICT_UNKNOWN:
	case VERDICT_INVALID:
	case VERDICT_DENIED:
	case VERDICT_LOOP: return age_allows_refusal(view);
	case VERDICT_HORIZON: return resolution->is_known || age_allows_refusal(view);
	case VERDICT_BROKEN:
	case VERDICT_DISABLED:
	case VERDICT_PARKED:
	case VERDICT_TOO_MANY:
	case VERDICT_UNAVAILABLE:
	case VERDICT_COUNT: return true;
	}
	return false;
}

/* What was visited, as ids alone. */
static void list_expanded(struct expansion *x, struct resolution *out)
{
	uint8_t(*ids)[16];

	if (!x->question->want_deliveries || x->list.visit_count == 0 || x->list.is_full) {
		return;
	}
	ids = arena_get(x->list.arena, x->list.visit_count * sizeof(*ids));
	if (ids == NULL) {
		x->list.is_full = true;
		return;
	}
	for (size_t i = 0; i < x->list.visit_count; i++) {
		memcpy(ids[i], x->list.visits[i].id.uuid, sizeof(*ids));
	}
	out->expanded = (const uint8_t(*)[16])ids;
	out->expanded_count = x->list.visit_count;
}

static bool is_to_be_kept(const struct visit *visit)
{
	return visit->is_group && visit->reaches;
}

/* Groups that need not be expanded for another recipient. With an extension it is other addresses. */
static void list_groups(struct expansion *x, struct resolution *out)
{
	struct expanded_group *groups;
	size_t i, count = 0;

	for (i = 0; i < x->list.visit_count; i++) {
		count += is_to_be_kept(&x->list.visits[i]);
	}
	if (!x->question->want_deliveries || x->has_extension || count == 0 ||
	    x->list.is_full) {
		return;
	}
	groups = arena_get(x->list.arena, count * sizeof(*groups));
	if (groups == NULL) {
		x->list.is_full = true;
		return;
	}
	out->groups = groups;
	for (i = 0; i < x->list.visit_count; i++) {
		const struct visit *visit = &x->list.visits[i];

		if (is_to_be_kept(visit)) {
			groups[out->group_count++] =
			    (struct expanded_group){ visit->id, visit->kind };
		}
	}
}

static void conclude(struct expansion *x, struct resolution *out)
{
	out->object = collection_copy(&x->list, x->object);
	out->is_known = x->is_known;
	out->missing_count = x->missing_count;
	out->missing = x->missing;
	if (x->failure != CX_OK) {
		decide(out, VERDICT_UNAVAILABLE, RULE_REPLICA);
	} else if (!decide_blocked(x, out)) {
		if (x->list.delivery_count == 0 && !x->is_covered) {
			decide_nothing_left(x, out);
		} else {
			decide_deliver(x, out);
		}
	}
	out->sources_read = x->sources;
	out->deliveries = x->list.deliveries;
	out->delivery_count = out->verdict == VERDICT_DELIVER ? x->list.delivery_count : 0;
	out->was_here = x->was_here;
	if (out->verdict == VERDICT_DELIVER) {
		list_expanded(x, out);
		list_groups(x, out);
		out->is_covered = x->is_covered;
	}
	out->entered = x->entered;
	out->steps = x->list.steps;
	out->step_count = x->list.step_count;
}

/* Whether its domain is one of ours, or its type has none. */
static enum status is_ours(const struct view *view, const struct address *address)
{
	struct domain domain;
	struct record_id id;

	if (!address_is_smtp(address)) {
		return CX_OK;
	}
	return find_domain(view, (struct span){ address->domain, address->domain_len },
	    &domain, &id);
}

/*
 * A local part without what Postfix's rewriter passes over when it reads one as an address:
 * blanks, quotes, backslashes, comments if asked for, and source routes in front.
 */
static struct span strip_noise(struct span local, bool has_comments, struct buf *out)
{
	unsigned comments = 0;
	struct span rest;
	const char *colon;
	size_t i;

	for (i = 0; i < local.len; i++) {
		char c = local.ptr[i];

		if (has_comments && c == '(') {
			comments++;
		} else if (has_comments && c == ')' && comments > 0) {
			comments--;
		} else if (comments == 0 && strchr(" \t\\\"", c) == NULL) {
			buf_add_char(out, c);
		}
	}
	rest = buf_span(out);
	while (rest.len > 0 && rest.ptr[0] == '@' &&
	    (colon = memchr(rest.ptr, ':', rest.len)) != NULL) {
		rest.len -= (size_t)(colon + 1 - rest.ptr);
		rest.ptr = colon + 1;
	}
	return rest;
}

static enum status route_leads_to_us(const struct view *view, struct span local)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct span domain;
	struct domain ours;
	struct record_id id;
	enum status status = CX_NOTFOUND;

	while (status == CX_NOTFOUND && address_split_route(local, &local, &domain)) {
		status = domain_canonical(domain, name);
		if (status == CX_OK) {
			status = find_domain(view, span_of(name), &ours, &id);
		} else if (status != CX_ENOMEM) {
			status = CX_NOTFOUND;
		}
	}
	return status;
}

static bool has_route(const struct address *address)
{
	size_t i;

	for (i = 0; i < address->local_len; i++) {
		if (strchr("%!@", address->local[i]) != NULL) {
			return true;
		}
	}
	return false;
}

/*
 * Whether an address that is not ours leads to one that is, by "user%domain@..." or the like.
 * Where its domain is the MTA's own, the MTA would follow it and deliver behind the back of
 * this decision. An address literal may always be its own, and nobody needs a route there.
 */
static enum status leads_to_us(const struct view *view, const struct address *address)
{
	struct span local = { address->local, address->local_len };
	char memory[ADDRESS_VALUE_MAX + 1];
	struct buf text;
	enum status status;

	if (!has_route(address)) {
		return CX_NOTFOUND;
	}
	if (address_is_literal(address)) {
		return CX_OK;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	status = route_leads_to_us(view, strip_noise(local, false, &text));
	if (status == CX_NOTFOUND) {
		buf_clear(&text);
		status = route_leads_to_us(view, strip_noise(local, true, &text));
	}
	return status;
}

static enum status resolve_foreign(struct expansion *x, struct resolution *out)
{
	const struct address *address = x->question->address;
	enum status status = leads_to_us(x->view, address);

	if (status == CX_OK) {
		decide(out, VERDICT_INVALID, RULE_ROUTE);
	} else if (status == CX_NOTFOUND) {
		decide(out, VERDICT_FOREIGN, RULE_FOREIGN);
	} else {
		return status;
	}
	collection_step_address(&x->list, 0, out->rule, address, (struct span){ NULL, 0 });
	out->steps = x->list.steps;
	out->step_count = x->list.step_count;
	return CX_OK;
}

enum status resolve(const struct view *asked, const struct question *question,
    struct arena *arena, struct resolution *out)
{
	struct domain_memo memo;
	struct view with_memo = lookup_with_memo(asked, &memo);
	const struct view *view = &with_memo;
	struct expansion x;
	enum status status = is_ours(view, question->address);

	memset(out, 0, sizeof(*out));
	expansion_init(&x, view, question, arena);
	if (status == CX_OK) {
		out->is_ours = true;
		expand_asked(&x);
		conclude(&x, out);
	} else if (status == CX_NOTFOUND) {
		status = resolve_foreign(&x, out);
	}
	if (status != CX_OK) {
		decide(out, VERDICT_UNAVAILABLE, RULE_REPLICA);
	}
	if (x.list.is_full) {
		return CX_EFULL;
	}
	if (!is_backed(view, out)) {
		decide(out, VERDICT_UNAVAILABLE, RULE_AGE);
		out->delivery_count = 0;
		out->is_observed = false;
	}
	return CX_OK;
}
