#ifndef CX_INDEX_H
#define CX_INDEX_H

#include "replica/record.h"
#include "replica/store.h"

/*
 * The entries that a record has in the indexes of the replica, computed from its bytes
 * alone: the writer takes away those of the old bytes and adds those of the
 * new, so that the indexes always are what a replica filled from nothing would
 * have. Whoever changes what comes out here for a given record, or how the keys of
 * lib/value come out, raises STORE_FORMAT.
 *
 * A value that has no key (a damaged address, an empty or over-long name) has no entry.
 */
enum index_kind {
	INDEX_ADDR,      /* address key -> rank, id */
	INDEX_LOGIN,     /* folded login name -> id */
	INDEX_DN,        /* dn key of a recipient -> id */
	INDEX_REF,       /* dn key -> ids of those who refer to it */
	INDEX_DOMAIN,    /* canonical pattern -> id */
	INDEX_CONNECTOR, /* name, ASCII lower case -> id */
	INDEX_SPACE,     /* pattern key -> cost, literals, exactness, id */
	INDEX_NET,       /* prefix length, masked address -> role, id */
	INDEX_CERT,      /* fingerprint -> id */
	INDEX_COUNT
};

/* Longest key: LMDB takes 511 bytes. */
#define INDEX_KEY_MAX ADDRESS_KEY_TEXT_MAX

/*
 * Values. All but those of INDEX_SPACE: one byte that orders the owners of a key (rank of an
 * address, role of a network: most important first; else 0), then the id.
 * INDEX_SPACE: cost (4, big-endian), literals (2, big-endian), exactness (1), id.
 */
enum {
	INDEX_ID_SIZE = 17,
	INDEX_VALUE_SIZE = 1 + INDEX_ID_SIZE,
	INDEX_SPACE_SIZE = 7 + INDEX_ID_SIZE,
	INDEX_NET_KEY_SIZE = 17,
};

struct index_entry {
	enum index_kind kind;
	size_t key_at, key_len;     /* in index_set.bytes */
	size_t shape_at, shape_len; /* INDEX_SPACE: shape of the pattern */
	size_t value_len;
	uint8_t value[INDEX_SPACE_SIZE];
};

struct index_set {
	struct index_entry *entries;
	size_t count, room;
	struct buf bytes;
	bool failed; /* no memory */
};

void index_init(struct index_set *);
void index_release(struct index_set *);

/*
 * Fills the set (emptied first) in order of kind, key and value, each entry once.
 * CX_EINVAL: the bytes are not a record. CX_ENOMEM.
 */
enum status index_build(const struct record_id *, struct span stored,
    struct index_set *);

struct span index_key(const struct index_set *, const struct index_entry *);
struct span index_shape(const struct index_set *, const struct index_entry *);
/* Order of two entries, maybe of different sets. */
int index_compare(const struct index_set *, const struct index_entry *,
    const struct index_set *, const struct index_entry *);

void index_put_id(uint8_t out[INDEX_ID_SIZE], const struct record_id *);
void index_get_id(const uint8_t bytes[INDEX_ID_SIZE], struct record_id *out);
/* Key of a name in INDEX_CONNECTOR; empty where it has none. `memory` backs it. */
struct span index_name_key(struct span name, char memory[INDEX_KEY_MAX]);
/* Key of a block in INDEX_NET. */
void index_net_key(unsigned prefix_len, const struct ip *,
    uint8_t out[INDEX_NET_KEY_SIZE]);

#endif
