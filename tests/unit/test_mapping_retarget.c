#include "config.h"

#include "mapping_rows.h"
#include "unit.h"

/* References that follow an entry to its new name. */

/* A group and the same group with members renamed, as the directory would send it. */
#define GROUP "dn: cn=g,dc=acme,dc=example\nobjectClass: coexistGroup\nmail: g@acme.example\n" \
	"coexistProxyAddress: SMTP:first@acme.example\nuid: g\ncoexistRequireAuth: TRUE\n" \
	"coexistHideFromAddressLists: TRUE\ncoexistMemberAddress: x@other.example\n"
#define BOTH MAILBOX "uid: adam\ncn: Adam\ncoexistHomeServer: PO1\n"
static const struct {
	const char *label, *before, *after;
	bool is_changed;
} retargets[] = {
	{ "nobody", GROUP "coexistMember: uid=d,dc=example\n", GROUP "coexistMember: uid=d,dc=example\n", false },
	{ "no references at all", BOTH, BOTH, false },
	{ "one that comes to stand elsewhere in the order",
	  GROUP "coexistMember: uid=a,dc=example\ncoexistMember: uid=d,dc=example\ncoexistMember: no DN\n",
	  GROUP "coexistMember: uid=Z,dc=example\ncoexistMember: uid=d,dc=example\ncoexistMember: no DN\n", true },
	{ "two that change their names with each other",
	  GROUP "coexistMember: UID=b,dc=example\ncoexistMember: uid=C,dc=example\n",
	  GROUP "coexistMember: uid=c,dc=example\ncoexistMember: uid=b,dc=example\n", true },
	{ "one that becomes another member",
	  GROUP "coexistMember: uid=a,dc=example\ncoexistMember: uid=Z,dc=example\n",
	  GROUP "coexistMember: uid=Z,dc=example\n", true },
	{ "alternate recipients",
	  BOTH "coexistAltRecipient: uid=a,dc=example\ncoexistAltRecipient: uid=d,dc=example\n",
	  BOTH "coexistAltRecipient: uid=Z,dc=example\ncoexistAltRecipient: uid=d,dc=example\n", true },
	{ "no recipient", DOMAIN "associatedDomain: acme.example\ncoexistDomainType: shared\n",
	  DOMAIN "associatedDomain: acme.example\ncoexistDomainType: shared\n", false },
};

static bool renamed(void *context, struct span key, struct span *dn)
{
	static const struct {
		struct span from, to;
	} names[] = {
		{ SPAN("dn:uid=a,dc=example"), SPAN("uid=Z,dc=example") },
		{ SPAN("dn:uid=b,dc=example"), SPAN("uid=c,dc=example") },
		{ SPAN("dn:uid=c,dc=example"), SPAN("uid=b,dc=example") },
	};

	ck_assert_ptr_null(context);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (span_equal(names[i].from, key)) {
			*dn = names[i].to;
			return true;
		}
	}
	return false;
}

START_TEST(retargets_as_if_the_directory_had_done_it)
{
	struct conf_directory conf = help_directory();
	struct buf before, after, out;
	bool is_changed;

	buf_init(&before);
	buf_init(&after);
	buf_init(&out);
	help_record(&conf, retargets[_i].before, &before);
	help_record(&conf, retargets[_i].after, &after);
	ck_assert_int_eq(
	    mapping_retarget(buf_span(&before), renamed, NULL, &out, &is_changed), CX_OK);
	ck_assert_msg(is_changed == retargets[_i].is_changed, "%s", retargets[_i].label);
	ck_assert_msg(span_equal(buf_span(&out), buf_span(&after)), "%s",
	    retargets[_i].label);
	before.len--;
	ck_assert_int_eq(
	    mapping_retarget(buf_span(&before), renamed, NULL, &out, &is_changed),
	    CX_EFORMAT);
	buf_release(&before);
	buf_release(&after);
	buf_release(&out);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("mapping_retarget");
	TCase *tcase = tcase_create("mapping_retarget");

	tcase_add_loop_test(tcase, retargets_as_if_the_directory_had_done_it, 0,
	    sizeof(retargets) / sizeof(retargets[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
