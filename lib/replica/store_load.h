#ifndef CX_STORE_LOAD_H
#define CX_STORE_LOAD_H

#include "replica/store_write.h"

/*
 * Loading all records of a directory into a new replica file, for a first load or a
 * full refresh, overlapped with receiving them. Records come in any order; a thread of the
 * load's own makes their index entries and sorts them in runs, which are kept in nameless
 * files beside the replica (value/spool.h), so that memory does not grow with the
 * directory. store_load_build() merges the runs with what other directories have and appends
 * everything in order of keys: full pages, no random access.
 *
 * Order: store_load_new(), store_load_put()..., store_load_build(), store_load_free(). One
 * thread; until the build nothing of the writer's is touched, and it may be used for
 * other things.
 *
 * A uuid that was put before: the later record counts. What the replica has of this source
 * is never read, so that damage in it goes with it.
 */
struct store_load;

/* The writer is borrowed until store_load_free(). CX_ENOMEM; CX_ETEMP: no thread. */
enum status store_load_new(struct store_writer *, uint8_t source, struct store_load **out,
    struct errbuf *);
/*
 * CX_EINVAL: not a record, nothing was put. CX_ENOMEM, CX_EIO (disk full): the load
 * is lost, and store_load_build() will say why.
 */
enum status store_load_put(struct store_load *, const uint8_t uuid[16],
    struct span record);
/* How many were put, duplicates too. */
size_t store_load_count(const struct store_load *);

/*
 * Once, after the last put. After it the writer stands as after store_writer_build() with these
 * records put and every other record of `source` removed: the next store_commit() raises
 * the generation (do one before publishing); go on with store_begin() and store_put(),
 * store_put_meta() etc., then store_writer_publish() or store_writer_discard(). An open
 * transaction is aborted. On failure there is no build: CX_EIO, CX_ENOMEM; CX_EFORMAT:
 * what other directories have in the replica is damaged.
 */
enum status store_load_build(struct store_load *, struct errbuf *);

/* At any time: what was put is forgotten; a finished build stays. NULL is fine. */
void store_load_free(struct store_load *);

#endif
