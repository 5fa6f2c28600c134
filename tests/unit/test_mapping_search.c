#include "config.h"

#include "syncd_help.h"
#include "unit.h"

/* What a mapping asks a directory for, and what tells one mapping from another. */

static struct mapping *new_mapping(const struct conf_directory *directory)
{
	struct mapping *mapping;
	struct errbuf err;

	ck_assert_int_eq(mapping_new(directory, &mapping, &err), CX_OK);
	return mapping;
}

START_TEST(asks_for_what_it_reads)
{
	struct conf_directory directory = help_directory();
	struct mapping *mapping = new_mapping(&directory);
	char *const *attributes = mapping_attributes(mapping);
	bool has_member = false;

	ck_assert_str_eq(mapping_filter(mapping),
	    "(|(objectClass=coexistMailbox)(objectClass=coexistCustomRecipient)"
	    "(objectClass=coexistGroup)(objectClass=coexistDomain)"
	    "(objectClass=coexistConnector)(objectClass=organizationalUnit)"
	    "(objectClass=organization)(objectClass=domain)(objectClass=dcObject)"
	    "(objectClass=container)(objectClass=locality))");
	for (; *attributes; attributes++) {
		has_member |= strcmp(*attributes, "member") == 0;
	}
	ck_assert(has_member);
	mapping_free(mapping);

	/* A filter of one's own is one of recipients. */
	directory.filter = "l=Berlin";
	directory.provides_connectors = false;
	mapping = new_mapping(&directory);
	ck_assert_ptr_nonnull(strstr(mapping_filter(mapping),
	    "(|(l=Berlin)(objectClass=coexistDomain)(objectClass=organizationalUnit)"));
	mapping_free(mapping);
}
END_TEST

/* An overridden name is all that some entry has: it must be asked for, too. */
START_TEST(asks_for_entries_by_the_names_in_force)
{
	struct conf_directory directory = help_directory();
	struct mapping *mapping;

	directory.mapping = "exchange";
	directory.provides_domains = directory.provides_connectors = false;
	directory.attributes[ROLE_TARGET_ADDRESS] = "extensionAttribute1";
	mapping = new_mapping(&directory);
	ck_assert_str_eq(mapping_filter(mapping),
	    "(|(&(|(objectClass=user)(objectClass=contact)(objectClass=group)"
	    "(objectClass=inetOrgPerson)(objectClass=publicFolder))"
	    "(|(mail=*)(proxyAddresses=*)(extensionAttribute1=*)))"
	    "(objectClass=organizationalUnit)(objectClass=organization)"
	    "(objectClass=domain)(objectClass=dcObject)(objectClass=container)"
	    "(objectClass=locality))");
	mapping_free(mapping);
}
END_TEST

START_TEST(fingerprint_follows_what_records_depend_on)
{
	static const char *const limit[] = { "acme.example", NULL };
	struct conf_directory directory = help_directory();
	struct mapping *mapping = new_mapping(&directory);
	uint64_t before = mapping_fingerprint(mapping);

	mapping_free(mapping);
	for (int i = 0; i < 5; i++) {
		struct conf_directory other = help_directory();

		switch (i) {
		case 0: other.mapping = "laser"; break;
		case 1: other.attributes[ROLE_MAIL] = "rfc822Mailbox"; break;
		case 2: other.domains = limit; break;
		case 3: other.provides_domains = false; break;
		default: other.name = "another"; break;
		}
		mapping = new_mapping(&other);
		/* The name of the directory decides nothing. */
		ck_assert_msg((mapping_fingerprint(mapping) == before) == (i == 4),
		    "%d", i);
		mapping_free(mapping);
	}
}
END_TEST

START_TEST(refuses_a_mapping_that_does_not_exist)
{
	struct conf_directory directory = help_directory();
	struct mapping *mapping;
	struct errbuf err;

	directory.mapping = "qmail";
	unit_assert_status(mapping_new(&directory, &mapping, &err), CX_ECONF, "qmail");
	ck_assert_str_eq(err.text, "directory \"test\": no mapping \"qmail\"");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("mapping_search");
	TCase *tcase = tcase_create("mapping_search");

	tcase_add_test(tcase, asks_for_what_it_reads);
	tcase_add_test(tcase, asks_for_entries_by_the_names_in_force);
	tcase_add_test(tcase, fingerprint_follows_what_records_depend_on);
	tcase_add_test(tcase, refuses_a_mapping_that_does_not_exist);
	suite_add_tcase(suite, tcase);
	return suite;
}
