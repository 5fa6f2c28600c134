#include "config.h"

#include "value/x400.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LEN 40

/* One attribute while it is parsed: the name is rewritten, the value borrowed. */
struct attribute {
	char name[NAME_MAX_LEN + 8];
	struct span value;
};

struct list {
	struct attribute items[X400_ATTRIBUTES_MAX];
	size_t count;
};

static bool has_name(const struct list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == ':' ||
	    c == '-' || c == ' ';
}

/* The usual short name; `out` has room for what it may grow by. */
static void name_canonical(const struct list *list, struct span name, char *out)
{
	snprintf(out, NAME_MAX_LEN + 8, "%.*s", SPAN_ARGS(name));
	if (strcmp(out, "admd") == 0) {
		strcpy(out, "a");
	} else if (strcmp(out, "prmd") == 0) {
		strcpy(out, "p");
	} else if (strncmp(out, "dd.", 3) == 0) {
		snprintf(out, NAME_MAX_LEN + 8, "dda:%.*s", (int)name.len - 3, name.ptr + 3);
	} else if (strcmp(out, "ou") == 0) {
		strcpy(out, "ou1");
		while (has_name(list, out) && out[2] < '4') {
			out[2]++;
		}
	}
}

static enum status add_attribute(struct list *list, struct span text)
{
	const char *equals = memchr(text.ptr, '=', text.len);
	struct attribute *item = &list->items[list->count];
	struct span name;

	if (equals == NULL) {
		return CX_EINVAL;
	}
	if (list->count == X400_ATTRIBUTES_MAX) {
		return CX_ETOOLONG;
	}
	name = span_trim((struct span){ text.ptr, (size_t)(equals - text.ptr) });
	if (name.len == 0) {
		return CX_EINVAL;
	}
	if (name.len > NAME_MAX_LEN) {
		return CX_ETOOLONG;
	}
	for (size_t i = 0; i < name.len; i++) {
		if (!is_name_char(name.ptr[i])) {
			return CX_EINVAL;
		}
	}
	name_canonical(list, name, item->name);
	if (has_name(list, item->name)) {
		return CX_EINVAL;
	}
	item->value = span_trim(
	    (struct span){ equals + 1, text.len - (size_t)(equals - text.ptr) - 1 });
	list->count++;
	return CX_OK;
}

/* Length of the part up to the next separator; "$" hides a slash. */
static size_t part_length(struct span text, char separator)
{
	size_t i = 0;

	while (i < text.len && text.ptr[i] != separator) {
		i += separator == '/' && text.ptr[i] == '$' && i + 1 < text.len ? 2 : 1;
	}
	return i;
}

static enum status split(struct span text, struct list *list)
{
	char separator = ';';

	if (text.len > 0 && text.ptr[0] == '/') {
		separator = '/';
		if (memchr(text.ptr, ';', text.len) != NULL) {
			return CX_EINVAL;
		}
	}
	while (text.len > 0) {
		struct span part = { text.ptr, part_length(text, separator) };
		size_t taken = part.len < text.len ? part.len + 1 : part.len;
		enum status status;

		text = (struct span){ text.ptr + taken, text.len - taken };
		part = span_trim(part);
		if (part.len == 0) {
			continue;
		}
		status = add_attribute(list, part);
		if (status != CX_OK) {
			return status;
		}
	}
	return list->count > 0 ? CX_OK : CX_EINVAL;
}

/* By name; names are unique. */
static int compare_names(const void *a, const void *b)
{
	const struct attribute *first = a, *second = b;

	return strcmp(first->name, second->name);
}

static void add_value(struct buf *out, struct span value, bool is_slash_form)
{
	for (size_t i = 0; i < value.len; i++) {
		if (is_slash_form && value.ptr[i] == '$' && i + 1 < value.len &&
		    value.ptr[i + 1] == '/') {
			i++;
		}
		buf_add_char(out, value.ptr[i]);
	}
}

enum status x400_canonical(struct span lower_case, struct buf *out)
{
	struct list list = { .count = 0 };
	struct span text = span_trim(lower_case);
	enum status status = split(text, &list);

	if (status != CX_OK) {
		return status;
	}
	qsort(list.items, list.count, sizeof(list.items[0]), compare_names);
	for (size_t i = 0; i < list.count; i++) {
		if (i > 0) {
			buf_add_char(out, ';');
		}
		buf_add_text(out, list.items[i].name);
		buf_add_char(out, '=');
		add_value(out, list.items[i].value, text.ptr[0] == '/');
	}
	return CX_OK;
}

bool x400_next(struct span *rest, struct span *name, struct span *value)
{
	size_t len = part_length(*rest, ';');
	size_t taken = len < rest->len ? len + 1 : len;
	const char *equals = len > 0 ? memchr(rest->ptr, '=', len) : NULL;

	if (equals == NULL) {
		return false;
	}
	*name = (struct span){ rest->ptr, (size_t)(equals - rest->ptr) };
	*value = (struct span){ equals + 1, len - name->len - 1 };
	*rest = (struct span){ rest->ptr + taken, rest->len - taken };
	return true;
}
