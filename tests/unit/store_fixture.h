#ifndef CX_STORE_FIXTURE_H
#define CX_STORE_FIXTURE_H

#include "make_record.h"
#include "replica/store_load.h"
#include "replica/store_write.h"
#include "unit.h"

/*
 * A replica in a folder of its own, with two sources, corp (1) before old (2), that
 * provide everything; its writer and a reader. For tcase_add_checked_fixture().
 */
struct fixture {
	char *folder;
	struct store_writer *writer;
	struct store *store;
	struct source_info sources[2];
	struct buf buf; /* of the last record made */
	struct errbuf err;
};
extern struct fixture fx;

void fixture_set_up(void);
void fixture_tear_down(void);

/* Each asserts that it works. */
void fixture_open_writer(void);
/* And that there was a replica to go on with, or not. */
void fixture_reopen_writer(bool expect_new);
void fixture_open_store(void);
/* Writer and reader. */
void fixture_close(void);
void fixture_begin(void);
void fixture_commit(void);
/* Of the source, in sorted runs of so many records. */
struct store_load *fixture_load(struct store_writer *, uint8_t source, size_t run);
void fixture_build(void);
void fixture_publish(void);
struct snapshot *fixture_snapshot(void);
uint64_t fixture_generation(void);
void fixture_name_source(size_t i, const char *name);
/* Whether it changed anything. */
bool fixture_put(unsigned source, unsigned number, struct span record);
void fixture_put_mailbox(unsigned source, unsigned number, const char *mail);
/* Of 1/1, in a transaction of its own. */
void fixture_commit_mailbox(const char *mail);

/*
 * "1/7 2/3 ": source and number of the owners of an address, best first; "t" behind those
 * who only have it as their target. "": nobody.
 */
void fixture_assert_owners(const char *address, const char *expected);

/*
 * "KEY=ENTRIES/OWNERS " for each key of an index, up to the first that begins with "smtp:z", which
 * tells it to stop. Owners are looked up while it runs: that does not lose the place.
 */
enum status fixture_print_keys(struct snapshot *, enum snapshot_keys kind,
    struct buf *out);

#endif
