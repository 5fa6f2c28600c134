#include "config.h"

#include "milter/again.h"

#include "forward/trace.h"

/* One recipient to nowhere. */
static enum status cut(struct envelope *out, const struct envelope_entry *entry,
    const struct resolution *resolution, unsigned max_deliveries)
{
	const struct delivery nowhere = {
		.address = SPAN(TRACE_BOUNCE_ADDRESS),
		.key = SPAN("smtp:" TRACE_BOUNCE_ADDRESS),
		.kind = DELIVERY_REDIRECT,
		.rule = RULE_LOOP,
	};
	const struct resolution bounced = {
		.verdict = VERDICT_DELIVER,
		.object = resolution->object,
		.deliveries = &nowhere,
		.delivery_count = 1,
	};

	return envelope_add(out, entry, &bounced, max_deliveries);
}

struct work {
	struct envelope *out;
	unsigned max_deliveries;
	again_judge *judge;
	void *context;
	size_t left; /* recipients that are not cut */
};

static enum status decide(struct work *work, const struct envelope_entry *entry,
    const struct address *address)
{
	const struct resolution *resolution = work->judge(work->context, address);

	if (resolution->verdict == VERDICT_DELIVER) {
		work->left++;
		return envelope_add(work->out, entry, resolution, work->max_deliveries);
	}
	if (resolution->verdict != VERDICT_LOOP || !resolution->was_here) {
		return CX_ETEMP; /* it took mail at RCPT: whatever is wrong now may pass */
	}
	return work->out->mta == MTA_SENDMAIL
		   ? CX_NOTFOUND
		   : cut(work->out, entry, resolution, work->max_deliveries);
}

static enum status take(struct work *work, const struct envelope *before,
    const struct envelope_recipient *recipient)
{
	const struct envelope_address *own = &before->addresses[recipient->address];
	struct envelope_entry entry = { .typed = recipient->typed,
		.dsn = &recipient->dsn,
		.key = own->key,
		.text = own->text };
	const struct envelope_recipient *same;
	struct address address;

	if (recipient->path_count == 0) {
		work->left++;
		if (own->key.len > 0 && own->key.ptr[0] == '?') {
			entry.key.len = 0;
		}
		return envelope_add_untouched(work->out, &entry);
	}
	same = envelope_find(work->out, own->key);
	if (same) {
		return envelope_add_same(work->out, &entry, same);
	}
	if (address_parse_path(recipient->typed, &address) != CX_OK ||
	    address_follow_route(&address) != CX_OK) {
		return CX_ENOMEM; /* it did once */
	}
	return decide(work, &entry, &address);
}

enum status again_decide(const struct envelope *before, unsigned max_deliveries,
    again_judge *judge, void *context, struct envelope *out)
{
	struct work work = {
		.out = out,
		.max_deliveries = max_deliveries,
		.judge = judge,
		.context = context,
	};
	enum status status = CX_OK;

	envelope_begin(out, before->mta, before->is_local_submission);
	for (size_t i = 0; i < before->recipient_count && status == CX_OK; i++) {
		status = take(&work, before, &before->recipients[i]);
	}
	/* Fewer are expanded than at first: the limit was kept then. */
	if (status == CX_EFULL) {
		status = CX_ETEMP;
	}
	if (status == CX_OK && before->recipient_count > 0 && work.left == 0) {
		status = CX_NOTFOUND;
	}
	return status;
}
