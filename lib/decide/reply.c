#include "config.h"

#include "decide/reply.h"

#include <sysexits.h>

/* clang-format off */
static const struct reply replies[VERDICT_COUNT] = {
	[VERDICT_UNKNOWN]     = { "550", "5.1.1", "User unknown" },
	[VERDICT_INVALID]     = { "501", "5.1.3", "Bad recipient address syntax" },
	[VERDICT_DENIED]      = { "550", "5.7.1", "Delivery not authorized: this recipient takes mail of authenticated senders only" },
	[VERDICT_LOOP]        = { "550", "5.4.6", "Routing loop: this recipient is forwarded to itself" },
	[VERDICT_HORIZON]     = { "451", "4.4.6", "Each of two mail systems takes this recipient for the other's; try again later" },
	[VERDICT_BROKEN]      = { "451", "4.3.5", "This recipient cannot be delivered to at present; try again later" },
	[VERDICT_DISABLED]    = { "451", "4.3.2", "Mail for this domain is switched off for now; try again later" },
	[VERDICT_PARKED]      = { "450", "4.2.1", "Mailbox is being moved; try again later" },
	[VERDICT_TOO_MANY]    = { "452", "4.5.3", "Too many recipients; try again in smaller pieces" },
	[VERDICT_UNAVAILABLE] = { "451", "4.3.0", "Directory temporarily unavailable; try again later" },
};

static const int exit_codes[VERDICT_COUNT] = {
	[VERDICT_DELIVER]     = EX_OK,
	[VERDICT_FOREIGN]     = EX_OK,
	[VERDICT_UNKNOWN]     = EX_NOUSER,
	[VERDICT_INVALID]     = EX_DATAERR,
	[VERDICT_DENIED]      = EX_NOPERM,
	[VERDICT_LOOP]        = EX_DATAERR,
	[VERDICT_HORIZON]     = EX_TEMPFAIL,
	[VERDICT_BROKEN]      = EX_TEMPFAIL,
	[VERDICT_DISABLED]    = EX_TEMPFAIL,
	[VERDICT_PARKED]      = EX_TEMPFAIL,
	[VERDICT_TOO_MANY]    = EX_TEMPFAIL,
	[VERDICT_UNAVAILABLE] = EX_TEMPFAIL,
};
/* clang-format on */

static const struct reply relay_forbidden = { "554", "5.7.1", "Relay access denied" };
static const struct reply sender_not_owned = { "553", "5.7.1",
	"Sender address rejected: not owned by the authenticated user" };

const struct reply *reply_of_resolution(const struct resolution *resolution)
{
	/* An unknown recipient that was only forwarded, and would be forwarded back: the
	 * other system has just said that it does not know it either. */
	if (resolution->verdict == VERDICT_HORIZON && !resolution->is_known) {
		return &replies[VERDICT_UNKNOWN];
	}
	if (replies[resolution->verdict].code == NULL) {
		return NULL;
	}
	return &replies[resolution->verdict];
}

const struct reply *reply_of_relay(enum relay_verdict verdict)
{
	switch (verdict) {
	case RELAY_NOT_PERMITTED:
	case RELAY_PERMITTED: return NULL;
	case RELAY_FORBIDDEN: return &relay_forbidden;
	case RELAY_UNAVAILABLE: return reply_unavailable();
	}
	return reply_unavailable();
}

const struct reply *reply_sender_not_owned(void)
{
	return &sender_not_owned;
}

const struct reply *reply_unavailable(void)
{
	return &replies[VERDICT_UNAVAILABLE];
}

bool reply_is_temporary(const struct reply *reply)
{
	return reply->code[0] == '4';
}

int resolution_exit_code(const struct resolution *resolution)
{
	return reply_of_resolution(resolution) == &replies[VERDICT_UNKNOWN]
	    ? EX_NOUSER
	    : exit_codes[resolution->verdict];
}
