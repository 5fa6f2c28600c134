#ifndef CX_SYNC_METRICS_H
#define CX_SYNC_METRICS_H

#include "metrics/http.h"
#include "syncd/sources.h"

/*
 * What coexist-syncd shows to who watches it (SPEC section 13). The directories are the event
 * loop's, so once a second the loop writes their part of the page for the thread that
 * serves it; of the replica that thread reads like any other program. All functions on the
 * loop's thread.
 */
struct sync_metrics;

/*
 * `fd`, of metrics_open(), is taken over; -1: *out is NULL, for which the other functions
 * do nothing. Takes a reference of `conf`. CX_ENOMEM, CX_ECONF, CX_EIO with err.
 */
enum status sync_metrics_new(struct event_base *, struct conf *conf, int fd,
    struct sources *, struct sync_metrics **out, struct errbuf *);
/* From now on this configuration. */
void sync_metrics_configure(struct sync_metrics *, struct conf *);
/* The loop is busy, but gets on. */
void sync_metrics_alive(struct sync_metrics *);
/* Before the sources go. */
void sync_metrics_free(struct sync_metrics *);

#endif
