/*
 * A connection to the map service: whatever comes in, each reply is a netstring with one of
 * the known words, and it makes no difference in what pieces the input arrives. See
 * conversation.h.
 */
#include "config.h"

#include "conversation.h"
#include "fuzz.h"
#include "policyd/socketmap.h"

static bool answer(void *context, struct span body, struct buf *out, const char **why)
{
	static char scratch[SOCKETMAP_SCRATCH_SIZE];
	struct conversation *conversation = context;

	(void)socketmap_answer(&conversation->view, body, &conversation->workspace,
	    scratch, out, why);
	return true;
}

static const struct protocol protocol = {
	.name = "map",
	.answer_max = SOCKETMAP_REPLY_MAX,
	.find = netstring_frame,
	.answer = answer,
	.farewell = socketmap_farewell,
	.complain = conversation_complain,
};

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
	struct buf answers;

	buf_init(&answers);
	conversation_hold(&protocol, data, size, &answers);
	check_replies(buf_span(&answers));
	buf_release(&answers);
	return 0;
}
