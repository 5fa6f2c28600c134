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
static struct trace_message message;
static struct trace trace;
static struct buf header;
static struct span queue_id;

static void set_message(const char *id)
{
	memset(&message, 0, sizeof(message));
	unit_assert_status(trace_message_add(&message, SPAN("Message-ID"), span_of(id)),
	    CX_OK, id);
}

static void make(size_t count)
{
	buf_clear(&header);
	unit_assert_status(trace_make(&site, &message, NOW, queue_id, objects, count, &header),
	    CX_OK, "make");
}

static void setup(void)
{
	secrets = malloc(sizeof(*secrets));
	ck_assert_ptr_nonnull(secrets);
	secrets_init(secrets);
	ck_assert(secrets_add(secrets, SPAN("tops3cret")));
	site = (struct trace_site){ secrets, SPAN("acme") };
	trace_init(&trace);
	buf_init(&header);
	queue_id = SPAN("4F1A2B3C4D");
	set_message("<1@x>");
	make(4);
}

static void teardown(void)
{
	trace_release(&trace);
	buf_release(&header);
	free(secrets);
}

/* The same text in memory of just that size. */
static void add(struct span value, int64_t now)
{
	struct span copy = unit_span(value.ptr, value.len);

	unit_assert_status(trace_add(&trace, &site, copy, now), CX_OK, "add");
}

/* How many genuine headers there are, if it comes back with this one. */
static size_t read_back(int64_t now)
{
	trace_release(&trace);
	add(buf_span(&header), now);
	unit_assert_status(trace_verify(&trace, &site, &message, SPAN("1B2")), CX_OK, "verify");
	return trace.part_count;
}

static enum status has(const uint8_t *object)
{
	return trace_has(&trace, &site, &message, object);
}

START_TEST(names_what_was_expanded_and_nothing_else)
{
	ck_assert_uint_eq(read_back(NOW), 1);
	for (size_t i = 0; i < 4; i++) {
		unit_assert_status(has(objects[i]), CX_OK, "expanded");
	}
	unit_assert_status(has(stranger), CX_NOTFOUND, "another object");
	set_message("<2@x>");
	ck_assert_uint_eq(read_back(NOW), 0);
	unit_assert_status(has(objects[0]), CX_NOTFOUND, "another message");
}
END_TEST

START_TEST(is_written_as_documented)
{
	const char *start = "acme; t=1795313003; q=4F1A2B3C4D;\n o=";
	size_t line = 0;

	ck_assert_uint_gt(header.len, strlen(start));
	ck_assert_mem_eq(header.data, start, strlen(start));
	ck_assert_uint_eq(header.len, strlen(start) + 5 * 22 + 3 * 1 + 2);
	for (size_t i = strlen(start) - 3; i < header.len; i++) {
		line = header.data[i] == '\n' ? 0 : line + 1;
		ck_assert_uint_le(line, 78);
	}
	memset(&message, 0, sizeof(message));
	make(1);
	ck_assert_ptr_nonnull(strstr(header.data, ";\n d="));
}
END_TEST

START_TEST(without_an_id_it_is_bound_to_date_and_author)
{
	memset(&message, 0, sizeof(message));
	ck_assert_int_eq(trace_message_add(&message, SPAN("Date"), SPAN("x")), CX_OK);
	make(4);
	ck_assert_uint_eq(read_back(NOW), 1);
	/* Somebody gave it an id on the way. */
	ck_assert_int_eq(trace_message_add(&message, SPAN("Message-ID"), SPAN("<1@x>")),
	    CX_OK);
	ck_assert_uint_eq(read_back(NOW), 1);
	unit_assert_status(has(objects[0]), CX_OK, "with an id since");
	/* What says that it is bound to one thing is not believed of the other. */
	*strstr(header.data, "d=") = 'o';
	ck_assert_uint_eq(read_back(NOW), 0);
	ck_assert_int_eq(trace_message_add(&message, SPAN("From"), SPAN("s@x")), CX_OK);
	*strstr(header.data, "o=") = 'd';
	ck_assert_uint_eq(read_back(NOW), 0);
}
END_TEST

/* Two milters of one server: what the first one wrote is nothing that came back. */
START_TEST(of_the_same_passage_it_says_nothing)
{
	static const char *const odd[] = { "", "1-2", "a;b", "\xff", "1\n2" };

	add(buf_span(&header), NOW);
	unit_assert_status(trace_verify(&trace, &site, &message, queue_id), CX_OK, "same");
	ck_assert_uint_eq(trace.part_count, 0);
	ck_assert_uint_eq(read_back(NOW), 1);
	*strstr(header.data, "q=4") = 'p';
	ck_assert_uint_eq(read_back(NOW), 0);
	/* It cannot be changed to one that is expected. */
	make(4);
	memcpy(strstr(header.data, "q=") + 2, "4F1A2B3C4E", 10);
	ck_assert_uint_eq(read_back(NOW), 0);
	for (int i = 0; i < ROWS(odd); i++) {
		queue_id = span_of(odd[i]);
		make(4);
		ck_assert_ptr_nonnull(strstr(header.data, "; q=;\n o="));
		trace_release(&trace);
		add(buf_span(&header), NOW);
		unit_assert_status(trace_verify(&trace, &site, &message, queue_id), CX_OK,
		    odd[i]);
		ck_assert_uint_eq(trace.part_count, 1);
	}
	queue_id = span_of(unit_repeat('A', TRACE_QUEUE_MAX));
	make(4);
	ck_assert_uint_eq(read_back(NOW), 1);
	queue_id = span_of(unit_repeat('A', TRACE_QUEUE_MAX + 1));
	make(4);
	ck_assert_ptr_nonnull(strstr(header.data, "; q=;\n o="));
}
END_TEST

START_TEST(sent_again_it_is_another_message)
{
	ck_assert_int_eq(trace_message_add(&message, SPAN("Resent-Date"), SPAN("x")),
	    CX_OK);
	ck_assert_uint_eq(read_back(NOW), 0);
}
END_TEST

/* Blanks to nothing, to tabs, and between any two characters behind "o=". */
START_TEST(survives_another_folding)
{
	struct buf other;
	const char *tokens = strstr(header.data, "o=") + 2;

	for (int gap = 0; gap < 3; gap++) {
		buf_init(&other);
		buf_add_text(&other, " \r\n\tacme;\r\n  t=1795313003 ; q=4F1A2B3C4D ;o=");
		for (const char *c = tokens; *c; c++) {
			if (*c != ' ' && *c != '\n') {
				buf_add_char(&other, *c);
			}
			buf_add_text(&other, gap == 0 ? "" : gap == 1 ? "\r\n " : "\t");
		}
		trace_release(&trace);
		add(buf_span(&other), NOW);
		unit_assert_status(trace_verify(&trace, &site, &message, SPAN("1B2")), CX_OK, "verify");
		unit_assert_status(has(objects[3]), CX_OK, other.data);
		buf_release(&other);
	}
}
END_TEST

/* What stands before the cut counts, and never more. */
START_TEST(cut_anywhere_it_names_what_is_whole)
{
	size_t full = header.len, digits = 0;
	const char *tokens = strstr(header.data, "o=") + 2;

	for (header.len = 0; header.len <= full; header.len++) {
		size_t named = 0;

		if (header.data + header.len > tokens) {
			digits += strchr(" \n", header.data[header.len - 1]) == NULL;
		}
		(void)read_back(NOW);
		for (size_t i = 0; i < 4; i++) {
			named += has(objects[i]) == CX_OK;
		}
		/* The first is the header's own. */
		ck_assert_uint_eq(named, digits / 22 > 0 ? digits / 22 - 1 : 0);
	}
	ck_assert_uint_eq(digits, (size_t)5 * 22);
	header.len = full;
}
END_TEST

START_TEST(what_follows_something_else_is_not_read)
{
	header.data[header.len - 30] = '!';
	ck_assert_uint_eq(read_back(NOW), 1);
	unit_assert_status(has(objects[1]), CX_OK, "before it");
	unit_assert_status(has(objects[2]), CX_NOTFOUND, "the one with it");
	unit_assert_status(has(objects[3]), CX_NOTFOUND, "behind it");
	header.data[header.len - 30] = '\0';
	ck_assert_uint_eq(read_back(NOW), 1);
	unit_assert_status(has(objects[0]), CX_OK, "before a NUL");
}
END_TEST

START_TEST(is_valid_for_seven_days)
{
	ck_assert_uint_eq(read_back(NOW + TRACE_MAX_AGE_S + 1), 0);
	ck_assert_uint_eq(read_back(NOW - DAY - 1), 0);
	ck_assert_uint_eq(read_back(NOW + TRACE_MAX_AGE_S), 1);
	ck_assert_uint_eq(read_back(NOW - DAY), 1);
}
END_TEST

START_TEST(of_another_time_organization_or_secret_it_names_nothing)
{
	char *digit = strstr(header.data, "3003");

	digit[3] = '4';
	ck_assert_uint_eq(read_back(NOW), 0);
	digit[3] = '3';
	site.organization = SPAN("acm");
	ck_assert_uint_eq(read_back(NOW), 0);
	site.organization = SPAN("acme");
	secrets_init(secrets);
	ck_assert(secrets_add(secrets, SPAN("another")));
	ck_assert_uint_eq(read_back(NOW), 0);
	ck_assert(secrets_add(secrets, SPAN("tops3cret")));
	ck_assert_uint_eq(read_back(NOW), 1);
	unit_assert_status(has(objects[0]), CX_OK, "the old secret still verifies");
	unit_assert_status(has(stranger), CX_NOTFOUND, "and nothing else");
	make(1);
	unit_assert_status(trace_verify(&trace, &site, &message, SPAN("1B2")), CX_OK, "verify");
	ck_assert_msg(!strstr(header.data, "tops3cret"), "a secret is told");
	/* The first signs. */
	secrets->count = 1;
	ck_assert_uint_eq(read_back(NOW), 1);
}
END_TEST

START_TEST(tokens_of_a_genuine_one_cannot_be_added_to)
{
	struct buf longer;

	buf_init(&longer);
	buf_add_span(&longer, buf_span(&header));
	make(1);
	buf_add_text(&longer, " AAAAAAAAAAAAAAAAAAAAAA");
	trace_release(&trace);
	add(buf_span(&longer), NOW);
	unit_assert_status(trace_verify(&trace, &site, &message, SPAN("1B2")), CX_OK, "verify");
	unit_assert_status(has(objects[3]), CX_OK, "its own");
	unit_assert_status(has(stranger), CX_NOTFOUND, "another");
	/* The header's own token is not that of an object. */
	ck_assert_uint_eq(read_back(NOW), 1);
	unit_assert_status(has(objects[1]), CX_NOTFOUND, "not expanded");
	buf_release(&longer);
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
		"acme; t=1795313003; q=; o=",
		"acme; t=1795313003; q=; o= ",
		"acme; t=1795313003; q=; o=short",
		"acme; t=1795313003; q=; o=aaaaaaaaaaaaaaaaaaaaa!",
		"acme; t=1795313003; q=; o=!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=-1; q=; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=9999999999999; q=; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=1795313003 x; q=; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; T=1795313003; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=1795313003; q=; x=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=1795313003; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme; t=1795313003; 4F1A; o=aaaaaaaaaaaaaaaaaaaaaa",
		"acme t=1795313003; q=; o=aaaaaaaaaaaaaaaaaaaaaa",
	};

	for (int i = 0; i < ROWS(rows); i++) {
		add(unit_text(rows[i]), NOW);
		ck_assert_msg(trace.part_count == 0, "%s", rows[i]);
	}
}
END_TEST

START_TEST(strangers_hide_none_and_have_none)
{
	static const char forged[] = "acme; t=1795313003; q=; o=aaaaaaaaaaaaaaaaaaaaaa";

	for (int i = 0; i < 3 * TRACE_HEADERS_MAX; i++) {
		add(SPAN(forged), NOW);
	}
	add(buf_span(&header), NOW);
	for (int i = 1; i < TRACE_HEADERS_MAX; i++) {
		add(SPAN(forged), NOW);
	}
	/* Of another organization: they take no room. */
	for (int i = 0; i < 3 * TRACE_HEADERS_MAX; i++) {
		add(SPAN("other; t=1795313003; q=; o=aaaaaaaaaaaaaaaaaaaaaa"), NOW);
	}
	ck_assert_uint_eq(trace.part_count, TRACE_HEADERS_MAX);
	unit_assert_status(trace_verify(&trace, &site, &message, SPAN("1B2")), CX_OK, "verify");
	ck_assert_uint_eq(trace.part_count, 1);
	unit_assert_status(has(objects[0]), CX_OK, "genuine");
}
END_TEST

START_TEST(is_bounded_in_headers_and_tokens)
{
	struct buf many;
	size_t count = TRACE_WRITTEN_MAX + 100;
	uint8_t(*ids)[TRACE_OBJECT_SIZE] = calloc(count, sizeof(*ids));

	ck_assert_ptr_nonnull(ids);
	for (size_t i = 0; i < count; i++) {
		ids[i][0] = 1;
		memcpy(ids[i] + 1, &i, sizeof(i));
	}
	buf_init(&many);
	ck_assert_int_eq(trace_make(&site, &message, NOW, queue_id,
			     (const uint8_t(*)[TRACE_OBJECT_SIZE])ids, count, &many),
	    CX_OK);
	ck_assert_uint_le(many.len, 20000);
	/* However much is behind it. */
	for (int i = 0; i < 4000; i++) {
		buf_add_text(&many, " AAAAAAAAAAAAAAAAAAAAAA");
	}
	for (int i = 0; i < 2 * TRACE_HEADERS_MAX; i++) {
		add(buf_span(&many), NOW);
	}
	unit_assert_status(trace_verify(&trace, &site, &message, SPAN("1B2")), CX_OK, "verify");
	ck_assert_uint_eq(trace.part_count, TRACE_HEADERS_MAX);
	ck_assert_uint_eq(trace.parts[0].count, 1 + TRACE_WRITTEN_MAX);
	unit_assert_status(has(ids[TRACE_WRITTEN_MAX - 1]), CX_OK, "the last");
	unit_assert_status(has(ids[TRACE_WRITTEN_MAX]), CX_NOTFOUND, "one too many");
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
	tcase_add_test(tcase, without_an_id_it_is_bound_to_date_and_author);
	tcase_add_test(tcase, of_the_same_passage_it_says_nothing);
	tcase_add_test(tcase, sent_again_it_is_another_message);
	tcase_add_test(tcase, survives_another_folding);
	tcase_add_test(tcase, cut_anywhere_it_names_what_is_whole);
	tcase_add_test(tcase, what_follows_something_else_is_not_read);
	tcase_add_test(tcase, is_valid_for_seven_days);
	tcase_add_test(tcase, of_another_time_organization_or_secret_it_names_nothing);
	tcase_add_test(tcase, tokens_of_a_genuine_one_cannot_be_added_to);
	tcase_add_test(tcase, what_does_not_parse_is_left_out);
	tcase_add_test(tcase, strangers_hide_none_and_have_none);
	tcase_add_test(tcase, is_bounded_in_headers_and_tokens);
	suite_add_tcase(suite, tcase);
	return suite;
}
