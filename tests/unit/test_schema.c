/*
 * Parses every definition of schema/coexist.schema with libldap, which is what slapd does,
 * and compares the classes with SPEC section 3.
 */
#include "config.h"

#include "unit.h"

#include <ldap.h>
#include <ldap_schema.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARC "2.25.255427901338851265615926151227328942846"
#define DIRECTORY_STRING "1.3.6.1.4.1.1466.115.121.1.15"
#define DN_SYNTAX "1.3.6.1.4.1.1466.115.121.1.12"
#define BOOLEAN "1.3.6.1.4.1.1466.115.121.1.7"
#define IA5 "1.3.6.1.4.1.1466.115.121.1.26"
#define MAX_DEFINITIONS 64

static LDAPAttributeType *attributes[MAX_DEFINITIONS];
static size_t attribute_count;
static LDAPObjectClass *classes[MAX_DEFINITIONS];
static size_t class_count;

/* clang-format off */
static const struct {
	const char *name, *syntax, *equality, *substring;
	bool single;
} expected_attributes[] = {
	{ "coexistProxyAddress", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", false },
	{ "coexistTargetAddress", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", true },
	{ "coexistAltRecipient", DN_SYNTAX, "distinguishedNameMatch", NULL, false },
	{ "coexistForwardingAddress", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", true },
	{ "coexistDeliverAndRedirect", BOOLEAN, "booleanMatch", NULL, true },
	{ "coexistHideFromAddressLists", BOOLEAN, "booleanMatch", NULL, true },
	{ "coexistHomeServer", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", true },
	{ "coexistRelayAllowed", BOOLEAN, "booleanMatch", NULL, true },
	{ "coexistParked", BOOLEAN, "booleanMatch", NULL, true },
	{ "coexistRequireAuth", BOOLEAN, "booleanMatch", NULL, true },
	{ "coexistMember", DN_SYNTAX, "distinguishedNameMatch", NULL, false },
	{ "coexistMemberAddress", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", false },
	{ "coexistDomainType", DIRECTORY_STRING, "caseIgnoreMatch", NULL, true },
	{ "coexistRewriteDomain", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", true },
	{ "coexistForwardHost", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", true },
	{ "coexistUnknownRecipient", DIRECTORY_STRING, "caseIgnoreMatch", NULL, true },
	{ "coexistAddressSpace", DIRECTORY_STRING, "caseIgnoreMatch", "caseIgnoreSubstringsMatch", false },
	{ "coexistNextHop", DIRECTORY_STRING, "caseExactMatch", "caseExactSubstringsMatch", true },
	{ "coexistPeer", IA5, "caseIgnoreIA5Match", NULL, false },
	{ "coexistRelayClient", IA5, "caseIgnoreIA5Match", NULL, false },
	{ "coexistRelayCertificate", IA5, "caseIgnoreIA5Match", NULL, false },
	{ "coexistEnabled", BOOLEAN, "booleanMatch", NULL, true },
};

static const struct {
	const char *name;
	int kind;
	const char *must, *may;
} expected_classes[] = {
	{ "coexistMailbox", LDAP_SCHEMA_AUXILIARY, "mail",
	  "coexistProxyAddress coexistAltRecipient coexistForwardingAddress coexistDeliverAndRedirect "
	  "coexistHideFromAddressLists coexistHomeServer coexistRelayAllowed coexistRequireAuth coexistParked" },
	{ "coexistCustomRecipient", LDAP_SCHEMA_AUXILIARY, "coexistTargetAddress",
	  "mail coexistProxyAddress coexistAltRecipient coexistForwardingAddress coexistDeliverAndRedirect "
	  "coexistHideFromAddressLists coexistHomeServer coexistRelayAllowed coexistRequireAuth coexistParked" },
	{ "coexistGroup", LDAP_SCHEMA_AUXILIARY, "mail",
	  "coexistMember coexistMemberAddress coexistProxyAddress coexistHideFromAddressLists coexistRequireAuth" },
	{ "coexistDomain", LDAP_SCHEMA_STRUCTURAL, "associatedDomain coexistDomainType",
	  "coexistForwardHost coexistUnknownRecipient coexistRewriteDomain coexistEnabled description" },
	{ "coexistConnector", LDAP_SCHEMA_STRUCTURAL, "cn",
	  "coexistNextHop coexistAddressSpace coexistPeer coexistRelayClient coexistRelayCertificate "
	  "coexistEnabled description" },
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void parse_definition(const char *keyword, const char *text)
{
	const char *error = NULL;
	int code = 0;

	if (strcmp(keyword, "attributetype") == 0) {
		LDAPAttributeType *at = ldap_str2attributetype(text, &code, &error, 0);

		ck_assert_msg(at != NULL, "%s at '%s'", ldap_scherr2str(code), error);
		ck_assert_uint_lt(attribute_count, MAX_DEFINITIONS);
		attributes[attribute_count++] = at;
	} else {
		LDAPObjectClass *oc = ldap_str2objectclass(text, &code, &error, 0);

		ck_assert_str_eq(keyword, "objectclass");
		ck_assert_msg(oc != NULL, "%s at '%s'", ldap_scherr2str(code), error);
		ck_assert_uint_lt(class_count, MAX_DEFINITIONS);
		classes[class_count++] = oc;
	}
}

/* A definition is a line that starts with a keyword and those that start with a blank. */
static void setup(void)
{
	size_t len;
	char *text = unit_read_source("schema/coexist.schema", &len);
	char *definition = calloc(1, len + 1);
	char keyword[32] = "";
	char *save = NULL;

	ck_assert_ptr_nonnull(definition);
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#') {
			continue;
		}
		if (line[0] != '\t' && line[0] != ' ') {
			size_t n = strcspn(line, " \t");

			if (keyword[0] != '\0') {
				parse_definition(keyword, definition);
			}
			ck_assert_uint_lt(n, sizeof(keyword));
			memcpy(keyword, line, n);
			keyword[n] = '\0';
			definition[0] = '\0';
			line += n + strspn(line + n, " \t");
		}
		strcat(definition, line);
	}
	parse_definition(keyword, definition);
	free(definition);
	free(text);
}

static void teardown(void)
{
	while (attribute_count > 0) {
		ldap_attributetype_free(attributes[--attribute_count]);
	}
	while (class_count > 0) {
		ldap_objectclass_free(classes[--class_count]);
	}
}

static void check_oid(const char *oid, const char *branch, size_t number)
{
	char expected[128];

	snprintf(expected, sizeof(expected), ARC ".%s.%zu", branch, number);
	ck_assert_str_eq(oid, expected);
}

START_TEST(defines_each_attribute_as_the_contract_says)
{
	ck_assert_uint_eq(attribute_count, COUNT(expected_attributes));
	for (size_t i = 0; i < attribute_count; i++) {
		const LDAPAttributeType *at = attributes[i];

		ck_assert_str_eq(at->at_names[0], expected_attributes[i].name);
		check_oid(at->at_oid, "1", i + 1);
		ck_assert_ptr_nonnull(at->at_desc);
		ck_assert_str_eq(at->at_syntax_oid, expected_attributes[i].syntax);
		ck_assert_str_eq(at->at_equality_oid, expected_attributes[i].equality);
		ck_assert_pstr_eq(at->at_substr_oid, expected_attributes[i].substring);
		ck_assert_msg((at->at_single_value != 0) == expected_attributes[i].single,
		    "%s: SINGLE-VALUE", at->at_names[0]);
	}
}
END_TEST

/* The names in `list` are those of the array, in any order. */
static void check_names(const char *class, char *const *names, const char *list)
{
	size_t expected = 1;
	size_t found = 0;

	for (const char *p = list; *p != '\0'; p++) {
		expected += *p == ' ';
	}
	for (; names != NULL && names[found] != NULL; found++) {
		const char *at = strstr(list, names[found]);
		size_t len = strlen(names[found]);

		ck_assert_msg(at != NULL && (at == list || at[-1] == ' ') &&
			(at[len] == ' ' || at[len] == '\0'),
		    "%s: %s is not in the contract", class, names[found]);
	}
	ck_assert_msg(found == expected, "%s: %zu of %zu attributes", class, found, expected);
}

START_TEST(defines_each_class_as_the_contract_says)
{
	ck_assert_uint_eq(class_count, COUNT(expected_classes));
	for (size_t i = 0; i < class_count; i++) {
		const LDAPObjectClass *oc = classes[i];

		ck_assert_str_eq(oc->oc_names[0], expected_classes[i].name);
		check_oid(oc->oc_oid, "2", i + 1);
		ck_assert_int_eq(oc->oc_kind, expected_classes[i].kind);
		ck_assert_str_eq(oc->oc_sup_oids[0], "top");
		check_names(oc->oc_names[0], oc->oc_at_oids_must, expected_classes[i].must);
		check_names(oc->oc_names[0], oc->oc_at_oids_may, expected_classes[i].may);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("schema");
	TCase *tcase = tcase_create("definitions");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, defines_each_attribute_as_the_contract_says);
	tcase_add_test(tcase, defines_each_class_as_the_contract_says);
	suite_add_tcase(suite, tcase);
	return suite;
}
