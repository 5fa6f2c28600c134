#include "config.h"

#include "policyd/maps.h"

#include "decide/age.h"
#include "decide/lookup.h"
#include "decide/reply.h"
#include "decide/route.h"
#include "forward/trace.h"
#include "policyd/maps_parts.h"

/* Whether all directories that may have the recipient were loaded once. */
static bool knows_recipients(const struct view *view)
{
	size_t count, i;
	const struct source_info *sources = snapshot_sources(view->snapshot, &count);

	for (i = 0; i < count; i++) {
		if (sources[i].provides_recipients && !sources[i].is_loaded) {
			return false;
		}
	}
	return count > 0;
}

/* What smtpd would turn into a refusal. */
static bool is_refusal(struct span next_hop)
{
	return span_starts_with_case(next_hop, SPAN("error:")) ||
	       span_starts_with_case(next_hop, SPAN("retry:"));
}

/* An address of ours that nobody has while a directory was never loaded. */
static bool may_yet_appear(const struct query *query)
{
	struct domain domain;
	struct found found;

	return !knows_recipients(query->view) &&
	       map_own_domain(query, &domain) == CX_OK &&
	       lookup_address(query->view, &query->address, &found, NULL) ==
		   CX_NOTFOUND;
}

static enum map_status lookup_transport(struct query *query, struct buf *value)
{
	char memory[NEXT_HOP_MAX];
	struct buf next_hop;
	uint32_t sources = 0;
	enum status status;

	if (may_yet_appear(query)) {
		return MAP_TEMPORARY;
	}
	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route(query->view, &query->address, &next_hop, &sources);
	if (status == CX_NOTFOUND) {
		return map_not_found(query->view);
	}
	if (!age_allows_delivery(query->view, sources)) {
		return MAP_TEMPORARY;
	}
	if (status == CX_EINVAL || status == CX_EEXIST ||
	    (status == CX_OK && is_refusal(buf_span(&next_hop)))) {
		buf_add_text(value, MAP_NO_ROUTE);
		return MAP_FOUND;
	}
	if (status != CX_OK) {
		return MAP_TEMPORARY;
	}
	buf_add_span(value, buf_span(&next_hop));
	return MAP_FOUND;
}

static enum map_status lookup_recipients(struct query *query, struct buf *value)
{
	struct question question = {
		.address = &query->address,
		.client = { .is_anyone = true },
	};
	struct resolution resolution;
	const struct reply *reply;

	workspace_resolve(query->workspace, query->view, &question, &resolution);
	if (resolution.verdict == VERDICT_DELIVER && resolution.is_ours) {
		buf_add_text(value, "OK");
		return MAP_FOUND;
	}
	reply = reply_of_resolution(&resolution);
	return reply != NULL && reply_is_temporary(reply) ? MAP_TEMPORARY
							  : MAP_NOT_FOUND;
}

/* The primary address with the extension that was asked for. */
static enum status add_extension(const struct query *query, const struct found *found,
    struct address *primary)
{
	char memory[2 * ADDRESS_VALUE_MAX + 1];
	struct buf local;
	struct address plain = *primary;
	struct span extension;
	enum status status =
	    address_extension(&query->address, found->base_len, &extension);

	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&local, memory, sizeof(memory));
	buf_add(&local, plain.local, plain.local_len);
	buf_add_span(&local, extension);
	return address_make("smtp", buf_span(&local),
	    (struct span){ plain.domain, plain.domain_len }, primary);
}

static enum map_status lookup_primary_map(struct query *query, struct buf *value)
{
	struct domain domain;
	struct found found;
	struct address primary;
	enum status domain_status = map_own_domain(query, &domain);
	enum status status;

	if (domain_status != CX_OK && domain_status != CX_NOTFOUND) {
		return MAP_TEMPORARY;
	}
	status = lookup_address(query->view, &query->address, &found, NULL);
	/* What another system's delimiter is, nobody here knows. */
	if (status == CX_OK && domain_status == CX_NOTFOUND &&
	    found.by != FOUND_LITERALLY) {
		status = CX_NOTFOUND;
	}
	if (status == CX_OK) {
		status = lookup_primary(query->view, &found, &primary);
	}
	if (status == CX_OK && found.by == FOUND_BY_BASE) {
		status = add_extension(query, &found, &primary);
	}
	if (status == CX_ETEMP || status == CX_EFORMAT || status == CX_ENOMEM) {
		return MAP_TEMPORARY;
	}
	if (status != CX_OK) {
		return knows_recipients(query->view) ? map_not_found(query->view)
						     : MAP_TEMPORARY;
	}
	address_print(&primary, value);
	return MAP_FOUND;
}

static enum map_status print_domain_type(struct query *query, struct buf *value)
{
	buf_add_text(value, domain_type_text(query->domain.type));
	return MAP_FOUND;
}

static enum map_status lookup_mailbox_domains(struct query *query, struct buf *value)
{
	return query->domain.type == DOMAIN_AUTHORITATIVE ||
		       query->domain.type == DOMAIN_SHARED
		   ? print_domain_type(query, value)
		   : MAP_NOT_FOUND;
}

static enum map_status lookup_relay_domains(struct query *query, struct buf *value)
{
	return query->domain.type == DOMAIN_RELAY ||
		       query->domain.type == DOMAIN_REWRITE
		   ? print_domain_type(query, value)
		   : MAP_NOT_FOUND;
}

enum key_kind {
	KEY_ADDRESS,
	KEY_DOMAIN,
	KEY_CLIENT,
};

/* clang-format off */
static const struct map {
	struct span name;
	enum key_kind key_kind;
	map_lookup *lookup;
} maps[] = {
	{ { "transport", 9 },        KEY_ADDRESS, lookup_transport },
	{ { "recipients", 10 },      KEY_ADDRESS, lookup_recipients },
	{ { "domains", 7 },          KEY_DOMAIN,  print_domain_type },
	{ { "mailbox_domains", 15 }, KEY_DOMAIN,  lookup_mailbox_domains },
	{ { "relay_domains", 13 },   KEY_DOMAIN,  lookup_relay_domains },
	{ { "login", 5 },            KEY_ADDRESS, map_lookup_login },
	{ { "primary", 7 },          KEY_ADDRESS, lookup_primary_map },
	{ { "relay", 5 },            KEY_CLIENT,  map_lookup_relay },
};
/* clang-format on */

static const struct map *find_map(struct span name)
{
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		if (span_equal(maps[i].name, name)) {
			return &maps[i];
		}
	}
	return NULL;
}

/*
 * Keys come in external form, quoted where need be, and when that is not found in
 * internal form. Only the first begins with a quote, but for local parts that do so.
 */
static enum status parse_address(struct span key, struct address *out)
{
	enum status status = CX_EINVAL;

	if (key.len > 0 && key.ptr[0] == '"') {
		status = address_parse_path(key, out);
	}
	return status == CX_OK || status == CX_ENOMEM ? status
						      : address_parse_internal(key, out);
}

static enum map_status query_address(const struct map *map, struct query *query,
    struct buf *value)
{
	enum status status = parse_address(query->key, &query->address);

	if (status == CX_ENOMEM) {
		return MAP_TEMPORARY;
	}
	if (status != CX_OK || query->address.domain_len == 0) {
		return MAP_NOT_FOUND; /* the MTA's own, or nobody's */
	}
	if (query->view->snapshot == NULL) {
		return MAP_UNAVAILABLE;
	}
	return map->lookup(query, value);
}

static enum map_status query_domain(const struct map *map, struct query *query,
    struct buf *value)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct record_id id;
	enum status status;

	status = domain_canonical(query->key, name);
	if (status != CX_OK) {
		return status == CX_ENOMEM ? MAP_TEMPORARY : MAP_NOT_FOUND;
	}
	if (query->view->snapshot == NULL) {
		return MAP_UNAVAILABLE;
	}
	status = find_domain(query->view, span_of(name), &query->domain, &id);
	if (status == CX_OK) {
		return map->lookup(query, value);
	}
	return status == CX_NOTFOUND ? map_not_found(query->view) : MAP_TEMPORARY;
}

static enum map_status query_by_kind(const struct map *map, struct query *query,
    struct buf *value)
{
	switch (map->key_kind) {
	case KEY_ADDRESS: return query_address(map, query, value);
	case KEY_DOMAIN: return query_domain(map, query, value);
	case KEY_CLIENT: break;
	}
	return query->view->snapshot ? map->lookup(query, value) : MAP_UNAVAILABLE;
}

/* A reply is one line to whoever reads it; and an empty value is none. */
static bool is_printable(struct span value)
{
	for (size_t i = 0; i < value.len; i++) {
		if ((unsigned char)value.ptr[i] < ' ' || value.ptr[i] == 0x7f) {
			return false;
		}
	}
	return value.len > 0 && value.len <= MAP_VALUE_MAX;
}

static bool is_returned(struct span key)
{
	struct span end = SPAN("@" TRACE_BOUNCE_DOMAIN);

	return key.len > end.len &&
	       span_equal_case(
		   (struct span){ key.ptr + key.len - end.len, end.len }, end);
}

enum map_status map_query(const struct view *view, struct span name, struct span key,
    struct workspace *workspace, struct buf *value)
{
	struct query query = { .view = view, .workspace = workspace, .key = key };
	const struct map *map = find_map(name);
	enum map_status status;
	size_t before = value->len;

	if (map == NULL) {
		return MAP_NO_SUCH_MAP;
	}
	/* Postfix asks for "*" at its start; an error there spoils every other key. */
	if (map->lookup == lookup_transport && span_equal(key, SPAN("*"))) {
		return MAP_NOT_FOUND;
	}
	/* What the milter leaves of a recipient whose mail came back: it is bounced. */
	if (map->lookup == lookup_transport && is_returned(key)) {
		buf_add_text(value, MAP_RETURNED);
		return MAP_FOUND;
	}
	status = query_by_kind(map, &query, value);
	if (status == MAP_FOUND &&
	    (value->failed || !is_printable((struct span){
				  value->data + before, value->len - before }))) {
		return MAP_TEMPORARY;
	}
	return status;
}
