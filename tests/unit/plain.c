#include "config.h"

#include "plain.h"

#include <stdio.h>
#include <sys/stat.h>

/* As splitmix64: every number another, no order left. */
static uint64_t scatter(uint64_t number)
{
	number += 0x9e3779b97f4a7c15;
	number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
	number = (number ^ number >> 27) * 0x94d049bb133111eb;
	return number ^ number >> 31;
}

struct record_id plain_id(uint8_t source, uint32_t number, bool is_second)
{
	struct record_id id = { .source = source };
	uint64_t first = scatter(2 * (uint64_t)number + is_second);
	uint64_t last = scatter(first);

	memcpy(id.uuid, &first, sizeof(first));
	memcpy(id.uuid + 8, &last, sizeof(last));
	return id;
}

#define PUT(tag, ...)   \
 record_put(buf, (tag), \
     (struct span){ text, (size_t)snprintf(text, sizeof(text), __VA_ARGS__) })

struct span plain_record(struct buf *buf, uint32_t number, unsigned version)
{
	char text[128];

	record_begin(buf, RECORD_RECIPIENT);
	PUT(TAG_DN, "uid=user%06u,ou=people,dc=acme,dc=example", number);
	record_put_flags(buf, 0);
	switch (version % 4) {
	case 0: PUT(TAG_NAME, "User %06u", number); break;
	case 1: PUT(TAG_NAME, "Dr. User %06u", number); break;
	case 2: PUT(TAG_NAME, "User %06u (%u)", number, version); break;
	default: PUT(TAG_NAME, "Prof. Dr. User von %06u", number); break;
	}
	PUT(TAG_PRIMARY, "user%06u@acme.example", number);
	PUT(TAG_MAIL, "user%06u@acme.example", number);
	switch (version % 3) {
	case 0: PUT(TAG_PROXY, "name%06u@acme.example", number); break;
	case 1: PUT(TAG_PROXY, "alias.%06u@acme.example", number); break;
	default: PUT(TAG_PROXY, "first%u.last%u@acme.example", number, version); break;
	}
	PUT(TAG_LOGIN, "user%06u", number);
	return buf_span(buf);
}

static uint32_t random_below(struct plain_rounds *rounds, uint32_t limit)
{
	rounds->random++;
	return (uint32_t)(scatter(rounds->random) % limit);
}

static enum status change_one(struct plain_rounds *rounds, bool is_replaced,
    struct buf *buf)
{
	uint32_t number = random_below(rounds, rounds->count);
	uint8_t *state = &rounds->states[number];
	struct record_id id = plain_id(rounds->source, number, *state & PLAIN_SECOND);
	enum status status = CX_OK;

	if (is_replaced) {
		status = store_remove(rounds->writer, &id);
		*state ^= PLAIN_SECOND;
		id = plain_id(rounds->source, number, *state & PLAIN_SECOND);
	} else {
		*state = (uint8_t)((*state & PLAIN_SECOND) |
				   ((*state + 1 + random_below(rounds, 11)) % 12));
	}
	struct span record = plain_record(buf, number, *state & (PLAIN_SECOND - 1));

	return status == CX_OK ? store_put(rounds->writer, &id, record, NULL) : status;
}

enum status plain_round(struct plain_rounds *rounds, uint32_t changed,
    uint32_t replaced, uint32_t per_transaction, struct errbuf *err)
{
	enum status status = CX_OK;
	struct buf buf;

	buf_init(&buf);
	for (uint32_t i = 0; i < changed + replaced && status == CX_OK; i++) {
		if (i % per_transaction == 0) {
			status = i > 0 ? store_commit(rounds->writer, err) : CX_OK;
			if (status == CX_OK) {
				status = store_begin(rounds->writer, err);
			}
		}
		if (status == CX_OK) {
			status = change_one(rounds, i >= changed, &buf);
		}
	}
	if (status == CX_OK) {
		status = store_commit(rounds->writer, err);
	}
	buf_release(&buf);
	return status;
}

uint64_t plain_file_size(const char *folder)
{
	char path[4096];
	struct stat info;

	snprintf(path, sizeof(path), "%s/current", folder);
	return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}
