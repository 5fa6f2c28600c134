#ifndef CX_APPLY_WORLD_H
#define CX_APPLY_WORLD_H

#include <check.h>

#include "syncd/apply.h"
#include "syncd/mapping.h"

/* What the unit tests of syncd/apply.h share. What fails here fails the test. */

enum {
	NOW = 1700000000, /* where `now` of a new world begins */
	MINUTES = 60
};

/* How many changes a transaction of a new world takes; 0: as many as usual. */
extern size_t changes_max;

/* A replica with one directory, "test". */
struct world {
	char *folder;
	struct apply *apply;
	struct apply_source source;
	struct conf_directory directory;
	struct batch batch; /* what deliver() delivers, and clears */
	struct apply_outcome outcome;
	int64_t now;
};

void world_init(struct world *);
/* Asserts that records, indexes, counts and directories agree, as readers see them. */
void world_release(struct world *);
/* As kill -9 and a new start would have it: what was committed is what there is. */
void world_restart(struct world *);

/* What the link names: another one after a new file was published. */
void name_file(struct world *, char out[64]);

/* Each adds to the batch what is said of the entry with the UUID of that number. */
void put_entry(struct world *, unsigned number, const char *ldif);
/* A mailbox with DN and address of its number; `version` makes another record of it. */
void put_mailbox(struct world *, unsigned number, unsigned version);
void put_domain(struct world *, unsigned number, unsigned version);
void remove_number(struct world *, unsigned number);
void present_number(struct world *, unsigned number);
void spare_number(struct world *, unsigned number);
void not_ours_number(struct world *, unsigned number);
void unusable_number(struct world *, unsigned number);
void same_number(struct world *, unsigned number);

void begin_refresh(struct world *);
void deliver(struct world *);
void deliver_complete(struct world *);
/* So many mailboxes, all of them and nothing else. */
void load_mailboxes(struct world *, unsigned first, unsigned count);

struct apply_report report(struct world *);
size_t recipients_of(struct world *, uint8_t source);
uint64_t generation(struct world *);
/* How many were removed. */
size_t accept_all(struct world *);

/* All tests twice: as usual, and with so few changes in a transaction that new files are made. */
Suite *apply_suite(const char *name, void (*add_tests)(TCase *));

#endif
