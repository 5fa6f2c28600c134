#ifndef CX_SERVICE_H
#define CX_SERVICE_H

#include "daemon/log_limit.h"
#include "policyd/counts.h"
#include "policyd/session.h"
#include "policyd/workspace.h"

/*
 * What stands behind a session: the two protocols, with a snapshot of the replica taken
 * for each request, the clock and the log. One for each worker; all its memory
 * is got beforehand.
 */
struct service {
	struct store *store;             /* borrowed; may change between requests */
	const struct settings *settings; /* borrowed; may change between requests */
	const struct secrets *srs_secrets; /* likewise */
	enum service_kind kind;
	struct counts *counts; /* borrowed */
	struct workspace workspace;
	char *scratch; /* one value of a map, or one line of log */
	struct log_limit malformed;
	struct log_limit trouble;
	struct log_limit observed;
};

/* `counts` is shared by all workers. CX_ENOMEM */
enum status service_init(struct service *, enum service_kind, struct counts *counts);
void service_release(struct service *);

/* Their context is a struct service. */
extern const struct protocol policy_protocol;
extern const struct protocol map_protocol;

/* Milliseconds that never go back. */
int64_t service_clock_ms(void);

#endif
