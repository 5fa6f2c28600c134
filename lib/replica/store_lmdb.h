#ifndef CX_STORE_LMDB_H
#define CX_STORE_LMDB_H

#include <lmdb.h>
#include <pthread.h>
#include <sys/types.h>

#include "replica/index.h"
#include "replica/store.h"
#include "replica/store_load.h"
#include "replica/store_write.h"

/*
 * What the reading and the writing side of the replica share; private to the files
 * store*.c, the only ones that know LMDB.
 *
 *   store_env.c    an open replica file, shared by all who use it in this process
 *   store_pool.c   its snapshots: at rest, in use, held off
 *   store_head.c   what is kept about the replica as a whole: sources, generation
 *   store.c        readers: following `current`, beginning and ending snapshots
 *   store_lookup.c readers: look-ups in a snapshot
 *   store_watch.c  readers: following while idle
 *   store_check.c  whether a file is sound, before it is written
 *   store_file.c   the writer's files: making, publishing, removing
 *   store_txn.c    the writer's transactions, and values by their keys in them
 *   store_write.c  records and their index entries
 *   store_meta.c   the writer's values beside the data, and the table of sources
 *   store_counts.c how many records there are
 *   store_readers.c who holds snapshots for too long
 *   store_repair.c what a damaged record leaves behind when it goes
 *   store_load.c   loading a directory: its records, collected and sorted in runs
 *                  (load_run.c, load_sort.c)
 *   store_load_merge.c  and merged into a new file (store_load_streams.c: what comes in,
 *                  store_load_append.c: what goes out)
 */

/* Named databases: one for each index, in order of enum index_kind, and these. */
enum store_db {
	DB_REC = INDEX_COUNT, /* id -> record */
	DB_SHAPE,             /* shape of address spaces -> number of spaces, 32 bits */
	DB_META,
	DB_COUNT
};

/* Keys of DB_META that are the store's own. */
#define META_FORMAT "format" /* 32 bits, little-endian; read before anything else */
#define META_HEAD   "head"
#define META_COUNTS "counts"

#define STORE_CURRENT "current"

/*
 * Address space set aside for the file, not disk; it doubles when half full. 16 GiB is
 * some 10 million entries.
 */
#if SIZE_MAX > 0xffffffff
# define STORE_MAP_SIZE ((size_t)1 << 34)
#else
# define STORE_MAP_SIZE ((size_t)1 << 28)
#endif
#define STORE_MAX_READERS 512

/* --- store_env.c ------------------------------------------------------------------ */

/*
 * An open replica file. LMDB loses its locks, and with them its consistency, when a
 * process opens one file twice; so all readers and the writer of a process share
 * one, found by device and inode in a list. It is closed when the last user has
 * released it and the last snapshot has ended.
 */
struct store_env {
	struct store_env *next;
	dev_t device;
	ino_t inode;
	pid_t pid;
	bool is_writable;
	char *path;

	MDB_env *mdb; /* NULL: it could not be opened again; see env_reopen() */
	MDB_dbi dbi[DB_COUNT];

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	unsigned refs;          /* changed under the list's lock too */
	unsigned active;        /* snapshots in use */
	bool is_held;           /* nobody may begin a snapshot now */
	bool is_closed;         /* closed under its users: acquire it again */
	struct snapshot *spare; /* snapshots at rest, for any thread */
	unsigned spare_count;
};

enum env_mode {
	ENV_READ,
	ENV_WRITE,  /* a replica that is there */
	ENV_CREATE, /* an empty file: makes the databases */
};

/*
 * CX_OK; CX_NOTFOUND: no such file; CX_EFORMAT: not a replica of STORE_FORMAT;
 * CX_ECONF: readers' locks are off here; CX_ETEMP, CX_EIO, CX_ENOMEM.
 */
enum status env_acquire(const char *path, enum env_mode, size_t map_size,
    struct store_env **out, struct errbuf *);
void env_release(struct store_env *);

/* The same for a reader; as root with the rights of the owner of `directory`, which `path` is in. */
enum status store_acquire_as_owner(const char *directory, const char *path,
    struct store_env **out, struct errbuf *);

const char *env_database_name(unsigned db);

/*
 * Closes and opens a file that LMDB will have no more to do with, because the disk refused a
 * write that it could not take back. Its users stay. On failure it is to be tried again.
 */
enum status env_reopen(struct store_env *, struct errbuf *);

/* Closes the file under its users; held, or nobody's yet. */
void env_close(struct store_env *);

/* Frees it if nobody has it any more; it may be gone already. */
void env_forget(const struct store_env *);

/* The one place where LMDB's results become ours; `err` may be NULL. */
enum status lmdb_status(int rc, struct errbuf *err, const char *what);

static inline MDB_val val_of(struct span s)
{
	return (MDB_val){ s.len, (void *)(uintptr_t)s.ptr };
}

static inline struct span span_of_val(MDB_val v)
{
	return (struct span){ v.mv_data, v.mv_size };
}

/* --- store_pool.c ----------------------------------------------------------------- */

/* Keeps others from beginning snapshots and waits until none is in use; false: it won't. */
bool env_hold(struct store_env *);
void env_resume(struct store_env *);

/* A transaction of the writer's may double the map when it is over half full. */
enum status env_make_room(struct store_env *, bool is_full, struct errbuf *);

/* A snapshot of this file. CX_NOTFOUND: it was closed under us, acquire it again. */
enum status env_snapshot(struct store_env *, struct snapshot **out, struct errbuf *);

void env_snapshot_end(struct snapshot *);

void snapshot_free(struct snapshot *);

/* --- store_head.c ----------------------------------------------------------------- */

struct store_head {
	uint64_t generation;
	size_t source_count;
	struct source_info sources[STORE_SOURCES_MAX];
};

/* Longest stored form. */
#define HEAD_SIZE_MAX \
 (9 + STORE_SOURCES_MAX * (11 + sizeof(((struct source_info *)0)->name)))

size_t head_encode(const struct store_head *, uint8_t out[HEAD_SIZE_MAX]);
enum status head_decode(struct span, struct store_head *out);
struct source_info *head_find(struct store_head *, uint8_t source);

/* --- store.c, store_lookup.c ------------------------------------------------------ */

struct snapshot {
	struct store_env *env;
	struct snapshot *next; /* while at rest */
	MDB_txn *txn;
	MDB_cursor *cursors[DB_COUNT]; /* opened at first use, kept */
	uint32_t ready;                /* bit n: cursors[n] belongs to this snapshot */
	struct store_head head;
	uint8_t precedence[256]; /* of each source id */
};

/* Looks at the link if it is time to. What the last look at it came to, and why. */
enum status store_look(struct store *, struct errbuf *);

/* What is left of a failure for readers: CX_NOTFOUND, CX_ETEMP or CX_EFORMAT. */
enum status reader_status(enum status);

/* directory/name, to be freed; NULL: no memory. */
char *store_path(const char *directory, const char *name);
/* The link `current`, read: the name of a data file. CX_NOTFOUND, CX_EFORMAT, CX_EIO. */
#define STORE_NAME_MAX 64
enum status store_read_current(const char *directory, char out[STORE_NAME_MAX]);
/* "data-17.mdb" -> 17; 0: not such a name. `suffix` is what must follow the name. */
unsigned long store_file_number(const char *name, const char *suffix);

/* --- store_check.c ---------------------------------------------------------------- */

/*
 * Walks the file in force, which nobody must write meanwhile, in a child. CX_EFORMAT: it is
 * damaged; CX_ETEMP: no child. CX_OK also where opening it will tell better what is wrong.
 */
enum status writer_check_file(struct store_writer *, struct errbuf *);

/* --- store_file.c, store_txn.c, store_meta.c -------------------------------------- */

struct store_writer {
	char *directory;
	int directory_fd;
	int lock_fd;
	size_t map_size;
	struct store_env *live;
	char live_name[STORE_NAME_MAX];
	struct store_env *build; /* NULL: none */
	char build_name[STORE_NAME_MAX];

	MDB_txn *txn;        /* NULL: none */
	enum status failure; /* of this transaction: it cannot be committed */
	bool is_changed;     /* records or sources */
	bool are_counts_changed;
	bool was_full; /* the last transaction ran out of map */
	bool must_reopen; /* the file in force: LMDB is in no state to go on with it */
	bool may_be_damaged; /* a failure since the last look was of that kind */
	bool is_build_changed; /* a load was put into the build; the next commit tells */
	store_progress *progress; /* NULL: none */
	void *progress_context;
	unsigned work; /* counts what gets on */
	struct store_head head;
	uint64_t counts[256][RECORD_CONTAINER + 1]; /* by source and kind */
	struct index_set before, after;
	struct held_snapshot *held; /* seen by store_old_readers() */
	size_t held_count, held_room;
	struct record_id *suspects; /* replaced or removed, of which the old bytes were damaged */
	size_t suspect_count, suspect_room;
};

/* As store_writer_open(), with the size of a new map. */
enum status store_writer_open_sized(const char *directory, size_t map_size,
    struct store_writer **out, bool *is_new, struct errbuf *);

/* As store_works(), of work that is seldom and takes long. */
void store_lives(struct store_writer *);

/* Makes the file in force usable again where it has to be opened anew. */
enum status writer_recover(struct store_writer *, struct errbuf *);

/*
 * A new, empty file for a build; what there was of one is gone. CX_ENOMEM, CX_EIO.
 */
enum status writer_make_build(struct store_writer *, size_t map_size, struct errbuf *);

/* The file that the writer writes to. */
static inline struct store_env *writer_env(const struct store_writer *writer)
{
	return writer->build ? writer->build : writer->live;
}

MDB_dbi writer_dbi(const struct store_writer *, unsigned db);
/*
 * Notes a failure, and returns it: one in the middle of a change leaves record and indexes
 * out of step, and the transaction is lost, whatever is done next.
 */
enum status writer_failed(struct store_writer *, enum status);
enum status writer_db_failed(struct store_writer *, int rc);
enum status writer_get(struct store_writer *, unsigned db, struct span key,
    struct span *out);
enum status writer_put(struct store_writer *, unsigned db, struct span key,
    struct span);
/* The writer's `counts`, from and to what is stored. */
enum status writer_load_counts(struct store_writer *);
enum status writer_store_counts(struct store_writer *);
enum status writer_delete(struct store_writer *, unsigned db, struct span key);
enum status writer_put_head(struct store_writer *);
/* Counts the spaces of a shape, so that readers only ask for shapes in use. */
enum status writer_count_shape(struct store_writer *, struct span shape, int change);

/* Notes a record whose index entries cannot be told from its old bytes; CX_ENOMEM. */
enum status writer_suspect(struct store_writer *, const struct record_id *);
/* Removes the entries of those noted that their new bytes do not have. Before the commit. */
enum status writer_repair(struct store_writer *);

/* --- store_load_append.c ---------------------------------------------------------- */

/* Appends to the databases of the build, in order of keys, in transactions of its own. */
struct appender {
	struct store_writer *writer; /* these two are the caller's to set */
	struct errbuf *err;
	unsigned db;
	MDB_cursor *cursor; /* NULL: none open */
	size_t unsaved;	    /* bytes in this transaction */
	size_t page_room, used;
	size_t last_len;
	char last_key[INDEX_KEY_MAX];
	char filler[INDEX_KEY_MAX];
};
/* A transaction of the writer's (writer->txn). */
enum status appender_begin(struct appender *);
enum status appender_commit(struct appender *);
enum status appender_open(struct appender *, unsigned db);
void appender_close(struct appender *);
/* May end the transaction and begin another. */
enum status appender_add(struct appender *, struct span key, struct span value);
struct span appender_last_key(const struct appender *);

/* --- store_load.c, store_load_merge.c --------------------------------------------- */

struct load_run;
/* As store_load_new(), with the most records of a run. */
enum status store_load_new_sized(struct store_writer *, uint8_t source,
    size_t run_records_max, struct store_load **out, struct errbuf *);
/* Makes the build of sorted runs and of what other sources have. */
enum status load_merge(struct store_writer *, uint8_t source, struct load_run **runs,
    size_t run_count, struct errbuf *);

#endif
