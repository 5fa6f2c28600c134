#include "config.h"

#include <string.h>

#include "syncd/ldap_source.h"

/*
 * What slapd does not tell of is found by reading again, a moment after the change that it
 * follows from: referrers of an entry that was renamed or removed, everything below a
 * container; and what became of entries that a server did not name and that were kept
 * (ldap_grace.c). Once that change and its cookie are stored nobody tells of it again, so what is
 * still to be read is stored with them: else a process that is killed in that
 * moment, or a connection that is lost, leaves the replica wrong until the next full refresh.
 *
 * Stored: one byte, enum agenda_flag, then the ids of entries to be read again, 16 bytes each.
 */
enum agenda_flag {
	AGENDA_REFRESH = 1 << 0, /* a full refresh */
};

/* More entries than this: a full refresh is less to keep, and to read. */
#define AGENDA_MAX 4096

static enum status add_referrers(struct ldap_source *ls, const struct uuid_set *more)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < more->count && status == CX_OK; i++) {
		if (!uuid_set_has(&ls->reread, more->list[i])) {
			status = uuid_set_add(&ls->reread, more->list[i]);
		}
	}
	return status;
}

static bool wants_refresh(struct ldap_source *ls, const struct follow *follow,
    bool is_full)
{
	if (ls->wants_refresh || lsrc_timer_is_running(ls, TIMER_REFRESH) ||
	    ls->grace_until_ms > 0) {
		return true;
	}
	return !is_full &&
	       (ls->next != NULL || follow->is_container_changed ||
		   follow->has_unknown || follow->referrers.count > LSRC_REREAD_MAX);
}

enum status lsrc_agenda_note(struct ldap_source *ls, struct batch *batch,
    const struct follow *follow, bool is_full)
{
	bool is_refresh = wants_refresh(ls, follow, is_full);
	struct buf *out = &batch->agenda;
	enum status status = CX_OK;

	if (follow->referrers.count <= LSRC_REREAD_MAX) {
		status = add_referrers(ls, &follow->referrers);
	}
	if (status != CX_OK) {
		return status;
	}
	buf_clear(out);
	batch->has_agenda = true;
	if (ls->reread.count > AGENDA_MAX) {
		buf_add_char(out, AGENDA_REFRESH);
	} else if (is_refresh || ls->reread.count > 0) {
		buf_add_char(out, is_refresh ? AGENDA_REFRESH : 0);
		if (ls->reread.count > 0) {
			buf_add(out, ls->reread.list,
			    ls->reread.count * SYNC_UUID_SIZE);
		}
	}
	return out->failed ? CX_ENOMEM : CX_OK;
}

enum status lsrc_agenda_load(struct ldap_source *ls, bool is_full)
{
	struct buf agenda;
	enum status status;

	buf_init(&agenda);
	status = source_agenda(ls->source, &agenda);
	if (status == CX_OK && agenda.len > 0) {
		if (agenda.data[0] & AGENDA_REFRESH && !is_full) {
			ls->wants_refresh = true;
		}
		for (size_t at = 1;
		     status == CX_OK && agenda.len - at >= SYNC_UUID_SIZE;
		     at += SYNC_UUID_SIZE) {
			const uint8_t *uuid = (const uint8_t *)agenda.data + at;

			if (!uuid_set_has(&ls->reread, uuid)) {
				status = uuid_set_add(&ls->reread, uuid);
			}
		}
	}
	buf_release(&agenda);
	return status;
}
