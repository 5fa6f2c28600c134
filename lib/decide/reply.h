#ifndef CX_REPLY_H
#define CX_REPLY_H

#include "decide/authorize.h"
#include "decide/resolve.h"

/*
 * What a client is told. Constants only: replies name neither inner hosts nor
 * DNs nor forward targets, and no text of a stranger gets into them.
 */
struct reply {
	const char *code;     /* "550" */
	const char *enhanced; /* "5.1.1" */
	const char *text;     /* "User unknown" */
};

/* NULL where nothing is refused or deferred. */
const struct reply *reply_of_resolution(const struct resolution *);
const struct reply *reply_of_relay(enum relay_verdict);
/* 553 5.7.1: the envelope sender is not the authenticated user's. */
const struct reply *reply_sender_not_owned(void);
/* 451 4.3.0: the replica cannot be read. */
const struct reply *reply_unavailable(void);
/* A 4xx. */
bool reply_is_temporary(const struct reply *);
/* The exit code of coexistctl resolve (SPEC section 12). */
int resolution_exit_code(const struct resolution *);

#endif
