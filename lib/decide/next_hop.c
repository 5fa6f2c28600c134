#include "config.h"

#include "decide/next_hop.h"

#include "value/cidr.h"

static bool is_ip(struct span text)
{
	struct ip ip;

	return !span_is_empty(text) && text.ptr[0] != '[' && ip_parse(text, &ip) == CX_OK;
}

static bool is_printable(struct span text)
{
	size_t i;

	for (i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f) {
			return false;
		}
	}
	return text.len > 0;
}

/* "pop.example.com:2525": a transport's name has no dot, and no port is anything but digits. */
static bool is_host_and_port(struct span text, size_t colon)
{
	size_t i;

	if (memchr(text.ptr, '.', colon) == NULL || colon + 1 == text.len) {
		return false;
	}
	for (i = colon + 1; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return false;
		}
	}
	return true;
}

enum status next_hop_print(struct span text, struct buf *out)
{
	const char *colon;
	size_t host_len;

	if (!is_printable(text) || span_starts_with_case(text, SPAN("error:")) ||
	    span_starts_with_case(text, SPAN("retry:"))) {
		return CX_EINVAL;
	}
	colon = memchr(text.ptr, ':', text.len);
	host_len = colon != NULL ? (size_t)(colon - text.ptr) : text.len;
	if (text.ptr[0] == '[') {
		buf_add_text(out, "relay:");
		buf_add_span(out, text);
	} else if (is_ip(text) || colon == NULL) {
		buf_add_text(out, "relay:[");
		buf_add_span(out, text);
		buf_add_char(out, ']');
	} else if (is_host_and_port(text, host_len)) {
		buf_add_text(out, "relay:[");
		buf_add(out, text.ptr, host_len);
		buf_add_char(out, ']');
		buf_add(out, colon, text.len - host_len);
	} else {
		buf_add_span(out, text);
	}
	return out->failed ? CX_ETOOLONG : CX_OK;
}

bool next_hop_is_host(struct span text)
{
	return is_printable(text) &&
	    (is_ip(text) || memchr(text.ptr, '.', text.len) != NULL ||
		memchr(text.ptr, ':', text.len) != NULL || text.ptr[0] == '[');
}
