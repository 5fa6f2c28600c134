#ifndef CX_BUF_H
#define CX_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/attrs.h"
#include "value/span.h"

/*
 * Text that grows by appending. Over the caller's memory (buf_init_fixed: no
 * allocation ever) or over the heap (buf_init). Failure is sticky: when
 * something did not fit, `failed` is set, what is there stays valid, and
 * later appends do nothing; so a whole text is built first and checked once.
 * `data` is always terminated by a NUL that `len` does not count (a fixed
 * buffer of size n holds n - 1 bytes).
 */
struct buf {
	char *data;
	size_t len;
	size_t size;
	bool failed;
	bool is_fixed;
};

void buf_init(struct buf *);
void buf_init_fixed(struct buf *, char *memory, size_t size);
void buf_release(struct buf *); /* frees heap memory; NULL and fixed are fine */
void buf_clear(struct buf *);	/* empties it and forgets `failed` */

void buf_add(struct buf *, const void *bytes, size_t len);
void buf_add_span(struct buf *, struct span);
void buf_add_text(struct buf *, const char *text);
void buf_add_char(struct buf *, char);
void buf_printf(struct buf *, const char *fmt, ...) CX_PRINTF(2, 3);
/*
 * Untrusted text for a log line or a terminal: control characters, DEL, bytes that
 * are not valid UTF-8, the C1 controls, and a backslash before an x or the end come
 * out as \xHH, so that one event stays one line, no terminal is driven by it, and
 * every \xHH is one of ours.
 */
void buf_add_escaped(struct buf *, struct span);

struct span buf_span(const struct buf *);

#endif
