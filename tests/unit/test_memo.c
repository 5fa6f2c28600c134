#include "config.h"

#include "policyd/memo.h"
#include "small_site.h"
#include "unit.h"

/* A question of its own kind in each way that counts. */
struct asked {
	const char *address;
	int64_t now;
	bool is_sender_empty;
	struct client client;
	bool want_steps;
};

static const struct asked first = { .address = "all@acme.example", .now = 1000 };

static void put(struct memo *memo, struct small_site *site, const struct asked *asked,
    size_t entered, struct span object, const struct resolution **found)
{
	struct address address;
	struct view view = site->view;
	struct question question = { .address = &address,
		.client = asked->client,
		.is_sender_empty = asked->is_sender_empty,
		.want_steps = asked->want_steps };

	ck_assert_int_eq(address_parse_internal(unit_text(asked->address), &address),
	    CX_OK);
	view.now = asked->now;
	if (found != NULL) {
		*found = memo_find(memo, &view, &question);
		return;
	}
	memo_keep(memo, &view, &question,
	    &(struct resolution){ .verdict = VERDICT_PARKED,
		.rule = RULE_PARKED,
		.is_ours = true,
		.is_known = true,
		.object = object,
		.deliveries = (const struct delivery[]){ { .is_foreign = true } },
		.delivery_count = 1,
		.entered = entered });
}

static const struct resolution *find(struct memo *memo, struct small_site *site,
    const struct asked *asked)
{
	const struct resolution *found;

	put(memo, site, asked, 0, SPAN(""), &found);
	return found;
}

START_TEST(the_same_question_has_the_same_answer)
{
	static struct memo memo;
	struct small_site site;
	const struct asked spelled = { .address = "ALL@Acme.Example", .now = 1000 };
	const struct resolution *found;

	small_site_init(&site, NULL);
	put(&memo, &site, &first, MEMO_ENTERED_MIN, unit_text("cn=all"), NULL);
	found = find(&memo, &site, &spelled);
	ck_assert_ptr_nonnull(found);
	ck_assert_int_eq(found->verdict, VERDICT_PARKED);
	ck_assert_int_eq(found->rule, RULE_PARKED);
	ck_assert(found->is_ours && found->is_known);
	unit_assert_span(found->object, "cn=all", "object");
	ck_assert_ptr_null(found->deliveries);
	ck_assert_uint_eq(found->delivery_count, 0);
	memo_clear(&memo);
	ck_assert_ptr_null(find(&memo, &site, &first));
	small_site_free(&site);
}
END_TEST

/* clang-format off */
static const struct {
	const char *label;
	struct asked asked;
} others[] = {
	{ "address",     { .address = "al@acme.example", .now = 1000 } },
	{ "domain",      { .address = "all@acme.exampl", .now = 1000 } },
	{ "second",      { .address = "all@acme.example", .now = 1001 } },
	{ "sender",      { .address = "all@acme.example", .now = 1000, .is_sender_empty = true } },
	{ "client",      { .address = "all@acme.example", .now = 1000, .client = { .has_ip = true } } },
	{ "login",       { .address = "all@acme.example", .now = 1000, .client = { .is_authenticated = true } } },
	{ "permission",  { .address = "all@acme.example", .now = 1000, .client = { .may_relay = true } } },
	{ "anyone",      { .address = "all@acme.example", .now = 1000, .client = { .is_anyone = true } } },
	{ "steps",       { .address = "all@acme.example", .now = 1000, .want_steps = true } },
};
/* clang-format on */

START_TEST(another_question_has_none)
{
	static struct memo memo;
	struct small_site site;

	small_site_init(&site, NULL);
	put(&memo, &site, &first, MEMO_ENTERED_MIN, SPAN(""), NULL);
	ck_assert_msg(find(&memo, &site, &others[_i].asked) == NULL, "%s",
	    others[_i].label);
	ck_assert_ptr_nonnull(find(&memo, &site, &first));
	small_site_free(&site);
}
END_TEST

START_TEST(addresses_of_clients_are_told_apart)
{
	static struct memo memo;
	struct small_site site;
	struct asked one = first, other = first;

	one.client.has_ip = other.client.has_ip = true;
	one.client.ip.bytes[15] = 1;
	other.client.ip.bytes[15] = 2;
	small_site_init(&site, NULL);
	put(&memo, &site, &one, MEMO_ENTERED_MIN, SPAN(""), NULL);
	ck_assert_ptr_null(find(&memo, &site, &other));
	ck_assert_ptr_nonnull(find(&memo, &site, &one));
	small_site_free(&site);
}
END_TEST

START_TEST(keeps_what_took_long_and_fits)
{
	static struct memo memo;
	struct small_site site;
	const struct asked encapsulated = { .address = "imceams-a@acme.example",
		.now = 1000 };
	struct small_site empty;

	small_site_init(&site, NULL);
	put(&memo, &site, &first, MEMO_ENTERED_MIN - 1, SPAN(""), NULL);
	ck_assert_ptr_null(find(&memo, &site, &first));
	put(&memo, &site, &first, MEMO_ENTERED_MIN,
	    unit_text(unit_repeat('x', MEMO_OBJECT_MAX + 1)), NULL);
	ck_assert_ptr_null(find(&memo, &site, &first));
	put(&memo, &site, &encapsulated, MEMO_ENTERED_MIN, SPAN(""), NULL);
	ck_assert_ptr_null(find(&memo, &site, &encapsulated));
	put(&memo, &site, &first, MEMO_ENTERED_MIN,
	    unit_text(unit_repeat('x', MEMO_OBJECT_MAX)), NULL);
	ck_assert_ptr_nonnull(find(&memo, &site, &first));
	small_site_init_empty(&empty);
	ck_assert_ptr_null(find(&memo, &empty, &first));
	small_site_free(&empty);
	small_site_free(&site);
}
END_TEST

START_TEST(the_oldest_goes_first)
{
	static struct memo memo;
	struct small_site site;
	struct asked next = first;

	small_site_init(&site, NULL);
	for (int64_t i = 0; i <= MEMO_ROWS; i++) {
		next.now = 1000 + i;
		put(&memo, &site, &next, MEMO_ENTERED_MIN, SPAN(""), NULL);
	}
	ck_assert_ptr_null(find(&memo, &site, &first));
	ck_assert_ptr_nonnull(find(&memo, &site, &next));
	next.now = 1001;
	ck_assert_ptr_nonnull(find(&memo, &site, &next));
	small_site_free(&site);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("memo");
	TCase *tcase = tcase_create("memo");

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, the_same_question_has_the_same_answer);
	tcase_add_loop_test(tcase, another_question_has_none, 0,
	    sizeof(others) / sizeof(others[0]));
	tcase_add_test(tcase, addresses_of_clients_are_told_apart);
	tcase_add_test(tcase, keeps_what_took_long_and_fits);
	tcase_add_test(tcase, the_oldest_goes_first);
	return suite;
}
