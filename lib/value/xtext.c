#include "config.h"

#include "value/xtext.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum status xtext_decode(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.ptr[i] != '+') {
			buf_add_char(out, text.ptr[i]);
			continue;
		}
		if (text.len - i < 3) {
			return CX_EINVAL;
		}
		high = digit(text.ptr[i + 1]);
		low = digit(text.ptr[i + 2]);
		if (high < 0 || low < 0) {
			return CX_EINVAL;
		}
		buf_add_char(out, (char)(high * 16 + low));
		i += 2;
	}
	return CX_OK;
}
