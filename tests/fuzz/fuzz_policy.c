/*
 * A connection to the policy service: whatever comes in, each answer is well formed,
 * nobody is permitted anything without a replica, and it makes no difference in what
 * pieces the input arrives. See conversation.h.
 */
#include "config.h"

#include "conversation.h"
#include "fuzz.h"
#include "policyd/policy.h"
#include "policyd/request.h"

static bool answer(void *context, struct span body, struct buf *out, const char **why)
{
	struct conversation *conversation = context;
	struct policy_request request;
	struct policy_answer result;
	struct log_line line;

	if (policy_request_parse(body, &request, why) != CX_OK) {
		return false;
	}
	policy_decide(&conversation->view, &request, &conversation->workspace, &result);
	FUZZ_CHECK(!result.is_permitted);
	policy_answer_print(&result, out);
	if (policy_answer_is_logged(&result)) {
		char memory[POLICY_LOG_MAX];

		log_line_init_fixed(&line, memory, sizeof(memory));
		policy_answer_log(&result, &request, &line);
		FUZZ_CHECK(!line.text.failed);
		for (size_t i = 0; i < line.text.len; i++) {
			FUZZ_CHECK((unsigned char)line.text.data[i] >= ' ');
		}
	}
	return true;
}

static const struct protocol protocol = {
	.name = "policy",
	.answer_max = POLICY_ANSWER_MAX,
	.find = policy_frame,
	.answer = answer,
	.complain = conversation_complain,
};

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
	struct buf answers;

	buf_init(&answers);
	conversation_hold(&protocol, data, size, &answers);
	check_answers(buf_span(&answers));
	buf_release(&answers);
	return 0;
}
