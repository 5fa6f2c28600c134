#include "config.h"

#include "milter/tracing.h"

/* More than any MTA lets a header have; a longer one is not ours. */
#define VALUE_MAX (128 * 1024)

static bool is_wanted(const struct tracing *tracing)
{
	return tracing->site.secrets != NULL && tracing->site.secrets->count > 0;
}

void tracing_init(struct tracing *tracing)
{
	*tracing = (struct tracing){ .now_s = 0 };
	trace_init(&tracing->trace);
}

void tracing_release(struct tracing *tracing)
{
	trace_release(&tracing->trace);
	tracing_init(tracing);
}

void tracing_begin(struct tracing *tracing, const struct trace_site *site,
    int64_t now_s)
{
	tracing_release(tracing);
	tracing->site = *site;
	tracing->now_s = now_s;
}

enum status tracing_header(struct tracing *tracing, struct span name, struct span value)
{
	if (!is_wanted(tracing) || value.len > VALUE_MAX) {
		return CX_OK;
	}
	name = span_trim(name);
	return span_equal_case(name, SPAN(TRACE_HEADER))
		   ? trace_add(&tracing->trace, &tracing->site, value, tracing->now_s)
		   : trace_message_add(&tracing->message, name, value);
}

enum status tracing_end(struct tracing *tracing, struct span queue_id)
{
	tracing->queue_id = queue_id;
	return trace_verify(&tracing->trace, &tracing->site, &tracing->message,
	    queue_id);
}

bool tracing_has_returned(const struct tracing *tracing)
{
	return tracing->trace.part_count > 0;
}

enum status tracing_was_expanded(void *context, const uint8_t id[16])
{
	const struct tracing *tracing = context;

	return trace_has(&tracing->trace, &tracing->site, &tracing->message, id);
}

enum status tracing_write(const struct tracing *tracing,
    const struct envelope *envelope, struct buf *out)
{
	if (envelope->expanded_count == 0 || !is_wanted(tracing)) {
		return CX_OK;
	}
	return trace_make(&tracing->site, &tracing->message, tracing->now_s,
	    tracing->queue_id, (const uint8_t(*)[TRACE_OBJECT_SIZE])envelope->expanded,
	    envelope->expanded_count, out);
}
