#include "config.h"

#include "milter/plan_parts.h"

#include <stdlib.h>
#include <string.h>

struct maker {
	const struct envelope *envelope;
	struct plan *plan;
	struct fate *fates;
	/* What was built last, and for whom. */
	const struct envelope_recipient *arguments_for;
	enum dsn_role arguments_role;
	char *arguments;
};

void plan_init(struct plan *plan)
{
	*plan = (struct plan){ 0 };
	pool_init(&plan->pool);
}

void plan_release(struct plan *plan)
{
	pool_release(&plan->pool);
	free(plan->edits);
	plan_init(plan);
}

static enum dsn_role role_of(uint8_t kind)
{
	switch ((enum delivery_kind)kind) {
	case DELIVERY_SELF: /* under another of its addresses: one for one */
	case DELIVERY_REDIRECT: return DSN_REDIRECT;
	case DELIVERY_GROUP: return DSN_GROUP;
	case DELIVERY_COPY: break;
	}
	return DSN_COPY;
}

/* Of several that come the same way the first, but one that hears of failures before. */
static bool is_better(const struct maker *maker, const struct fate *fate,
    uint32_t index, enum dsn_role role)
{
	const struct envelope_recipient *recipients = maker->envelope->recipients;

	if (fate->winner == PLAN_NOBODY || role != fate->role) {
		return fate->winner == PLAN_NOBODY || role < fate->role;
	}
	return dsn_wants_failures(&recipients[index].dsn) &&
	       !dsn_wants_failures(&recipients[fate->winner].dsn);
}

static void judge_paths(struct maker *maker, uint32_t index)
{
	const struct envelope_recipient *recipient =
	    &maker->envelope->recipients[index];

	for (size_t i = 0; i < recipient->path_count; i++) {
		const struct envelope_path *path = &recipient->paths[i];
		struct fate *fate = &maker->fates[path->address];
		enum dsn_role role = role_of(path->kind);

		if (path->address == recipient->address) {
			continue;
		}
		if (is_better(maker, fate, index, role)) {
			fate->winner = index;
			fate->role = role;
		}
		if (fate->is_named) {
			fate->survives = true;
			fate->is_repeated = true;
		}
	}
}

static void judge(struct maker *maker)
{
	const struct envelope *envelope = maker->envelope;

	for (size_t i = 0; i < envelope->address_count; i++) {
		maker->fates[i].winner = PLAN_NOBODY;
	}
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];
		struct fate *fate = &maker->fates[recipient->address];

		fate->is_named = true;
		fate->survives = fate->survives || envelope_keeps_itself(recipient);
	}
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		judge_paths(maker, (uint32_t)i);
	}
}

/* The texts are the pool's already; NULL where it had no memory. */
static enum status append(struct plan *plan, const struct edit *edit)
{
	if (edit->address == NULL || edit->arguments == NULL) {
		return CX_ENOMEM;
	}
	if (plan->count == plan->size) {
		size_t larger = plan->size ? plan->size * 2 : 8;
		struct edit *edits = reallocarray(plan->edits, larger, sizeof(*edits));

		if (edits == NULL) {
			return CX_ENOMEM;
		}
		plan->edits = edits;
		plan->size = larger;
	}
	plan->edits[plan->count++] = *edit;
	if (edit->kind == EDIT_ADD) {
		plan->add_count++;
	}
	return CX_OK;
}

enum status plan_put(struct plan *plan, enum edit_kind kind, struct span address,
    struct span arguments)
{
	struct edit edit = { .kind = kind };

	edit.address = pool_text(&plan->pool, address);
	edit.arguments = pool_text(&plan->pool, arguments);
	return append(plan, &edit);
}

static bool add_path(struct buf *out, struct span address)
{
	buf_add_char(out, '<');
	buf_add_span(out, address);
	buf_add_char(out, '>');
	return !out->failed;
}

/*
 * NOTIFY and ORCPT of a recipient; NULL: no memory. The members of a group share theirs:
 * with an ORCPT of 2 kB, 10,000 copies would take as much memory as a stranger likes.
 */
static char *arguments_of(struct maker *maker,
    const struct envelope_recipient *recipient, enum dsn_role role)
{
	struct buf arguments;

	if (maker->arguments && maker->arguments_for == recipient &&
	    maker->arguments_role == role) {
		return maker->arguments;
	}
	buf_init(&arguments);
	dsn_build(&recipient->dsn, role, maker->envelope->mta, recipient->typed,
	    &arguments);
	maker->arguments_for = recipient;
	maker->arguments_role = role;
	maker->arguments = arguments.failed
			       ? NULL
			       : pool_text(&maker->plan->pool, buf_span(&arguments));
	buf_release(&arguments);
	return maker->arguments;
}

static enum status put_addition(struct maker *maker, struct span address,
    const struct envelope_recipient *recipient, enum dsn_role role)
{
	struct edit edit = { .kind = EDIT_ADD };
	struct buf path;

	buf_init(&path);
	if (add_path(&path, address)) {
		edit.address = pool_text(&maker->plan->pool, buf_span(&path));
		edit.arguments = arguments_of(maker, recipient, role);
	}
	buf_release(&path);
	return append(maker->plan, &edit);
}

struct span plan_strip_route(struct span address)
{
	const char *colon = address.len > 0 && address.ptr[0] == '@'
				? memchr(address.ptr, ':', address.len)
				: NULL;
	size_t route = colon ? (size_t)(colon - address.ptr) + 1 : 0;

	return (struct span){ address.ptr + route, address.len - route };
}

static enum status add_new(struct maker *maker)
{
	const struct envelope *envelope = maker->envelope;

	for (size_t i = 0; i < envelope->address_count; i++) {
		const struct fate *fate = &maker->fates[i];
		enum status status;

		if (fate->winner == PLAN_NOBODY || fate->survives) {
			continue;
		}
		status = put_addition(maker, envelope->addresses[i].text,
		    &envelope->recipients[fate->winner], fate->role);
		if (status != CX_OK) {
			return status;
		}
		if (envelope->addresses[i].is_leaving) {
			maker->plan->edits[maker->plan->count - 1].is_leaving = true;
			maker->plan->leaving_count++;
		}
	}
	return CX_OK;
}

/*
 * Whether the MTA knows an addition of a recipient that is there for the same. Postfix
 * compares ORCPT, NOTIFY, the address as first given and as rewritten, without regard
 * to case (1.9): so it must have been typed in its plain form, and all that was typed
 * must be known, which is not so for local submissions (8.2). Sendmail compares exactly.
 */
static bool is_repeatable(const struct maker *maker,
    const struct envelope_recipient *recipient)
{
	const struct envelope *envelope = maker->envelope;
	struct span address = plan_strip_route(dsn_strip_brackets(recipient->typed));

	if (envelope->is_local_submission || recipient->dsn.has_odd) {
		return false;
	}
	return envelope->mta == MTA_SENDMAIL ||
	       span_equal_case(address, envelope->addresses[recipient->address].text);
}

static enum status add_repeated(struct maker *maker)
{
	const struct envelope *envelope = maker->envelope;

	for (size_t i = 0; i < envelope->recipient_count && i < PLAN_REPEAT_MAX; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];
		struct fate *fate = &maker->fates[recipient->address];
		enum status status;

		if (!fate->is_repeated || !is_repeatable(maker, recipient)) {
			continue;
		}
		fate->is_repeated = false;
		status = put_addition(maker,
		    plan_strip_route(dsn_strip_brackets(recipient->typed)), recipient,
		    DSN_OWN);
		if (status != CX_OK) {
			return status;
		}
	}
	return CX_OK;
}

static bool has_survivor(const struct maker *maker)
{
	for (size_t i = 0; i < maker->envelope->address_count; i++) {
		if (maker->fates[i].survives) {
			return true;
		}
	}
	return false;
}

enum status plan_make(const struct envelope *envelope, struct plan *out)
{
	struct maker maker = { .envelope = envelope, .plan = out };
	enum status status = CX_ENOMEM;

	plan_release(out);
	if (envelope->recipient_count == 0) {
		return CX_OK;
	}
	maker.fates = calloc(envelope->address_count, sizeof(*maker.fates));
	if (maker.fates) {
		judge(&maker);
		status = add_new(&maker);
	}
	if (status == CX_OK) {
		status = add_repeated(&maker);
	}
	if (status == CX_OK) {
		status = plan_delete_gone(envelope, maker.fates, out);
	}
	if (status == CX_OK) {
		out->has_staying =
		    has_survivor(&maker) || out->add_count > out->leaving_count;
	}
	if (status == CX_OK && out->add_count == 0 && !out->has_staying) {
		status = CX_EINVAL;
	}
	if (status != CX_OK) {
		plan_release(out);
	}
	free(maker.fates);
	return status;
}

enum status plan_add_header(struct plan *plan, struct span name, struct span value)
{
	return plan_put(plan, EDIT_HEADER, name, value);
}

enum status plan_set_sender(struct plan *plan, struct span sender)
{
	enum status status = CX_ENOMEM;
	struct buf path;

	buf_init(&path);
	if (add_path(&path, sender)) {
		status = plan_put(plan, EDIT_SENDER, buf_span(&path), SPAN(""));
	}
	buf_release(&path);
	return status;
}

enum status plan_change_address(struct plan *plan, struct edit *edit,
    struct span address)
{
	struct buf path;

	buf_init(&path);
	edit->address =
	    add_path(&path, address) ? pool_text(&plan->pool, buf_span(&path)) : NULL;
	buf_release(&path);
	return edit->address ? CX_OK : CX_ENOMEM;
}
