#ifndef CX_STORE_FILES_H
#define CX_STORE_FILES_H

#include <stdbool.h>

/* The files in the folder of the fixture, by name. What fails here fails the test. */

/* The caller's to free(). */
char *files_path(const char *name);
bool files_has(const char *name);
/* Its permissions. */
unsigned files_mode(const char *name);
void files_make(const char *name, const char *text);
/* How many names begin so. */
unsigned files_count(const char *prefix);
/* Makes "current" a link to it, whatever it was. */
void files_link_current(const char *target);

#endif
