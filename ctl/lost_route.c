#include "config.h"

#include "ctl/lost_route.h"

#include "value/address.h"

enum status delivery_lacks_route(const struct view *view,
    const struct delivery *delivery, bool *out)
{
	struct address address;
	struct domain domain;
	struct record_id id;
	enum status status;

	*out = false;
	if (delivery->is_foreign || !span_is_empty(delivery->next_hop) ||
	    address_parse_typed(delivery->address, &address) != CX_OK) {
		return CX_OK;
	}
	status = find_domain(view, (struct span){ address.domain, address.domain_len },
	    &domain, &id);
	*out = status == CX_OK && domain.type != DOMAIN_RELAY;
	return status == CX_NOTFOUND ? CX_OK : status;
}
