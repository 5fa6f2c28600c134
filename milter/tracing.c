#include "config.h"

#include "milter/tracing.h"

/* More than any MTA lets a header have; a longer one is not ours. */
#define VALUE_MAX (128 * 1024)

void tracing_init(struct tracing *tracing)
{
	*tracing = (struct tracing){ .value_count = 0 };
	for (size_t i = 0; i < TRACE_HEADERS_MAX; i++) {
		buf_init(&tracing->values[i]);
	}
	trace_init(&tracing->trace);
}

void tracing_release(struct tracing *tracing)
{
	for (size_t i = 0; i < TRACE_HEADERS_MAX; i++) {
		buf_release(&tracing->values[i]);
	}
	trace_release(&tracing->trace);
	tracing_init(tracing);
}

static enum status keep(struct pool *pool, struct span text, struct span *out)
{
	if (out->ptr == NULL) { /* of several the first counts, as for most readers */
		*out = pool_copy(pool, text);
	}
	return out->ptr ? CX_OK : CX_ENOMEM;
}

enum status tracing_header(struct tracing *tracing, struct pool *pool, struct span name,
    struct span value)
{
	value = span_trim(value);
	if (value.len == 0 || value.len > VALUE_MAX) {
		return CX_OK;
	}
	if (span_equal_case(name, SPAN("Message-ID"))) {
		return keep(pool, value, &tracing->message_id);
	}
	if (span_equal_case(name, SPAN("Date"))) {
		return keep(pool, value, &tracing->date);
	}
	if (span_equal_case(name, SPAN("From"))) {
		return keep(pool, value, &tracing->from);
	}
	if (span_equal_case(name, SPAN(TRACE_HEADER))) {
		struct buf *out =
		    &tracing->values[tracing->value_count++ % TRACE_HEADERS_MAX];

		buf_clear(out);
		buf_add_span(out, value);
		return out->failed ? CX_ENOMEM : CX_OK;
	}
	return CX_OK;
}

/* A message without a Message-ID has date and author. */
static enum status identify(struct tracing *tracing, struct pool *pool)
{
	struct buf text;

	tracing->identity = tracing->message_id;
	if (tracing->identity.len > 0) {
		return CX_OK;
	}
	buf_init(&text);
	buf_add_span(&text, tracing->date);
	buf_add_char(&text, '\n');
	buf_add_span(&text, tracing->from);
	tracing->identity =
	    text.failed ? (struct span){ NULL, 0 } : pool_copy(pool, buf_span(&text));
	buf_release(&text);
	return tracing->identity.ptr ? CX_OK : CX_ENOMEM;
}

enum status tracing_read(struct tracing *tracing, struct pool *pool,
    const struct trace_site *site, int64_t now_s)
{
	enum status status = identify(tracing, pool);
	size_t kept = tracing->value_count < TRACE_HEADERS_MAX ? tracing->value_count
							       : TRACE_HEADERS_MAX;

	tracing->site = *site;
	if (site->secrets->count == 0) {
		return status;
	}
	/* The last one first: no other may take the room for its tokens. */
	for (size_t i = 1; i <= kept && status == CX_OK; i++) {
		const struct buf *value =
		    &tracing->values[(tracing->value_count - i) % TRACE_HEADERS_MAX];

		status = trace_add(&tracing->trace, site, buf_span(value), now_s);
	}
	return status;
}

bool tracing_may_return(const struct tracing *tracing)
{
	return tracing->trace.part_count > 0;
}

enum status tracing_was_expanded(void *context, const uint8_t id[16])
{
	const struct tracing *tracing = context;

	return trace_has(&tracing->trace, &tracing->site, tracing->identity, id);
}

enum status tracing_write(const struct tracing *tracing,
    const struct envelope *envelope, int64_t now_s, struct buf *out)
{
	if (envelope->expanded_count == 0 || tracing->site.secrets->count == 0) {
		return CX_OK;
	}
	return trace_make(&tracing->site, tracing->identity, now_s,
	    (const uint8_t(*)[TRACE_OBJECT_SIZE])envelope->expanded,
	    envelope->expanded_count, out);
}
