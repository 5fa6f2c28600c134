#include "config.h"

#include <stdio.h>

#include "unit.h"
#include "value/address.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* clang-format off */

/* RCPT TO:<...>; NULL: refused. What Postfix 3.7 makes of each was tried. */
static const struct {
	const char *text;
	const char *key;     /* NULL: CX_EINVAL */
	const char *printed;
} paths[] = {
	{ "<Adam.Barr@Acme.Example>",       "smtp:adam.barr@acme.example", "Adam.Barr@acme.example" },
	{ "Adam.Barr@acme.example",         "smtp:adam.barr@acme.example", "Adam.Barr@acme.example" },
	{ "<adam@acme.example.>",           "smtp:adam@acme.example", "adam@acme.example" },
	{ "  <ab@d.test>\r",                "smtp:ab@d.test", "ab@d.test" },
	{ "<postmaster>",                   "smtp:postmaster", "postmaster" },
	{ "<\"ab\"@d.test>",                "smtp:ab@d.test", "ab@d.test" },
	{ "<\"a b\"@d.test>",               "smtp:a b@d.test", "\"a b\"@d.test" },
	{ "<\"a\tb\"@d.test>",              "smtp:a b@d.test", "\"a b\"@d.test" },
	{ "<\"a\\\"b\\\\c\"@d.test>",       "smtp:a\"b\\c@d.test", "\"a\\\"b\\\\c\"@d.test" },
	{ "<a\\ b@d.test>",                 "smtp:a b@d.test", "\"a b\"@d.test" },
	{ "<a\\@b@d.test>",                 "smtp:a@b@d.test", "\"a@b\"@d.test" },
	{ "<@r1,@r2:ab@D.Test.>",           "smtp:ab@d.test", "ab@d.test" },
	{ "<@[192.0.2.1]:ab@d.test>",       "smtp:ab@d.test", "ab@d.test" },
	{ "@r1:ab@d.test",                  "smtp:ab@d.test", "ab@d.test" },
	{ "<a@b@shared.test>",              "smtp:a@b@shared.test", "\"a@b\"@shared.test" },
	{ "<\"a@b\"@shared.test>",          "smtp:a@b@shared.test", "\"a@b\"@shared.test" },
	{ "<a%b@d.test>",                   "smtp:a%b@d.test", "a%b@d.test" },
	{ "<b!a@d.test>",                   "smtp:b!a@d.test", "b!a@d.test" },
	{ "<a..b@d.test>",                  "smtp:a..b@d.test", "\"a..b\"@d.test" },
	{ "<.a@d.test>",                    "smtp:.a@d.test", "\".a\"@d.test" },
	{ "<a.@d.test>",                    "smtp:a.@d.test", "\"a.\"@d.test" },
	{ "<Adam . Barr @ d . test>",       "smtp:adam.barr@d.test", "Adam.Barr@d.test" },
	{ "<ab(comment (nested) \\) )@d.test(more)>", "smtp:ab@d.test", "ab@d.test" },
	{ "<(never closed ab@d.test>",      NULL, NULL },
	{ "<ab@d.test(never closed>",       "smtp:ab@d.test", "ab@d.test" },
	{ "<Adam Barr <ab@d.test>>",        "smtp:ab@d.test", "ab@d.test" },
	{ "<\"Barr, Adam\" <ab@d.test>>",   "smtp:ab@d.test", "ab@d.test" },
	{ "<<ab@d.test>>",                  "smtp:ab@d.test", "ab@d.test" },
	{ "<<a b@d.test>>",                 "smtp:ab@d.test", "ab@d.test" },
	{ "<<@r:ab@d.test>>",               "smtp:@r:ab@d.test", "\"@r:ab\"@d.test" },
	{ "<group:ab@d.test;>",             "smtp:ab@d.test", "ab@d.test" },
	{ "<a:b@d.test>",                   "smtp:a:b@d.test", "\"a:b\"@d.test" },
	{ "<,ab@d.test,>",                  "smtp:ab@d.test", "ab@d.test" },
	{ "<ab@d.test,>",                   "smtp:ab@d.test", "ab@d.test" },
	{ "<user@[192.0.2.1]>",             "smtp:user@[192.0.2.1]", "user@[192.0.2.1]" },
	{ "<user@[IPv6:2001:DB8::1]>",      "smtp:user@[ipv6:2001:db8::1]", "user@[ipv6:2001:db8::1]" },
	{ "<user@[192.0.2.1]>",             "smtp:user@[192.0.2.1]", "user@[192.0.2.1]" },
	{ "<adam@a_b.example>",             "smtp:adam@a_b.example", "adam@a_b.example" },
	{ "<j\xc3\x9crgen@d.test>",         "smtp:j\xc3\xbcrgen@d.test", "j\xc3\x9crgen@d.test" },
	{ "<ab@b\xc3\x9c" "cher.test>",     "smtp:ab@xn--bcher-kva.test", "ab@xn--bcher-kva.test" },
	{ "to:",                            "smtp:to:", "\"to:\"" },
	{ "ab\\ ",                          "smtp:ab ", "\"ab \"" },
	{ "ab\\",                           "smtp:ab", "ab" },
	/* Refused, by Postfix with 501 or 555. */
	{ "",                               NULL, NULL },
	{ "<>",                             NULL, NULL },
	{ "<()>",                           NULL, NULL },
	{ "<ab@d.test",                     NULL, NULL },
	{ "<\"ab@d.test>",                  NULL, NULL },
	{ "<ab@d.test\\>",                  NULL, NULL },
	{ "adam barr@d.test",               NULL, NULL },
	{ "<ab@d.test> SIZE=1",             NULL, NULL },
	{ "to:ab@d.test",                   NULL, NULL },
	{ "<adam barr@d.test>",             NULL, NULL },
	{ "<a@d.test,b@d.test>",            NULL, NULL },
	{ "<a@d.test><b@d.test>",           NULL, NULL },
	{ "<group:a@d.test,b@d.test;>",     NULL, NULL },
	{ "<@d.test>",                      NULL, NULL },
	{ "<\"\"@d.test>",                  NULL, NULL },
	{ "<ab@>",                          NULL, NULL },
	{ "<ab@.>",                         NULL, NULL },
	{ "<ab@d..test>",                   NULL, NULL },
	{ "<ab@d.test..>",                  NULL, NULL },
	{ "<ab@.d.test>",                   NULL, NULL },
	{ "<ab@-d.test>",                   NULL, NULL },
	{ "<ab@d-.test>",                   NULL, NULL },
	{ "<ab@192.0.2.1>",                 NULL, NULL },
	{ "<ab@[d.test]>",                  NULL, NULL },
	{ "<ab@[2001:db8::1]>",             NULL, NULL },
	{ "<ab@[192.0.2.1>",                "smtp:ab@[192.0.2.1]", "ab@[192.0.2.1]" },
	{ "<ab@[192.0.2.1]x>",              NULL, NULL },
	{ "<ab@\"d test\">",                NULL, NULL },
	{ "<a\xfc@d.test>",                 NULL, NULL },
	{ "<ab@\xfc.test>",                 NULL, NULL },
	{ "<a\nb@d.test>",                  NULL, NULL },
};

/* Internal form: no quoting, domain behind the last "@". */
static const struct {
	const char *label, *text;
	size_t len;
	enum status status;
	const char *key;
} internals[] = {
	{ "plain",             "Adam@D.Test",        11, CX_OK, "smtp:adam@d.test" },
	{ "trailing dot",      "adam@d.test.",       12, CX_OK, "smtp:adam@d.test" },
	{ "blank",             "we ird@d.test",      13, CX_OK, "smtp:we ird@d.test" },
	{ "last at sign",      "a@b@d.test",         10, CX_OK, "smtp:a@b@d.test" },
	{ "quote is a quote",  "\"a\"@d.test",       10, CX_OK, "smtp:\"a\"@d.test" },
	{ "no domain",         "root",                4, CX_OK, "smtp:root" },
	{ "control character", "a\x01@d.test",        9, CX_OK, "smtp:a\x01@d.test" },
	{ "sharp s",           "wei\xc3\x9f@d.test", 12, CX_OK, "smtp:wei\xc3\x9f@d.test" },
	{ "Kelvin sign",       "\xe2\x84\xaa@d.test", 10, CX_OK, "smtp:k@d.test" },
	{ "decomposed",        "u\xcc\x88@d.test",   10, CX_OK, "smtp:\xc3\xbc@d.test" },
	{ "sharp s in domain", "a@stra\xc3\x9f" "e.test", 14, CX_OK, "smtp:a@xn--strae-oqa.test" },
	{ "ideographic dots",  "a@d\xe3\x80\x82test\xe3\x80\x82", 13, CX_EINVAL, NULL },
	{ "wide at sign",      "a\xef\xbc\xa0" "d.test", 10, CX_OK, "smtp:a\xef\xbc\xa0" "d.test" },
	{ "two at signs",      "a@b\xef\xbc\xa0" "d.test", 12, CX_EINVAL, NULL },
	{ "odd A-label",       "a@xn--\x61.test",    12, CX_OK, "smtp:a@xn--a.test" },
	{ "soft hyphen label", "a@\xc2\xad.test",     9, CX_EINVAL, NULL },
	{ "U-label, empty",    "a@\xc3\xbc..test",   10, CX_EINVAL, NULL },
	{ "U-label, two dots", "a@\xc3\xbc.test..",  11, CX_EINVAL, NULL },
	{ "U-label, star",     "a@\xc3\xbc.*",        6, CX_EINVAL, NULL },
	{ "forbidden emoji zwj", "a@\xe2\x80\x8d.test", 10, CX_EINVAL, NULL },
	{ "NUL",               "a\0b@d.test",        10, CX_EINVAL, NULL },
	{ "NUL in domain",     "a@d\0.test",          9, CX_EINVAL, NULL },
	{ "NUL in U-label",    "a@\xc3\xbc\0.test",  10, CX_EINVAL, NULL },
	{ "CR",                "a\rb@d.test",        10, CX_EINVAL, NULL },
	{ "LF",                "a@d.te\nst",          9, CX_EINVAL, NULL },
	{ "slash in domain",   "a@d/t.test",         10, CX_EINVAL, NULL },
	{ "empty",             "",                    0, CX_EINVAL, NULL },
	{ "only at sign",      "@",                   1, CX_EINVAL, NULL },
	{ "no local part",     "@d.test",             7, CX_EINVAL, NULL },
	{ "no domain after at", "a@",                 2, CX_EINVAL, NULL },
	{ "open literal",      "a@[",                 3, CX_EINVAL, NULL },
	{ "empty literal",     "a@[]",                4, CX_EINVAL, NULL },
	{ "literal with dot",  "a@[192.0.2.1].",     14, CX_OK, "smtp:a@[192.0.2.1]" },
};

/* Internal form, then the route that Postfix would follow. */
static const struct {
	const char *text;
	const char *key; /* NULL: CX_EINVAL */
} routes[] = {
	{ "adam@d.test",         "smtp:adam@d.test" },
	{ "adam%e.test@d.test",  "smtp:adam%e.test@d.test" },
	{ "e.test!adam@d.test",  "smtp:e.test!adam@d.test" },
	{ "postmaster",          "smtp:postmaster" },
	{ "adam%d.test",         "smtp:adam@d.test" },
	{ "Adam%D.Test.",        "smtp:adam@d.test" },
	{ "adam%e.test%d.test",  "smtp:adam%e.test@d.test" },
	{ "d.test!adam",         "smtp:adam@d.test" },
	{ "d.test!e.test!adam",  "smtp:e.test!adam@d.test" },
	{ "d.test!adam%e.test",  "smtp:adam%e.test@d.test" },
	{ "a b%d.test",          "smtp:a b@d.test" },
	{ "adam%[192.0.2.1]",    "smtp:adam@[192.0.2.1]" },
	{ "adam%",               "smtp:adam%" },
	{ "adam%d.test%%",       "smtp:adam@d.test" },
	{ "%",                   "smtp:%" },
	{ "!adam",               "smtp:!adam" },
	{ "%d.test",             NULL },
	{ "d.test!",             NULL },
	{ "adam%d..test",        NULL },
	{ "adam%192.0.2.1",      NULL },
};

static const struct {
	const char *text;
	const char *key; /* NULL: CX_EINVAL */
	const char *printed;
} typed[] = {
	{ "adam@d.test",            "smtp:adam@d.test", "adam@d.test" },
	{ " adam@d.test ",          "smtp:adam@d.test", "adam@d.test" },
	{ "SMTP:Adam@d.test",       "smtp:adam@d.test", "Adam@d.test" },
	{ "smtp: adam@d.test",      "smtp:adam@d.test", "adam@d.test" },
	{ "smtp:\"a b\"@d.test",    "smtp:a b@d.test", "\"a b\"@d.test" },
	{ "\"a:b\"@d.test",         "smtp:a:b@d.test", "\"a:b\"@d.test" },
	{ "a b@d.test",             "smtp:a b@d.test", "\"a b\"@d.test" },
	{ "a@[IPv6:::1]",           "smtp:a@[ipv6:::1]", "a@[ipv6:::1]" },
	{ "a.b:c@d.test",           "smtp:a.b:c@d.test", "\"a.b:c\"@d.test" },
	{ "MS:Microsoft/PO2/Adam",  "ms:microsoft/po2/adam", "MS:Microsoft/PO2/Adam" },
	{ "ccmail:Barr, Adam at PO1", "ccmail:barr, adam at po1", "CCMAIL:Barr, Adam at PO1" },
	{ "NOTES:Adam Barr/Acme@Acme", "notes:adam barr/acme@acme", "NOTES:Adam Barr/Acme@Acme" },
	{ "X500:/o=Acme/cn=J\xc3\x9c", "x500:/o=acme/cn=j\xc3\xbc", "X500:/o=Acme/cn=J\xc3\x9c" },
	{ "FAX: +1 425 ",           "fax: +1 425 ", "FAX: +1 425 " },
	{ "x-my-type:v",            "x-my-type:v", "X-MY-TYPE:v" },
	{ "X400:c=US;a= ;p=Acme;o=Site;s=Barr;g=Adam;",
	  "x400:a=;c=us;g=adam;o=site;p=acme;s=barr", "X400:c=US;a= ;p=Acme;o=Site;s=Barr;g=Adam;" },
	{ "X400:s=Barr; G = Adam ;P=ACME;C=us;ADMD=;o=Site",
	  "x400:a=;c=us;g=adam;o=site;p=acme;s=barr", "X400:s=Barr; G = Adam ;P=ACME;C=us;ADMD=;o=Site" },
	{ "X400:/C=us/ADMD= /PRMD=Acme/O=a$/b/",
	  "x400:a=;c=us;o=a/b;p=acme", "X400:/C=us/ADMD= /PRMD=Acme/O=a$/b/" },
	{ "X400:c=us;ou=a;ou=b;dda:SMTP=x(a)y", "x400:c=us;dda:smtp=x(a)y;ou1=a;ou2=b",
	  "X400:c=us;ou=a;ou=b;dda:SMTP=x(a)y" },
	{ "X400:/c=us/DD.SMTP=x(a)y/", "x400:c=us;dda:smtp=x(a)y", "X400:/c=us/DD.SMTP=x(a)y/" },
	{ "",                       NULL, NULL },
	{ ":adam@d.test",           NULL, NULL },
	{ "SMTP:",                  NULL, NULL },
	{ "MS:",                    NULL, NULL },
	{ "MS:a\nb",                NULL, NULL },
	{ "MS:a\xff",               NULL, NULL },
	{ "X400:",                  NULL, NULL },
	{ "X400:;;",                NULL, NULL },
	{ "X400:acme",              NULL, NULL },
	{ "X400:=acme",             NULL, NULL },
	{ "X400:c=us;c=de",         NULL, NULL },
	{ "X400:c=us;a,b=x",        NULL, NULL },
	{ "X400:/c=us;p=x/",        NULL, NULL },
};
/* clang-format on */

static void assert_key(const struct address *address, const char *expected,
    const char *label)
{
	struct key key;

	address_key(address, &key);
	unit_assert_span(key_span(&key), expected, label);
	ck_assert_int_eq(key.bytes[key.len], '\0');
}

static void assert_printed(const struct address *address, const char *expected,
    const char *label)
{
	struct buf out;

	buf_init(&out);
	address_print(address, &out);
	unit_assert_span(buf_span(&out), expected, label);
	buf_release(&out);
}

START_TEST(follows_routes_as_postfix_does)
{
	struct address address;
	struct key key;
	enum status status;

	ck_assert_int_eq(address_parse_internal(unit_text(routes[_i].text), &address), CX_OK);
	status = address_follow_route(&address);
	unit_assert_status(status, routes[_i].key != NULL ? CX_OK : CX_EINVAL, routes[_i].text);
	if (status == CX_OK) {
		address_key(&address, &key);
		unit_assert_span(key_span(&key), routes[_i].key, routes[_i].text);
	}
}
END_TEST

START_TEST(reads_what_a_client_typed_as_postfix_does)
{
	struct address address;

	unit_assert_status(address_parse_path(unit_text(paths[_i].text), &address),
	    paths[_i].key != NULL ? CX_OK : CX_EINVAL, paths[_i].text);
	if (paths[_i].key != NULL) {
		assert_key(&address, paths[_i].key, paths[_i].text);
		assert_printed(&address, paths[_i].printed, paths[_i].text);
	}
}
END_TEST

START_TEST(reads_the_internal_form)
{
	struct address address;

	unit_assert_status(
	    address_parse_internal(unit_span(internals[_i].text, internals[_i].len), &address),
	    internals[_i].status, internals[_i].label);
	if (internals[_i].key != NULL) {
		assert_key(&address, internals[_i].key, internals[_i].label);
	}
}
END_TEST

START_TEST(reads_values_of_the_directory)
{
	struct address address;

	unit_assert_status(address_parse_typed(unit_text(typed[_i].text), &address),
	    typed[_i].key != NULL ? CX_OK : CX_EINVAL, typed[_i].text);
	if (typed[_i].key != NULL) {
		assert_key(&address, typed[_i].key, typed[_i].text);
		assert_printed(&address, typed[_i].printed, typed[_i].text);
	}
}
END_TEST

START_TEST(what_is_printed_reads_as_the_same_address)
{
	struct address address, again;
	struct key key, key_again;
	struct buf out;

	if (paths[_i].key == NULL) {
		return;
	}
	buf_init(&out);
	ck_assert_int_eq(address_parse_path(unit_text(paths[_i].text), &address), CX_OK);
	address_print(&address, &out);
	ck_assert_int_eq(address_parse_path(buf_span(&out), &again), CX_OK);
	address_key(&address, &key);
	address_key(&again, &key_again);
	ck_assert_msg(key_equal(&key, &key_again), "%s: %s", paths[_i].text, out.data);
	ck_assert_uint_eq(again.local_len, address.local_len);
	ck_assert_mem_eq(again.local, address.local, address.local_len);
	buf_release(&out);
}
END_TEST

static enum status parse_lengths(const char *local, const char *domain)
{
	struct address address;
	char text[4096];
	int len = snprintf(text, sizeof(text), "%s@%s", local, domain);

	return address_parse_internal(unit_span(text, (size_t)len), &address);
}

START_TEST(limits_are_where_the_standards_put_them)
{
	const char *label63 = unit_repeat('a', 63);
	char domain[300];
	struct address address;
	const char *value = unit_repeat('v', ADDRESS_VALUE_MAX + 1);

	unit_assert_status(parse_lengths(unit_repeat('a', 315), "d.test"), CX_OK, "315");
	unit_assert_status(parse_lengths(unit_repeat('a', 316), "d.test"), CX_ETOOLONG, "316");
	unit_assert_status(parse_lengths("a", label63), CX_OK, "label of 63");
	unit_assert_status(parse_lengths("a", unit_repeat('a', 64)), CX_ETOOLONG, "label of 64");
	snprintf(domain, sizeof(domain), "%s.%s.%s.%.61s", label63, label63, label63, label63);
	ck_assert_uint_eq(strlen(domain), 253);
	unit_assert_status(parse_lengths("a", domain), CX_OK, "domain of 253");
	strcat(domain, ".");
	unit_assert_status(parse_lengths("a", domain), CX_OK, "and a dot");
	domain[253] = 'a';
	unit_assert_status(parse_lengths("a", domain), CX_ETOOLONG, "domain of 254");
	snprintf(domain, sizeof(domain), "\xc3\xbc%s.test", unit_repeat('a', 60));
	unit_assert_status(parse_lengths("a", domain), CX_ETOOLONG, "A-label of 64");
	unit_assert_status(address_make("ms", (struct span){ value, ADDRESS_VALUE_MAX },
	    SPAN(""), &address), CX_OK, "value of 1123");
	unit_assert_status(address_make("ms", span_of(value), SPAN(""), &address),
	    CX_ETOOLONG, "value of 1124");
	unit_assert_status(address_make("abcdefghijklmnop", SPAN("v"), SPAN(""), &address),
	    CX_OK, "type of 16");
	unit_assert_status(address_make("abcdefghijklmnopq", SPAN("v"), SPAN(""), &address),
	    CX_ETOOLONG, "type of 17");
	unit_assert_status(address_make("m s", SPAN("v"), SPAN(""), &address), CX_EINVAL, "type");
	unit_assert_status(address_make("ms", SPAN("v"), SPAN("d.test"), &address), CX_EINVAL,
	    "domain of another type");
	unit_assert_status(address_parse_path(unit_text(unit_repeat('a', 2049)), &address),
	    CX_ETOOLONG, "command line");
	unit_assert_status(address_parse_path(unit_text(unit_repeat('[', 2048)), &address),
	    CX_ETOOLONG, "literal to the end");
	unit_assert_status(address_parse_path(unit_text(unit_repeat('.', 2048)), &address),
	    CX_ETOOLONG, "2048 tokens");
}
END_TEST

START_TEST(a_folded_value_that_grows_fits_or_is_refused)
{
	char value[ADDRESS_VALUE_MAX];
	struct address address;

	/* U+023A is 2 bytes, its lower case 3; U+1D160 is 4, its NFC 12. */
	for (size_t i = 0; i + 2 <= sizeof(value); i += 2) {
		memcpy(value + i, "\xc8\xba", 2);
	}
	unit_assert_status(address_make("x500", unit_span(value, 1122), SPAN(""), &address),
	    CX_OK, "1.5 times");
	ck_assert_uint_eq(address.folded_len, 1683);
	for (size_t i = 0; i + 4 <= sizeof(value); i += 4) {
		memcpy(value + i, "\xf0\x9d\x85\xa0", 4);
	}
	unit_assert_status(address_make("x500", unit_span(value, 1120), SPAN(""), &address),
	    CX_OK, "3 times");
	ck_assert_uint_eq(address.folded_len, 3360);
}
END_TEST

START_TEST(long_keys_are_hashes)
{
	struct address address;
	struct key key, other;
	const char *value = unit_repeat('V', 478);

	ck_assert_int_eq(address_make("X", (struct span){ value, 478 }, SPAN(""), &address),
	    CX_OK);
	address_key(&address, &key);
	ck_assert_uint_eq(key.len, ADDRESS_KEY_TEXT_MAX);
	ck_assert_int_eq(key.bytes[1], ':');
	value = unit_repeat('V', 479);
	ck_assert_int_eq(address_make("X", (struct span){ value, 479 }, SPAN(""), &address),
	    CX_OK);
	address_key(&address, &key);
	/* printf 'x:%s' $(printf 'v%.0s' $(seq 479)) | sha256sum */
	unit_assert_span(key_span(&key),
	    "x#07b48a35556ac4e41929e85fd8ebd91b789d0c79d42d4a362e1dd745a3e7663e", "hash");
	address_key_base(&address, 478, &other);
	ck_assert(!key_equal(&key, &other));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("address");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, follows_routes_as_postfix_does, 0, ROWS(routes));
	tcase_add_loop_test(tcase, reads_what_a_client_typed_as_postfix_does, 0, ROWS(paths));
	tcase_add_loop_test(tcase, reads_the_internal_form, 0, ROWS(internals));
	tcase_add_loop_test(tcase, reads_values_of_the_directory, 0, ROWS(typed));
	tcase_add_loop_test(tcase, what_is_printed_reads_as_the_same_address, 0, ROWS(paths));
	tcase_add_test(tcase, limits_are_where_the_standards_put_them);
	tcase_add_test(tcase, a_folded_value_that_grows_fits_or_is_refused);
	tcase_add_test(tcase, long_keys_are_hashes);
	suite_add_tcase(suite, tcase);
	return suite;
}
