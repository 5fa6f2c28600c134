#ifndef CX_UNIT_H
#define CX_UNIT_H

#include <check.h>
#include <stddef.h>

#include "value/span.h"
#include "value/status.h"

/*
 * What unit tests share. A test program tests/unit/test_NAME.c defines unit_suite();
 * main() is in unit_main.c and runs it. Every char * returned is the caller's to free().
 */
Suite *unit_suite(void);

/*
 * A heap copy of exactly `len` bytes, with no terminating NUL, so that
 * AddressSanitizer sees one byte read too far.
 */
char *unit_copy(const void *data, size_t len);

/*
 * The same as spans, for rows of tables: freed when the process exits. unit_text()
 * is of a C string without its NUL; NULL gives {NULL, 0}.
 */
struct span unit_span(const void *data, size_t len);
struct span unit_text(const char *text);
/* `count` times the character as a C string, freed when the process exits. */
const char *unit_repeat(char c, size_t count);

/* The file `path` of the source tree ("schema/coexist.schema"), with a NUL behind it. */
char *unit_read_source(const char *path, size_t *len);

/* A new empty folder under $TMPDIR; unit_rmdir() removes it with all that is in it. */
char *unit_mkdir(void);
void unit_rmdir(char *path);

/* The status as the source writes it: "CX_EINVAL". */
const char *unit_status_name(enum status);

/* Assertions that name the row. */
#define unit_assert_status(actual, expected, label) \
	do { \
		enum status unit_actual_ = (actual); \
		enum status unit_expected_ = (expected); \
		ck_assert_msg(unit_actual_ == unit_expected_, "%s: %s, not %s", (label), \
		    unit_status_name(unit_actual_), unit_status_name(unit_expected_)); \
	} while (0)

#define unit_assert_span(actual, expected, label) \
	do { \
		struct span unit_actual_ = (actual); \
		const char *unit_expected_ = (expected); \
		ck_assert_msg(span_equal(unit_actual_, span_of(unit_expected_)), \
		    "%s: \"%.*s\", not \"%s\"", (label), SPAN_ARGS(unit_actual_), \
		    unit_expected_); \
	} while (0)

#endif
