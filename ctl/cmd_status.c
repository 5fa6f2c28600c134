#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "ctl/command.h"
#include "ctl/control.h"
#include "ctl/json.h"
#include "ctl/status_text.h"
#include "ctl/watch.h"
#include "decide/age.h"
#include "replica/recipient.h"
#include "replica/sync_notes.h"

/* Kinds of entries that are counted; the last is for records that cannot be read. */
enum counted {
	COUNT_MAILBOX,
	COUNT_CUSTOM,
	COUNT_GROUP,
	COUNT_DOMAIN,
	COUNT_CONNECTOR,
	COUNT_DAMAGED,
	COUNT_KINDS
};
static const char *const counted_names[COUNT_KINDS] = {
	[COUNT_MAILBOX] = "mailboxes",
	[COUNT_CUSTOM] = "customRecipients",
	[COUNT_GROUP] = "groups",
	[COUNT_DOMAIN] = "domains",
	[COUNT_CONNECTOR] = "connectors",
	[COUNT_DAMAGED] = "damaged",
};

struct counts {
	struct snapshot *snapshot;
	size_t of[STORE_SOURCES_MAX][COUNT_KINDS]; /* by precedence */
};

static enum counted kind_of(const struct record *record)
{
	struct recipient recipient;

	if (record->kind == RECORD_DOMAIN) {
		return COUNT_DOMAIN;
	}
	if (record->kind == RECORD_CONNECTOR) {
		return COUNT_CONNECTOR;
	}
	if (recipient_decode(record, &recipient) != CX_OK) {
		return COUNT_DAMAGED;
	}
	switch (recipient.kind) {
	case RECIPIENT_MAILBOX: return COUNT_MAILBOX;
	case RECIPIENT_CUSTOM: return COUNT_CUSTOM;
	case RECIPIENT_GROUP: return COUNT_GROUP;
	}
	return COUNT_DAMAGED;
}

static bool count_record(void *context, const struct record_id *id,
    const struct record *record)
{
	struct counts *counts = context;
	unsigned precedence = snapshot_precedence(counts->snapshot, id->source);

	if (precedence < STORE_SOURCES_MAX && record->kind != RECORD_CONTAINER) {
		counts->of[precedence][kind_of(record)]++;
	}
	return true;
}

static size_t note_count(struct snapshot *snapshot, uint8_t source, const char *what,
    size_t (*count)(struct span))
{
	char key[SYNC_NOTES_KEY_MAX];
	struct span list;

	sync_notes_key(key, source, what);
	return snapshot_meta(snapshot, key, &list) == CX_OK ? count(list) : 0;
}

/* null: never, or a contact that must be a mistake. */
static json_t *age_json(const struct source_info *source)
{
	int64_t age = age_of(source, (int64_t)time(NULL));

	return age == AGE_NEVER ? json_null() : json_integer((json_int_t)age);
}

static json_t *directory_json(struct snapshot *snapshot,
    const struct source_info *source, const size_t *counts)
{
	json_t *row = json_object(), *entries = json_object();
	int kind;

	json_put(row, "name", json_string(source->name));
	json_put(row, "loaded", json_boolean(source->is_loaded));
	json_put(row, "age", age_json(source));
	for (kind = 0; kind < COUNT_KINDS; kind++) {
		json_put(entries, counted_names[kind],
		    json_integer((json_int_t)counts[kind]));
	}
	json_put(row, "entries", entries);
	json_put(row, "skipped",
	    json_integer((json_int_t)note_count(snapshot, source->id,
		SYNC_NOTES_SKIPPED, skipped_count)));
	json_put(row, "held",
	    json_integer((json_int_t)note_count(snapshot, source->id, SYNC_NOTES_HELD,
		held_count)));
	return row;
}

/* What the replica says; false: there is none. */
static bool add_replica(json_t *out, const struct conf *conf)
{
	struct counts counts = { .snapshot = NULL };
	const struct source_info *sources;
	struct store *store;
	struct errbuf err;
	json_t *replica = json_object(), *list = json_array();
	size_t count = 0, i;
	enum status status = store_open(conf->replica, &store, &err);

	if (status == CX_OK) {
		status = snapshot_begin(store, &counts.snapshot, &err);
		if (status != CX_OK) {
			store_close(store);
		}
	}
	json_put(replica, "available", json_boolean(status == CX_OK));
	if (status != CX_OK) {
		json_put(replica, "trouble", json_span(span_of(err.text)));
	} else {
		json_put(replica, "generation",
		    json_integer((json_int_t)snapshot_generation(counts.snapshot)));
		status = snapshot_each(counts.snapshot, count_record, &counts);
		sources = snapshot_sources(counts.snapshot, &count);
		for (i = 0; i < count; i++) {
			json_add(list,
			    directory_json(counts.snapshot, &sources[i], counts.of[i]));
		}
		if (status != CX_OK) {
			json_put(replica, "trouble", json_string(status_text(status)));
		}
		snapshot_end(counts.snapshot);
		store_close(store);
	}
	json_put(out, "replica", replica);
	json_put(out, "directories", list);
	return status == CX_OK;
}

/* What coexist-syncd says of itself; false: it does not answer. */
static bool add_syncd(json_t *out, const struct conf *conf)
{
	struct errbuf err;
	struct buf answer;
	json_t *syncd;
	enum status status;
	bool is_running;

	buf_init(&answer);
	status = control_ask(conf, "status", &answer, &err);
	is_running = status == CX_OK;
	syncd = is_running ? json_loadb(answer.data, answer.len, 0, NULL) : NULL;
	if (syncd == NULL) {
		syncd = json_object();
		/* Who may not ask, or waits in vain, cannot tell. */
		json_put(syncd, "running",
		    status == CX_NOTFOUND ? json_false() : json_null());
		json_put(syncd, "trouble",
		    json_span(span_of(is_running ? "unreadable answer" : err.text)));
		is_running = false;
	}
	json_put(out, "syncd", syncd);
	buf_release(&answer);
	return is_running;
}

/* What coexist-syncd says of a directory; NULL: nothing. */
static json_t *find_in_syncd(json_t *out, const char *name)
{
	json_t *list = json_object_get(json_object_get(out, "syncd"), "directories");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *row = json_array_get(list, i);
		const char *found = json_string_value(json_object_get(row, "name"));

		if (found != NULL && strcmp(found, name) == 0) {
			return row;
		}
	}
	return NULL;
}

static bool provides_recipients(const struct conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->directory_count; i++) {
		if (name != NULL && strcmp(conf->directories[i].name, name) == 0) {
			return conf->directories[i].provides_recipients;
		}
	}
	return false;
}

/* All that is known of a directory in one place; null where coexist-syncd does not answer. */
static void join_directories(json_t *out, const struct conf *conf)
{
	static const char *const keys[] = { "state", "server", "lastError" };
	json_t *list = json_object_get(out, "directories");
	size_t i, j;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *row = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(row, "name"));
		json_t *syncd = find_in_syncd(out, name);

		for (j = 0; j < sizeof(keys) / sizeof(keys[0]); j++) {
			json_t *value = json_object_get(syncd, keys[j]);

			json_put(row, keys[j],
			    value != NULL ? json_incref(value) : json_null());
		}
		json_put(row, "hints",
		    status_hints(row, &conf->settings,
			provides_recipients(conf, name)));
	}
}

static int run(const struct conf *conf, int argc, char **argv)
{
	json_t *out;
	bool as_json, is_available;

	if (!takes_json(&command_status, argc, argv, &as_json)) {
		return EX_USAGE;
	}
	out = json_object();
	is_available = add_replica(out, conf);
	(void)add_syncd(out, conf);
	join_directories(out, conf);
	json_put(out, "observe", json_boolean(conf->settings.observe));
	json_put(out, "daemons", watch_daemons(conf));
	if (as_json) {
		json_print(out, false);
	} else {
		status_print_text(out);
		json_decref(out);
	}
	return is_available ? EX_OK : EX_TEMPFAIL;
}

const struct command command_status = {
	.name = "status",
	.arguments = "[--json]",
	.help =
	    "age of the directories, entries by kind, and what coexist-syncd is doing",
	.run = run,
};
