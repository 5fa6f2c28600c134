#include "config.h"

#include <string.h>

#include "milter/plan_parts.h"

struct deleter {
	const struct envelope *envelope;
	const struct fate *fates;
	struct plan *plan;
	struct keytab deleted;          /* spellings */
	struct keytab kept_local_parts; /* for local submissions */
};

static enum status delete_spelling(struct deleter *deleter, struct span spelling)
{
	struct plan *plan = deleter->plan;
	enum status status;

	if (spelling.len == 0 ||
	    keytab_find(&deleter->deleted, spelling) != KEYTAB_NONE) {
		return CX_OK;
	}
	status = plan_put(plan, EDIT_DELETE, spelling, SPAN(""));
	if (status != CX_OK) {
		return status;
	}
	/* The table borrows the text of the edit: `spelling` need not last. */
	return keytab_add(&deleter->deleted,
	    span_of(plan->edits[plan->count - 1].address), 0);
}

/* What stands before the last "@". */
static struct span local_part(struct span address)
{
	const char *at = address.len ? memrchr(address.ptr, '@', address.len) : NULL;

	return at ? (struct span){ address.ptr, (size_t)(at - address.ptr) } : address;
}

static bool is_kept(const struct deleter *deleter, struct span local_part)
{
	return keytab_find(&deleter->kept_local_parts, local_part) != KEYTAB_NONE;
}

/*
 * CX_OK: a recipient is added under this very address, as where "adam@acme.example" goes to
 * "adam@acme", a host without a domain: a deletion would take that along. CX_NOTFOUND, CX_ENOMEM.
 */
static enum status is_added(const struct deleter *deleter, struct span spelling)
{
	struct address address;
	struct key key;
	uint32_t index;
	enum status status = address_parse_internal(spelling, &address);

	if (status != CX_OK) {
		return status == CX_ENOMEM ? status : CX_NOTFOUND;
	}
	address_key(&address, &key);
	index = keytab_find(&deleter->envelope->by_key, key_span(&key));
	return index != KEYTAB_NONE && deleter->fates[index].winner != PLAN_NOBODY &&
		       span_equal_case(deleter->envelope->addresses[index].text, spelling)
		   ? CX_OK
		   : CX_NOTFOUND;
}

/* A spelling of two parts. */
static enum status delete_joined(struct deleter *deleter, struct span left, char sign,
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
		status = is_kept(deleter, buf_span(&spelling))
			     ? CX_OK
			     : is_added(deleter, buf_span(&spelling));
	}
	if (status == CX_NOTFOUND) {
		status = delete_spelling(deleter, buf_span(&spelling));
	}
	buf_release(&spelling);
	return status;
}

/* What lacks a domain, or the rest of one; only Postfix knows which it has added. */
static enum status delete_unqualified(struct deleter *deleter, struct span local,
    struct span domain, bool with_rare)
{
	const char *dot = memchr(domain.ptr, '.', domain.len);
	enum status status = CX_OK;

	/* With an "@" of its own, quoted, it would be taken for a whole address. */
	if (memchr(local.ptr, '@', local.len) == NULL) {
		status = delete_spelling(deleter, local);
	}
	if (status == CX_OK && dot && with_rare) { /* append_dot_mydomain */
		domain.len = (size_t)(dot - domain.ptr);
		status = delete_joined(deleter, local, '@', domain, "");
	}
	return status;
}

/* As trivial-rewrite(8) reads other spellings; nothing else is shown as this address. */
static enum status delete_rewritten(struct deleter *deleter, struct span local,
    struct span domain)
{
	enum status status = delete_joined(deleter, local, '@', domain, ".");

	if (status == CX_OK && local.ptr[0] != '"') {
		status = delete_joined(deleter, local, '%', domain, "");
	}
	if (status == CX_OK && local.ptr[0] != '"') {
		status = delete_joined(deleter, domain, '!', local, "");
	}
	return status;
}

/*
 * A local submission is shown as trivial-rewrite(8) has made it, "adam" as
 * adam@$myorigin, and deleted by what was written (8.3). That is not told, so all that it
 * may have been is deleted too, but for source routes. Where a recipient that stays has the
 * same local part in another domain it may be that "adam", which is left then.
 */
static enum status delete_as_written(struct deleter *deleter, struct span typed,
    bool with_rare)
{
	struct span local = local_part(typed);
	struct span domain;
	enum status status;

	if (local.len == 0 || local.len == typed.len) {
		return CX_OK; /* no address with a domain: it was shown as it was written */
	}
	domain = (struct span){ typed.ptr + local.len + 1, typed.len - local.len - 1 };
	status = is_kept(deleter, local)
		     ? CX_OK
		     : delete_unqualified(deleter, local, domain, with_rare);
	return status == CX_OK && with_rare ? delete_rewritten(deleter, local, domain)
					    : status;
}

static enum status keep_local_part(struct deleter *deleter, struct span bare)
{
	if (is_kept(deleter, bare)) {
		return CX_OK;
	}
	return keytab_add(&deleter->kept_local_parts, bare, 0);
}

static enum status collect_kept_local_parts(struct deleter *deleter)
{
	const struct envelope *envelope = deleter->envelope;
	enum status status = CX_OK;

	for (size_t i = 0; status == CX_OK && i < envelope->recipient_count; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];

		if (deleter->fates[recipient->address].survives) {
			status = keep_local_part(deleter, local_part(recipient->typed));
		}
	}
	/* The MTA's own postmaster is added without a domain. */
	for (size_t i = 0; status == CX_OK && i < envelope->address_count; i++) {
		struct span text = envelope->addresses[i].text;

		if (deleter->fates[i].winner != PLAN_NOBODY &&
		    local_part(text).len == text.len) {
			status = keep_local_part(deleter, text);
		}
	}
	return status;
}

static enum status delete_gone(struct deleter *deleter)
{
	const struct envelope *envelope = deleter->envelope;

	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];
		struct span spelling = recipient->typed;
		enum status status;

		if (deleter->fates[recipient->address].survives) {
			continue;
		}
		/*
		 * Postfix parses what is within the <>, without the route, and compares the
		 * result with what it made of RCPT in the same way (2.1, 2.2). Sendmail
		 * compares with what was typed (14.4).
		 */
		if (envelope->mta == MTA_POSTFIX) {
			spelling = plan_strip_route(dsn_strip_brackets(spelling));
		}
		status = delete_spelling(deleter, spelling);
		if (status == CX_OK && envelope->is_local_submission) {
			status =
			    delete_as_written(deleter, spelling, i < PLAN_RARE_MAX);
		}
		if (status != CX_OK) {
			return status;
		}
	}
	return CX_OK;
}

enum status plan_delete_gone(const struct envelope *envelope, const struct fate *fates,
    struct plan *plan)
{
	struct deleter deleter = { .envelope = envelope, .fates = fates, .plan = plan };
	enum status status = CX_OK;

	keytab_init(&deleter.deleted);
	keytab_init(&deleter.kept_local_parts);
	if (envelope->is_local_submission) {
		status = collect_kept_local_parts(&deleter);
	}
	if (status == CX_OK) {
		status = delete_gone(&deleter);
	}
	keytab_release(&deleter.deleted);
	keytab_release(&deleter.kept_local_parts);
	return status;
}
