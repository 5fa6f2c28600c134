#include "config.h"

#include <string.h>

#include "forward/trace.h"
#include "fuzz.h"

/*
 * The headers of a message, each behind a NUL: "Name: value". And what another system may make
 * of a genuine trace: the same bytes say where it puts blanks, and it is known all the same.
 */
enum {
	NOW = 1795313003,
};

static const uint8_t object[1][TRACE_OBJECT_SIZE] = { { 1, 2, 3 } };

static void read_headers(struct span text, const struct trace_site *site,
    struct trace *trace, struct trace_message *message)
{
	while (text.len > 0) {
		const char *end = memchr(text.ptr, '\0', text.len);
		size_t len = end ? (size_t)(end - text.ptr) : text.len;
		const char *colon = memchr(text.ptr, ':', len);

		if (colon) {
			struct span name = { text.ptr, (size_t)(colon - text.ptr) };
			struct span value = { colon + 1, len - name.len - 1 };

			FUZZ_CHECK(trace_add(trace, site, value, NOW) == CX_OK);
			FUZZ_CHECK(trace_message_add(message, name, value) == CX_OK);
		}
		text.ptr += len + (end ? 1 : 0);
		text.len -= len + (end ? 1 : 0);
	}
}

/* Of each byte one bit: whether a blank comes next. */
static void refold(struct span genuine, const uint8_t *data, size_t size,
    struct buf *out)
{
	size_t head = (size_t)((const char *)memchr(genuine.ptr, '=', genuine.len) -
			       genuine.ptr);

	for (size_t i = 0; i < genuine.len; i++) {
		uint8_t c = size > 0 ? data[i % size] : 0;

		buf_add_char(out, genuine.ptr[i]);
		/* Behind "o=", which is the third. */
		if (i > head + 40 && c & 1) {
			buf_add_char(out, " \t\r\n"[c >> 1 & 3]);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct secrets secrets;
	const struct trace_site site = { &secrets, SPAN("acme") };
	struct trace_message message = { .has_id = false };
	struct trace trace;
	struct buf genuine, refolded;

	secrets_init(&secrets);
	FUZZ_CHECK(secrets_add(&secrets, SPAN("tops3cret")));
	trace_init(&trace);
	buf_init(&genuine);
	buf_init(&refolded);
	read_headers((struct span){ (const char *)data, size }, &site, &trace, &message);
	FUZZ_CHECK(trace.part_count <= TRACE_HEADERS_MAX);
	FUZZ_CHECK(trace_make(&site, &message, NOW, SPAN("4F1A2B3C4D"), object, 1,
		       &genuine) == CX_OK);
	refold(buf_span(&genuine), data, size, &refolded);
	FUZZ_CHECK(trace_add(&trace, &site, buf_span(&refolded), NOW) == CX_OK);
	FUZZ_CHECK(trace_verify(&trace, &site, &message, SPAN("1B2")) == CX_OK);
	FUZZ_CHECK(trace_has(&trace, &site, &message, object[0]) == CX_OK);
	trace_release(&trace);
	buf_release(&genuine);
	buf_release(&refolded);
	return 0;
}
