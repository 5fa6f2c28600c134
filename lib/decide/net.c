#include "config.h"

#include "decide/net.h"

/* Connectors that name the very same block: those for the parts of one system, say. */
#define ENTRIES_MAX 1024
#define PREFIX_MAX  128

/* Decides about the entries of one block; returns false to stop. */
typedef bool block_visit(void *context, const struct net_entry *entries, size_t count);

/* Every block that holds the address, the longest prefix first. */
static enum status each_block(const struct view *view, const struct ip *ip,
    block_visit *visit, void *context)
{
	struct net_entry entries[ENTRIES_MAX];
	uint64_t lengths[3];
	struct ip masked;
	size_t count;
	unsigned bits, shortest;
	enum status status = snapshot_net_lengths(view->snapshot, lengths);

	if (status != CX_OK) {
		return status == CX_NOTFOUND ? CX_OK : status;
	}
	/* No block shorter than /96 holds an IPv4 address (see cidr_contains()). */
	shortest = ip_is_ipv4(ip) ? IPV4_OFFSET_BITS : 0;
	for (bits = PREFIX_MAX + 1; bits-- > shortest;) {
		if ((lengths[bits / 64] >> (bits % 64) & 1) == 0) {
			continue;
		}
		masked = ip_mask(ip, bits);
		status = snapshot_nets(view->snapshot, &masked, bits, entries, ENTRIES_MAX,
		    &count);
		if (status == CX_NOTFOUND) {
			continue;
		}
		if (status != CX_OK) {
			return status;
		}
		if (count > ENTRIES_MAX) {
			return CX_EFORMAT;
		}
		if (!visit(context, entries, count)) {
			break;
		}
	}
	return CX_OK;
}

struct relay_search {
	struct net_entry found;
	bool is_found;
};

static bool visit_relay(void *context, const struct net_entry *entries, size_t count)
{
	struct relay_search *search = context;
	size_t i;

	for (i = 0; i < count; i++) {
		if (entries[i].role == NET_PEER) {
			continue;
		}
		if (!search->is_found || entries[i].role == NET_RELAY_DENY) {
			search->found = entries[i];
			search->is_found = true;
		}
		if (entries[i].role == NET_RELAY_DENY) {
			break;
		}
	}
	return !search->is_found;
}

enum status net_relay(const struct view *view, const struct ip *ip, struct net_entry *out)
{
	struct relay_search search = { .is_found = false };
	enum status status = each_block(view, ip, visit_relay, &search);

	if (status == CX_OK && !search.is_found) {
		return CX_NOTFOUND;
	}
	*out = search.found;
	return status;
}

struct peer_search {
	net_peer_visit *visit;
	void *context;
};

static bool visit_peers(void *context, const struct net_entry *entries, size_t count)
{
	const struct peer_search *search = context;
	size_t i;

	for (i = 0; i < count; i++) {
		if (entries[i].role == NET_PEER &&
		    !search->visit(search->context, &entries[i].connector)) {
			return false;
		}
	}
	return true;
}

enum status net_each_peer(const struct view *view, const struct ip *ip,
    net_peer_visit *visit, void *context)
{
	struct peer_search search = { .visit = visit, .context = context };

	return each_block(view, ip, visit_peers, &search);
}
