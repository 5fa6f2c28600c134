#ifndef CX_UTF8_H
#define CX_UTF8_H

#include <stdbool.h>

#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/* Unicode through libunistring; ASCII never reaches it. */

bool utf8_is_valid(struct span);
bool span_is_ascii(struct span);

/*
 * How much of a text that is longer than `len` stands in `len` bytes without a part of a
 * character at the end: up to three bytes less. text[len] is read.
 */
size_t utf8_cut(const char *text, size_t len);

/*
 * NFC, then lower case by simple mapping of each code point, then NFC (SPEC
 * section 4). Appends to `out`. CX_EINVAL: not UTF-8. CX_ENOMEM.
 */
enum status utf8_fold(struct span, struct buf *out);
/* The same in NFKD, for values of distinguished names. */
enum status utf8_fold_compatible(struct span, struct buf *out);

#endif
