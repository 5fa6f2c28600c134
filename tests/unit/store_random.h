#ifndef CX_STORE_RANDOM_H
#define CX_STORE_RANDOM_H

#include "replica/store_write.h"

/*
 * Random records, and replicas as texts to compare. Values come from small sets, so that
 * records collide all the time. The same seed gives the same records.
 */
enum {
	RANDOM_ADDRESSES = 15
};
extern const char *const random_addresses[RANDOM_ADDRESSES];

void random_seed(unsigned seed);
unsigned random_below(unsigned limit);
/* Of any kind; in `buf`. */
struct span random_record(struct buf *buf);

/* Everything in the databases but what only counts time, as one text; in a transaction. */
void random_dump(struct store_writer *, struct buf *out);
/* Names the first line that differs; the texts are too long for a message. */
void random_assert_equal(const char *ours, const char *expected);

#endif
