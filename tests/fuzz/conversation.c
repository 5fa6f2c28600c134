#include "config.h"

#include "conversation.h"

#include "fuzz.h"

static const char *const no_servers[] = { NULL };

static const struct settings settings = {
	.organization = "",
	.local_servers = no_servers,
	.recipient_delimiter = "+",
	.postmaster = "postmaster",
	.mailbox_transport = "",
	.enforce_sender = true,
};

static struct conversation conversation = {
	.view = { .settings = &settings, .now = 1700000000 },
};

void conversation_complain(void *context, const char *why, struct span what)
{
	(void)context;
	(void)what;
	FUZZ_CHECK(why != NULL && *why != '\0');
}

static void converse(const struct protocol *protocol, struct span input, size_t piece,
    struct buf *all)
{
	struct session session;
	enum session_state state = SESSION_IDLE;
	struct buf out;

	buf_init(&out);
	session_init(&session, protocol);
	for (size_t at = 0; at < input.len && state != SESSION_ENDED; at += piece) {
		size_t len = input.len - at < piece ? input.len - at : piece;

		state = session_input(&session, (struct span){ input.ptr + at, len },
		    &conversation, &out);
		while (state == SESSION_FULL) {
			buf_add_span(all, buf_span(&out));
			buf_clear(&out);
			state = session_resume(&session, &conversation, &out);
		}
	}
	if (state != SESSION_ENDED) {
		(void)session_eof(&session, &conversation);
	}
	buf_add_span(all, buf_span(&out));
	buf_release(&out);
	session_release(&session);
}

void conversation_hold(const struct protocol *protocol, const uint8_t *data,
    size_t size, struct buf *answers)
{
	struct span input;
	struct buf pieces;

	if (size == 0) {
		return;
	}
	if (conversation.workspace.arena.memory == NULL &&
	    workspace_init(&conversation.workspace) != CX_OK) {
		abort();
	}
	input = (struct span){ (const char *)data + 1, size - 1 };
	buf_init(&pieces);
	converse(protocol, input, size, answers);
	converse(protocol, input, data[0] + 1u, &pieces);
	FUZZ_CHECK(span_equal(buf_span(answers), buf_span(&pieces)));
	buf_release(&pieces);
}
