#include "config.h"

#include "policyd/memo.h"

void memo_clear(struct memo *memo)
{
	for (size_t i = 0; i < MEMO_ROWS; i++) {
		memo->rows[i].is_set = false;
	}
}

/*
 * Whether the key alone is the address: what is encapsulated may be more than its key says,
 * and what a message was expanded for before belongs to the message.
 */
static bool is_kind(const struct view *view, const struct question *question)
{
	const struct address *address = question->address;
	struct span local = { address->local, address->local_len };

	return view->snapshot != NULL && !question->want_deliveries &&
	       !question->want_steps && question->was_expanded == NULL &&
	       question->is_covered == NULL && address_is_smtp(address) &&
	       !span_starts_with_case(local, SPAN("IMCEA"));
}

static bool is_same_client(const struct client *a, const struct client *b)
{
	return a->has_ip == b->has_ip && a->is_authenticated == b->is_authenticated &&
	       a->may_relay == b->may_relay && a->is_anyone == b->is_anyone &&
	       (!a->has_ip ||
		   memcmp(a->ip.bytes, b->ip.bytes, sizeof(a->ip.bytes)) == 0);
}

const struct resolution *memo_find(const struct memo *memo, const struct view *view,
    const struct question *question)
{
	uint64_t generation;
	struct key key;
	bool has_key = false;

	if (!is_kind(view, question)) {
		return NULL;
	}
	generation = snapshot_generation(view->snapshot);
	for (size_t i = 0; i < MEMO_ROWS; i++) {
		const struct memo_row *row = &memo->rows[i];

		if (!row->is_set || row->generation != generation ||
		    row->now != view->now ||
		    row->is_sender_empty != question->is_sender_empty ||
		    !is_same_client(&row->client, &question->client)) {
			continue;
		}
		if (!has_key) {
			address_key(question->address, &key);
			has_key = true;
		}
		if (key_equal(&row->key, &key)) {
			return &row->resolution;
		}
	}
	return NULL;
}

void memo_keep(struct memo *memo, const struct view *view,
    const struct question *question, const struct resolution *resolution)
{
	struct memo_row *row = &memo->rows[memo->next];

	if (resolution->entered < MEMO_ENTERED_MIN || !is_kind(view, question) ||
	    resolution->object.len > sizeof(row->object)) {
		return;
	}
	memo->next = (memo->next + 1) % MEMO_ROWS;
	*row = (struct memo_row){
		.is_set = true,
		.generation = snapshot_generation(view->snapshot),
		.now = view->now,
		.client = question->client,
		.is_sender_empty = question->is_sender_empty,
		.resolution = {
			.verdict = resolution->verdict,
			.rule = resolution->rule,
			.is_observed = resolution->is_observed,
			.observed = resolution->observed,
			.is_ours = resolution->is_ours,
			.is_known = resolution->is_known,
			.entered = resolution->entered,
			.sources_read = resolution->sources_read,
		},
	};
	address_key(question->address, &row->key);
	if (resolution->object.len > 0) {
		memcpy(row->object, resolution->object.ptr, resolution->object.len);
		row->resolution.object =
		    (struct span){ row->object, resolution->object.len };
	}
}
