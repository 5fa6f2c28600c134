#include "config.h"

#include "syncd/mapping_build.h"
#include "value/address_space.h"
#include "value/cidr.h"

/* Domain objects and connectors: the same attributes in every mapping. */

#define NAMES(variable, ...) static const char *const variable[] = { __VA_ARGS__, NULL }

NAMES(associated_domain, "associatedDomain");
NAMES(domain_type, "coexistDomainType");
NAMES(rewrite_domain, "coexistRewriteDomain");
NAMES(forward_host, "coexistForwardHost");
NAMES(unknown_recipient, "coexistUnknownRecipient");
NAMES(enabled, "coexistEnabled");
NAMES(common_name, "cn");
NAMES(next_hop, "coexistNextHop");
NAMES(address_space, "coexistAddressSpace");
NAMES(peer, "coexistPeer");
NAMES(relay_client, "coexistRelayClient");
NAMES(relay_certificate, "coexistRelayCertificate");

/* FALSE is the safe reading, but which of the two "off"s was meant is not ours to say. */
static enum status read_enabled(const struct mapper *mapper, uint32_t flag,
    uint32_t *flags)
{
	bool is_enabled = true;

	if (mapper_boolean(mapper, enabled, &is_enabled) == CX_EINVAL) {
		return mapper_refuse(mapper, enabled[0], (struct span){ NULL, 0 },
		    "is neither TRUE nor FALSE");
	}
	if (!is_enabled) {
		*flags |= flag;
	}
	return CX_OK;
}

/* A next hop goes into the MTA's tables verbatim: one word, no control characters. */
static enum status read_hop(const struct mapper *mapper, names attribute,
    struct span *out)
{
	enum status status = mapper_single(mapper, attribute, out);

	for (size_t i = 0; status == CX_OK && i < out->len; i++) {
		unsigned char byte = (unsigned char)out->ptr[i];

		if (byte <= ' ' || byte == 0x7f) {
			status = mapper_refuse(mapper, attribute[0], *out,
			    "has a blank or a control character");
		}
	}
	return status;
}

/* "*.acme.example" and "acme.example", canonical. */
static enum status canonical_pattern(struct span text, char *out, size_t size)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct buf pattern;
	bool is_wildcard = text.len > 2 && text.ptr[0] == '*' && text.ptr[1] == '.';

	if (is_wildcard) {
		text = (struct span){ text.ptr + 2, text.len - 2 };
	}
	enum status status = domain_canonical(text, domain);
	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&pattern, out, size);
	buf_printf(&pattern, "%s%s", is_wildcard ? "*." : "", domain);
	return pattern.failed ? CX_ETOOLONG : CX_OK;
}

static enum status read_patterns(const struct mapper *mapper, struct value_list *list)
{
	struct value_cursor cursor = { .names = associated_domain };
	struct span value;
	enum status status = CX_OK;

	while (status == CX_OK && mapper_next(mapper, &cursor, &value)) {
		char pattern[ADDRESS_DOMAIN_MAX + 3];

		value = span_trim(value);
		if (canonical_pattern(value, pattern, sizeof(pattern)) != CX_OK) {
			mapper_note(mapper, associated_domain[0], value,
			    "not a domain");
		} else if (!mapping_allows_domain(mapper->mapping, span_of(pattern))) {
			mapper_note(mapper, associated_domain[0], value,
			    "outside the domains of this directory");
		} else {
			status = value_list_add(list, span_of(pattern), value);
		}
	}
	value_list_sort(list);
	if (status == CX_OK && list->count == 0) {
		return mapper_refuse(mapper, associated_domain[0],
		    (struct span){ NULL, 0 }, "no usable domain");
	}
	return status;
}

static enum status read_type(const struct mapper *mapper, enum domain_type *out)
{
	static const enum domain_type types[] = { DOMAIN_AUTHORITATIVE, DOMAIN_SHARED,
		DOMAIN_RELAY, DOMAIN_REWRITE };
	struct span value;
	enum status status = mapper_single(mapper, domain_type, &value);

	if (status != CX_OK) {
		return status;
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (span_equal_case(value, span_of(domain_type_text(types[i])))) {
			*out = types[i];
			return CX_OK;
		}
	}
	return mapper_refuse(mapper, domain_type[0], value,
	    "must be authoritative, shared, relay or rewrite");
}

/* What cannot be read is `reject`, the default: it never widens what is accepted. */
static enum domain_unknown read_unknown(const struct mapper *mapper)
{
	static const struct {
		const char *text;
		enum domain_unknown value;
	} words[] = {
		{ "reject", DOMAIN_UNKNOWN_REJECT },
		{ "forward", DOMAIN_UNKNOWN_FORWARD },
		{ "observe", DOMAIN_UNKNOWN_OBSERVE },
	};
	struct value_cursor cursor = { .names = unknown_recipient };
	enum domain_unknown result = DOMAIN_UNKNOWN_REJECT;
	unsigned seen = 0;
	struct span value;

	while (mapper_next(mapper, &cursor, &value)) {
		bool is_known = false;

		value = span_trim(value);
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (span_equal_case(value, span_of(words[i].text))) {
				result = words[i].value;
				is_known = true;
			}
		}
		if (!is_known || seen++) {
			mapper_note(mapper, unknown_recipient[0], value,
			    is_known ? "several values, read as reject"
				     : "no such word, read as reject");
			return DOMAIN_UNKNOWN_REJECT;
		}
	}
	return result;
}

static enum status read_rewrite_domain(const struct mapper *mapper,
    enum domain_type type, char out[ADDRESS_DOMAIN_MAX + 1])
{
	struct span value;
	enum status status = mapper_single(mapper, rewrite_domain, &value);

	out[0] = '\0';
	if (status != CX_OK || (span_is_empty(value) && type != DOMAIN_REWRITE)) {
		return status;
	}
	if (domain_canonical(value, out) == CX_OK) {
		return CX_OK;
	}
	out[0] = '\0';
	if (type == DOMAIN_REWRITE) {
		return mapper_refuse(mapper, rewrite_domain[0], value,
		    "a domain of type rewrite needs a domain here");
	}
	mapper_note(mapper, rewrite_domain[0], value, "not a domain");
	return CX_OK;
}

enum status mapper_domain(const struct mapper *mapper)
{
	struct value_list patterns;
	enum domain_type type = DOMAIN_AUTHORITATIVE;
	char rewritten[ADDRESS_DOMAIN_MAX + 1];
	struct span host;
	uint32_t flags = 0;
	enum status status;

	value_list_init(&patterns);
	if ((status = read_patterns(mapper, &patterns)) != CX_OK ||
	    (status = read_type(mapper, &type)) != CX_OK ||
	    (status = read_enabled(mapper, DOMAIN_DISABLED, &flags)) != CX_OK ||
	    (status = read_rewrite_domain(mapper, type, rewritten)) != CX_OK ||
	    (status = read_hop(mapper, forward_host, &host)) != CX_OK) {
		goto out;
	}
	record_begin(mapper->record, RECORD_DOMAIN);
	record_put(mapper->record, TAG_DN, mapper->entry->dn);
	record_put_flags(mapper->record, flags);
	value_list_put(&patterns, mapper->record, TAG_DOMAIN);
	record_put_byte(mapper->record, TAG_DOMAIN_TYPE, (uint8_t)type);
	record_put_byte(mapper->record, TAG_UNKNOWN, (uint8_t)read_unknown(mapper));
	if (rewritten[0]) {
		record_put(mapper->record, TAG_REWRITE_DOMAIN, span_of(rewritten));
	}
	if (host.len) {
		record_put(mapper->record, TAG_FORWARD_HOST, host);
	}
out:
	value_list_release(&patterns);
	return status;
}

/* What a value of a connector must be; NULL: good, else what is wrong with it. */
typedef const char *check_value(struct span);

static const char *check_space(struct span value)
{
	struct address_space space;

	return address_space_parse(value, &space) == CX_OK ? NULL
							   : "not an address space";
}

static const char *check_peer(struct span value)
{
	struct cidr block;

	if (cidr_parse(value, &block) != CX_OK) {
		return "neither an IP address nor a block";
	}
	return block.is_negated ? "\"!\" means nothing here" : NULL;
}

static const char *check_relay_client(struct span value)
{
	struct cidr block;

	return cidr_parse(value, &block) == CX_OK ? NULL
						  : "neither an IP address nor a block";
}

static enum status read_checked(const struct mapper *mapper, names attribute,
    check_value *check, struct value_list *list)
{
	struct value_cursor cursor = { .names = attribute };
	struct span value;
	enum status status = CX_OK;

	while (status == CX_OK && mapper_next(mapper, &cursor, &value)) {
		value = span_trim(value);
		const char *wrong = value.len > RECORD_VALUE_MAX
					? "the value is too long"
					: check(value);

		/*
		 * A "!" that cannot be read was to forbid something, and may have been
		 * all that stood against a wider block: no half of such rules is used.
		 */
		if (wrong && attribute == relay_client && value.len &&
		    value.ptr[0] == '!') {
			status = mapper_refuse(mapper, attribute[0], value, wrong);
		} else if (wrong) {
			mapper_note(mapper, attribute[0], value, wrong);
		} else {
			status = value_list_add(list, value, value);
		}
	}
	value_list_sort(list);
	return status;
}

/* 64 hexadecimal digits, lower case, from what openssl and Postfix print. */
static bool normalise_fingerprint(struct span value, char out[64])
{
	size_t len = 0;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == ':' || c == ' ') {
			continue;
		}
		if (c >= 'A' && c <= 'F') {
			c = (char)(c - 'A' + 'a');
		}
		if (len == 64 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
			return false;
		}
		out[len++] = c;
	}
	return len == 64;
}

static enum status read_certificates(const struct mapper *mapper,
    struct value_list *list)
{
	struct value_cursor cursor = { .names = relay_certificate };
	struct span value;
	enum status status = CX_OK;

	while (status == CX_OK && mapper_next(mapper, &cursor, &value)) {
		char digits[64];

		if (normalise_fingerprint(span_trim(value), digits)) {
			status = value_list_add(list,
			    (struct span){ digits, sizeof(digits) }, value);
		} else {
			mapper_note(mapper, relay_certificate[0], value,
			    "not a SHA-256 fingerprint");
		}
	}
	value_list_sort(list);
	return status;
}

enum status mapper_connector(const struct mapper *mapper)
{
	struct value_list spaces, peers, clients, certificates;
	struct span name = mapper_name(mapper, common_name), hop;
	uint32_t flags = 0;
	enum status status;

	value_list_init(&spaces);
	value_list_init(&peers);
	value_list_init(&clients);
	value_list_init(&certificates);
	if (span_is_empty(name)) {
		status = mapper_refuse(mapper, common_name[0], name, "no usable name");
		goto out;
	}
	if ((status = read_enabled(mapper, CONNECTOR_DISABLED, &flags)) != CX_OK ||
	    (status = read_hop(mapper, next_hop, &hop)) != CX_OK ||
	    (status = read_checked(mapper, address_space, check_space, &spaces)) !=
		CX_OK ||
	    (status = read_checked(mapper, peer, check_peer, &peers)) != CX_OK ||
	    (status = read_checked(mapper, relay_client, check_relay_client,
		 &clients)) != CX_OK ||
	    (status = read_certificates(mapper, &certificates)) != CX_OK) {
		goto out;
	}
	record_begin(mapper->record, RECORD_CONNECTOR);
	record_put(mapper->record, TAG_DN, mapper->entry->dn);
	record_put_flags(mapper->record, flags);
	record_put(mapper->record, TAG_NAME, name);
	if (hop.len) {
		record_put(mapper->record, TAG_NEXT_HOP, hop);
	}
	value_list_put(&spaces, mapper->record, TAG_SPACE);
	value_list_put(&peers, mapper->record, TAG_PEER);
	value_list_put(&clients, mapper->record, TAG_RELAY_CLIENT);
	value_list_put(&certificates, mapper->record, TAG_RELAY_CERTIFICATE);
out:
	value_list_release(&spaces);
	value_list_release(&peers);
	value_list_release(&clients);
	value_list_release(&certificates);
	return status;
}
