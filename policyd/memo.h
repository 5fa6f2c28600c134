#ifndef CX_POLICYD_MEMO_H
#define CX_POLICYD_MEMO_H

#include "decide/resolve.h"

/*
 * The last decisions that took many objects: a message of a thousand recipients may name one large
 * group in each, and its verdict is the same for all of them. What is kept answers
 * the same question alone: same state of the replica, same second, same client. Verdicts
 * only, no deliveries. All memory is inside; one thread.
 */
#define MEMO_ROWS        8
#define MEMO_ENTERED_MIN 64  /* objects: less is decided as fast as it is found here */
#define MEMO_OBJECT_MAX  512 /* bytes of a DN */

struct memo_row {
	bool is_set;
	uint64_t generation;
	int64_t now;
	struct client client;
	bool is_sender_empty;
	struct key key;
	struct resolution resolution;
	char object[MEMO_OBJECT_MAX];
};

struct memo {
	size_t next;
	struct memo_row rows[MEMO_ROWS];
};

/* Forgets all: other settings are in force. */
void memo_clear(struct memo *);
/* The answer to this question; NULL: not known. Lent until the next memo_keep(). */
const struct resolution *memo_find(const struct memo *, const struct view *,
    const struct question *);
/* Keeps a copy of what resolve() said, where that is worth it and possible. */
void memo_keep(struct memo *, const struct view *, const struct question *,
    const struct resolution *);

#endif
