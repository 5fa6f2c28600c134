#include "config.h"

#include "ctl/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "ctl/command.h"
#include "value/buf.h"
#include "value/utf8.h"

static void out_of_memory(void) CX_NORETURN;

static void out_of_memory(void)
{
	complain("out of memory");
	exit(EX_OSERR);
}

json_t *json_span(struct span text)
{
	struct buf escaped;
	json_t *value;

	if (utf8_is_valid(text) && memchr(text.len ? text.ptr : "", '\0', text.len) == NULL) {
		value = json_stringn(text.len ? text.ptr : "", text.len);
	} else {
		buf_init(&escaped);
		buf_add_escaped(&escaped, text);
		value = escaped.failed ? NULL : json_stringn(escaped.data, escaped.len);
		buf_release(&escaped);
	}
	if (value == NULL) {
		out_of_memory();
	}
	return value;
}

json_t *json_span_or_null(struct span text)
{
	return span_is_empty(text) ? json_null() : json_span(text);
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (value == NULL || json_object_set_new(object, key, value) != 0) {
		out_of_memory();
	}
}

void json_add(json_t *array, json_t *value)
{
	if (value == NULL || json_array_append_new(array, value) != 0) {
		out_of_memory();
	}
}

void json_print(json_t *value, bool one_line)
{
	if (json_dumpf(value, stdout, one_line ? JSON_COMPACT : JSON_INDENT(2)) == 0) {
		putchar('\n');
	}
	json_decref(value);
}
