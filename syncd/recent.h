#ifndef CX_RECENT_H
#define CX_RECENT_H

#include "syncd/uuid_set.h"

/*
 * Which entries came lately, and from which of several servers: one that lags behind the server
 * that we had before does not have them yet, which is not the same as that they
 * are gone (ldap-sync.md 5.3). Of bounded size; what comes too thick and fast pushes out
 * what is older. Times are monotonic milliseconds. One thread.
 */
#define RECENT_SEGMENTS	   4
#define RECENT_SEGMENT_MAX 16384 /* entries of a segment; about half a MB */

struct recent_segment {
	struct uuid_set uuids;
	size_t server;
	int64_t first_ms, last_ms;
};

struct recent {
	struct recent_segment segments[RECENT_SEGMENTS];
	size_t newest;
};

/* `directory`: as for uuid_set_init(). */
void recent_init(struct recent *, const char *directory);
void recent_release(struct recent *);

/*
 * It came from `server`, whoever else sent it before. A segment holds what one server sent in at
 * most `span_ms`. CX_ENOMEM, CX_EIO: it is not noted.
 */
enum status recent_add(struct recent *, const uint8_t uuid[16], size_t server,
    int64_t now_ms, int64_t span_ms);
/* It is gone, and known to be. */
void recent_remove(struct recent *, const uint8_t uuid[16]);
/*
 * Adds to `out` what other servers than this one sent at `since_ms` or later, and maybe some that
 * came up to `span_ms` before that.
 */
enum status recent_of_others(const struct recent *, size_t server, int64_t since_ms,
    struct uuid_set *out);

#endif
