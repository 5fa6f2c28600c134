/* Senders by SRS: one change for a message that leaves whole, the hop for the rest. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "forward/hop.h"
#include "forward/srs.h"
#include "milter/counts.h"
#include "milter/sender.h"
#include "tests/unit/signing.h"
#include "tests/unit/unit.h"

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

#define NOW 1700000000
#define SRS SPAN("srs.acme.example")

static struct envelope envelope;
static struct plan plan;
static struct address sender;

static void setup(void)
{
	signing_setup();
	envelope_init(&envelope);
	envelope_begin(&envelope, MTA_POSTFIX, false);
	plan_init(&plan);
	sender = signing_address("carol@partner.example");
}

static void teardown(void)
{
	plan_release(&plan);
	envelope_release(&envelope);
	signing_teardown();
}

/* How the delivery leaves: 'f' foreign, 'h' foreign with a next hop, 'o' ours. */
static void add(const char *typed, const char *to, char how)
{
	struct dsn dsn = { 0 };
	struct envelope_entry entry = { .typed = span_of(typed), .dsn = &dsn,
		.text = span_of(typed) };
	struct delivery delivery = { .kind = DELIVERY_REDIRECT };
	struct resolution resolution = { .verdict = VERDICT_DELIVER,
		.object = SPAN("uid=x"), .deliveries = &delivery, .delivery_count = 1 };
	struct address address;
	struct key key, own;

	ck_assert_int_eq(address_parse_internal(span_of(typed), &address), CX_OK);
	address_key(&address, &own);
	entry.key = key_span(&own);
	if (to == NULL) {
		ck_assert_int_eq(envelope_add_untouched(&envelope, &entry), CX_OK);
		return;
	}
	ck_assert_int_eq(address_parse_path(span_of(to), &address), CX_OK);
	address_key(&address, &key);
	delivery.key = key_span(&key);
	delivery.address = span_of(to);
	delivery.is_foreign = how != 'o';
	delivery.next_hop = how == 'h' ? SPAN("smtp:[x]") : SPAN("");
	ck_assert_int_eq(envelope_add(&envelope, &entry, &resolution, 100), CX_OK);
}

static enum sender_fate rewrite(bool has_hop, struct buf *text)
{
	const struct sender_rule rule = { .secrets = signing_secrets, .domain = SRS,
		.has_hop = has_hop, .now_s = NOW };
	enum sender_fate fate;

	ck_assert_int_eq(plan_make(&envelope, &plan), CX_OK);
	ck_assert_uint_gt(plan.leaving_count, 0);
	ck_assert_int_eq(sender_rewrite(&plan, &sender, &rule, &fate, text), CX_OK);
	return fate;
}

START_TEST(a_message_that_leaves_whole_gets_one_sender)
{
	static struct counts counts;
	char memory[ADDRESS_PRINT_MAX];
	struct address srs, back;
	struct buf text;
	const struct edit *last;

	buf_init_fixed(&text, memory, sizeof(memory));
	add("a@acme.example", "x@pop.example", 'f');
	add("b@acme.example", "y@pop.example", 'f');
	ck_assert_int_eq(rewrite(true, &text), SENDER_CHANGED);
	last = &plan.edits[plan.count - 1];
	ck_assert_int_eq(last->kind, EDIT_SENDER);
	ck_assert_int_eq(address_parse_path(span_of(last->address), &srs), CX_OK);
	ck_assert_int_eq(srs_reverse(signing_secrets, &srs, NOW, 86400, &back), CX_OK);
	ck_assert_str_eq(back.local, "carol");
	ck_assert_str_eq(plan.edits[0].address, "<x@pop.example>");
	ck_assert_str_eq(plan.edits[1].address, "<y@pop.example>");
	counts_add_edits(&counts, &plan);
	ck_assert_uint_eq(counter_value(&counts.edits[EDIT_SENDER]), 1);
	ck_assert_uint_eq(counter_value(&counts.edits[EDIT_ADD]), 2);
}
END_TEST

/* How the second recipient stays. */
static const struct {
	const char *label;
	const char *typed;
	const char *to;
	char how;
} staying[] = {
	{ "untouched", "joe@else.example", NULL, 0 },
	{ "ours", "b@acme.example", "c@acme.example", 'o' },
	{ "by a connector", "b@acme.example", "c@old.example", 'h' },
};

START_TEST(who_leaves_beside_others_goes_by_the_hop)
{
	struct address wrapped, out;
	struct buf text;

	buf_init(&text);
	add("a@acme.example", "x@pop.example", 'f');
	add(staying[_i].typed, staying[_i].to, staying[_i].how);
	ck_assert_int_eq(rewrite(true, &text), SENDER_BY_HOP);
	ck_assert_int_eq(address_parse_path(span_of(plan.edits[0].address), &wrapped), CX_OK);
	ck_assert_int_eq(hop_unwrap(signing_secrets, &wrapped, NOW, &out), CX_OK);
	ck_assert_str_eq(out.local, "x");
	for (size_t i = 1; i < plan.count; i++) {
		ck_assert_int_ne(plan.edits[i].kind, EDIT_SENDER);
		ck_assert_ptr_null(strstr(plan.edits[i].address, "HOP0"));
	}
	ck_assert_int_eq(rewrite(false, &text), SENDER_NO_HOP);
	ck_assert_str_eq(plan.edits[0].address, "<x@pop.example>");
	buf_release(&text);
}
END_TEST

/* What the client itself named is not forwarded by us. */
START_TEST(who_is_named_stays)
{
	add("a@acme.example", "x@pop.example", 'f');
	add("x@pop.example", NULL, 0);
	ck_assert_int_eq(plan_make(&envelope, &plan), CX_OK);
	ck_assert_uint_eq(plan.leaving_count, 0);
	ck_assert(plan.has_staying);
}
END_TEST

START_TEST(what_grows_too_long_keeps_its_sender)
{
	char local[ADDRESS_LOCAL_MAX + 1];
	struct buf text;

	memset(local, 'a', sizeof(local) - 1);
	local[sizeof(local) - 1] = '\0';
	ck_assert_int_eq(address_make("smtp", span_of(local), SPAN("partner.example"), &sender), CX_OK);
	buf_init(&text);
	add("a@acme.example", "x@pop.example", 'f');
	ck_assert_int_eq(rewrite(true, &text), SENDER_TOO_LONG);
	for (size_t i = 0; i < plan.count; i++) {
		ck_assert_int_ne(plan.edits[i].kind, EDIT_SENDER);
	}
	buf_release(&text);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter sender");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_message_that_leaves_whole_gets_one_sender);
	tcase_add_loop_test(tcase, who_leaves_beside_others_goes_by_the_hop, 0, ROWS(staying));
	tcase_add_test(tcase, who_is_named_stays);
	tcase_add_test(tcase, what_grows_too_long_keeps_its_sender);
	suite_add_tcase(suite, tcase);
	return suite;
}
