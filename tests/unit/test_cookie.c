#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "syncd/cookie.h"
#include "unit.h"

#define T1 "20260102030405.000001Z#000000#"
#define T2 "20260102030405.000002Z#000000#"
#define T3 "20270102030405.000000Z#000000#"
#define M  "#000000"

/* clang-format off */
static const struct {
	const char *label;
	const char *text;
	enum cookie_kind kind;
	const char *sent; /* NULL: none */
} kinds[] = {
	{ "nothing", "", COOKIE_EMPTY, NULL },
	{ "one server", "rid=000,csn=" T1 "000" M, COOKIE_CSN, "rid=000,csn=" T1 "000" M },
	{ "sid is stripped", "rid=007,sid=001,csn=" T1 "001" M, COOKIE_CSN, "rid=000,csn=" T1 "001" M },
	{ "delcsn is dropped", "rid=000,csn=" T1 "001" M ",delcsn=" T2 "001" M, COOKIE_CSN, "rid=000,csn=" T1 "001" M },
	{ "order by server", "rid=000,csn=" T1 "00b" M ";" T2 "002" M, COOKIE_CSN, "rid=000,csn=" T2 "002" M ";" T1 "00b" M },
	{ "no csn", "rid=000,sid=002", COOKIE_NO_CSN, NULL },
	{ "no rid", "csn=" T1 "001" M, COOKIE_CSN, "rid=000,csn=" T1 "001" M },
	{ "empty csn", "rid=000,csn=", COOKIE_BAD, NULL },
	{ "csn cut short", "rid=000,csn=20260102030405.000001Z#000000#001#00000", COOKIE_BAD, NULL },
	{ "csn with a letter too many", "rid=000,csn=" T1 "001" M "0", COOKIE_BAD, NULL },
	{ "csn with no hexadecimal server", "rid=000,csn=" T1 "0x1" M, COOKIE_BAD, NULL },
	{ "trailing separator", "rid=000,csn=" T1 "001" M ";", COOKIE_BAD, NULL },
	{ "unknown part", "rid=000,xyz=1", COOKIE_BAD, NULL },
	{ "only the name", "rid=", COOKIE_NO_CSN, NULL },
	{ "389 directory server", "ldap1:389#cn=sync:dc=x:(mail=*)#4711", COOKIE_OPAQUE, "ldap1:389#cn=sync:dc=x:(mail=*)#4711" },
	{ "garbage", "\x01\x02", COOKIE_OPAQUE, "\x01\x02" },
	{ "a prefix of a name", "ri", COOKIE_OPAQUE, "ri" },
};

static const struct {
	const char *label;
	const char *ours, *theirs;
	const char *merged, *replaced;
} updates[] = {
	{ "first one", "", "rid=000,csn=" T1 "001" M,
	  "rid=000,csn=" T1 "001" M, "rid=000,csn=" T1 "001" M },
	{ "other server", "rid=000,csn=" T1 "001" M, "rid=000,sid=002,csn=" T2 "002" M,
	  "rid=000,csn=" T1 "001" M ";" T2 "002" M, "rid=000,csn=" T2 "002" M },
	{ "one of two servers", "rid=000,csn=" T1 "001" M ";" T1 "002" M, "rid=000,csn=" T3 "001" M,
	  "rid=000,csn=" T3 "001" M ";" T1 "002" M, "rid=000,csn=" T3 "001" M },
	{ "back in time", "rid=000,csn=" T3 "001" M, "rid=000,csn=" T1 "001" M,
	  "rid=000,csn=" T1 "001" M, "rid=000,csn=" T1 "001" M },
	{ "nothing new", "rid=000,csn=" T3 "001" M, "",
	  "rid=000,csn=" T3 "001" M, "rid=000,csn=" T3 "001" M },
	{ "no csn", "rid=000,csn=" T3 "001" M, "rid=000,sid=002",
	  "rid=000,csn=" T3 "001" M, "rid=000,csn=" T3 "001" M },
	{ "damaged", "rid=000,csn=" T3 "001" M, "rid=000,csn=x",
	  "rid=000,csn=" T3 "001" M, "rid=000,csn=" T3 "001" M },
	{ "opaque over opaque", "a#1", "a#2", "a#2", "a#2" },
	{ "opaque over CSN", "rid=000,csn=" T3 "001" M, "a#2", "a#2", "a#2" },
	{ "CSN over opaque", "a#2", "rid=000,csn=" T3 "001" M,
	  "rid=000,csn=" T3 "001" M, "rid=000,csn=" T3 "001" M },
};

static const struct {
	const char *label;
	const char *cookie, *csn;
	bool is_covered;
} covers[] = {
	{ "same", "rid=000,csn=" T2 "001" M, T2 "001" M, true },
	{ "older", "rid=000,csn=" T2 "001" M, T1 "001" M, true },
	{ "newer", "rid=000,csn=" T2 "001" M, T3 "001" M, false },
	{ "unknown server", "rid=000,csn=" T2 "001" M, T1 "002" M, false },
	{ "second server", "rid=000,csn=" T1 "001" M ";" T2 "002" M, T2 "002" M, true },
	{ "no CSN", "rid=000,csn=" T2 "001" M, "", false },
	{ "damaged CSN", "rid=000,csn=" T2 "001" M, "20260102030405Z", false },
	{ "no cookie", "", T1 "001" M, false },
	{ "opaque cookie", "a#1", T1 "001" M, false },
};
/* clang-format on */

/* An exact-size heap copy. */
static struct span copy(const char *text)
{
	size_t len = strlen(text);

	return (struct span){ unit_copy(text, len), len };
}

static void drop(struct span s)
{
	free((void *)(uintptr_t)s.ptr);
}

START_TEST(tells_kinds_apart_and_sends_no_server_id)
{
	struct span text = copy(kinds[_i].text);
	struct buf sent;
	bool is_sent;

	buf_init(&sent);
	ck_assert_msg(cookie_kind(text) == kinds[_i].kind, "%s", kinds[_i].label);
	is_sent = cookie_for_request(text, &sent);
	ck_assert_msg(is_sent == (kinds[_i].sent != NULL), "%s", kinds[_i].label);
	if (is_sent) {
		ck_assert_str_eq(sent.data, kinds[_i].sent);
	}
	buf_release(&sent);
	drop(text);
}
END_TEST

static void check_update(size_t i, bool is_merge, const char *expected)
{
	struct span theirs = copy(updates[i].theirs);
	struct buf ours;

	buf_init(&ours);
	buf_add_text(&ours, updates[i].ours);
	(is_merge ? cookie_merge : cookie_replace)(&ours, theirs);
	ck_assert_msg(span_equal(buf_span(&ours), span_of(expected)), "%s: %s",
	    updates[i].label, ours.data);
	buf_release(&ours);
	drop(theirs);
}

START_TEST(merges_by_server_in_the_persist_stage)
{
	check_update((size_t)_i, true, updates[_i].merged);
}
END_TEST

START_TEST(replaces_all_at_the_end_of_a_refresh)
{
	check_update((size_t)_i, false, updates[_i].replaced);
}
END_TEST

START_TEST(covers_what_is_not_newer_from_the_same_server)
{
	struct span cookie = copy(covers[_i].cookie), csn = copy(covers[_i].csn);

	ck_assert_msg(cookie_covers(cookie, csn) == covers[_i].is_covered, "%s",
	    covers[_i].label);
	drop(cookie);
	drop(csn);
}
END_TEST

START_TEST(collects_context_csns_and_compares_them)
{
	struct buf server;

	buf_init(&server);
	ck_assert(cookie_add_csn(&server, SPAN(T1 "001" M)));
	ck_assert(cookie_add_csn(&server, SPAN(T2 "002" M)));
	ck_assert(!cookie_add_csn(&server, SPAN("nonsense")));
	ck_assert_str_eq(server.data, "rid=000,csn=" T1 "001" M ";" T2 "002" M);
	ck_assert(cookie_covers_all(SPAN("rid=000,csn=" T3 "001" M ";" T2 "002" M),
	    buf_span(&server)));
	ck_assert(!cookie_covers_all(SPAN("rid=000,csn=" T3 "001" M ";" T1 "002" M),
	    buf_span(&server)));
	ck_assert(!cookie_covers_all(SPAN("rid=000,csn=" T3 "001" M),
	    buf_span(&server)));
	ck_assert(!cookie_covers_all(SPAN("a#1"), buf_span(&server)));
	buf_release(&server);
}
END_TEST

START_TEST(knows_the_newest_of_all_servers)
{
	struct span newest;

	ck_assert(cookie_newest(SPAN("rid=000,csn=" T1 "001" M ";" T3 "002" M ";" T2 "003" M),
	    &newest));
	ck_assert(span_equal(newest, SPAN(T3 "002" M)));
	ck_assert(!cookie_newest(SPAN("a#1"), &newest));
	ck_assert(!cookie_newest(SPAN(""), &newest));
	ck_assert(!cookie_newest(SPAN("rid=000,sid=001"), &newest));
}
END_TEST

START_TEST(takes_as_many_servers_as_the_limit_and_not_one_more)
{
	struct buf text;

	buf_init(&text);
	buf_add_text(&text, "rid=000,csn=");
	for (unsigned i = 0; i < COOKIE_SERVERS_MAX; i++) {
		buf_printf(&text, "%s" T1 "%03x" M, i ? ";" : "", i);
	}
	ck_assert(cookie_kind(buf_span(&text)) == COOKIE_CSN);
	buf_printf(&text, ";" T1 "%03x" M, (unsigned)COOKIE_SERVERS_MAX);
	ck_assert(cookie_kind(buf_span(&text)) == COOKIE_BAD);
	buf_release(&text);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("cookie");
	TCase *tc = tcase_create("cookie");

	tcase_add_loop_test(tc, tells_kinds_apart_and_sends_no_server_id, 0,
	    sizeof(kinds) / sizeof(kinds[0]));
	tcase_add_loop_test(tc, merges_by_server_in_the_persist_stage, 0,
	    sizeof(updates) / sizeof(updates[0]));
	tcase_add_loop_test(tc, replaces_all_at_the_end_of_a_refresh, 0,
	    sizeof(updates) / sizeof(updates[0]));
	tcase_add_loop_test(tc, covers_what_is_not_newer_from_the_same_server, 0,
	    sizeof(covers) / sizeof(covers[0]));
	tcase_add_test(tc, collects_context_csns_and_compares_them);
	tcase_add_test(tc, knows_the_newest_of_all_servers);
	tcase_add_test(tc, takes_as_many_servers_as_the_limit_and_not_one_more);
	suite_add_tcase(suite, tc);
	return suite;
}
