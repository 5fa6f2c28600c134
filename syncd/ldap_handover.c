#include "config.h"

#include <string.h>

#include "daemon/log.h"
#include "replica/store_write.h"
#include "syncd/cookie.h"
#include "syncd/ldap_source.h"

/*
 * A full refresh runs beside the session in force, which goes on delivering, and takes its place
 * when everything is read: wanted, begun, given up, handed over.
 */

void lsrc_refresh_in(struct ldap_source *ls, int64_t ms, const char *why)
{
	if (ls->session == NULL) {
		lsrc_poll_compare_soon(ls, ms, why);
		return;
	}
	if (ls->wants_refresh || (lsrc_timer_is_running(ls, TIMER_REFRESH) &&
				     ls->refresh_due_ms <= lsrc_now_ms() + ms)) {
		return;
	}
	log_info("directory=%s full refresh: %s", ls->source->conf->name, why);
	if (!lsrc_is_persisting(ls) || ls->next != NULL) {
		ls->wants_refresh = true;
		return;
	}
	ls->refresh_due_ms = lsrc_now_ms() + ms;
	lsrc_timer_start(ls, TIMER_REFRESH, ms);
}

void lsrc_refresh_forced(struct ldap_source *ls, const char *why)
{
	int64_t now = lsrc_now_ms(), next = ls->forced_ms + sync_times.forced_refresh;

	if (now < ls->forced_ms) {
		/* The next one has its turn already. */
		return;
	}
	if (ls->forced_ms != 0 && now < next) {
		ls->forced_ms = next;
		lsrc_refresh_in(ls, next - now, why);
	} else {
		ls->forced_ms = now;
		lsrc_refresh_in(ls, 0, why);
	}
}

void lsrc_on_refresh_timer(struct ldap_source *ls)
{
	if (ls->next != NULL || !lsrc_is_persisting(ls)) {
		ls->wants_refresh = true;
		return;
	}
	uuid_set_clear(&ls->touched);
	lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
	lsrc_session_start(ls, &ls->next, (struct span){ NULL, 0 });
}

void lsrc_give_up_next(struct ldap_source *ls, const char *why)
{
	source_error(ls->source, "the full refresh ended with %s", why);
	lsrc_timer_stop(ls, TIMER_SILENCE);
	lsrc_session_free(ls, &ls->next);
	uuid_set_release(&ls->touched);
	/* Why it was wanted still holds. */
	ls->wants_refresh = false;
	lsrc_refresh_in(ls, sync_times.backoff_max, "the last one failed");
}

/*
 * The new session read everything while the old one went on: what the old one delivered
 * meanwhile is newer, and the new one will send it again behind its refresh.
 */
static bool spare_touched(struct ldap_source *ls, struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (uuid_set_has(&ls->touched, batch->changes[i].uuid)) {
			batch->changes[i].kind = CHANGE_SPARED;
		}
	}
	for (size_t i = 0; i < ls->touched.count; i++) {
		if (batch_spare(batch, ls->touched.list[i]) != CX_OK) {
			return false;
		}
	}
	return true;
}

/* The old session has sent everything that the server had when the new one was done. */
static bool is_caught_up(const struct ldap_source *ls)
{
	struct span old = buf_span(&ls->session->cookie);
	struct span new = buf_span(&ls->next->cookie);

	return cookie_covers_all(old, new) || (new.len > 0 && span_equal(old, new));
}

/*
 * Of an entry that is spared the last word is the old session's, which may not have said it when
 * it ends: what the new one read may have been newer, and it does not send it again.
 */
static bool is_doubtful(const struct ldap_source *ls)
{
	const struct batch *batch = &ls->next->batch;
	struct record_id id = { .source = ls->source->id };
	size_t same = 0;

	if (ls->touched.count == 0 || is_caught_up(ls)) {
		return false;
	}
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &batch->changes[i];

		if (!uuid_set_has(&ls->touched, change->uuid)) {
			continue;
		}
		memcpy(id.uuid, change->uuid, sizeof(id.uuid));
		same += change->kind == CHANGE_SAME ||
			(change->kind == CHANGE_PUT &&
			    store_holds(source_store(ls->source), &id,
				batch_record(batch, change)));
	}
	/* One that was read twice counts twice: whoever is in doubt reads again. */
	return same != ls->touched.count;
}

bool lsrc_hand_over(struct ldap_source *ls)
{
	struct syncrepl *next = ls->next;
	bool must_repeat;

	if (!lsrc_session_flush(ls, false)) {
		return false;
	}
	must_repeat = is_doubtful(ls);
	if (!spare_touched(ls, &next->batch)) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
		return false;
	}
	lsrc_session_free(ls, &ls->session);
	ls->session = next;
	ls->next = NULL;
	uuid_set_release(&ls->touched);
	if (must_repeat) {
		lsrc_refresh_forced(ls, "entries changed while everything was read");
	}
	return true;
}
