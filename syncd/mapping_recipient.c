#include "config.h"

#include <openssl/evp.h>

#include "syncd/mapping_build.h"
#include "value/dn.h"
#include "value/utf8.h"

/* Mailboxes, custom recipients and groups. */

static const struct span nothing = { NULL, 0 };

/* A reference that is no DN is kept under a key that nobody has: broken, not absent. */
static void unresolvable_key(struct span dn, struct key *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buf text;

	if (!EVP_Digest(dn.ptr, dn.len, digest, &len, EVP_sha256(), NULL)) {
		len = 0;
	}
	buf_init_fixed(&text, out->bytes, sizeof(out->bytes));
	buf_add_text(&text, "bad:");
	for (unsigned i = 0; i < len; i++) {
		buf_printf(&text, "%02x", digest[i]);
	}
	out->len = text.len;
}

/* References to other entries. */
static enum status read_references(const struct mapper *mapper, names attributes,
    struct value_list *list)
{
	struct value_cursor cursor = { .names = attributes };
	enum status status = CX_OK;
	struct span value;
	struct key key;

	while (status == CX_OK && mapper_next(mapper, &cursor, &value)) {
		if (span_is_empty(span_trim(value))) {
			continue; /* groupOfNames must have a member: "" means none */
		}
		status = dn_key(value, &key);
		if (status == CX_ETOOLONG) {
			return mapper_refuse(mapper, value_cursor_name(&cursor), value,
			    "the DN is too long");
		}
		if (status == CX_EINVAL) {
			mapper_note(mapper, value_cursor_name(&cursor), value,
			    "not a DN");
			unresolvable_key(value, &key);
			status = CX_OK;
		}
		if (status == CX_OK) {
			status = value_list_add(list, key_span(&key), value);
		}
	}
	value_list_sort(list);
	return status;
}

/* "/o=Acme/ou=Site/cn=Configuration/cn=Servers/cn=MAIL1", as msExchHomeServerName has it. */
static enum status read_legacy_name(struct span value, struct buf *out)
{
	const char *part = memrchr(value.ptr, '/', value.len);
	size_t len = value.len - (size_t)(part + 1 - value.ptr);
	const char *equals = memchr(part + 1, '=', len);

	if (equals) {
		len -= (size_t)(equals + 1 - (part + 1));
		part = equals;
	}
	buf_add_span(out, (struct span){ part + 1, len });
	return out->failed ? CX_ENOMEM : CX_OK;
}

static enum status read_home_server(const struct mapper *mapper, struct buf *out)
{
	const char *skip = mapper->mapping->row->home_server_skip;
	struct span value;
	enum status status =
	    mapper_single(mapper, mapper->mapping->roles[ROLE_HOME_SERVER], &value);

	buf_clear(out);
	if (status != CX_OK || span_is_empty(value)) {
		return status;
	}
	if (value.ptr[0] == '/') {
		return read_legacy_name(value, out);
	}
	if (memchr(value.ptr, '=', value.len)) {
		status = dn_rdn_value(value, out);
		if (status == CX_OK && skip &&
		    span_equal_case(buf_span(out), span_of(skip))) {
			buf_clear(out);
			status = dn_rdn_value(dn_parent(value), out);
		}
		if (status != CX_EINVAL) {
			return status;
		}
		buf_clear(out);
	}
	buf_add_span(out, value);
	return out->failed ? CX_ENOMEM : CX_OK;
}

/* "adam@acme.example": a login that is an address must be one that the directory may have. */
static bool is_login_outside(const struct mapping *mapping, struct span login)
{
	struct address address;

	return mapping_is_limited(mapping) &&
	       memchr(login.ptr, '@', login.len) != NULL &&
	       address_parse_internal(login, &address) == CX_OK &&
	       address.domain_len > 0 && !mapping_allows_address(mapping, &address);
}

static enum status read_logins(const struct mapper *mapper, struct value_list *list)
{
	struct value_cursor cursor = { .names = mapper->mapping->roles[ROLE_LOGIN] };
	enum status status = CX_OK;
	struct span value;
	struct buf folded;

	buf_init(&folded);
	while (status == CX_OK && mapper_next(mapper, &cursor, &value)) {
		value = span_trim(value);
		if (span_is_empty(value)) {
			continue;
		}
		if (value.len > ADDRESS_VALUE_MAX) {
			status = mapper_refuse(mapper, value_cursor_name(&cursor),
			    value, "the login name is too long");
			break;
		}
		if (is_login_outside(mapper->mapping, value)) {
			mapper_note(mapper, value_cursor_name(&cursor), value,
			    "outside the domains of this directory");
			continue;
		}
		buf_clear(&folded);
		status = utf8_fold(value, &folded);
		if (status == CX_EINVAL) {
			mapper_note(mapper, value_cursor_name(&cursor), value,
			    "not UTF-8");
			status = CX_OK;
		} else if (status == CX_OK) {
			status = value_list_add(list, buf_span(&folded), value);
		}
	}
	value_list_sort(list);
	buf_release(&folded);
	return status;
}

/*
 * What cannot be read: where a permission hangs on it, the entry is refused; parked is
 * taken for granted (mail waits); the rest is as if absent.
 */
static enum status read_flags(const struct mapper *mapper, uint32_t *flags)
{
	const struct mapping *mapping = mapper->mapping;
	const struct {
		names attributes;
		uint32_t flag;
		bool value; /* that sets it */
		enum {
			IGNORE,
			REFUSE,
			ASSUME
		} unreadable;
	} rows[] = {
		{ mapping->roles[ROLE_DELIVER_AND_REDIRECT],
		    RECIPIENT_DELIVER_AND_REDIRECT, true, IGNORE },
		{ mapping->roles[ROLE_HIDE], RECIPIENT_HIDDEN, true, IGNORE },
		{ mapping->roles[ROLE_RELAY_ALLOWED], RECIPIENT_RELAY_FORBIDDEN, false,
		    REFUSE },
		{ mapping->roles[ROLE_REQUIRE_AUTH], RECIPIENT_REQUIRE_AUTH, true,
		    REFUSE },
		{ mapping->parked, RECIPIENT_PARKED, true, ASSUME },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool value = false;
		enum status status = mapper_boolean(mapper, rows[i].attributes, &value);

		if (status == CX_OK && value == rows[i].value) {
			*flags |= rows[i].flag;
		} else if (status == CX_EINVAL && rows[i].unreadable == REFUSE) {
			return mapper_refuse(mapper, rows[i].attributes[0], nothing,
			    "is neither TRUE nor FALSE");
		} else if (status == CX_EINVAL) {
			bool is_assumed = rows[i].unreadable == ASSUME;

			mapper_note(mapper, rows[i].attributes[0], nothing,
			    is_assumed ? "neither TRUE nor FALSE, read as TRUE"
				       : "neither TRUE nor FALSE, ignored");
			*flags |= is_assumed ? rows[i].flag : 0;
		}
	}
	return CX_OK;
}

static struct span display_name(const struct mapper *mapper)
{
	static const char *const display[] = { "displayName", NULL };
	static const char *const common[] = { "cn", NULL };
	struct span name = mapper_name(mapper, display);

	if (span_is_empty(name) || !utf8_is_valid(name)) {
		name = mapper_name(mapper, common);
	}
	return utf8_is_valid(name) ? name : nothing;
}

/* Everything of one recipient, before it is written in the order of tags. */
struct draft {
	struct own_addresses own;
	struct value_list alternates, forwardings, logins, members, member_addresses;
	struct buf target, home, scratch;
	uint32_t flags;
};

static void each_list(struct draft *draft, void (*act)(struct value_list *))
{
	struct value_list *lists[] = { &draft->own.primaries, &draft->own.mails,
		&draft->own.proxies, &draft->own.rest, &draft->alternates,
		&draft->forwardings, &draft->logins, &draft->members,
		&draft->member_addresses };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		act(lists[i]);
	}
}

static void draft_init(struct draft *draft)
{
	each_list(draft, value_list_init);
	buf_init(&draft->target);
	buf_init(&draft->home);
	buf_init(&draft->scratch);
	draft->flags = 0;
}

static void draft_release(struct draft *draft)
{
	each_list(draft, value_list_release);
	buf_release(&draft->target);
	buf_release(&draft->home);
	buf_release(&draft->scratch);
}

static enum status draft_fill_addresses(struct draft *draft,
    const struct mapper *mapper)
{
	enum status status;

	if ((status = mapper_own_addresses(mapper, &draft->own, &draft->scratch)) !=
		CX_OK ||
	    (status = mapper_target(mapper, &draft->target, &draft->flags)) != CX_OK ||
	    (status = mapper_foreign_addresses(mapper,
		 mapper->mapping->roles[ROLE_FORWARDING_ADDRESS],
		 &draft->forwardings)) != CX_OK) {
		return status;
	}
	if (draft->forwardings.count > 1) {
		mapper_note(mapper, mapper->mapping->roles[ROLE_FORWARDING_ADDRESS][0],
		    draft->forwardings.slots[1].raw, "only one counts");
		draft->forwardings.count = 1;
	}
	if (draft->own.primaries.count + draft->own.mails.count +
		draft->own.proxies.count + draft->target.len ==
	    0) {
		errbuf_set(mapper->why, "no valid address");
		return CX_EINVAL;
	}
	return CX_OK;
}

static enum status draft_fill(struct draft *draft, const struct mapper *mapper)
{
	const struct mapping *mapping = mapper->mapping;
	enum status status;

	if ((status = draft_fill_addresses(draft, mapper)) != CX_OK ||
	    (status = read_flags(mapper, &draft->flags)) != CX_OK ||
	    (status = read_references(mapper, mapping->roles[ROLE_ALT_RECIPIENT],
		 &draft->alternates)) != CX_OK ||
	    (status = read_home_server(mapper, &draft->home)) != CX_OK ||
	    (status = read_logins(mapper, &draft->logins)) != CX_OK ||
	    (status = read_references(mapper, mapping->roles[ROLE_MEMBER],
		 &draft->members)) != CX_OK ||
	    (status = mapper_foreign_addresses(mapper,
		 mapping->roles[ROLE_MEMBER_ADDRESS], &draft->member_addresses)) !=
		CX_OK) {
		return status;
	}
	size_t member_count = draft->members.count + draft->member_addresses.count;
	bool is_group = mapper_has_class(mapper, mapping->row->group_classes) ||
			(member_count && mapper_has_class(mapper,
					     mapping->row->member_group_classes));

	/* A target address makes a custom recipient of whatever has it. */
	if (is_group && draft->target.len == 0) {
		draft->flags |= RECIPIENT_IS_GROUP;
	} else {
		draft->members.count = draft->member_addresses.count = 0;
	}
	if (draft->target.len && mapper_has_class(mapper, mapping->row->mailbox_classes)) {
		draft->flags |= RECIPIENT_IS_MAILBOX;
	}
	return CX_OK;
}

static void draft_write(const struct draft *draft, const struct mapper *mapper)
{
	struct buf *record = mapper->record;
	struct span name = display_name(mapper);

	record_begin(record, RECORD_RECIPIENT);
	record_put(record, TAG_DN, mapper->entry->dn);
	record_put_flags(record, draft->flags);
	if (name.len) {
		record_put(record, TAG_NAME, name);
	}
	value_list_put(&draft->own.primaries, record, TAG_PRIMARY);
	value_list_put(&draft->own.mails, record, TAG_MAIL);
	value_list_put(&draft->own.proxies, record, TAG_PROXY);
	if (draft->target.len) {
		record_put(record, TAG_TARGET, buf_span(&draft->target));
	}
	value_list_put(&draft->alternates, record, TAG_ALT_KEY);
	value_list_put_raw(&draft->alternates, record, TAG_ALT_DN);
	value_list_put(&draft->forwardings, record, TAG_FORWARDING);
	if (draft->home.len) {
		record_put(record, TAG_HOME_SERVER, buf_span(&draft->home));
	}
	value_list_put(&draft->logins, record, TAG_LOGIN);
	value_list_put(&draft->members, record, TAG_MEMBER_KEY);
	value_list_put_raw(&draft->members, record, TAG_MEMBER_DN);
	value_list_put(&draft->member_addresses, record, TAG_MEMBER_ADDRESS);
}

enum status mapper_recipient(const struct mapper *mapper)
{
	struct draft draft;

	draft_init(&draft);
	enum status status = draft_fill(&draft, mapper);
	if (status == CX_OK) {
		draft_write(&draft, mapper);
	}
	draft_release(&draft);
	return status;
}
