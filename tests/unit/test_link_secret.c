#include "config.h"

#include <check.h>
#include <sys/prctl.h>

#include "syncd/link_secret.h"
#include "unit.h"

/* clang-format off */
static const struct {
	const char *uri;
	bool is_local;
} rows[] = {
	{ "ldap://localhost", true },
	{ "ldap://LocalHost:389/", true },
	{ "ldap://127.0.0.1", true },
	{ "ldap://127.9.8.7:1389", true },
	{ "ldap://[::1]", true },
	{ "ldap://[::1]:389/", true },
	{ "ldap://", true }, /* libldap goes to localhost */
	{ "ldapi://", true },
	{ "ldapi://%2Frun%2Fslapd%2Fldapi", true },
	{ "LDAPI:///", true },
	{ "ldap://localhost.evil.example", false },
	{ "ldap://localhosts", false },
	{ "ldap://127.0.0.1.evil.example", false },
	{ "ldap://127.evil.example:389", false },
	{ "ldap://128.0.0.1", false },
	{ "ldap://0.0.0.127", false },
	{ "ldap://[::2]", false },
	{ "ldap://[2001:db8::1]", false },
	{ "ldap://ldap.acme.example", false },
	{ "http://localhost", false },
	{ "", false },
};
/* clang-format on */

START_TEST(tells_what_stays_on_this_host)
{
	ck_assert_msg(link_is_local(rows[_i].uri) == rows[_i].is_local, "%s",
	    rows[_i].uri);
}
END_TEST

START_TEST(leaves_no_core)
{
	ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
	link_no_core();
	ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 0);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("link_secret");
	TCase *tc = tcase_create("link_secret");

	tcase_add_loop_test(tc, tells_what_stays_on_this_host, 0,
	    sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tc, leaves_no_core);
	suite_add_tcase(suite, tc);
	return suite;
}
