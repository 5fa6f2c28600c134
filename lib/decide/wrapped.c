#include "config.h"

#include "decide/wrapped.h"

#include "decide/deliver.h"
#include "forward/hop.h"
#include "forward/srs.h"

struct span wrapped_domain(const struct settings *settings)
{
	return span_of(settings->srs_domain ? settings->srs_domain : "");
}

bool wrapped_is(const struct view *view, const struct address *address)
{
	struct span domain = wrapped_domain(view->settings);

	return !span_is_empty(domain) && span_equal(domain, address_domain(address)) &&
	    (srs_is_tagged(address) || hop_is_tagged(address));
}

enum status wrapped_open(const struct view *view, const struct address *address,
    struct address *out)
{
	if (view->srs_secrets == NULL) {
		return CX_ETEMP;
	}
	return hop_is_tagged(address)
	    ? hop_unwrap(view->srs_secrets, address, view->now, out)
	    : srs_reverse(view->srs_secrets, address, view->now,
		  view->settings->srs_max_age_s, out);
}

static bool is_loopback(const struct ip *ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t v6[16] = { [15] = 1 };

	return memcmp(ip->bytes, v6, sizeof(v6)) == 0 ||
	    (memcmp(ip->bytes, mapped, sizeof(mapped)) == 0 && ip->bytes[12] == 127);
}

/*
 * A rewritten sender gets bounces and nothing else; the hop is reached from this machine.
 */
static bool may_use(const struct expansion *x, const struct address *address)
{
	const struct client *client = &x->question->client;

	if (client->is_anyone) {
		return true;
	}
	return hop_is_tagged(address) ? client->has_ip && is_loopback(&client->ip)
				      : x->question->is_sender_empty;
}

void expand_wrapped(struct expansion *x, const struct address *address,
    const struct path *path)
{
	struct path next = *path;
	struct address original;
	enum status status = wrapped_open(x->view, address, &original);

	if (status == CX_EINVAL || status == CX_ETOOLONG) {
		note_missing_address(x, path, address);
		return;
	}
	if (status != CX_OK) {
		x->failure = CX_ETEMP;
		return;
	}
	x->is_known = x->is_known || path->is_asked;
	next.depth = path->depth + 1;
	next.kind = worse_kind(path->kind, DELIVERY_REDIRECT);
	next.rule = RULE_SRS;
	next.leads = path->leads != RULE_NONE ? path->leads : RULE_SRS;
	if (next.depth > x->view->settings->max_depth) {
		x->is_too_deep = true;
		collection_step_address(&x->list, path->depth, RULE_DEPTH, address,
		    (struct span){ NULL, 0 });
		return;
	}
	collection_step_address(&x->list, path->depth, RULE_SRS, address,
	    may_use(x, address)		? (struct span){ NULL, 0 }
		: hop_is_tagged(address) ? SPAN("the re-injection hop only")
					 : SPAN("the empty sender only"));
	if (may_use(x, address)) {
		expand_address(x, &original, &next);
	} else {
		note_missing_address(x, path, address);
	}
}
