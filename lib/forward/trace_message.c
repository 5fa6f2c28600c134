#include "config.h"

#include "forward/trace_message.h"

#include <string.h>

#include "value/buf.h"

/* What is in the last <>, if anything; else all of it, but for a comment at the end of a date. */
static struct span core_of(struct span value, bool is_date)
{
	const char *open = value.len ? memrchr(value.ptr, '<', value.len) : NULL;
	const char *close = NULL;

	if (is_date) {
		open = NULL;
		close = value.len ? memchr(value.ptr, '(', value.len) : NULL;
		return (struct span){ value.ptr,
			close ? (size_t)(close - value.ptr) : value.len };
	}
	if (open) {
		open++;
		close = memchr(open, '>', value.len - (size_t)(open - value.ptr));
	}
	return close ? (struct span){ open, (size_t)(close - open) } : value;
}

static bool is_blank(char c)
{
	return (unsigned char)c <= ' ' || c == 0x7f;
}

/* The digest of what `out` was before and of a value that another system may have folded. */
static enum status digest_more(uint8_t out[KEY_DIGEST_SIZE], bool chained, char kind,
    struct span value)
{
	enum status status = CX_ENOMEM;
	struct buf text;

	buf_init(&text);
	if (chained) {
		buf_add(&text, out, KEY_DIGEST_SIZE);
	}
	buf_add_char(&text, kind);
	for (size_t i = 0; i < value.len; i++) {
		if (!is_blank(value.ptr[i])) {
			buf_add_char(&text, value.ptr[i]);
		}
	}
	if (!text.failed) {
		digest_of(buf_span(&text), out);
		status = CX_OK;
	}
	buf_release(&text);
	return status;
}

/* Of several the first counts, as for most readers. */
static enum status digest_first(bool *has, uint8_t out[KEY_DIGEST_SIZE],
    struct span value, bool is_date)
{
	if (*has) {
		return CX_OK;
	}
	*has = true;
	return digest_more(out, false, ' ', core_of(value, is_date));
}

enum status trace_message_add(struct trace_message *message, struct span name,
    struct span value)
{
	value = span_trim(value);
	if (value.len == 0) {
		return CX_OK;
	}
	if (span_equal_case(name, SPAN("Message-ID"))) {
		return digest_first(&message->has_id, message->id, value, false);
	}
	if (span_equal_case(name, SPAN("Date"))) {
		return digest_first(&message->has_date, message->date, value, true);
	}
	if (span_equal_case(name, SPAN("From"))) {
		return digest_first(&message->has_from, message->from, value, false);
	}
	if (span_equal_case(name, SPAN("Resent-Message-ID"))) {
		return digest_more(message->sendings, true, 'i', core_of(value, false));
	}
	if (span_equal_case(name, SPAN("Resent-Date"))) {
		return digest_more(message->sendings, true, 'd', core_of(value, true));
	}
	if (span_equal_case(name, SPAN("List-Id"))) {
		return digest_more(message->sendings, true, 'l', core_of(value, false));
	}
	return CX_OK;
}
