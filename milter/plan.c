#include "config.h"

#include "milter/plan.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX
/*
 * Recipients of a local submission that are removed as they may have been written in rare
 * spellings, too. Each removal costs Postfix a pass through all recipients.
 */
#define RARE_SPELLINGS_MAX 200

/* What is known of each address while the plan is made. */
struct fate {
	bool is_named;    /* the client named it */
	bool survives;    /* it stays a recipient, as the client typed it */
	bool is_repeated; /* survives, and a recipient of another address leads to it */
	uint32_t winner;  /* the recipient for whose sake it is added; NOBODY */
	enum dsn_role role;
};

struct maker {
	const struct envelope *envelope;
	struct plan *plan;
	struct fate *fates;
	/* What was built last, and for whom. */
	const struct envelope_recipient *arguments_for;
	enum dsn_role arguments_role;
	char *arguments;
	struct keytab deleted;          /* spellings */
	struct keytab kept_local_parts; /* for local submissions */
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

	if (fate->winner == NOBODY || role != fate->role) {
		return fate->winner == NOBODY || role < fate->role;
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
		maker->fates[i].winner = NOBODY;
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

static enum status put(struct plan *plan, enum edit_kind kind, struct span address,
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
static char *arguments_of(struct maker *maker, const struct envelope_recipient *recipient,
    enum dsn_role role)
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
	maker->arguments = arguments.failed ? NULL
					    : pool_text(&maker->plan->pool,
						  buf_span(&arguments));
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

/* What stands behind a source route: "@a,@b:adam@acme.example". */
static struct span strip_route(struct span address)
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

		if (fate->winner == NOBODY || fate->survives) {
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
	struct span address = strip_route(dsn_strip_brackets(recipient->typed));

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
		    strip_route(dsn_strip_brackets(recipient->typed)), recipient,
		    DSN_OWN);
		if (status != CX_OK) {
			return status;
		}
	}
	return CX_OK;
}

static enum status delete_spelling(struct maker *maker, struct span spelling)
{
	struct plan *plan = maker->plan;
	enum status status;

	if (spelling.len == 0 ||
	    keytab_find(&maker->deleted, spelling) != KEYTAB_NONE) {
		return CX_OK;
	}
	status = put(plan, EDIT_DELETE, spelling, SPAN(""));
	if (status != CX_OK) {
		return status;
	}
	/* The table borrows the text of the edit: `spelling` need not last. */
	return keytab_add(&maker->deleted, span_of(plan->edits[plan->count - 1].address),
	    0);
}

/* What stands before the last "@". */
static struct span local_part(struct span address)
{
	const char *at = address.len ? memrchr(address.ptr, '@', address.len) : NULL;

	return at ? (struct span){ address.ptr, (size_t)(at - address.ptr) } : address;
}

static bool is_kept(const struct maker *maker, struct span local_part)
{
	return keytab_find(&maker->kept_local_parts, local_part) != KEYTAB_NONE;
}

/* A spelling of two parts. */
static enum status delete_joined(struct maker *maker, struct span left, char sign,
    struct span right, const char *end)
{
	enum status status = CX_ENOMEM;
	struct buf spelling;

	buf_init(&spelling);
	buf_add_span(&spelling, left);
	buf_add_char(&spelling, sign);
	buf_add_span(&spelling, right);
	buf_add_span(&spelling, span_of(end));
	if (!spelling.failed) {
		status = is_kept(maker, buf_span(&spelling))
			     ? CX_OK
			     : delete_spelling(maker, buf_span(&spelling));
	}
	buf_release(&spelling);
	return status;
}

/* What lacks a domain, or the rest of one; only Postfix knows which it has added. */
static enum status delete_unqualified(struct maker *maker, struct span local,
    struct span domain)
{
	const char *dot = memchr(domain.ptr, '.', domain.len);
	enum status status = CX_OK;

	/* With an "@" of its own, quoted, it would be taken for a whole address. */
	if (memchr(local.ptr, '@', local.len) == NULL) {
		status = delete_spelling(maker, local);
	}
	if (status == CX_OK && dot) { /* append_dot_mydomain */
		domain.len = (size_t)(dot - domain.ptr);
		status = delete_joined(maker, local, '@', domain, "");
	}
	return status;
}

/* As trivial-rewrite(8) reads other spellings; nothing else is shown as this address. */
static enum status delete_rewritten(struct maker *maker, struct span local,
    struct span domain)
{
	enum status status = delete_joined(maker, local, '@', domain, ".");

	if (status == CX_OK && local.ptr[0] != '"') {
		status = delete_joined(maker, local, '%', domain, "");
	}
	if (status == CX_OK && local.ptr[0] != '"') {
		status = delete_joined(maker, domain, '!', local, "");
	}
	return status;
}

/*
 * A local submission is shown as trivial-rewrite(8) has made it, "adam" as
 * adam@$myorigin, and deleted by what was written (8.3). That is not told, so all that it
 * may have been is deleted too, but for source routes. Where a recipient that stays has the
 * same local part in another domain it may be that "adam", which is left then.
 */
static enum status delete_as_written(struct maker *maker, struct span typed,
    bool with_rare)
{
	struct span local = local_part(typed);
	struct span domain;
	enum status status;

	if (local.len == 0 || local.len == typed.len) {
		return CX_OK; /* no address with a domain: it was shown as it was written */
	}
	domain = (struct span){ typed.ptr + local.len + 1, typed.len - local.len - 1 };
	status =
	    is_kept(maker, local) ? CX_OK : delete_unqualified(maker, local, domain);
	return status == CX_OK && with_rare ? delete_rewritten(maker, local, domain)
					   : status;
}

static enum status keep_local_part(struct maker *maker, struct span bare)
{
	if (is_kept(maker, bare)) {
		return CX_OK;
	}
	return keytab_add(&maker->kept_local_parts, bare, 0);
}

static enum status collect_kept_local_parts(struct maker *maker)
{
	const struct envelope *envelope = maker->envelope;
	enum status status = CX_OK;

	for (size_t i = 0; status == CX_OK && i < envelope->recipient_count; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];

		if (maker->fates[recipient->address].survives) {
			status = keep_local_part(maker, local_part(recipient->typed));
		}
	}
	/* The MTA's own postmaster is added without a domain. */
	for (size_t i = 0; status == CX_OK && i < envelope->address_count; i++) {
		struct span text = envelope->addresses[i].text;

		if (maker->fates[i].winner != NOBODY && local_part(text).len == text.len) {
			status = keep_local_part(maker, text);
		}
	}
	return status;
}

static enum status delete_gone(struct maker *maker)
{
	const struct envelope *envelope = maker->envelope;

	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];
		struct span spelling = recipient->typed;
		enum status status;

		if (maker->fates[recipient->address].survives) {
			continue;
		}
		/*
		 * Postfix parses what is within the <>, without the route, and compares the
		 * result with what it made of RCPT in the same way (2.1, 2.2). Sendmail
		 * compares with what was typed (14.4).
		 */
		if (envelope->mta == MTA_POSTFIX) {
			spelling = strip_route(dsn_strip_brackets(spelling));
		}
		status = delete_spelling(maker, spelling);
		if (status == CX_OK && envelope->is_local_submission) {
			status = delete_as_written(maker, spelling, i < RARE_SPELLINGS_MAX);
		}
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
	keytab_init(&maker.deleted);
	keytab_init(&maker.kept_local_parts);
	maker.fates = calloc(envelope->address_count, sizeof(*maker.fates));
	if (maker.fates) {
		judge(&maker);
		status = add_new(&maker);
	}
	if (status == CX_OK) {
		status = add_repeated(&maker);
	}
	if (status == CX_OK && envelope->is_local_submission) {
		status = collect_kept_local_parts(&maker);
	}
	if (status == CX_OK) {
		status = delete_gone(&maker);
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
	keytab_release(&maker.deleted);
	keytab_release(&maker.kept_local_parts);
	free(maker.fates);
	return status;
}

enum status plan_add_header(struct plan *plan, struct span name, struct span value)
{
	return put(plan, EDIT_HEADER, name, value);
}

enum status plan_set_sender(struct plan *plan, struct span sender)
{
	enum status status = CX_ENOMEM;
	struct buf path;

	buf_init(&path);
	if (add_path(&path, sender)) {
		status = put(plan, EDIT_SENDER, buf_span(&path), SPAN(""));
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
