#include "config.h"

#include "policyd/maps_parts.h"

#include "decide/age.h"
#include "decide/authorize.h"
#include "decide/lookup.h"
#include "value/xtext.h"

/* Postfix takes the value apart at commas and blanks. */
static bool is_login_word(struct span login)
{
	for (size_t i = 0; i < login.len; i++) {
		if ((unsigned char)login.ptr[i] <= ' ' || login.ptr[i] == ',' ||
		    login.ptr[i] == 0x7f) {
			return false;
		}
	}
	return login.len > 0;
}

/* Only what authorize_sender() would take: it must mean this object and no other. */
static void add_login(const struct query *query, struct span login,
    const struct record_id *owner, struct buf *value)
{
	struct record_id id;
	struct recipient account;

	if (!is_login_word(login) ||
	    lookup_login(query->view, login, &id, &account) != CX_OK ||
	    !record_id_equal(&id, owner)) {
		return;
	}
	buf_add_text(value, value->len > 0 ? ", " : "");
	buf_add_span(value, login);
}

static void add_address_as_login(const struct query *query, struct span text,
    const struct record_id *owner, struct buf *value)
{
	struct address address;
	char memory[ADDRESS_VALUE_MAX + ADDRESS_DOMAIN_MAX + 2];
	struct buf internal;

	if (address_parse_typed(text, &address) != CX_OK ||
	    !address_is_smtp(&address)) {
		return;
	}
	buf_init_fixed(&internal, memory, sizeof(memory));
	buf_add(&internal, address.local, address.local_len);
	buf_add_char(&internal, '@');
	buf_add(&internal, address.domain, address.domain_len);
	add_login(query, buf_span(&internal), owner, value);
}

static bool values_contain(struct values values, struct span text)
{
	struct span other;

	while (values_next(&values, &other)) {
		if (span_equal_case(other, text)) {
			return true;
		}
	}
	return false;
}

/* Those of `values` that are not in `seen` too. */
static void add_addresses_as_logins(const struct query *query, struct values values,
    struct values seen, const struct record_id *owner, struct buf *value)
{
	struct span text;

	while (values_next(&values, &text)) {
		if (!values_contain(seen, text)) {
			add_address_as_login(query, text, owner, value);
		}
	}
}

static void add_logins(const struct query *query, const struct found *found,
    struct buf *value)
{
	const struct recipient *r = &found->recipient;
	const struct values none = { .tag = 0 };
	struct values logins = r->logins;
	struct span login;

	while (values_next(&logins, &login)) {
		add_login(query, login, &found->id, value);
	}
	add_addresses_as_logins(query, r->primaries, none, &found->id, value);
	add_addresses_as_logins(query, r->mails, r->primaries, &found->id, value);
	add_addresses_as_logins(query, r->proxies, r->mails, &found->id, value);
}

enum map_status map_lookup_login(struct query *query, struct buf *value)
{
	struct domain domain;
	struct found found;
	enum status status = map_own_domain(query, &domain);

	if (status == CX_NOTFOUND) {
		return map_not_found(query->view);
	}
	if (status == CX_OK) {
		status = lookup_address(query->view, &query->address, &found, NULL);
	}
	if (status == CX_ETEMP || status == CX_EFORMAT) {
		return MAP_TEMPORARY;
	}
	if (status == CX_OK) {
		add_logins(query, &found, value);
	}
	if (value->len > 0) {
		return MAP_FOUND;
	}
	return age_allows_refusal(query->view) ? MAP_NOT_FOUND : MAP_TEMPORARY;
}

/* What stands before the next "/", which is stepped over; the rest where there is none. */
static struct span next_part(struct span *rest)
{
	const char *slash = rest->len > 0 ? memchr(rest->ptr, '/', rest->len) : NULL;
	struct span part = *rest;

	if (slash) {
		part.len = (size_t)(slash - rest->ptr);
		rest->ptr = slash + 1;
		rest->len -= part.len + 1;
	} else {
		rest->len = 0;
	}
	return part;
}

/*
 * A client as Sendmail's macros describe it: "ADDRESS/FINGERPRINT/LOGIN", what is not known left
 * out, the login in xtext.
 */
enum map_status map_lookup_relay(struct query *query, struct buf *value)
{
	struct span rest = query->key;
	struct span ip = next_part(&rest);
	struct relay_facts client = { .certificate_fingerprint = next_part(&rest) };
	struct authorization authorization;
	struct buf login;

	client.has_ip = ip_parse(ip, &client.ip) == CX_OK;
	buf_init(&login);
	if (xtext_decode(rest, &login) != CX_OK || login.failed) {
		enum map_status status = login.failed ? MAP_TEMPORARY : MAP_NOT_FOUND;

		buf_release(&login);
		return status;
	}
	client.login = buf_span(&login);
	authorize(query->view, &client, &authorization);
	buf_release(&login);
	switch (authorization.verdict) {
	case RELAY_PERMITTED: buf_add_text(value, "OK"); return MAP_FOUND;
	case RELAY_NOT_PERMITTED:
	case RELAY_FORBIDDEN: return MAP_NOT_FOUND;
	case RELAY_UNAVAILABLE: break;
	}
	return MAP_TEMPORARY;
}
