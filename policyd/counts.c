#include "config.h"

#include "policyd/counts.h"

#include "metrics/page.h"
#include "metrics/verdicts.h"

static const char *const action_names[ACTION_COUNT] = {
	[ACTION_OK] = "ok",
	[ACTION_DUNNO] = "dunno",
	[ACTION_REJECT] = "reject",
	[ACTION_DEFER] = "defer",
	[ACTION_OBSERVED] = "observed",
};

static const char *const reply_names[MAP_STATUS_COUNT] = {
	[MAP_FOUND] = "found",
	[MAP_NOT_FOUND] = "not_found",
	[MAP_TEMPORARY] = "temporary",
	[MAP_UNAVAILABLE] = "unavailable",
	[MAP_NO_SUCH_MAP] = "no_such_map",
	[MAP_MALFORMED] = "malformed",
};

static const char *const service_names[SERVICE_KINDS] = {
	[SERVICE_POLICY] = "policy",
	[SERVICE_MAP] = "map",
};

static enum answer_action action_of(const struct policy_answer *answer)
{
	if (answer->is_observed) {
		return ACTION_OBSERVED;
	}
	if (answer->reply != NULL) {
		return reply_is_temporary(answer->reply) ? ACTION_DEFER : ACTION_REJECT;
	}
	return answer->is_permitted ? ACTION_OK : ACTION_DUNNO;
}

void counts_add_policy(struct counts *counts, const struct policy_answer *answer,
    uint64_t ns)
{
	counter_add(&counts->actions[action_of(answer)], 1);
	if (answer->is_resolved) {
		counter_add(&counts->verdicts[answer->resolved], 1);
	}
	if (answer->is_relay_judged) {
		counter_add(&counts->relay[answer->relay], 1);
	}
	histogram_add(&counts->services[SERVICE_POLICY].seconds, ns);
}

void counts_add_map(struct counts *counts, enum map_status status, uint64_t ns)
{
	counter_add(&counts->replies[status], 1);
	histogram_add(&counts->services[SERVICE_MAP].seconds, ns);
}

static void print_relay(const struct counts *counts, struct buf *page)
{
	const char *names[RELAY_VERDICT_COUNT];

	for (size_t i = 0; i < RELAY_VERDICT_COUNT; i++) {
		names[i] = relay_verdict_text((enum relay_verdict)i);
	}
	page_counters(page, "coexist_relay_decisions_total",
	    "Decisions whether a client may relay.", "verdict", names, counts->relay,
	    RELAY_VERDICT_COUNT);
}

static void print_services(const struct counts *counts, struct buf *page)
{
	static const struct {
		const char *name, *help;
		enum page_type type;
		size_t offset;
	} rows[] = {
#define FIELD(name) offsetof(struct counts, services[0].name)
		{ "coexist_connections_total", "Connections accepted.", PAGE_COUNTER,
		    FIELD(accepted) },
		{ "coexist_connections", "Connections open.", PAGE_GAUGE, FIELD(open) },
		{ "coexist_malformed_requests_total", "Requests of no sense.",
		    PAGE_COUNTER, FIELD(malformed) },
#undef FIELD
	};

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		page_family(page, rows[r].name, rows[r].type, rows[r].help);
		for (size_t s = 0; s < SERVICE_KINDS; s++) {
			const char *at = (const char *)counts + rows[r].offset +
					 s * sizeof(counts->services[0]);

			page_count(page, rows[r].name,
			    PAGE_LABELS({ "service", span_of(service_names[s]) }),
			    counter_value((const struct counter *)at));
		}
	}
}

void counts_print(const struct counts *counts, struct buf *page)
{
	static const char seconds[] = "coexist_request_seconds";

	metrics_print_verdicts(page, counts->verdicts);
	print_relay(counts, page);
	page_counters(page, "coexist_policy_answers_total",
	    "Answers of the policy service.", "action", action_names, counts->actions,
	    ACTION_COUNT);
	page_counters(page, "coexist_map_replies_total", "Replies of the map service.",
	    "result", reply_names, counts->replies, MAP_STATUS_COUNT);
	print_services(counts, page);
	page_histogram_family(page, seconds,
	    "Time from a whole request to its answer.");
	for (size_t s = 0; s < SERVICE_KINDS; s++) {
		page_histogram(page, seconds,
		    PAGE_LABELS({ "service", span_of(service_names[s]) }),
		    &counts->services[s].seconds);
	}
}
