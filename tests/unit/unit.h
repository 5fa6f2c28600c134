#ifndef CX_UNIT_H
#define CX_UNIT_H

#include <check.h>
#include <stddef.h>

/*
 * What unit tests share. A test program tests/unit/test_NAME.c defines unit_suite();
 * main() is in unit.c and runs it. All that is returned is the caller's to free().
 */
Suite *unit_suite(void);

/*
 * A heap copy of exactly `len` bytes, with no terminating NUL, so that
 * AddressSanitizer sees one byte read too far.
 */
char *unit_copy(const void *data, size_t len);

/* The file `path` of the source tree ("schema/coexist.schema"), with a NUL behind it. */
char *unit_read_source(const char *path, size_t *len);

/* A new empty folder under $TMPDIR; unit_rmdir() removes it with all that is in it. */
char *unit_mkdir(void);
void unit_rmdir(char *path);

#endif
