#ifndef CX_LOAD_SORT_H
#define CX_LOAD_SORT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Sorting for the loader: by eight bytes of the key first (a radix sort, no calls), and only
 * where these are equal by the whole of it. Stable; no memory but the caller's.
 */
struct sort_item {
	uint64_t prefix; /* orders as the keys do, or is equal */
	uint64_t at;	 /* for the caller: where the thing is */
};

/* <0, 0, >0; called only for items of equal prefix. */
typedef int sort_compare(const struct sort_item *, const struct sort_item *, void *context);

/* `temp` has room for `count` items too. */
void load_sort(struct sort_item *items, struct sort_item *temp, size_t count,
    sort_compare *compare, void *context);

/* The eight bytes of a key from `skip` on as a number that orders as they do. */
uint64_t load_sort_prefix(const char *key, size_t len, size_t skip);

#endif
