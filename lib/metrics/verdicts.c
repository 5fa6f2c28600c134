#include "config.h"

#include "metrics/verdicts.h"

#include <string.h>

#include "metrics/page.h"

/* The first verdict that has the same text: TOO_MANY is shown as another one. */
static size_t first_of_text(size_t verdict)
{
	const char *text = verdict_text((enum verdict)verdict);
	size_t first = 0;

	while (strcmp(verdict_text((enum verdict)first), text) != 0) {
		first++;
	}
	return first;
}

void metrics_print_verdicts(struct buf *page,
    const struct counter counts[VERDICT_COUNT])
{
	static const char name[] = "coexist_decisions_total";
	uint64_t sums[VERDICT_COUNT] = { 0 };

	for (size_t i = 0; i < VERDICT_COUNT; i++) {
		sums[first_of_text(i)] += counter_value(&counts[i]);
	}
	page_family(page, name, PAGE_COUNTER, "Recipients decided, by verdict.");
	for (size_t i = 0; i < VERDICT_COUNT; i++) {
		if (first_of_text(i) == i) {
			page_count(page, name,
			    PAGE_LABELS({ "verdict",
				span_of(verdict_text((enum verdict)i)) }),
			    sums[i]);
		}
	}
}
