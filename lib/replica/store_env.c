#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/store_lmdb.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct store_env *list;

/* clang-format off */
static const struct {
	const char *name;
	unsigned flags;
} databases[DB_COUNT] = {
	[INDEX_ADDR] =	    { "addr",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_LOGIN] =	    { "login",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_DN] =	    { "dn",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_REF] =	    { "ref",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_DOMAIN] =    { "domain",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_CONNECTOR] = { "connector", MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_SPACE] =	    { "space",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_NET] =	    { "net",	   MDB_DUPSORT | MDB_DUPFIXED },
	[INDEX_CERT] =	    { "cert",	   MDB_DUPSORT | MDB_DUPFIXED },
	[DB_REC] =	    { "rec",	   0 },
	[DB_SHAPE] =	    { "shape",	   0 },
	[DB_META] =	    { "meta",	   0 },
};
/* clang-format on */

const char *env_database_name(unsigned db)
{
	return databases[db].name;
}

enum status lmdb_status(int rc, struct errbuf *err, const char *what)
{
	if (rc == MDB_SUCCESS) {
		return CX_OK;
	}
	if (err) {
		/* What LMDB makes of a write that was cut short. */
		errbuf_set(err, "%s: %s%s", what, mdb_strerror(rc),
		    rc == EIO ? " (disk full?)" : "");
	}
	switch (rc) {
	case MDB_NOTFOUND:
	case ENOENT: return CX_NOTFOUND;
	case MDB_READERS_FULL:
	case MDB_MAP_FULL:
	case MDB_MAP_RESIZED:
	case MDB_TXN_FULL:
	case EAGAIN:
	case EMFILE:
	case ENFILE: return CX_ETEMP;
	case ENOMEM: return CX_ENOMEM;
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INCOMPATIBLE: return CX_EFORMAT;
	default: return CX_EIO;
	}
}

void env_close(struct store_env *env)
{
	while (env->spare) {
		struct snapshot *snapshot = env->spare;

		env->spare = snapshot->next;
		snapshot_free(snapshot);
	}
	env->spare_count = 0;
	if (env->mdb) {
		mdb_env_close(env->mdb);
		env->mdb = NULL;
	}
}

static void env_free(struct store_env *env)
{
	env_close(env);
	pthread_cond_destroy(&env->changed);
	pthread_mutex_destroy(&env->lock);
	free(env->path);
	free(env);
}

static struct store_env *env_new(const char *path)
{
	struct store_env *env = calloc(1, sizeof(*env));
	pthread_condattr_t attributes;

	if (!env) {
		return NULL;
	}
	pthread_mutex_init(&env->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&env->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	env->refs = 1;
	env->pid = getpid();
	env->path = strdup(path);
	if (!env->path) {
		env_free(env);
		return NULL;
	}
	return env;
}

static enum status check_format(struct store_env *env, MDB_txn *txn, enum env_mode mode,
    struct errbuf *err)
{
	static const uint8_t format[4] = { STORE_FORMAT & 0xff,
		STORE_FORMAT >> 8 & 0xff, STORE_FORMAT >> 16 & 0xff, 0 };
	struct span expected = { (const char *)format, sizeof(format) };
	MDB_val key = val_of(SPAN(META_FORMAT));
	MDB_val value = val_of(expected);

	if (mode == ENV_CREATE) {
		return lmdb_status(mdb_put(txn, env->dbi[DB_META], &key, &value, 0),
		    err, "new replica");
	}
	int rc = mdb_get(txn, env->dbi[DB_META], &key, &value);

	if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) {
		return lmdb_status(rc, err, "replica");
	}
	if (rc == MDB_NOTFOUND || !span_equal(span_of_val(value), expected)) {
		if (err) {
			errbuf_set(err,
			    "the replica has a format that this version does not know");
		}
		return CX_EFORMAT;
	}
	return CX_OK;
}

static enum status make_head(struct store_env *env, MDB_txn *txn, struct errbuf *err)
{
	struct store_head head = { 0 };
	uint8_t bytes[HEAD_SIZE_MAX];
	MDB_val key = val_of(SPAN(META_HEAD));
	MDB_val value = { head_encode(&head, bytes), bytes };

	return lmdb_status(mdb_put(txn, env->dbi[DB_META], &key, &value, 0), err,
	    "new replica");
}

static enum status open_databases_in(struct store_env *env, MDB_txn *txn,
    enum env_mode mode, struct errbuf *err)
{
	unsigned create = mode == ENV_CREATE ? MDB_CREATE : 0;
	enum status status = CX_OK;

	/* From the last to the first: the format is checked before what depends on it. */
	for (unsigned i = DB_COUNT; i-- > 0 && status == CX_OK;) {
		int rc = mdb_dbi_open(txn, databases[i].name,
		    databases[i].flags | create, &env->dbi[i]);

		if (rc == MDB_NOTFOUND) {
			rc = MDB_INCOMPATIBLE;
		}
		status = lmdb_status(rc, err, "replica");
		if (status == CX_OK && i == DB_META) {
			status = check_format(env, txn, mode, err);
		}
	}
	if (status == CX_OK && mode == ENV_CREATE) {
		status = make_head(env, txn, err);
	}
	return status;
}

/* Handles outlive the transaction that opened them only if that is committed. */
static enum status open_databases(struct store_env *env, enum env_mode mode,
    struct errbuf *err)
{
	unsigned flags = mode == ENV_CREATE ? 0 : MDB_RDONLY;
	MDB_txn *txn;
	int rc = mdb_txn_begin(env->mdb, NULL, flags, &txn);

	if (rc == MDB_READERS_FULL) {
		int dead;

		mdb_reader_check(env->mdb, &dead);
		rc = mdb_txn_begin(env->mdb, NULL, flags, &txn);
	}
	if (rc != MDB_SUCCESS) {
		return lmdb_status(rc, err, "replica");
	}
	enum status status = open_databases_in(env, txn, mode, err);

	if (status != CX_OK) {
		mdb_txn_abort(txn);
		return status;
	}
	return lmdb_status(mdb_txn_commit(txn), err, "replica");
}

/*
 * On a read-only file system LMDB does without the table of readers, silently, and the writer
 * then recycles pages that are being read.
 */
static enum status check_locks(struct store_env *env, struct errbuf *err)
{
	MDB_envinfo info;

	mdb_env_info(env->mdb, &info);
	if (info.me_numreaders > 0) {
		return CX_OK;
	}
	if (err) {
		errbuf_set(err,
		    "the replica's lock file is not writable (read-only file "
		    "system?): it cannot be read safely");
	}
	return CX_ECONF;
}

/* Of the two files, the one that is to blame; LMDB does not say. */
static void explain_open(const char *path, enum env_mode mode, int rc, struct errbuf *err)
{
	char lock[PATH_MAX];

	if (!err || (rc != EACCES && rc != EPERM && rc != EROFS)) {
		return;
	}
	snprintf(lock, sizeof(lock), "%s-lock", path);
	if (faccessat(AT_FDCWD, path, mode == ENV_READ ? R_OK : R_OK | W_OK,
		AT_EACCESS) < 0) {
		errbuf_set(err, "%s: %s (of the user of coexist-syncd, mode 0640)", path,
		    strerror(errno));
	} else if (faccessat(AT_FDCWD, lock, R_OK | W_OK, AT_EACCESS) < 0) {
		errbuf_set(err,
		    "%s: %s (readers write it too: of the user of coexist-syncd, mode 0660)",
		    lock, strerror(errno));
	}
}

/*
 * A file that was cut short (a copy that broke off): who reads what is missing gets SIGBUS. The last
 * pages of a sound one may be missing too, when its last transaction took them and gave
 * them up again, but no more than a few.
 */
static enum status check_length(struct store_env *env, const struct stat *info,
    const char *path, struct errbuf *err)
{
	MDB_envinfo meta;
	MDB_stat page;

	mdb_env_info(env->mdb, &meta);
	mdb_env_stat(env->mdb, &page);
	uint64_t wanted = (uint64_t)meta.me_last_pgno + 1;
	uint64_t there = (uint64_t)info->st_size / page.ms_psize;

	if (there + wanted / 8 + 16 >= wanted) {
		return CX_OK;
	}
	if (err) {
		errbuf_set(err, "%s: damaged: it was cut short", path);
	}
	return CX_EFORMAT;
}

static enum status env_open(struct store_env *env, const char *path, enum env_mode mode,
    size_t map_size, struct errbuf *err)
{
	unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (mode == ENV_READ ? MDB_RDONLY : 0);
	struct stat info;
	mdb_filehandle_t fd;
	int rc = mdb_env_create(&env->mdb);

	if (rc != MDB_SUCCESS) {
		env->mdb = NULL;
		return lmdb_status(rc, err, path);
	}
	mdb_env_set_maxdbs(env->mdb, DB_COUNT);
	mdb_env_set_maxreaders(env->mdb, STORE_MAX_READERS);
	if (mode != ENV_READ) {
		mdb_env_set_mapsize(env->mdb, map_size);
	}
	rc = mdb_env_open(env->mdb, path, flags, 0660);
	if (rc != MDB_SUCCESS) {
		enum status status = lmdb_status(rc, err, path);

		explain_open(path, mode, rc, err);
		return status;
	}
	if (mdb_env_get_fd(env->mdb, &fd) != MDB_SUCCESS || fstat(fd, &info) < 0) {
		return CX_EIO;
	}
	env->device = info.st_dev;
	env->inode = info.st_ino;
	env->is_writable = mode != ENV_READ;
	enum status status = check_length(env, &info, path, err);

	if (status == CX_OK) {
		status = open_databases(env, mode, err);
	}

	if (status == CX_OK && mode == ENV_READ) {
		status = check_locks(env, err);
	}
	return status;
}

/* Under the list's lock. */
static struct store_env *env_find(const char *path)
{
	struct stat info;
	pid_t pid = getpid();

	if (stat(path, &info) < 0) {
		return NULL;
	}
	for (struct store_env *env = list; env; env = env->next) {
		/* A child of fork() must not touch what its parent opened. */
		if (env->device == info.st_dev && env->inode == info.st_ino &&
		    env->pid == pid && !env->is_closed) {
			return env;
		}
	}
	return NULL;
}

/* Closes a read-only file under its users, who will acquire the writable one. */
static enum status env_retire(struct store_env *env, struct errbuf *err)
{
	if (!env_hold(env)) {
		errbuf_set(err, "this process is reading the replica all the time");
		return CX_ETEMP;
	}
	env_close(env);
	pthread_mutex_lock(&env->lock);
	env->is_closed = true;
	pthread_mutex_unlock(&env->lock);
	env_resume(env);
	return CX_OK;
}

static enum status env_acquire_locked(const char *path, enum env_mode mode,
    size_t map_size, struct store_env **out, struct errbuf *err)
{
	struct store_env *env = env_find(path);
	enum status status;

	if (env && (mode == ENV_READ || env->is_writable)) {
		pthread_mutex_lock(&env->lock);
		env->refs++;
		pthread_mutex_unlock(&env->lock);
		*out = env;
		return CX_OK;
	}
	if (env) {
		status = env_retire(env, err);
		if (status != CX_OK) {
			return status;
		}
	}
	env = env_new(path);
	if (!env) {
		return CX_ENOMEM;
	}
	status = env_open(env, path, mode, map_size, err);
	if (status != CX_OK) {
		env_free(env);
		return status;
	}
	env->next = list;
	list = env;
	*out = env;
	return CX_OK;
}

enum status env_acquire(const char *path, enum env_mode mode, size_t map_size,
    struct store_env **out, struct errbuf *err)
{
	pthread_mutex_lock(&list_lock);
	enum status status = env_acquire_locked(path, mode, map_size, out, err);

	pthread_mutex_unlock(&list_lock);
	return status;
}

/* Frees it if nobody has it; under the list's lock. It may be gone already. */
static void env_reap(const struct store_env *wanted)
{
	for (struct store_env **at = &list; *at; at = &(*at)->next) {
		struct store_env *env = *at;

		if (env == wanted) {
			pthread_mutex_lock(&env->lock);
			bool is_used = env->refs > 0 || env->active > 0;

			pthread_mutex_unlock(&env->lock);
			if (!is_used) {
				*at = env->next;
				env_free(env);
			}
			return;
		}
	}
}

enum status env_reopen(struct store_env *env, struct errbuf *err)
{
	size_t map_size = STORE_MAP_SIZE;
	MDB_envinfo info;

	if (!env_hold(env)) {
		errbuf_set(err, "this process is reading the replica all the time");
		return CX_ETEMP;
	}
	pthread_mutex_lock(&list_lock);
	if (env->mdb) {
		mdb_env_info(env->mdb, &info);
		map_size = info.me_mapsize;
		env_close(env);
	}
	enum status status = env_open(env, env->path, ENV_WRITE, map_size, err);

	if (status != CX_OK) {
		env_close(env);
	}
	pthread_mutex_unlock(&list_lock);
	env_resume(env);
	return status;
}

void env_release(struct store_env *env)
{
	if (!env) {
		return;
	}
	pthread_mutex_lock(&list_lock);
	pthread_mutex_lock(&env->lock);
	env->refs--;
	pthread_mutex_unlock(&env->lock);
	env_reap(env);
	pthread_mutex_unlock(&list_lock);
}

void env_forget(const struct store_env *env)
{
	pthread_mutex_lock(&list_lock);
	env_reap(env);
	pthread_mutex_unlock(&list_lock);
}
