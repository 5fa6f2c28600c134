#include "config.h"

#include "unit.h"
#include "value/imcea.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

/* clang-format off */

/* field-map.md, section G: the first is Microsoft's own (Q162680). */
static const struct {
	const char *inner, *domain, *outer;
} vectors[] = {
	{ "X400:c=US;a= ;p=Microsoft;o=Site;dda:SMTP=user;", "microsoft.com",
	  "IMCEAX400-c=US+3Ba=+20+3Bp=Microsoft+3Bo=Site+3Bdda+3ASMTP=user+3B@microsoft.com" },
	{ "MS:MICROSOFT/PO2/ADAMB", "example.com", "IMCEAMS-MICROSOFT_PO2_ADAMB@example.com" },
	{ "MS:NET_1/PO2/A B", "example.com", "IMCEAMS-NET+5F1_PO2_A+20B@example.com" },
	{ "MS:A+B/C=D/E-F", "example.com", "IMCEAMS-A+2BB_C=D_E-F@example.com" },
	{ "EX:/o=Acme/ou=HQ/cn=Recipients/cn=adamb", "example.com",
	  "IMCEAEX-_o=Acme_ou=HQ_cn=Recipients_cn=adamb@example.com" },
	{ "CCMAIL:Barr, Adam at PO1", "example.com", "IMCEACCMAIL-Barr+2C+20Adam+20at+20PO1@example.com" },
	{ "NOTES:Adam Barr/Sales/Acme@Acme", "example.com",
	  "IMCEANOTES-Adam+20Barr_Sales_Acme+40Acme@example.com" },
	{ "SNADS:DGN(DEN)", "example.com", "IMCEASNADS-DGN+28DEN+29@example.com" },
	{ "GWISE:Dom.PO.User", "example.com", "IMCEAGWISE-Dom+2EPO+2EUser@example.com" },
	{ "FAX:+1 (425) 555-0100", "example.com", "IMCEAFAX-+2B1+20+28425+29+20555-0100@example.com" },
	{ "NOTES:J\xc3\xbcrgen\\x", "example.com", "IMCEANOTES-J+C3+BCrgen+5Cx@example.com" },
};

static const struct {
	const char *outer;
	enum status status;
	const char *inner; /* its key */
} decoded[] = {
	{ "imceaMs-Net_po2_Adam@d.test",       CX_OK, "ms:net/po2/adam" },
	{ "IMCEAMS-NET+5f1@d.test",            CX_OK, "ms:net_1" },
	{ "IMCEAMS-NET+5F1@d.test",            CX_OK, "ms:net_1" },
	{ "IMCEAFAX-555.0100@d.test",          CX_OK, "fax:555.0100" },
	{ "IMCEAMS-a-b@d.test",                CX_OK, "ms:a-b" },
	{ "IMCEASMTP-victim+40other+2Eorg@d.test", CX_OK, "smtp:victim@other.org" },
	{ "IMCEAX500-_o=Acme@d.test",          CX_OK, "x500:/o=acme" },
	{ "IMCEAX400-c=US+3Bp=Acme@d.test",    CX_OK, "x400:c=us;p=acme" },
	{ "IMCEAMS-NET+5@d.test",              CX_EINVAL, NULL },
	{ "IMCEAMS-NET+@d.test",               CX_EINVAL, NULL },
	{ "IMCEAMS-NET+ZZ@d.test",             CX_EINVAL, NULL },
	{ "IMCEAMS-NET+5G@d.test",             CX_EINVAL, NULL },
	{ "IMCEAMS-NET++2B@d.test",            CX_EINVAL, NULL },
	{ "IMCEAMS-a+0Db@d.test",              CX_EINVAL, NULL },
	{ "IMCEAMS-a+0Ab@d.test",              CX_EINVAL, NULL },
	{ "IMCEAMS-a+00b@d.test",              CX_EINVAL, NULL },
	{ "IMCEAMS-a+FFb@d.test",              CX_EINVAL, NULL },
	{ "IMCEAMS-@d.test",                   CX_EINVAL, NULL },
	{ "IMCEA-x@d.test",                    CX_EINVAL, NULL },
	{ "IMCEA-@d.test",                     CX_EINVAL, NULL },
	{ "IMCEAABCDEFGHIJKLMNOPQ-x@d.test",   CX_EINVAL, NULL },
	{ "IMCEASMTP-+40d.test@d.test",        CX_EINVAL, NULL },
	{ "IMCEAX400-acme@d.test",             CX_EINVAL, NULL },
	{ "IMCEA@d.test",                      CX_NOTFOUND, NULL },
	{ "imceasmith@d.test",                 CX_NOTFOUND, NULL },
	{ "imcea.smith-jones@d.test",          CX_NOTFOUND, NULL },
	{ "adam@d.test",                       CX_NOTFOUND, NULL },
	{ "x-IMCEAMS-a@d.test",                CX_NOTFOUND, NULL },
	{ "MS:IMCEAMS-a",                      CX_NOTFOUND, NULL },
};
/* clang-format on */

static void assert_key(const struct address *address, const char *expected,
    const char *label)
{
	struct key key;

	address_key(address, &key);
	unit_assert_span(key_span(&key), expected, label);
}

static void assert_printed(const struct address *address, const char *expected)
{
	struct buf out;

	buf_init(&out);
	address_print(address, &out);
	unit_assert_span(buf_span(&out), expected, expected);
	buf_release(&out);
}

START_TEST(encodes_the_known_vectors)
{
	struct address inner, outer;

	ck_assert_int_eq(address_parse_typed(unit_text(vectors[_i].inner), &inner), CX_OK);
	unit_assert_status(imcea_encode(&inner, unit_text(vectors[_i].domain), &outer), CX_OK,
	    vectors[_i].inner);
	assert_printed(&outer, vectors[_i].outer);
}
END_TEST

START_TEST(decodes_the_known_vectors)
{
	struct address inner, outer;

	ck_assert_int_eq(address_parse_path(unit_text(vectors[_i].outer), &outer), CX_OK);
	unit_assert_status(imcea_decode(&outer, &inner), CX_OK, vectors[_i].outer);
	assert_printed(&inner, vectors[_i].inner);
}
END_TEST

START_TEST(decodes_strictly)
{
	struct address inner, outer;

	ck_assert_int_eq(address_parse_typed(unit_text(decoded[_i].outer), &outer), CX_OK);
	unit_assert_status(imcea_decode(&outer, &inner), decoded[_i].status, decoded[_i].outer);
	if (decoded[_i].inner != NULL) {
		assert_key(&inner, decoded[_i].inner, decoded[_i].outer);
	}
}
END_TEST

START_TEST(any_bytes_that_a_value_may_hold_come_back)
{
	char value[100];
	struct address inner, outer, again;

	for (unsigned base = 1; base < 0x80; base += 50) {
		size_t len = 0;

		for (unsigned c = base; c < base + 50 && c < 0x80; c++) {
			if (c != '\r' && c != '\n') {
				value[len++] = (char)c;
			}
		}
		ck_assert_int_eq(
		    address_make("odd", unit_span(value, len), SPAN(""), &inner), CX_OK);
		ck_assert_int_eq(imcea_encode(&inner, SPAN("d.test"), &outer), CX_OK);
		ck_assert_int_eq(imcea_decode(&outer, &again), CX_OK);
		ck_assert_uint_eq(again.local_len, len);
		ck_assert_mem_eq(again.local, value, len);
		ck_assert_str_eq(again.type, "odd");
	}
}
END_TEST

START_TEST(encodes_up_to_315_bytes_of_local_part)
{
	struct address inner, outer;
	const char *value = unit_repeat('a', 308); /* and "IMCEAMS-" */

	ck_assert_int_eq(address_make("ms", (struct span){ value, 307 }, SPAN(""), &inner),
	    CX_OK);
	unit_assert_status(imcea_encode(&inner, SPAN("d.test"), &outer), CX_OK, "315");
	ck_assert_uint_eq(outer.local_len, ADDRESS_LOCAL_MAX);
	unit_assert_status(imcea_decode(&outer, &inner), CX_OK, "and back");
	ck_assert_uint_eq(inner.local_len, 307);
	ck_assert_int_eq(address_make("ms", span_of(value), SPAN(""), &inner), CX_OK);
	unit_assert_status(imcea_encode(&inner, SPAN("d.test"), &outer), CX_ETOOLONG, "316");
}
END_TEST

START_TEST(encapsulates_other_types_under_a_domain_only)
{
	struct address inner, outer;

	ck_assert_int_eq(address_parse_typed(SPAN("adam@d.test"), &inner), CX_OK);
	unit_assert_status(imcea_encode(&inner, SPAN("d.test"), &outer), CX_EINVAL, "SMTP");
	ck_assert_int_eq(address_parse_typed(SPAN("MS:A/B/C"), &inner), CX_OK);
	unit_assert_status(imcea_encode(&inner, SPAN(""), &outer), CX_EINVAL, "no domain");
	unit_assert_status(imcea_encode(&inner, SPAN("d..test"), &outer), CX_EINVAL, "domain");
	ck_assert_int_eq(address_parse_typed(SPAN("X-MS:A"), &inner), CX_OK);
	unit_assert_status(imcea_encode(&inner, SPAN("d.test"), &outer), CX_EINVAL, "hyphen");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("imcea");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, encodes_the_known_vectors, 0, ROWS(vectors));
	tcase_add_loop_test(tcase, decodes_the_known_vectors, 0, ROWS(vectors));
	tcase_add_loop_test(tcase, decodes_strictly, 0, ROWS(decoded));
	tcase_add_test(tcase, any_bytes_that_a_value_may_hold_come_back);
	tcase_add_test(tcase, encodes_up_to_315_bytes_of_local_part);
	tcase_add_test(tcase, encapsulates_other_types_under_a_domain_only);
	suite_add_tcase(suite, tcase);
	return suite;
}
