#include "config.h"

#include "decide/expand.h"

#include "decide/deliver.h"
#include "decide/unclaimed.h"

static const struct span nothing = { NULL, 0 };

static void expand_object(struct expansion *, const struct found *, const struct address *via,
    const struct path *);

bool expansion_failed(struct expansion *x, enum status status)
{
	if (status == CX_OK || status == CX_NOTFOUND || status == CX_EINVAL ||
	    status == CX_EEXIST) {
		return false;
	}
	x->failure = status;
	return true;
}

static bool was_expanded(struct expansion *x, const uint8_t id[16])
{
	const struct question *question = x->question;
	enum status status;

	if (question->was_expanded == NULL) {
		return false;
	}
	status = question->was_expanded(question->was_expanded_context, id);
	if (status != CX_OK && status != CX_NOTFOUND) {
		x->failure = CX_ETEMP;
	}
	x->was_here = x->was_here || status == CX_OK;
	return status == CX_OK;
}

bool expansion_was_here(struct expansion *x, const uint8_t id[16],
    const struct path *path, struct span subject)
{
	if (!was_expanded(x, id)) {
		return false;
	}
	x->has_loop = true;
	collection_step(&x->list, path->depth, RULE_LOOP, subject, nothing);
	return true;
}

bool expansion_may_relay(const struct expansion *x)
{
	return x->question->client.may_relay || x->question->client.is_anyone;
}

bool expansion_is_trusted(const struct expansion *x)
{
	return x->question->client.is_authenticated || expansion_may_relay(x);
}

/* Whether to go on through a long list. */
static bool may_go_on(const struct expansion *x)
{
	return x->failure == CX_OK && !x->list.is_full && !x->list.too_many;
}

static bool is_same_object(const struct found *a, const struct found *b)
{
	return record_id_equal(&a->id, &b->id);
}

/*
 * A target in a domain of ours, or of another type. What another object claims is expanded
 * in turn: a mailbox that has moved here may have kept its MS address, and the router
 * takes that for the mailbox's too. `domain`: of an SMTP target.
 */
static void expand_target_of_ours(struct expansion *x, const struct found *found,
    const struct address *target, const struct domain *domain, const struct address *via,
    const struct path *path, const struct path *down)
{
	struct found claimed;
	enum status status = lookup_address(x->view, target, &claimed, &x->sources);

	if (expansion_failed(x, status)) {
		return;
	}
	if (status == CX_EEXIST) {
		x->has_ambiguous = true;
		collection_step_address(&x->list, path->depth, RULE_AMBIGUOUS, target, nothing);
	} else if (status != CX_OK && domain != NULL &&
	    (found->recipient.flags & RECIPIENT_TARGET_NOT_OWN) != 0) {
		/* Not for its directory to say who is in this domain. */
		expand_unclaimed(x, target, domain, down);
	} else if (status != CX_OK || claimed.rank == RANK_TARGET ||
	    is_same_object(&claimed, found)) {
		if (address_is_smtp(target)) {
			deliver_own_target(x, found, target, via, path);
		} else {
			deliver_encapsulated(x, found, target, via, path);
		}
	} else if (!expansion_was_here(x, found->id.uuid, path, found->recipient.dn)) {
		expand_object(x, &claimed, address_is_smtp(target) ? target : NULL, down);
	}
}

static void expand_target(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path, const struct path *down)
{
	struct path here = *down;
	struct address target;
	struct domain domain;
	struct record_id id;
	enum status status;

	status = address_parse_typed(found->recipient.target, &target);
	if (status != CX_OK) {
		note_malformed(x, down, found->recipient.dn, status);
		return;
	}
	if (!address_is_smtp(&target)) {
		expand_target_of_ours(x, found, &target, NULL, via, path, down);
		return;
	}
	status = find_domain(x->view, address_domain(&target), &domain, &id);
	if (expansion_failed(x, status)) {
		return;
	}
	if (status == CX_NOTFOUND) {
		here.depth = path->depth;
		if (!expansion_was_here(x, found->id.uuid, path, found->recipient.dn)) {
			deliver_foreign(x, &target, found->recipient.dn, &here);
		}
		return;
	}
	lookup_note_source(x->view, id.source, &x->sources);
	if ((domain.flags & DOMAIN_DISABLED) != 0) {
		x->has_disabled = true;
		collection_step_address(&x->list, path->depth, RULE_DISABLED, &target, nothing);
		return;
	}
	expand_target_of_ours(x, found, &target, &domain, via, path, down);
}

static void expand_reference(struct expansion *x, struct span key, struct span dn,
    const struct path *path)
{
	struct found found;
	enum status status = lookup_dn(x->view, key, &found, &x->sources);

	if (status == CX_OK) {
		expand_object(x, &found, NULL, path);
	} else if (!expansion_failed(x, status)) {
		note_missing(x, path, dn);
	}
}

/* One more step; the first from the object asked for is what its deliveries are due to. */
static void take_step(struct path *path, enum rule rule)
{
	path->rule = rule;
	if (path->leads == RULE_NONE) {
		path->leads = rule;
	}
}

/* Each reference of a list, with its DN as written for the steps. */
static void expand_references(struct expansion *x, struct values keys, struct values dns,
    const struct path *path)
{
	struct span key, dn = nothing;

	while (may_go_on(x) && values_next(&keys, &key)) {
		if (!values_next(&dns, &dn)) {
			dn = key;
		}
		expand_reference(x, key, dn, path);
	}
}

static void expand_text(struct expansion *x, struct span text, const struct path *path)
{
	struct address address;
	enum status status = address_parse_typed(text, &address);

	if (status == CX_OK) {
		expand_address(x, &address, path);
	} else {
		note_malformed(x, path, text, status);
	}
}

static bool has_alternates(const struct recipient *recipient)
{
	return values_count(recipient->alternates) > 0 ||
	    !span_is_empty(recipient->forwarding_address);
}

static void expand_alternates(struct expansion *x, const struct recipient *recipient,
    const struct path *down)
{
	struct path alternates = *down;

	alternates.kind = worse_kind(down->kind,
	    (recipient->flags & RECIPIENT_DELIVER_AND_REDIRECT) != 0 ? DELIVERY_COPY
								     : DELIVERY_REDIRECT);
	if (values_count(recipient->alternates) > 0) {
		take_step(&alternates, RULE_ALT_RECIPIENT);
		expand_references(x, recipient->alternates, recipient->alternate_dns,
		    &alternates);
	} else {
		take_step(&alternates, RULE_FORWARDING_ADDRESS);
		expand_text(x, recipient->forwarding_address, &alternates);
	}
}

static void expand_members(struct expansion *x, const struct recipient *group,
    const struct path *down)
{
	struct path members = *down;
	struct values addresses = group->member_addresses;
	struct span text;

	members.kind = worse_kind(down->kind, DELIVERY_GROUP);
	take_step(&members, RULE_MEMBER);
	expand_references(x, group->members, group->member_dns, &members);
	while (may_go_on(x) && values_next(&addresses, &text)) {
		expand_text(x, text, &members);
	}
}

static void expand_group(struct expansion *x, const struct recipient *group, bool returned,
    const struct path *path, const struct path *down)
{
	if (returned) {
		x->has_loop = true;
		collection_step(&x->list, path->depth, RULE_LOOP, group->dn, nothing);
		return;
	}
	collection_step(&x->list, path->depth, RULE_MEMBER, group->dn, nothing);
	expand_members(x, group, down);
}

/* Whether the object may be entered; otherwise it has been noted why not. */
static bool may_enter(struct expansion *x, const struct found *found,
    const struct path *path)
{
	const struct recipient *recipient = &found->recipient;
	const struct frame *frame;

	for (frame = path->up; frame != NULL; frame = frame->up) {
		if (record_id_equal(frame->id, &found->id)) {
			x->has_loop = true;
			collection_step(&x->list, path->depth, RULE_LOOP, recipient->dn, nothing);
			return false;
		}
	}
	if (path->depth >= x->view->settings->max_depth) {
		x->is_too_deep = true;
		collection_step(&x->list, path->depth, RULE_DEPTH, recipient->dn, nothing);
		return false;
	}
	if ((recipient->flags & RECIPIENT_REQUIRE_AUTH) != 0 && !expansion_is_trusted(x)) {
		x->has_denied = true;
		collection_step(&x->list, path->depth, RULE_REQUIRE_AUTH, recipient->dn,
		    nothing);
		return false;
	}
	if ((recipient->flags & RECIPIENT_PARKED) != 0) {
		x->has_parked = true;
		collection_step(&x->list, path->depth, RULE_PARKED, recipient->dn, nothing);
	}
	return true;
}

/* What an object is without its alternates. */
static void expand_itself(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path, const struct path *down)
{
	struct path target = *down;

	if (found->recipient.kind == RECIPIENT_MAILBOX) {
		deliver_self(x, found, via, path);
	} else {
		target.kind = worse_kind(path->kind, DELIVERY_REDIRECT);
		take_step(&target, RULE_TARGET_ADDRESS);
		expand_target(x, found, via, path, &target);
	}
}

/* An object is not expanded twice for nothing: in this expansion, nor for its message. */
static bool is_done(struct expansion *x, const struct found *found, const struct path *path,
    size_t *visit)
{
	const struct question *question = x->question;
	bool is_group = found->recipient.kind == RECIPIENT_GROUP;
	enum delivery_kind kind = is_group ? worse_kind(path->kind, DELIVERY_GROUP) : path->kind;
	bool was_visited;

	if (is_group && question->is_covered != NULL && !x->has_extension &&
	    question->is_covered(question->is_covered_context, &found->id, kind)) {
		x->is_covered = true;
		x->reached++;
		return true;
	}
	*visit = collection_visit(&x->list, &found->id, kind, &was_visited);
	if (x->list.is_full) {
		return true;
	}
	x->list.visits[*visit].is_group = is_group;
	if (was_visited && x->list.visits[*visit].reaches) {
		x->reached++;
	}
	return was_visited;
}

/* Its own delivery and those of what it leads to. */
static void expand_entered(struct expansion *x, const struct found *found,
    const struct address *via, bool returned, const struct path *path,
    const struct path *down)
{
	const struct recipient *recipient = &found->recipient;

	if (recipient->kind == RECIPIENT_GROUP) {
		expand_group(x, recipient, returned, path, down);
		return;
	}
	if (returned || !has_alternates(recipient) ||
	    (recipient->flags & RECIPIENT_DELIVER_AND_REDIRECT) != 0) {
		expand_itself(x, found, via, path, down);
	}
	if (!returned && has_alternates(recipient)) {
		collection_step(&x->list, path->depth, RULE_ALT_RECIPIENT, recipient->dn,
		    nothing);
		expand_alternates(x, recipient, down);
	}
}

static void expand_object(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path)
{
	const struct recipient *recipient = &found->recipient;
	struct frame frame = { .id = &found->id, .up = path->up };
	struct path down = {
		.depth = path->depth + 1,
		.kind = path->kind,
		.rule = path->rule,
		.leads = path->leads,
		.up = &frame,
	};
	char memory[ADDRESS_LOCAL_MAX + 1];
	bool is_plain =
	    recipient->kind == RECIPIENT_MAILBOX && !has_alternates(recipient);
	bool returned; /* what was expanded before takes the mail itself, if it is here */
	size_t visit = 0, before = x->reached;

	x->entered++;
	if (!may_enter(x, found, path)) {
		return;
	}
	returned = !is_plain && was_expanded(x, found->id.uuid);
	if (x->view->settings->propagate_extension) {
		down.extension = own_extension(x, found, via, path, memory);
		x->has_extension = x->has_extension || !span_is_empty(down.extension);
	}
	if (!is_plain && !returned && is_done(x, found, path, &visit)) {
		return;
	}
	expand_entered(x, found, via, returned, path, &down);
	if (!is_plain && !returned && x->reached > before) {
		x->list.visits[visit].reaches = true;
	}
}

/* Looks an address up; `domain` judges it if nobody has it. NULL: its type has no domains. */
static void expand_looked_up(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	struct found found;
	enum status status = lookup_address(x->view, address, &found, &x->sources);

	if (expansion_failed(x, status)) {
		return;
	}
	if (status == CX_OK) {
		if (path->is_asked) {
			x->is_known = true;
			x->object = found.recipient.dn;
		}
		expand_object(x, &found, address, path);
	} else if (status == CX_EEXIST) {
		x->is_known = x->is_known || path->is_asked;
		x->has_ambiguous = true;
		collection_step_address(&x->list, path->depth, RULE_AMBIGUOUS, address, nothing);
	} else if (status == CX_EINVAL) {
		x->is_invalid = path->is_asked;
		note_missing_address(x, path, address);
	} else if (domain == NULL) {
		note_missing_address(x, path, address);
	} else {
		expand_unclaimed(x, address, domain, path);
	}
}

void expand_address(struct expansion *x, const struct address *address,
    const struct path *path)
{
	struct domain domain;
	struct record_id id;
	enum status status;

	if (!address_is_smtp(address)) {
		expand_looked_up(x, address, NULL, path);
		return;
	}
	status = find_domain(x->view, address_domain(address), &domain, &id);
	if (expansion_failed(x, status)) {
		return;
	}
	if (status == CX_NOTFOUND) {
		deliver_foreign(x, address, nothing, path);
		return;
	}
	lookup_note_source(x->view, id.source, &x->sources);
	if ((domain.flags & DOMAIN_DISABLED) != 0) {
		x->has_disabled = true;
		collection_step_address(&x->list, path->depth, RULE_DISABLED, address, nothing);
		return;
	}
	expand_looked_up(x, address, &domain, path);
}

void expansion_init(struct expansion *x, const struct view *view,
    const struct question *question, struct arena *arena)
{
	memset(x, 0, sizeof(*x));
	x->view = view;
	x->question = question;
	x->failure = CX_OK;
	address_key(question->address, &x->asked);
	collection_init(&x->list, arena, view->settings->max_deliveries, question->want_steps);
}

void expand_asked(struct expansion *x)
{
	struct path path = { .is_asked = true, .kind = DELIVERY_SELF, .rule = RULE_NONE };

	expand_address(x, x->question->address, &path);
}
