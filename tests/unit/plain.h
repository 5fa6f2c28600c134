#ifndef CX_PLAIN_H
#define CX_PLAIN_H

#include "replica/store_write.h"

/*
 * Plain recipients, of about eight attributes as most directories have them, for measuring:
 * number and version say all there is in a record. Versions differ in the length of the
 * name, in addresses, or in both.
 */
struct record_id plain_id(uint8_t source, uint32_t number, bool is_second);
/* In `buf`, valid until the next. */
struct span plain_record(struct buf *, uint32_t number, unsigned version);

/*
 * Rounds of changes: of `count` recipients, all loaded with version 0, each round gives
 * `changed` at random another version and takes away `replaced` and adds others instead, in
 * transactions of `per_transaction`. `random` is the state of the generator.
 */
enum {
	PLAIN_SECOND = 128 /* it was taken away, and added with its other uuid */
};
struct plain_rounds {
	struct store_writer *writer;
	uint8_t source;
	uint32_t count;
	uint8_t *states; /* version, and PLAIN_SECOND; `count` zeros */
	uint64_t random;
};
enum status plain_round(struct plain_rounds *, uint32_t changed, uint32_t replaced,
    uint32_t per_transaction, struct errbuf *);

/* Size of the replica's file in `folder`. */
uint64_t plain_file_size(const char *folder);

#endif
