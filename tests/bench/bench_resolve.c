#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/org.h"
#include "tests/unit/unit.h"

/*
 * Decisions a second in one thread, from the snapshot to the resolution, by kind of address.
 * Prints ratios to the plain mailbox, as times of different machines and runs say nothing.
 */
#define RECIPIENTS 100000
#define ROUNDS	   200000
#define REPEATS	   3

static struct org org;

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fill(void)
{
	char name[64];

	org_open(&org);
	org_put_domain(&org);
	for (unsigned i = 0; i < RECIPIENTS; i++) {
		snprintf(name, sizeof(name), "user%06u", i);
		org_put_mailbox(&org, name);
	}
	org_look(&org);
}

/* As policyd does it: a snapshot, a parse, a decision. */
static void decide_once(const char *text)
{
	struct question question = { .want_deliveries = true };
	struct resolution resolution;
	struct snapshot *snapshot;
	struct address address;
	struct view view = org.view;

	if (snapshot_begin(org.store, &snapshot, NULL) != CX_OK ||
	    address_parse_internal(span_of(text), &address) != CX_OK) {
		abort();
	}
	view.snapshot = snapshot;
	question.address = &address;
	org.arena.used = 0;
	if (resolve(&view, &question, &org.arena, &resolution) != CX_OK) {
		abort();
	}
	snapshot_end(snapshot);
}

static double measure(const char *before, const char *after)
{
	char text[128];
	double best = 0;

	for (int repeat = 0; repeat < REPEATS; repeat++) {
		double start = now_s(), rate;

		for (unsigned i = 0; i < ROUNDS; i++) {
			snprintf(text, sizeof(text), "%s%06u%s", before,
			    (i * 7919U) % RECIPIENTS, after);
			decide_once(text);
		}
		rate = ROUNDS / (now_s() - start);
		best = rate > best ? rate : best;
	}
	return best;
}

START_TEST(decides)
{
	static const struct {
		const char *label, *before, *after;
	} rows[] = {
		{ "mailbox", "user", "@acme.example" },
		{ "mailbox with extension", "user", "+list@acme.example" },
		{ "unknown", "nobody", "@acme.example" },
		{ "foreign", "user", "@outside.example" },
	};
	double plain = 0;

	fill();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double rate = measure(rows[i].before, rows[i].after);

		plain = i == 0 ? rate : plain;
		printf("%-24s %9.0f/s  %.2f\n", rows[i].label, rate, rate / plain);
	}
	org_close(&org);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("resolve");
	TCase *tcase = tcase_create("decisions");

	tcase_set_timeout(tcase, 0);
	tcase_add_test(tcase, decides);
	suite_add_tcase(suite, tcase);
	return suite;
}
