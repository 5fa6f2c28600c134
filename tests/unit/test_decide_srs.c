/* What the decision says of addresses in the domain of SRS (SPEC section 9). */
#include "config.h"

#include "decide/route.h"
#include "forward/hop.h"
#include "forward/srs.h"
#include "tests/unit/org.h"
#include "tests/unit/signing.h"
#include "tests/unit/unit.h"

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

#define SRS "srs.acme.example"

static struct org org;
static struct resolution resolution;

static void setup(void)
{
	signing_setup();
	org_open(&org);
	org_put_domain(&org);
	org_put_mailbox(&org, "adam");
	org_put(&org, RECORD_RECIPIENT, RECIPIENT_REQUIRE_AUTH, TAG_DN, "uid=closed,dc=acme",
	    TAG_MAIL, "closed@acme.example", 0);
	org_look(&org);
	org.settings.srs_domain = SRS;
	org.settings.srs_hop = "hop:[127.0.0.1]:27";
	org.settings.srs_max_age_s = 21 * 86400;
	org.view.srs_secrets = signing_secrets;
}

static void teardown(void)
{
	org_close(&org);
	signing_teardown();
}

static struct address sender_of(const char *text)
{
	struct address sender = signing_address(text), out;

	ck_assert_int_eq(srs_forward(signing_secrets, &sender, SPAN(SRS), ORG_NOW, &out), CX_OK);
	return out;
}

static struct address hop_of(const char *text)
{
	struct address target = signing_address(text), out;

	ck_assert_int_eq(hop_wrap(signing_secrets, &target, SPAN(SRS), ORG_NOW, &out), CX_OK);
	return out;
}

/* `client`: its address; NULL: anyone. */
static void ask(const struct address *address, bool is_sender_empty, const char *client)
{
	struct question question = { .address = address, .want_deliveries = true,
		.want_steps = true, .is_sender_empty = is_sender_empty };

	question.client.is_anyone = client == NULL;
	question.client.has_ip =
	    client != NULL && ip_parse(span_of(client), &question.client.ip) == CX_OK;
	org.arena.used = 0;
	ck_assert_int_eq(resolve(&org.view, &question, &org.arena, &resolution), CX_OK);
}

static void assert_delivers(const char *address, const char *label)
{
	ck_assert_msg(resolution.verdict == VERDICT_DELIVER, "%s: %s", label,
	    verdict_text(resolution.verdict));
	ck_assert_int_eq(resolution.rule, RULE_SRS);
	ck_assert_uint_eq(resolution.delivery_count, 1);
	unit_assert_span(resolution.deliveries[0].address, address, label);
	ck_assert_int_eq(resolution.deliveries[0].kind, DELIVERY_REDIRECT);
}

static void assert_verdict(enum verdict verdict, const char *label)
{
	ck_assert_msg(resolution.verdict == verdict, "%s: %s", label,
	    verdict_text(resolution.verdict));
	ck_assert(resolution.is_ours);
	ck_assert_uint_eq(resolution.delivery_count, 0);
}

START_TEST(a_bounce_goes_to_the_sender)
{
	struct address srs = sender_of("carol@partner.example");

	ask(&srs, true, "192.0.2.1");
	assert_delivers("carol@partner.example", "empty sender");
	ck_assert(resolution.deliveries[0].is_foreign);
	ck_assert(!resolution.deliveries[0].is_unchanged);
	ask(&srs, false, NULL);
	assert_delivers("carol@partner.example", "the map of recipients");
	ask(&srs, false, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "another sender");
	ask(&srs, false, "127.0.0.1");
	assert_verdict(VERDICT_UNKNOWN, "another sender from here");
}
END_TEST

/* It was none of ours when it was rewritten. */
START_TEST(a_sender_that_is_ours_now_is_resolved_in_turn)
{
	struct address srs = sender_of("adam@acme.example");

	ask(&srs, true, "192.0.2.1");
	assert_delivers("adam@acme.example", "ours");
	srs = sender_of("nobody@acme.example");
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "nobody of ours");
	srs = sender_of("closed@acme.example");
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_DENIED, "closed to strangers");
}
END_TEST

/* Mail that came through here twice; and an address that a stranger made us sign. */
START_TEST(a_later_address_leads_to_what_the_first_is)
{
	struct address first = sender_of("carol@partner.example"), srs;
	char memory[ADDRESS_PRINT_MAX];
	struct buf text;

	buf_init_fixed(&text, memory, sizeof(memory));
	buf_printf(&text, "SRS1=abcd=" SRS "=%s@elsewhere.example", first.local + 4);
	srs = sender_of(text.data);
	ask(&srs, true, "192.0.2.1");
	assert_delivers("carol@partner.example", "ours, by way of others");
	ask(&srs, false, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "another sender");
	srs = sender_of("SRS1=abcd=" SRS "==abcd=JL=partner.example=carol@elsewhere.example");
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "forged by way of others");
	srs = sender_of("SRS1=abcd=acme.example=+adam@elsewhere.example");
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "nobody of ours by way of others");
}
END_TEST

START_TEST(the_hop_is_for_this_machine)
{
	static const struct {
		const char *client;
		bool may;
	} rows[] = { { "127.0.0.1", true }, { "127.9.9.9", true }, { "::1", true },
		{ "192.0.2.1", false }, { "2001:db8::1", false }, { "::", false } };
	struct address hop = hop_of("eve@outside.example");

	for (size_t i = 0; i < ROWS(rows); i++) {
		ask(&hop, false, rows[i].client);
		if (rows[i].may) {
			assert_delivers("eve@outside.example", rows[i].client);
		} else {
			assert_verdict(VERDICT_UNKNOWN, rows[i].client);
		}
		/* A bounce is no reason. */
		ask(&hop, true, rows[i].client);
		ck_assert_int_eq(resolution.verdict == VERDICT_DELIVER, rows[i].may);
	}
}
END_TEST

START_TEST(what_is_not_genuine_is_nobody)
{
	static const char *const rows[] = { "SRS0=aaaa=AA=x.example=y@" SRS, "SRS0=@" SRS,
		"SRS1=aaaa=x.example==a@" SRS, "HOP0=@" SRS,
		"HOP0=0123456789abcdef01234567=11=x.example=y@" SRS, "anybody@" SRS,
		"IMCEASMTP-y+40x+2Eexample@" SRS, "y%x.example@" SRS };

	for (size_t i = 0; i < ROWS(rows); i++) {
		struct address address = signing_address(rows[i]);

		ask(&address, true, "127.0.0.1");
		assert_verdict(VERDICT_UNKNOWN, rows[i]);
		ask(&address, true, NULL);
		assert_verdict(VERDICT_UNKNOWN, rows[i]);
	}
}
END_TEST

START_TEST(age_and_ignorance)
{
	struct address srs = sender_of("carol@partner.example");

	org.view.now = ORG_NOW + 23 * 86400;
	org.settings.max_staleness_s = org.settings.unknown_defer_after_s = 99 * 86400;
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "expired");
	org.settings.unknown_defer_after_s = 60;
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNAVAILABLE, "expired, and nobody may be refused");
	org.view.now = ORG_NOW;
	org.view.srs_secrets = NULL;
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNAVAILABLE, "no secret");
}
END_TEST

START_TEST(without_srs_the_domain_is_not_ours)
{
	struct address srs = sender_of("carol@partner.example");

	org.settings.srs_domain = NULL;
	ask(&srs, true, "192.0.2.1");
	ck_assert_int_eq(resolution.verdict, VERDICT_FOREIGN);
}
END_TEST

/* In a domain that has recipients too. */
START_TEST(an_object_that_has_the_address_comes_first)
{
	struct address srs;

	org_put_mailbox(&org, "srs0=aaaa=aa=x.example=y");
	org_look(&org);
	org.view.srs_secrets = signing_secrets;
	org.settings.srs_domain = "acme.example";
	srs = signing_address("SRS0=aaaa=AA=x.example=y@acme.example");
	ask(&srs, false, "192.0.2.1");
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_int_eq(resolution.rule, RULE_MAILBOX);
	srs = signing_address("adam@acme.example");
	ask(&srs, false, "192.0.2.1");
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	srs = signing_address("SRS0+x@acme.example"); /* not SRS0 with an extension */
	ask(&srs, true, "192.0.2.1");
	assert_verdict(VERDICT_UNKNOWN, "forged");
}
END_TEST

static void assert_route(const struct address *address, enum status status, const char *hop)
{
	char memory[NEXT_HOP_MAX];
	struct buf out;

	buf_init_fixed(&out, memory, sizeof(memory));
	unit_assert_status(route(&org.view, address, &out, NULL), status, address->local);
	if (status == CX_OK) {
		unit_assert_span(buf_span(&out), hop, address->local);
	}
}

START_TEST(what_is_genuine_goes_by_the_hop)
{
	struct address srs = sender_of("carol@partner.example");
	struct address hop = hop_of("eve@outside.example");
	struct address forged = signing_address("HOP0=0123456789abcdef01234567=11=x.example=y@" SRS);

	assert_route(&srs, CX_OK, "hop:[127.0.0.1]:27");
	assert_route(&hop, CX_OK, "hop:[127.0.0.1]:27");
	/* It waits: the secret may have been lost. */
	assert_route(&forged, CX_EINVAL, NULL);
	org.settings.srs_hop = "";
	assert_route(&hop, CX_EINVAL, NULL);
	/* A bounce may go to another server of ours. */
	assert_route(&srs, CX_NOTFOUND, NULL);
	org.settings.srs_hop = "hop:[127.0.0.1]:27";
	org.view.srs_secrets = NULL;
	assert_route(&hop, CX_ETEMP, NULL);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("decide srs");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_bounce_goes_to_the_sender);
	tcase_add_test(tcase, a_sender_that_is_ours_now_is_resolved_in_turn);
	tcase_add_test(tcase, a_later_address_leads_to_what_the_first_is);
	tcase_add_test(tcase, the_hop_is_for_this_machine);
	tcase_add_test(tcase, what_is_not_genuine_is_nobody);
	tcase_add_test(tcase, age_and_ignorance);
	tcase_add_test(tcase, without_srs_the_domain_is_not_ours);
	tcase_add_test(tcase, an_object_that_has_the_address_comes_first);
	tcase_add_test(tcase, what_is_genuine_goes_by_the_hop);
	suite_add_tcase(suite, tcase);
	return suite;
}
