#ifndef CX_STATUS_TEXT_H
#define CX_STATUS_TEXT_H

#include <jansson.h>

#include "decide/view.h"

/* coexistctl status for people: what its JSON holds, in words, with what to do. */

/* A new list of what to do about a directory, of which `row` is known; may be empty. */
json_t *status_hints(json_t *row, const struct settings *, bool provides_recipients);
/* Prints the whole object. */
void status_print_text(json_t *status);

#endif
