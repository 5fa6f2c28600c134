#ifndef CX_MAKE_RECORD_H
#define CX_MAKE_RECORD_H

#include <stdarg.h>

#include "replica/record.h"

/*
 * Records for tests: `flags`, then pairs of a tag and a C string in order of tag, then 0. The
 * types of domains are given as digits ("2": DOMAIN_SHARED). The span is of `buf`.
 */
struct span make_record(struct buf *buf, enum record_kind kind, uint32_t flags, ...);
struct span vmake_record(struct buf *buf, enum record_kind kind, uint32_t flags, va_list);

/* The id with this source and a uuid that sorts by `number`. */
struct record_id make_id(unsigned source, unsigned number);

#endif
