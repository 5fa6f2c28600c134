#ifndef CX_STORE_H
#define CX_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/record.h"
#include "value/address_space.h"
#include "value/cidr.h"
#include "value/errbuf.h"

/*
 * The replica, as readers see it. store.c (with other files store*.c beside it) is
 * the only place that knows LMDB.
 *
 * The configured directory holds replica files of their own names and a link
 * `current` that names the one in force; syncd publishes a new file by
 * replacing the link, and readers follow within two seconds, idle ones by a store_watch.
 *
 * Order: store_open(), then for each decision snapshot_begin(), look-ups,
 * snapshot_end(). A store may be used by any number of threads; a snapshot by
 * one at a time. Snapshots are never kept over I/O: one that is held stops the
 * writer from reusing space. Everything that a look-up lends points into the
 * mapped file and is valid until snapshot_end(). All stores and the writer of a
 * process share its one mapping of a file; a child of fork() opens a store of its own.
 *
 * Results: CX_OK; CX_NOTFOUND: certain; CX_ETEMP: no replica yet, or the system
 * is short of something; CX_EFORMAT: unknown format or damage: treat as CX_ETEMP
 * for mail, and tell a person.
 */
struct store;
struct snapshot;

/*
 * Raised with every change to what is stored: records, indexes, and the keys that
 * lib/value makes (an index entry is found again only by the key it was stored under).
 */
#define STORE_FORMAT	  2
#define STORE_SOURCES_MAX 32

/* One directory of the configuration, as the replica knows it. */
struct source_info {
	uint8_t id;	       /* in record_id.source; stable over reordering */
	char name[64];	       /* title of the directory section */
	bool provides_recipients;
	bool provides_domains;
	bool provides_connectors;
	bool is_loaded;	       /* a complete first load is in the replica */
	int64_t last_contact;  /* last proof of contact, seconds since the epoch; 0 never */
};

/* How an object comes by an address: lower beats higher where both claim it. */
enum address_rank {
	RANK_OWN = 0,	 /* SMTP: proxy, mail or other proxy */
	RANK_TARGET = 1, /* only its target address; counts where nobody owns it */
};

struct address_owner {
	enum address_rank rank;
	struct record_id id;
};

/* One address space under a pattern key. */
struct space_entry {
	uint32_t cost;
	uint16_t literals;
	bool is_exact;
	struct record_id connector;
};

/* What one block of client addresses says. */
enum net_role {
	NET_PEER = 1,
	NET_RELAY_ALLOW = 2,
	NET_RELAY_DENY = 3,
};
struct net_entry {
	enum net_role role;
	struct record_id connector;
};

/*
 * Opens for reading. Never fails for want of a replica: snapshot_begin() says
 * so each time until there is one; the writer makes the directory too. CX_ECONF
 * (with err): `directory` is not one and cannot become one, or readers' locks
 * would be off there (read-only file system).
 */
enum status store_open(const char *directory, struct store **out, struct errbuf *);
void store_close(struct store *);

/*
 * A thread that follows `current` also while nobody begins a snapshot, so that the space of a
 * file that was replaced is given back: for programs that may be idle. It blocks
 * all signals. `tell` (may be NULL) is called in it, with a line for a person: why the file in
 * force cannot be read, each time the reason is another, and NULL when it can be again.
 * Ends before store_close(). CX_ENOMEM; CX_ETEMP: no thread.
 */
struct store_watch;
typedef void store_tell(void *context, const char *why);
enum status store_watch_new(struct store *, store_tell *tell, void *context,
    struct store_watch **out);
void store_watch_free(struct store_watch *); /* NULL is fine */

/* `err` may be NULL; filled with a reason for a person on failure. */
enum status snapshot_begin(struct store *, struct snapshot **out, struct errbuf *err);
void snapshot_end(struct snapshot *);

uint64_t snapshot_generation(const struct snapshot *); /* +1 for each content commit */
/* Directories in order of precedence; the first wins. */
const struct source_info *snapshot_sources(const struct snapshot *, size_t *count);
/* Position of a source in that order; STORE_SOURCES_MAX if there is none such. */
unsigned snapshot_precedence(const struct snapshot *, uint8_t source);

/*
 * Owners of an address key, best first: by rank, then by precedence of their
 * directory, then by id. At most `max` are written; *count is how many there are
 * (more than `max`: there are more). Entries of sources that the configuration no
 * longer names are left out. CX_NOTFOUND: nobody.
 */
enum status snapshot_address_owners(struct snapshot *, const struct key *,
    struct address_owner *out, size_t max, size_t *count);
/* The same for a folded login name (rank is always RANK_OWN). */
enum status snapshot_login_owners(struct snapshot *, struct span login,
    struct address_owner *out, size_t max, size_t *count);
/*
 * Recipient with this DN. Here and below: of several, that of the directory with
 * precedence, within one that with the lowest uuid; only directories that provide such
 * objects count.
 */
enum status snapshot_by_dn(struct snapshot *, struct span dn_key, struct record_id *out);
/* Domain object that claims exactly this canonical pattern ("*.acme.example" too). */
enum status snapshot_by_domain(struct snapshot *, struct span pattern,
    struct record_id *out);
/* Connector by name (case of ASCII letters ignored). */
enum status snapshot_by_connector(struct snapshot *, struct span name,
    struct record_id *out);
/* The shapes in use for a type ("smtp"), up to `max`; *count is how many. */
enum status snapshot_space_shapes(struct snapshot *, const char *type,
    struct span *out, size_t max, size_t *count);
/* The spaces of a pattern, cheapest first. */
enum status snapshot_spaces(struct snapshot *, const struct key *pattern,
    struct space_entry *out, size_t max, size_t *count);
/* Bit n of lengths[n / 64]: there is a block with a prefix of n bits (0 to 128). */
enum status snapshot_net_lengths(struct snapshot *, uint64_t lengths[3]);
/* What is said of a block: NET_RELAY_DENY first, then NET_RELAY_ALLOW, then NET_PEER. */
enum status snapshot_nets(struct snapshot *, const struct ip *masked, unsigned prefix_len,
    struct net_entry *out, size_t max, size_t *count);
/* Connectors that name this certificate or key fingerprint (64 lower-case digits). */
enum status snapshot_certificate(struct snapshot *, struct span fingerprint,
    struct record_id *out);

/* A record by its id. */
enum status snapshot_record(struct snapshot *, const struct record_id *,
    struct record *out);

/* Every record in order of id. Callback returns false to stop. */
typedef bool snapshot_visit(void *context, const struct record_id *, const struct record *);
enum status snapshot_each(struct snapshot *, snapshot_visit *, void *context);

/*
 * Every key of an index in the order of its bytes, with the number of entries under it
 * (claims by target and those of forgotten directories too: ask for the owners to
 * know). Other look-ups may be made meanwhile. Callback returns false to stop.
 */
enum snapshot_keys {
	KEYS_ADDRESS,
	KEYS_LOGIN,
	KEYS_DOMAIN,
	KEYS_CONNECTOR,
};
typedef bool snapshot_key_visit(void *context, struct span key, size_t entries);
enum status snapshot_each_key(struct snapshot *, enum snapshot_keys,
    snapshot_key_visit *, void *context);

/* How many records of a kind a source has; takes no time. */
enum status snapshot_count(struct snapshot *, uint8_t source, enum record_kind,
    uint64_t *out);
/* Bytes of the replica's file that are in use, or free for use again. */
uint64_t snapshot_bytes(const struct snapshot *);

/* A value that syncd keeps beside the data ("src/3/cookie"). */
enum status snapshot_meta(struct snapshot *, const char *key, struct span *out);

#endif
