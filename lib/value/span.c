#include "config.h"

#include "value/span.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool span_equal_case(struct span a, struct span b)
{
	if (a.len != b.len) {
		return false;
	}
	for (size_t i = 0; i < a.len; i++) {
		if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i])) {
			return false;
		}
	}
	return true;
}

bool span_starts_with_case(struct span text, struct span prefix)
{
	return text.len >= prefix.len &&
	    span_equal_case((struct span){ text.ptr, prefix.len }, prefix);
}

struct span span_trim(struct span text)
{
	while (text.len > 0 && is_blank(text.ptr[0])) {
		text.ptr++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
		text.len--;
	}
	return text;
}

int span_compare(struct span a, struct span b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;

	if (order != 0) {
		return order;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}
