#include "config.h"

#include "metrics/replica.h"

#include <math.h>

#include "decide/age.h"
#include "metrics/page.h"
#include "replica/sync_notes.h"

/* One number of each directory. */
typedef double number_of(struct snapshot *, const struct source_info *, int64_t now);

static double note_count(struct snapshot *snapshot, const struct source_info *source,
    const char *what, size_t (*count)(struct span))
{
	char key[SYNC_NOTES_KEY_MAX];
	struct span list;

	sync_notes_key(key, source->id, what);
	return snapshot_meta(snapshot, key, &list) == CX_OK ? (double)count(list) : 0;
}

static double age(struct snapshot *snapshot, const struct source_info *source,
    int64_t now)
{
	int64_t seconds = age_of(source, now);

	(void)snapshot;
	return seconds == AGE_NEVER ? INFINITY : (double)seconds;
}

static double is_loaded(struct snapshot *snapshot, const struct source_info *source,
    int64_t now)
{
	(void)snapshot;
	(void)now;
	return source->is_loaded;
}

static double skipped(struct snapshot *snapshot, const struct source_info *source,
    int64_t now)
{
	(void)now;
	return note_count(snapshot, source, SYNC_NOTES_SKIPPED, skipped_count);
}

static double held(struct snapshot *snapshot, const struct source_info *source,
    int64_t now)
{
	(void)now;
	return note_count(snapshot, source, SYNC_NOTES_HELD, held_count);
}

static const struct {
	const char *name, *help;
	number_of *number;
} families[] = {
	{ "coexist_directory_age_seconds",
	    "Time since the last proof of contact; +Inf: never loaded.", age },
	{ "coexist_directory_loaded", "1 after a complete first load.", is_loaded },
	{ "coexist_directory_skipped_entries", "Entries that cannot be used.",
	    skipped },
	{ "coexist_directory_held_removals",
	    "Removals kept back until coexistctl accept-refresh.", held },
};

static const struct {
	const char *name;
	enum record_kind kind;
} kinds[] = {
	{ "recipient", RECORD_RECIPIENT },
	{ "domain", RECORD_DOMAIN },
	{ "connector", RECORD_CONNECTOR },
};

static void print_entries(struct buf *page, struct snapshot *snapshot,
    const struct source_info *sources, size_t count)
{
	static const char name[] = "coexist_directory_entries";
	uint64_t number;

	page_family(page, name, PAGE_GAUGE, "Entries of the replica by kind.");
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			if (snapshot_count(snapshot, sources[i].id, kinds[k].kind,
				&number) == CX_OK) {
				page_count(page, name,
				    PAGE_LABELS({ "directory",
						    span_of(sources[i].name) },
					{ "kind", span_of(kinds[k].name) }),
				    number);
			}
		}
	}
}

static void print_snapshot(struct buf *page, struct snapshot *snapshot, int64_t now)
{
	size_t count;
	const struct source_info *sources = snapshot_sources(snapshot, &count);

	page_family(page, "coexist_replica_size_bytes", PAGE_GAUGE,
	    "Size of the replica's file.");
	page_count(page, "coexist_replica_size_bytes", NULL, snapshot_bytes(snapshot));
	page_family(page, "coexist_replica_generation", PAGE_GAUGE,
	    "Raised by each commit that changed something.");
	page_count(page, "coexist_replica_generation", NULL,
	    snapshot_generation(snapshot));
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		page_family(page, families[f].name, PAGE_GAUGE, families[f].help);
		for (size_t i = 0; i < count; i++) {
			page_number(page, families[f].name,
			    PAGE_LABELS({ "directory", span_of(sources[i].name) }),
			    families[f].number(snapshot, &sources[i], now));
		}
	}
	print_entries(page, snapshot, sources, count);
}

void metrics_print_replica(struct buf *page, struct store *store, int64_t now)
{
	struct snapshot *snapshot = NULL;
	enum status status = snapshot_begin(store, &snapshot, NULL);

	page_family(page, "coexist_replica_up", PAGE_GAUGE,
	    "1 while this program can read the replica.");
	page_count(page, "coexist_replica_up", NULL, status == CX_OK);
	if (status == CX_OK) {
		print_snapshot(page, snapshot, now);
		snapshot_end(snapshot);
	}
}

static bool are_fresh(struct snapshot *snapshot, const struct settings *settings,
    int64_t now, struct buf *why)
{
	size_t count;
	const struct source_info *sources = snapshot_sources(snapshot, &count);
	bool is_fresh = count > 0;

	if (!is_fresh) {
		buf_add_text(why, "replica: no directory yet\n");
	}
	for (size_t i = 0; i < count; i++) {
		int64_t seconds = age_of(&sources[i], now);

		if (seconds > settings->max_staleness_s) {
			buf_add_text(why, "directory ");
			buf_add_escaped(why, span_of(sources[i].name));
			buf_add_text(why, seconds == AGE_NEVER
					      ? ": never loaded\n"
					      : ": older than max_staleness\n");
			is_fresh = false;
		}
	}
	return is_fresh;
}

bool metrics_replica_is_ready(struct store *store, const struct settings *settings,
    int64_t now, struct buf *why)
{
	struct errbuf err = { "" };
	struct snapshot *snapshot;
	bool is_ready;

	if (snapshot_begin(store, &snapshot, &err) != CX_OK) {
		buf_add_text(why, "replica: ");
		buf_add_escaped(why, span_of(err.text));
		buf_add_char(why, '\n');
		return false;
	}
	is_ready = are_fresh(snapshot, settings, now, why);
	snapshot_end(snapshot);
	return is_ready;
}

void metrics_print_build(struct buf *page, const char *program, int64_t started)
{
	page_family(page, "coexist_build_info", PAGE_GAUGE, "Always 1.");
	page_count(page, "coexist_build_info",
	    PAGE_LABELS({ "program", span_of(program) },
		{ "version", span_of(PACKAGE_VERSION) }),
	    1);
	page_family(page, "coexist_start_time_seconds", PAGE_GAUGE,
	    "When this program was started, since the epoch.");
	page_count(page, "coexist_start_time_seconds", NULL, (uint64_t)started);
}
