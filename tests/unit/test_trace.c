#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "forward/trace.h"
#include "unit.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

enum {
	NOW = 1795313003,
	DAY = 24 * 60 * 60,
};

static const uint8_t objects[][TRACE_OBJECT_SIZE] = { { 1, 2, 3 }, { 4, 5, 6 },
	{ 7, 0, 9 }, { 10, 11, 12 } };
static const uint8_t stranger[TRACE_OBJECT_SIZE] = { 99 };

static struct secrets *secrets;
static struct trace_site site;
static struct trace trace;
static struct buf header;

static void setup(void)
{
	secrets = malloc(sizeof(*secrets));
	ck_assert_ptr_nonnull(secrets);
	secrets_init(secrets);
	ck_assert(secrets_add(secrets, SPAN("tops3cret")));
	site = (struct trace_site){ secrets, SPAN("acme") };
	trace_init(&trace);
	buf_init(&header);
	unit_assert_status(trace_make(&site, SPAN("<1@x>"), NOW, objects, 4, &header),
	    CX_OK, "make");
}

static void teardown(void)
{
	trace_release(&trace);
	buf_release(&header);
	free(secrets);
}

static enum status has(const char *message_id, const uint8_t *object)
{
	return trace_has(&trace, &site, unit_text(message_id), object);
}

/* The same text in memory of just that size. */
static void read_back(int64_t now)
{
	struct span copy = unit_span(header.data, header.len);

	unit_assert_status(trace_add(&trace, &site, copy, now), CX_OK, "add");
}

START_TEST(names_what_was_expanded_and_nothing_else)
{
	read_back(NOW);
	for (size_t i = 0; i < 4; i++) {
		unit_assert_status(has("<1@x>", objects[i]), CX_OK, "expanded");
	}
	unit_assert_status(has("<1@x>", stranger), CX_NOTFOUND, "another object");
	unit_assert_status(has("<2@x>", objects[0]), CX_NOTFOUND, "another message");
}
END_TEST

START_TEST(is_written_as_documented)
{
	const char *start = "acme; t=1795313003; o=";

	ck_assert_uint_gt(header.len, strlen(start));
	ck_assert_mem_eq(header.data, start, strlen(start));
	ck_assert_uint_eq(header.len, strlen(start) + 4 * 22 + 2 * 1 + 2);
	ck_assert_ptr_nonnull(strstr(header.data, "\n "));
}
END_TEST

START_TEST(survives_another_folding)
{
	for (size_t i = 0; i < header.len; i++) {
		if (header.data[i] == ' ' || header.data[i] == '\n') {
			header.data[i] = '\t';
		}
	}
	buf_add_text(&header, "\r\n ");
	read_back(NOW);
	unit_assert_status(has("<1@x>", objects[3]), CX_OK, "refolded");
}
END_TEST

START_TEST(is_valid_for_seven_days)
{
	read_back(NOW + TRACE_MAX_AGE_S + 1);
	ck_assert_uint_eq(trace.part_count, 0);
	read_back(NOW - 301);
	ck_assert_uint_eq(trace.part_count, 0);
	read_back(NOW + TRACE_MAX_AGE_S);
	read_back(NOW - 300);
	ck_assert_uint_eq(trace.part_count, 2);
}
END_TEST

START_TEST(of_another_time_organization_or_secret_it_names_nothing)
{
	char *digit = strstr(header.data, "3003");

	digit[3] = '4';
	read_back(NOW);
	unit_assert_status(has("<1@x>", objects[0]), CX_NOTFOUND, "another time");
	digit[3] = '3';
	trace_release(&trace);
	site.organization = SPAN("acm");
	read_back(NOW);
	ck_assert_uint_eq(trace.part_count, 0);
	site.organization = SPAN("acme");
	secrets_init(secrets);
	ck_assert(secrets_add(secrets, SPAN("another")));
	read_back(NOW);
	unit_assert_status(has("<1@x>", objects[0]), CX_NOTFOUND, "another secret");
	ck_assert(secrets_add(secrets, SPAN("tops3cret")));
	unit_assert_status(has("<1@x>", objects[0]), CX_OK,
	    "the old secret still verifies");
}
END_TEST

START_TEST(what_does_not_parse_is_left_out)
{
	static const char *const rows[] = {
		"",
		";",
		"acme",
		"acme;",
		"acme; t=",
		"acme; t=1795313003",
		"acme; t=1795313003;",
		"acme; t=1795313003; o=",
		"acme; t=1795313003; o= ",
		"acme; t=1795313003; o=short",
		"acme; t=1795313003; o=aaaaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaaaaaaaaaaa",
		"acme; t=1795313003; o=aaaaaaaaaaaaaaaaaaaaa!",
		"acme; t=-1; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=9999999999999; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=1795313003 x; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; T=1795313003; o=aaaaaaaaaaaaaaaaaaaaaa",
	};

	for (int i = 0; i < ROWS(rows); i++) {
		unit_assert_status(trace_add(&trace, &site, unit_text(rows[i]), NOW),
		    CX_OK, rows[i]);
		ck_assert_msg(trace.part_count == 0 && trace.token_count == 0, "%s",
		    rows[i]);
	}
}
END_TEST

START_TEST(is_bounded_in_headers_and_tokens)
{
	struct buf many;
	size_t count = TRACE_TOKENS_MAX + 100;
	uint8_t(*ids)[TRACE_OBJECT_SIZE] = calloc(count, sizeof(*ids));

	ck_assert_ptr_nonnull(ids);
	for (size_t i = 0; i < count; i++) {
		memcpy(ids[i], &i, sizeof(i));
	}
	for (int i = 0; i < 2 * TRACE_HEADERS_MAX; i++) {
		read_back(NOW);
	}
	ck_assert_uint_eq(trace.part_count, TRACE_HEADERS_MAX);
	trace_release(&trace);
	buf_init(&many);
	ck_assert_int_eq(trace_make(&site, SPAN("<1@x>"), NOW,
			     (const uint8_t(*)[TRACE_OBJECT_SIZE])ids, count, &many),
	    CX_OK);
	ck_assert_uint_le(many.len, 20000);
	ck_assert_int_eq(trace_add(&trace, &site, buf_span(&many), NOW), CX_OK);
	unit_assert_status(has("<1@x>", ids[TRACE_WRITTEN_MAX - 1]), CX_OK, "the last");
	unit_assert_status(has("<1@x>", ids[TRACE_WRITTEN_MAX]), CX_NOTFOUND, "one too many");
	for (int i = 0; i < TRACE_HEADERS_MAX; i++) {
		ck_assert_int_eq(trace_add(&trace, &site, buf_span(&many), NOW), CX_OK);
	}
	ck_assert_uint_eq(trace.token_count, TRACE_TOKENS_MAX);
	buf_release(&many);
	free(ids);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("trace");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, names_what_was_expanded_and_nothing_else);
	tcase_add_test(tcase, is_written_as_documented);
	tcase_add_test(tcase, survives_another_folding);
	tcase_add_test(tcase, is_valid_for_seven_days);
	tcase_add_test(tcase, of_another_time_organization_or_secret_it_names_nothing);
	tcase_add_test(tcase, what_does_not_parse_is_left_out);
	tcase_add_test(tcase, is_bounded_in_headers_and_tokens);
	suite_add_tcase(suite, tcase);
	return suite;
}
