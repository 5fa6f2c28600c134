#include "config.h"

#include "milter/again.h"

#include "forward/trace.h"

/* Of an address that stands in a local part; longer ones get a number. */
#define PLAIN_MAX 200

struct work {
	struct envelope *out;
	unsigned max_deliveries;
	again_judge *judge;
	void *context;
	size_t left; /* recipients that are not cut */
	unsigned cut_count;
	struct span lost; /* the first with nothing left, as typed */
};

/* Whether an address may stand in a local part as it is. */
static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool is_within = (c == '.' && i > 0 && text.ptr[i - 1] != '.') ||
				 (c == '-' && i > 0);

		if (!is_within && c != '@' && c != '_' && c != '+' &&
		    !(c >= '0' && c <= '9') &&
		    !((c | 0x20) >= 'a' && (c | 0x20) <= 'z')) {
			return false;
		}
	}
	return text.len > 0 && text.len <= PLAIN_MAX;
}

/*
 * Where one recipient goes to nowhere: an address of its own, as each is bounced for itself,
 * and one that reads like it, as bounces show it too.
 */
static void name_nowhere(const struct work *work, const struct envelope_entry *entry,
    struct buf *out)
{
	static const struct span type = { "smtp:", 5 };
	struct span own = entry->key;

	buf_add_span(out, type);
	if (own.len > type.len &&
	    span_equal((struct span){ own.ptr, type.len }, type)) {
		own = (struct span){ own.ptr + type.len, own.len - type.len };
	}
	if (is_plain(own)) {
		for (size_t i = 0; i < own.len; i++) {
			buf_add_char(out, own.ptr[i] == '@' ? '=' : own.ptr[i]);
		}
	} else {
		buf_printf(out, "loop%u", work->cut_count);
	}
	buf_add_text(out, "@" TRACE_BOUNCE_DOMAIN);
}

/* One recipient to nowhere. */
static enum status cut(struct work *work, const struct envelope_entry *entry,
    const struct resolution *resolution)
{
	char memory[PLAIN_MAX + 64];
	struct buf key;
	struct delivery nowhere = {
		.kind = DELIVERY_REDIRECT,
		.rule = RULE_LOOP,
	};
	const struct resolution bounced = {
		.verdict = VERDICT_DELIVER,
		.object = resolution->object,
		.deliveries = &nowhere,
		.delivery_count = 1,
	};

	buf_init_fixed(&key, memory, sizeof(memory));
	name_nowhere(work, entry, &key);
	nowhere.key = buf_span(&key);
	nowhere.address = (struct span){ key.data + 5, key.len - 5 };
	work->cut_count++;
	/* Not of those that the limit is for. */
	work->max_deliveries++;
	return envelope_add(work->out, entry, &bounced, work->max_deliveries);
}

static enum status decide(struct work *work, const struct envelope_entry *entry,
    const struct address *address)
{
	const struct resolution *resolution =
	    work->judge(work->context, address, entry->dsn);

	if (resolution->verdict == VERDICT_DELIVER) {
		work->left++;
		return envelope_add(work->out, entry, resolution, work->max_deliveries);
	}
	if (resolution->verdict != VERDICT_LOOP || !resolution->was_here) {
		return CX_ETEMP; /* it took mail at RCPT: whatever is wrong now may pass */
	}
	if (work->lost.len == 0) {
		work->lost = entry->typed;
	}
	return work->out->mta == MTA_SENDMAIL ? CX_NOTFOUND
					      : cut(work, entry, resolution);
}

static enum status take(struct work *work, const struct envelope *before,
    const struct envelope_recipient *recipient)
{
	const struct envelope_address *own = &before->addresses[recipient->address];
	struct envelope_entry entry = { .typed = recipient->typed,
		.dsn = &recipient->dsn,
		.key = own->key,
		.text = own->text,
		.is_replaced = envelope_is_replaced(before, recipient) };
	const struct envelope_recipient *same;
	struct address address;

	if (envelope_is_untouched(recipient)) {
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
    again_judge *judge, void *context, struct envelope *out, struct span *lost)
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
	*lost = work.lost;
	return status;
}
