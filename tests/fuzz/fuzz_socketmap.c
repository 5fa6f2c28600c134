/*
 * A connection to the map service: whatever comes in, each reply is a netstring with one of
 * the known words, and it makes no difference in what pieces the input arrives. The first
 * byte is the size of the pieces.
 */
#include "config.h"

#include "fuzz.h"
#include "policyd/socketmap.h"

static struct workspace workspace;

static const char *const no_servers[] = { NULL };

static const struct settings settings = {
	.organization = "",
	.local_servers = no_servers,
	.recipient_delimiter = "+",
	.postmaster = "postmaster",
	.mailbox_transport = "",
};

static bool answer(void *context, struct span body, struct buf *out, const char **why)
{
	static char scratch[SOCKETMAP_SCRATCH_SIZE];
	struct view view = { .settings = &settings, .now = 1700000000 };

	(void)context;
	(void)socketmap_answer(&view, body, &workspace, scratch, out, why);
	return true;
}

static void complain(void *context, const char *why, struct span what)
{
	(void)context;
	(void)what;
	FUZZ_CHECK(why != NULL && *why != '\0');
}

static const struct protocol protocol = {
	.name = "map",
	.answer_max = SOCKETMAP_REPLY_MAX,
	.find = netstring_frame,
	.answer = answer,
	.farewell = socketmap_farewell,
	.complain = complain,
};

static void converse(const char *input, size_t size, size_t piece, struct buf *all)
{
	struct session session;
	enum session_state state = SESSION_IDLE;
	struct buf out;

	buf_init(&out);
	session_init(&session, &protocol);
	for (size_t at = 0; at < size && state != SESSION_ENDED; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		state = session_input(&session, (struct span){ input + at, len }, NULL,
		    &out);
		while (state == SESSION_FULL) {
			buf_add_span(all, buf_span(&out));
			buf_clear(&out);
			state = session_resume(&session, NULL, &out);
		}
	}
	if (state != SESSION_ENDED) {
		(void)session_eof(&session, NULL);
	}
	buf_add_span(all, buf_span(&out));
	buf_release(&out);
	session_release(&session);
}

/* Without a replica nothing is found. */
static void check_replies(struct span all)
{
	while (all.len > 0) {
		struct frame frame;
		size_t scanned = 0;
		const char *why = NULL;

		FUZZ_CHECK(netstring_frame(all, &scanned, &frame, &why) == FRAME_WHOLE);
		FUZZ_CHECK(span_equal(frame.body, SPAN("NOTFOUND ")) ||
			   span_starts_with_case(frame.body, SPAN("TEMP ")) ||
			   span_starts_with_case(frame.body, SPAN("PERM ")));
		all.ptr += frame.len;
		all.len -= frame.len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	if (size == 0) {
		return 0;
	}
	if (workspace.arena.memory == NULL && workspace_init(&workspace) != CX_OK) {
		abort();
	}
	buf_init(&whole);
	buf_init(&pieces);
	converse((const char *)data + 1, size - 1, size, &whole);
	converse((const char *)data + 1, size - 1, data[0] + 1u, &pieces);
	FUZZ_CHECK(span_equal(buf_span(&whole), buf_span(&pieces)));
	check_replies(buf_span(&whole));
	buf_release(&whole);
	buf_release(&pieces);
	return 0;
}
