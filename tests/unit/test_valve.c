#include "config.h"

#include "syncd/valve.h"
#include "unit.h"

enum {
	NOW = 1700000000
};

/* Removals some seconds before now, then the question. */
struct row {
	const char *label;
	struct {
		int64_t ago;
		size_t seen, applied;
	} past[3];
	struct valve_question question; /* `now` is NOW */
	bool trips;
};

#define ASK(total, kept, gone, percent)                                               \
 {                                                                                    \
  .recipients = (total), .held = (kept), .removals = (gone), .max_percent = (percent) \
 }

/* clang-format off */
static const struct row rows[] = {
	{ "none", { { 0, 0, 0 } }, ASK(1000, 0, 0, 10), false },
	{ "twenty are never too many", { { 0, 0, 0 } }, ASK(30, 0, 20, 10), false },
	{ "twenty that are all", { { 0, 0, 0 } }, ASK(20, 0, 20, 10), true },
	{ "all but one of 21", { { 0, 0, 0 } }, ASK(21, 0, 20, 10), false },
	{ "one of two", { { 0, 0, 0 } }, ASK(2, 0, 1, 10), false },
	{ "the last that is not kept back", { { 0, 0, 0 } }, ASK(2, 1, 1, 10), true },
	{ "21, just over a tenth", { { 0, 0, 0 } }, ASK(209, 0, 21, 10), true },
	{ "21 and more than a tenth", { { 0, 0, 0 } }, ASK(200, 0, 21, 10), true },
	{ "21, exactly a tenth", { { 0, 0, 0 } }, ASK(210, 0, 21, 10), false },
	{ "21 of very many", { { 0, 0, 0 } }, ASK(100000, 0, 21, 10), false },
	{ "a limit of 50 percent", { { 0, 0, 0 } }, ASK(100, 0, 50, 50), false },
	{ "over a limit of 50 percent", { { 0, 0, 0 } }, ASK(100, 0, 51, 50), true },
	{ "no limit", { { 0, 0, 0 } }, ASK(100, 0, 99, 100), false },
	{ "all of them, with no limit", { { 0, 0, 0 } }, ASK(100, 0, 100, 100), true },
	{ "all of a few", { { 0, 0, 0 } }, ASK(2, 0, 2, 10), true },
	{ "the only one", { { 0, 0, 0 } }, ASK(1, 0, 1, 10), true },
	{ "all that were not kept back before", { { 0, 0, 0 } }, ASK(30, 25, 5, 10), true },
	{ "an empty limit", { { 0, 0, 0 } }, ASK(1000, 0, 21, 0), true },
	{ "little by little", { { 60, 10, 10 }, { 300, 5, 5 } }, ASK(100, 0, 6, 10), true },
	{ "little by little, under 20", { { 60, 10, 10 }, { 300, 4, 4 } }, ASK(100, 0, 6, 10), false },
	{ "what went counts for the total", { { 60, 100, 100 } }, ASK(900, 0, 1, 10), true },
	{ "just not more than a tenth", { { 60, 99, 99 } }, ASK(901, 0, 1, 10), false },
	{ "what was kept back counts on", { { 60, 50, 0 } }, ASK(1000, 50, 51, 10), true },
	{ "long ago", { { 700, 50, 50 } }, ASK(100, 0, 1, 10), false },
	{ "ten minutes ago", { { 600, 50, 50 } }, ASK(100, 0, 1, 10), true },
	{ "over ten minutes ago", { { 660, 50, 50 } }, ASK(100, 0, 1, 10), false },
	{ "two hours ago (the clock was set forward)", { { 7200, 50, 50 } }, ASK(100, 0, 1, 10), false },
	{ "a little in the future (the clock was put right)", { { -60, 50, 50 } }, ASK(100, 0, 1, 10), true },
	{ "in the future (the clock was set back)", { { -3600, 50, 50 } }, ASK(100, 0, 1, 10), false },
};
/* clang-format on */

START_TEST(trips_on_too_many_removals)
{
	const struct row *row = &rows[_i];
	struct valve valve, copy;
	struct valve_question question = row->question;
	struct buf stored;

	valve_read(&valve, (struct span){ NULL, 0 });
	for (size_t i = 3; i-- > 0;) {
		if (row->past[i].seen) {
			valve_remember(&valve, NOW - row->past[i].ago,
			    row->past[i].seen, row->past[i].applied);
		}
	}
	/* As a restart would see it. */
	buf_init(&stored);
	valve_write(&valve, &stored);
	valve_read(&copy, buf_span(&stored));
	buf_release(&stored);
	question.now = NOW;
	ck_assert_msg(valve_trips(&copy, &question) == row->trips, "%s", row->label);
}
END_TEST

START_TEST(one_deletion_by_name_is_never_all)
{
	struct valve valve;
	struct valve_question question = { .recipients = 1,
		.removals = 1,
		.is_one_by_name = true,
		.max_percent = 10,
		.now = NOW };

	valve_read(&valve, (struct span){ NULL, 0 });
	ck_assert(!valve_trips(&valve, &question));
}
END_TEST

START_TEST(remembers_ten_minutes_and_no_more)
{
	struct valve valve;
	struct buf stored;

	valve_read(&valve, (struct span){ NULL, 0 });
	for (int64_t second = 0; second < 7200; second += 7) {
		valve_remember(&valve, NOW + second, 1, 1);
		ck_assert_uint_le(valve.count, VALVE_WINDOW_S / 60 + 1);
	}
	struct valve_question question = {
		.recipients = 100, .removals = 1, .max_percent = 10, .now = NOW + 7200
	};
	ck_assert(valve_trips(&valve, &question));
	question.now += VALVE_WINDOW_S + 60;
	ck_assert(!valve_trips(&valve, &question));
	buf_init(&stored);
	valve_write(&valve, &stored);
	ck_assert_uint_le(stored.len, 16 * (VALVE_WINDOW_S / 60 + 1));
	buf_release(&stored);
}
END_TEST

START_TEST(damage_is_an_empty_memory)
{
	struct valve valve;

	valve_read(&valve, SPAN("seventeen bytes.."));
	ck_assert_uint_eq(valve.count, 0);
	valve_read(&valve, unit_text(unit_repeat('x', 16 * 100)));
	ck_assert_uint_eq(valve.count, 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("valve");
	TCase *valve = tcase_create("valve");

	tcase_add_loop_test(valve, trips_on_too_many_removals, 0,
	    (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(valve, one_deletion_by_name_is_never_all);
	tcase_add_test(valve, remembers_ten_minutes_and_no_more);
	tcase_add_test(valve, damage_is_an_empty_memory);
	suite_add_tcase(suite, valve);
	return suite;
}
