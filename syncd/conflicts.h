#ifndef CX_CONFLICTS_H
#define CX_CONFLICTS_H

#include "syncd/batch.h"

/*
 * Addresses and login names that more than one entry claims, looked for where a batch has just changed
 * something (a first load: anywhere), for people to be told. Reads the replica after the
 * commit.
 */
struct conflict {
	bool is_login;
	struct span what; /* a login name; the key of an address, "smtp:adam@acme.example" */
	bool is_ambiguous;         /* both in one directory: nobody has it */
	struct span winner, loser; /* DNs */
	const char *directory, *winning_directory;
};

/* Borrowed for the call. */
typedef void conflict_found(void *context, const struct conflict *);

/* At most CONFLICTS_MAX are told of one batch. Without a replica: none. */
#define CONFLICTS_MAX 100
/* `writer` only hears that the search gets on (store_works()). */
void conflicts_find(const char *replica, struct store_writer *writer,
    const struct batch *, conflict_found *, void *context);

#endif
