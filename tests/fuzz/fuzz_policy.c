/*
 * A connection to the policy service: whatever comes in, each answer is well formed,
 * nobody is permitted anything without a replica, and it makes no difference in what
 * pieces the input arrives. The first byte is the size of the pieces.
 */
#include "config.h"

#include "fuzz.h"
#include "policyd/policy.h"
#include "policyd/request.h"
#include "policyd/session.h"

static struct workspace workspace;

static const char *const no_servers[] = { NULL };

static const struct settings settings = {
	.organization = "",
	.local_servers = no_servers,
	.recipient_delimiter = "+",
	.postmaster = "postmaster",
	.mailbox_transport = "",
	.enforce_sender = true,
};

static bool answer(void *context, struct span body, struct buf *out, const char **why)
{
	struct view view = { .settings = &settings, .now = 1700000000 };
	struct policy_request request;
	struct policy_answer result;
	struct buf line;

	(void)context;
	if (policy_request_parse(body, &request, why) != CX_OK) {
		return false;
	}
	policy_decide(&view, &request, &workspace, &result);
	FUZZ_CHECK(!result.is_permitted);
	policy_answer_print(&result, out);
	if (policy_answer_is_logged(&result)) {
		char memory[POLICY_LOG_MAX];

		buf_init_fixed(&line, memory, sizeof(memory));
		policy_answer_log(&result, &request, &line);
		FUZZ_CHECK(!line.failed);
		for (size_t i = 0; i < line.len; i++) {
			FUZZ_CHECK((unsigned char)line.data[i] >= ' ');
		}
	}
	return true;
}

static void complain(void *context, const char *why, struct span what)
{
	(void)context;
	(void)what;
	FUZZ_CHECK(why != NULL && *why != '\0');
}

static const struct protocol protocol = {
	.name = "policy",
	.answer_max = POLICY_ANSWER_MAX,
	.find = policy_frame,
	.answer = answer,
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

static void check_answers(struct span all)
{
	while (all.len > 0) {
		const char *end = memmem(all.ptr, all.len, "\n\n", 2);
		size_t len;

		FUZZ_CHECK(end != NULL);
		len = (size_t)(end - all.ptr) + 2;
		FUZZ_CHECK(len > sizeof("action=\n\n") &&
			   memcmp(all.ptr, "action=", 7) == 0);
		FUZZ_CHECK(memcmp(all.ptr + 7, "DUNNO\n", 6) == 0 ||
			   all.ptr[10] == ' ');
		all.ptr += len;
		all.len -= len;
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
	check_answers(buf_span(&whole));
	buf_release(&whole);
	buf_release(&pieces);
	return 0;
}
