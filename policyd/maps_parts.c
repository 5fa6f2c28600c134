#include "config.h"

#include "policyd/maps_parts.h"

#include "decide/age.h"

enum map_status map_not_found(const struct view *view)
{
	return age_knows_domains(view) ? MAP_NOT_FOUND : MAP_TEMPORARY;
}

enum status map_own_domain(const struct query *query, struct domain *out)
{
	struct record_id id;

	return find_domain(query->view,
	    (struct span){ query->address.domain, query->address.domain_len }, out,
	    &id);
}
