#include "config.h"

#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/*
 * slapd's refint overlay changes the references to an entry that was renamed or removed a
 * moment later and tells no consumer of it (ldap-sync.md T7): the referrers are read
 * again, a few times while that may be going on. Until then the replica has them as if slapd
 * had done it (follow_patch()); the last time, as they are.
 */

/* Entries asked for in one search. */
#define REREAD_AT_ONCE 50

static void drop_answer(struct ldap_source *ls)
{
	ls->does_reread_wait = false;
	ranges_drop(&ls->ranges, &ls->reread_batch);
	batch_clear(&ls->reread_batch);
}

enum status lsrc_reread_add(struct ldap_source *ls, const struct follow *follow)
{
	const struct uuid_set *referrers = &follow->referrers;
	enum status status;

	if (referrers->count == 0) {
		return CX_OK;
	}
	status = follow_add_renames(follow, &ls->reread_names);
	for (size_t i = 0; i < referrers->count && status == CX_OK; i++) {
		if (!uuid_set_has(&ls->reread, referrers->list[i])) {
			status = uuid_set_add(&ls->reread, referrers->list[i]);
		}
	}
	/* All of them from the first round on; an answer under way goes to nobody. */
	if (ls->reread_msgid >= 0) {
		ldap_abandon_ext(ls->ld, ls->reread_msgid, NULL, NULL);
		ls->reread_msgid = -1;
	}
	drop_answer(ls);
	ls->reread_round = 0;
	ls->reread_at = 0;
	lsrc_timer_start(ls, TIMER_REREAD, sync_times.reread[0]);
	return status;
}

void lsrc_reread_end(struct ldap_source *ls)
{
	ls->reread_msgid = -1;
	ls->reread_at = ls->reread_round = 0;
	uuid_set_clear(&ls->reread);
	uuid_set_clear(&ls->reread_names);
	uuid_set_clear(&ls->reread_touched);
	drop_answer(ls);
}

/* The entries from reread_at on, as many as go into one search. */
static void print_filter(struct ldap_source *ls, struct buf *out)
{
	size_t end = ls->reread_at + REREAD_AT_ONCE;
	unsigned kinds = ls->identities ? ls->identities : LDAP_IDENTITY_ENTRY_UUID;

	buf_add_text(out, "(&");
	buf_add_text(out, ls->filter);
	buf_add_text(out, "(|");
	while (ls->reread_at < ls->reread.count && ls->reread_at < end) {
		ldap_identity_terms(out, kinds, ls->reread.list[ls->reread_at++]);
	}
	buf_add_text(out, "))");
}

void lsrc_on_reread_timer(struct ldap_source *ls)
{
	struct buf filter;

	buf_init(&filter);
	print_filter(ls, &filter);
	uuid_set_clear(&ls->reread_touched);
	drop_answer(ls);
	if (filter.failed) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
	} else {
		lsrc_search(ls, ls->source->conf->base, ls->scope, filter.data,
		    ls->poll_attributes, NULL, &ls->reread_msgid);
	}
	buf_release(&filter);
}

static void next_step(struct ldap_source *ls)
{
	if (ls->reread_at < ls->reread.count) {
		lsrc_on_reread_timer(ls);
		return;
	}
	ls->reread_at = 0;
	if (++ls->reread_round < SYNC_REREADS) {
		lsrc_timer_start(ls, TIMER_REREAD, sync_times.reread[ls->reread_round]);
	} else {
		lsrc_reread_end(ls);
	}
}

/* It may be soon, and the replica has it as it then will be; the last round decides. */
static bool is_not_yet_repaired(const struct ldap_source *ls, const struct change *change)
{
	return change->kind == CHANGE_PUT && ls->reread_round + 1 < SYNC_REREADS &&
	       follow_names(&ls->reread_names, batch_record(&ls->reread_batch, change));
}

/* Everything of the answer has come. */
static void deliver_answer(struct ldap_source *ls)
{
	/* Changes that came by the session go first; they may be newer than the answer. */
	if (!lsrc_session_flush(ls, false) || !ls->does_reread_wait) {
		/* Given up, or begun again with more of them. */
		return;
	}
	ls->does_reread_wait = false;
	for (size_t i = 0; i < ls->reread_batch.count; i++) {
		struct change *change = &ls->reread_batch.changes[i];

		if (uuid_set_has(&ls->reread_touched, change->uuid) ||
		    is_not_yet_repaired(ls, change)) {
			change->kind = CHANGE_SPARED;
		}
	}
	if (ls->reread_batch.count > 0 && !lsrc_deliver(ls, &ls->reread_batch, false)) {
		return;
	}
	if (!lsrc_timer_is_running(ls, TIMER_REREAD)) {
		next_step(ls);
	}
}

void lsrc_reread_ranged(struct ldap_source *ls)
{
	if (ls->does_reread_wait && !ranges_wait(&ls->ranges, &ls->reread_batch)) {
		deliver_answer(ls);
	}
}

static void on_answer(struct ldap_source *ls, LDAPMessage *message)
{
	char text[256];

	ls->reread_msgid = -1;
	if (lsrc_result_of(ls, message, text) != LDAP_SUCCESS) {
		log_warnx("directory=%s references cannot be read again: %s",
		    ls->source->conf->name, text);
		lsrc_reread_end(ls);
		return;
	}
	ls->does_reread_wait = true;
	lsrc_reread_ranged(ls);
}

void lsrc_reread_message(struct ldap_source *ls, LDAPMessage *message)
{
	uint8_t uuid[SYNC_UUID_SIZE];
	enum status status;

	if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT) {
		on_answer(ls, message);
		return;
	}
	if (ldap_msgtype(message) != LDAP_RES_SEARCH_ENTRY) {
		return;
	}
	status = ldap_entry_load(&ls->entry, ls->ld, message);
	if (status == CX_OK) {
		status = ldap_entry_identity(&ls->entry, uuid, NULL);
	}
	/* Only what was asked for: an identity made of a DN is none here. */
	if (status == CX_OK && uuid_set_has(&ls->reread, uuid)) {
		status = syncrepl_take_entry(ls->source, &ls->reread_batch, &ls->entry,
		    uuid, &ls->refused);
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
	}
}
