#ifndef CX_RECORD_H
#define CX_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/address.h"
#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/*
 * The stored form of one directory entry: a version, a kind, the tag of the last field, then fields
 * (tag, length, bytes) in ascending order of tag, values of one tag in the order in which
 * they count (proxies and members: sorted by their bytes, so that the order in which a
 * server sends values makes no difference). A million of them are to be small: lengths are
 * of a byte where that is enough, and the usual is not written.
 *
 * Writing: record_begin(), record_put() in order of tag, take the bytes.
 * Reading: record_open(), then the decoders of recipient.h, domain.h and
 * connector.h, which lend spans into the stored bytes and never allocate.
 * Reading trusts nothing: damage is CX_EFORMAT.
 */
#define RECORD_VERSION	 2
#define RECORD_VALUE_MAX 65536 /* longest value of one field */

enum record_kind {
	RECORD_RECIPIENT = 1,
	RECORD_DOMAIN = 2,
	RECORD_CONNECTOR = 3,
	RECORD_CONTAINER = 4, /* an entry that only holds others; its DN is watched */
};

/* Who an entry is: its directory's number in the replica and its entryUUID. */
struct record_id {
	uint8_t source;
	uint8_t uuid[16];
};

enum record_tag {
	TAG_DN = 1,	     /* as the directory wrote it */
	TAG_FLAGS = 2,	     /* 32 bits, little-endian, enum recipient_flag etc.; none: 0 */
	TAG_NAME = 3,	     /* displayName, else cn, of a recipient; cn of a connector */
	TAG_PRIMARY = 4,     /* SMTP: proxies, each an external-form SMTP address, no type */
	TAG_MAIL = 5,	     /* mail */
	TAG_PROXY = 6,	     /* other addresses, external form; other types "TYPE:value" */
	TAG_TARGET = 7,	     /* target address, external form */
	TAG_ALT_KEY = 8,     /* dn_key() of an alternate recipient */
	TAG_ALT_DN = 9,	     /* the DNs as written, in the order of their keys */
	TAG_FORWARDING = 10, /* coexistForwardingAddress */
	TAG_HOME_SERVER = 11, /* name: of a DN, the value of its RDN */
	TAG_LOGIN = 12,	     /* utf8_fold() of each login name */
	TAG_MEMBER_KEY = 13, /* dn_key() of members */
	TAG_MEMBER_DN = 14,  /* the DNs as written, in the order of their keys */
	TAG_MEMBER_ADDRESS = 15,
	TAG_DOMAIN = 16,     /* associatedDomain, canonical: "acme.example", "*.acme.example" */
	TAG_DOMAIN_TYPE = 17, /* one byte, enum domain_type */
	TAG_UNKNOWN = 18,    /* one byte, enum domain_unknown */
	TAG_REWRITE_DOMAIN = 19,
	TAG_FORWARD_HOST = 20, /* as written */
	TAG_NEXT_HOP = 21,     /* as written */
	TAG_SPACE = 22,	       /* address spaces as written */
	TAG_PEER = 23,	       /* coexistPeer as written */
	TAG_RELAY_CLIENT = 24, /* coexistRelayClient as written */
	TAG_RELAY_CERTIFICATE = 25, /* 64 hexadecimal digits, lower case */
	TAG_MAX = 25,
};

/* Values of one tag, one after the other. */
struct values {
	struct span rest; /* where the next value of the tag would be */
	const char *start; /* of all fields */
	uint8_t tag;
};
bool values_next(struct values *, struct span *out);
/* The number of values left. O(n). */
size_t values_count(struct values);

/* A record with its frame checked (all lengths in bounds, tags ascending). */
struct record {
	enum record_kind kind;
	struct span fields;
	const char *start; /* of all fields, where `fields` has lost some */
};

enum status record_open(struct span stored, struct record *out);
/*
 * The values of a tag; none: an empty sequence. `rest` is where they would be, so that a
 * decoder that asks for tags in their order walks the record once.
 */
struct values record_values(const struct record *, enum record_tag);
/* The first value of a tag; none: an empty span. */
struct span record_first(const struct record *, enum record_tag);
uint32_t record_flags(const struct record *);

/* Empties the buf and starts a record in it. */
void record_begin(struct buf *, enum record_kind);
/*
 * `buf->failed` tells of lack of memory, or of a value over RECORD_VALUE_MAX; a tag out
 * of order is a bug (assert).
 */
void record_put(struct buf *, enum record_tag, struct span value);
void record_put_flags(struct buf *, uint32_t flags);
void record_put_byte(struct buf *, enum record_tag, uint8_t value);

bool record_id_equal(const struct record_id *, const struct record_id *);

#endif
