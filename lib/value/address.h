#ifndef CX_ADDRESS_H
#define CX_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/*
 * Addresses of any type, and the key under which an address is the same
 * address however it is spelled (SPEC section 4).
 *
 * An SMTP address is local part and domain; every other type (MS, X400,
 * X500, NOTES, ...) is one opaque value. All functions are pure, allocate
 * nothing for ASCII input, and may be called from any thread.
 */

/* MS-OXCMAIL allows 315 octets for an encapsulated local part; RFC 5321 64. */
#define ADDRESS_LOCAL_MAX  315
#define ADDRESS_DOMAIN_MAX 253	/* RFC 1035: 255 on the wire */
#define ADDRESS_VALUE_MAX  1123 /* rangeUpper of targetAddress in Active Directory */
#define ADDRESS_TYPE_MAX   16
/* Longest text address_print() writes, with the NUL: all quoted, "TYPE:". */
#define ADDRESS_PRINT_MAX (2 * ADDRESS_VALUE_MAX + ADDRESS_DOMAIN_MAX + ADDRESS_TYPE_MAX + 8)

struct address {
	char type[ADDRESS_TYPE_MAX + 1]; /* lower case: "smtp", "ms", "x400", ... */
	/* SMTP: the local part, unquoted, as written; else the whole value. */
	size_t local_len;
	char local[ADDRESS_VALUE_MAX + 1];
	/*
	 * The same in the form in which it is compared. SMTP: NFC, lower case
	 * code point by code point (simple mapping), NFC again. MS and every
	 * other type: lower case likewise. X400: attributes "name=value" lower
	 * case, blanks trimmed, sorted, joined by ";" (see x400.h).
	 */
	size_t folded_len;
	char folded[3 * ADDRESS_VALUE_MAX + 1];
	/*
	 * SMTP: the domain, A-labels, lower case, without a trailing dot.
	 * "" where there is none ("postmaster"); "[...]" for an address literal.
	 */
	size_t domain_len;
	char domain[ADDRESS_DOMAIN_MAX + 1];
};

/* Borrowed. */
static inline struct span address_local(const struct address *address)
{
	return (struct span){ address->local, address->local_len };
}

static inline struct span address_domain(const struct address *address)
{
	return (struct span){ address->domain, address->domain_len };
}

/*
 * The canonical key "type:value" of an address ("smtp:adam@acme.example").
 * A key over ADDRESS_KEY_TEXT_MAX bytes is "type#" and the SHA-256 of the
 * text in hexadecimal, so that every key fits LMDB's 511 bytes.
 */
#define ADDRESS_KEY_TEXT_MAX 480
struct key {
	size_t len;
	char bytes[ADDRESS_KEY_TEXT_MAX + 1]; /* terminated */
};

/*
 * Parsers. CX_OK; CX_EINVAL: not an address (also: empty label in the domain,
 * two trailing dots, bad UTF-8, a domain that IDNA or Postfix refuses, as
 * 192.0.2.1 without brackets; NUL, CR, LF); CX_ETOOLONG: over a limit above;
 * CX_ENOMEM, beyond ASCII only. An SMTP address with an empty local part but a
 * domain ("@acme.example"), and "" itself, are CX_EINVAL. `out` is undefined then.
 */

/*
 * What a client typed in RCPT or MAIL, with or without <>: source routes are
 * dropped, quoted strings and comments undone, as Postfix's smtpd does it
 * (tok822_parse: liberal), so that the result is the address that Postfix
 * hands to policy services for the same command.
 */
enum status address_parse_path(struct span text, struct address *out);

/*
 * Postfix's internal form (policy attributes): unquoted, domain after the
 * last "@", nothing escaped.
 */
enum status address_parse_internal(struct span text, struct address *out);

/*
 * The domain that a local part names by itself, as Postfix reads one whose own domain it has
 * stripped or never had: behind the last "@", else before the first "!" (swap_bangpath), else
 * behind the last "%" (allow_percent_hack). False: none. Either half may be empty.
 */
bool address_split_route(struct span local, struct span *user, struct span *domain);

/*
 * What a client named with no domain but a route, "user%domain" or "domain!user", becomes the
 * address that it leads to, as in Postfix; everything else stays. CX_EINVAL: not an address.
 */
enum status address_follow_route(struct address *);

/*
 * A value of the directory or the command line: "TYPE:value", or an SMTP
 * address with no type (quoted local part, or internal form where there is
 * no leading quote). A type is letters, digits and "-", at most
 * ADDRESS_TYPE_MAX, up to the first ":" that stands before any "@" or "\"".
 */
enum status address_parse_typed(struct span text, struct address *out);

/*
 * The two halves of "TYPE:value" as written (for who must tell "SMTP:" from
 * "smtp:"); false, and all of it the value, where there is no type.
 */
bool address_split_type(struct span text, struct span *type, struct span *value);

/* From parts: local part (unquoted) or value; domain is "" for other types. */
enum status address_make(const char *type, struct span local, struct span domain,
    struct address *out);

/* "acme.example" from any spelling (U-label, case, one trailing dot). */
enum status domain_canonical(struct span text, char out[ADDRESS_DOMAIN_MAX + 1]);

/*
 * What Postfix asks its lists of domains for when a canonical one came in U-labels: case folded in
 * full, so that of sharp s and final sigma another domain comes out. CX_NOTFOUND: the same one.
 */
enum status domain_folded_in_full(struct span domain, char out[ADDRESS_DOMAIN_MAX + 1]);

bool address_is_smtp(const struct address *);
bool address_is_literal(const struct address *); /* user@[192.0.2.1] */
/* True when an SMTP client must offer SMTPUTF8 for it (RFC 6531). */
bool address_needs_smtputf8(const struct address *);

void address_key(const struct address *, struct key *out);
/* The key of the SMTP address with the first `len` folded bytes as local part. */
void address_key_base(const struct address *, size_t len, struct key *out);
bool key_equal(const struct key *, const struct key *);
struct span key_span(const struct key *);
/* Sixteen bytes that no other text has: the first of its SHA-256. */
#define KEY_DIGEST_SIZE 16
void digest_of(struct span text, uint8_t out[KEY_DIGEST_SIZE]);

/*
 * Positions at which an SMTP local part may be split into base and extension,
 * longest base first: start with *len = folded_len and call until false. Each
 * call sets *len to the length of the next shorter base in `folded`. Never an
 * empty base; postmaster, mailer-daemon and double-bounce are never split, nor
 * owner-x and x-request where "-" is a delimiter (as Postfix's split_addr).
 * `delimiters` may hold several characters; "" never splits.
 */
bool address_next_base(const struct address *, const char *delimiters, size_t *len);
/* The extension (with its delimiter) as written, for a base of `len` folded bytes. CX_ENOMEM. */
enum status address_extension(const struct address *, size_t len, struct span *out);

/*
 * External form: SMTP as RFC 5321 wants it on the wire, local part quoted where
 * needed; other types "TYPE:value" with the type in capitals.
 */
void address_print(const struct address *, struct buf *out);
/*
 * The external form of Postfix's internal one, whatever it is, for a line of log: no ">" or comma
 * in it stands outside of quotes.
 */
void address_print_internal(struct span text, struct buf *out);

#endif
