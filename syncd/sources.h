#ifndef CX_SOURCES_H
#define CX_SOURCES_H

#include "syncd/apply.h"
#include "syncd/source.h"

/*
 * The directories of the configuration at work: each has a struct source and a backend.
 * The functions of source.h, which backends call, are here too. One thread, that of the
 * event loop.
 */
struct sources;

typedef int64_t sources_clock(void); /* seconds since the epoch */

/* `base`, `apply` stay the caller's. `clock` NULL: the system's. */
struct sources *sources_new(struct event_base *base, struct apply *apply,
    sources_clock *clock);
/* Stops all of them. NULL is fine. */
void sources_free(struct sources *);

/*
 * Makes the configuration's directories the ones at work. Those whose section did not
 * change go on undisturbed; of the others records and cookie stay, where the place of their
 * entries or the name does (apply.h). On failure everything is as before.
 */
enum status sources_configure(struct sources *, struct conf *, struct errbuf *);

size_t sources_count(const struct sources *);
struct source *sources_at(const struct sources *, size_t index);
/* NULL: no such directory. */
struct source *sources_find(const struct sources *, const char *name);
/* Applies the removals that were kept back. CX_NOTFOUND: there are none. */
enum status sources_accept(struct sources *, struct source *, size_t *removed,
    struct errbuf *);
enum status sources_report(struct sources *, struct source *, struct apply_report *out);

#endif
