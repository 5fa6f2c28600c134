#include "config.h"

#include "policyd/netstring.h"

enum frame_status netstring_frame(struct span input, size_t *scanned,
    struct frame *frame, const char **why)
{
	size_t len = 0;
	size_t at = 0;

	(void)scanned; /* The length is read again each time: seven bytes. */
	while (at < input.len && input.ptr[at] >= '0' && input.ptr[at] <= '9') {
		if (at > 0 && len == 0) {
			*why = "leading zero in a length";
			return FRAME_BAD;
		}
		len = len * 10 + (size_t)(input.ptr[at] - '0');
		if (len > NETSTRING_QUERY_MAX) {
			*why = "too long";
			return FRAME_BAD;
		}
		at++;
	}
	if (at == input.len) {
		return FRAME_PARTIAL;
	}
	if (at == 0 || input.ptr[at] != ':') {
		*why = "not a netstring";
		return FRAME_BAD;
	}
	at++;
	if (input.len - at <= len) {
		return FRAME_PARTIAL;
	}
	if (input.ptr[at + len] != ',') {
		*why = "a netstring does not end in a comma";
		return FRAME_BAD;
	}
	frame->len = at + len + 1;
	frame->body = (struct span){ input.ptr + at, len };
	return FRAME_WHOLE;
}
