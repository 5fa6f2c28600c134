#include "config.h"

#include "metrics/replica.h"

#include <math.h>
#include <string.h>

#include "decide/age.h"
#include "metrics/page.h"
#include "replica/sync_notes.h"

/* What there is to show: `snapshot` is NULL, and sources are none, where it cannot be read. */
struct seen {
	struct snapshot *snapshot;
	const struct source_info *sources;
	size_t count;
	const struct conf *conf;
	int64_t now;
};

static const struct source_info *find_source(const struct seen *seen, const char *name)
{
	for (size_t i = 0; i < seen->count; i++) {
		if (strcmp(seen->sources[i].name, name) == 0) {
			return &seen->sources[i];
		}
	}
	return NULL;
}

/*
 * The directories of the replica, and after them those that only the configuration has: no
 * series waits for the first load. source: NULL where the replica does not have it. False: none
 * at this index, or one that was there before.
 */
static bool directory_at(const struct seen *seen, size_t index, struct span *name,
    const struct source_info **source)
{
	const char *text;

	*source = index < seen->count ? &seen->sources[index] : NULL;
	if (*source != NULL) {
		*name = span_of((*source)->name);
		return true;
	}
	text = seen->conf->directories[index - seen->count].name;
	*name = span_of(text);
	return find_source(seen, text) == NULL;
}

static size_t index_end(const struct seen *seen)
{
	return seen->count + seen->conf->directory_count;
}

/* One number of a directory that the replica has. NaN: not known. */
typedef double number_of(const struct seen *, const struct source_info *);

static double note_count(const struct seen *seen, const struct source_info *source,
    const char *what, size_t (*count)(struct span))
{
	char key[SYNC_NOTES_KEY_MAX];
	enum status status;
	struct span list;

	sync_notes_key(key, source->id, what);
	status = snapshot_meta(seen->snapshot, key, &list);
	if (status == CX_NOTFOUND) {
		return 0;
	}
	return status == CX_OK ? (double)count(list) : NAN;
}

static double age(const struct seen *seen, const struct source_info *source)
{
	int64_t seconds = age_of(source, seen->now);

	return seconds == AGE_NEVER ? INFINITY : (double)seconds;
}

static double is_loaded(const struct seen *seen, const struct source_info *source)
{
	(void)seen;
	return source->is_loaded;
}

static double skipped(const struct seen *seen, const struct source_info *source)
{
	return note_count(seen, source, SYNC_NOTES_SKIPPED, skipped_count);
}

static double held(const struct seen *seen, const struct source_info *source)
{
	return note_count(seen, source, SYNC_NOTES_HELD, held_count);
}

static const struct {
	const char *name, *help;
	number_of *number;
	double without; /* of a directory that the replica does not have */
} families[] = {
	{ "coexist_directory_age_seconds",
	    "Time since the last proof of contact; +Inf: never loaded.", age,
	    INFINITY },
	{ "coexist_directory_loaded", "1 after a complete first load.", is_loaded, 0 },
	{ "coexist_directory_skipped_entries", "Entries that cannot be used.", skipped,
	    0 },
	{ "coexist_directory_held_removals",
	    "Removals kept back until coexistctl accept-refresh.", held, 0 },
};

static void print_directories(struct buf *page, const struct seen *seen)
{
	const struct source_info *source;
	struct span name;

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		page_family(page, families[f].name, PAGE_GAUGE, families[f].help);
		for (size_t i = 0; i < index_end(seen); i++) {
			double number = NAN;

			if (!directory_at(seen, i, &name, &source)) {
				continue;
			}
			if (seen->snapshot != NULL) {
				number = source != NULL
					     ? families[f].number(seen, source)
					     : families[f].without;
			}
			page_number(page, families[f].name,
			    PAGE_LABELS({ "directory", name }), number);
		}
	}
}

static const struct {
	const char *name;
	enum record_kind kind;
} kinds[] = {
	{ "recipient", RECORD_RECIPIENT },
	{ "domain", RECORD_DOMAIN },
	{ "connector", RECORD_CONNECTOR },
};

static double entries(const struct seen *seen, const struct source_info *source,
    enum record_kind kind)
{
	uint64_t number = 0;

	if (seen->snapshot == NULL ||
	    (source != NULL &&
		snapshot_count(seen->snapshot, source->id, kind, &number) != CX_OK)) {
		return NAN;
	}
	return (double)number;
}

static void print_entries(struct buf *page, const struct seen *seen)
{
	static const char family[] = "coexist_directory_entries";
	const struct source_info *source;
	struct span name;

	page_family(page, family, PAGE_GAUGE, "Entries of the replica by kind.");
	for (size_t i = 0; i < index_end(seen); i++) {
		if (!directory_at(seen, i, &name, &source)) {
			continue;
		}
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			page_number(page, family,
			    PAGE_LABELS({ "directory", name },
				{ "kind", span_of(kinds[k].name) }),
			    entries(seen, source, kinds[k].kind));
		}
	}
}

static void print_seen(struct buf *page, const struct seen *seen)
{
	struct snapshot *snapshot = seen->snapshot;

	page_family(page, "coexist_replica_up", PAGE_GAUGE,
	    "1 while this program can read the replica.");
	page_count(page, "coexist_replica_up", NULL, snapshot != NULL);
	page_family(page, "coexist_replica_size_bytes", PAGE_GAUGE,
	    "Size of the replica's file.");
	page_number(page, "coexist_replica_size_bytes", NULL,
	    snapshot != NULL ? (double)snapshot_bytes(snapshot) : NAN);
	page_family(page, "coexist_replica_generation", PAGE_GAUGE,
	    "Raised by each commit that changed something.");
	page_number(page, "coexist_replica_generation", NULL,
	    snapshot != NULL ? (double)snapshot_generation(snapshot) : NAN);
	print_directories(page, seen);
	print_entries(page, seen);
}

void metrics_print_replica(struct buf *page, struct store *store,
    const struct conf *conf, int64_t now)
{
	struct seen seen = { .conf = conf, .now = now };

	if (snapshot_begin(store, &seen.snapshot, NULL) != CX_OK) {
		seen.snapshot = NULL;
		print_seen(page, &seen);
		return;
	}
	seen.sources = snapshot_sources(seen.snapshot, &seen.count);
	print_seen(page, &seen);
	snapshot_end(seen.snapshot);
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
