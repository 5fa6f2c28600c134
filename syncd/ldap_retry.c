#include "config.h"

#include <openssl/rand.h>
#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/* Give or take a quarter, so that the servers of a site do not come all at once. */
static int64_t jitter(int64_t ms)
{
	uint32_t random = 0;

	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1) {
		return ms;
	}
	return ms - ms / 4 + (int64_t)(random % (uint32_t)(ms / 2 + 1));
}

int64_t lsrc_backoff(unsigned failures)
{
	int64_t ms = sync_times.backoff_min;

	for (unsigned i = 1; i < failures && ms < sync_times.backoff_max; i++) {
		ms *= 2;
	}
	return jitter(ms < sync_times.backoff_max ? ms : sync_times.backoff_max);
}

void lsrc_retry_in(struct ldap_source *ls, int64_t ms)
{
	ls->source->state = "waiting";
	log_info("directory=%s next attempt in %lld.%03lld s", ls->source->conf->name,
	    (long long)(ms / 1000), (long long)(ms % 1000));
	lsrc_timer_start(ls, TIMER_RETRY, ms);
	if (ms > sync_times.watch) {
		ls->last_marks = ls->marks;
		lsrc_timer_start(ls, TIMER_WATCH, sync_times.watch);
	}
}

/* --- Which server is next --- */

static bool is_refused(const struct ldap_source *ls, size_t at, int64_t now)
{
	return ls->refused_until[at] > now;
}

/* The next in turn that has not refused us lately; the same one where all have. */
static void turn(struct ldap_source *ls, size_t *passed)
{
	int64_t now = lsrc_now_ms();

	for (size_t i = 1; i <= ls->uri_count; i++) {
		size_t at = (ls->uri_at + i) % ls->uri_count;

		if (!is_refused(ls, at, now)) {
			ls->uri_at = at;
			*passed += i;
			return;
		}
	}
	*passed += ls->uri_count;
}

/* All have refused us: which one is to be asked first, and in how long. */
static int64_t wait_for_pardon(struct ldap_source *ls)
{
	int64_t now = lsrc_now_ms(), first = INT64_MAX;

	for (size_t i = 0; i < ls->uri_count; i++) {
		if (ls->refused_until[i] < first) {
			first = ls->refused_until[i];
			ls->uri_at = i;
		}
	}
	ls->refused_until[ls->uri_at] = 0;
	return first > now ? first - now : 0;
}

void lsrc_refused(struct ldap_source *ls)
{
	ls->refused_until[ls->uri_at] = lsrc_now_ms() + jitter(sync_times.backoff_max);
}

void lsrc_next_uri(struct ldap_source *ls, int64_t ms)
{
	turn(ls, &ls->tried);
	if (ls->tried < ls->uri_count) {
		lsrc_connect(ls);
		return;
	}
	ls->tried = 0;
	ls->failures++;
	if (is_refused(ls, ls->uri_at, lsrc_now_ms())) {
		lsrc_retry_in(ls, wait_for_pardon(ls));
	} else {
		lsrc_retry_in(ls, ms > 0 ? ms : lsrc_backoff(ls->failures));
	}
}

void lsrc_retry_lost(struct ldap_source *ls, bool was_good)
{
	size_t passed = 0;

	if (was_good) {
		ls->failures = 0;
		lsrc_retry_in(ls, sync_times.first_retry);
		return;
	}
	turn(ls, &passed);
	ls->failures = ls->failures < LSRC_LOST_MAX ? ls->failures + 1 : LSRC_LOST_MAX;
	lsrc_retry_in(ls, ls->failures == 1 ? jitter(sync_times.backoff_min * 3 / 4)
					    : lsrc_backoff(ls->failures));
}

/* --- When somebody mends it --- */

void lsrc_retry_now(struct ldap_source *ls)
{
	memset(ls->refused_until, 0, ls->uri_count * sizeof(ls->refused_until[0]));
	lsrc_timer_start(ls, TIMER_RETRY, 0);
}

void lsrc_on_watch_timer(struct ldap_source *ls)
{
	struct link_marks now;

	link_mark_files(ls->source->conf, &now);
	/* One that is being written is left until it has been still for a look. */
	if (memcmp(&now, &ls->marks, sizeof(now)) != 0 &&
	    memcmp(&now, &ls->last_marks, sizeof(now)) == 0) {
		log_info("directory=%s a file of the login changed: trying it at once",
		    ls->source->conf->name);
		lsrc_retry_now(ls);
		return;
	}
	ls->last_marks = now;
	lsrc_timer_start(ls, TIMER_WATCH, sync_times.watch);
}
