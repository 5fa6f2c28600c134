#include "config.h"

#include <stdio.h>

#include "unit.h"
#include "value/address_space.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* clang-format off */
static const struct {
	const char *text;
	const char *pattern, *shape; /* NULL: CX_EINVAL */
	unsigned cost;
	int literals;
	bool is_exact;
} spaces[] = {
	{ "SMTP:User@Pop.Example.com",    "smtp:user@pop.example.com", "smtp:=", 1, 20, true },
	{ "SMTP:\"a b\"@pop.example.com", "smtp:a b@pop.example.com", "smtp:=", 1, 19, true },
	{ "SMTP:*@pop.example.com",       "smtp:*@pop.example.com", "smtp:*@", 1, 16, false },
	{ "SMTP:pop.example.com",         "smtp:*@pop.example.com", "smtp:*@", 1, 16, false },
	{ "SMTP:pop.example.com.;5",      "smtp:*@pop.example.com", "smtp:*@", 5, 16, false },
	{ "pop.example.com; 07 ",         "smtp:*@pop.example.com", "smtp:*@", 7, 16, false },
	{ "SMTP:*.Example.com;1000000",   "smtp:*.example.com", "smtp:*.2", 1000000, 12, false },
	{ "*@*.a.b.c.test",               "smtp:*.a.b.c.test", "smtp:*.4", 1, 11, false },
	{ "SMTP:*.test",                  "smtp:*.test", "smtp:*.1", 1, 5, false },
	{ "SMTP:*.b\xc3\xbc" "cher.test", "smtp:*.xn--bcher-kva.test", "smtp:*.2", 1, 19, false },
	{ "SMTP:*",                       "smtp:*", "smtp:*", 1, 0, false },
	{ "SMTP:*;0",                     "smtp:*", "smtp:*", 0, 0, false },
	{ "SMTP:*@*",                     "smtp:*", "smtp:*", 1, 0, false },
	{ "smtp:",                        "smtp:*", "smtp:*", 1, 0, false },
	{ "MS:MICROSOFT/PO2/ADAM",        "ms:microsoft/po2/adam", "ms:111", 1, 16, true },
	{ "MS:MICROSOFT/PO2/",            "ms:microsoft/po2/*", "ms:110", 1, 12, false },
	{ "MS:MICROSOFT/PO2",             "ms:microsoft/po2/*", "ms:110", 1, 12, false },
	{ "MS:MICROSOFT/PO2/*;10",        "ms:microsoft/po2/*", "ms:110", 10, 12, false },
	{ "MS:MICROSOFT",                 "ms:microsoft/*/*", "ms:100", 1, 9, false },
	{ "MS:MICROSOFT//",               "ms:microsoft/*/*", "ms:100", 1, 9, false },
	{ "MS:*/PO2/*",                   "ms:*/po2/*", "ms:010", 1, 3, false },
	{ "MS:a/*/c",                     "ms:a/*/c", "ms:101", 1, 2, false },
	{ "MS:a/b/c/d",                   "ms:a/b/c/d", "ms:111", 1, 5, true },
	{ "MS:*",                         "ms:*/*/*", "ms:000", 1, 0, false },
	{ "MS:",                          "ms:*/*/*", "ms:000", 1, 0, false },
	{ "X400:c=US;a=att;p=Acme;o=SiteB", "x400:a=att;c=us;o=siteb;p=acme", "x400:a,c,o,p", 1, 22, false },
	{ "X400:p=acme;c=us;admd= ;3",    "x400:a=;c=us;p=acme", "x400:a,c,p", 3, 12, false },
	{ "X400:/c=us/o=*/p=acme/",       "x400:c=us;p=acme", "x400:c,p", 1, 10, false },
	{ "X400:*",                       "x400:*", "x400:*", 1, 0, false },
	{ "X400:;4",                      "x400:*", "x400:*", 4, 0, false },
	{ "X400:c=*",                     "x400:*", "x400:*", 1, 0, false },
	{ "FAX:5*",                       "fax:5*", "fax:1*", 1, 1, false },
	{ "FAX:+1 425*;2",                "fax:+1 425*", "fax:6*", 2, 6, false },
	{ "FAX:*",                        "fax:*", "fax:0*", 1, 0, false },
	{ "FAX:",                         "fax:*", "fax:0*", 1, 0, false },
	{ "NOTES:Adam Barr/Acme@Acme",    "notes:adam barr/acme@acme", "notes:=", 1, 19, true },
	{ "NOTES:a;b",                    "notes:a;b", "notes:=", 1, 3, true },
	{ "NOTES:a;5;",                   "notes:a;5;", "notes:=", 1, 4, true },
	{ "NOTES:a*b",                    "notes:a*b", "notes:=", 1, 3, true },
	{ "",                             NULL, NULL, 0, 0, false },
	{ ";5",                           NULL, NULL, 0, 0, false },
	{ ":x",                           NULL, NULL, 0, 0, false },
	{ "SMTP:*;1000001",               NULL, NULL, 0, 0, false },
	{ "SMTP:*;99999999999999999999",  NULL, NULL, 0, 0, false },
	{ "SMTP:@pop.example.com",        NULL, NULL, 0, 0, false },
	{ "SMTP:user@",                   NULL, NULL, 0, 0, false },
	{ "SMTP:us*r@pop.example.com",    NULL, NULL, 0, 0, false },
	{ "SMTP:user@*.example.com",      NULL, NULL, 0, 0, false },
	{ "SMTP:pop.*.com",               NULL, NULL, 0, 0, false },
	{ "SMTP:*pop.example.com",        NULL, NULL, 0, 0, false },
	{ "SMTP:*.",                      NULL, NULL, 0, 0, false },
	{ "SMTP:*@",                      NULL, NULL, 0, 0, false },
	{ "SMTP:a..b",                    NULL, NULL, 0, 0, false },
	{ "SMTP:*@[192.0.2.1]",           NULL, NULL, 0, 0, false },
	{ "MS:MICROSOFT/PO*",             NULL, NULL, 0, 0, false },
	{ "MS:a\nb",                      NULL, NULL, 0, 0, false },
	{ "X400:acme",                    NULL, NULL, 0, 0, false },
	{ "X400:o=site*",                 NULL, NULL, 0, 0, false },
	{ "X400:c=us;c=de",               NULL, NULL, 0, 0, false },
};

static const struct {
	const char *space, *address;
	bool expected;
} matches[] = {
	{ "SMTP:userz@microsoft.com",  "UserZ@Microsoft.com", true },
	{ "SMTP:userz@microsoft.com",  "user@microsoft.com", false },
	{ "SMTP:*@microsoft.com",      "userz@microsoft.com", true },
	{ "SMTP:microsoft.com",        "userz@microsoft.com", true },
	{ "SMTP:microsoft.com",        "userz@pop.microsoft.com", false },
	{ "SMTP:*.microsoft.com",      "userz@pop.microsoft.com", true },
	{ "SMTP:*.microsoft.com",      "userz@a.b.microsoft.com", true },
	{ "SMTP:*.microsoft.com",      "userz@microsoft.com", false },
	{ "SMTP:*.microsoft.com",      "userz@notmicrosoft.com", false },
	{ "SMTP:*",                    "userz@[192.0.2.1]", true },
	{ "SMTP:*",                    "MS:A/B/C", false },
	{ "SMTP:*.1",                  "userz@[192.0.2.1]", false },
	{ "MS:MICROSOFT/PO2/",         "MS:microsoft/po2/any", true },
	{ "MS:MICROSOFT/PO2/",         "MS:MICROSOFT/PO2", true },
	{ "MS:MICROSOFT/PO2/",         "MS:MICROSOFT/PO20/ANY", false },
	{ "MS:MICROSOFT/PO2/",         "MS:MICROSOFT/PO1/X", false },
	{ "MS:MICROSOFT/PO2/ADAM",     "MS:MICROSOFT/PO2/", false },
	{ "MS:*",                      "MS:A", true },
	{ "MS:*/PO2",                  "MS:A/PO2/X", true },
	{ "X400:c=us;p=acme",          "X400:P=Acme;o=site;A= ;C=US;s=barr", true },
	{ "X400:c=us;p=acme",          "X400:c=us;a= ;o=site", false },
	{ "X400:c=us;p=acme",          "X400:c=us;p=acme2", false },
	{ "X400:c=us;a=",              "X400:/c=us/admd= /s=barr/", true },
	{ "X400:c=us;a=",              "X400:c=us;s=barr", false },
	{ "X400:*",                    "X400:c=us", true },
	{ "FAX:+1*",                   "FAX:+1 425", true },
	{ "FAX:+1*",                   "FAX:+49 89", false },
	{ "FAX:+1*",                   "FAX:+", false },
	{ "FAX:+1*",                   "FAX:+1", true },
	{ "NOTES:Adam/Acme",           "notes:ADAM/acme", true },
	{ "NOTES:Adam/Acme",           "NOTES:Adam/Acme2", false },
};

/* Addresses that may be taken for patterns, besides those above. */
static const char *const odd_addresses[] = {
	"*@pop.example.com", "\"*\"@a.example.com", "postmaster", "x@com", "x@test",
	"MS:*/*/*", "MS:microsoft/po2/*", "MS:a/*/c", "MS:/po2/", "MS:///", "MS:a//c",
	"X400:c=*", "X400:c=us;o=*", "X400:*=x;c=us", "FAX:*", "FAX:5*", "FAX:+1 425*",
	"NOTES:a*b", "NOTES:*", "user@a.b.c.test", "user@x.a.b.c.test",
};

/* In this order. Those on one line of preference have the same rank. */
static const struct {
	const char *space;
	int rank;
} order[] = {
	{ "SMTP:a@b.test;9",      0 },
	{ "SMTP:*@microsoft.com;9", 1 },
	{ "SMTP:*@pop.test;1",    2 },
	{ "SMTP:*@abc.test",      2 },
	{ "SMTP:*@pop.test;2",    3 },
	{ "SMTP:*.test;0",        4 },
	{ "SMTP:*;0",             5 },
	{ "SMTP:*",               6 },
};

static const struct {
	const char *shape, *address;
	enum status status;
} probes[] = {
	{ "smtp:=",      "MS:A/B/C",        CX_NOTFOUND },
	{ "ms:111",      "a@d.test",        CX_NOTFOUND },
	{ "smtp:=",      "postmaster",      CX_NOTFOUND },
	{ "smtp:*@",     "postmaster",      CX_NOTFOUND },
	{ "smtp:*.2",    "a@d.test",        CX_NOTFOUND },
	{ "smtp:*.9999", "a@d.test",        CX_NOTFOUND },
	{ "fax:9*",      "FAX:5",           CX_NOTFOUND },
	{ "x400:a,c",    "X400:c=us",       CX_NOTFOUND },
	{ "smtp:*.1",    "a@d.test",        CX_OK },
	{ "",            "a@d.test",        CX_EINVAL },
	{ "smtp",        "a@d.test",        CX_EINVAL },
	{ "smtp:",       "a@d.test",        CX_EINVAL },
	{ "smtp:*.",     "a@d.test",        CX_EINVAL },
	{ "smtp:*.0",    "a@d.test",        CX_EINVAL },
	{ "smtp:*.01",   "a@d.test",        CX_EINVAL },
	{ "smtp:*.x",    "a@d.test",        CX_EINVAL },
	{ "smtp:*.99999999999999999999", "a@d.test", CX_EINVAL },
	{ "ms:11",       "MS:A/B/C",        CX_EINVAL },
	{ "ms:1111",     "MS:A/B/C",        CX_EINVAL },
	{ "ms:11x",      "MS:A/B/C",        CX_EINVAL },
	{ "x400:",       "X400:c=us",       CX_EINVAL },
	{ "x400:,c",     "X400:c=us",       CX_EINVAL },
	{ "fax:*",       "FAX:5",           CX_EINVAL },
	{ "fax:5",       "FAX:5",           CX_EINVAL },
	{ "fax:-1*",     "FAX:5",           CX_EINVAL },
};
/* clang-format on */

START_TEST(reads_spaces)
{
	struct address_space space;
	const char *label = spaces[_i].text;

	unit_assert_status(address_space_parse(unit_text(label), &space),
	    spaces[_i].pattern != NULL ? CX_OK : CX_EINVAL, label);
	if (spaces[_i].pattern == NULL) {
		return;
	}
	unit_assert_span(key_span(&space.pattern), spaces[_i].pattern, label);
	unit_assert_span(key_span(&space.shape), spaces[_i].shape, label);
	ck_assert_uint_eq(space.cost, spaces[_i].cost);
	ck_assert_int_eq(space.literals, spaces[_i].literals);
	ck_assert_int_eq(space.is_exact, spaces[_i].is_exact);
}
END_TEST

static bool probe_finds(const char *text, const struct address *address)
{
	struct address_space space;
	struct key key;

	if (address_space_parse(unit_text(text), &space) != CX_OK) {
		return false;
	}
	switch ((int)address_space_probe(key_span(&space.shape), address, &key)) {
	case CX_OK: return key_equal(&key, &space.pattern);
	case CX_NOTFOUND: return false;
	default: ck_abort_msg("%s: its own shape is refused", text);
	}
	return false;
}

START_TEST(a_space_matches_its_addresses)
{
	struct address address;
	const char *space = matches[_i].space;

	ck_assert_int_eq(address_parse_typed(unit_text(matches[_i].address), &address), CX_OK);
	ck_assert_msg(address_space_matches(unit_text(space), &address) == matches[_i].expected,
	    "%s and %s", space, matches[_i].address);
	ck_assert_msg(probe_finds(space, &address) == matches[_i].expected, "probe: %s and %s",
	    space, matches[_i].address);
}
END_TEST

static void assert_all_agree(const char *text)
{
	struct address address;

	if (address_parse_typed(unit_text(text), &address) != CX_OK) {
		return;
	}
	for (int i = 0; i < ROWS(spaces); i++) {
		ck_assert_msg(probe_finds(spaces[i].text, &address) ==
			address_space_matches(unit_text(spaces[i].text), &address),
		    "%s and %s", spaces[i].text, text);
	}
}

START_TEST(probing_agrees_with_matching_for_every_pair)
{
	for (int i = 0; i < ROWS(matches); i++) {
		assert_all_agree(matches[i].address);
	}
	for (int i = 0; i < ROWS(odd_addresses); i++) {
		assert_all_agree(odd_addresses[i]);
	}
	/* Patterns are addresses too, of a kind. */
	for (int i = 0; i < ROWS(spaces); i++) {
		assert_all_agree(spaces[i].text);
	}
}
END_TEST

START_TEST(the_more_specific_space_comes_first)
{
	struct address_space a, b;

	for (int i = 0; i < ROWS(order); i++) {
		for (int j = 0; j < ROWS(order); j++) {
			int expected = order[i].rank - order[j].rank, result;

			ck_assert_int_eq(address_space_parse(unit_text(order[i].space), &a), CX_OK);
			ck_assert_int_eq(address_space_parse(unit_text(order[j].space), &b), CX_OK);
			result = address_space_compare(&a, &b);
			ck_assert_msg((result < 0) == (expected < 0) &&
				(result > 0) == (expected > 0),
			    "%s and %s: %d", order[i].space, order[j].space, result);
		}
	}
}
END_TEST

START_TEST(probes_refuse_what_is_no_shape)
{
	struct address address;
	struct key key;

	ck_assert_int_eq(address_parse_typed(unit_text(probes[_i].address), &address), CX_OK);
	unit_assert_status(address_space_probe(unit_text(probes[_i].shape), &address, &key),
	    probes[_i].status, probes[_i].shape);
}
END_TEST

START_TEST(a_domain_counts_as_a_space_without_cost)
{
	struct address_space space;

	unit_assert_status(address_space_of_domain(unit_text("Acme.Example."), &space), CX_OK,
	    "domain");
	unit_assert_span(key_span(&space.pattern), "smtp:*@acme.example", "domain");
	ck_assert_uint_eq(space.cost, 0);
	unit_assert_status(address_space_of_domain(unit_text("*.Acme.Example"), &space), CX_OK,
	    "subdomains");
	unit_assert_span(key_span(&space.pattern), "smtp:*.acme.example", "subdomains");
	unit_assert_span(key_span(&space.shape), "smtp:*.2", "subdomains");
	unit_assert_status(address_space_of_domain(unit_text("*"), &space), CX_EINVAL, "star");
	unit_assert_status(address_space_of_domain(unit_text(""), &space), CX_EINVAL, "empty");
	unit_assert_status(address_space_of_domain(unit_text("a@b"), &space), CX_EINVAL, "at");
}
END_TEST

START_TEST(long_patterns_are_found_by_their_hash)
{
	struct address_space space;
	struct address address;
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "X500:%s*", unit_repeat('a', 600));
	unit_assert_status(address_space_parse(buf_span(&text), &space), CX_OK, "600");
	ck_assert_uint_eq(space.pattern.len, strlen("x500#") + 64);
	unit_assert_span(key_span(&space.shape), "x500:600*", "shape");
	ck_assert_int_eq(space.literals, 600);
	ck_assert_int_eq(address_make("x500", unit_text(unit_repeat('A', 601)), SPAN(""),
	    &address), CX_OK);
	ck_assert(probe_finds(text.data, &address));
	ck_assert(address_space_matches(buf_span(&text), &address));
	buf_clear(&text);
	buf_printf(&text, "X500:%s", unit_repeat('a', ADDRESS_VALUE_MAX + 1));
	unit_assert_status(address_space_parse(buf_span(&text), &space), CX_ETOOLONG, "value");
	buf_clear(&text);
	buf_add_text(&text, "X400:");
	for (int i = 0; i < 30; i++) {
		buf_printf(&text, "attribute-with-a-long-name-%d=v;", i);
	}
	unit_assert_status(address_space_parse(buf_span(&text), &space), CX_ETOOLONG, "shape");
	unit_assert_status(address_space_parse(SPAN("ABCDEFGHIJKLMNOPQ:x"), &space),
	    CX_ETOOLONG, "type");
	buf_release(&text);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("address_space");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, reads_spaces, 0, ROWS(spaces));
	tcase_add_loop_test(tcase, a_space_matches_its_addresses, 0, ROWS(matches));
	tcase_add_test(tcase, probing_agrees_with_matching_for_every_pair);
	tcase_add_test(tcase, the_more_specific_space_comes_first);
	tcase_add_loop_test(tcase, probes_refuse_what_is_no_shape, 0, ROWS(probes));
	tcase_add_test(tcase, a_domain_counts_as_a_space_without_cost);
	tcase_add_test(tcase, long_patterns_are_found_by_their_hash);
	suite_add_tcase(suite, tcase);
	return suite;
}
