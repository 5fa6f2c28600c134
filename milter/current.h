#ifndef CX_MILTER_CURRENT_H
#define CX_MILTER_CURRENT_H

#include <pthread.h>

#include "daemon/conf.h"
#include "daemon/keys.h"

/*
 * The configuration in force, which a reload replaces under the feet of the sessions:
 * each message holds the one that it began with. Any thread.
 */
struct current {
	pthread_mutex_t lock;
	struct conf *conf;
	struct keys *keys; /* of that configuration */
};

#define CURRENT_INIT                    \
 {                                      \
  PTHREAD_MUTEX_INITIALIZER, NULL, NULL \
 }

/* A reference, for conf_unref(). `current` is a struct current. */
struct conf *current_hold(void *current);
/* The same for its secrets, for keys_unref(). */
struct keys *current_hold_keys(void *current);
/* Takes the caller's references. NULL: only lets go of the old ones. */
void current_replace(struct current *, struct conf *, struct keys *);
/* Says so in the log where there is no secret, and so no trace. */
void current_warn_without_secret(const struct keys *);
/*
 * Reads the file again. On a mistake it is logged and the old one stays. What only a
 * start can change is named in a warning.
 */
void current_reload(struct current *, const char *path);

#endif
