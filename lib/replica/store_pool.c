#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "replica/store_lmdb.h"

/* Snapshots at rest that are kept; each holds one of STORE_MAX_READERS slots. */
enum {
	SPARE_MAX = 64
};
/* How long snapshots in use are waited for: far longer than any decision takes. */
enum {
	HOLD_SECONDS = 2
};

void snapshot_free(struct snapshot *snapshot)
{
	for (unsigned i = 0; i < DB_COUNT; i++) {
		if (snapshot->cursors[i]) {
			mdb_cursor_close(snapshot->cursors[i]);
		}
	}
	if (snapshot->txn) {
		mdb_txn_abort(snapshot->txn);
	}
	free(snapshot);
}

static void deadline_in(struct timespec *out, time_t seconds)
{
	clock_gettime(CLOCK_MONOTONIC, out);
	out->tv_sec += seconds;
}

bool env_hold(struct store_env *env)
{
	struct timespec deadline;
	int rc = 0;

	deadline_in(&deadline, HOLD_SECONDS);
	pthread_mutex_lock(&env->lock);
	while (env->is_held && rc == 0) {
		rc = pthread_cond_timedwait(&env->changed, &env->lock, &deadline);
	}
	if (env->is_held) {
		pthread_mutex_unlock(&env->lock);
		return false;
	}
	env->is_held = true;
	while (env->active > 0 && rc == 0) {
		rc = pthread_cond_timedwait(&env->changed, &env->lock, &deadline);
	}
	bool is_idle = env->active == 0;

	pthread_mutex_unlock(&env->lock);
	if (!is_idle) {
		env_resume(env);
	}
	return is_idle;
}

void env_resume(struct store_env *env)
{
	pthread_mutex_lock(&env->lock);
	env->is_held = false;
	pthread_cond_broadcast(&env->changed);
	pthread_mutex_unlock(&env->lock);
}

static enum status env_set_map_size(struct store_env *env, size_t size,
    struct errbuf *err)
{
	if (!env_hold(env)) {
		if (err) {
			errbuf_set(err,
			    "the replica's map cannot grow while it is read");
		}
		return CX_ETEMP;
	}
	enum status status =
	    lmdb_status(mdb_env_set_mapsize(env->mdb, size), err, "replica's map");

	/* The old map is gone, too, and LMDB would go on in it. */
	if (status != CX_OK) {
		env_close(env);
		pthread_mutex_lock(&env->lock);
		env->is_closed = !env->is_writable;
		pthread_mutex_unlock(&env->lock);
	}
	env_resume(env);
	return status;
}

enum status env_make_room(struct store_env *env, bool is_full, struct errbuf *err)
{
	MDB_envinfo info;
	MDB_stat page;

	mdb_env_info(env->mdb, &info);
	mdb_env_stat(env->mdb, &page);
	if (!is_full &&
	    (info.me_last_pgno + 1) * page.ms_psize <= info.me_mapsize / 2) {
		return CX_OK;
	}
	if (info.me_mapsize > SIZE_MAX / 2) {
		return CX_OK;
	}
	return env_set_map_size(env, info.me_mapsize * 2, err);
}

/* Counts the caller in, with a snapshot at rest if there is one. */
static enum status env_enter(struct store_env *env, struct snapshot **out,
    struct errbuf *err)
{
	struct timespec deadline;
	int rc = 0;

	*out = NULL;
	pthread_mutex_lock(&env->lock);
	if (env->is_held) {
		deadline_in(&deadline, HOLD_SECONDS + 1);
		while (env->is_held && rc == 0) {
			rc = pthread_cond_timedwait(&env->changed, &env->lock,
			    &deadline);
		}
	}
	enum status status = env->is_closed	       ? CX_NOTFOUND
			     : env->is_held || !env->mdb ? CX_ETEMP
							 : CX_OK;

	if (status == CX_OK) {
		env->active++;
		*out = env->spare;
		if (env->spare) {
			env->spare = env->spare->next;
			env->spare_count--;
		}
	}
	pthread_mutex_unlock(&env->lock);
	if (status == CX_ETEMP && err) {
		errbuf_set(err, "the replica is being changed over");
	}
	return status;
}

/* Counts the caller out. The snapshot, if there is one, is put to rest. */
static void env_leave(struct store_env *env, struct snapshot *snapshot)
{
	pthread_mutex_lock(&env->lock);
	if (snapshot && env->spare_count >= SPARE_MAX) {
		pthread_mutex_unlock(&env->lock);
		snapshot_free(snapshot);
		snapshot = NULL;
		pthread_mutex_lock(&env->lock);
	}
	if (snapshot) {
		snapshot->next = env->spare;
		env->spare = snapshot;
		env->spare_count++;
	}
	bool is_last = --env->active == 0;
	bool is_orphan = is_last && env->refs == 0;

	if (is_last && env->is_held) {
		pthread_cond_broadcast(&env->changed);
	}
	pthread_mutex_unlock(&env->lock);
	if (is_orphan) {
		env_forget(env);
	}
}

/* A transaction of its own, or the one it has begun anew. */
static int snapshot_renew(struct store_env *env, struct snapshot **snapshot)
{
	if (*snapshot) {
		return mdb_txn_renew((*snapshot)->txn);
	}
	*snapshot = calloc(1, sizeof(**snapshot));
	if (!*snapshot) {
		return ENOMEM;
	}
	(*snapshot)->env = env;
	return mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &(*snapshot)->txn);
}

enum status env_snapshot(struct store_env *env, struct snapshot **out,
    struct errbuf *err)
{
	int rc = MDB_SUCCESS;

	for (int attempt = 0; attempt < 3; attempt++) {
		struct snapshot *snapshot;
		enum status status = env_enter(env, &snapshot, err);
		int dead;

		if (status != CX_OK) {
			return status;
		}
		rc = snapshot_renew(env, &snapshot);
		if (rc == MDB_SUCCESS) {
			snapshot->ready = 0;
			*out = snapshot;
			return CX_OK;
		}
		if (snapshot) {
			snapshot_free(snapshot);
		}
		if (rc == MDB_READERS_FULL) {
			mdb_reader_check(env->mdb, &dead);
		}
		env_leave(env, NULL);
		if (rc == MDB_MAP_RESIZED) {
			status = env_set_map_size(env, 0, err);
			if (status != CX_OK) {
				return status;
			}
		} else if (rc != MDB_READERS_FULL) {
			break;
		}
	}
	return lmdb_status(rc, err, "replica");
}

void env_snapshot_end(struct snapshot *snapshot)
{
	mdb_txn_reset(snapshot->txn);
	env_leave(snapshot->env, snapshot);
}
