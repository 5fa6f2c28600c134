#include "config.h"

#include "replica/store.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "replica/store_lmdb.h"

/* Readers look for a new file this often, so that they follow within two seconds. */
enum {
	CHECK_INTERVAL_MS = 1000
};
/* A file that vanishes between reading the link and opening it: the link is newer. */
enum {
	OPEN_ATTEMPTS = 5
};

struct store {
	char *directory;
	char *current; /* directory/current */
	pthread_mutex_t lock;
	struct store_env *env; /* NULL: none yet */
	int64_t checked_at_ms; /* when the link was looked at last; -1: look now */
	enum status failure;   /* of the last look; `env` may be what was in force before */
	struct errbuf reason;
};

static int64_t coarse_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

char *store_path(const char *directory, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

unsigned long store_file_number(const char *name, const char *suffix)
{
	char expected[STORE_NAME_MAX];
	unsigned long number = 0;

	/* Written back and compared: no sign, no blank, no leading zero. */
	if (sscanf(name, "data-%9lu", &number) != 1) {
		return 0;
	}
	snprintf(expected, sizeof(expected), "data-%lu.mdb%s", number, suffix);
	return strcmp(name, expected) == 0 ? number : 0;
}

enum status store_read_current(const char *directory, char out[STORE_NAME_MAX])
{
	char *path = store_path(directory, STORE_CURRENT);

	if (!path) {
		return CX_ENOMEM;
	}
	ssize_t len = readlink(path, out, STORE_NAME_MAX);
	int error = errno;

	free(path);
	if (len < 0) {
		return error == ENOENT   ? CX_NOTFOUND
		       : error == EINVAL ? CX_EFORMAT
					 : CX_EIO;
	}
	if (len == STORE_NAME_MAX) {
		return CX_EFORMAT;
	}
	out[len] = '\0';
	return store_file_number(out, "") ? CX_OK : CX_EFORMAT;
}

/* Missing, but where the writer makes it. */
static bool may_yet_be_made(const char *directory)
{
	struct stat parent;
	char *copy = strdup(directory);
	bool is_there =
	    copy && stat(dirname(copy), &parent) == 0 && S_ISDIR(parent.st_mode);

	free(copy);
	return is_there;
}

static enum status check_directory(const char *directory, struct errbuf *err)
{
	struct statvfs info;
	struct stat entry;

	if (stat(directory, &entry) < 0) {
		if (errno == ENOENT && may_yet_be_made(directory)) {
			return CX_OK;
		}
		errbuf_set(err, "replica %s: %s", directory, strerror(errno));
		return CX_ECONF;
	}
	if (!S_ISDIR(entry.st_mode)) {
		errbuf_set(err, "replica %s: not a directory", directory);
		return CX_ECONF;
	}
	if (statvfs(directory, &info) == 0 && info.f_flag & ST_RDONLY) {
		errbuf_set(err,
		    "%s: on a read-only file system (ReadWritePaths=?): readers' locks would be off",
		    directory);
		return CX_ECONF;
	}
	return CX_OK;
}

enum status store_open(const char *directory, struct store **out, struct errbuf *err)
{
	enum status status = check_directory(directory, err);

	if (status != CX_OK) {
		return status;
	}
	struct store *store = calloc(1, sizeof(*store));

	if (!store) {
		errbuf_set(err, "replica: %s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	pthread_mutex_init(&store->lock, NULL);
	store->checked_at_ms = -1;
	store->directory = strdup(directory);
	store->current = store_path(directory, STORE_CURRENT);
	if (!store->directory || !store->current) {
		store_close(store);
		errbuf_set(err, "replica: %s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	*out = store;
	return CX_OK;
}

void store_close(struct store *store)
{
	if (!store) {
		return;
	}
	env_release(store->env);
	pthread_mutex_destroy(&store->lock);
	free(store->directory);
	free(store->current);
	free(store);
}

/* Opens what the link names now. */
static enum status open_current(struct store *store, struct store_env **out,
    struct errbuf *err)
{
	enum status status = CX_NOTFOUND;
	char name[STORE_NAME_MAX];

	errbuf_set(err, "%s: not a link to a replica file", store->current);
	for (int attempt = 0; attempt < OPEN_ATTEMPTS && status == CX_NOTFOUND;
	     attempt++) {
		status = store_read_current(store->directory, name);
		if (status != CX_OK) {
			break;
		}
		char *path = store_path(store->directory, name);

		if (!path) {
			return CX_ENOMEM;
		}
		status = store_acquire_as_owner(store->directory, path, out, err);
		free(path);
	}
	if (status == CX_EFORMAT || status == CX_ECONF) {
		return status;
	}
	return status == CX_OK ? CX_OK : CX_ETEMP;
}

static bool is_same_file(const struct store_env *env, const struct stat *info)
{
	return env->device == info->st_dev && env->inode == info->st_ino;
}

static void store_replace_env(struct store *store, struct store_env *env)
{
	env_release(store->env);
	store->env = env;
}

static void explain_missing(struct store *store, int error, bool is_link_there)
{
	if (error == ENOENT && is_link_there) {
		errbuf_set(&store->reason, "%s: the replica file that it names is missing",
		    store->current);
	} else if (error == ENOENT && !store->env) {
		errbuf_set(&store->reason, "%s: no replica yet", store->directory);
	} else {
		errbuf_set(&store->reason, "%s: %s", store->current, strerror(error));
	}
}

/*
 * Opens the file in force if it is another than the one in use. Under the store's lock; once a
 * second, and as long as there is none as soon as the link appears.
 */
static void store_follow(struct store *store)
{
	int64_t now = coarse_ms();
	bool is_due =
	    store->checked_at_ms < 0 || now - store->checked_at_ms >= CHECK_INTERVAL_MS;
	struct store_env *env = NULL;
	struct stat info;

	if (!is_due && (store->env || store->failure != CX_NOTFOUND)) {
		return;
	}
	store->checked_at_ms = now;
	if (stat(store->current, &info) < 0) {
		/* What there was stays in use. */
		store->failure = CX_NOTFOUND;
		explain_missing(store, errno, lstat(store->current, &info) == 0);
		return;
	}
	if (store->env && is_same_file(store->env, &info)) {
		store->failure = CX_OK;
		return;
	}
	store->failure = open_current(store, &env, &store->reason);
	if (store->failure == CX_OK) {
		store_replace_env(store, env);
	} else if (store->failure != CX_ETEMP) {
		/* Not one that we may read; what it replaced is no longer the truth. */
		store_replace_env(store, NULL);
	}
}

enum status store_look(struct store *store, struct errbuf *err)
{
	pthread_mutex_lock(&store->lock);
	store_follow(store);
	enum status status = store->failure;

	*err = store->reason;
	pthread_mutex_unlock(&store->lock);
	return status;
}

/* For readers there are no other failures (store.h). */
enum status reader_status(enum status status)
{
	switch (status) {
	case CX_OK:
	case CX_NOTFOUND:
	case CX_EFORMAT: return status;
	case CX_ETEMP:
	case CX_EINVAL:
	case CX_ETOOLONG:
	case CX_EEXIST:
	case CX_EFULL:
	case CX_ENOMEM:
	case CX_ECONF:
	case CX_EIO: break;
	}
	return CX_ETEMP;
}

static enum status snapshot_take(struct store *store, struct snapshot **out,
    struct errbuf *err)
{
	enum status status = CX_NOTFOUND;

	/* Closed under us because this process writes it now: once more. */
	for (int attempt = 0; attempt < 2 && status == CX_NOTFOUND; attempt++) {
		store_follow(store);
		if (!store->env) {
			if (err) {
				*err = store->reason;
			}
			return store->failure == CX_EFORMAT ? CX_EFORMAT : CX_ETEMP;
		}
		status = env_snapshot(store->env, out, err);
		if (status == CX_NOTFOUND) {
			store_replace_env(store, NULL);
			store->checked_at_ms = -1;
		}
	}
	return status == CX_NOTFOUND ? CX_ETEMP : status;
}

static enum status snapshot_read_head(struct snapshot *snapshot)
{
	MDB_val key = val_of(SPAN(META_HEAD));
	MDB_val value;
	int rc = mdb_get(snapshot->txn, snapshot->env->dbi[DB_META], &key, &value);

	if (rc != MDB_SUCCESS) {
		return rc == MDB_NOTFOUND ? CX_EFORMAT : lmdb_status(rc, NULL, "");
	}
	enum status status = head_decode(span_of_val(value), &snapshot->head);

	if (status != CX_OK) {
		return status;
	}
	memset(snapshot->precedence, STORE_SOURCES_MAX, sizeof(snapshot->precedence));
	for (size_t i = snapshot->head.source_count; i-- > 0;) {
		snapshot->precedence[snapshot->head.sources[i].id] = (uint8_t)i;
	}
	return CX_OK;
}

enum status snapshot_begin(struct store *store, struct snapshot **out,
    struct errbuf *err)
{
	pthread_mutex_lock(&store->lock);
	enum status status = snapshot_take(store, out, err);

	pthread_mutex_unlock(&store->lock);
	if (status != CX_OK) {
		return reader_status(status);
	}
	status = snapshot_read_head(*out);
	if (status != CX_OK) {
		snapshot_end(*out);
		if (err) {
			errbuf_set(err, "the replica is damaged");
		}
	}
	return reader_status(status);
}

void snapshot_end(struct snapshot *snapshot)
{
	if (snapshot) {
		env_snapshot_end(snapshot);
	}
}

uint64_t snapshot_generation(const struct snapshot *snapshot)
{
	return snapshot->head.generation;
}

const struct source_info *snapshot_sources(const struct snapshot *snapshot,
    size_t *count)
{
	*count = snapshot->head.source_count;
	return snapshot->head.sources;
}

unsigned snapshot_precedence(const struct snapshot *snapshot, uint8_t source)
{
	return snapshot->precedence[source];
}
