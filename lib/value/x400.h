#ifndef CX_X400_H
#define CX_X400_H

#include <stdbool.h>

#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/* X.400 addresses as sets of attributes. Pure functions, any thread. */

#define X400_ATTRIBUTES_MAX 32 /* RFC 2156 knows 21, and 4 domain-defined ones */

/*
 * Appends the canonical form of an address that is in lower case already:
 * "name=value", blanks around both trimmed, sorted, joined by ";". Reads the
 * form "c=us;a= ;p=acme" and the slash form "/c=us/a= /p=acme/" with "$/" for a
 * slash (a ";" or "$" has no such spelling in a value). "admd" is a, "prmd" p,
 * "dd.x" dda:x, and "ou" the lowest of ou1 to ou4 that is not given yet.
 * CX_EINVAL: no attribute, a part that is not one, one given twice, a name
 * with other characters than letters, digits, ".", ":", "-" and blanks.
 * CX_ETOOLONG: over X400_ATTRIBUTES_MAX.
 */
enum status x400_canonical(struct span lower_case, struct buf *out);

/*
 * Takes the next attribute off the front of a canonical form; false at its end.
 * The parts point into it.
 */
bool x400_next(struct span *rest, struct span *name, struct span *value);

#endif
