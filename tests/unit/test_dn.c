#include "config.h"

#include <stdio.h>

#include "unit.h"
#include "value/dn.h"

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

Suite *unit_suite(void)
{
	Suite *suite = suite_create("dn");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, spellings_of_a_name_have_one_key, 0, ROWS(names));
	tcase_add_test(tcase, different_names_have_different_keys);
	tcase_add_loop_test(tcase, finds_the_value_of_the_first_rdn, 0, ROWS(rdns));
	tcase_add_test(tcase, refuses_what_is_no_text);
	tcase_add_test(tcase, long_names_have_hashed_keys_and_too_long_ones_none);
	suite_add_tcase(suite, tcase);
	return suite;
}
