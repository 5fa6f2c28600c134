#include "config.h"

#include "syncd/conflicts.h"

#include "replica/index.h"
#include "replica/store.h"

/* Owners of one address that are looked at. */
enum {
	OWNERS_MAX = 4
};

struct search {
	uint8_t source; /* those of other directories among themselves are not its news */
	struct snapshot *snapshot;
	struct store_writer *writer; /* for telling that we get on */
	conflict_found *found;
	void *context;
	unsigned count;
};

static const char *directory_name(struct search *search, uint8_t source)
{
	size_t count;
	const struct source_info *sources = snapshot_sources(search->snapshot, &count);

	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == source) {
			return sources[i].name;
		}
	}
	return "";
}

static struct span dn_of(struct search *search, const struct record_id *id)
{
	struct record record;

	if (snapshot_record(search->snapshot, id, &record) != CX_OK) {
		return (struct span){ NULL, 0 };
	}
	return record_first(&record, TAG_DN);
}

static enum status find_owners(struct search *search, bool is_login, struct span text,
    struct address_owner *owners, size_t *count)
{
	struct key key;

	if (is_login) {
		return snapshot_login_owners(search->snapshot, text, owners, OWNERS_MAX,
		    count);
	}
	if (text.len >= sizeof(key.bytes)) {
		return CX_NOTFOUND;
	}
	key.len = text.len;
	memcpy(key.bytes, text.ptr, text.len);
	key.bytes[text.len] = '\0';
	return snapshot_address_owners(search->snapshot, &key, owners, OWNERS_MAX, count);
}

/* The owners come best first: each behind the first is told of. */
static void look_up(struct search *search, bool is_login, struct span text)
{
	struct address_owner owners[OWNERS_MAX];
	size_t count = 0;

	if (find_owners(search, is_login, text, owners, &count) != CX_OK) {
		return;
	}
	for (size_t i = 1; i < count && i < OWNERS_MAX; i++) {
		struct conflict conflict = {
			.is_login = is_login,
			.what = text,
			.is_ambiguous = owners[i].id.source == owners[0].id.source,
			.winner = dn_of(search, &owners[0].id),
			.loser = dn_of(search, &owners[i].id),
			.directory = directory_name(search, owners[i].id.source),
			.winning_directory =
			    directory_name(search, owners[0].id.source),
		};

		bool is_news = owners[0].id.source == search->source ||
			       owners[i].id.source == search->source;

		if (is_news && owners[i].rank == RANK_OWN && search->count++ < CONFLICTS_MAX) {
			search->found(search->context, &conflict);
		}
	}
}

/* A key with one entry is no conflict, so few are looked up. */
static bool look_at_address(void *context, struct span key, size_t entries)
{
	struct search *search = context;

	store_works(search->writer);
	if (entries > 1) {
		look_up(search, false, key);
	}
	return search->count < CONFLICTS_MAX;
}

static bool look_at_login(void *context, struct span key, size_t entries)
{
	struct search *search = context;

	store_works(search->writer);
	if (entries > 1) {
		look_up(search, true, key);
	}
	return search->count < CONFLICTS_MAX;
}

static void look_at(struct search *search, struct index_set *set)
{
	store_works(search->writer);
	for (size_t i = 0; i < set->count && search->count < CONFLICTS_MAX; i++) {
		const struct index_entry *entry = &set->entries[i];
		bool is_login = entry->kind == INDEX_LOGIN;

		if (is_login ||
		    (entry->kind == INDEX_ADDR && entry->value[0] == RANK_OWN)) {
			look_up(search, is_login, index_key(set, entry));
		}
	}
}

void conflicts_find(const char *replica, struct store_writer *writer,
    const struct batch *batch, conflict_found *found, void *context)
{
	struct search search = { .source = batch->source,
		.writer = writer,
		.found = found,
		.context = context };
	struct record_id id = { .source = batch->source };
	struct index_set set;
	struct store *store;
	struct errbuf err;

	if (store_open(replica, &store, &err) != CX_OK) {
		return;
	}
	index_init(&set);
	if (snapshot_begin(store, &search.snapshot, &err) == CX_OK) {
		if (batch->load) {
			snapshot_each_key(search.snapshot, KEYS_ADDRESS,
			    look_at_address, &search);
			snapshot_each_key(search.snapshot, KEYS_LOGIN, look_at_login,
			    &search);
		}
		for (size_t i = 0; i < batch->count; i++) {
			const struct change *change = &batch->changes[i];

			memcpy(id.uuid, change->uuid, sizeof(id.uuid));
			if (change->is_changed &&
			    index_build(&id, batch_record(batch, change), &set) ==
				CX_OK) {
				look_at(&search, &set);
			}
		}
		snapshot_end(search.snapshot);
	}
	index_release(&set);
	store_close(store);
}
