#ifndef CX_POLL_MARK_H
#define CX_POLL_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/status.h"

/*
 * How far polling has come: what it asks a server for that it has not seen. Pure. The
 * server's clock and counter alone count here, never ours.
 *
 *   POLL_MARK_TIME  the largest modifyTimestamp that was seen, in seconds since the epoch. Timestamps
 *                   have a resolution of a second, and entries that were replicated come
 *                   later than they say: what is asked for overlaps with what was seen.
 *   POLL_MARK_USN   Active Directory's highestCommittedUSN, read before the search: all
 *                   changes up to it have been seen. Each server has a counter of its own.
 */
enum poll_mark_kind {
	POLL_MARK_TIME = 1,
	POLL_MARK_USN = 2,
};

#define POLL_MARK_SERVER 16

struct poll_mark {
	enum poll_mark_kind kind;
	int64_t at;      /* 0 or more */
	int64_t slack_s; /* TIME: reading took so long; added to the overlap */
	uint8_t server[POLL_MARK_SERVER]; /* whose clock or counter: any hash */
};

/*
 * A GeneralizedTime (RFC 4517, 3.3.13) as seconds since the epoch, fractions dropped.
 * False: it is none, or before 1970.
 */
bool poll_time_parse(struct span, int64_t *out);
/* "20260102030405Z" */
#define POLL_TIME_TEXT 16
void poll_time_print(int64_t seconds, char out[POLL_TIME_TEXT]);
/* A counter: decimal digits, no sign. */
bool poll_usn_parse(struct span, int64_t *out);

/* `filter`, and newer than the mark, less the overlap. */
void poll_mark_filter(const struct poll_mark *, const char *filter, int64_t overlap_ms,
    struct buf *out);

/* The stored form. CX_EINVAL: it is none, or of another version. */
void poll_mark_print(const struct poll_mark *, struct buf *out);
enum status poll_mark_parse(struct span, struct poll_mark *out);

#endif
