#include "config.h"

#include "replica/domain.h"

/* The only byte of a field; 0 where there is none. */
static unsigned first_byte(const struct record *record, enum record_tag tag)
{
	struct span value = record_first(record, tag);

	return value.len == 1 ? (unsigned char)value.ptr[0] : 0;
}

enum status domain_decode(const struct record *record, struct domain *out)
{
	unsigned type = first_byte(record, TAG_DOMAIN_TYPE);
	unsigned unknown = first_byte(record, TAG_UNKNOWN);

	if (record->kind != RECORD_DOMAIN || type < DOMAIN_AUTHORITATIVE ||
	    type > DOMAIN_REWRITE || unknown > DOMAIN_UNKNOWN_OBSERVE) {
		return CX_EFORMAT;
	}
	out->type = (enum domain_type)type;
	/* Absent: the default. */
	out->unknown = unknown ? (enum domain_unknown)unknown : DOMAIN_UNKNOWN_REJECT;
	out->flags = record_flags(record);
	out->dn = record_first(record, TAG_DN);
	out->patterns = record_values(record, TAG_DOMAIN);
	out->rewrite_domain = record_first(record, TAG_REWRITE_DOMAIN);
	out->forward_host = record_first(record, TAG_FORWARD_HOST);
	return CX_OK;
}

const char *domain_type_text(enum domain_type type)
{
	switch (type) {
	case DOMAIN_AUTHORITATIVE: return "authoritative";
	case DOMAIN_SHARED: return "shared";
	case DOMAIN_RELAY: return "relay";
	case DOMAIN_REWRITE: return "rewrite";
	}
	return "unknown";
}
