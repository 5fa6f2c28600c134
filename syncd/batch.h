#ifndef CX_BATCH_H
#define CX_BATCH_H

#include <stdbool.h>

#include "replica/record.h"
#include "replica/store_load.h"
#include "syncd/uuid_set.h"
#include "value/buf.h"
#include "value/spool.h"

/*
 * What a source (LDIF file, LDAP refresh, persist or poll) hands to apply.c: changes in
 * order of arrival, and what is known when they are in. A batch is applied in
 * one transaction or not at all. A large one is in files (value/spool.h).
 *
 * In a first load (`load`) the records go straight into the replica's new file and are no
 * changes of the batch. What else is said of an entry is, and whatever is said of that
 * entry behind it: the changes have the last word.
 */
enum change_kind {
	CHANGE_PUT,	/* the entry is this now */
	CHANGE_SAME,	/* it was read, and is what is stored */
	CHANGE_REMOVE,	/* the entry is gone: told so by the directory */
	CHANGE_PRESENT, /* unchanged and still there (syncrepl's present phase) */
	/*
	 * Nothing is said of it: a complete batch does not take it for gone, nor for one that
	 * reappeared. It goes only where another entry has its DN or one of its addresses.
	 */
	CHANGE_SPARED,
	/*
	 * It is there and none of ours, or none that can be seen to be (its object classes
	 * may be hidden): goes, but not as one that the directory said is deleted.
	 */
	CHANGE_NOT_OURS,
	/*
	 * It is there, and cannot be used (source_map() says so). Its record goes, but
	 * not as one that the directory said is deleted: a domain or connector is kept.
	 */
	CHANGE_UNUSABLE,
};

struct change {
	enum change_kind kind;
	bool is_changed; /* PUT: another record is stored now; apply_batch() says so */
	uint8_t uuid[16];
	size_t offset, len; /* in `records`: of PUT the record, of UNUSABLE dn, NUL, why */
};

struct batch {
	uint8_t source;
	/*
	 * Everything of the source that is neither put nor present in this batch is gone
	 * (a refresh that ended in refreshPresent, or one without a cookie; a whole file).
	 */
	bool is_complete;
	bool is_refresh;   /* not part of the persist stage */
	bool is_full;	   /* every entry was read: nothing is "present" by its id alone */
	bool has_contact;  /* proves contact now, even with no changes */
	bool has_cookie;   /* `cookie` replaces the stored one, in the same transaction */
	struct buf cookie;
	bool has_agenda;   /* `agenda` is what the source must do yet: replaces the stored one */
	struct buf agenda;
	bool has_mark;     /* `mark` replaces the stored one: how far polling has come */
	struct buf mark;
	bool is_compared; /* records that are stored already come as SAME */
	struct store_load *load; /* of a first load, the batch's; else NULL */
	struct change *changes; /* `count` of them, until another is added */
	size_t count;
	struct spool list, records; /* private */
	struct uuid_set told;	    /* private: with a load, what the changes speak of */
};

/* `directory`: for files; borrowed. */
void batch_init(struct batch *, uint8_t source, const char *directory);
void batch_release(struct batch *);
void batch_clear(struct batch *); /* empty again; files are given up */
/* Adding: CX_OK; CX_ENOMEM, CX_EIO (value/spool.h): it is not in the batch. */
enum status batch_put(struct batch *, const uint8_t uuid[16], struct span record);
enum status batch_same(struct batch *, const uint8_t uuid[16]);
enum status batch_remove(struct batch *, const uint8_t uuid[16]);
enum status batch_present(struct batch *, const uint8_t uuid[16]);
enum status batch_spare(struct batch *, const uint8_t uuid[16]);
enum status batch_not_ours(struct batch *, const uint8_t uuid[16]);
enum status batch_unusable(struct batch *, const uint8_t uuid[16], struct span dn,
    const char *why);
/* The record of a PUT; "dn NUL why" of an UNUSABLE; valid until the next change. */
struct span batch_record(const struct batch *, const struct change *);

#endif
