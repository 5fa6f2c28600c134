#include "config.h"

#include "daemon/log.h"
#include "syncd/cookie.h"
#include "syncd/ldap_source.h"

/*
 * After a change of server the refresh may come from one that lags behind the old: entries
 * that it does not have yet look as if they were deleted, and would come back a moment
 * later; mail for them would be refused meanwhile (ldap-sync.md 5.3).
 */

enum status lsrc_grace_note(struct ldap_source *ls, const struct batch *batch)
{
	int64_t now = lsrc_now_ms();

	/* One server cannot lag behind itself. A full refresh is too much, and mostly old. */
	if (ls->uri_count == 1 || batch->is_full) {
		return CX_OK;
	}
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &batch->changes[i];
		enum status status = CX_OK;

		if (change->kind == CHANGE_PUT) {
			status = recent_add(&ls->recent, change->uuid, ls->uri_at, now,
			    sync_times.lag_grace);
		} else if (change->kind == CHANGE_REMOVE) {
			recent_remove(&ls->recent, change->uuid);
		}
		if (status != CX_OK) {
			return status;
		}
	}
	return CX_OK;
}

/* By its own word the server has all that the replica has seen. */
static bool is_up_to_date(struct ldap_source *ls, struct span cookie)
{
	struct buf stored;
	bool is_covered;

	buf_init(&stored);
	is_covered = source_cookie(ls->source, &stored) == CX_OK &&
		     cookie_covers_all(cookie, buf_span(&stored));
	buf_release(&stored);
	return is_covered;
}

enum status lsrc_grace_spare(struct ldap_source *ls, struct batch *batch,
    struct span cookie)
{
	struct uuid_set missing;
	enum status status;

	if (!batch->is_complete) {
		return CX_OK;
	}
	ls->grace_until_ms = 0;
	lsrc_timer_stop(ls, TIMER_GRACE);
	uuid_set_init(&missing, ls->source->scratch);
	status = recent_of_others(&ls->recent, ls->uri_at,
	    lsrc_now_ms() - sync_times.lag_grace, &missing);
	for (size_t i = 0; i < batch->count && missing.count > 0; i++) {
		uuid_set_remove(&missing, batch->changes[i].uuid);
	}
	if (status == CX_OK && missing.count > 0 && !is_up_to_date(ls, cookie)) {
		for (size_t i = 0; i < missing.count && status == CX_OK; i++) {
			status = batch_spare(batch, missing.list[i]);
		}
		ls->grace_until_ms = lsrc_now_ms() + sync_times.lag_grace;
		log_warnx("directory=%s %s lags behind the server before it: %zu new "
			  "entries that it does not have are kept for now",
		    ls->source->conf->name, ls->uris[ls->uri_at], missing.count);
	}
	uuid_set_release(&missing);
	return status;
}

void lsrc_grace_begin(struct ldap_source *ls)
{
	int64_t left = ls->grace_until_ms - lsrc_now_ms();

	if (ls->grace_until_ms > 0) {
		lsrc_timer_start(ls, TIMER_GRACE, left > 0 ? left : 0);
	}
}

void lsrc_on_grace_timer(struct ldap_source *ls)
{
	lsrc_refresh_in(ls, 0, "entries were kept that the server may not have");
}
