#include "config.h"

#include "mapping_rows.h"
#include "unit.h"

/* What a directory may not say: for others, too much, or what fits nowhere. */

/* clang-format off */
static const char *const limit[] = { "acme.example", "*.acme.example", NULL };
static const struct row limited_rows[] = {
	{ "addresses outside are left out", MAILBOX "coexistProxyAddress: smtp:a@sub.acme.example\n"
	  "coexistProxyAddress: smtp:a@other.example\ncoexistProxyAddress: smtp:a@xacme.example\n"
	  "coexistProxyAddress: MS:A/B/C\ncoexistProxyAddress: X500:/o=Acme/cn=adam\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\nproxy a@sub.acme.example\n",
	  "coexistProxyAddress: \"smtp:a@other.example\": outside the domains of this directory\n"
	  "coexistProxyAddress: \"smtp:a@xacme.example\": outside the domains of this directory\n" },
	{ "a target may lie outside", MAILBOX "coexistTargetAddress: a@pop.example\n", CX_OK,
	  "kind recipient\nflag mailbox\nflag target-not-own\n" ADAM_DN "mail adam@acme.example\ntarget a@pop.example\n", "" },
	{ "a target within is an address of its own",
	  MAILBOX "coexistTargetAddress: a@SUB.acme.example.\n", CX_OK,
	  "kind recipient\nflag mailbox\n" ADAM_DN "mail adam@acme.example\ntarget a@sub.acme.example\n", "" },
	{ "a target of another type is not", MAILBOX "coexistTargetAddress: MS:A/B/C\n", CX_OK,
	  "kind recipient\nflag mailbox\nflag target-not-own\n" ADAM_DN "mail adam@acme.example\ntarget MS:A/B/C\n", "" },
	{ "logins that are addresses",
	  MAILBOX "uid: adam\nuid: Adam@Sub.ACME.example\nuid: ceo@other.example\nuid: ceo@Other.Example.\n"
	  "uid: \"ceo\"@other.example\nuid: eve@\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\nlogin adam\nlogin adam@sub.acme.example\nlogin eve@\n",
	  "uid: \"ceo@other.example\": outside the domains of this directory\n"
	  "uid: \"ceo@Other.Example.\": outside the domains of this directory\n"
	  "uid: \"\"ceo\"@other.example\": outside the domains of this directory\n" },
	{ "the base itself", "dn: dc=acme,dc=example\nobjectClass: coexistMailbox\nmail: a@acme.example\n", CX_OK,
	  "kind recipient\ndn dc=acme,dc=example\nmail a@acme.example\n", "" },
	{ "another spelling of the base",
	  "dn: CN=A\\, B; DC=Acme , DC=EXAMPLE\nobjectClass: coexistMailbox\nmail: a@acme.example\n", CX_OK,
	  "kind recipient\ndn CN=A\\, B; DC=Acme , DC=EXAMPLE\nmail a@acme.example\n", "" },
	{ "outside the base", "dn: uid=a,dc=other,dc=example\nobjectClass: coexistMailbox\nmail: a@acme.example\n",
	  CX_EINVAL, "", "outside the base of this directory\n" },
	{ "above the base", "dn: dc=example\nobjectClass: coexistMailbox\nmail: a@acme.example\n",
	  CX_EINVAL, "", "outside the base of this directory\n" },
	{ "that only looks as if below the base",
	  "dn: uid=a\\,dc=acme,dc=example\nobjectClass: coexistMailbox\nmail: a@acme.example\n",
	  CX_EINVAL, "", "outside the base of this directory\n" },
	{ "nothing within", ADAM "objectClass: coexistMailbox\nmail: ceo@other.example\n", CX_EINVAL, "",
	  "mail: \"ceo@other.example\": outside the domains of this directory\nno valid address\n" },
	{ "a domain outside", DOMAIN "associatedDomain: other.example\ncoexistDomainType: relay\n", CX_EINVAL, "",
	  "associatedDomain: \"other.example\": outside the domains of this directory\nassociatedDomain: no usable domain\n" },
};
/* clang-format on */

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

START_TEST(keeps_to_the_domains_of_the_directory)
{
	struct conf_directory directory = help_directory();

	directory.domains = limit;
	directory.base = "DC=acme, DC=example";
	row_check(&directory, &limited_rows[_i]);
}
END_TEST

START_TEST(skips_entries_with_a_value_too_long)
{
	struct conf_directory directory = help_directory();
	struct buf ldif, record, said;

	buf_init(&ldif);
	buf_init(&record);
	buf_init(&said);
	buf_printf(&ldif, MAILBOX "coexistProxyAddress: %s@acme.example\n",
	    unit_repeat('x', 3000));
	unit_assert_status(help_map(&directory, ldif.data, &record, &said), CX_EINVAL,
	    "address");
	ck_assert_ptr_nonnull(strstr(said.data, "too long"));
	buf_clear(&ldif);
	buf_printf(&ldif, MAILBOX "uid: %s\n", unit_repeat('x', RECORD_VALUE_MAX + 1));
	unit_assert_status(help_map(&directory, ldif.data, &record, &said), CX_EINVAL,
	    "login");
	buf_clear(&ldif);
	buf_printf(&ldif, "dn: cn=%s\nobjectClass: coexistMailbox\nmail: a@b.example\n",
	    unit_repeat('x', 9000));
	unit_assert_status(help_map(&directory, ldif.data, &record, &said), CX_EINVAL,
	    "dn");
	buf_release(&ldif);
	buf_release(&record);
	buf_release(&said);
}
END_TEST

/* What fits into no record is the entry's fault, never a lack of memory: that would be for good. */
START_TEST(skips_what_fits_into_no_record)
{
	static const struct {
		const char *label, *head, *tail;
		enum status status;
	} rows[] = {
		{ "dn of a mailbox", "dn: cn=",
		    "\nobjectClass: coexistMailbox\nmail: a@b.example\n", CX_EINVAL },
		{ "dn of a container", "dn: cn=",
		    "\nobjectClass: organizationalUnit\n", CX_EINVAL },
		{ "dn of a domain", "dn: cn=",
		    "\nobjectClass: coexistDomain\nassociatedDomain: b.example\n"
		    "coexistDomainType: relay\n", CX_EINVAL },
		{ "home server", MAILBOX "coexistHomeServer: cn=", "\n", CX_EINVAL },
		{ "address space", CONNECTOR "coexistAddressSpace: X400:c=us;o=", "\n",
		    CX_OK },
		{ "next hop", CONNECTOR "coexistNextHop: ", "\n", CX_EINVAL },
		{ "peer", CONNECTOR "coexistPeer: ", "\n", CX_OK },
		{ "denied client", CONNECTOR "coexistRelayClient: !", "\n", CX_EINVAL },
		{ "name", MAILBOX "displayName: ", "\n", CX_OK },
	};
	struct conf_directory directory = help_directory();
	const size_t lengths[] = { 9000, RECORD_VALUE_MAX, RECORD_VALUE_MAX + 10 };

	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t j = 0; j < COUNT(lengths); j++) {
			struct buf ldif, record, said;
			enum status status;

			buf_init(&ldif);
			buf_init(&record);
			buf_init(&said);
			buf_add_text(&ldif, rows[i].head);
			buf_add_text(&ldif, unit_repeat('x', lengths[j]));
			buf_add_text(&ldif, rows[i].tail);
			status = help_map(&directory, ldif.data, &record, &said);
			/* Some of them fit where they are short. */
			ck_assert_msg(status == rows[i].status ||
					  (status == CX_OK && lengths[j] <= RECORD_VALUE_MAX),
			    "%s %zu: %s", rows[i].label, lengths[j],
			    status_text(status));
			ck_assert_msg(status == CX_OK || said.len > 1, "%s: no reason",
			    rows[i].label);
			buf_release(&ldif);
			buf_release(&record);
			buf_release(&said);
		}
	}
}
END_TEST

/* Linear in the number of addresses: the quadratic way takes minutes here. */
START_TEST(takes_very_many_addresses)
{
	struct conf_directory directory = help_directory();
	struct buf ldif, record, said;

	buf_init(&ldif);
	buf_init(&record);
	buf_init(&said);
	buf_add_text(&ldif, MAILBOX);
	for (unsigned i = 0; i < 200000; i++) {
		buf_printf(&ldif,
		    "coexistProxyAddress: SMTP:primary.%u@acme.example\n"
		    "coexistProxyAddress: smtp:another.%u@acme.example\n",
		    i, i);
	}
	unit_assert_status(help_map(&directory, ldif.data, &record, &said), CX_OK, "");
	buf_release(&ldif);
	buf_release(&record);
	buf_release(&said);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("mapping_bounds");
	TCase *tcase = tcase_create("mapping_bounds");

	tcase_add_loop_test(tcase, keeps_to_the_domains_of_the_directory, 0,
	    COUNT(limited_rows));
	tcase_add_test(tcase, skips_entries_with_a_value_too_long);
	tcase_add_test(tcase, skips_what_fits_into_no_record);
	tcase_add_test(tcase, takes_very_many_addresses);
	suite_add_tcase(suite, tcase);
	return suite;
}
