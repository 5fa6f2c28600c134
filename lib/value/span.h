#ifndef CX_SPAN_H
#define CX_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * A borrowed run of bytes: not terminated, may hold NULs. {NULL, 0} and an
 * empty run are the same. Printing: printf("%.*s", SPAN_ARGS(s)).
 */
struct span {
	const char *ptr;
	size_t len;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
#define SPAN_ARGS(s)  (int)(s).len, (s).len ? (s).ptr : ""

static inline struct span span_of(const char *text)
{
	return (struct span){ text, text ? strlen(text) : 0 };
}

static inline bool span_is_empty(struct span s)
{
	return s.len == 0;
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Equal but for the case of ASCII letters. */
bool span_equal_case(struct span, struct span);
bool span_starts_with_case(struct span, struct span prefix);
/* Without ASCII blanks (space, tab, CR, LF) at both ends. */
struct span span_trim(struct span);
/* memcmp order, the shorter first. */
int span_compare(struct span, struct span);

#endif
