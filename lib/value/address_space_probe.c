#include "config.h"

#include "value/address_space.h"

#include <string.h>

#include "value/address_key.h"
#include "value/address_pattern.h"
#include "value/x400.h"

static struct span folded_of(const struct address *address)
{
	return (struct span){ address->folded, address->folded_len };
}

static struct span domain_of(const struct address *address)
{
	return (struct span){ address->domain, address->domain_len };
}

/* A decimal number of at most 4 digits without leading zeros. */
static bool read_number(struct span text, size_t *out)
{
	*out = 0;
	if (text.len == 0 || text.len > 4 || (text.len > 1 && text.ptr[0] == '0')) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return false;
		}
		*out = *out * 10 + (size_t)(text.ptr[i] - '0');
	}
	return true;
}

/* The last `count` labels of a domain that has more. */
static bool find_parent(struct span domain, size_t count, struct span *out)
{
	size_t at = domain.len;

	while (at > 0) {
		at--;
		if (domain.ptr[at] == '.' && --count == 0) {
			*out =
			    (struct span){ domain.ptr + at + 1, domain.len - at - 1 };
			return at > 0;
		}
	}
	return false;
}

static enum status probe_exact(const struct address *address, struct key *out)
{
	/* No pattern that is exact holds a star: this key would be a wildcard's. */
	if (address_is_smtp(address)
		? address->domain_len == 0 || pattern_has_star(folded_of(address))
		: address->folded[address->folded_len - 1] == '*') {
		return CX_NOTFOUND;
	}
	address_key(address, out);
	return CX_OK;
}

static enum status probe_smtp(struct span shape, const struct address *address,
    struct key *out)
{
	struct span parent;
	size_t count;

	if (span_equal(shape, SPAN("="))) {
		return probe_exact(address, out);
	}
	if (span_equal(shape, SPAN("*"))) {
		pattern_key("smtp", PATTERN_ANY, shape, out);
		return CX_OK;
	}
	if (span_equal(shape, SPAN("*@"))) {
		if (address->domain_len == 0 || address_is_literal(address)) {
			return CX_NOTFOUND;
		}
		pattern_key("smtp", PATTERN_DOMAIN, domain_of(address), out);
		return CX_OK;
	}
	if (shape.len < 3 || memcmp(shape.ptr, "*.", 2) != 0 ||
	    !read_number((struct span){ shape.ptr + 2, shape.len - 2 }, &count) ||
	    count == 0) {
		return CX_EINVAL;
	}
	if (address_is_literal(address) ||
	    !find_parent(domain_of(address), count, &parent)) {
		return CX_NOTFOUND;
	}
	pattern_key("smtp", PATTERN_SUBDOMAINS, parent, out);
	return CX_OK;
}

static enum status probe_ms(struct span shape, const struct address *address,
    struct key *out)
{
	struct span parts[PATTERN_MS_PARTS], key_parts[2 * PATTERN_MS_PARTS - 1];

	if (shape.len != PATTERN_MS_PARTS) {
		return CX_EINVAL;
	}
	pattern_split_ms(folded_of(address), parts);
	for (int i = 0; i < PATTERN_MS_PARTS; i++) {
		if (shape.ptr[i] != '0' && shape.ptr[i] != '1') {
			return CX_EINVAL;
		}
		if (shape.ptr[i] == '1' &&
		    (parts[i].len == 0 || pattern_has_star(parts[i]))) {
			return CX_NOTFOUND;
		}
		key_parts[2 * i] = shape.ptr[i] == '1' ? parts[i] : SPAN("*");
		if (i > 0) {
			key_parts[2 * i - 1] = SPAN("/");
		}
	}
	key_of_parts("ms", key_parts, 2 * PATTERN_MS_PARTS - 1, out);
	return CX_OK;
}

/* Finds the attribute at or after *rest, which is sorted; moves *rest behind it. */
static bool find_attribute(struct span *rest, struct span wanted, struct span *out)
{
	struct span name, value;

	while (x400_next(rest, &name, &value)) {
		if (span_equal(name, wanted)) {
			*out = (struct span){ name.ptr, name.len + 1 + value.len };
			return true;
		}
	}
	return false;
}

static enum status probe_x400(struct span shape, const struct address *address,
    struct key *out)
{
	struct span parts[2 * X400_ATTRIBUTES_MAX], rest = folded_of(address);
	size_t count = 0;

	if (pattern_is_star(shape)) {
		pattern_key("x400", PATTERN_ANY, shape, out);
		return CX_OK;
	}
	while (shape.len > 0) {
		const char *comma = memchr(shape.ptr, ',', shape.len);
		struct span name = { shape.ptr,
			comma != NULL ? (size_t)(comma - shape.ptr) : shape.len };
		size_t taken = name.len < shape.len ? name.len + 1 : name.len;

		if (name.len == 0 || count + 2 > 2 * X400_ATTRIBUTES_MAX) {
			return CX_EINVAL;
		}
		if (count > 0) {
			parts[count++] = SPAN(";");
		}
		if (!find_attribute(&rest, name, &parts[count++])) {
			return CX_NOTFOUND;
		}
		shape = (struct span){ shape.ptr + taken, shape.len - taken };
	}
	if (count == 0) {
		return CX_EINVAL;
	}
	key_of_parts("x400", parts, count, out);
	return CX_OK;
}

static enum status probe_other(struct span shape, const struct address *address,
    struct key *out)
{
	size_t len;

	if (span_equal(shape, SPAN("="))) {
		return probe_exact(address, out);
	}
	if (shape.len < 2 || shape.ptr[shape.len - 1] != '*' ||
	    !read_number((struct span){ shape.ptr, shape.len - 1 }, &len)) {
		return CX_EINVAL;
	}
	if (len > address->folded_len) {
		return CX_NOTFOUND;
	}
	pattern_key(address->type, PATTERN_PREFIX,
	    (struct span){ address->folded, len }, out);
	return CX_OK;
}

bool address_space_is_mailbox(struct span shape)
{
	return span_equal(shape, SPAN("smtp:="));
}

enum status address_space_probe_base(const struct address *address, size_t len,
    struct key *out)
{
	if (address->domain_len == 0 ||
	    pattern_has_star((struct span){ address->folded, len })) {
		return CX_NOTFOUND;
	}
	address_key_base(address, len, out);
	return CX_OK;
}

enum status address_space_probe(struct span shape, const struct address *address,
    struct key *out)
{
	const char *colon = shape.len > 0 ? memchr(shape.ptr, ':', shape.len) : NULL;
	struct span type, rest;

	if (colon == NULL) {
		return CX_EINVAL;
	}
	type = (struct span){ shape.ptr, (size_t)(colon - shape.ptr) };
	rest = (struct span){ colon + 1, shape.len - type.len - 1 };
	if (!span_equal(type, span_of(address->type))) {
		return CX_NOTFOUND;
	}
	if (address_is_smtp(address)) {
		return probe_smtp(rest, address, out);
	}
	if (span_equal(type, SPAN("ms"))) {
		return probe_ms(rest, address, out);
	}
	if (span_equal(type, SPAN("x400"))) {
		return probe_x400(rest, address, out);
	}
	return probe_other(rest, address, out);
}
