#include "config.h"

#include <stdlib.h>

#include "syncd/mapping_build.h"
#include "value/dn.h"

/* Longest part of a value that a note or a reason shows. */
#define SHOWN_MAX 120

static void say(struct buf *out, const char *attribute, struct span value,
    const char *what)
{
	bool is_long = value.len > SHOWN_MAX;

	if (is_long) {
		value.len = SHOWN_MAX;
	}
	buf_printf(out, "%s: ", attribute);
	if (value.len) {
		buf_add_char(out, '"');
		buf_add_escaped(out, value);
		buf_add_text(out, is_long ? "...\": " : "\": ");
	}
	buf_add_text(out, what);
}

void mapper_note(const struct mapper *mapper, const char *attribute, struct span value,
    const char *what)
{
	char memory[1024];
	struct buf text;

	if (!mapper->note) {
		return;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	say(&text, attribute, value, what);
	mapper->note(mapper->context, text.data);
}

enum status mapper_refuse(const struct mapper *mapper, const char *attribute,
    struct span value, const char *what)
{
	char memory[1024];
	struct buf text;

	buf_init_fixed(&text, memory, sizeof(memory));
	say(&text, attribute, value, what);
	errbuf_set(mapper->why, "%s", text.data);
	return CX_EINVAL;
}

bool mapper_has_class(const struct mapper *mapper, const char *const *classes)
{
	const struct attribute *has = entry_find(mapper->entry, "objectClass");

	if (!has) {
		return false;
	}
	for (size_t i = 0; classes[i]; i++) {
		for (size_t j = 0; j < has->count; j++) {
			if (span_equal_case(span_trim(has->values[j]),
				span_of(classes[i]))) {
				return true;
			}
		}
	}
	return false;
}

bool mapper_next(const struct mapper *mapper, struct value_cursor *cursor,
    struct span *out)
{
	for (;;) {
		if (cursor->attribute && cursor->next < cursor->attribute->count) {
			*out = cursor->attribute->values[cursor->next++];
			return true;
		}
		if (!*cursor->names) {
			return false;
		}
		cursor->attribute = entry_find(mapper->entry, *cursor->names++);
		cursor->next = 0;
	}
}

const char *value_cursor_name(const struct value_cursor *cursor)
{
	return cursor->names[-1];
}

enum status mapper_single(const struct mapper *mapper, names attributes,
    struct span *out)
{
	struct value_cursor cursor = { .names = attributes };
	struct span value;

	*out = (struct span){ NULL, 0 };
	while (mapper_next(mapper, &cursor, &value)) {
		value = span_trim(value);
		if (span_is_empty(value)) {
			continue;
		}
		if (value.len > RECORD_VALUE_MAX) {
			return mapper_refuse(mapper, value_cursor_name(&cursor), value,
			    "the value is too long");
		}
		if (out->len && !span_equal(*out, value)) {
			return mapper_refuse(mapper, value_cursor_name(&cursor), value,
			    "has several values where one is meant");
		}
		*out = value;
	}
	return CX_OK;
}

enum status mapper_boolean(const struct mapper *mapper, names attributes, bool *out)
{
	struct value_cursor cursor = { .names = attributes };
	struct span value;
	enum status status = CX_NOTFOUND;

	while (mapper_next(mapper, &cursor, &value)) {
		bool is_true = span_equal_case(span_trim(value), SPAN("TRUE"));

		if (!is_true && !span_equal_case(span_trim(value), SPAN("FALSE"))) {
			return CX_EINVAL;
		}
		if (status == CX_OK && is_true != *out) {
			return CX_EINVAL;
		}
		*out = is_true;
		status = CX_OK;
	}
	return status;
}

struct span mapper_name(const struct mapper *mapper, names attributes)
{
	struct value_cursor cursor = { .names = attributes };
	struct span value, best = { NULL, 0 };
	struct buf rdn;

	buf_init(&rdn);
	if (dn_rdn_value(mapper->entry->dn, &rdn) != CX_OK) {
		buf_clear(&rdn);
	}
	while (mapper_next(mapper, &cursor, &value)) {
		value = span_trim(value);
		if (span_is_empty(value) || value.len > RECORD_VALUE_MAX) {
			continue;
		}
		if (span_equal_case(value, buf_span(&rdn))) {
			best = value;
			break;
		}
		if (span_is_empty(best) || span_compare(value, best) < 0) {
			best = value;
		}
	}
	buf_release(&rdn);
	return best;
}

struct span dn_parent(struct span dn)
{
	bool is_quoted = false;

	for (size_t i = 0; i < dn.len; i++) {
		if (dn.ptr[i] == '\\') {
			i++;
		} else if (dn.ptr[i] == '"') {
			is_quoted = !is_quoted;
		} else if (!is_quoted && (dn.ptr[i] == ',' || dn.ptr[i] == ';')) {
			return (struct span){ dn.ptr + i + 1, dn.len - i - 1 };
		}
	}
	return (struct span){ NULL, 0 };
}

void value_list_init(struct value_list *list)
{
	*list = (struct value_list){ .slots = NULL };
	buf_init(&list->text);
}

void value_list_release(struct value_list *list)
{
	free(list->slots);
	buf_release(&list->text);
	*list = (struct value_list){ .slots = NULL };
}

enum status value_list_add(struct value_list *list, struct span text, struct span raw)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 8;
		struct value_slot *grown =
		    reallocarray(list->slots, room, sizeof(*grown));

		if (!grown) {
			return CX_ENOMEM;
		}
		list->slots = grown;
		list->room = room;
	}
	list->slots[list->count] = (struct value_slot){ list->text.len, text.len, raw };
	buf_add_span(&list->text, text);
	if (list->text.failed) {
		return CX_ENOMEM;
	}
	list->count++;
	return CX_OK;
}

static struct span slot_text(const struct value_list *list,
    const struct value_slot *slot)
{
	return (struct span){ list->text.data + slot->offset, slot->len };
}

static int compare_slots(const void *a, const void *b, void *context)
{
	const struct value_list *list = context;
	const struct value_slot *left = a, *right = b;
	int order = span_compare(slot_text(list, left), slot_text(list, right));

	/* Two spellings of one DN: the same one is kept whatever order they came in. */
	return order ? order : span_compare(left->raw, right->raw);
}

void value_list_sort(struct value_list *list)
{
	size_t kept = 0;

	if (list->count == 0) {
		return;
	}
	qsort_r(list->slots, list->count, sizeof(*list->slots), compare_slots, list);
	for (size_t i = 1; i < list->count; i++) {
		if (!span_equal(slot_text(list, &list->slots[i]),
			slot_text(list, &list->slots[kept]))) {
			list->slots[++kept] = list->slots[i];
		}
	}
	list->count = kept + 1;
}

bool value_list_has(const struct value_list *list, struct span text)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = span_compare(slot_text(list, &list->slots[middle]), text);

		if (order == 0) {
			return true;
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return false;
}

void value_list_put(const struct value_list *list, struct buf *record,
    enum record_tag tag)
{
	for (size_t i = 0; i < list->count; i++) {
		record_put(record, tag, slot_text(list, &list->slots[i]));
	}
}

void value_list_put_raw(const struct value_list *list, struct buf *record,
    enum record_tag tag)
{
	for (size_t i = 0; i < list->count; i++) {
		record_put(record, tag, list->slots[i].raw);
	}
}
