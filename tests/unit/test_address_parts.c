#include "config.h"

#include "unit.h"
#include "value/address.h"

/* The parts of an address: its domain, and what stands behind a delimiter. */

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* clang-format off */
static const struct {
	const char *label, *domain;
	enum status status;
	const char *expected;
} domains[] = {
	{ "lower case",      "ACME.Example",     CX_OK, "acme.example" },
	{ "trailing dot",    "acme.example.",    CX_OK, "acme.example" },
	{ "one label",       "localhost",        CX_OK, "localhost" },
	{ "underscore",      "_x._y.example",    CX_OK, "_x._y.example" },
	{ "digits and name", "4.example",        CX_OK, "4.example" },
	{ "U-label",         "B\xc3\x9c" "CHER.example", CX_OK, "xn--bcher-kva.example" },
	{ "A-label",         "XN--BCHER-KVA.example", CX_OK, "xn--bcher-kva.example" },
	{ "non-transitional", "fa\xc3\x9f.example", CX_OK, "xn--fa-hia.example" },
	{ "full width",      "\xef\xbd\x81.example", CX_OK, "a.example" },
	{ "decomposed",      "bu\xcc\x88" "cher.example", CX_OK, "xn--bcher-kva.example" },
	{ "wide A-label",    "\xef\xbd\x98\xef\xbd\x8e--bcher-kva.example", CX_OK, "xn--bcher-kva.example" },
	{ "both labels",     "b\xc3\xbc" "cher.XN--BCHER-KVA.example", CX_OK, "xn--bcher-kva.xn--bcher-kva.example" },
	{ "junk beside U",   "xn--zzzzzz.b\xc3\xbc" "cher.example", CX_OK, "xn--zzzzzz.xn--bcher-kva.example" },
	{ "junk",            "XN--ZZZZZZ.example", CX_OK, "xn--zzzzzz.example" },
	{ "underscore, U",   "_dmarc.b\xc3\xbc" "cher.example.", CX_OK, "_dmarc.xn--bcher-kva.example" },
	{ "two hyphens, U",  "ab--cd.b\xc3\xbc" "cher.example", CX_OK, "ab--cd.xn--bcher-kva.example" },
	{ "final sigma",     "\xce\xa3\xcf\x82.example", CX_OK, "xn--3xab.example" },
	{ "joiner in place", "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7.example", CX_OK, "xn--11b2ezcw70k.example" },
	{ "right to left",   "\xd7\x90\xd7\x91.example", CX_OK, "xn--4dbc.example" },
	{ "wide full stop",  "acme\xef\xbc\x8e" "example", CX_EINVAL, NULL },
	{ "half-width stop", "acme\xef\xbd\xa1" "example", CX_EINVAL, NULL },
	{ "one with a dot",  "a\xe2\x92\x88" "b.example", CX_EINVAL, NULL },
	{ "ellipsis",        "acme\xe2\x80\xa6" "example", CX_EINVAL, NULL },
	{ "wide digits",     "\xef\xbc\x91.2.3.4", CX_EINVAL, NULL },
	{ "joiner out of place", "x\xe2\x80\x8dy.example", CX_EINVAL, NULL },
	{ "both directions", "\xd7\x90" "a.example", CX_EINVAL, NULL },
	{ "mark first",      "\xcc\x81" "a.example", CX_EINVAL, NULL },
	{ "unassigned",      "\xcd\xb8.example", CX_EINVAL, NULL },
	{ "heart",           "\xe2\x9d\xa4.example", CX_EINVAL, NULL },
	{ "hyphen first, U", "-\xc3\xbc.example", CX_EINVAL, NULL },
	{ "blank, U",        "\xc3\xbc b.example", CX_EINVAL, NULL },
	{ "empty",           "",                 CX_EINVAL, NULL },
	{ "dot",             ".",                CX_EINVAL, NULL },
	{ "two dots",        "a..",              CX_EINVAL, NULL },
	{ "empty label",     "a..b",             CX_EINVAL, NULL },
	{ "leading dot",     ".a",               CX_EINVAL, NULL },
	{ "wildcard",        "*.example",        CX_EINVAL, NULL },
	{ "literal",         "[192.0.2.1]",      CX_EINVAL, NULL },
	{ "IP address",      "192.0.2.1",        CX_EINVAL, NULL },
	{ "blank",           "a b.example",      CX_EINVAL, NULL },
	{ "hyphen",          "-a.example",       CX_EINVAL, NULL },
	{ "not UTF-8",       "\xfc.example",     CX_EINVAL, NULL },
};

static const struct {
	const char *address, *delimiters;
	const char *bases;      /* joined by blanks */
	const char *extensions; /* likewise */
} splits[] = {
	{ "adam@d.test",             "+",  "", "" },
	{ "adam+x@d.test",           "+",  "adam", "+x" },
	{ "Adam+X+Y@d.test",         "+",  "adam+x adam", "+Y +X+Y" },
	{ "adam-x+y@d.test",         "+-", "adam-x adam", "+y -x+y" },
	{ "adam+@d.test",            "+",  "adam", "+" },
	{ "+x@d.test",               "+",  "", "" },
	{ "+x+y@d.test",             "+",  "+x", "+y" },
	{ "adam+x@d.test",           "",   "", "" },
	{ "adam+x@d.test",           "-",  "", "" },
	{ "postmaster@d.test",       "s",  "", "" },
	{ "PostMaster+x@d.test",     "+",  "postmaster", "+x" },
	{ "MAILER-DAEMON@d.test",    "-",  "", "" },
	{ "double-bounce@d.test",    "-",  "", "" },
	{ "double-bouncer@d.test",   "-",  "double", "-bouncer" },
	{ "owner-list@d.test",       "-",  "", "" },
	{ "owner-list+x@d.test",     "+",  "owner-list", "+x" },
	{ "owner-list+x@d.test",     "+-", "", "" },
	{ "list-request@d.test",     "-",  "", "" },
	{ "-request@d.test",         "-",  "", "" },
	{ "a-request-x@d.test",      "-",  "a-request a", "-x -request-x" },
	/* Lengths change: capital A with stroke, Kelvin sign, combined diaeresis. */
	{ "\xc8\xba+X@d.test",       "+",  "\xe2\xb1\xa5", "+X" },
	{ "\xe2\x84\xaa+u\xcc\x88+Y@d.test", "+", "k+\xc3\xbc k", "+Y +u\xcc\x88+Y" },
	{ "a\xcd\xbe" "b@d.test",    ";",  "a", "\xcd\xbe" "b" },
	{ "MS:NET+1/PO",             "+",  "", "" },
};
/* clang-format on */

START_TEST(domains_have_one_spelling)
{
	char out[ADDRESS_DOMAIN_MAX + 1];

	unit_assert_status(domain_canonical(unit_text(domains[_i].domain), out),
	    domains[_i].status, domains[_i].label);
	if (domains[_i].expected != NULL) {
		ck_assert_str_eq(out, domains[_i].expected);
	}
}
END_TEST

static const struct {
	const char *domain, *folded; /* NULL: the same */
} foldings[] = {
	{ "acme.example",                 NULL },
	{ "xn--bcher-kva.example",        NULL },
	{ "xn--fa-hia.example",           "fass.example" },
	{ "a.xn--strae-oqa.xn--bcher-kva.example", "a.strasse.xn--bcher-kva.example" },
	{ "xn--3xab.example",             "xn--4xaa.example" },
	{ "xn--zzzzzz.example",           NULL },
	{ "xn--.example",                 NULL },
	{ "",                             NULL },
	{ "[192.0.2.1]",                  NULL },
};

START_TEST(folds_domains_in_full)
{
	char out[ADDRESS_DOMAIN_MAX + 1];

	unit_assert_status(domain_folded_in_full(unit_text(foldings[_i].domain), out),
	    foldings[_i].folded != NULL ? CX_OK : CX_NOTFOUND, foldings[_i].domain);
	if (foldings[_i].folded != NULL) {
		ck_assert_str_eq(out, foldings[_i].folded);
	}
}
END_TEST

START_TEST(splits_off_extensions_longest_base_first)
{
	struct address address;
	struct buf bases, extensions;
	struct span extension;
	size_t len;

	ck_assert_int_eq(address_parse_typed(unit_text(splits[_i].address), &address), CX_OK);
	buf_init(&bases);
	buf_init(&extensions);
	for (len = address.folded_len; address_next_base(&address, splits[_i].delimiters, &len);) {
		const char *gap = bases.len > 0 ? " " : "";

		buf_add_text(&bases, gap);
		buf_add(&bases, address.folded, len);
		buf_add_text(&extensions, gap);
		ck_assert_int_eq(address_extension(&address, len, &extension), CX_OK);
		buf_add_span(&extensions, extension);
	}
	unit_assert_span(buf_span(&bases), splits[_i].bases, splits[_i].address);
	unit_assert_span(buf_span(&extensions), splits[_i].extensions, splits[_i].address);
	buf_release(&bases);
	buf_release(&extensions);
}
END_TEST

START_TEST(a_base_has_the_key_of_the_plain_address)
{
	struct address address, plain;
	struct key key, expected;
	struct span extension;

	ck_assert_int_eq(address_parse_typed(SPAN("Adam+x@d.test"), &address), CX_OK);
	ck_assert_int_eq(address_parse_typed(SPAN("adam@D.test"), &plain), CX_OK);
	address_key_base(&address, 4, &key);
	address_key(&plain, &expected);
	ck_assert(key_equal(&key, &expected));
	ck_assert_int_eq(address_extension(&address, address.folded_len, &extension), CX_OK);
	ck_assert(span_is_empty(extension));
}
END_TEST

START_TEST(tells_literals_and_addresses_beyond_ascii)
{
	struct address address;

	ck_assert_int_eq(address_parse_typed(SPAN("a@[192.0.2.1]"), &address), CX_OK);
	ck_assert(address_is_literal(&address));
	ck_assert(!address_needs_smtputf8(&address));
	ck_assert_int_eq(address_parse_typed(SPAN("\xc3\xbc@d.test"), &address), CX_OK);
	ck_assert(address_is_smtp(&address));
	ck_assert(!address_is_literal(&address));
	ck_assert(address_needs_smtputf8(&address));
	ck_assert_int_eq(address_parse_typed(SPAN("a@\xc3\xbc.test"), &address), CX_OK);
	ck_assert(!address_needs_smtputf8(&address));
	ck_assert_int_eq(address_parse_typed(SPAN("MS:\xc3\xbc"), &address), CX_OK);
	ck_assert(!address_is_smtp(&address));
	ck_assert(!address_needs_smtputf8(&address));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("parts of an address");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, domains_have_one_spelling, 0, ROWS(domains));
	tcase_add_loop_test(tcase, folds_domains_in_full, 0, ROWS(foldings));
	tcase_add_loop_test(tcase, splits_off_extensions_longest_base_first, 0, ROWS(splits));
	tcase_add_test(tcase, a_base_has_the_key_of_the_plain_address);
	tcase_add_test(tcase, tells_literals_and_addresses_beyond_ascii);
	suite_add_tcase(suite, tcase);
	return suite;
}
