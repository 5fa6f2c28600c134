#include "config.h"

#include "daemon/conf_check.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "daemon/listener.h"
#include "daemon/srs_hop.h"
#include "value/address.h"
#include "value/dn.h"

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* useradd(8) allows no longer names. */
#define USER_MAX       32
#define NAME_MAX_BYTES 64

static enum status keep(const char *value, struct buf *out)
{
	buf_add_text(out, value);
	return out->failed ? CX_ENOMEM : CX_OK;
}

static enum status wrong(struct errbuf *err, const char *value, const char *what)
{
	errbuf_set(err, "'%s' %s", value, what);
	return CX_ECONF;
}

/* Where `value` has a character that is not in `allowed`; NULL: nowhere. */
static const char *stranger_in(const char *value, const char *allowed)
{
	const char *p = value + strspn(value, allowed);

	return *p != '\0' ? p : NULL;
}

enum status check_path(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	size_t before = out->len;

	if (value[0] != '/') {
		buf_printf(out, "%s/", folder);
	}
	buf_add_text(out, value);
	if (out->len - before >= PATH_MAX) {
		return wrong(err, value, "is too long for a path");
	}
	return out->failed ? CX_ENOMEM : CX_OK;
}

enum status check_listener(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	(void)folder;
	return listener_check(value, err) == CX_OK ? keep(value, out) : CX_ECONF;
}

enum status check_unix_listener(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	if (strncmp(value, "unix:", 5) != 0) {
		return wrong(err, value, "must be a unix socket (unix:/path)");
	}
	return check_listener(value, folder, out, err);
}

enum status check_inet_listener(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	if (strncmp(value, "inet:", 5) != 0) {
		return wrong(err, value, "must be inet:host:port");
	}
	return check_listener(value, folder, out, err);
}

enum status check_domain(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	(void)folder;
	if (strchr(value, '@') != NULL || value[0] == '[' ||
	    domain_canonical(span_of(value), domain) != CX_OK) {
		return wrong(err, value, "is not a domain");
	}
	return keep(domain, out);
}

enum status check_domain_pattern(const char *value, const char *folder,
    struct buf *out, struct errbuf *err)
{
	if (strncmp(value, "*.", 2) != 0) {
		return check_domain(value, folder, out, err);
	}
	buf_add_text(out, "*.");
	return check_domain(value + 2, folder, out, err);
}

enum status check_dn(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	struct key key;
	enum status status = dn_key(span_of(value), &key);

	(void)folder;
	if (status == CX_OK) {
		return keep(value, out);
	}
	return status == CX_ENOMEM ? status
				   : wrong(err, value, "is not a distinguished name");
}

/* The server judges a filter; what is cut off or has no parentheses is caught here. */
enum status check_filter(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	size_t len = strlen(value), depth = 0;

	(void)folder;
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '(') {
			depth++;
		} else if (value[i] == ')' && depth > 0) {
			if (value[i - 1] == '(') {
				return wrong(err, value,
				    "is an LDAP filter with nothing in its parentheses");
			}
			depth--;
		} else if (depth == 0) {
			return wrong(err, value,
			    "is not an LDAP filter in parentheses");
		}
		if (depth == 0 && i + 1 < len) {
			return wrong(err, value, "is more than one LDAP filter");
		}
	}
	if (depth != 0) {
		return wrong(err, value, "is an LDAP filter that is not closed");
	}
	return keep(value, out);
}

/* A host with no port, or with one from 1 to 65535. */
static bool has_good_port(struct span host)
{
	size_t digits = 0, port = 0;

	while (digits < host.len && host.ptr[host.len - 1 - digits] >= '0' &&
	       host.ptr[host.len - 1 - digits] <= '9') {
		digits++;
	}
	/* The last number of [2001:db8::1] does not end the text. */
	if (digits == host.len || host.ptr[host.len - 1 - digits] != ':') {
		return true;
	}
	for (size_t i = host.len - digits; i < host.len && port <= 65535; i++) {
		port = 10 * port + (size_t)(host.ptr[i] - '0');
	}
	return port > 0 && port <= 65535;
}

/* ldap://host[:port][/], ldaps://..., ldapi://[%2Fpath][/] */
static bool is_ldap_uri(struct span uri)
{
	static const char *const schemes[] = { "ldap://", "ldaps://", "ldapi://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		struct span scheme = span_of(schemes[i]), rest;

		if (!span_starts_with_case(uri, scheme)) {
			continue;
		}
		rest = (struct span){ uri.ptr + scheme.len, uri.len - scheme.len };
		if (rest.len > 0 && rest.ptr[rest.len - 1] == '/') {
			rest.len--;
		}
		if (scheme.ptr != schemes[2] && !has_good_port(rest)) {
			return false;
		}
		for (size_t j = 0; j < rest.len; j++) {
			if (strchr(LETTERS DIGITS ".-_:[]%", rest.ptr[j]) == NULL) {
				return false;
			}
		}
		return rest.len > 0 || scheme.ptr == schemes[2];
	}
	return false;
}

enum status check_uris(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	bool is_first = true;

	(void)folder;
	for (const char *p = value + strspn(value, " \t"); *p != '\0';
	     p += strspn(p, " \t")) {
		struct span uri = { p, strcspn(p, " \t") };

		if (!is_ldap_uri(uri)) {
			errbuf_set(err,
			    "'%.*s' is not ldap://host[:port], ldaps://host[:port] or "
			    "ldapi://path",
			    SPAN_ARGS(uri));
			return CX_ECONF;
		}
		if (!is_first) {
			buf_add_char(out, ' ');
		}
		buf_add_span(out, uri);
		is_first = false;
		p += uri.len;
	}
	if (is_first) {
		return wrong(err, value, "names no server");
	}
	return out->failed ? CX_ENOMEM : CX_OK;
}

enum status check_attribute(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	(void)folder;
	/* Servers answer with the name: a number, or an option, would never be found. */
	if (strchr(LETTERS, value[0]) == NULL ||
	    stranger_in(value, LETTERS DIGITS "-") != NULL ||
	    strlen(value) > NAME_MAX_BYTES) {
		return wrong(err, value, "is not the name of an attribute");
	}
	return keep(value, out);
}

/*
 * What may stand unquoted in a local part (RFC 5322 atext) and is neither letter nor
 * digit; without "%" and "!", which are old routes, and "=", which SRS and IMCEA use.
 */
enum status check_delimiters(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	const char *p = stranger_in(value, "#$&'*+-/?^_`{|}~");

	(void)folder;
	if (p != NULL) {
		int len = 1; /* a whole character */

		while (((unsigned char)p[len] & 0xc0) == 0x80) {
			len++;
		}
		errbuf_set(err, "'%.*s' cannot delimit an extension in '%s'", len, p, value);
		return CX_ECONF;
	}
	return keep(value, out);
}

enum status check_organization(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	(void)folder;
	if (stranger_in(value, LETTERS DIGITS "-._") != NULL ||
	    strlen(value) > NAME_MAX_BYTES) {
		return wrong(err, value,
		    "is not one word of at most 64 letters, digits, '-', '.' and '_'");
	}
	return keep(value, out);
}

enum status check_title(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	if (value[0] == '\0') {
		errbuf_set(err, "the name is empty");
		return CX_ECONF;
	}
	return check_organization(value, folder, out, err);
}

enum status check_postmaster(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	struct address address;

	(void)folder;
	if (address_parse_typed(span_of(value), &address) != CX_OK ||
	    !address_is_smtp(&address)) {
		return wrong(err, value, "is not a mail address");
	}
	return keep(value, out);
}

enum status check_server(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	(void)folder;
	if (strlen(value) > ADDRESS_DOMAIN_MAX) {
		return wrong(err, value, "is too long for a server's name");
	}
	return keep(value, out);
}

/* As a transport(5) map would say it; smtpd turns error: and retry: into refusals. */
enum status check_transport(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	const char *colon = strchr(value, ':');
	size_t len = strspn(value, LETTERS DIGITS "-_.");

	(void)folder;
	if (colon == NULL || len == 0 || value + len != colon) {
		return wrong(err, value, "is not 'transport:nexthop'");
	}
	if (strpbrk(value, " \t") != NULL || strlen(value) > ADDRESS_VALUE_MAX) {
		return wrong(err, value, "has a blank or is too long");
	}
	/* Postfix would look for a transport of that name, and mail would wait for it. */
	if (memchr(value, '.', len) != NULL && colon[1] != '\0' &&
	    stranger_in(colon + 1, DIGITS) == NULL) {
		return wrong(err, value,
		    "is a host and a port, not 'transport:nexthop' (say "
		    "lmtp:inet:host:port or smtp:[host]:port)");
	}
	if (strncmp(value, "error:", 6) == 0 || strncmp(value, "retry:", 6) == 0) {
		return wrong(err, value, "would refuse all mail");
	}
	return keep(value, out);
}

enum status check_hop(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	struct srs_hop hop;

	if (!srs_hop_parse(value, &hop)) {
		return wrong(err, value,
		    "is not 'transport:[127.0.0.1]:port', a loopback address");
	}
	return check_transport(value, folder, out, err);
}

enum status check_user(const char *value, const char *folder, struct buf *out,
    struct errbuf *err)
{
	(void)folder;
	if (value[0] == '-' || stranger_in(value, LETTERS DIGITS "-_.") != NULL ||
	    strlen(value) > USER_MAX) {
		return wrong(err, value, "is not the name of a user");
	}
	return keep(value, out);
}
