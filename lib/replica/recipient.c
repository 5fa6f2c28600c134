#include "config.h"

#include "replica/recipient.h"

/* The values of a tag; what is before them is not looked at again. */
static struct values take(struct record *record, enum record_tag tag)
{
	struct values values = record_values(record, tag);

	record->fields = values.rest;
	return values;
}

static struct span take_first(struct record *record, enum record_tag tag)
{
	struct values values = take(record, tag);
	struct span value;

	values_next(&values, &value);
	return value;
}

static enum recipient_kind kind_of(const struct recipient *recipient)
{
	if (!span_is_empty(recipient->target)) {
		return RECIPIENT_CUSTOM;
	}
	return recipient->flags & RECIPIENT_IS_GROUP ? RECIPIENT_GROUP
						     : RECIPIENT_MAILBOX;
}

enum status recipient_decode(const struct record *record, struct recipient *out)
{
	struct record rest = *record;

	if (record->kind != RECORD_RECIPIENT) {
		return CX_EFORMAT;
	}
	/* In order of tag. */
	out->flags = record_flags(record);
	out->dn = take_first(&rest, TAG_DN);
	out->name = take_first(&rest, TAG_NAME);
	out->primaries = take(&rest, TAG_PRIMARY);
	out->mails = take(&rest, TAG_MAIL);
	out->proxies = take(&rest, TAG_PROXY);
	out->target = take_first(&rest, TAG_TARGET);
	out->alternates = take(&rest, TAG_ALT_KEY);
	out->alternate_dns = take(&rest, TAG_ALT_DN);
	out->forwarding_address = take_first(&rest, TAG_FORWARDING);
	out->home_server = take_first(&rest, TAG_HOME_SERVER);
	out->logins = take(&rest, TAG_LOGIN);
	out->members = take(&rest, TAG_MEMBER_KEY);
	out->member_dns = take(&rest, TAG_MEMBER_DN);
	out->member_addresses = take(&rest, TAG_MEMBER_ADDRESS);
	out->kind = kind_of(out);
	return CX_OK;
}
