#include "config.h"

#include "decide/deliver.h"

#include "decide/route.h"
#include "value/imcea.h"

static const struct span nothing = { NULL, 0 };

void note_missing(struct expansion *x, const struct path *path, struct span subject)
{
	x->is_by_absence = true;
	if (path->is_asked) {
		x->is_unknown = true;
		collection_step(&x->list, path->depth, RULE_UNKNOWN, subject, nothing);
	} else {
		x->has_missing = true;
		if (x->missing_count++ == 0 && x->question->want_deliveries) {
			x->missing = collection_copy(&x->list, subject);
		}
		collection_step(&x->list, path->depth, RULE_MISSING, subject, nothing);
	}
}

void note_malformed(struct expansion *x, const struct path *path, struct span subject,
    enum status status)
{
	if (status == CX_ENOMEM) {
		x->failure = CX_ETEMP;
	} else {
		note_missing(x, path, subject);
	}
}

void note_missing_address(struct expansion *x, const struct path *path,
    const struct address *address)
{
	char memory[ADDRESS_PRINT_MAX];
	struct buf text;

	buf_init_fixed(&text, memory, sizeof(memory));
	address_print(address, &text);
	note_missing(x, path, buf_span(&text));
}

/* `home_server`: where one was to be, that has no route; else empty. */
static void note_route_failure(struct expansion *x, const struct path *path,
    const struct address *address, struct span home_server, enum status status)
{
	if (expansion_failed(x, status)) {
		return;
	}
	if (status == CX_EEXIST) {
		x->has_ambiguous = true;
		collection_step_address(&x->list, path->depth, RULE_AMBIGUOUS, address,
		    nothing);
	} else {
		x->has_no_route = true;
		collection_step_address(&x->list, path->depth, RULE_NO_ROUTE, address,
		    home_server);
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

/* Neither the MTA's own way nor that to the mailboxes here. */
static bool is_elsewhere(const struct expansion *x, struct span next_hop)
{
	return !span_is_empty(next_hop) &&
	       !span_equal(next_hop, span_of(x->view->settings->mailbox_transport));
}

/* What stands in the trace for an object, or an address that none has, on this way. */
static void name_hand_over(const struct destination *to, const struct key *key,
    struct span next_hop, struct record_id *out)
{
	char memory[KEY_DIGEST_SIZE + NEXT_HOP_MAX];
	struct buf text;

	if (to->found != NULL) {
		memcpy(out->uuid, to->found->id.uuid, sizeof(out->uuid));
	} else {
		digest_of(key_span(key), out->uuid);
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	buf_add(&text, out->uuid, sizeof(out->uuid));
	buf_add_span(&text, next_hop);
	digest_of(buf_span(&text), out->uuid);
	out->source = UINT8_MAX;
}

/*
 * What another system is handed must not be handed to it again. It may be handed on from there,
 * by another site of the organization: so it is the way that counts.
 */
static bool was_handed_on(struct expansion *x, const struct destination *to,
    const struct key *key, struct span next_hop, const struct path *path)
{
	struct record_id id;
	bool was_visited;

	if (!x->question->want_deliveries) {
		return false;
	}
	name_hand_over(to, key, next_hop, &id);
	if (expansion_was_here(x, id.uuid, path, key_span(key))) {
		return true;
	}
	(void)collection_visit(&x->list, &id, path->kind, &was_visited);
	return false;
}

void deliver(struct expansion *x, const struct destination *to, const struct path *path)
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
		bool is_unknown_server = status == CX_EINVAL && to->found != NULL;

		note_route_failure(x, path, to->address,
		    is_unknown_server ? to->found->recipient.home_server : nothing,
		    status);
		return;
	}
	if (status == CX_NOTFOUND) {
		buf_clear(&next_hop);
	}
	address_key(to->address, &key);
	if (!to->is_foreign && is_elsewhere(x, buf_span(&next_hop)) &&
	    was_handed_on(x, to, &key, buf_span(&next_hop), path)) {
		return;
	}
	delivery = collection_deliver(&x->list, key_span(&key), &is_new);
	if (delivery == NULL) {
		return;
	}
	x->reached++;
	if (is_new) {
		fill_delivery(x, delivery, to->address, buf_span(&next_hop),
		    to->object);
	}
	if (is_new || path->kind < delivery->kind) {
		delivery->kind = path->kind;
		delivery->rule = path->leads != RULE_NONE ? path->leads : to->rule;
		delivery->is_foreign = to->is_foreign;
	}
	collection_step_address(&x->list, path->depth, to->rule, to->address,
	    delivery->next_hop);
}

/* `base`, or in `room` the same with an extension; as it is where that would be too long. */
static const struct address *extend(struct expansion *x, const struct address *base,
    struct span extension, struct address *room)
{
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct buf local;
	enum status status;

	if (span_is_empty(extension)) {
		return base;
	}
	buf_init_fixed(&local, memory, sizeof(memory));
	buf_add(&local, base->local, base->local_len);
	buf_add_span(&local, extension);
	if (local.failed) {
		return base;
	}
	status = address_make("smtp", buf_span(&local), address_domain(base), room);
	if (status == CX_ENOMEM) {
		x->failure = CX_ETEMP;
	}
	return status == CX_OK ? room : base;
}

struct span own_extension(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path, char memory[ADDRESS_LOCAL_MAX + 1])
{
	struct span own;
	struct buf both;

	if (via == NULL || found->by != FOUND_BY_BASE) {
		return path->extension;
	}
	if (address_extension(via, found->base_len, &own) != CX_OK) {
		x->failure = CX_ETEMP;
	}
	if (span_is_empty(path->extension)) {
		return own;
	}
	buf_init_fixed(&both, memory, ADDRESS_LOCAL_MAX + 1);
	buf_add_span(&both, own);
	buf_add_span(&both, path->extension);
	return both.failed ? own : buf_span(&both);
}

void deliver_foreign(struct expansion *x, const struct address *address,
    struct span object, const struct path *path)
{
	struct destination to = {
		.object = object, .rule = path->rule, .is_foreign = true
	};
	struct address room;

	to.address = extend(x, address, path->extension, &room);
	deliver(x, &to, path);
}

/*
 * A mailbox whose every address of ours another object has won, or has made ambiguous: mail for
 * it goes where mail for that address goes. Leaving it out would lose mail, as where two
 * directories list one person, and a group of the second its own entry.
 */
static void deliver_to_winner(struct expansion *x, const struct found *found,
    const struct address *address, const struct path *path)
{
	struct frame frame = { .id = &found->id, .up = path->up };
	struct path next = *path;

	next.is_asked = false;
	next.depth = path->depth + 1;
	next.up = &frame;
	expand_address(x, address, &next);
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
	enum status status = CX_EINVAL;

	if (values_next(&mails, &text)) {
		status = address_parse_typed(text, &address);
	}
	if (status == CX_OK && address_is_smtp(&address) && address.domain_len > 0) {
		status = find_domain(x->view, address_domain(&address), &domain, &id);
	}
	if (status == CX_NOTFOUND) {
		deliver_foreign(x, &address, found->recipient.dn, path);
	} else if (status == CX_ETOOLONG || !expansion_failed(x, status)) {
		note_missing(x, path, found->recipient.dn);
	}
}

/* A mailbox to itself, under its primary address. */
void deliver_self(struct expansion *x, const struct found *found,
    const struct address *via, const struct path *path)
{
	struct destination to = { .found = found, .object = found->recipient.dn };
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct address primary, room;
	struct key before, after;
	enum status status;

	to.rule = path->kind == DELIVERY_SELF ? RULE_MAILBOX : path->rule;
	if (via != NULL && found->by != FOUND_ENCAPSULATED &&
	    !x->view->settings->rewrite_to_primary) {
		to.address = extend(x, via, path->extension, &room);
		deliver(x, &to, path);
		return;
	}
	status = lookup_primary(x->view, found, &primary);
	if (status == CX_NOTFOUND) {
		status = lookup_claimed(x->view, &found->recipient, &primary);
		if (status == CX_OK) {
			deliver_to_winner(x, found, &primary, path);
			return;
		}
	}
	if (status == CX_NOTFOUND) {
		deliver_outside(x, found, path);
		return;
	}
	if (expansion_failed(x, status)) {
		return;
	}
	to.address = extend(x, &primary, own_extension(x, found, via, path, memory), &room);
	if (path->kind == DELIVERY_SELF && via != NULL) {
		address_key(via, &before);
		address_key(to.address, &after);
		to.rule = key_equal(&before, &after) ? RULE_MAILBOX : RULE_PRIMARY;
	}
	deliver(x, &to, path);
}

/* As what a target is delivered to: under the address asked for, nothing is redirected. */
static struct path path_to_target(const struct expansion *x, const struct path *path,
    const struct address *target)
{
	struct path result = *path;
	struct key key;

	address_key(target, &key);
	if (path->kind == DELIVERY_SELF && !key_equal(&key, &x->asked)) {
		result.kind = DELIVERY_REDIRECT;
	}
	return result;
}

/* A target of another type, encapsulated under the domain of the address looked up. */
void deliver_encapsulated(struct expansion *x, const struct found *found,
    const struct address *target, const struct address *via, const struct path *path)
{
	struct destination to = {
		.object = found->recipient.dn,
		.rule = RULE_TARGET_ADDRESS,
		.must_route = true,
	};
	struct found as_encapsulated = *found;
	struct address outer;
	struct path outer_path;
	struct span domain =
	    address_domain(via != NULL && via->domain_len > 0 ? via
							      : x->question->address);

	if (span_is_empty(domain) || imcea_encode(target, domain, &outer) != CX_OK) {
		note_route_failure(x, path, target, nothing, CX_EINVAL);
		return;
	}
	as_encapsulated.by = FOUND_ENCAPSULATED;
	outer_path = path_to_target(x, path, &outer);
	to.address = &outer;
	to.found = &as_encapsulated;
	deliver(x, &to, &outer_path);
}

/* A target that is the custom recipient's own address: delivered there as it is. */
void deliver_own_target(struct expansion *x, const struct found *found,
    const struct address *target, const struct address *via, const struct path *path)
{
	struct destination to = {
		.object = found->recipient.dn,
		.rule = RULE_TARGET_ADDRESS,
	};
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct found as_target = *found;
	struct path target_path;
	struct address room;

	to.address = extend(x, target, own_extension(x, found, via, path, memory), &room);
	target_path = path_to_target(x, path, to.address);
	as_target.by = FOUND_LITERALLY;
	to.found = &as_target;
	deliver(x, &to, &target_path);
}
