#include "config.h"

#include <string.h>

#include "syncd/mapping_build.h"

/* The addresses that an entry has, and those that it sends mail on to. */

static const struct span nothing = { NULL, 0 };

/*
 * The address in a value, in external form (SMTP without its type). CX_NOTFOUND: to be
 * left out, a note was given; CX_EINVAL: too long, the entry was refused.
 */
static enum status read_address(const struct mapper *mapper, const char *attribute,
    struct span value, struct address *address, struct buf *text)
{
	const char *wrong = NULL;
	enum status status;

	for (size_t i = 0; i < value.len; i++) {
		if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f) {
			wrong = "has a control character";
		}
	}
	status = wrong ? CX_EINVAL : address_parse_typed(value, address);
	if (status == CX_ETOOLONG) {
		return mapper_refuse(mapper, attribute, value,
		    "the address is too long");
	} else if (status == CX_EINVAL) {
		wrong = wrong ? wrong : "not an address";
	} else if (status != CX_OK) {
		return status;
	} else if (address_is_smtp(address) && address->domain_len == 0) {
		wrong = "an address needs a domain";
	}
	if (wrong) {
		mapper_note(mapper, attribute, value, wrong);
		return CX_NOTFOUND;
	}
	buf_clear(text);
	address_print(address, text);
	return text->failed ? CX_ENOMEM : CX_OK;
}

/* An address that the object claims; CX_NOTFOUND: left out. */
static enum status read_own_address(const struct mapper *mapper, const char *attribute,
    struct span value, struct address *address, struct buf *text)
{
	enum status status = read_address(mapper, attribute, value, address, text);
	const char *wrong = NULL;

	if (status != CX_OK) {
		return status;
	}
	if (!address_is_smtp(address)) {
		/* One line at start says so: most users of Exchange have several. */
		return mapping_is_limited(mapper->mapping) ? CX_NOTFOUND : CX_OK;
	}
	if (address_is_literal(address)) {
		wrong = "an address literal is never ours";
	} else if (!mapping_allows_address(mapper->mapping, address)) {
		wrong = "outside the domains of this directory";
	}
	if (wrong) {
		mapper_note(mapper, attribute, value, wrong);
		return CX_NOTFOUND;
	}
	return CX_OK;
}

/*
 * The next value that is an address of ours: `text` is it, `value` as it was written. CX_NOTFOUND:
 * there is none left.
 */
static enum status next_own_address(const struct mapper *mapper,
    struct value_cursor *cursor, struct address *address, struct span *value,
    struct buf *text)
{
	enum status status = CX_NOTFOUND;

	while (status == CX_NOTFOUND && mapper_next(mapper, cursor, value)) {
		*value = span_trim(*value);
		status = read_own_address(mapper, value_cursor_name(cursor), *value,
		    address, text);
	}
	return status;
}

static enum status read_mails(const struct mapper *mapper, struct own_addresses *own,
    struct buf *text)
{
	struct value_cursor cursor = { .names = mapper->mapping->roles[ROLE_MAIL] };
	enum status status = CX_OK;
	struct address address;
	struct span value;

	while (status == CX_OK) {
		status = next_own_address(mapper, &cursor, &address, &value, text);
		if (status == CX_OK && !address_is_smtp(&address)) {
			mapper_note(mapper, value_cursor_name(&cursor), value,
			    "not an SMTP address");
		} else if (status == CX_OK) {
			status = value_list_add(&own->mails, buf_span(text), value);
		}
	}
	value_list_sort(&own->mails);
	return status == CX_NOTFOUND ? CX_OK : status;
}

static enum status read_proxies(const struct mapper *mapper, struct own_addresses *own,
    struct buf *text)
{
	struct value_cursor cursor = { .names =
					   mapper->mapping->roles[ROLE_PROXY_ADDRESS] };
	enum status status = CX_OK;
	struct address address;
	struct span value;

	while (status == CX_OK) {
		status = next_own_address(mapper, &cursor, &address, &value, text);
		if (status == CX_OK) {
			bool is_primary =
			    value.len > 5 && memcmp(value.ptr, "SMTP:", 5) == 0;

			status =
			    value_list_add(is_primary ? &own->primaries : &own->rest,
				buf_span(text), value);
		}
	}
	value_list_sort(&own->primaries);
	value_list_sort(&own->rest);
	return status == CX_NOTFOUND ? CX_OK : status;
}

/* Proxies are what is neither a primary address nor `mail`. */
static enum status gather_proxies(struct own_addresses *own)
{
	enum status status = CX_OK;

	for (size_t i = 0; status == CX_OK && i < own->rest.count; i++) {
		struct span text = { own->rest.text.data + own->rest.slots[i].offset,
			own->rest.slots[i].len };

		if (!value_list_has(&own->primaries, text) &&
		    !value_list_has(&own->mails, text)) {
			status = value_list_add(&own->proxies, text, nothing);
		}
	}
	return status;
}

enum status mapper_own_addresses(const struct mapper *mapper, struct own_addresses *own,
    struct buf *text)
{
	enum status status = read_mails(mapper, own, text);

	if (status == CX_OK) {
		status = read_proxies(mapper, own, text);
	}
	return status == CX_OK ? gather_proxies(own) : status;
}

enum status mapper_target(const struct mapper *mapper, struct buf *text,
    uint32_t *flags)
{
	names attributes = mapper->mapping->roles[ROLE_TARGET_ADDRESS];
	struct address address;
	struct span value;
	enum status status = mapper_single(mapper, attributes, &value);

	buf_clear(text);
	if (status != CX_OK || span_is_empty(value)) {
		return status;
	}
	status = read_address(mapper, attributes[0], value, &address, text);
	if (status == CX_NOTFOUND) {
		buf_clear(text);
		return mapper_refuse(mapper, attributes[0], value, "not an address");
	}
	if (status == CX_OK && !mapping_allows_address(mapper->mapping, &address)) {
		*flags |= RECIPIENT_TARGET_NOT_OWN;
	}
	return status;
}

enum status mapper_foreign_addresses(const struct mapper *mapper, names attributes,
    struct value_list *list)
{
	struct value_cursor cursor = { .names = attributes };
	enum status status = CX_OK;
	struct address address;
	struct span value;
	struct buf text;

	buf_init(&text);
	while (status == CX_OK && mapper_next(mapper, &cursor, &value)) {
		value = span_trim(value);
		status = read_address(mapper, value_cursor_name(&cursor), value,
		    &address, &text);
		if (status == CX_OK) {
			status = value_list_add(list, buf_span(&text), value);
		} else if (status == CX_NOTFOUND) {
			status = CX_OK;
		}
	}
	value_list_sort(list);
	buf_release(&text);
	return status;
}
