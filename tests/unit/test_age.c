#include "config.h"

#include "decide/age.h"
#include "org.h"
#include "unit.h"

enum {
	NOW = ORG_NOW, /* well after 300 s, so that "before it" is a time too */
	DAY = 86400,
};

/* With the limits of the default configuration: 1 h and 7 d. */
static const struct row {
	const char *label;
	bool is_loaded;
	int64_t contact;
	int64_t age;
	bool allows_refusal, allows_delivery;
} rows[] = {
	{ "now", true, NOW, 0, true, true },
	{ "a second ago", true, NOW - 1, 1, true, true },
	{ "never loaded", false, NOW, AGE_NEVER, false, false },
	{ "never heard of", true, 0, AGE_NEVER, false, false },
	{ "before the epoch", true, -1, AGE_NEVER, false, false },
	{ "an hour ago", true, NOW - 3600, 3600, true, true },
	{ "just over an hour ago", true, NOW - 3601, 3601, false, true },
	{ "seven days ago", true, NOW - 7 * DAY, 7 * DAY, false, true },
	{ "just over seven days ago", true, NOW - 7 * DAY - 1, 7 * DAY + 1, false, false },
	{ "a second ahead", true, NOW + 1, 0, true, true },
	{ "five minutes ahead", true, NOW + 300, 0, true, true },
	{ "just over five minutes ahead", true, NOW + 301, AGE_NEVER, false, false },
	{ "two hours ahead: the clock was set back", true, NOW + 7200, AGE_NEVER, false, false },
	{ "as far ahead as can be written", true, INT64_MAX, AGE_NEVER, false, false },
	{ "as far back", true, INT64_MIN, AGE_NEVER, false, false },
};

START_TEST(is_as_old_as_the_last_contact)
{
	const struct row *row = &rows[_i];
	struct source_info source = { .is_loaded = row->is_loaded,
		.last_contact = row->contact };

	ck_assert_msg(age_of(&source, NOW) == row->age, "%s: %lld", row->label,
	    (long long)age_of(&source, NOW));
}
END_TEST

START_TEST(trusts_a_directory_by_its_age)
{
	const struct row *row = &rows[_i];
	struct org org;

	if (!row->is_loaded) {
		return; /* is_loaded never falls back; test_decide_edges has such a directory */
	}
	org_open(&org);
	org_contact(&org, row->contact, true);
	org_look(&org);
	ck_assert_msg(age_allows_refusal(&org.view) == row->allows_refusal, "%s", row->label);
	ck_assert_msg(age_allows_delivery(&org.view, AGE_ALL_SOURCES) == row->allows_delivery,
	    "%s", row->label);
	ck_assert_msg(age_allows_delivery(&org.view, 0), "%s: depends on none", row->label);
	org_close(&org);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("age");
	TCase *tcase = tcase_create("age");
	int count = (int)(sizeof(rows) / sizeof(rows[0]));

	tcase_add_loop_test(tcase, is_as_old_as_the_last_contact, 0, count);
	tcase_add_loop_test(tcase, trusts_a_directory_by_its_age, 0, count);
	suite_add_tcase(suite, tcase);
	return suite;
}
