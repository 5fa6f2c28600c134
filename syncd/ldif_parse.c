#include "config.h"

#include "syncd/ldif_parse.h"

#include <ldap.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include <ldif.h> /* needs stdio.h */

#include "syncd/ldap_range.h"
#include "syncd/sort.h"
#include "syncd/sync_wire.h"
#include "value/address.h"
#include "value/buf.h"
#include "value/dn.h"
#include "value/spool.h"

enum {
	ID_SIZE = 32
};

/* One "name: value" of the record being read; points into the text. */
struct pair {
	struct span name, value;
	size_t order;
};

/* A DN or entryUUID that was seen, to find it twice. */
struct identity {
	uint8_t id[ID_SIZE];
	unsigned long line;
};

struct identities {
	struct spool items; /* of struct identity */
};

struct parser {
	const char *name;
	char *next, *end;
	unsigned long line; /* of `next`, from 1 */
	struct errbuf *err;
	ldif_visit *visit;
	void *context;

	struct pair *pairs;
	size_t pair_count, pair_room;
	struct attribute *attributes;
	struct span *values;
	size_t built_room;
	struct span dn;
	unsigned long dn_line;
	bool has_dn, is_partial;
	struct identities dns, uuids;
};

static enum status wrong(struct parser *parser, unsigned long line, const char *what)
{
	errbuf_set(parser->err, "%s:%lu: %s", parser->name, line, what);
	return CX_EINVAL;
}

/* --- Lines --- */

/*
 * The next logical line, continuation lines joined, without its end, NUL behind it.
 * `*line` is where it starts. False: no more.
 */
static bool next_line(struct parser *parser, char **text, size_t *len,
    unsigned long *line)
{
	char *out = parser->next;

	if (parser->next >= parser->end) {
		return false;
	}
	*text = out;
	*line = parser->line;
	do {
		char *start = parser->next;
		char *newline = memchr(start, '\n', (size_t)(parser->end - start));
		char *stop = newline ? newline : parser->end;
		size_t count;

		if (start != *text) {
			start++; /* the blank that says it goes on */
		}
		parser->next = newline ? newline + 1 : parser->end;
		parser->line++;
		if (stop > start && stop[-1] == '\r') {
			stop--;
		}
		count = (size_t)(stop - start);
		memmove(out, start, count);
		out += count;
		/* An empty line ends a record: nothing continues it. */
	} while (out != *text && parser->next < parser->end &&
		 (*parser->next == ' ' || *parser->next == '\t'));
	*out = '\0';
	*len = (size_t)(out - *text);
	return true;
}

static bool is_name(struct span name)
{
	struct range_part part;

	if (range_parse(name, &part) != CX_NOTFOUND) {
		name = part.name; /* what comes behind it is not used */
	}
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '-' || c == '.' || c == ';' ||
			c == '_')) {
			return false;
		}
	}
	return name.len > 0;
}

/* Checked here, for libldap complains of what is none on standard error. */
static bool is_base64(struct span text)
{
	size_t padding = 0;

	while (text.len && text.ptr[0] == ' ') {
		text.ptr++;
		text.len--;
	}
	while (padding < 2 && padding < text.len &&
	       text.ptr[text.len - 1 - padding] == '=') {
		padding++;
	}
	for (size_t i = 0; i < text.len - padding; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '+' || c == '/')) {
			return false;
		}
	}
	return text.len % 4 == 0;
}

/* Takes a line apart. What must not reach libldap is refused here. */
static enum status split_line(struct parser *parser, char *text, size_t len,
    unsigned long line, struct span *name, struct span *value)
{
	char *colon = memchr(text, ':', len);
	struct berval type = { 0, NULL }, decoded = { 0, NULL };
	int must_free = 0;

	if (!colon) {
		return wrong(parser, line, "no colon");
	}
	*name = (struct span){ text, (size_t)(colon - text) };
	if (!is_name(*name)) {
		return wrong(parser, line, "not an attribute name");
	}
	if (span_equal_case(*name, SPAN("include"))) {
		return wrong(parser, line, "\"include\" is not allowed");
	}
	if (colon[1] == '<') {
		return wrong(parser, line,
		    "values from a URL (\":<\") are not allowed");
	}
	if (span_equal_case(*name, SPAN("changetype")) ||
	    span_equal_case(*name, SPAN("control"))) {
		return wrong(parser, line, "change records are not allowed");
	}
	if (colon[1] == ':') {
		struct span encoded = { colon + 2, len - (size_t)(colon + 2 - text) };

		if (span_is_empty(span_trim(encoded))) {
			*value = (struct span){ colon + 2, 0 };
			return CX_OK;
		}
		if (!is_base64(encoded)) {
			return wrong(parser, line, "not base64");
		}
	}
	if (ldif_parse_line2(text, &type, &decoded, &must_free) != 0 || must_free) {
		if (must_free) {
			ber_memfree(decoded.bv_val);
		}
		return wrong(parser, line, "not an attribute and its value");
	}
	*name = (struct span){ type.bv_val, type.bv_len };
	*value = (struct span){ decoded.bv_val, decoded.bv_len };
	return CX_OK;
}

/* --- Identities --- */

static int compare_identities(const void *a, const void *b)
{
	const struct identity *left = a, *right = b;
	int order = memcmp(left->id, right->id, ID_SIZE);

	return order ? order : (left->line > right->line) - (left->line < right->line);
}

static enum status add_identity(struct identities *list, const uint8_t id[ID_SIZE],
    unsigned long line)
{
	struct identity item = { .line = line };

	memcpy(item.id, id, ID_SIZE);
	return spool_add(&list->items, &item, sizeof(item));
}

static enum status check_identities(struct parser *parser, struct identities *list,
    const char *what)
{
	struct identity *items = (void *)list->items.data;
	size_t count = list->items.len / sizeof(*items);
	char text[80];
	enum status status = sort_large(items, count, sizeof(*items),
	    compare_identities, list->items.directory);

	for (size_t i = 1; status == CX_OK && i < count; i++) {
		const struct identity *first = &items[i - 1];

		if (memcmp(first->id, items[i].id, ID_SIZE) == 0) {
			snprintf(text, sizeof(text),
			    "the %s was there before, in line %lu", what, first->line);
			return wrong(parser, items[i].line, text);
		}
	}
	return status;
}

static bool digest(struct span text, uint8_t out[ID_SIZE])
{
	unsigned len = 0;

	return EVP_Digest(text.ptr, text.len, out, &len, EVP_sha256(), NULL) &&
	       len == ID_SIZE;
}

static enum status identify(struct parser *parser, struct ldif_entry *out)
{
	const struct attribute *uuid = entry_find(&out->entry, "entryUUID");
	uint8_t id[ID_SIZE] = { 0 };
	struct key key;
	enum status status = dn_key(out->entry.dn, &key);

	if (status == CX_ENOMEM) {
		return status;
	}
	/* A DN that is none is told apart by its bytes; the mapping refuses the entry. */
	if (!digest(status == CX_OK ? key_span(&key) : out->entry.dn, id)) {
		return CX_ENOMEM;
	}
	status = add_identity(&parser->dns, id, out->line);
	memcpy(out->uuid, id, sizeof(out->uuid));
	if (status != CX_OK || !uuid) {
		return status;
	}
	if (uuid->count != 1 ||
	    !sync_uuid_parse(span_trim(uuid->values[0]), out->uuid)) {
		return wrong(parser, out->line, "entryUUID is not one UUID");
	}
	memset(id, 0, sizeof(id));
	memcpy(id, out->uuid, sizeof(out->uuid));
	return add_identity(&parser->uuids, id, out->line);
}

/* --- Records --- */

static int compare_case(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < len; i++) {
		int left = (unsigned char)a.ptr[i] | 0x20;
		int right = (unsigned char)b.ptr[i] | 0x20;

		if (left != right) {
			return left - right;
		}
	}
	return (a.len > b.len) - (a.len < b.len);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *left = a, *right = b;
	int order = compare_case(left->name, right->name);

	return order ? order
		     : (left->order > right->order) - (left->order < right->order);
}

static enum status add_pair(struct parser *parser, struct span name, struct span value)
{
	if (memchr(name.ptr, ';', name.len)) {
		struct range_part part;

		parser->is_partial |= range_parse(name, &part) != CX_NOTFOUND;
		return CX_OK;
	}
	if (parser->pair_count == parser->pair_room) {
		size_t room = parser->pair_room ? 2 * parser->pair_room : 64;
		struct pair *grown = reallocarray(parser->pairs, room, sizeof(*grown));

		if (!grown) {
			return CX_ENOMEM;
		}
		parser->pairs = grown;
		parser->pair_room = room;
	}
	parser->pairs[parser->pair_count] =
	    (struct pair){ name, value, parser->pair_count };
	parser->pair_count++;
	return CX_OK;
}

static enum status make_room(struct parser *parser)
{
	if (parser->built_room >= parser->pair_count) {
		return CX_OK;
	}
	size_t room = parser->pair_room;
	struct attribute *attributes =
	    reallocarray(parser->attributes, room, sizeof(*attributes));

	if (!attributes) {
		return CX_ENOMEM;
	}
	parser->attributes = attributes;
	struct span *values = reallocarray(parser->values, room, sizeof(*values));
	if (!values) {
		return CX_ENOMEM;
	}
	parser->values = values;
	parser->built_room = room;
	return CX_OK;
}

/* The record is complete: gathers the values of each attribute and hands it over. */
static enum status end_record(struct parser *parser)
{
	struct ldif_entry out = { .line = parser->dn_line };
	enum status status;
	size_t count = 0;

	if (!parser->has_dn) {
		return CX_OK;
	}
	parser->has_dn = false;
	status = make_room(parser);
	if (status != CX_OK) {
		return status;
	}
	if (parser->pair_count) {
		qsort(parser->pairs, parser->pair_count, sizeof(*parser->pairs),
		    compare_pairs);
	}
	for (size_t i = 0; i < parser->pair_count; i++) {
		const struct pair *pair = &parser->pairs[i];

		parser->values[i] = pair->value;
		if (i == 0 || !span_equal_case(pair->name, pair[-1].name)) {
			parser->attributes[count++] =
			    (struct attribute){ pair->name, &parser->values[i], 0 };
		}
		parser->attributes[count - 1].count++;
	}
	parser->pair_count = 0;
	out.is_partial = parser->is_partial;
	parser->is_partial = false;
	out.entry = (struct entry){ parser->dn, parser->attributes, count };
	status = identify(parser, &out);
	return status == CX_OK ? parser->visit(parser->context, &out) : status;
}

static enum status take_line(struct parser *parser, char *text, size_t len,
    unsigned long line, bool *is_first)
{
	struct span name, value;
	enum status status = split_line(parser, text, len, line, &name, &value);
	bool was_first = *is_first;

	*is_first = false;
	if (status != CX_OK) {
		return status;
	}
	if (was_first && span_equal_case(name, SPAN("version"))) {
		return span_equal(span_trim(value), SPAN("1"))
			   ? CX_OK
			   : wrong(parser, line, "only version 1 of LDIF is known");
	}
	if (span_equal_case(name, SPAN("dn"))) {
		if (parser->has_dn) {
			return wrong(parser, line, "\"dn\" inside a record");
		}
		parser->dn = value;
		parser->dn_line = line;
		parser->has_dn = true;
		return CX_OK;
	}
	if (!parser->has_dn) {
		return wrong(parser, line, "a record must begin with \"dn:\"");
	}
	return add_pair(parser, name, value);
}

static enum status parse_lines(struct parser *parser)
{
	bool is_first = true;
	unsigned long line = 0;
	enum status status = CX_OK;
	size_t len;
	char *text;

	while (status == CX_OK && next_line(parser, &text, &len, &line)) {
		if (len == 0) {
			status = end_record(parser);
		} else if (text[0] == ' ' || text[0] == '\t') {
			status = wrong(parser, line, "a continuation of nothing");
		} else if (text[0] != '#') {
			status = take_line(parser, text, len, line, &is_first);
		}
	}
	return status == CX_OK ? end_record(parser) : status;
}

static unsigned long line_of(const char *text, const char *position)
{
	unsigned long line = 1;

	for (; text < position; text++) {
		line += *text == '\n';
	}
	return line;
}

enum status ldif_parse(const char *name, const char *scratch, char *text, size_t len,
    ldif_visit *visit, void *context, struct errbuf *err)
{
	struct parser parser = { .name = name,
		.next = text,
		.end = text + len,
		.line = 1,
		.err = err,
		.visit = visit,
		.context = context };
	const char *nul = len ? memchr(text, '\0', len) : NULL;
	enum status status;

	spool_init(&parser.dns.items, scratch);
	spool_init(&parser.uuids.items, scratch);
	ldif_debug = 0; /* what it would print comes back as a status */
	if (nul) {
		return wrong(&parser, line_of(text, nul), "a NUL byte");
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		parser.next += 3;
	}
	status = parse_lines(&parser);
	if (status == CX_OK) {
		status = check_identities(&parser, &parser.dns, "DN");
	}
	if (status == CX_OK) {
		status = check_identities(&parser, &parser.uuids, "entryUUID");
	}
	if (status == CX_ENOMEM || status == CX_EIO) {
		errbuf_set(err, "%s: %s", name, status_text(status));
	}
	free(parser.pairs);
	free(parser.attributes);
	free(parser.values);
	spool_release(&parser.dns.items);
	spool_release(&parser.uuids.items);
	return status;
}
