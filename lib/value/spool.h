#ifndef CX_SPOOL_H
#define CX_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "value/errbuf.h"
#include "value/span.h"
#include "value/status.h"

/*
 * Bytes that grow by appending, however many: a few are in the heap; from SPOOL_HEAP_MAX on
 * they are in a file that has no name (O_TMPFILE) and is mapped, so that what is large is
 * no anonymous memory and the system can put it on disk. Space is allotted before it is
 * touched, so a full disk is CX_EIO and never SIGBUS.
 *
 * Bytes are addressed by their offset; `data`, and what points into it, is good until
 * something is added. One thread at a time.
 */
struct spool {
	char *data;
	size_t len;
	/* Private. */
	size_t size;
	size_t heap_max;
	int fd; /* -1: none, or no longer needed */
	bool is_mapped;
	int error; /* errno of the first failure */
	const char *directory;
};

#define SPOOL_HEAP_MAX ((size_t)256 * 1024)

/* `directory`: where the file is made; borrowed until spool_release(). */
void spool_init(struct spool *, const char *directory);
void spool_release(struct spool *); /* NULL and twice are fine */
/* Empties it. A file is given up; memory of the heap is kept. */
void spool_clear(struct spool *);
/* Empties it and keeps the file too: for one that is filled again and again. */
void spool_rewind(struct spool *);

/*
 * CX_OK; CX_ENOMEM; CX_EIO: the disk is full, or there can be no file there. What is in
 * the spool stays; the failed bytes are not in it. (A limit of file size sends SIGXFSZ.)
 */
enum status spool_add(struct spool *, const void *bytes, size_t len);
/* The same with `len` bytes for the caller to fill; NULL: see `error`. */
void *spool_extend(struct spool *, size_t len);
/* No more will be added: what is too much is given back, and the descriptor. */
void spool_seal(struct spool *);

/* These bytes are not needed any more; their space may be used for other things. */
void spool_forget(struct spool *, size_t offset, size_t len);

struct span spool_at(const struct spool *, size_t offset, size_t len);

/* After a failure: its status, and the reason in `err` (may be NULL). */
enum status spool_failure(const struct spool *, struct errbuf *err);

#endif
