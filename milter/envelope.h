#ifndef CX_MILTER_ENVELOPE_H
#define CX_MILTER_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decide/resolve.h"
#include "forward/trace.h"
#include "milter/dsn.h"
#include "milter/pool.h"

/*
 * The recipients of one message: as the client typed them, and what was decided for
 * each at RCPT. Kept compactly until the end of the message: an address is stored once
 * however many recipients lead to it, and so is a list of deliveries that several of
 * them share. Owns copies of everything; one message at a time, one thread at a time.
 *
 * Order: envelope_init(); for each message envelope_begin(), one of the envelope_add
 * functions for each recipient that is accepted; envelope_release().
 */

/* As many as go into a trace; of more, the first. */
#define ENVELOPE_EXPANDED_MAX TRACE_WRITTEN_MAX

/*
 * Recipients that the client may name, whatever becomes of them: they cost memory, and not every
 * MTA has a limit (Sendmail). Postfix stops at smtpd_recipient_limit (1000).
 */
#define ENVELOPE_RECIPIENTS_MAX 20000

/* Deliveries counted for each recipient anew, beyond the limit for distinct ones. */
#define ENVELOPE_PATHS_PER_DELIVERY 8

struct envelope_address {
	struct span key; /* address_key(), or "?" and the text where it did not parse */
	struct span text; /* external form */
	bool is_target;   /* somebody's delivery */
	bool is_leaving;  /* forwarded by us to a foreign domain, the MTA's own way */
};

/* One delivery of one recipient. */
struct envelope_path {
	uint32_t address;
	uint8_t kind; /* enum delivery_kind */
	uint8_t rule; /* enum rule */
};

struct envelope_recipient {
	struct span typed; /* argument of RCPT, exactly */
	struct dsn dsn;
	uint32_t address; /* its own */
	/* What the directory says, without what is covered. */
	const struct envelope_path *paths;
	size_t path_count;
	/* Groups behind it are expanded for another recipient: it has fewer paths, or none. */
	bool is_covered;
	/* The message was here before: what was expanded then is left out. */
	bool was_here;
	struct span object; /* DN */
};

struct envelope {
	struct pool pool;
	enum mta mta;
	/* By sendmail(1): addresses come rewritten, without <> and without arguments. */
	bool is_local_submission;
	struct envelope_recipient *recipients;
	size_t recipient_count;
	size_t recipient_size;
	struct envelope_address *addresses;
	size_t address_count;
	size_t address_size;
	/* What was expanded for it, or is handed to another system: for the trace. */
	uint8_t (*expanded)[16];
	size_t expanded_count;
	size_t expanded_size;
	struct keytab expanded_ids;
	struct keytab by_key;  /* key -> address */
	struct keytab decided; /* key -> first recipient with it */
	struct keytab groups;  /* that were expanded and led to somebody, and how */
	size_t delivery_count; /* distinct ones */
	size_t path_total;
};

void envelope_init(struct envelope *);
/* Forgets the message before. */
void envelope_begin(struct envelope *, enum mta, bool is_local_submission);
void envelope_release(struct envelope *); /* frees all; may be begun again */

/* A recipient as it comes in. */
struct envelope_entry {
	struct span typed;
	const struct dsn *dsn;
	struct span key;  /* of its address; empty where it is none */
	struct span text; /* external form; anything where it is none */
	bool is_replaced; /* a delivery to the same address takes its place, in that spelling */
};

/*
 * A recipient of this message with the same address, or NULL: what was decided for it
 * holds for every other spelling.
 */
const struct envelope_recipient *envelope_find(const struct envelope *,
    struct span key);

/* A recipient that is being decided, after those of the envelope. */
struct envelope_asker {
	const struct envelope *envelope;
	bool wants_failures; /* dsn_wants_failures(); groups of others may be silent */
};
/* A question_is_covered; the context is a struct envelope_asker. */
bool envelope_is_covered(void *asker, const struct record_id *group, enum delivery_kind);

/*
 * Adds a recipient: one that stays as it is; one for which the same holds as for
 * another; one that has the deliveries of a resolution. CX_ENOMEM; CX_EFULL: the
 * message would have more than `max_deliveries`, or has ENVELOPE_RECIPIENTS_MAX recipients that came by
 * SMTP, and nothing was added.
 */
enum status envelope_add_untouched(struct envelope *, const struct envelope_entry *);
enum status envelope_add_same(struct envelope *, const struct envelope_entry *,
    const struct envelope_recipient *);
enum status envelope_add(struct envelope *, const struct envelope_entry *,
    const struct resolution *, unsigned max_deliveries);

/*
 * Whether all recipients stay as the client named them and the message needs no trace: there is no
 * edit to be made of it.
 */
bool envelope_changes_nothing(const struct envelope *);
/* Not the directory's: it stays as it is. */
static inline bool envelope_is_untouched(const struct envelope_recipient *recipient)
{
	return recipient->path_count == 0 && !recipient->is_covered;
}
/* Its own address, in external form. */
struct span envelope_text(const struct envelope *, const struct envelope_recipient *);
/* Whether it was added as one that a delivery to the same address replaces. */
bool envelope_is_replaced(const struct envelope *, const struct envelope_recipient *);
/* Whether one of its deliveries is the recipient itself (or it is untouched). */
bool envelope_keeps_itself(const struct envelope_recipient *);

#endif
