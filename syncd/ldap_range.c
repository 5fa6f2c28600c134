#include "config.h"

#include "syncd/ldap_range.h"

#include <stdlib.h>
#include <string.h>

/* What an entry changes with every change, as far as servers have it. */
static const char *const stamps[] = { "entryCSN", "modifyTimestamp", "uSNChanged",
	"entryUUID", "objectGUID", NULL };

static bool take_number(struct span *rest, uint32_t *out)
{
	uint64_t value = 0;
	size_t count = 0;

	while (count < rest->len && rest->ptr[count] >= '0' &&
	       rest->ptr[count] <= '9') {
		value = value * 10 + (uint64_t)(rest->ptr[count++] - '0');
		if (value >= UINT32_MAX) {
			return false;
		}
	}
	rest->ptr += count;
	rest->len -= count;
	*out = (uint32_t)value;
	return count > 0;
}

enum status range_parse(struct span text, struct range_part *out)
{
	const char *option = text.len ? memchr(text.ptr, ';', text.len) : NULL;
	struct span rest;

	if (option == NULL) {
		return CX_NOTFOUND;
	}
	out->name = (struct span){ text.ptr, (size_t)(option - text.ptr) };
	rest = (struct span){ option, text.len - out->name.len };
	if (!span_starts_with_case(rest, SPAN(";range="))) {
		return CX_NOTFOUND; /* or behind another option: not the attribute we read */
	}
	rest.ptr += sizeof(";range=") - 1;
	rest.len -= sizeof(";range=") - 1;
	out->to = 0;
	out->is_last = false;
	if (!take_number(&rest, &out->from) || rest.len < 2 || rest.ptr[0] != '-') {
		return CX_EINVAL;
	}
	rest.ptr++;
	rest.len--;
	if (rest.len == 1 && rest.ptr[0] == '*') {
		out->is_last = true;
		return CX_OK;
	}
	return take_number(&rest, &out->to) && rest.len == 0 && out->to >= out->from
		   ? CX_OK
		   : CX_EINVAL;
}

void range_entry_init(struct range_entry *re)
{
	memset(re, 0, sizeof(*re));
	buf_init(&re->bytes);
}

void range_entry_release(struct range_entry *re)
{
	buf_release(&re->bytes);
	free(re->slots);
	free(re->attributes);
	free(re->built);
	free(re->values);
	range_entry_init(re);
}

static bool make_room(void **array, size_t *room, size_t used, size_t more, size_t size)
{
	size_t wanted = *room ? *room : 64;
	void *grown;

	if (used + more <= *room) {
		return true;
	}
	while (wanted < used + more) {
		wanted *= 2;
	}
	grown = reallocarray(*array, wanted, size);
	if (grown != NULL) {
		*array = grown;
		*room = wanted;
	}
	return grown != NULL;
}

static enum status add_values(struct range_entry *re, size_t attribute,
    const struct attribute *from)
{
	if (from->count > LDAP_ENTRY_VALUES_MAX - re->slot_count) {
		return CX_ETOOLONG;
	}
	if (!make_room((void **)&re->slots, &re->slot_room, re->slot_count, from->count,
		sizeof(re->slots[0]))) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < from->count; i++) {
		struct span value = from->values[i];

		re->total += value.len;
		if (re->total > LDAP_ENTRY_BYTES_MAX) {
			return CX_ETOOLONG;
		}
		re->slots[re->slot_count++] =
		    (struct range_slot){ re->bytes.len, value.len, attribute };
		buf_add_span(&re->bytes, value);
	}
	re->attributes[attribute].count += from->count;
	return re->bytes.failed ? CX_ENOMEM : CX_OK;
}

static const struct ldap_part *part_of(const struct ldap_entry *le, size_t attribute)
{
	for (size_t i = 0; i < le->part_count; i++) {
		if (le->parts[i].attribute == attribute) {
			return &le->parts[i];
		}
	}
	return NULL;
}

/* The values of a part are as many as it says; the last one ends where they end. */
static bool is_sane(const struct ldap_part *part, uint32_t next, size_t count)
{
	return part->from == next && count > 0 &&
	       (part->is_last || count == (size_t)(part->to - part->from) + 1);
}

static void add_stamps(struct buf *out, const struct entry *entry)
{
	for (size_t i = 0; stamps[i] != NULL; i++) {
		const struct attribute *a = entry_find(entry, stamps[i]);

		for (size_t j = 0; a != NULL && j < a->count; j++) {
			buf_add_span(out, a->values[j]);
		}
		buf_add_char(out, '\0');
	}
}

static enum status begin_attribute(struct range_entry *re, const struct ldap_entry *le,
    size_t i)
{
	const struct attribute *from = &le->entry.attributes[i];
	const struct ldap_part *part = part_of(le, i);
	struct range_attribute *to;

	if (part != NULL && !is_sane(part, 0, from->count)) {
		return CX_EINVAL;
	}
	if (!make_room((void **)&re->attributes, &re->attribute_room,
		re->attribute_count, 1, sizeof(re->attributes[0]))) {
		return CX_ENOMEM;
	}
	to = &re->attributes[re->attribute_count++];
	*to = (struct range_attribute){ .name_offset = re->bytes.len,
		.name_len = from->name.len,
		.next = part ? part->to + 1 : 0,
		.is_whole = part == NULL || part->is_last };
	buf_add_span(&re->bytes, from->name);
	return add_values(re, re->attribute_count - 1, from);
}

enum status range_entry_begin(struct range_entry *re, const struct ldap_entry *le)
{
	enum status status = CX_OK;

	buf_clear(&re->bytes);
	re->slot_count = re->attribute_count = re->total = 0;
	re->dn_len = le->entry.dn.len;
	buf_add_span(&re->bytes, le->entry.dn);
	add_stamps(&re->bytes, &le->entry);
	re->stamps_len = re->bytes.len - re->dn_len;
	if (le->is_too_large) {
		return CX_ETOOLONG;
	}
	if (le->has_bad_range) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < le->entry.count && status == CX_OK; i++) {
		status = begin_attribute(re, le, i);
	}
	return re->bytes.failed ? CX_ENOMEM : status;
}

static struct range_attribute *waiting(const struct range_entry *re)
{
	for (size_t i = 0; i < re->attribute_count; i++) {
		if (!re->attributes[i].is_whole) {
			return &re->attributes[i];
		}
	}
	return NULL;
}

static struct span name_of(const struct range_entry *re,
    const struct range_attribute *a)
{
	return (struct span){ re->bytes.data + a->name_offset, a->name_len };
}

bool range_entry_next(const struct range_entry *re, struct buf *out)
{
	const struct range_attribute *a = waiting(re);

	if (a != NULL) {
		buf_add_span(out, name_of(re, a));
		buf_printf(out, ";range=%lu-*", (unsigned long)a->next);
	}
	return a != NULL;
}

static bool is_unchanged(const struct range_entry *re, const struct ldap_entry *le,
    enum status *status)
{
	struct buf now;
	bool is_same;

	buf_init(&now);
	add_stamps(&now, &le->entry);
	*status = now.failed ? CX_ENOMEM : CX_OK;
	is_same = span_equal(buf_span(&now),
	    (struct span){ re->bytes.data + re->dn_len, re->stamps_len });
	buf_release(&now);
	return is_same;
}

enum status range_entry_add(struct range_entry *re, const struct ldap_entry *le)
{
	struct range_attribute *a = waiting(re);
	enum status status = CX_EINVAL;

	if (!is_unchanged(re, le, &status)) {
		return status == CX_OK ? CX_ETEMP : status;
	}
	if (le->is_too_large) {
		return CX_ETOOLONG;
	}
	if (a == NULL || le->has_bad_range || le->part_count != 1) {
		return CX_EINVAL;
	}
	const struct ldap_part *part = &le->parts[0];
	const struct attribute *from = &le->entry.attributes[part->attribute];

	if (!span_equal_case(from->name, name_of(re, a)) ||
	    !is_sane(part, a->next, from->count)) {
		return CX_EINVAL;
	}
	status = add_values(re, (size_t)(a - re->attributes), from);
	a->is_whole = part->is_last;
	a->next = part->to + 1;
	return status;
}

enum status range_entry_finish(struct range_entry *re)
{
	size_t at = 0, *next;

	free(re->built);
	free(re->values);
	/* One more, for an array of none may be NULL. */
	re->built = calloc(re->attribute_count + 1, sizeof(re->built[0]));
	re->values = calloc(re->slot_count + 1, sizeof(re->values[0]));
	next = calloc(re->attribute_count + 1, sizeof(next[0]));
	if (re->built == NULL || re->values == NULL || next == NULL) {
		free(next);
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < re->attribute_count; i++) {
		const struct range_attribute *a = &re->attributes[i];

		re->built[i] =
		    (struct attribute){ name_of(re, a), &re->values[at], a->count };
		next[i] = at;
		at += a->count;
	}
	for (size_t i = 0; i < re->slot_count; i++) {
		const struct range_slot *slot = &re->slots[i];

		re->values[next[slot->attribute]++] =
		    (struct span){ re->bytes.data + slot->offset, slot->len };
	}
	free(next);
	re->entry = (struct entry){ { re->bytes.data, re->dn_len }, re->built,
		re->attribute_count };
	return CX_OK;
}
