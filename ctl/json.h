#ifndef CX_CTL_JSON_H
#define CX_CTL_JSON_H

#include <stdbool.h>

#include <jansson.h>

#include "value/span.h"

/* Shorthand over jansson for the commands' output. Lack of memory ends the program (EX_OSERR). */

/* A string; bytes that are no valid text come out as \xHH. */
json_t *json_span(struct span);
/* The same; JSON null where it is empty. */
json_t *json_span_or_null(struct span);
/* Sets, or appends, a new reference. */
void json_put(json_t *object, const char *key, json_t *value);
void json_add(json_t *array, json_t *value);
/* Prints to standard output, on one line or indented, keys in the order in which they were put. */
void json_print(json_t *value, bool one_line);

#endif
