#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"
#include "value/dn.h"
#include "value/dn_plain.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* clang-format off */
static const struct {
	const char *dn;
	const char *key; /* NULL: CX_EINVAL */
} names[] = {
	{ "uid=adam,ou=People,dc=acme,dc=example",   "dn:uid=adam,ou=people,dc=acme,dc=example" },
	{ "UID=Adam , OU = people,DC=Acme,dc=EXAMPLE", "dn:uid=adam,ou=people,dc=acme,dc=example" },
	{ "userid=adam,2.5.4.11=People,0.9.2342.19200300.100.1.25=acme,domainComponent=example",
	  "dn:uid=adam,ou=people,dc=acme,dc=example" },
	{ "2.5.4.3=x",                               "dn:cn=x" },
	{ "commonName=Adam  Barr",                   "dn:cn=adam barr" },
	{ "cn=\\ Adam \\ ",                          "dn:cn=adam" },
	{ "cn=Adam;o=Acme",                          "dn:cn=adam,o=acme" },
	{ "cn=\"Barr, Adam\",o=Acme",                "dn:cn=barr\\2C adam,o=acme" },
	{ "cn=Barr\\, Adam,o=Acme",                  "dn:cn=barr\\2C adam,o=acme" },
	{ "cn=Barr\\2C Adam,o=Acme",                 "dn:cn=barr\\2C adam,o=acme" },
	{ "cn=x+sn=y",                               "dn:cn=x+sn=y" },
	{ "surname=Y + CN=x",                        "dn:cn=x+sn=y" },
	{ "cn=J\xc3\x9crgen",                        "dn:cn=ju\\CC\\88rgen" },
	{ "cn=JU\xcc\x88rgen",                       "dn:cn=ju\\CC\\88rgen" },
	{ "cn=J\\C3\\9Crgen",                        "dn:cn=ju\\CC\\88rgen" },
	{ "cn=o\xef\xac\x83" "ce",                   "dn:cn=office" },
	{ "cn=Stra\xc3\x9f" "e",                     "dn:cn=stra\\C3\\9Fe" },
	{ "x-Odd=V",                                 "dn:x-odd=v" },
	{ "1.2.3=#04024869",                         "dn:1.2.3=#04024869" },
	{ "cn=",                                     "dn:cn=" },
	{ "cn=\\ \\ ",                               "dn:cn=" },
	{ "",                                        NULL },
	{ "  ",                                      NULL },
	{ "adam",                                    NULL },
	{ "cn=a,",                                   NULL },
	{ ",cn=a",                                   NULL },
	{ "cn=a,,dc=b",                              NULL },
	{ "=a",                                      NULL },
	{ "cn=a\\",                                  NULL },
	{ "cn=\"a",                                  NULL },
	{ "cn=J\xdc",                                 NULL },
	{ "cn=J\\DC",                                NULL },
	{ "cn=#0",                                   NULL },
	{ "adam@acme.example",                       NULL },
};

static const struct {
	const char *dn, *value;
} rdns[] = {
	{ "cn=SiteB,ou=servers,dc=acme",   "SiteB" },
	{ "cn=Barr\\, Adam,dc=acme",       "Barr, Adam" },
	{ "CN = mail.acme.example ,o=x",   "mail.acme.example" },
	{ "cn=x+sn=y,o=z",                 "x" },
	{ "cn=J\\C3\\BC",                  "J\xc3\xbc" },
	{ "cn=",                           "" },
};
/* clang-format on */

START_TEST(spellings_of_a_name_have_one_key)
{
	struct key key;

	unit_assert_status(dn_key(unit_text(names[_i].dn), &key),
	    names[_i].key != NULL ? CX_OK : CX_EINVAL, names[_i].dn);
	if (names[_i].key != NULL) {
		unit_assert_span(key_span(&key), names[_i].key, names[_i].dn);
	}
}
END_TEST

START_TEST(different_names_have_different_keys)
{
	static const char *const dns[] = { "cn=a,dc=b", "cn=a\\,dc=b", "cn=a+dc=b", "cn=ab",
		"cn=a b", "ou=a,dc=b", "dc=b,cn=a", "cn=a\\+dc=b", "cn=a\\00,dc=b", "cn=a\\00c,dc=b",
		"cn=a\\0A,dc=b", "cn=a\\0Ac,dc=b" };
	struct key keys[ROWS(dns)];

	for (int i = 0; i < ROWS(dns); i++) {
		unit_assert_status(dn_key(unit_text(dns[i]), &keys[i]), CX_OK, dns[i]);
		for (int j = 0; j < i; j++) {
			ck_assert_msg(!key_equal(&keys[i], &keys[j]), "%s, %s", dns[i], dns[j]);
		}
	}
}
END_TEST

START_TEST(finds_the_value_of_the_first_rdn)
{
	struct buf out;

	buf_init(&out);
	unit_assert_status(dn_rdn_value(unit_text(rdns[_i].dn), &out), CX_OK, rdns[_i].dn);
	unit_assert_span(buf_span(&out), rdns[_i].value, rdns[_i].dn);
	unit_assert_status(dn_rdn_value(unit_text("SiteB"), &out), CX_EINVAL, "no name");
	buf_release(&out);
}
END_TEST

START_TEST(refuses_what_is_no_text)
{
	struct key key;

	unit_assert_status(dn_key(unit_span("cn=a\0b", 6), &key), CX_EINVAL, "NUL");
	unit_assert_status(dn_key((struct span){ NULL, 0 }, &key), CX_EINVAL, "NULL");
}
END_TEST

START_TEST(long_names_have_hashed_keys_and_too_long_ones_none)
{
	struct buf dn;
	struct key key, other;

	buf_init(&dn);
	buf_printf(&dn, "cn=%s", unit_repeat('A', 1000));
	unit_assert_status(dn_key(buf_span(&dn), &key), CX_OK, "1003");
	ck_assert_uint_eq(key.len, 3 + 64);
	ck_assert_mem_eq(key.bytes, "dn#", 3);
	buf_clear(&dn);
	buf_printf(&dn, "CN=%s", unit_repeat('a', 1000));
	unit_assert_status(dn_key(buf_span(&dn), &other), CX_OK, "1003");
	ck_assert(key_equal(&key, &other));
	buf_clear(&dn);
	buf_printf(&dn, "cn=%s", unit_repeat('a', 8189));
	unit_assert_status(dn_key(buf_span(&dn), &key), CX_OK, "8192");
	buf_add_char(&dn, 'a');
	unit_assert_status(dn_key(buf_span(&dn), &key), CX_ETOOLONG, "8193");
	buf_release(&dn);
}
END_TEST

/* The short way and libldap's agree wherever the short way is taken. */
static bool compare_ways(struct span dn)
{
	struct key plain, parsed;
	struct span value;
	struct buf parsed_value;
	bool is_plain = dn_plain_key(dn, &plain);

	if (is_plain) {
		ck_assert_msg(dn_parsed_key(dn, &parsed) == CX_OK &&
				  key_equal(&plain, &parsed) &&
				  plain.bytes[plain.len] == '\0',
		    "%.*s", SPAN_ARGS(dn));
	}
	if (dn_plain_rdn_value(dn, &value)) {
		buf_init(&parsed_value);
		ck_assert_msg(dn_parsed_rdn_value(dn, &parsed_value) == CX_OK &&
				  span_equal(value, buf_span(&parsed_value)),
		    "%.*s", SPAN_ARGS(dn));
		buf_release(&parsed_value);
	}
	return is_plain;
}

/* Every byte in every place of a name. */
START_TEST(the_short_way_agrees_byte_by_byte)
{
	static const char pattern[] = "c1=ab,ou=cd";
	size_t plain = 0;

	for (size_t at = 0; at < sizeof(pattern) - 1; at++) {
		for (int c = 0; c < 256; c++) {
			char *text = unit_copy(pattern, sizeof(pattern) - 1);

			text[at] = (char)c;
			plain += compare_ways(
			    (struct span){ text, sizeof(pattern) - 1 });
			free(text);
		}
	}
	ck_assert_uint_gt(plain, 300);
}
END_TEST

/* Made of pieces that matter, in any order. */
START_TEST(the_short_way_agrees_with_libldap)
{
	static const char *const pieces[] = { "cn", "UID", "ou", "dc", "commonName",
		"userid", "gn", "GN", "x-Odd", "c1", "1.2.3", "oid.1", "=", "=", "=", ",",
		",", ",", ";", "+", " ", " ", "  ", "Adam", "barr", "B", "9", "a.b_c@d",
		"#04", "\\", "\\2C", "\"", "<", "/", "(x)", "*", "\xc3\x9c", "\t", ":",
		"'", "$", "{", "?", "-", "cn=a", ",ou=People", ",dc=acme,dc=example" };
	uint32_t random = 1;
	size_t plain = 0;
	struct buf text;

	buf_init(&text);
	for (int round = 0; round < 200000; round++) {
		buf_clear(&text);
		for (unsigned i = 0, count = 1 + round % 9; i < count; i++) {
			random = random * 1664525u + 1013904223u;
			buf_add_text(&text, pieces[(random >> 8) % ROWS(pieces)]);
		}
		plain += compare_ways(buf_span(&text));
	}
	ck_assert_uint_gt(plain, 2000);
	buf_release(&text);
}
END_TEST

/* What most entries are called must not need the long way. */
START_TEST(everyday_names_are_plain)
{
	static const char *const dns[] = { "uid=adam,ou=People,dc=acme,dc=example",
		"cn=Adam Barr,cn=Users,dc=corp,dc=acme,dc=example",
		"cn=O'Neil (Sales),ou=R&D,o=Acme", "userid=adam@acme.example,c=DE" };
	struct key key;

	for (int i = 0; i < ROWS(dns); i++) {
		ck_assert_msg(dn_plain_key(span_of(dns[i]), &key), "%s", dns[i]);
		ck_assert(compare_ways(unit_text(dns[i])));
	}
}
END_TEST

START_TEST(the_short_way_keeps_the_limits)
{
	struct buf dn;
	struct key key;
	struct span value;

	buf_init(&dn);
	for (size_t len = 470; len < 490; len++) {
		buf_clear(&dn);
		buf_printf(&dn, "userid=%s", unit_repeat('A', len));
		bool is_plain = compare_ways(buf_span(&dn));

		ck_assert_int_eq(is_plain, 3 + 4 + len <= ADDRESS_KEY_TEXT_MAX);
	}
	buf_clear(&dn);
	buf_printf(&dn, "cn=%s", unit_repeat('a', DN_LEN_MAX));
	ck_assert(!dn_plain_rdn_value(buf_span(&dn), &value));
	ck_assert(!dn_plain_key((struct span){ NULL, 0 }, &key));
	ck_assert(!dn_plain_rdn_value((struct span){ NULL, 0 }, &value));
	buf_release(&dn);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("dn");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, spellings_of_a_name_have_one_key, 0, ROWS(names));
	tcase_add_test(tcase, different_names_have_different_keys);
	tcase_add_loop_test(tcase, finds_the_value_of_the_first_rdn, 0, ROWS(rdns));
	tcase_add_test(tcase, refuses_what_is_no_text);
	tcase_add_test(tcase, long_names_have_hashed_keys_and_too_long_ones_none);
	tcase_add_test(tcase, the_short_way_agrees_byte_by_byte);
	tcase_add_test(tcase, the_short_way_agrees_with_libldap);
	tcase_add_test(tcase, everyday_names_are_plain);
	tcase_add_test(tcase, the_short_way_keeps_the_limits);
	suite_add_tcase(suite, tcase);
	return suite;
}
