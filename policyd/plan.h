#ifndef CX_PLAN_H
#define CX_PLAN_H

#include "daemon/conf.h"
#include "daemon/keys.h"
#include "replica/store.h"

/*
 * What the daemon serves at a time: a configuration, the sockets it listens on, the
 * replica it reads. Immutable and counted; a reload makes a new one that shares what has not
 * changed with the old, and each worker lets go of the old one when it has come to the new.
 * A socket that no plan names any more is closed and its file removed.
 */
struct plan;

/* Sockets of one service. */
struct plan_sockets {
	const int *fds;
	size_t count;
};

/*
 * Reads the secrets of SRS and opens the sockets, but for those that `previous` (may be NULL) has already. The plan
 * takes a reference of `conf`. CX_EIO, CX_ECONF with err; nothing has changed then.
 */
enum status plan_new(struct conf *conf, struct plan *previous, struct plan **out,
    struct errbuf *);
/*
 * Opens the replica; before anything is served. Apart, because LMDB must not be
 * open across fork() and is best opened as the user it is read as.
 */
enum status plan_open_replica(struct plan *, struct plan *previous, struct errbuf *);

struct plan *plan_ref(struct plan *);
void plan_unref(struct plan *); /* NULL is fine */
/* Whether the caller's reference is the only one that is left. */
bool plan_is_last(const struct plan *);

const struct conf *plan_conf(const struct plan *);
const struct keys *plan_keys(const struct plan *); /* those of SRS */
struct store *plan_store(const struct plan *);
struct plan_sockets plan_policy_sockets(const struct plan *);
struct plan_sockets plan_map_sockets(const struct plan *);

#endif
