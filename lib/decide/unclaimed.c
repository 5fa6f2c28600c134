#include "config.h"

#include "decide/unclaimed.h"

#include "decide/deliver.h"
#include "decide/route.h"
#include "decide/wrapped.h"

static const struct span nothing = { NULL, 0 };

static void deliver_unclaimed(struct expansion *x, const struct address *address,
    enum rule rule, const struct path *path)
{
	struct destination to = { .address = address, .rule = rule };

	deliver(x, &to, path);
}

static void expand_rewritten(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	struct path next = *path;
	struct address other;
	enum status status;

	next.depth = path->depth + 1;
	next.kind = worse_kind(path->kind, DELIVERY_REDIRECT);
	next.rule = RULE_REWRITE_DOMAIN;
	status = address_make("smtp", (struct span){ address->local, address->local_len },
	    domain->rewrite_domain, &other);
	if (next.depth > x->view->settings->max_depth) {
		x->is_too_deep = true;
		collection_step_address(&x->list, path->depth, RULE_DEPTH, address, nothing);
	} else if (status == CX_ENOMEM) {
		x->failure = CX_ETEMP;
	} else if (status != CX_OK) {
		note_missing_address(x, path, address);
	} else {
		collection_step_address(&x->list, path->depth, RULE_REWRITE_DOMAIN, address,
		    domain->rewrite_domain);
		expand_address(x, &other, &next);
	}
}

static bool is_postmaster(const struct address *address)
{
	return address->folded_len == strlen("postmaster") &&
	    memcmp(address->folded, "postmaster", address->folded_len) == 0;
}

/* postmaster@ is never unknown (RFC 5321, 4.5.1). */
static void expand_postmaster(struct expansion *x, const struct path *path)
{
	struct path next = *path;
	struct address postmaster, own;
	struct key configured;
	enum status status;

	next.is_asked = false;
	next.is_postmaster = true;
	next.depth = path->depth + 1;
	next.kind = worse_kind(path->kind, DELIVERY_REDIRECT);
	next.rule = RULE_POSTMASTER;
	if (address_make("smtp", SPAN("postmaster"), nothing, &own) != CX_OK) {
		return;
	}
	status = address_parse_typed(span_of(x->view->settings->postmaster), &postmaster);
	if (status == CX_ENOMEM) {
		x->failure = CX_ETEMP;
		return;
	}
	if (status != CX_OK || postmaster.domain_len == 0) {
		if (status == CX_OK) {
			own = postmaster;
		}
		deliver_unclaimed(x, &own, RULE_POSTMASTER, &next);
		return;
	}
	address_key(&postmaster, &configured);
	if (path->is_postmaster || key_equal(&configured, &x->asked)) {
		/* The configured one is unknown too: the MTA's own takes it. */
		deliver_unclaimed(x, &own, RULE_POSTMASTER, &next);
		return;
	}
	expand_address(x, &postmaster, &next);
}

/* An address of ours that nobody has and that its domain does not pass on. */
static void refuse_unclaimed(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	if (is_postmaster(address)) {
		expand_postmaster(x, path);
	} else if (domain->unknown == DOMAIN_UNKNOWN_OBSERVE) {
		x->is_observed = path->is_asked;
		deliver_unclaimed(x, address, RULE_OBSERVE, path);
	} else {
		note_missing_address(x, path, address);
	}
}

/*
 * An address of another type that some connector takes, typed by hand. CX_NOTFOUND: it is
 * none, and its domain decides.
 */
static enum status expand_one_off(struct expansion *x, const struct address *address,
    const struct path *path)
{
	char memory[NEXT_HOP_MAX];
	struct buf next_hop;
	struct address inner;
	enum status status;

	status = lookup_inner(address, &inner);
	if (status == CX_NOTFOUND || expansion_failed(x, status)) {
		return status;
	}
	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route_by_space(x->view, &inner, &next_hop, &x->sources);
	if (status == CX_NOTFOUND || expansion_failed(x, status)) {
		return status;
	}
	if (expansion_may_relay(x) || !path->is_asked) {
		deliver_unclaimed(x, address, RULE_ONE_OFF, path);
	} else {
		note_missing_address(x, path, address);
	}
	return CX_OK;
}

/* An address of ours that is not in the directory is judged by its domain. */
void expand_unclaimed(struct expansion *x, const struct address *address,
    const struct domain *domain, const struct path *path)
{
	enum status status;

	if (wrapped_is(x->view, address)) {
		expand_wrapped(x, address, path);
		return;
	}
	x->is_by_absence = true;
	if (expand_one_off(x, address, path) != CX_NOTFOUND) {
		return;
	}
	status = lookup_trick(address);
	if (status == CX_OK) {
		/* Whoever decapsulates it behind us would relay it. */
		note_missing_address(x, path, address);
	}
	if (status == CX_OK || expansion_failed(x, status)) {
		return;
	}
	switch (domain->type) {
	case DOMAIN_RELAY:
		if ((domain->flags & DOMAIN_OF_SRS) != 0) {
			refuse_unclaimed(x, address, domain, path);
			break;
		}
		deliver_unclaimed(x, address, RULE_FORWARD_HOST, path);
		break;
	case DOMAIN_REWRITE:
		expand_rewritten(x, address, domain, path);
		break;
	case DOMAIN_SHARED:
		if (domain->unknown == DOMAIN_UNKNOWN_FORWARD) {
			struct destination to = {
				.address = address,
				.rule = RULE_FORWARD_HOST,
				.must_route = true,
			};
			deliver(x, &to, path);
			break;
		}
		refuse_unclaimed(x, address, domain, path);
		break;
	case DOMAIN_AUTHORITATIVE:
		refuse_unclaimed(x, address, domain, path);
		break;
	}
}

