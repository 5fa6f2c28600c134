#ifndef CX_SORT_H
#define CX_SORT_H

#include <stddef.h>

#include "value/status.h"

/*
 * qsort() for arrays that grow with the directory: what a merge needs besides is in a file
 * once it is large (value/spool.h), where qsort() would take it from the heap. Equal
 * elements keep no order. CX_OK; CX_ENOMEM, CX_EIO: in some order.
 */
enum status sort_large(void *array, size_t count, size_t size,
    int (*compare)(const void *, const void *), const char *directory);

#endif
