#include "config.h"

#include "decide/horizon.h"

#include "decide/net.h"
#include "decide/route.h"

struct horizon {
	const struct view *view;
	const struct delivery *deliveries;
	size_t count;
	bool is_back;
	uint32_t *sources;
	enum status status;
};

static bool check_peer(void *context, const struct record_id *connector)
{
	struct horizon *horizon = context;
	char memory[NEXT_HOP_MAX];
	struct buf next_hop;
	size_t i;
	enum status status;

	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route_by_connector(horizon->view, connector, &next_hop, horizon->sources);
	if (status == CX_ETEMP || status == CX_EFORMAT) {
		horizon->status = status;
		return false;
	}
	if (status != CX_OK) {
		return true; /* no next hop: nothing can go back to it */
	}
	for (i = 0; i < horizon->count; i++) {
		if (horizon->deliveries[i].is_unchanged &&
		    span_equal_case(horizon->deliveries[i].next_hop, buf_span(&next_hop))) {
			horizon->is_back = true;
			return false;
		}
	}
	return true;
}

enum status horizon_check(const struct view *view, const struct client *client,
    const struct delivery *deliveries, size_t count, bool *is_back, uint32_t *sources)
{
	struct horizon horizon = {
		.view = view,
		.deliveries = deliveries,
		.count = count,
		.sources = sources,
		.status = CX_OK,
	};
	enum status status;

	*is_back = false;
	if (!client->has_ip || client->is_authenticated || client->is_anyone) {
		return CX_OK;
	}
	status = net_each_peer(view, &client->ip, check_peer, &horizon);
	*is_back = horizon.is_back;
	return status == CX_OK ? horizon.status : status;
}
