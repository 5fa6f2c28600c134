#include "config.h"

#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * How far the pass has come. A timestamp that is far ahead of the rest (the server's
 * clock was wrong once) would hide everything that comes behind it: what a comparison finds
 * and an incremental pass should have, puts the mark back, and only news put it forward.
 */
static void advance_mark(struct ldap_source *ls, struct poll_mark *mark, bool *has_mark)
{
	const struct polling *poll = &ls->polling;
	const struct poll *p = &ls->poll;
	bool is_known =
	    poll->has_mark && poll->mark.kind == POLL_MARK_TIME &&
	    memcmp(poll->mark.server, poll->server, sizeof(poll->server)) == 0;
	int64_t old = is_known ? poll->mark.at : 0;

	memset(mark, 0, sizeof(*mark));
	memcpy(mark->server, poll->server, sizeof(mark->server));
	*has_mark = true;
	if (poll->has_usn) {
		mark->kind = POLL_MARK_USN;
		mark->at = poll->usn;
		return;
	}
	mark->kind = POLL_MARK_TIME;
	mark->slack_s = (lsrc_now_ms() - p->started_ms) / 1000 + 1;
	if (p->pass == POLL_NEW) {
		mark->at = p->has_news && p->news_max > old ? p->news_max : old;
		return;
	}
	*has_mark = p->has_time;
	if (!is_known || p->stamps.count == 0) {
		mark->at = p->time_max;
	} else if (p->pass == POLL_IDENTITIES && p->has_news) {
		mark->at = p->news_max;
	} else {
		mark->at = smaller(old, p->time_max);
		if (p->has_news && p->news_max > mark->at) {
			mark->at = p->news_max;
		}
	}
}

static void wait_for_next(struct ldap_source *ls)
{
	ls->polling.step = POLLING_IDLE;
	lsrc_timer_stop(ls, TIMER_SILENCE);
	lsrc_timer_start(ls, TIMER_POLL,
	    ls->polling.wants_full ? 0 : ls->source->conf->poll_interval_ms);
	if (!lsrc_timer_is_running(ls, TIMER_CONTACT)) {
		lsrc_timer_start(ls, TIMER_CONTACT, ls->source->contact_ms);
	}
}

/* Nothing, not even what was last: gone, or the server does not search as we ask. */
static void consider_empty(struct ldap_source *ls, size_t entries)
{
	struct polling *poll = &ls->polling;

	if (poll->has_usn || entries > 0) {
		poll->was_empty = false;
	} else if (!poll->was_empty) {
		poll->was_empty = poll->wants_identities = true;
	} else {
		log_warnx(
		    "directory=%s the server finds nothing by modifyTimestamp: every poll reads "
		    "everything",
		    ls->source->conf->name);
		poll->is_blind = true;
	}
}

static void log_pass(const struct ldap_source *ls)
{
	const struct poll *p = &ls->poll;
	int64_t took = lsrc_now_ms() - p->started_ms;
	const char *name = ls->source->conf->name;

	struct buf line;

	buf_init(&line);
	buf_printf(&line,
	    "directory=%s %s pass finished with %zu entries, %zu of them whole, in "
	    "%lld.%03lld s",
	    name, lsrc_pass_name(p->pass), p->entries, p->whole,
	    (long long)(took / 1000), (long long)(took % 1000));
	if (p->pass == POLL_FULL) {
		log_info("%s", line.data ? line.data : name);
	} else {
		log_debug("%s", line.data ? line.data : name);
	}
	buf_release(&line);
	if (p->references > 0 && p->pass == POLL_FULL) {
		log_warnx(
		    "directory=%s %zu referrals to other servers are not followed",
		    name, p->references);
	}
}

static void reread(struct ldap_source *ls)
{
	if (ls->reread.count > 0 && ls->reread_msgid < 0 && !ls->does_reread_wait &&
	    !lsrc_timer_is_running(ls, TIMER_REREAD)) {
		lsrc_timer_start(ls, TIMER_REREAD, sync_times.reread[0]);
	}
}

/* It is in the replica. */
static void finish(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	struct poll *p = &ls->poll;
	enum poll_pass pass = p->pass;
	size_t entries = p->entries;

	log_pass(ls);
	ls->identities |= p->kinds;
	poll_commit(p);
	poll_reset(p);
	ls->source->refreshes++;
	ls->failures = 0;
	ls->tried = 0;
	reread(ls);
	if (pass != POLL_NEW) {
		poll->identities_ms = lsrc_now_ms() + sync_times.poll_identities;
	} else {
		poll->last_new = entries;
		consider_empty(ls, entries);
	}
	if (pass == POLL_NEW &&
	    (poll->wants_identities || lsrc_now_ms() >= poll->identities_ms)) {
		poll->wants_identities = false;
		lsrc_pass_start(ls, POLL_IDENTITIES, false);
		return;
	}
	wait_for_next(ls);
}

static void deliver(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	struct poll *p = &ls->poll;
	struct poll_mark mark;
	bool has_mark;
	enum status status = poll_seal(p);

	advance_mark(ls, &mark, &has_mark);
	p->batch.has_mark = true;
	if (has_mark) {
		poll_mark_print(&mark, &p->batch.mark);
	}
	if (status == CX_OK && p->batch.mark.failed) {
		status = CX_ENOMEM;
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
		return;
	}
	if (p->pass == POLL_FULL) {
		/* References were read with everything else. */
		status = source_deliver(ls->source, &p->batch);
		if (status != CX_OK) {
			lsrc_stopped(ls);
			return;
		}
	} else if (!lsrc_deliver(ls, &p->batch, false)) {
		return;
	}
	poll->mark = mark;
	poll->has_mark = has_mark;
	finish(ls);
}

void lsrc_poll_ranged(struct ldap_source *ls)
{
	if (ls->polling.step == POLLING_RANGES &&
	    !ranges_wait(&ls->ranges, &ls->poll.batch)) {
		deliver(ls);
	}
}
