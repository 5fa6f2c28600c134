#include "config.h"

#include "value/address.h"

#include <string.h>

#include "value/cidr.h"
#include "value/utf8.h"
#include "value/x400.h"

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_type_char(char c)
{
	return is_letter(c) || is_digit(c) || c == '-';
}

static enum status set_type(struct address *out, struct span type)
{
	if (type.len == 0) {
		return CX_EINVAL;
	}
	if (type.len > ADDRESS_TYPE_MAX) {
		return CX_ETOOLONG;
	}
	for (size_t i = 0; i < type.len; i++) {
		char c = type.ptr[i];

		if (!is_type_char(c)) {
			return CX_EINVAL;
		}
		out->type[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out->type[type.len] = '\0';
	return CX_OK;
}

static enum status fold_x400(struct span value, struct buf *out)
{
	char memory[3 * ADDRESS_VALUE_MAX + 1];
	struct buf lower;
	enum status status;

	buf_init_fixed(&lower, memory, sizeof(memory));
	status = utf8_fold(value, &lower);
	if (status != CX_OK) {
		return status;
	}
	return lower.failed ? CX_ETOOLONG : x400_canonical(buf_span(&lower), out);
}

/* No address of any type can hold what would end its line on the wire. */
static bool ends_line(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\0' || text.ptr[i] == '\r' || text.ptr[i] == '\n') {
			return true;
		}
	}
	return false;
}

static enum status set_local(struct address *out, struct span local, size_t max)
{
	struct buf folded;
	enum status status;

	if (local.len > max) {
		return CX_ETOOLONG;
	}
	if (local.len == 0 || ends_line(local)) {
		return CX_EINVAL;
	}
	buf_init_fixed(&folded, out->folded, sizeof(out->folded));
	status = strcmp(out->type, "x400") == 0 ? fold_x400(local, &folded)
						: utf8_fold(local, &folded);
	if (status != CX_OK) {
		return status;
	}
	if (folded.failed) {
		return CX_ETOOLONG;
	}
	out->folded_len = folded.len;
	memcpy(out->local, local.ptr, local.len);
	out->local[local.len] = '\0';
	out->local_len = local.len;
	return CX_OK;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]": what Postfix takes as a literal. */
static enum status set_literal(struct address *out, struct span domain)
{
	struct ip ip;
	bool is_ipv6 = memchr(domain.ptr, ':', domain.len) != NULL;

	if (domain.ptr[domain.len - 1] == '.') {
		domain.len--;
	}
	if (domain.ptr[domain.len - 1] != ']' || ip_parse(domain, &ip) != CX_OK ||
	    (is_ipv6 && !span_starts_with_case(domain, SPAN("[ipv6:")))) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < domain.len; i++) {
		char c = domain.ptr[i];

		out->domain[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out->domain[domain.len] = '\0';
	return CX_OK;
}

static enum status set_domain(struct address *out, struct span domain)
{
	enum status status = CX_OK;

	if (domain.len == 0) {
		out->domain[0] = '\0';
	} else if (domain.ptr[0] == '[') {
		status = set_literal(out, domain);
	} else {
		status = domain_canonical(domain, out->domain);
	}
	if (status == CX_OK) {
		out->domain_len = strlen(out->domain);
	}
	return status;
}

static enum status make(struct span type, struct span local, struct span domain,
    struct address *out)
{
	enum status status = set_type(out, type);

	if (status != CX_OK) {
		return status;
	}
	if (!address_is_smtp(out) && domain.len > 0) {
		return CX_EINVAL;
	}
	status = set_domain(out, domain);
	if (status != CX_OK) {
		return status;
	}
	return set_local(out, local,
	    address_is_smtp(out) ? ADDRESS_LOCAL_MAX : ADDRESS_VALUE_MAX);
}

enum status address_make(const char *type, struct span local, struct span domain,
    struct address *out)
{
	return make(span_of(type), local, domain, out);
}

enum status address_parse_internal(struct span text, struct address *out)
{
	struct span local = text, domain = { NULL, 0 };
	size_t at = text.len;

	while (at > 0 && text.ptr[at - 1] != '@') {
		at--;
	}
	if (at > 0) {
		local.len = at - 1;
		domain = (struct span){ text.ptr + at, text.len - at };
		if (domain.len == 0) {
			return CX_EINVAL;
		}
	}
	return make(SPAN("smtp"), local, domain, out);
}

static bool split_at(struct span text, const char *at, struct span *before, struct span *after)
{
	if (at == NULL) {
		return false;
	}
	*before = (struct span){ text.ptr, (size_t)(at - text.ptr) };
	*after = (struct span){ at + 1, text.len - before->len - 1 };
	return true;
}

static const char *find_last(struct span text, char c)
{
	while (text.len > 0 && text.ptr[text.len - 1] != c) {
		text.len--;
	}
	return text.len > 0 ? text.ptr + text.len - 1 : NULL;
}

bool address_split_route(struct span local, struct span *user, struct span *domain)
{
	if (local.len == 0) {
		return false;
	}
	return split_at(local, find_last(local, '@'), user, domain) ||
	    split_at(local, memchr(local.ptr, '!', local.len), domain, user) ||
	    split_at(local, find_last(local, '%'), user, domain);
}

enum status address_follow_route(struct address *address)
{
	struct span rest = { address->local, address->local_len }, user, domain;
	struct address routed;
	enum status status;

	if (!address_is_smtp(address) || address->domain_len > 0) {
		return CX_OK;
	}
	while (address_split_route(rest, &user, &domain)) {
		if (domain.len == 0) { /* "user%": its own domain once more */
			rest = user;
			continue;
		}
		status = make(SPAN("smtp"), user, domain, &routed);
		if (status == CX_OK) {
			*address = routed;
		}
		return status;
	}
	return CX_OK;
}

static enum status parse_smtp_value(struct span text, struct address *out)
{
	text = span_trim(text);
	/* The liberal parser undoes the quoting; <> stay what they are elsewhere. */
	return text.len > 0 && text.ptr[0] == '"' ? address_parse_path(text, out)
						  : address_parse_internal(text, out);
}

bool address_split_type(struct span text, struct span *type, struct span *value)
{
	size_t len = 0;

	while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
		text = (struct span){ text.ptr + 1, text.len - 1 };
	}
	while (len < text.len && is_type_char(text.ptr[len])) {
		len++;
	}
	if (len == text.len || text.ptr[len] != ':') {
		*type = (struct span){ NULL, 0 };
		*value = text;
		return false;
	}
	*type = (struct span){ text.ptr, len };
	*value = (struct span){ text.ptr + len + 1, text.len - len - 1 };
	return true;
}

enum status address_parse_typed(struct span text, struct address *out)
{
	struct span type, value;

	if (!address_split_type(text, &type, &value) || span_equal_case(type, SPAN("smtp"))) {
		return parse_smtp_value(value, out);
	}
	return make(type, value, (struct span){ NULL, 0 }, out);
}

bool address_is_smtp(const struct address *address)
{
	return strcmp(address->type, "smtp") == 0;
}

bool address_is_literal(const struct address *address)
{
	return address->domain[0] == '[';
}

bool address_needs_smtputf8(const struct address *address)
{
	return address_is_smtp(address) &&
	    !span_is_ascii((struct span){ address->local, address->local_len });
}

/* RFC 5321 atext, with RFC 6531's UTF-8. */
static bool is_atext(char c)
{
	return is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80 ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_dot_atom(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool is_inner_dot = text[i] == '.' && i > 0 && i + 1 < len &&
		    text[i - 1] != '.';

		if (!is_inner_dot && !is_atext(text[i])) {
			return false;
		}
	}
	return true;
}

static void print_quoted(const char *text, size_t len, struct buf *out)
{
	buf_add_char(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\') {
			buf_add_char(out, '\\');
		}
		buf_add_char(out, text[i]);
	}
	buf_add_char(out, '"');
}

static void print_local(const char *text, size_t len, struct buf *out)
{
	if (is_dot_atom(text, len)) {
		buf_add(out, text, len);
	} else {
		print_quoted(text, len, out);
	}
}

void address_print_internal(struct span text, struct buf *out)
{
	const char *at = text.len > 0 ? memrchr(text.ptr, '@', text.len) : NULL;
	size_t len = at != NULL ? (size_t)(at - text.ptr) : text.len;

	/* What is no domain goes between the quotes, too. */
	for (size_t i = len; i < text.len; i++) {
		if (memchr(" <>(),;\"\\", text.ptr[i], 9) != NULL) {
			len = text.len;
		}
	}
	print_local(text.ptr, len, out);
	buf_add(out, text.ptr + len, text.len - len);
}

void address_print(const struct address *address, struct buf *out)
{
	if (!address_is_smtp(address)) {
		for (const char *p = address->type; *p != '\0'; p++) {
			buf_add_char(out, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
		}
		buf_add_char(out, ':');
		buf_add(out, address->local, address->local_len);
		return;
	}
	print_local(address->local, address->local_len, out);
	if (address->domain_len > 0) {
		buf_add_char(out, '@');
		buf_add(out, address->domain, address->domain_len);
	}
}
