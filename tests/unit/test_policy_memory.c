/*
 * Policy and maps without memory: whatever allocation fails, the answer is the one that it would be
 * otherwise, or temporary. Addresses beyond ASCII are what takes memory in a decision.
 */
#include "config.h"

#include <string.h>

#include "make_record.h"
#include "org.h"
#include "policyd/maps.h"
#include "policyd/policy.h"
#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "tests/support/no_memory.h"
#include "unit.h"

#define U_UE "\xc3\xbc"
#define U_O  "\xc3\xb6"

/* clang-format off */
static const struct ask {
	const char *map; /* NULL: the policy */
	const char *what; /* recipient, or key */
	const char *login, *sender;
	const char *expected;
} asks[] = {
	{ NULL, "x@elsewhere.example", "r" U_O "b@b" U_UE "cher.example",
	    "r" U_O "b@b" U_UE "cher.example", "action=OK\n\n" },
	{ NULL, "bob@acme.example", "r" U_O "b@b" U_UE "cher.example", "n" U_O "@acme.example",
	    "action=553 5.7.1 " },
	{ NULL, "nobody@b" U_UE "cher.example", "", "me@elsewhere.example", "action=550 5.1.1 " },
	{ NULL, "x%b" U_UE "cher.example@elsewhere.example", "", "me@elsewhere.example",
	    "action=501 5.1.3 " },
	{ NULL, "IMCEAMS-A_B_c+C3+B6@acme.example", "bob", "bob@acme.example", "action=DUNNO\n\n" },
	{ NULL, "IMCEASMTP-x+40m+C3+BCller+2Eexample@relay.example", "", "me@elsewhere.example",
	    "action=550 5.1.1 " },
	{ NULL, "j" U_O "rg+x@acme.example", "", "me@elsewhere.example", "action=DUNNO\n\n" },
	{ "transport", "IMCEAMS-A_B_c+C3+B6@acme.example", "", "", "relay:[192.0.2.1]" },
	{ "transport", "j" U_O "rg@old.example", "", "", "smtp:[192.0.2.7]" },
	{ "recipients", "j" U_O "rg@acme.example", "", "", "OK" },
	{ "recipients", "nobody@b" U_UE "cher.example", "", "", "not found" },
	{ "domains", "b" U_UE "cher.example", "", "", "shared" },
	{ "login", "r" U_O "b@b" U_UE "cher.example", "", "",
	    "r" U_O "b, r" U_O "b@xn--bcher-kva.example, j" U_O "rg@acme.example" },
	{ "primary", "\"r" U_O "b+x\"@b" U_UE "cher.example", "", "",
	    "r" U_O "b+x@xn--bcher-kva.example" },
	{ "primary", "j" U_O "rg+x@acme.example", "", "", "r" U_O "b+x@xn--bcher-kva.example" },
};
/* clang-format on */
#define ASKS ((int)(sizeof(asks) / sizeof(asks[0])))

static struct org org;
static struct workspace workspace;

static void set_up(void)
{
	org_open(&org);
	org.settings.enforce_sender = true;
	org.settings.authenticated_relay = AUTHENTICATED_RELAY_DIRECTORY;
	org_put_domain(&org);
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, "dc=books", TAG_DOMAIN,
	    "xn--bcher-kva.example", TAG_DOMAIN_TYPE, "2", TAG_UNKNOWN, "1", 0);
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, "dc=relay", TAG_DOMAIN, "relay.example",
	    TAG_DOMAIN_TYPE, "3", TAG_UNKNOWN, "1", 0);
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, "dc=old", TAG_DOMAIN, "old.example",
	    TAG_DOMAIN_TYPE, "4", TAG_UNKNOWN, "1", TAG_REWRITE_DOMAIN,
	    "m" U_UE "ller.example", 0);
	org_put_mailbox(&org, "bob");
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "uid=rob,dc=acme", TAG_PRIMARY,
	    "r" U_O "b@xn--bcher-kva.example", TAG_PROXY, "j" U_O "rg@acme.example",
	    TAG_LOGIN, "r" U_O "b", 0);
	org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, "cn=po", TAG_NAME, "po",
	    TAG_NEXT_HOP, "relay:[192.0.2.1]", TAG_SPACE, "MS:A/B/*", 0);
	org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, "cn=m", TAG_NAME, "m", TAG_NEXT_HOP,
	    "smtp:[192.0.2.7]", TAG_SPACE, "SMTP:xn--mller-kva.example", 0);
	org_look(&org);
	ck_assert_int_eq(workspace_init(&workspace), CX_OK);
}

static void tear_down(void)
{
	workspace_release(&workspace);
	org_close(&org);
}

static void add(struct buf *out, enum map_status status)
{
	if (status == MAP_NOT_FOUND) {
		buf_add_text(out, "not found");
	} else if (status != MAP_FOUND) {
		buf_clear(out);
		buf_add_text(out, "temporary");
	}
}

/* The answer, with the allocation `fails_at`, and all behind it; 0: none. Their number. */
static unsigned long play(const struct ask *ask, unsigned long fails_at, bool lasts,
    struct buf *out)
{
	const struct policy_request request = { .protocol_state = SPAN("RCPT"),
		.client_address = SPAN("192.0.2.9"),
		.recipient = span_of(ask->what),
		.sasl_username = span_of(ask->login),
		.sender = span_of(ask->sender) };
	struct policy_answer answer;
	enum map_status status;

	buf_clear(out);
	no_memory_arm(fails_at, lasts);
	if (ask->map) {
		status = map_query(&org.view, span_of(ask->map), span_of(ask->what),
		    &workspace, out);
		add(out, status);
	} else {
		policy_decide(&org.view, &request, &workspace, &answer);
		policy_answer_print(&answer, out);
	}
	return no_memory_disarm();
}

static bool is_temporary(struct span text)
{
	return span_starts_with_case(text, SPAN("action=4")) ||
	       span_equal(text, SPAN("temporary"));
}

START_TEST(answers_for_the_time_being_for_want_of_memory)
{
	const struct ask *ask = &asks[_i];
	char memory[1000];
	unsigned long count;
	struct buf out;

	buf_init_fixed(&out, memory, sizeof(memory));
	(void)play(ask, 0, false, &out);
	count = play(ask, 0, false, &out);
	ck_assert_msg(span_starts_with_case(buf_span(&out), span_of(ask->expected)),
	    "%s: %s", ask->what, memory);
	ck_assert_uint_gt(count, 0);
	for (unsigned long n = 2; n < 2 * count + 2; n++) {
		(void)play(ask, n / 2, n % 2, &out);
		ck_assert_msg(is_temporary(buf_span(&out)) ||
				  span_starts_with_case(buf_span(&out),
				      span_of(ask->expected)),
		    "%s %s, %lu%s: %s", ask->map ? ask->map : "policy", ask->what,
		    n / 2, n % 2 ? "-" : "", memory);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("policy_memory");
	TCase *tcase = tcase_create("faults");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, answers_for_the_time_being_for_want_of_memory, 0,
	    ASKS);
	suite_add_tcase(suite, tcase);
	return suite;
}
