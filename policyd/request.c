#include "config.h"

#include "policyd/request.h"

/* clang-format off */
static const struct attribute {
	struct span name;
	size_t offset;
} attributes[] = {
#define ATTRIBUTE(name) { { #name, sizeof(#name) - 1 }, offsetof(struct policy_request, name) }
	ATTRIBUTE(request),
	ATTRIBUTE(protocol_state),
	ATTRIBUTE(client_address),
	ATTRIBUTE(client_name),
	ATTRIBUTE(sender),
	ATTRIBUTE(recipient),
	ATTRIBUTE(sasl_username),
	ATTRIBUTE(ccert_fingerprint),
	ATTRIBUTE(ccert_pubkey_fingerprint),
	ATTRIBUTE(policy_context),
#undef ATTRIBUTE
};
/* clang-format on */
#define ATTRIBUTE_COUNT (sizeof(attributes) / sizeof(attributes[0]))

static bool is_line_start(struct span input, size_t at)
{
	return at == 0 || input.ptr[at - 1] == '\n';
}

/* *scanned: bytes in which no request ends. */
enum frame_status policy_frame(struct span input, size_t *scanned, struct frame *frame,
    const char **why)
{
	size_t limit = input.len < POLICY_REQUEST_MAX ? input.len : POLICY_REQUEST_MAX;

	while (*scanned < limit) {
		const char *newline =
		    memchr(input.ptr + *scanned, '\n', limit - *scanned);
		size_t at;

		if (newline == NULL) {
			*scanned = limit;
			break;
		}
		at = (size_t)(newline - input.ptr);
		if (is_line_start(input, at)) {
			frame->len = at + 1;
			frame->body = (struct span){ input.ptr, at };
			return FRAME_WHOLE;
		}
		/* Such a client waits for its answer for ever: tell it at once. */
		if (input.ptr[at - 1] == '\r' && is_line_start(input, at - 1)) {
			*why = "lines end in CR LF";
			return FRAME_BAD;
		}
		*scanned = at + 1;
	}
	if (limit == POLICY_REQUEST_MAX) {
		*why = "too long";
		return FRAME_BAD;
	}
	return FRAME_PARTIAL;
}

static enum status store_attribute(struct policy_request *out, struct span name,
    struct span value, unsigned *seen)
{
	for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
		if (!span_equal(attributes[i].name, name)) {
			continue;
		}
		if ((*seen & (1u << i)) != 0) {
			return CX_EINVAL;
		}
		*seen |= 1u << i;
		memcpy((char *)out + attributes[i].offset, &value, sizeof(value));
		return CX_OK;
	}
	return CX_OK;
}

enum status policy_request_parse(struct span body, struct policy_request *out,
    const char **why)
{
	unsigned seen = 0;
	size_t count = 0;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	if (body.len > 0 && memchr(body.ptr, '\0', body.len) != NULL) {
		*why = "NUL in it";
		return CX_EINVAL;
	}
	while (at < body.len) {
		const char *line = body.ptr + at;
		const char *newline = memchr(line, '\n', body.len - at);
		size_t len = newline != NULL ? (size_t)(newline - line) : body.len - at;
		const char *equals = len > 0 ? memchr(line, '=', len) : NULL;
		size_t name_len;

		if (equals == NULL || equals == line) {
			*why = "a line is not name=value";
			return CX_EINVAL;
		}
		if (++count > POLICY_ATTRIBUTES_MAX) {
			*why = "too many attributes";
			return CX_ETOOLONG;
		}
		name_len = (size_t)(equals - line);
		if (store_attribute(out, (struct span){ line, name_len },
			(struct span){ equals + 1, len - name_len - 1 },
			&seen) != CX_OK) {
			*why = "an attribute is there twice";
			return CX_EINVAL;
		}
		at += len + 1;
	}
	if (!span_equal(out->request, SPAN("smtpd_access_policy"))) {
		*why = "not request=smtpd_access_policy";
		return CX_EINVAL;
	}
	return CX_OK;
}
