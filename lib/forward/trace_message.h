#ifndef CX_TRACE_MESSAGE_H
#define CX_TRACE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "value/address.h"
#include "value/span.h"
#include "value/status.h"

/*
 * What tells a message from others, for its trace: its Message-ID, or else date and author; and
 * who sent it again since, be it a person (Resent-Message-ID, Resent-Date) or a mailing list
 * (List-Id): it is another message then, though all else stays, and must arrive. Of these a
 * digest, of the same size however much a stranger writes.
 */
struct trace_message {
	bool has_id;
	bool has_date, has_from;
	uint8_t id[KEY_DIGEST_SIZE], date[KEY_DIGEST_SIZE], from[KEY_DIGEST_SIZE];
	uint8_t sendings[KEY_DIGEST_SIZE]; /* one digest over another */
};
/*
 * Takes in a header of the message, if it is one of those; all zero at first. Blanks do not
 * count, nor what is around an address or id in <>. CX_OK; CX_ENOMEM.
 */
enum status trace_message_add(struct trace_message *, struct span name,
    struct span value);

#endif
