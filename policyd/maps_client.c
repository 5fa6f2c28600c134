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

/* What is being made of an object. */
struct logins {
	const struct view *view;
	const struct record_id *owner;
	struct buf *value;
	bool
	    is_unsure; /* one could not be looked up: without it the list would be false */
};

/* Only what authorize_sender() would take: it must mean this object and no other. */
static void add_login(struct logins *logins, struct span login)
{
	struct record_id id;
	struct recipient account;
	enum status status;

	if (!is_login_word(login)) {
		return;
	}
	status = lookup_login(logins->view, login, &id, &account);
	if (status == CX_ETEMP || status == CX_EFORMAT) {
		logins->is_unsure = true;
	}
	if (status == CX_OK && record_id_equal(&id, logins->owner)) {
		buf_add_text(logins->value, logins->value->len > 0 ? ", " : "");
		buf_add_span(logins->value, login);
	}
}

static void add_address_as_login(struct logins *logins, struct span text)
{
	struct address address;
	char memory[ADDRESS_VALUE_MAX + ADDRESS_DOMAIN_MAX + 2];
	struct buf internal;
	enum status status = address_parse_typed(text, &address);

	if (status == CX_ENOMEM) {
		logins->is_unsure = true;
	}
	if (status != CX_OK || !address_is_smtp(&address)) {
		return;
	}
	buf_init_fixed(&internal, memory, sizeof(memory));
	buf_add(&internal, address.local, address.local_len);
	buf_add_char(&internal, '@');
	buf_add(&internal, address.domain, address.domain_len);
	add_login(logins, buf_span(&internal));
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
static void add_addresses_as_logins(struct logins *logins, struct values values,
    struct values seen)
{
	struct span text;

	while (values_next(&values, &text)) {
		if (!values_contain(seen, text)) {
			add_address_as_login(logins, text);
		}
	}
}

/* False: not all could be looked up. */
static bool add_logins(const struct query *query, const struct found *found,
    struct buf *value)
{
	struct logins logins = {
		.view = query->view, .owner = &found->id, .value = value
	};
	const struct recipient *r = &found->recipient;
	const struct values none = { .tag = 0 };
	struct values names = r->logins;
	struct span login;

	while (values_next(&names, &login)) {
		add_login(&logins, login);
	}
	add_addresses_as_logins(&logins, r->primaries, none);
	add_addresses_as_logins(&logins, r->mails, r->primaries);
	add_addresses_as_logins(&logins, r->proxies, r->mails);
	return !logins.is_unsure;
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
	if (status == CX_OK && !add_logins(query, &found, value)) {
		return MAP_TEMPORARY;
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
