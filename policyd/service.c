#include "config.h"

#include "policyd/service.h"

#include <stdlib.h>
#include <time.h>

#include "daemon/log.h"
#include "policyd/policy.h"
#include "policyd/socketmap.h"

/* Lines of log about one thing in LOG_LIMIT_WINDOW_MS, for each worker. */
#define MALFORMED_BURST 10
#define TROUBLE_BURST   1

/* How much of a malformed request a log line shows. */
#define EXCERPT_MAX 100

_Static_assert(SOCKETMAP_SCRATCH_SIZE >= POLICY_LOG_MAX, "room for every line");

enum status service_init(struct service *service, enum service_kind kind,
    struct counts *counts)
{
	enum status status;

	memset(service, 0, sizeof(*service));
	service->kind = kind;
	service->counts = counts;
	status = workspace_init(&service->workspace);
	if (status != CX_OK) {
		return status;
	}
	service->scratch = malloc(SOCKETMAP_SCRATCH_SIZE);
	if (service->scratch == NULL) {
		workspace_release(&service->workspace);
		return CX_ENOMEM;
	}
	return CX_OK;
}

void service_release(struct service *service)
{
	workspace_release(&service->workspace);
	free(service->scratch);
	service->scratch = NULL;
}

int64_t service_clock_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether to write a line about `about` now, after telling of those left out before. */
static bool may_log(struct log_limit *limit, unsigned burst, const char *about)
{
	unsigned long dropped;

	if (!log_limit_allow(limit, burst, service_clock_ms(), &dropped)) {
		return false;
	}
	if (dropped > 0) {
		log_warnx("%s: %lu lines like the next were left out", about, dropped);
	}
	return true;
}

/* The start of a request for a line of log, in the scratch memory. */
static const char *excerpt(struct service *service, struct span what)
{
	struct buf text;

	if (what.len > EXCERPT_MAX) {
		what.len = EXCERPT_MAX;
	}
	buf_init_fixed(&text, service->scratch, SOCKETMAP_SCRATCH_SIZE);
	buf_add_escaped(&text, what);
	return text.data;
}

/* Never fails: with no snapshot to be had, view->snapshot is NULL. */
static void open_view(struct service *service, struct view *view)
{
	struct errbuf err = { "" };

	*view = (struct view){ .settings = service->settings,
		.srs_secrets = service->srs_secrets,
		.now = time(NULL) };
	if (snapshot_begin(service->store, &view->snapshot, &err) == CX_OK) {
		return;
	}
	view->snapshot = NULL;
	if (may_log(&service->trouble, TROUBLE_BURST, "replica")) {
		log_warnx("replica: %s", err.text);
	}
}

static void close_view(struct view *view)
{
	if (view->snapshot != NULL) {
		snapshot_end(view->snapshot);
	}
}

static void complain(struct service *service, const char *protocol, const char *why,
    struct span what)
{
	counter_add(&service->counts->services[service->kind].malformed, 1);
	if (may_log(&service->malformed, MALFORMED_BURST, protocol)) {
		log_warnx("%s: connection closed, malformed request (%s): \"%s\"",
		    protocol, why, excerpt(service, what));
	}
}

static void complain_policy(void *context, const char *why, struct span what)
{
	complain(context, "policy", why, what);
}

static void complain_map(void *context, const char *why, struct span what)
{
	complain(context, "map", why, what);
}

static bool answer_policy(void *context, struct span body, struct buf *out,
    const char **why)
{
	struct service *service = context;
	struct policy_request request;
	struct policy_answer answer;
	struct log_line line;
	struct view view;

	uint64_t start_ns = histogram_clock_ns();

	if (policy_request_parse(body, &request, why) != CX_OK) {
		return false;
	}
	open_view(service, &view);
	policy_decide(&view, &request, &service->workspace, &answer);
	if (log_is_enabled(LOG_LEVEL_DEBUG) && answer.is_resolved) {
		log_line_init_fixed(&line, service->scratch, POLICY_LOG_MAX);
		policy_answer_trace(&answer, &request, &line);
		log_line_send(LOG_LEVEL_DEBUG, &line);
	}
	close_view(&view);
	policy_answer_print(&answer, out);
	if (policy_answer_is_logged(&answer) &&
	    log_is_enabled(policy_answer_level(&answer)) &&
	    (!answer.is_observed ||
		may_log(&service->observed, LOG_LIMIT_OBSERVED, "observe"))) {
		log_line_init_fixed(&line, service->scratch, POLICY_LOG_MAX);
		policy_answer_log(&answer, &request, &line);
		log_line_send(policy_answer_level(&answer), &line);
	}
	counts_add_policy(service->counts, &answer, histogram_clock_ns() - start_ns);
	return true;
}

static bool answer_map(void *context, struct span body, struct buf *out,
    const char **why)
{
	struct service *service = context;
	struct view view;
	enum map_status status;
	const char *reason = "";
	uint64_t start_ns = histogram_clock_ns();

	(void)
	    why; /* The reply itself says what is wrong; the next query may be right. */
	open_view(service, &view);
	status = socketmap_answer(&view, body, &service->workspace, service->scratch,
	    out, &reason);
	close_view(&view);
	if (status >= MAP_NO_SUCH_MAP &&
	    may_log(&service->malformed, MALFORMED_BURST, "map")) {
		log_warnx("map: %s: \"%s\"", reason, excerpt(service, body));
	}
	counts_add_map(service->counts, status, histogram_clock_ns() - start_ns);
	return true;
}

const struct protocol policy_protocol = {
	.name = "policy",
	.answer_max = POLICY_ANSWER_MAX,
	.find = policy_frame,
	.answer = answer_policy,
	.complain = complain_policy,
};

const struct protocol map_protocol = {
	.name = "map",
	.answer_max = SOCKETMAP_REPLY_MAX,
	.find = netstring_frame,
	.answer = answer_map,
	.farewell = socketmap_farewell,
	.complain = complain_map,
};
