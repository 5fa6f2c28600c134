#ifndef CX_SYNCD_HELP_H
#define CX_SYNCD_HELP_H

#include "replica/store_write.h"
#include "syncd/mapping.h"

/* What the unit tests of syncd share. */

/* A directory section that names nothing and provides everything. */
struct conf_directory help_directory(void);

/*
 * Appends a record as text, a field a line: "kind recipient", "dn ...", "flags hidden", ...
 * Keys of references are shown, as what was made of them.
 */
void help_print_record(struct span stored, struct buf *out);

/* All records of a source, by their text, with no ids: the same for equal replicas. */
void help_print_store(struct store_writer *, uint8_t source, struct buf *out);

/*
 * Reads the only record of `ldif`, maps it; `out` gets its text, `said` the notes and, where it
 * cannot be used, why: a line each.
 */
enum status help_map(const struct conf_directory *, const char *ldif, struct buf *out,
    struct buf *said);

/* The record itself; the entry must be usable. */
void help_record(const struct conf_directory *, const char *ldif, struct buf *record);

#endif
