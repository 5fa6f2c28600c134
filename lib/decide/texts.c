#include "config.h"

#include "decide/resolve.h"

/* Names that people read and scripts rely on. */

/* clang-format off */
static const char *const verdicts[VERDICT_COUNT] = {
	[VERDICT_DELIVER]     = "deliver",
	[VERDICT_FOREIGN]     = "foreign",
	[VERDICT_UNKNOWN]     = "unknown",
	[VERDICT_INVALID]     = "invalid",
	[VERDICT_DENIED]      = "denied",
	[VERDICT_LOOP]        = "loop",
	[VERDICT_HORIZON]     = "horizon",
	[VERDICT_BROKEN]      = "broken",
	[VERDICT_DISABLED]    = "disabled",
	[VERDICT_PARKED]      = "parked",
	[VERDICT_TOO_MANY]    = "unavailable",
	[VERDICT_UNAVAILABLE] = "unavailable",
};

static const char *const kinds[] = {
	[DELIVERY_SELF]     = "self",
	[DELIVERY_REDIRECT] = "redirect",
	[DELIVERY_GROUP]    = "group",
	[DELIVERY_COPY]     = "copy",
};

static const char *const rules[RULE_COUNT] = {
	[RULE_NONE]               = "none",
	[RULE_MAILBOX]            = "mailbox",
	[RULE_PRIMARY]            = "primary",
	[RULE_ALT_RECIPIENT]      = "altRecipient",
	[RULE_FORWARDING_ADDRESS] = "forwardingAddress",
	[RULE_TARGET_ADDRESS]     = "targetAddress",
	[RULE_MEMBER]             = "member",
	[RULE_FORWARD_HOST]       = "forwardHost",
	[RULE_REWRITE_DOMAIN]     = "rewriteDomain",
	[RULE_POSTMASTER]         = "postmaster",
	[RULE_ONE_OFF]            = "oneOff",
	[RULE_OBSERVE]            = "observe",
	[RULE_FOREIGN]            = "foreign",
	[RULE_UNKNOWN]            = "unknown",
	[RULE_SYNTAX]             = "syntax",
	[RULE_ROUTE]              = "route",
	[RULE_REQUIRE_AUTH]       = "requireAuth",
	[RULE_PARKED]             = "parked",
	[RULE_DISABLED]           = "disabled",
	[RULE_MISSING]            = "missing",
	[RULE_AMBIGUOUS]          = "ambiguous",
	[RULE_NO_ROUTE]           = "noRoute",
	[RULE_LOOP]               = "loop",
	[RULE_DEPTH]              = "depth",
	[RULE_LIMIT]              = "limit",
	[RULE_SRS]                = "srs",
	[RULE_SPLIT_HORIZON]      = "splitHorizon",
	[RULE_AGE]                = "age",
	[RULE_REPLICA]            = "replica",
};
/* clang-format on */

const char *verdict_text(enum verdict verdict)
{
	return verdicts[verdict];
}

const char *delivery_kind_text(enum delivery_kind kind)
{
	return kinds[kind];
}

const char *rule_text(enum rule rule)
{
	return rules[rule];
}
