#include "config.h"

#include "syncd/valve.h"

#include <string.h>

enum {
	MINUTES_MAX = VALVE_WINDOW_S / 60 + 1,
	STORED_SIZE = 16
};

static void put(struct buf *out, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++) {
		buf_add_char(out, (char)(value >> (8 * i)));
	}
}

static uint64_t get(const char *from, int bytes)
{
	uint64_t value = 0;

	for (int i = bytes - 1; i >= 0; i--) {
		value = value << 8 | (uint8_t)from[i];
	}
	return value;
}

void valve_read(struct valve *valve, struct span stored)
{
	memset(valve, 0, sizeof(*valve));
	if (stored.len % STORED_SIZE || stored.len / STORED_SIZE > MINUTES_MAX) {
		return;
	}
	for (; stored.len; stored.ptr += STORED_SIZE, stored.len -= STORED_SIZE) {
		valve->minutes[valve->count++] = (struct valve_minute){
			.start = (int64_t)get(stored.ptr, 8),
			.seen = (uint32_t)get(stored.ptr + 8, 4),
			.applied = (uint32_t)get(stored.ptr + 12, 4),
		};
	}
}

void valve_write(const struct valve *valve, struct buf *out)
{
	for (size_t i = 0; i < valve->count; i++) {
		put(out, (uint64_t)valve->minutes[i].start, 8);
		put(out, valve->minutes[i].seen, 4);
		put(out, valve->minutes[i].applied, 4);
	}
}

/*
 * A minute counts as long as any part of it does. One of the future does where the clock may
 * just have been put right; one further off does not, or it would count for hours.
 */
static bool is_recent(const struct valve_minute *minute, int64_t now)
{
	return minute->start <= now + VALVE_WINDOW_S &&
	       minute->start + 60 > now - VALVE_WINDOW_S;
}

bool valve_trips(const struct valve *valve, const struct valve_question *question)
{
	uint64_t seen = question->removals;
	uint64_t recipients = question->recipients;

	if (question->removals == 0) {
		return false;
	}
	if (question->removals + question->held >= question->recipients &&
	    !question->is_one_by_name) {
		return true;
	}
	for (size_t i = 0; i < valve->count; i++) {
		if (is_recent(&valve->minutes[i], question->now)) {
			seen += valve->minutes[i].seen;
			recipients += valve->minutes[i].applied;
		}
	}
	return seen > VALVE_FREE && seen * 100 > recipients * question->max_percent;
}

static uint32_t add(uint32_t a, size_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + (uint32_t)b;
}

void valve_remember(struct valve *valve, int64_t now, size_t seen, size_t applied)
{
	struct valve_minute *last = NULL;
	int64_t start = now - now % 60;
	size_t kept = 0;

	for (size_t i = 0; i < valve->count; i++) {
		if (is_recent(&valve->minutes[i], now)) {
			valve->minutes[kept++] = valve->minutes[i];
		}
	}
	valve->count = kept;
	if (seen == 0) {
		return;
	}
	for (size_t i = 0; i < valve->count; i++) {
		if (valve->minutes[i].start == start) {
			last = &valve->minutes[i];
		}
	}
	if (!last && valve->count == MINUTES_MAX) {
		last = &valve->minutes[MINUTES_MAX - 1];
	} else if (!last) {
		last = &valve->minutes[valve->count++];
		*last = (struct valve_minute){ .start = start };
	}
	last->seen = add(last->seen, seen);
	last->applied = add(last->applied, applied);
}
