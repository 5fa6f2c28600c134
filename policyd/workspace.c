#include "config.h"

#include "policyd/workspace.h"

#include <stdlib.h>

static enum status set_size(struct workspace *w, size_t size)
{
	char *memory = malloc(size);

	if (memory == NULL) {
		return CX_ENOMEM;
	}
	free(w->arena.memory);
	w->arena = (struct arena){ .memory = memory, .size = size, .used = 0 };
	return CX_OK;
}

enum status workspace_init(struct workspace *w)
{
	memset(w, 0, sizeof(*w));
	return set_size(w, WORKSPACE_START_BYTES);
}

void workspace_release(struct workspace *w)
{
	free(w->arena.memory);
	memset(w, 0, sizeof(*w));
}

void workspace_forget(struct workspace *w)
{
	memo_clear(&w->memo);
}

void workspace_resolve(struct workspace *w, const struct view *view,
    const struct question *question, struct resolution *out)
{
	const struct resolution *known = memo_find(&w->memo, view, question);
	enum status status;

	if (known != NULL) {
		*out = *known;
		return;
	}
	if (w->arena.size > WORKSPACE_KEEP_BYTES) {
		/* Failing leaves the large one, which is as good. */
		(void)set_size(w, WORKSPACE_START_BYTES);
	}
	do {
		w->arena.used = 0;
		status = resolve(view, question, &w->arena, out);
	} while (status == CX_EFULL && w->arena.size < RESOLVE_MEMORY_MAX &&
		 set_size(w, 2 * w->arena.size) == CX_OK);
	if (status != CX_OK) {
		resolution_unavailable(out);
		return;
	}
	memo_keep(&w->memo, view, question, out);
}
