#ifndef CX_METRICS_REPLICA_H
#define CX_METRICS_REPLICA_H

#include "daemon/conf.h"
#include "decide/view.h"
#include "value/buf.h"

/*
 * What every daemon tells of the replica that it reads: whether it can, how old and how large it
 * is, directory by directory. A snapshot is taken for the time of printing; nothing is counted
 * that grows with the directory, but the entries that cannot be used. Any thread.
 * The series are those of the directories in the replica and in the configuration: they are there
 * before the first load, and while the replica cannot be read, when they are NaN.
 */
void metrics_print_replica(struct buf *page, struct store *, const struct conf *,
    int64_t now);

/*
 * Whether mail can be decided: there is a replica, and every directory was loaded and
 * had contact within max_staleness. Adds a line to `why` for each reason against it.
 */
bool metrics_replica_is_ready(struct store *, const struct settings *, int64_t now,
    struct buf *why);

/* Who it is: the family coexist_build_info. `program` is "coexist-milter". */
void metrics_print_build(struct buf *page, const char *program, int64_t started);

#endif
