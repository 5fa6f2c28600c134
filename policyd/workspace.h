#ifndef CX_WORKSPACE_H
#define CX_WORKSPACE_H

#include "decide/resolve.h"
#include "policyd/memo.h"

/*
 * The memory that a worker lends to one decision after the other. It grows when a
 * decision needs more and stays so up to a bound. One thread.
 */
#define WORKSPACE_START_BYTES (4 * RESOLVE_MEMORY)
#define WORKSPACE_KEEP_BYTES  (4 * 1024 * 1024)

struct workspace {
	struct arena arena;
	struct memo memo;
};

enum status workspace_init(struct workspace *); /* CX_ENOMEM */
void workspace_release(struct workspace *);

/* To be called when other settings come into force. */
void workspace_forget(struct workspace *);

/*
 * resolve(), with as much memory as it wants. Always fills `out`, which is valid until
 * the next call: what cannot be decided for want of memory is unavailable.
 */
void workspace_resolve(struct workspace *, const struct view *, const struct question *,
    struct resolution *out);

#endif
