#ifndef CX_MAPPING_H
#define CX_MAPPING_H

#include "daemon/conf.h"
#include "syncd/entry.h"
#include "value/buf.h"

/*
 * Directory entry -> record (SPEC section 3). A mapping names the attribute for each
 * role and says which entries are recipients, domains and connectors.
 */
struct mapping;

/* From the configuration of a directory. CX_ECONF: no such mapping. */
enum status mapping_new(const struct conf_directory *, struct mapping **out,
    struct errbuf *);
void mapping_free(struct mapping *);

/*
 * Appends the record of an entry to `record` (a heap buf, empty). CX_OK; CX_NOTFOUND: not
 * an entry for us; CX_EINVAL: it cannot be used, `why` says what is wrong with which attribute
 * (the caller logs the DN). A value that is wrong on its own (a bad proxy address beside good
 * ones) is left out and reported through `note`, called zero or more times.
 */
typedef void mapping_note(void *context, const char *text);
enum status mapping_apply(const struct mapping *, const struct entry *, struct buf *record,
    struct errbuf *why, mapping_note *note, void *context);

/*
 * Copies a stored record, with references to entries that have another name now: `renamed`
 * is given the key of a reference, and where it returns true it has set the new DN. *changed
 * says whether it did for one. CX_OK; CX_EFORMAT: not a record; CX_ENOMEM.
 */
typedef bool mapping_renamed(void *context, struct span key, struct span *dn);
enum status mapping_retarget(struct span stored, mapping_renamed *, void *context,
    struct buf *out, bool *changed);

/* The search filter for everything the mapping can use, containers included. */
const char *mapping_filter(const struct mapping *);
/* NULL-terminated list of the attributes to ask for. */
char *const *mapping_attributes(const struct mapping *);
/* Changes whenever records of unchanged entries would come out different. */
uint64_t mapping_fingerprint(const struct mapping *);

#endif
