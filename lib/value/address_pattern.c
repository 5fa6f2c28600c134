#include "config.h"

#include "value/address_pattern.h"

#include <string.h>

#include "value/address_key.h"
#include "value/address_space.h"
#include "value/utf8.h"
#include "value/x400.h"

bool pattern_is_star(struct span text)
{
	return text.len == 1 && text.ptr[0] == '*';
}

bool pattern_has_star(struct span text)
{
	return text.len > 0 && memchr(text.ptr, '*', text.len) != NULL;
}

void pattern_split_ms(struct span text, struct span parts[PATTERN_MS_PARTS])
{
	for (int i = 0; i < PATTERN_MS_PARTS; i++) {
		const char *slash = text.len > 0 && i < PATTERN_MS_PARTS - 1
					? memchr(text.ptr, '/', text.len)
					: NULL;

		parts[i] = text;
		text = (struct span){ NULL, 0 };
		if (slash != NULL) {
			size_t len = (size_t)(slash - parts[i].ptr);

			text = (struct span){ slash + 1, parts[i].len - len - 1 };
			parts[i].len = len;
		}
	}
}

enum status pattern_parse_domain(struct span domain, struct pattern *out)
{
	char canonical[ADDRESS_DOMAIN_MAX + 1];
	enum status status;

	out->kind = PATTERN_DOMAIN;
	if (pattern_is_star(domain)) {
		out->kind = PATTERN_ANY;
		return CX_OK;
	}
	if (domain.len > 2 && memcmp(domain.ptr, "*.", 2) == 0) {
		out->kind = PATTERN_SUBDOMAINS;
		domain = (struct span){ domain.ptr + 2, domain.len - 2 };
	}
	status = domain_canonical(domain, canonical);
	if (status == CX_OK) {
		buf_add_text(&out->text, canonical);
	}
	return status;
}

static enum status parse_smtp(struct span value, struct pattern *out)
{
	struct address address;
	enum status status;

	value = span_trim(value);
	if (value.len == 0 || memchr(value.ptr, '@', value.len) == NULL) {
		return pattern_parse_domain(value.len == 0 ? SPAN("*") : value, out);
	}
	if (value.len > 2 && memcmp(value.ptr, "*@", 2) == 0) {
		return pattern_parse_domain((struct span){ value.ptr + 2,
						value.len - 2 },
		    out);
	}
	out->kind = PATTERN_EXACT;
	status = value.ptr[0] == '"' ? address_parse_path(value, &address)
				     : address_parse_internal(value, &address);
	if (status != CX_OK) {
		return status;
	}
	if (address.domain_len == 0 ||
	    pattern_has_star((struct span){ address.folded, address.folded_len })) {
		return CX_EINVAL;
	}
	buf_add(&out->text, address.folded, address.folded_len);
	buf_add_char(&out->text, '@');
	buf_add(&out->text, address.domain, address.domain_len);
	return CX_OK;
}

static enum status parse_ms(struct span folded, struct pattern *out)
{
	struct span parts[PATTERN_MS_PARTS];

	out->kind = PATTERN_MS;
	pattern_split_ms(folded, parts);
	for (int i = 0; i < PATTERN_MS_PARTS; i++) {
		if (pattern_has_star(parts[i]) && !pattern_is_star(parts[i])) {
			return CX_EINVAL;
		}
		buf_add_text(&out->text, i > 0 ? "/" : "");
		buf_add_span(&out->text, parts[i].len > 0 ? parts[i] : SPAN("*"));
	}
	return CX_OK;
}

static enum status parse_x400(struct span folded, struct pattern *out)
{
	char memory[3 * ADDRESS_VALUE_MAX + 1];
	struct buf canonical;
	struct span rest, name, value;
	enum status status;

	out->kind = PATTERN_ANY;
	if (folded.len == 0 || pattern_is_star(folded)) {
		return CX_OK;
	}
	buf_init_fixed(&canonical, memory, sizeof(memory));
	status = x400_canonical(folded, &canonical);
	if (status != CX_OK) {
		return status;
	}
	if (canonical.failed) {
		return CX_ETOOLONG;
	}
	for (rest = buf_span(&canonical); x400_next(&rest, &name, &value);) {
		if (pattern_is_star(value)) {
			continue;
		}
		if (pattern_has_star(value)) {
			return CX_EINVAL;
		}
		buf_add_text(&out->text, out->text.len > 0 ? ";" : "");
		buf_add(&out->text, name.ptr, name.len + 1 + value.len);
		out->kind = PATTERN_X400;
	}
	return CX_OK;
}

static enum status parse_other(struct span folded, struct pattern *out)
{
	out->kind = PATTERN_EXACT;
	if (folded.len == 0 || folded.ptr[folded.len - 1] == '*') {
		out->kind = PATTERN_PREFIX;
		folded.len -= folded.len > 0;
	}
	buf_add_span(&out->text, folded);
	return CX_OK;
}

/* The value of a type other than SMTP, in the case in which it is compared. */
static enum status parse_folded(struct span value, struct pattern *out)
{
	char memory[3 * ADDRESS_VALUE_MAX + 1];
	struct buf folded;
	enum status status;

	if (value.len > ADDRESS_VALUE_MAX) {
		return CX_ETOOLONG;
	}
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '\0' || value.ptr[i] == '\r' ||
		    value.ptr[i] == '\n') {
			return CX_EINVAL;
		}
	}
	buf_init_fixed(&folded, memory, sizeof(memory));
	status = utf8_fold(value, &folded);
	if (status != CX_OK) {
		return status;
	}
	if (folded.failed) {
		return CX_ETOOLONG;
	}
	if (strcmp(out->type, "ms") == 0) {
		return parse_ms(buf_span(&folded), out);
	}
	if (strcmp(out->type, "x400") == 0) {
		return parse_x400(buf_span(&folded), out);
	}
	return parse_other(buf_span(&folded), out);
}

/* Takes ";cost" off the end. */
static enum status split_cost(struct span *text, uint32_t *cost)
{
	size_t start = text->len;
	struct span digits;

	*cost = ADDRESS_SPACE_COST_DEFAULT;
	while (start > 0 && text->ptr[start - 1] != ';') {
		start--;
	}
	digits = span_trim((struct span){ text->ptr + start, text->len - start });
	if (start == 0 || digits.len == 0) {
		return CX_OK;
	}
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.ptr[i] < '0' || digits.ptr[i] > '9') {
			return CX_OK;
		}
	}
	*cost = 0;
	for (size_t i = 0; i < digits.len; i++) {
		*cost = *cost * 10 + (uint32_t)(digits.ptr[i] - '0');
		if (*cost > ADDRESS_SPACE_COST_MAX) {
			return CX_EINVAL;
		}
	}
	text->len = start - 1;
	return CX_OK;
}

static enum status parse_type(struct span type, char out[ADDRESS_TYPE_MAX + 1])
{
	if (type.len > ADDRESS_TYPE_MAX) {
		return CX_ETOOLONG;
	}
	for (size_t i = 0; i < type.len; i++) {
		char c = type.ptr[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out[type.len] = '\0';
	return type.len > 0 ? CX_OK : CX_EINVAL;
}

enum status pattern_parse(struct span text, struct pattern *out, uint32_t *cost)
{
	struct span type, value;
	enum status status;

	text = span_trim(text);
	buf_init_fixed(&out->text, out->memory, sizeof(out->memory));
	status = split_cost(&text, cost);
	if (status != CX_OK) {
		return status;
	}
	if (text.len == 0) {
		return CX_EINVAL;
	}
	if (!address_split_type(text, &type, &value)) {
		type = SPAN("smtp");
	}
	status = parse_type(type, out->type);
	if (status != CX_OK) {
		return status;
	}
	status = strcmp(out->type, "smtp") == 0 ? parse_smtp(value, out)
						: parse_folded(value, out);
	if (status == CX_OK && out->text.failed) {
		status = CX_ETOOLONG;
	}
	return status;
}

void pattern_key(const char *type, enum pattern_kind kind, struct span text,
    struct key *out)
{
	struct span parts[2] = { text, { NULL, 0 } };

	switch (kind) {
	case PATTERN_ANY: parts[0] = SPAN("*"); break;
	case PATTERN_DOMAIN:
		parts[0] = SPAN("*@");
		parts[1] = text;
		break;
	case PATTERN_SUBDOMAINS:
		parts[0] = SPAN("*.");
		parts[1] = text;
		break;
	case PATTERN_PREFIX: parts[1] = SPAN("*"); break;
	case PATTERN_EXACT:
	case PATTERN_MS:
	case PATTERN_X400: break;
	}
	key_of_parts(type, parts, 2, out);
}
