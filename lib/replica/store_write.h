#ifndef CX_STORE_WRITE_H
#define CX_STORE_WRITE_H

#include "replica/store.h"

/*
 * The replica, as its only writer (syncd) sees it. One process holds the writer's lock
 * (a file of its own beside the replica); the functions are for one thread.
 *
 * Everything between begin and commit becomes visible at once, with the cookie
 * (store_put_meta) of the data it describes. Each commit that changed a record adds 1
 * to the generation. store_put()/store_remove() keep every index in step; an index
 * entry is removed only where it still belongs to the record that goes. Putting
 * a record that is byte for byte the stored one changes nothing.
 *
 * A failure other than CX_EINVAL and CX_NOTFOUND loses the transaction: what follows may
 * be called or not, store_commit() undoes it and returns that failure. CX_EFORMAT:
 * the file is damaged. A record that is damaged can be replaced and removed as any
 * other: the commit then takes away what its lost version had in the indexes, which
 * costs a walk through them.
 */
struct store_writer;

/*
 * Opens, or makes, the replica in `directory`. One of an unknown format is put
 * aside for a new, empty one (*is_new is set: load everything). Files are made for
 * group readers: data 0640, lock 0660, also where they were others. CX_ETEMP: another writer has
 * it; CX_ECONF: `directory` is not one and cannot become one; CX_EIO.
 */
enum status store_writer_open(const char *directory, struct store_writer **out,
    bool *is_new, struct errbuf *);
void store_writer_close(struct store_writer *);

/*
 * A second, unpublished replica file to load into, for a first load or a refresh that
 * changes much. It starts as a copy of the one in force, packed in order of keys, other
 * directories included; until it is published or discarded, all that follows, look-ups and values
 * too, goes to it, in as many transactions as one likes (they cost no fsync).
 * store_writer_publish() makes it the one that readers see and the one this writer goes on
 * with; if it fails, the old one stays in force and the build can be published again.
 * store_writer_discard() drops it. Each ends an open transaction unsaved.
 */
enum status store_writer_build(struct store_writer *, struct errbuf *);
enum status store_writer_publish(struct store_writer *, struct errbuf *);
void store_writer_discard(struct store_writer *);
/*
 * The same build without some records: of a source these kinds (1 << kind), or everything, what is
 * damaged too. For very many, which are slow to remove and take memory. The next
 * store_commit() raises the generation.
 */
#define STORE_EVERYTHING 0xff
struct store_left_out {
	uint8_t kinds[256]; /* by source */
};
enum status store_writer_build_without(struct store_writer *, const struct store_left_out *,
    struct errbuf *);

enum status store_begin(struct store_writer *, struct errbuf *);
/*
 * On failure everything since store_begin() is undone. CX_ETEMP where the map was full: the
 * next store_begin() makes it larger, so the same changes can be tried again.
 */
enum status store_commit(struct store_writer *, struct errbuf *);
void store_abort(struct store_writer *);
/* How many damaged records the last transaction replaced or removed. */
size_t store_repaired(const struct store_writer *);

/* *changed (may be NULL): the stored record is another now. CX_EINVAL: not a record. */
enum status store_put(struct store_writer *, const struct record_id *, struct span record,
    bool *changed);
/* CX_NOTFOUND: there was none. */
enum status store_remove(struct store_writer *, const struct record_id *);
/* The stored bytes, valid until the next change in this transaction. */
enum status store_get(struct store_writer *, const struct record_id *, struct span *out);
/*
 * Outside a transaction: whether just these bytes are stored. False also where that cannot
 * be told.
 */
bool store_holds(struct store_writer *, const struct record_id *, struct span record);
/* Every id of a source with its record; the callback must not change the store. */
typedef bool store_visit(void *context, const struct record_id *, struct span record);
enum status store_each(struct store_writer *, uint8_t source, store_visit *, void *context);
size_t store_count(struct store_writer *, uint8_t source, enum record_kind);
/* CX_OK: a recipient of some source has the DN; CX_NOTFOUND. */
enum status store_has_dn(struct store_writer *, struct span dn_key);
/* Records that refer to a DN (alternate recipients, members): for re-reading them. */
enum status store_referrers(struct store_writer *, struct span dn_key, store_visit *,
    void *context);

/*
 * Values kept beside the data. Empty span: remove. What is under "src/N/" goes when
 * source N is no longer named. CX_EINVAL: a name that the store uses itself.
 */
enum status store_put_meta(struct store_writer *, const char *key, struct span value);
enum status store_get_meta(struct store_writer *, const char *key, struct span *out);

/*
 * The directories in order of precedence. One whose `id` is that of a known source is that
 * one, maybe by a new name; else (0) a name that is known keeps its number, and a new one gets
 * a free one. All are written into `sources[].id`. Records of sources that are no longer there
 * are removed, values under "src/N/" too. last_contact of known ones is kept, is_loaded
 * too, but for one that now provides more than was asked of it before. In a transaction.
 * CX_EINVAL: more than STORE_SOURCES_MAX, or a name that is empty or given twice.
 */
enum status store_set_sources(struct store_writer *, struct source_info *sources,
    size_t count);
/* Those in force, valid until they are set again. In a transaction. */
const struct source_info *store_sources(const struct store_writer *, size_t *count);
/* Notes a proof of contact; `is_loaded` never falls back. In a transaction. */
enum status store_set_contact(struct store_writer *, uint8_t source, int64_t when,
    bool is_loaded);

/*
 * `tell` is called now and then while anything here goes on and gets on: for a service manager
 * that takes silence for a standstill. store_works() says that the caller does. It must
 * not use the writer. NULL: nobody.
 */
typedef void store_progress(void *context);
void store_on_progress(struct store_writer *, store_progress *tell, void *context);
void store_works(struct store_writer *);

/*
 * Looks, if something failed since the last look that damage may be the reason of, whether all
 * of the file in force can be read: in a child, 0.3 s for a million recipients in memory.
 * No transaction may be open. CX_EFORMAT: it is damaged, and stays so until
 * store_writer_open() makes a new one; CX_ETEMP: not to be told now, it is looked again.
 */
enum status store_look_for_damage(struct store_writer *, struct errbuf *);

/* Frees the slots of readers that died. Every 30 s and before large transactions. */
void store_check_readers(struct store_writer *);

/*
 * Readers that have held a snapshot for longer than `age_ms`, while changes were written: nothing
 * that was given up since can be used again, and the file grows. Called every few seconds
 * (a snapshot is as old as when this first saw it); `now_ms` never falls. Each is told of when
 * it is over that age, whenever the time has doubled, and (held_ms -1) when it is no more.
 */
struct store_old_reader {
	long pid;
	int64_t held_ms;
	uint64_t file_bytes; /* of the replica, in use or not */
};
typedef void store_old_reader_tell(void *context, const struct store_old_reader *);
void store_old_readers(struct store_writer *, int64_t now_ms, int64_t age_ms,
    store_old_reader_tell *, void *context);

#endif
