#include "config.h"

#include "policyd/session.h"

#include <assert.h>
#include <stdlib.h>

/* Kept input grows in steps of this; most unfinished requests fit the first. */
#define KEPT_STEP 4096

void session_init(struct session *s, const struct protocol *protocol)
{
	memset(s, 0, sizeof(*s));
	s->protocol = protocol;
	s->state = SESSION_IDLE;
}

static void drop_kept(struct session *s)
{
	free(s->kept);
	s->kept = NULL;
	s->kept_len = s->kept_size = 0;
}

void session_release(struct session *s)
{
	drop_kept(s);
}

static enum session_state end(struct session *s, void *context, const char *why,
    struct span what)
{
	if (why != NULL) {
		s->protocol->complain(context, why, what);
	}
	drop_kept(s);
	return s->state = SESSION_ENDED;
}

static bool reserve(struct session *s, size_t size)
{
	size_t rounded;
	char *bigger;

	if (size <= s->kept_size) {
		return true;
	}
	rounded = (size + KEPT_STEP - 1) / KEPT_STEP * KEPT_STEP;
	bigger = realloc(s->kept, rounded);
	if (bigger == NULL) {
		return false;
	}
	s->kept = bigger;
	s->kept_size = rounded;
	return true;
}

/* Answers whole frames of `input`; *used is what they took up. */
static enum session_state answer_frames(struct session *s, struct span input,
    size_t *used, void *context, struct buf *out)
{
	*used = 0;
	while (*used < input.len) {
		struct span rest = { input.ptr + *used, input.len - *used };
		struct frame frame = { 0, { NULL, 0 } };
		const char *why = NULL;

		if (out->len >= SESSION_OUTPUT_HIGH) {
			return SESSION_FULL;
		}
		switch (s->protocol->find(rest, &s->scanned, &frame, &why)) {
		case FRAME_PARTIAL: return SESSION_PARTIAL;
		case FRAME_BAD:
			if (s->protocol->farewell != NULL) {
				s->protocol->farewell(out);
			}
			return end(s, context, why, rest);
		case FRAME_WHOLE: break;
		}
		assert(frame.len > 0 && frame.len <= rest.len);
		s->scanned = 0;
		if (!s->protocol->answer(context, frame.body, out, &why)) {
			return end(s, context, why, frame.body);
		}
		*used += frame.len;
	}
	return SESSION_IDLE;
}

enum session_state session_resume(struct session *s, void *context, struct buf *out)
{
	size_t used;
	enum session_state state;

	state = answer_frames(s, (struct span){ s->kept, s->kept_len }, &used, context,
	    out);
	if (state == SESSION_ENDED) {
		return state;
	}
	if (used == s->kept_len) {
		drop_kept(s);
	} else if (used > 0) {
		memmove(s->kept, s->kept + used, s->kept_len - used);
		s->kept_len -= used;
	}
	return s->state = state;
}

enum session_state session_input(struct session *s, struct span bytes, void *context,
    struct buf *out)
{
	enum session_state state;
	size_t used = 0;

	assert(s->state == SESSION_IDLE || s->state == SESSION_PARTIAL);
	if (s->kept_len == 0) {
		state = answer_frames(s, bytes, &used, context, out);
		if (state == SESSION_ENDED || used == bytes.len) {
			return s->state = state;
		}
		s->state = state;
	}
	if (!reserve(s, s->kept_len + bytes.len - used)) {
		return end(s, context, "out of memory", (struct span){ NULL, 0 });
	}
	memcpy(s->kept + s->kept_len, bytes.ptr + used, bytes.len - used);
	s->kept_len += bytes.len - used;
	if (s->kept_len > bytes.len - used) {
		return session_resume(s, context, out);
	}
	return s->state;
}

enum session_state session_eof(struct session *s, void *context)
{
	assert(s->state == SESSION_IDLE || s->state == SESSION_PARTIAL);
	return end(s, context, s->state == SESSION_PARTIAL ? "truncated" : NULL,
	    (struct span){ s->kept, s->kept_len });
}
