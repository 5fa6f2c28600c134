#include "config.h"

#include "value/address_space.h"

#include <string.h>

#include "value/address_pattern.h"
#include "value/x400.h"

static unsigned count_labels(struct span domain)
{
	unsigned count = 1;

	for (size_t i = 0; i < domain.len; i++) {
		count += domain.ptr[i] == '.';
	}
	return count;
}

static void shape_of_ms(struct span text, struct buf *out)
{
	struct span parts[PATTERN_MS_PARTS];

	pattern_split_ms(text, parts);
	for (int i = 0; i < PATTERN_MS_PARTS; i++) {
		buf_add_char(out, pattern_is_star(parts[i]) ? '0' : '1');
	}
}

static void shape_of_x400(struct span text, struct buf *out)
{
	struct span name, value;
	const char *gap = "";

	while (x400_next(&text, &name, &value)) {
		buf_add_text(out, gap);
		buf_add_span(out, name);
		gap = ",";
	}
}

static enum status set_shape(const struct pattern *pattern, struct key *out)
{
	struct span text = buf_span(&pattern->text);
	struct buf shape;

	buf_init_fixed(&shape, out->bytes, sizeof(out->bytes));
	buf_printf(&shape, "%s:", pattern->type);
	switch (pattern->kind) {
	case PATTERN_EXACT: buf_add_char(&shape, '='); break;
	case PATTERN_ANY: buf_add_char(&shape, '*'); break;
	case PATTERN_DOMAIN: buf_add_text(&shape, "*@"); break;
	case PATTERN_SUBDOMAINS: buf_printf(&shape, "*.%u", count_labels(text)); break;
	case PATTERN_PREFIX: buf_printf(&shape, "%zu*", text.len); break;
	case PATTERN_MS: shape_of_ms(text, &shape); break;
	case PATTERN_X400: shape_of_x400(text, &shape); break;
	}
	out->len = shape.len;
	return shape.failed ? CX_ETOOLONG : CX_OK;
}

/* Characters that are not wildcards nor stand between parts. */
static uint16_t count_literals(const struct pattern *pattern)
{
	size_t count = pattern->text.len;

	if (pattern->kind == PATTERN_MS) {
		struct span parts[PATTERN_MS_PARTS];

		count = 0;
		pattern_split_ms(buf_span(&pattern->text), parts);
		for (int i = 0; i < PATTERN_MS_PARTS; i++) {
			count += pattern_is_star(parts[i]) ? 0 : parts[i].len;
		}
	} else if (pattern->kind == PATTERN_X400) {
		struct span rest = buf_span(&pattern->text), name, value;

		for (count = 0; x400_next(&rest, &name, &value);) {
			count += name.len + 1 + value.len;
		}
	} else if (pattern->kind == PATTERN_DOMAIN ||
		   pattern->kind == PATTERN_SUBDOMAINS) {
		count++; /* the "@" or "." */
	}
	return (uint16_t)count;
}

static enum status finish(const struct pattern *pattern, uint32_t cost,
    struct address_space *out)
{
	struct span text = buf_span(&pattern->text);

	pattern_key(pattern->type, pattern->kind, text, &out->pattern);
	out->cost = cost;
	out->literals = count_literals(pattern);
	out->is_exact = pattern->kind == PATTERN_EXACT ||
			(pattern->kind == PATTERN_MS && !pattern_has_star(text));
	return set_shape(pattern, &out->shape);
}

enum status address_space_parse(struct span text, struct address_space *out)
{
	struct pattern pattern;
	uint32_t cost;
	enum status status = pattern_parse(text, &pattern, &cost);

	return status == CX_OK ? finish(&pattern, cost, out) : status;
}

enum status address_space_of_domain(struct span domain_pattern,
    struct address_space *out)
{
	struct pattern pattern = { .type = "smtp" };
	enum status status;

	buf_init_fixed(&pattern.text, pattern.memory, sizeof(pattern.memory));
	status = pattern_parse_domain(span_trim(domain_pattern), &pattern);
	if (status == CX_OK && pattern.kind == PATTERN_ANY) {
		status = CX_EINVAL;
	}
	return status == CX_OK ? finish(&pattern, 0, out) : status;
}

static bool matches_domain(const struct pattern *pattern, struct span domain)
{
	struct span text = buf_span(&pattern->text);
	size_t ahead;

	if (pattern->kind == PATTERN_DOMAIN) {
		return span_equal(text, domain);
	}
	if (domain.len < text.len + 2) {
		return false;
	}
	ahead = domain.len - text.len;
	return domain.ptr[ahead - 1] == '.' &&
	       span_equal(text, (struct span){ domain.ptr + ahead, text.len });
}

static bool matches_ms(struct span text, struct span folded)
{
	struct span wanted[PATTERN_MS_PARTS], parts[PATTERN_MS_PARTS];

	pattern_split_ms(text, wanted);
	pattern_split_ms(folded, parts);
	for (int i = 0; i < PATTERN_MS_PARTS; i++) {
		if (!pattern_is_star(wanted[i]) && !span_equal(wanted[i], parts[i])) {
			return false;
		}
	}
	return true;
}

static bool has_attribute(struct span folded, struct span wanted_name,
    struct span wanted)
{
	struct span name, value;

	while (x400_next(&folded, &name, &value)) {
		if (span_equal(name, wanted_name) && span_equal(value, wanted)) {
			return true;
		}
	}
	return false;
}

static bool matches_x400(struct span text, struct span folded)
{
	struct span name, value;

	while (x400_next(&text, &name, &value)) {
		if (!has_attribute(folded, name, value)) {
			return false;
		}
	}
	return true;
}

static bool matches_exactly(struct span text, const struct address *address)
{
	struct span folded = { address->folded, address->folded_len };
	struct span head = text;

	if (!address_is_smtp(address)) {
		return span_equal(text, folded);
	}
	if (address->domain_len == 0 || text.len <= folded.len) {
		return false;
	}
	head.len = folded.len;
	return span_equal(head, folded) && text.ptr[head.len] == '@' &&
	       span_equal((struct span){ text.ptr + head.len + 1,
			      text.len - head.len - 1 },
		   (struct span){ address->domain, address->domain_len });
}

bool address_space_matches(struct span text, const struct address *address)
{
	struct pattern pattern;
	struct span folded = { address->folded, address->folded_len }, wanted;
	uint32_t cost;

	if (pattern_parse(text, &pattern, &cost) != CX_OK ||
	    strcmp(pattern.type, address->type) != 0) {
		return false;
	}
	wanted = buf_span(&pattern.text);
	switch (pattern.kind) {
	case PATTERN_EXACT: return matches_exactly(wanted, address);
	case PATTERN_ANY: return true;
	case PATTERN_DOMAIN:
	case PATTERN_SUBDOMAINS:
		return !address_is_literal(address) &&
		       matches_domain(&pattern,
			   (struct span){ address->domain, address->domain_len });
	case PATTERN_PREFIX: return span_starts_with_case(folded, wanted);
	case PATTERN_MS: return matches_ms(wanted, folded);
	case PATTERN_X400: return matches_x400(wanted, folded);
	}
	return false;
}

int address_space_compare(const struct address_space *a, const struct address_space *b)
{
	if (a->is_exact != b->is_exact) {
		return a->is_exact ? -1 : 1;
	}
	if (a->literals != b->literals) {
		return a->literals > b->literals ? -1 : 1;
	}
	return a->cost < b->cost ? -1 : a->cost > b->cost;
}
