#include "config.h"

#include "decide/route.h"

#include "decide/next_hop.h"
#include "decide/resolve.h"
#include "decide/wrapped.h"
#include "forward/hop.h"
#include "replica/connector.h"
#include "value/address_space.h"

/*
 * Limits of one look-up. Shapes in use are few (SMTP has six or so, MS eight, X400 one for
 * each set of attributes that somebody wrote); beyond, the replica is answered with "don't know".
 */
#define SHAPES_MAX  256
/* Each site of a large organisation may have a connector with SMTP:* */
#define ENTRIES_MAX 1024

/* The best space so far for an address. */
struct candidate {
	bool is_set;
	struct address_space space; /* only what address_space_compare() reads is filled */
	struct span name;
	struct record_id connector;
	struct span forward_host; /* instead of a connector: what the domain says */
};

static enum status read_connector(const struct view *view, const struct record_id *id,
    struct connector *out, uint32_t *sources)
{
	struct record record;
	enum status status = snapshot_record(view->snapshot, id, &record);

	lookup_note_source(view, id->source, sources);
	if (status == CX_OK) {
		status = connector_decode(&record, out);
	}
	return status == CX_NOTFOUND ? CX_EFORMAT : status;
}

/* Specificity and cost decide, then the name, so that the order of entries never does. */
static void consider(struct candidate *best, const struct candidate *other)
{
	int order;

	if (best->is_set) {
		order = address_space_compare(&other->space, &best->space);
		if (order > 0 || (order == 0 && span_compare(other->name, best->name) >= 0)) {
			return;
		}
	}
	*best = *other;
}

static enum status consider_pattern(const struct view *view, const struct key *pattern,
    struct candidate *best, uint32_t *sources)
{
	struct space_entry entries[ENTRIES_MAX];
	struct candidate candidate = { .is_set = true };
	struct connector connector;
	size_t count, i;
	enum status status =
	    snapshot_spaces(view->snapshot, pattern, entries, ENTRIES_MAX, &count);

	if (status != CX_OK) {
		return status == CX_NOTFOUND ? CX_OK : status;
	}
	if (count > ENTRIES_MAX) {
		return CX_EFORMAT;
	}
	/* The cheapest come first, and no other of one pattern can win. */
	for (i = 0; i < count && entries[i].cost == entries[0].cost; i++) {
		candidate.space.cost = entries[i].cost;
		candidate.space.literals = entries[i].literals;
		candidate.space.is_exact = entries[i].is_exact;
		candidate.connector = entries[i].connector;
		status = read_connector(view, &entries[i].connector, &connector, sources);
		if (status != CX_OK) {
			return status;
		}
		candidate.name = connector.name;
		if ((connector.flags & CONNECTOR_DISABLED) == 0) {
			consider(best, &candidate);
		}
	}
	return CX_OK;
}

/* A mailbox that a space names is meant with its extensions, as in transport(5). */
static enum status consider_bases(const struct view *view, const struct address *address,
    struct candidate *best, uint32_t *sources)
{
	const char *delimiters = view->settings->recipient_delimiter;
	size_t len = address->folded_len;
	struct key pattern;
	enum status status = CX_OK;

	while (status == CX_OK && address_next_base(address, delimiters, &len)) {
		status = address_space_probe_base(address, len, &pattern);
		if (status == CX_OK) {
			status = consider_pattern(view, &pattern, best, sources);
		} else if (status == CX_NOTFOUND) {
			status = CX_OK;
		}
	}
	return status;
}

static enum status consider_spaces(const struct view *view, const struct address *address,
    struct candidate *best, uint32_t *sources)
{
	struct span shapes[SHAPES_MAX];
	struct key pattern;
	size_t count, i;
	enum status status = snapshot_space_shapes(view->snapshot, address->type, shapes,
	    SHAPES_MAX, &count);

	if (status != CX_OK) {
		return status == CX_NOTFOUND ? CX_OK : status;
	}
	if (count > SHAPES_MAX) {
		return CX_EFORMAT;
	}
	for (i = 0; status == CX_OK && i < count; i++) {
		status = address_space_probe(shapes[i], address, &pattern);
		if (status == CX_OK) {
			status = consider_pattern(view, &pattern, best, sources);
		} else if (status == CX_NOTFOUND) {
			status = CX_OK;
		}
		if (status == CX_OK && address_space_is_mailbox(shapes[i])) {
			status = consider_bases(view, address, best, sources);
		}
	}
	return status == CX_EINVAL ? CX_EFORMAT : status;
}

/* Whether a domain pattern can hold this domain: spares making keys of those that cannot. */
static bool may_hold(struct span pattern, const struct address *address)
{
	if (pattern.len > 0 && pattern.ptr[0] == '*') {
		pattern = (struct span){ pattern.ptr + 1, pattern.len - 1 };
		return pattern.len < address->domain_len &&
		    memcmp(address->domain + address->domain_len - pattern.len, pattern.ptr,
			pattern.len) == 0;
	}
	return span_equal(pattern, (struct span){ address->domain, address->domain_len });
}

/* The space `SMTP:<domain>` with cost 0 that a coexistForwardHost counts as. */
static enum status consider_forward_host(const struct domain *domain,
    const struct address *address, struct candidate *best)
{
	struct candidate candidate = { .is_set = true, .forward_host = domain->forward_host };
	struct address_space space;
	struct values patterns = domain->patterns;
	struct span pattern;
	struct key probe;

	while (!span_is_empty(domain->forward_host) && values_next(&patterns, &pattern)) {
		if (!may_hold(pattern, address)) {
			continue;
		}
		if (address_space_of_domain(pattern, &space) != CX_OK) {
			return CX_EFORMAT;
		}
		if (address_space_probe(key_span(&space.shape), address, &probe) == CX_OK &&
		    key_equal(&probe, &space.pattern)) {
			candidate.space = space;
			consider(best, &candidate);
		}
	}
	return CX_OK;
}

enum status route_by_connector(const struct view *view, const struct record_id *id,
    struct buf *out, uint32_t *sources)
{
	struct connector connector;
	enum status status = read_connector(view, id, &connector, sources);

	if (status == CX_OK && (connector.flags & CONNECTOR_DISABLED) != 0) {
		status = CX_EINVAL;
	}
	return status == CX_OK ? next_hop_print(connector.next_hop, out) : status;
}

/*
 * What coexistForwardHost or coexistHomeServer names: a connector, else a host. A disabled
 * connector is not taken for a host: its mail waits until it is back. A name with no dot
 * is a host only where the caller says so.
 */
static enum status route_by_name(const struct view *view, struct span name,
    bool any_name_is_host, struct buf *out, uint32_t *sources)
{
	struct record_id id;
	enum status status = snapshot_by_connector(view->snapshot, name, &id);

	if (status == CX_OK) {
		return route_by_connector(view, &id, out, sources);
	}
	if (status != CX_NOTFOUND) {
		return status;
	}
	return any_name_is_host || next_hop_is_host(name) ? next_hop_print(name, out)
							  : CX_EINVAL;
}

static enum status route_by_candidate(const struct view *view,
    const struct candidate *best, struct buf *out, uint32_t *sources)
{
	if (!best->is_set) {
		return CX_NOTFOUND;
	}
	if (!span_is_empty(best->forward_host)) {
		return route_by_name(view, best->forward_host, true, out, sources);
	}
	return route_by_connector(view, &best->connector, out, sources);
}

enum status route_by_space(const struct view *view, const struct address *address,
    struct buf *out, uint32_t *sources)
{
	struct candidate best = { .is_set = false };
	enum status status = consider_spaces(view, address, &best, sources);

	return status == CX_OK ? route_by_candidate(view, &best, out, sources) : status;
}

static enum status route_in_domain(const struct view *view, const struct address *address,
    const struct domain *domain, struct buf *out, uint32_t *sources)
{
	struct candidate best = { .is_set = false };
	enum status status = consider_spaces(view, address, &best, sources);

	if (status == CX_OK) {
		status = consider_forward_host(domain, address, &best);
	}
	return status == CX_OK ? route_by_candidate(view, &best, out, sources) : status;
}

static enum status route_to_mailboxes(const struct view *view, struct buf *out)
{
	if (view->settings->mailbox_transport[0] == '\0') {
		return CX_NOTFOUND;
	}
	buf_add_text(out, view->settings->mailbox_transport);
	return out->failed ? CX_ETOOLONG : CX_OK;
}

static bool is_here(const struct view *view, const struct recipient *recipient)
{
	const char *const *server = view->settings->local_servers;

	if (span_is_empty(recipient->home_server)) {
		return true;
	}
	for (; *server != NULL; server++) {
		if (span_equal_case(span_of(*server), recipient->home_server)) {
			return true;
		}
	}
	return false;
}

/*
 * What stands for another address is turned into it by the milter at the hop; also a bounce of
 * this MTA's own that no milter has seen. A recipient that is on its way to the hop and does not
 * get there at present, because the hop or the secret is no longer in the configuration, goes
 * nowhere else.
 */
static enum status route_wrapped(const struct view *view, const struct address *address,
    struct buf *out)
{
	const char *hop = view->settings->srs_hop;
	struct address original;
	enum status status;

	if (!wrapped_is(view, address)) {
		return CX_NOTFOUND;
	}
	status = hop == NULL || hop[0] == '\0' ? CX_EINVAL
					       : wrapped_open(view, address, &original);
	if (status == CX_OK) {
		buf_add_text(out, hop);
	}
	if (status == CX_OK || status == CX_ETEMP) {
		return status;
	}
	return hop_is_tagged(address) ? CX_EINVAL : CX_NOTFOUND;
}

/* An address of ours that no object has: its domain's next hop. */
static enum status route_unknown(const struct view *view, const struct address *address,
    const struct domain *domain, struct buf *out, uint32_t *sources)
{
	struct address other;
	enum status status = route_wrapped(view, address, out);

	if (status != CX_NOTFOUND) {
		return status;
	}
	if (domain->type == DOMAIN_REWRITE) {
		status = address_make("smtp",
		    (struct span){ address->local, address->local_len },
		    domain->rewrite_domain, &other);
		/* One step: a domain that is rewritten into one that is rewritten is no
		 * delivery; resolve() has followed it to the end. */
		if (status == CX_ENOMEM) {
			return CX_ETEMP;
		}
		return status == CX_OK ? route_by_space(view, &other, out, sources)
				       : CX_NOTFOUND;
	}
	status = lookup_inner(address, &other);
	if (status == CX_OK) {
		status = route_by_space(view, &other, out, sources);
	}
	if (status == CX_NOTFOUND) {
		status = route_in_domain(view, address, domain, out, sources);
	}
	if (status == CX_NOTFOUND && domain->type != DOMAIN_RELAY) {
		status = route_to_mailboxes(view, out);
	}
	return status;
}

static enum status route_object(const struct view *view, const struct address *address,
    const struct found *found, const struct domain *domain, struct buf *out,
    uint32_t *sources)
{
	const struct recipient *recipient = &found->recipient;
	struct address inner;

	if (!is_here(view, recipient)) {
		return route_by_name(view, recipient->home_server, false, out, sources);
	}
	if (recipient->kind == RECIPIENT_MAILBOX) {
		return route_to_mailboxes(view, out);
	}
	if (found->by == FOUND_ENCAPSULATED) {
		enum status status = lookup_inner(address, &inner);

		if (status != CX_NOTFOUND) {
			return status == CX_OK
				   ? route_by_space(view, &inner, out, sources)
				   : status;
		}
	}
	return route_in_domain(view, address, domain, out, sources);
}

enum status route_found(const struct view *view, const struct address *address,
    const struct found *found, struct buf *out, uint32_t *sources)
{
	struct span name = { address->domain, address->domain_len };
	struct domain domain;
	struct record_id id;
	enum status status;

	if (!address_is_smtp(address)) {
		return route_by_space(view, address, out, sources);
	}
	if (span_is_empty(name)) {
		return CX_NOTFOUND;
	}
	status = find_domain(view, name, &domain, &id);
	if (status == CX_NOTFOUND) {
		return route_by_space(view, address, out, sources);
	}
	if (status != CX_OK) {
		return status;
	}
	lookup_note_source(view, id.source, sources);
	return found != NULL ? route_object(view, address, found, &domain, out, sources)
			     : route_unknown(view, address, &domain, out, sources);
}

enum status route(const struct view *asked, const struct address *address, struct buf *out,
    uint32_t *sources)
{
	struct domain_memo memo;
	struct view with_memo = lookup_with_memo(asked, &memo);
	const struct view *view = &with_memo;
	struct domain domain;
	struct record_id id;
	struct found found;
	enum status status = CX_NOTFOUND;

	if (address_is_smtp(address)) {
		status = find_domain(view,
		    (struct span){ address->domain, address->domain_len }, &domain, &id);
	}
	if (status == CX_OK) {
		status = lookup_address(view, address, &found, sources);
	}
	if (status == CX_OK) {
		return route_found(view, address, &found, out, sources);
	}
	/* What does not decode is nobody's, as what nobody has. */
	if (status == CX_NOTFOUND || status == CX_EINVAL) {
		return route_found(view, address, NULL, out, sources);
	}
	return status;
}
