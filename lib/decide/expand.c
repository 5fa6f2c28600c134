#include "config.h"

#include "decide/expand.h"

#include "decide/route.h"
#include "value/imcea.h"

/* The objects that led to the present one: what it must not lead back to. */
struct frame {
	const struct record_id *id;
	const struct frame *up;
};

struct path {
	unsigned depth; /* objects so far */
	bool is_asked;	/* still the address asked for (its domain may have been rewritten) */
	enum delivery_kind kind;
	enum rule rule;
	struct span extension; /* goes along, with propagate_extension */
	const struct frame *up;
};

static void expand_address(struct expansion *, const struct address *, const struct path *);
static void expand_object(struct expansion *, const struct found *, const struct address *via,
    const struct path *);

static const struct span nothing = { NULL, 0 };

static struct span address_domain(const struct address *address)
{
	return (struct span){ address->domain, address->domain_len };
}

static enum delivery_kind worse(enum delivery_kind a, enum delivery_kind b)
{
	return a > b ? a : b;
}

static bool is_trusted(const struct expansion *x)
{
	return x->question->client.is_trusted || x->question->client.is_anyone;
}

/* What cannot be read is not known: the whole recipient is unavailable. */
static bool is_failure(struct expansion *x, enum status status)
{
	if (status == CX_OK || status == CX_NOTFOUND || status == CX_EINVAL ||
	    status == CX_EEXIST) {
		return false;
	}
	x->failure = status;
	return true;
}

static void note_missing(struct expansion *x, const struct path *path, struct span subject)
{
	if (path->is_asked) {
		x->is_unknown = true;
		collection_step(&x->list, path->depth, RULE_UNKNOWN, subject, nothing);
	} else {
		x->has_missing = true;
		collection_step(&x->list, path->depth, RULE_MISSING, subject, nothing);
	}
}

static void note_missing_address(struct expansion *x, const struct path *path,
    const struct address *address)
{
	char memory[ADDRESS_PRINT_MAX];
	struct buf text;

	buf_init_fixed(&text, memory, sizeof(memory));
	address_print(address, &text);
	note_missing(x, path, buf_span(&text));
}

static void note_route_failure(struct expansion *x, const struct path *path,
    const struct address *address, enum status status)
{
	if (is_failure(x, status)) {
		return;
	}
	if (status == CX_EEXIST) {
		x->has_ambiguous = true;
		collection_step_address(&x->list, path->depth, RULE_AMBIGUOUS, address, nothing);
	} else {
		x->has_no_route = true;
		collection_step_address(&x->list, path->depth, RULE_NO_ROUTE, address, nothing);
	}
}

static void fill_delivery(struct expansion *x, struct delivery *delivery,
    const struct address *address, struct span next_hop, struct span object)
{
	delivery->address = collection_print(&x->list, address);
	delivery->next_hop = collection_copy(&x->list, next_hop);
	delivery->object = object;
	delivery->needs_smtputf8 = address_needs_smtputf8(address);
	delivery->is_unchanged = span_equal(delivery->key, key_span(&x->asked));
}

/*
 * One delivery. `found` is what lookup_address() finds for the address; NULL: nothing.
 * `must_route`: no next hop is no route (an encapsulated address has no MX to go by).
 */
struct destination {
	const struct address *address;
	const struct found *found;
	enum rule rule;
	struct span object;
	bool is_foreign;
	bool must_route;
};

static void deliver(struct expansion *x, const struct destination *to,
    const struct path *path)
{
	char memory[NEXT_HOP_MAX];
	struct buf next_hop;
	struct delivery *delivery;
	struct key key;
	bool is_new;
	enum status status;

	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route_found(x->view, to->address, to->found, &next_hop, &x->sources);
	if (status != CX_OK && (status != CX_NOTFOUND || to->must_route)) {
		note_route_failure(x, path, to->address, status);
		return;
	}
	if (status == CX_NOTFOUND) {
		buf_clear(&next_hop);
	}
	address_key(to->address, &key);
	delivery = collection_deliver(&x->list, key_span(&key), &is_new);
	if (delivery == NULL) {
		return;
	}
	if (is_new) {
		fill_delivery(x, delivery, to->address, buf_span(&next_hop), to->object);
	}
	if (is_new || path->kind < delivery->kind) {
		delivery->kind = path->kind;
		delivery->rule = to->rule;
		delivery->is_foreign = to->is_foreign;
	}
	collection_step_address(&x->list, path->depth, to->rule, to->address,
	    delivery->next_hop);
}

/* `base` with an extension behind its local part; as it is where that would be too long. */
static void extend(const struct address *base, struct span extension, struct address *out)
{
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct buf local;

	buf_init_fixed(&local, memory, sizeof(memory));
	buf_add(&local, base->local, base->local_len);
	buf_add_span(&local, extension);
	if (span_is_empty(extension) || local.failed ||
	    address_make("smtp", buf_span(&local), address_domain(base), out) != CX_OK) {
		*out = *base;
	}
}

/* The extension that a delivery of this object itself keeps. */
static struct span own_extension(const struct found *found, const struct address *via,
    const struct path *path)
{
	if (via != NULL && found->by == FOUND_BY_BASE) {
		return address_extension(via, found->base_len);
	}
	return path->extension;
}

static void deliver_foreign(struct expansion *x, const struct address *address,
    struct span object, const struct path *path)
{
	struct destination to = { .object = object, .rule = path->rule, .is_foreign = true };
	struct address extended;

	extend(address, path->extension, &extended);
	to.address = &extended;
	deliver(x, &to, path);
}

/* A mailbox with no address of ours, reached by reference: its mail attribute is elsewhere. */
static void deliver_outside(struct expansion *x, const struct found *found,
    const struct path *path)
{
	struct values mails = found->recipient.mails;
	struct address address;
	struct domain domain;
	struct record_id id;
	struct span text;

	if (!values_next(&mails, &text) || address_parse_typed(text, &address) != CX_OK ||
	    !address_is_smtp(&address) || address.domain_len == 0 ||
	    find_domain(x->view, address_domain(&address), &domain, &id) != CX_NOTFOUND) {
		note_missing(x, path, found->recipient.dn);
		return;
	}
	deliver_foreign(x, &address, found->recipient.dn, path);
}

/* A mailbox to itself, under its primary address. */
static void deliver_self(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path)
{
	struct destination to = { .found = found, .object = found->recipient.dn };
	struct address primary, extended;
	struct key before, after;
	enum status status;

	to.rule = path->kind == DELIVERY_SELF ? RULE_MAILBOX : path->rule;
	if (via != NULL && found->by != FOUND_ENCAPSULATED &&
	    !x->view->settings->rewrite_to_primary) {
		to.address = via;
		deliver(x, &to, path);
		return;
	}
	status = lookup_primary(x->view, found, &primary);
	if (status == CX_NOTFOUND) {
		deliver_outside(x, found, path);
		return;
	}
	if (is_failure(x, status)) {
		return;
	}
	extend(&primary, own_extension(found, via, path), &extended);
	if (path->kind == DELIVERY_SELF && via != NULL) {
		address_key(via, &before);
		address_key(&extended, &after);
		to.rule = key_equal(&before, &after) ? RULE_MAILBOX : RULE_PRIMARY;
	}
	to.address = &extended;
	deliver(x, &to, path);
}

/* A target of another type, encapsulated under the domain of the address looked up. */
static void deliver_encapsulated(struct expansion *x, const struct found *found,
    const struct address *target, const struct address *via, const struct path *path)
{
	struct destination to = {
		.object = found->recipient.dn,
		.rule = RULE_TARGET_ADDRESS,
		.must_route = true,
	};
	struct found as_encapsulated = *found;
	struct address outer;
	struct span domain = address_domain(
	    via != NULL && via->domain_len > 0 ? via : x->question->address);

	if (span_is_empty(domain) || imcea_encode(target, domain, &outer) != CX_OK) {
		note_route_failure(x, path, target, CX_EINVAL);
		return;
	}
	as_encapsulated.by = FOUND_ENCAPSULATED;
	to.address = &outer;
	to.found = &as_encapsulated;
	deliver(x, &to, path);
}

/* A target that is the custom recipient's own address: delivered there as it is. */
static void deliver_own_target(struct expansion *x, const struct found *found,
    const struct address *target, const struct address *via, const struct path *path)
{
	struct destination to = {
		.object = found->recipient.dn,
		.rule = RULE_TARGET_ADDRESS,
	};
	struct found as_target = *found;
	struct path own = *path;
	struct address extended;
	struct key key;

	extend(target, own_extension(found, via, path), &extended);
	address_key(&extended, &key);
	if (path->kind == DELIVERY_SELF && !key_equal(&key, &x->asked)) {
		own.kind = DELIVERY_REDIRECT;
	}
	as_target.by = FOUND_LITERALLY;
	to.address = &extended;
	to.found = &as_target;
	deliver(x, &to, &own);
}

static bool is_same_object(const struct found *a, const struct found *b)
{
	return record_id_equal(&a->id, &b->id);
}

static void expand_target_of_ours(struct expansion *x, const struct found *found,
    const struct address *target, const struct address *via, const struct path *path,
    const struct path *down)
{
	struct found claimed;
	enum status status = lookup_address(x->view, target, &claimed, &x->sources);

	if (is_failure(x, status)) {
		return;
	}
	if (status == CX_EEXIST) {
		x->has_ambiguous = true;
		collection_step_address(&x->list, path->depth, RULE_AMBIGUOUS, target, nothing);
	} else if (status != CX_OK || claimed.rank == RANK_TARGET ||
	    is_same_object(&claimed, found)) {
		deliver_own_target(x, found, target, via, path);
	} else {
		expand_object(x, &claimed, target, down);
	}
}

static void expand_target(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path, const struct path *down)
{
	struct address target;
	struct domain domain;
	struct record_id id;
	enum status status;

	if (address_parse_typed(found->recipient.target, &target) != CX_OK) {
		note_missing(x, down, found->recipient.dn);
		return;
	}
	if (!address_is_smtp(&target)) {
		deliver_encapsulated(x, found, &target, via, down);
		return;
	}
	status = find_domain(x->view, address_domain(&target), &domain, &id);
	if (is_failure(x, status)) {
		return;
	}
	if (status == CX_NOTFOUND) {
		deliver_foreign(x, &target, found->recipient.dn, down);
		return;
	}
	lookup_note_source(x->view, id.source, &x->sources);
	if ((domain.flags & DOMAIN_DISABLED) != 0) {
		x->has_disabled = true;
		collection_step_address(&x->list, path->depth, RULE_DISABLED, &target, nothing);
		return;
	}
	expand_target_of_ours(x, found, &target, via, path, down);
}

static void expand_reference(struct expansion *x, struct span key, struct span dn,
    const struct path *path)
{
	struct found found;
	enum status status = lookup_dn(x->view, key, &found, &x->sources);

	if (status == CX_OK) {
		expand_object(x, &found, NULL, path);
	} else if (!is_failure(x, status)) {
		note_missing(x, path, dn);
	}
}

/* Each reference of a list, with its DN as written for the steps. */
static void expand_references(struct expansion *x, struct values keys, struct values dns,
    const struct path *path)
{
	struct span key, dn = nothing;

	while (x->failure == CX_OK && !x->list.is_full && !x->list.too_many &&
	    values_next(&keys, &key)) {
		if (!values_next(&dns, &dn)) {
			dn = key;
		}
		expand_reference(x, key, dn, path);
	}
}

static void expand_text(struct expansion *x, struct span text, const struct path *path)
{
	struct address address;

	if (address_parse_typed(text, &address) == CX_OK) {
		expand_address(x, &address, path);
	} else {
		note_missing(x, path, text);
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

	alternates.kind = worse(down->kind,
	    (recipient->flags & RECIPIENT_DELIVER_AND_REDIRECT) != 0 ? DELIVERY_COPY
								     : DELIVERY_REDIRECT);
	if (values_count(recipient->alternates) > 0) {
		alternates.rule = RULE_ALT_RECIPIENT;
		expand_references(x, recipient->alternates, recipient->alternate_dns,
		    &alternates);
	} else {
		alternates.rule = RULE_FORWARDING_ADDRESS;
		expand_text(x, recipient->forwarding_address, &alternates);
	}
}

static void expand_members(struct expansion *x, const struct recipient *group,
    const struct path *down)
{
	struct path members = *down;
	struct values addresses = group->member_addresses;
	struct span text;

	members.kind = worse(down->kind, DELIVERY_GROUP);
	members.rule = RULE_MEMBER;
	expand_references(x, group->members, group->member_dns, &members);
	while (x->failure == CX_OK && !x->list.is_full && !x->list.too_many &&
	    values_next(&addresses, &text)) {
		expand_text(x, text, &members);
	}
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
	if ((recipient->flags & RECIPIENT_REQUIRE_AUTH) != 0 && !is_trusted(x)) {
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

static void expand_object(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path)
{
	const struct recipient *recipient = &found->recipient;
	struct frame frame = { .id = &found->id, .up = path->up };
	struct path down = {
		.depth = path->depth + 1,
		.kind = path->kind,
		.rule = path->rule,
		.up = &frame,
	};
	bool is_plain =
	    recipient->kind == RECIPIENT_MAILBOX && !has_alternates(recipient);

	if (!may_enter(x, found, path) ||
	    (!is_plain && collection_was_visited(&x->list, &found->id, path->kind))) {
		return;
	}
	if (x->view->settings->propagate_extension) {
		down.extension = own_extension(found, via, path);
	}
	if (recipient->kind == RECIPIENT_GROUP) {
		collection_step(&x->list, path->depth, RULE_MEMBER, recipient->dn, nothing);
		expand_members(x, recipient, &down);
		return;
	}
	if (has_alternates(recipient)) {
		collection_step(&x->list, path->depth, RULE_ALT_RECIPIENT, recipient->dn,
		    nothing);
		expand_alternates(x, recipient, &down);
		if ((recipient->flags & RECIPIENT_DELIVER_AND_REDIRECT) == 0) {
			return;
		}
	}
	if (recipient->kind == RECIPIENT_MAILBOX) {
		deliver_self(x, found, via, path);
	} else {
		down.kind = worse(path->kind, DELIVERY_REDIRECT);
		down.rule = RULE_TARGET_ADDRESS;
		expand_target(x, found, via, path, &down);
	}
}

static void deliver_unclaimed(struct expansion *x, const struct address *address,
    enum rule rule, const struct path *path)
{
	struct destination to = { .address = address, .rule = rule };

	deliver(x, &to, path);
}

static void expand_rewritten(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	struct path next = *path;
	struct address other;

	next.depth = path->depth + 1;
	next.kind = worse(path->kind, DELIVERY_REDIRECT);
	next.rule = RULE_REWRITE_DOMAIN;
	if (next.depth > x->view->settings->max_depth) {
		x->is_too_deep = true;
		collection_step_address(&x->list, path->depth, RULE_DEPTH, address, nothing);
	} else if (address_make("smtp", (struct span){ address->local, address->local_len },
		       domain->rewrite_domain, &other) != CX_OK) {
		note_missing_address(x, path, address);
	} else {
		collection_step_address(&x->list, path->depth, RULE_REWRITE_DOMAIN, address,
		    domain->rewrite_domain);
		expand_address(x, &other, &next);
	}
}

static bool is_postmaster(const struct address *address)
{
	return address->folded_len == strlen("postmaster") &&
	    memcmp(address->folded, "postmaster", address->folded_len) == 0;
}

/* postmaster@ is never unknown (RFC 5321, 4.5.1). */
static void expand_postmaster(struct expansion *x, const struct path *path)
{
	struct path next = *path;
	struct address postmaster, own;
	struct key configured;

	next.is_asked = false;
	next.depth = path->depth + 1;
	next.kind = worse(path->kind, DELIVERY_REDIRECT);
	next.rule = RULE_POSTMASTER;
	if (address_make("smtp", SPAN("postmaster"), nothing, &own) != CX_OK) {
		return;
	}
	if (address_parse_typed(span_of(x->view->settings->postmaster), &postmaster) != CX_OK ||
	    postmaster.domain_len == 0) {
		if (address_parse_typed(span_of(x->view->settings->postmaster), &own) != CX_OK) {
			(void)address_make("smtp", SPAN("postmaster"), nothing, &own);
		}
		deliver_unclaimed(x, &own, RULE_POSTMASTER, &next);
		return;
	}
	address_key(&postmaster, &configured);
	if (path->rule == RULE_POSTMASTER || key_equal(&configured, &x->asked)) {
		/* The configured one is unknown too: the MTA's own takes it. */
		deliver_unclaimed(x, &own, RULE_POSTMASTER, &next);
		return;
	}
	expand_address(x, &postmaster, &next);
}

/* An address of ours that nobody has and that its domain does not pass on. */
static void refuse_unclaimed(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	if (is_postmaster(address)) {
		expand_postmaster(x, path);
	} else if (domain->unknown == DOMAIN_UNKNOWN_OBSERVE) {
		x->is_observed = path->is_asked;
		deliver_unclaimed(x, address, RULE_OBSERVE, path);
	} else {
		note_missing_address(x, path, address);
	}
}

/*
 * An address of another type that some connector takes, typed by hand. CX_NOTFOUND: it is
 * none, and its domain decides.
 */
static enum status expand_one_off(struct expansion *x, const struct address *address,
    const struct path *path)
{
	char memory[NEXT_HOP_MAX];
	struct buf next_hop;
	struct address inner;
	enum status status;

	if (lookup_inner(address, &inner) != CX_OK) {
		return CX_NOTFOUND;
	}
	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route_by_space(x->view, &inner, &next_hop, &x->sources);
	if (status == CX_NOTFOUND || is_failure(x, status)) {
		return status;
	}
	if (is_trusted(x) || !path->is_asked) {
		deliver_unclaimed(x, address, RULE_ONE_OFF, path);
	} else {
		note_missing_address(x, path, address);
	}
	return CX_OK;
}

/* An address of ours that is not in the directory is judged by its domain. */
static void expand_unclaimed(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	if (expand_one_off(x, address, path) != CX_NOTFOUND) {
		return;
	}
	if (lookup_is_trick(address)) {
		/* Whoever decapsulates it behind us would relay it. */
		note_missing_address(x, path, address);
		return;
	}
	switch (domain->type) {
	case DOMAIN_RELAY:
		deliver_unclaimed(x, address, RULE_FORWARD_HOST, path);
		break;
	case DOMAIN_REWRITE:
		expand_rewritten(x, address, domain, path);
		break;
	case DOMAIN_SHARED:
		if (domain->unknown == DOMAIN_UNKNOWN_FORWARD) {
			struct destination to = {
				.address = address,
				.rule = RULE_FORWARD_HOST,
				.must_route = true,
			};
			deliver(x, &to, path);
			break;
		}
		refuse_unclaimed(x, address, domain, path);
		break;
	case DOMAIN_AUTHORITATIVE:
		refuse_unclaimed(x, address, domain, path);
		break;
	}
}

static void expand_in_domain(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	struct found found;
	enum status status = lookup_address(x->view, address, &found, &x->sources);

	if (is_failure(x, status)) {
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
	} else {
		expand_unclaimed(x, address, domain, path);
	}
}

/* A member or question of another type, which has no domain to be judged by. */
static void expand_typed(struct expansion *x, const struct address *address,
    const struct path *path)
{
	struct found found;
	enum status status = lookup_address(x->view, address, &found, &x->sources);

	if (is_failure(x, status)) {
		return;
	}
	if (status == CX_OK) {
		if (path->is_asked) {
			x->is_known = true;
			x->object = found.recipient.dn;
		}
		expand_object(x, &found, address, path);
	} else if (status == CX_EEXIST) {
		x->has_ambiguous = true;
	} else {
		note_missing_address(x, path, address);
	}
}

static void expand_address(struct expansion *x, const struct address *address,
    const struct path *path)
{
	struct domain domain;
	struct record_id id;
	enum status status;

	if (!address_is_smtp(address)) {
		expand_typed(x, address, path);
		return;
	}
	status = find_domain(x->view, address_domain(address), &domain, &id);
	if (is_failure(x, status)) {
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
	expand_in_domain(x, address, &domain, path);
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
