#include "config.h"

#include "syncd/ldap_source.h"

/* What the batch means for others is known before it is delivered, and acted on after. */
static void act_on(struct ldap_source *ls, const struct follow *follow, bool is_full)
{
	if (follow->is_container_changed && !is_full) {
		lsrc_refresh_in(ls, sync_times.container, "a container changed");
	}
	if (follow->has_unknown && !is_full) {
		lsrc_refresh_forced(ls, "the server names entries that it never sent");
	}
	if (follow->referrers.count > LSRC_REREAD_MAX) {
		lsrc_refresh_forced(ls, "very many references changed");
	} else if (lsrc_reread_add(ls, follow) != CX_OK) {
		lsrc_refresh_forced(ls, "no memory to read references again");
	}
}

static enum status touch(struct ldap_source *ls, const struct batch *batch)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		const uint8_t *uuid = batch->changes[i].uuid;

		if (ls->next != NULL) {
			status = uuid_set_add(&ls->touched, uuid);
		}
		if (status == CX_OK &&
		    (ls->reread_msgid >= 0 || ls->does_reread_wait)) {
			status = uuid_set_add(&ls->reread_touched, uuid);
		}
	}
	return status;
}

bool lsrc_deliver(struct ldap_source *ls, struct batch *batch, bool is_full)
{
	struct follow follow;
	enum status status;
	bool is_ready = false;

	follow_init(&follow, ls->source);
	status = follow_batch(ls->source, batch, &ls->refused, &follow);
	if (status == CX_OK) {
		status = touch(ls, batch);
	}
	if (status == CX_OK) {
		status = lsrc_agenda_note(ls, batch, &follow, is_full);
	}
	if (status == CX_OK && batch != &ls->reread_batch) {
		status = follow_patch(ls->source, batch, &follow);
	}
	if (status == CX_OK) {
		status = lsrc_grace_note(ls, batch);
	}
	if (status == CX_OK) {
		is_ready = true;
		status = source_deliver(ls->source, batch);
	}
	batch_clear(batch);
	if (status == CX_OK) {
		act_on(ls, &follow, is_full);
	} else {
		/* On with the stored cookie: what is in memory may be ahead of it. */
		ls->must_drop_cookie = ls->must_drop_cookie || status == CX_NOTFOUND;
		if (is_ready) {
			lsrc_stopped(ls);
		} else {
			lsrc_failed(ls, status_text(status));
		}
	}
	follow_release(&follow);
	return status == CX_OK;
}
