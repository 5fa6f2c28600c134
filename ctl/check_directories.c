#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/check.h"
#include "decide/age.h"
#include "replica/sync_notes.h"

/* Whether the directories are read, and what of them is not in force. */

typedef void source_look(struct checker *, const struct source_info *);

static void each_source(struct checker *checker, source_look *look)
{
	size_t count, i;
	const struct source_info *sources =
	    snapshot_sources(checker->view.snapshot, &count);

	for (i = 0; i < count; i++) {
		look(checker, &sources[i]);
	}
}

static void syncd_down(struct checker *checker)
{
	struct finding finding = { .detail = span_of(checker->syncd_trouble.text) };

	if (checker->is_syncd_down) {
		CHECK_FOUND(checker, &finding, "{}", finding.detail);
	}
}

static void tell_unloaded(struct checker *checker, const char *name)
{
	struct finding finding = { .directory = name };

	CHECK_FOUND(checker, &finding,
	    "{}: mail for addresses that it may have is deferred",
	    span_of(name));
}

static void look_loaded(struct checker *checker, const struct source_info *source)
{
	if (!source->is_loaded) {
		tell_unloaded(checker, source->name);
	}
}

static bool is_in_replica(const struct checker *checker, const char *name)
{
	size_t count, i;
	const struct source_info *sources =
	    snapshot_sources(checker->view.snapshot, &count);

	for (i = 0; i < count; i++) {
		if (strcmp(sources[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* Also one that coexist-syncd has not heard of: it was not reloaded. */
static void directory_not_loaded(struct checker *checker)
{
	size_t i;

	each_source(checker, look_loaded);
	for (i = 0; i < checker->conf->directory_count; i++) {
		if (!is_in_replica(checker, checker->conf->directories[i].name)) {
			tell_unloaded(checker, checker->conf->directories[i].name);
		}
	}
}

static const char *consequence(const struct checker *checker, int64_t age)
{
	if (age > checker->conf->settings.max_staleness_s) {
		return "all its mail is deferred";
	}
	return "unknown recipients are deferred, not refused";
}

static void look_stale(struct checker *checker, const struct source_info *source)
{
	const struct settings *settings = &checker->conf->settings;
	int64_t age = age_of(source, checker->now);
	struct finding finding = { .directory = source->name };
	char text[32];

	if (!source->is_loaded || (age <= settings->unknown_defer_after_s &&
				      age <= settings->max_staleness_s)) {
		return;
	}
	if (age == AGE_NEVER) {
		CHECK_FOUND(checker, &finding,
		    "{}: the last contact is in the future: a clock is wrong; {}",
		    span_of(source->name), span_of(consequence(checker, age)));
		return;
	}
	snprintf(text, sizeof(text), "%" PRId64, age);
	finding.detail = span_of(text);
	CHECK_FOUND(checker, &finding, "{}: no contact for {} s; {}",
	    span_of(source->name), finding.detail, span_of(consequence(checker, age)));
}

static void directory_stale(struct checker *checker)
{
	each_source(checker, look_stale);
}

static void directory_error(struct checker *checker)
{
	json_t *list = json_object_get(checker->syncd, "directories");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *row = json_array_get(list, i);
		const char *error =
		    json_string_value(json_object_get(row, "lastError"));
		const char *name = json_string_value(json_object_get(row, "name"));
		struct finding finding = { .directory = name,
			.detail = span_of(error) };

		if (name != NULL && error != NULL && *error != '\0') {
			CHECK_FOUND(checker, &finding, "{}: {}", span_of(name),
			    finding.detail);
		}
	}
}

static enum status get_note(struct checker *checker, uint8_t source, const char *what,
    struct span *out)
{
	char key[SYNC_NOTES_KEY_MAX];
	enum status status;

	sync_notes_key(key, source, what);
	status = snapshot_meta(checker->view.snapshot, key, out);
	if (status != CX_OK) {
		*out = (struct span){ NULL, 0 };
	}
	return check_failed(checker, status) ? status : CX_OK;
}

static void look_skipped(struct checker *checker, const struct source_info *source)
{
	struct finding finding = { .directory = source->name };
	struct skipped item;
	struct span list;
	size_t more = 0;
	char number[24];

	if (get_note(checker, source->id, SYNC_NOTES_SKIPPED, &list) != CX_OK) {
		return;
	}
	while (skipped_next(&list, &item)) {
		if (span_is_empty(item.dn) && span_is_empty(item.why)) {
			more++;
			continue;
		}
		finding.dn = item.dn;
		finding.detail = item.why;
		CHECK_FOUND(checker, &finding, "{} ({}): {}", item.dn,
		    span_of(source->name), item.why);
	}
	if (more > 0) {
		snprintf(number, sizeof(number), "%zu", more);
		finding = (struct finding){ .directory = source->name, .count = more };
		CHECK_FOUND(checker, &finding,
		    "{}: and {} more, of which no reason was kept (see the log)",
		    span_of(source->name), span_of(number));
	}
}

static void skipped_entry(struct checker *checker)
{
	each_source(checker, look_skipped);
}

/* The address that people know it by, whoever has it. */
static struct span first_address(const struct recipient *recipient)
{
	struct values lists[] = { recipient->primaries, recipient->mails,
		recipient->proxies };
	struct span value;
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (values_next(&lists[i], &value)) {
			return value;
		}
	}
	return recipient->target;
}

static void look_held(struct checker *checker, const struct source_info *source)
{
	struct record_id id = { .source = source->id };
	char command[128];
	const uint8_t *uuid;
	struct span list;

	if (get_note(checker, source->id, SYNC_NOTES_HELD, &list) != CX_OK) {
		return;
	}
	snprintf(command, sizeof(command), "coexistctl accept-refresh %s",
	    source->name);
	while (held_next(&list, &uuid)) {
		struct finding finding = { .directory = source->name,
			.command = command };
		struct recipient recipient;
		struct record record;
		enum status status;

		memcpy(id.uuid, uuid, sizeof(id.uuid));
		status = snapshot_record(checker->view.snapshot, &id, &record);
		if (check_failed(checker, status) || status != CX_OK) {
			continue;
		}
		finding.dn = record_first(&record, TAG_DN);
		if (recipient_decode(&record, &recipient) == CX_OK) {
			finding.address = first_address(&recipient);
			finding.detail = recipient.name;
			CHECK_FOUND(checker, &finding, "{} ({}): {} {}", finding.dn,
			    span_of(source->name), finding.address, finding.detail);
		} else {
			CHECK_FOUND(checker, &finding, "{} ({})", finding.dn,
			    span_of(source->name));
		}
	}
}

static void removal_kept_back(struct checker *checker)
{
	each_source(checker, look_held);
}

static const struct check checks[] = {
	{ "syncdDown", "coexist-syncd does not run", syncd_down, NULL },
	{ "directoryNotLoaded", "directories that were never loaded",
	    directory_not_loaded, NULL },
	{ "directoryStale", "directories that were not heard of for too long",
	    directory_stale, NULL },
	{ "directoryError", "directories with an error", directory_error, NULL },
	{ "removalKeptBack",
	    "removals that are kept back, as they are suspiciously many",
	    removal_kept_back, NULL },
	{ "skippedEntry", "entries that cannot be used", skipped_entry, NULL },
};

const struct check_group check_directories = { checks,
	sizeof(checks) / sizeof(checks[0]) };
