#include "config.h"

#include "decide/age.h"

/* A contact further in the future than this is a clock that jumped: never. */
#define FUTURE_TOLERANCE_S 300

int64_t age_of(const struct source_info *source, int64_t now)
{
	/* 0 is never; before that nothing was, and the difference might not fit. */
	if (!source->is_loaded || source->last_contact <= 0 ||
	    source->last_contact > now + FUTURE_TOLERANCE_S) {
		return AGE_NEVER;
	}
	return source->last_contact > now ? 0 : now - source->last_contact;
}

static bool is_fresh(const struct source_info *source, int64_t now, int64_t limit_s)
{
	int64_t age = age_of(source, now);

	return age != AGE_NEVER && age <= limit_s;
}

bool age_allows_delivery(const struct view *view, uint32_t sources)
{
	size_t count, i;
	const struct source_info *all = snapshot_sources(view->snapshot, &count);

	for (i = 0; i < count; i++) {
		if ((sources >> i & 1) != 0 &&
		    !is_fresh(&all[i], view->now, view->settings->max_staleness_s)) {
			return false;
		}
	}
	return true;
}

bool age_allows_refusal(const struct view *view)
{
	size_t count, i;
	const struct source_info *all = snapshot_sources(view->snapshot, &count);

	for (i = 0; i < count; i++) {
		if (!is_fresh(&all[i], view->now, view->settings->unknown_defer_after_s)) {
			return false;
		}
	}
	return count > 0;
}

bool age_knows_domains(const struct view *view)
{
	size_t count, i;
	const struct source_info *all = snapshot_sources(view->snapshot, &count);

	for (i = 0; i < count; i++) {
		if (all[i].provides_domains && !all[i].is_loaded) {
			return false;
		}
	}
	return count > 0;
}

bool age_knows_recipients(const struct view *view)
{
	size_t count, i;
	const struct source_info *all = snapshot_sources(view->snapshot, &count);

	for (i = 0; i < count; i++) {
		if (all[i].provides_recipients && !all[i].is_loaded) {
			return false;
		}
	}
	return count > 0;
}

bool age_knows_connectors(const struct view *view)
{
	size_t count, i;
	const struct source_info *all = snapshot_sources(view->snapshot, &count);

	for (i = 0; i < count; i++) {
		if (all[i].provides_connectors && !all[i].is_loaded) {
			return false;
		}
	}
	return count > 0;
}
