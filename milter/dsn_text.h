#ifndef CX_MILTER_DSN_TEXT_H
#define CX_MILTER_DSN_TEXT_H

#include <stdbool.h>

#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/* The two encodings of ORCPT. Pure functions, any thread. */

/* RFC 3461 xtext: all but "!" to "~" without "+" and "=" as +XX. */
void dsn_add_xtext(struct buf *, struct span);
/* Whether `text` is well-formed xtext. */
bool dsn_is_xtext(struct span text);
/* RFC 6533 utf-8-addr-xtext: the same characters, and "\", as \x{HEX}. CX_EINVAL. */
enum status dsn_add_uxtext(struct buf *, struct span utf8);
/*
 * Undoes \x{HEX}; any other "\" stands for itself. CX_EINVAL: malformed, NUL, or not
 * UTF-8 when undone.
 */
enum status dsn_decode_uxtext(struct span text, struct buf *out);

#endif
