#include "config.h"

#include "replica/load_sort.h"

#include <stdbool.h>
#include <string.h>

enum {
	DIGITS = 8, /* of 8 bits */
	INSERTION_MAX = 24,
};

/* Eight bytes of a key from `skip` on, as a number that orders as they do. */
static uint64_t prefix_of(struct span key, size_t skip)
{
	uint64_t prefix = 0;

	for (size_t at = skip; at < skip + 8; at++) {
		prefix = prefix << 8 | (at < key.len ? (unsigned char)key.ptr[at] : 0);
	}
	return prefix;
}

static bool is_in_order(const struct sort_item *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (items[i - 1].prefix > items[i].prefix) {
			return false;
		}
	}
	return true;
}

/* One pass from `from` to `to` by the digit that starts at bit `shift`. */
static void pass(const struct sort_item *from, struct sort_item *to, size_t count,
    const size_t sizes[256], unsigned shift)
{
	size_t next[256];
	size_t sum = 0;

	for (unsigned digit = 0; digit < 256; digit++) {
		next[digit] = sum;
		sum += sizes[digit];
	}
	for (size_t i = 0; i < count; i++) {
		to[next[from[i].prefix >> shift & 255]++] = from[i];
	}
}

static void sort_by_prefix(struct sort_item *items, struct sort_item *temp,
    size_t count)
{
	size_t sizes[DIGITS][256] = { 0 };
	struct sort_item *from = items, *to = temp;

	for (size_t i = 0; i < count; i++) {
		uint64_t prefix = items[i].prefix;

		for (unsigned digit = 0; digit < DIGITS; digit++) {
			sizes[digit][prefix >> (8 * digit) & 255]++;
		}
	}
	for (unsigned digit = 0; digit < DIGITS; digit++) {
		unsigned shift = 8 * digit;
		struct sort_item *swapped = from;

		/* A digit that all have in common needs no pass. */
		if (sizes[digit][items[0].prefix >> shift & 255] == count) {
			continue;
		}
		pass(from, to, count, sizes[digit], shift);
		from = to;
		to = swapped;
	}
	if (from != items) {
		memcpy(items, from, count * sizeof(*items));
	}
}

static void insertion_sort(struct sort_item *items, size_t count,
    const struct sort_order *order)
{
	for (size_t i = 1; i < count; i++) {
		struct sort_item item = items[i];
		size_t at = i;

		while (at > 0 &&
		       order->compare(&items[at - 1], &item, order->context) > 0) {
			items[at] = items[at - 1];
			at--;
		}
		items[at] = item;
	}
}

/* The sorted [0, middle) and [middle, count) of `from` as one into `to`. */
static void merge(const struct sort_item *from, struct sort_item *to, size_t middle,
    size_t count, const struct sort_order *order)
{
	size_t left = 0, right = middle;

	for (size_t i = 0; i < count; i++) {
		bool is_left =
		    right >= count ||
		    (left < middle &&
			order->compare(&from[left], &from[right], order->context) <= 0);

		to[i] = is_left ? from[left++] : from[right++];
	}
}

static void merge_sort(struct sort_item *items, struct sort_item *temp, size_t count,
    const struct sort_order *order)
{
	struct sort_item *from = items, *to = temp;

	for (size_t at = 0; at < count; at += INSERTION_MAX) {
		size_t len = count - at < INSERTION_MAX ? count - at : INSERTION_MAX;

		insertion_sort(items + at, len, order);
	}
	for (size_t width = INSERTION_MAX; width < count; width *= 2) {
		struct sort_item *swapped = from;

		for (size_t at = 0; at < count; at += 2 * width) {
			size_t len = count - at < 2 * width ? count - at : 2 * width;

			merge(from + at, to + at, width < len ? width : len, len,
			    order);
		}
		from = to;
		to = swapped;
	}
	if (from != items) {
		memcpy(items, from, count * sizeof(*items));
	}
}

/* How many bytes all keys begin with, at least `known` and at most those of the shortest. */
static size_t common_length(const struct sort_item *items, size_t count, size_t known,
    const struct sort_order *order)
{
	struct span first = order->key(&items[0], order->context);
	size_t common = first.len;

	for (size_t i = 1; i < count && common > known; i++) {
		struct span key = order->key(&items[i], order->context);
		size_t len = known;

		common = key.len < common ? key.len : common;
		while (len < common && key.ptr[len] == first.ptr[len]) {
			len++;
		}
		common = len;
	}
	return common;
}

/* Keys that are equal in their first `known` bytes, all of them as long at least. */
static void sort_from(struct sort_item *items, struct sort_item *temp, size_t count,
    size_t known, const struct sort_order *order)
{
	size_t skip = common_length(items, count, known, order);

	for (size_t i = 0; i < count; i++) {
		items[i].prefix =
		    prefix_of(order->key(&items[i], order->context), skip);
	}
	if (!is_in_order(items, count)) {
		sort_by_prefix(items, temp, count);
	}
	for (size_t first = 0, end; first < count; first = end) {
		end = first + 1;
		while (end < count && items[end].prefix == items[first].prefix) {
			end++;
		}
		size_t len = end - first;

		/* Few; or all: the keys are equal, or end where others have NULs. */
		if (len <= INSERTION_MAX) {
			insertion_sort(items + first, len, order);
		} else if (len == count || (items[first].prefix & 255) == 0) {
			merge_sort(items + first, temp + first, len, order);
		} else {
			sort_from(items + first, temp + first, len, skip + 8, order);
		}
	}
}

void load_sort(struct sort_item *items, struct sort_item *temp, size_t count,
    const struct sort_order *order)
{
	if (count > 1) {
		sort_from(items, temp, count, 0, order);
	}
}
