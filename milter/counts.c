#include "config.h"

#include "milter/counts.h"

#include "metrics/page.h"
#include "metrics/verdicts.h"

static const char *const recipient_names[RECIPIENT_FATES] = {
	[RECIPIENT_ACCEPTED] = "accepted",
	[RECIPIENT_REJECTED] = "rejected",
	[RECIPIENT_DEFERRED] = "deferred",
};

static const char *const message_names[MESSAGE_FATES] = {
	[MESSAGE_UNCHANGED] = "unchanged",
	[MESSAGE_CHANGED] = "changed",
	[MESSAGE_REJECTED] = "rejected",
	[MESSAGE_DEFERRED] = "deferred",
};

static const char *const edit_names[EDIT_KINDS] = {
	[EDIT_ADD] = "add",
	[EDIT_DELETE] = "delete",
	[EDIT_HEADER] = "header",
	[EDIT_SENDER] = "sender",
};

void counts_add_edits(struct counts *counts, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		counter_add(&counts->edits[plan->edits[i].kind], 1);
	}
}

void counts_print(const struct counts *counts, struct buf *page)
{
	static const char seconds[] = "coexist_request_seconds";

	metrics_print_verdicts(page, counts->verdicts);
	page_counters(page, "coexist_recipients_total", "Recipients at RCPT.", "result",
	    recipient_names, counts->recipients, RECIPIENT_FATES);
	page_counters(page, "coexist_messages_total", "Messages at their end.",
	    "result", message_names, counts->messages, MESSAGE_FATES);
	page_counters(page, "coexist_edits_total", "Edits of messages.", "kind",
	    edit_names, counts->edits, EDIT_KINDS);
	page_family(page, "coexist_connections_total", PAGE_COUNTER,
	    "Connections accepted.");
	page_count(page, "coexist_connections_total",
	    PAGE_LABELS({ "service", SPAN("milter") }),
	    counter_value(&counts->accepted));
	page_family(page, "coexist_connections", PAGE_GAUGE, "Connections open.");
	page_count(page, "coexist_connections",
	    PAGE_LABELS({ "service", SPAN("milter") }), counter_value(&counts->open));
	page_histogram_family(page, seconds, "Time that the MTA waited for an answer.");
	page_histogram(page, seconds, PAGE_LABELS({ "service", SPAN("rcpt") }),
	    &counts->rcpt_seconds);
	page_histogram(page, seconds, PAGE_LABELS({ "service", SPAN("end") }),
	    &counts->end_seconds);
}
