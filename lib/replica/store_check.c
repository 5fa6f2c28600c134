#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "replica/store_write.h"

/*
 * Whether all of a replica file can be walked. LMDB trusts its pages: of one that is damaged it
 * reads beyond the end, or gives up with an assertion. So that is done by a child, which
 * may die of it; only then does the writer open the file itself.
 */
enum {
	CHILD_SOUND = 0,
	CHILD_DAMAGED = 1, /* also what a sanitizer exits with */
	CHILD_FAILED = 2,  /* it cannot be told */
};

/* Databases of LMDB's own. */
enum {
	DBI_FREE = 0
};

struct walk {
	MDB_env *mdb;
	MDB_txn *txn;
	unsigned sum; /* of all bytes, so that all are read */
};

static void read_all(struct walk *walk, const MDB_val *bytes)
{
	const volatile uint8_t *p = bytes->mv_data;

	for (size_t i = 0; i < bytes->mv_size; i++) {
		walk->sum += p[i];
	}
}

/* The size of the values of an index; 0: any. */
static size_t value_size(unsigned db)
{
	return db == INDEX_SPACE ? INDEX_SPACE_SIZE : db < INDEX_COUNT ? INDEX_VALUE_SIZE : 0;
}

static bool is_entry_sound(unsigned db, const MDB_val *key, const MDB_val *value)
{
	return (db != DB_REC || key->mv_size == INDEX_ID_SIZE) &&
	       (value_size(db) == 0 || value->mv_size == value_size(db));
}

/* Every entry, in order of keys. */
static int walk_database(struct walk *walk, unsigned db)
{
	char last[INDEX_KEY_MAX];
	size_t last_len = 0;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_dbi dbi;
	int rc = mdb_dbi_open(walk->txn, env_database_name(db), 0, &dbi);

	if (rc == MDB_SUCCESS) {
		rc = mdb_cursor_open(walk->txn, dbi, &cursor);
	}
	while (rc == MDB_SUCCESS &&
	       (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
		read_all(walk, &key);
		read_all(walk, &value);
		if (key.mv_size > sizeof(last) || !is_entry_sound(db, &key, &value) ||
		    span_compare((struct span){ last, last_len }, span_of_val(key)) > 0) {
			return MDB_CORRUPTED;
		}
		memcpy(last, key.mv_data, key.mv_size);
		last_len = key.mv_size;
	}
	return rc;
}

/* The pages that may be used again: of each transaction a number, then so many. */
static int walk_free_pages(struct walk *walk)
{
	MDB_cursor *cursor;
	MDB_envinfo info;
	MDB_val key, value;
	int rc = mdb_cursor_open(walk->txn, DBI_FREE, &cursor);

	mdb_env_info(walk->mdb, &info);
	while (rc == MDB_SUCCESS &&
	       (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
		const size_t *pages = value.mv_data;

		if (value.mv_size < sizeof(*pages) || value.mv_size % sizeof(*pages) ||
		    pages[0] > value.mv_size / sizeof(*pages) - 1) {
			return MDB_CORRUPTED;
		}
		for (size_t i = 1; i <= pages[0]; i++) {
			if (pages[i] < 2 || pages[i] > info.me_last_pgno) {
				return MDB_CORRUPTED;
			}
		}
	}
	return rc;
}

/* No locks: nobody writes but us. What is left open goes with the process. */
static int walk_file(const char *path)
{
	struct walk walk = { .sum = 0 };
	int rc = mdb_env_create(&walk.mdb);

	if (rc == MDB_SUCCESS) {
		mdb_env_set_maxdbs(walk.mdb, DB_COUNT);
		rc = mdb_env_open(walk.mdb, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0);
	}
	if (rc == MDB_SUCCESS) {
		rc = mdb_txn_begin(walk.mdb, NULL, MDB_RDONLY, &walk.txn);
	}
	if (rc != MDB_SUCCESS) {
		return rc;
	}
	rc = walk_free_pages(&walk);
	for (unsigned db = 0; db < DB_COUNT && rc == MDB_NOTFOUND; db++) {
		rc = walk_database(&walk, db);
	}
	return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

static int child_status(int rc)
{
	switch (rc) {
	case MDB_SUCCESS: return CHILD_SOUND;
	case EACCES:
	case EPERM:
	case ENOENT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN: return CHILD_FAILED;
	default: return CHILD_DAMAGED;
	}
}

/* What LMDB dies of on a damaged file. */
static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

#define DEADLY_COUNT (sizeof(deadly) / sizeof(deadly[0]))

/* True: damaged. A child that was killed has found nothing. */
static bool has_found_damage(int result)
{
	if (WIFEXITED(result)) {
		return WEXITSTATUS(result) == CHILD_DAMAGED;
	}
	for (size_t i = 0; i < DEADLY_COUNT; i++) {
		if (WTERMSIG(result) == deadly[i]) {
			return true;
		}
	}
	return false;
}

/* The parent says what is wrong; nobody else is to tell of this death, nor to keep a core. */
static void die_quietly(void)
{
	static const struct rlimit none = { 0, 0 };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < DEADLY_COUNT; i++) {
		(void)signal(deadly[i], SIG_DFL);
	}
	if (null >= 0) {
		(void)dup2(null, STDERR_FILENO);
	}
}

static enum status check_file(const char *path, struct errbuf *err)
{
	int result;
	pid_t pid = fork();

	if (pid == 0) {
		die_quietly();
		_exit(child_status(walk_file(path)));
	}
	if (pid < 0) {
		errbuf_set(err, "check of the replica: %s", strerror(errno));
		return CX_ETEMP;
	}
	while (waitpid(pid, &result, 0) < 0) {
		/* Somebody takes what children say: then nothing is known. */
		if (errno != EINTR) {
			return CX_OK;
		}
	}
	if (!has_found_damage(result)) {
		return CX_OK;
	}
	errbuf_set(err, "%s: damaged", path);
	return CX_EFORMAT;
}

enum status writer_check_file(struct store_writer *writer, struct errbuf *err)
{
	char *path = store_path(writer->directory, writer->live_name);

	if (!path) {
		return CX_ENOMEM;
	}
	enum status status = check_file(path, err);

	free(path);
	return status;
}

enum status store_look_for_damage(struct store_writer *writer, struct errbuf *err)
{
	enum status status = CX_OK;

	assert(!writer->txn);
	if (!writer->may_be_damaged) {
		return CX_OK;
	}
	status = writer_check_file(writer, err);
	if (status == CX_OK) {
		/* What opening a file asks of it besides. */
		status = store_begin(writer, err);
		store_abort(writer);
	}
	writer->may_be_damaged = status != CX_OK;
	return status;
}
