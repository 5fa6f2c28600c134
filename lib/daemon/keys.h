#ifndef CX_KEYS_H
#define CX_KEYS_H

#include "daemon/conf.h"
#include "forward/secrets.h"

/*
 * The secrets of a configuration, read from their files: those of the site (trace), and
 * those of SRS, which are the same unless `srs` names others. Immutable and counted, as a
 * configuration is; any thread. The last one to let go wipes them.
 */
struct keys {
	struct secrets site; /* none: there is no secret file, and no trace */
	struct secrets srs;
};

/*
 * Reads the files that the configuration names; each is one secret, without one newline at its
 * end. Where it names none, the default file may be missing, unless SRS is enabled.
 * CX_OK; CX_ECONF with "FILE: what is wrong": unreadable, empty, over SECRET_LENGTH_MAX, readable or
 * writable by everybody, more than SECRETS_MAX of them; CX_ENOMEM.
 */
enum status keys_load(const struct conf *, struct keys **out, struct errbuf *);
/* The same without those of the site, for who needs none; without SRS nothing is read. */
enum status keys_load_srs(const struct conf *, struct keys **out, struct errbuf *);
struct keys *keys_ref(struct keys *);
void keys_unref(struct keys *); /* NULL is fine */

#endif
