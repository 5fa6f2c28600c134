#include "config.h"

#include "syncd/recent.h"

void recent_init(struct recent *r, const char *directory)
{
	r->newest = 0;
	for (size_t i = 0; i < RECENT_SEGMENTS; i++) {
		r->segments[i] = (struct recent_segment){ .server = 0 };
		uuid_set_init(&r->segments[i].uuids, directory);
	}
}

void recent_release(struct recent *r)
{
	for (size_t i = 0; i < RECENT_SEGMENTS; i++) {
		uuid_set_release(&r->segments[i].uuids);
	}
}

enum status recent_add(struct recent *r, const uint8_t uuid[16], size_t server,
    int64_t now_ms, int64_t span_ms)
{
	struct recent_segment *at = &r->segments[r->newest];
	enum status status;

	for (size_t i = 0; i < RECENT_SEGMENTS; i++) {
		if (r->segments[i].server != server) {
			uuid_set_remove(&r->segments[i].uuids, uuid);
		}
	}
	if (at->uuids.count > 0 &&
	    (at->server != server || now_ms - at->first_ms > span_ms ||
		at->uuids.count == RECENT_SEGMENT_MAX)) {
		r->newest = (r->newest + 1) % RECENT_SEGMENTS;
		at = &r->segments[r->newest];
		uuid_set_clear(&at->uuids);
	}
	if (at->uuids.count == 0) {
		at->server = server;
		at->first_ms = now_ms;
	}
	status = uuid_set_add(&at->uuids, uuid);
	if (status == CX_OK) {
		at->last_ms = now_ms;
	}
	return status;
}

void recent_remove(struct recent *r, const uint8_t uuid[16])
{
	for (size_t i = 0; i < RECENT_SEGMENTS; i++) {
		uuid_set_remove(&r->segments[i].uuids, uuid);
	}
}

enum status recent_of_others(const struct recent *r, size_t server, int64_t since_ms,
    struct uuid_set *out)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < RECENT_SEGMENTS; i++) {
		const struct recent_segment *at = &r->segments[i];

		if (at->server == server || at->last_ms < since_ms) {
			continue;
		}
		for (size_t k = 0; k < at->uuids.count && status == CX_OK; k++) {
			status = uuid_set_add(out, at->uuids.list[k]);
		}
	}
	return status;
}
