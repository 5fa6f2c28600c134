#ifndef CX_XTEXT_H
#define CX_XTEXT_H

#include "value/buf.h"
#include "value/status.h"

/*
 * Undoes xtext (RFC 3461: "+XX" for one byte), as Sendmail writes the macro {auth_authen}.
 * Other characters stand for themselves. CX_EINVAL: a "+" without two hexadecimal digits;
 * what was added by then is not taken back.
 */
enum status xtext_decode(struct span text, struct buf *out);

#endif
