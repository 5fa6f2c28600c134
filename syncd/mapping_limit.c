#include "config.h"

#include "syncd/mapping_build.h"
#include "value/dn.h"

/* What a directory with `domains` may have: somebody else keeps it. */

bool mapping_allows_domain(const struct mapping *mapping, struct span domain)
{
	if (!mapping->domains[0]) {
		return true;
	}
	for (size_t i = 0; mapping->domains[i]; i++) {
		struct span limit = span_of(mapping->domains[i]);

		if (span_equal_case(domain, limit)) {
			return true;
		}
		/* "*.acme.example": any depth below, not itself. */
		if (limit.len > 2 && limit.ptr[0] == '*' &&
		    domain.len > limit.len - 1) {
			struct span tail = { domain.ptr + domain.len - (limit.len - 1),
				limit.len - 1 };

			if (span_equal_case(tail,
				(struct span){ limit.ptr + 1, limit.len - 1 })) {
				return true;
			}
		}
	}
	return false;
}

bool mapping_allows_address(const struct mapping *mapping, const struct address *address)
{
	if (!mapping_is_limited(mapping)) {
		return true;
	}
	return address_is_smtp(address) &&
	       mapping_allows_domain(mapping,
		   (struct span){ address->domain, address->domain_len });
}

enum status mapping_is_within_base(const struct mapping *mapping, struct span dn,
    const struct key *own, bool *out)
{
	struct key key = *own;
	enum status status = CX_OK;

	*out = mapping->base.len == 0 || key_equal(&key, &mapping->base);
	while (status == CX_OK && !*out) {
		dn = dn_parent(dn);
		if (span_is_empty(span_trim(dn))) {
			return CX_OK;
		}
		status = dn_key(dn, &key);
		*out = status == CX_OK && key_equal(&key, &mapping->base);
	}
	return status == CX_ENOMEM ? CX_ENOMEM : CX_OK;
}
