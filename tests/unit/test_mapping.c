#include "config.h"

#include "mapping_rows.h"
#include "unit.h"

/* What becomes of an entry, under each mapping. */

/* clang-format off */
#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct row coexist_rows[] = {
	{ "a plain mailbox", MAILBOX "cn: Adam Barr\nuid: Adam.BARR\n", CX_OK,
	  "kind recipient\n" ADAM_DN "name Adam Barr\nmail adam@acme.example\nlogin adam.barr\n", "" },
	{ "displayName before cn", MAILBOX "cn: Barr\ndisplayName: Adam B.\n", CX_OK,
	  "kind recipient\n" ADAM_DN "name Adam B.\nmail adam@acme.example\n", "" },
	{ "object class in any case", ADAM "objectClass: COEXISTMAILBOX\nMAIL: adam@acme.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n", "" },
	{ "proxies sorted, typed, primary in capitals only",
	  MAILBOX "coexistProxyAddress: smtp:b@acme.example\ncoexistProxyAddress: MS:MICROSOFT/PO2/ADAM\n"
	  "coexistProxyAddress: SMTP:first@acme.example\ncoexistProxyAddress: Smtp:a@acme.example\n"
	  "coexistProxyAddress: c@ACME.Example.\n", CX_OK,
	  "kind recipient\n" ADAM_DN "primary first@acme.example\nmail adam@acme.example\n"
	  "proxy MS:MICROSOFT/PO2/ADAM\nproxy a@acme.example\nproxy b@acme.example\nproxy c@acme.example\n", "" },
	{ "a proxy that mail or the primary is already",
	  MAILBOX "coexistProxyAddress: smtp:adam@acme.example\ncoexistProxyAddress: SMTP:x@acme.example\n"
	  "coexistProxyAddress: smtp:x@acme.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "primary x@acme.example\nmail adam@acme.example\n", "" },
	{ "bad addresses beside a good one are left out",
	  MAILBOX "coexistProxyAddress: smtp:a b@@\ncoexistProxyAddress: smtp:nodomain\n"
	  "coexistProxyAddress: smtp:x@[192.0.2.1]\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n",
	  "coexistProxyAddress: \"smtp:a b@@\": not an address\n"
	  "coexistProxyAddress: \"smtp:nodomain\": an address needs a domain\n"
	  "coexistProxyAddress: \"smtp:x@[192.0.2.1]\": an address literal is never ours\n" },
	{ "no valid address", ADAM "objectClass: coexistMailbox\nmail: adam\n", CX_EINVAL, "",
	  "mail: \"adam\": an address needs a domain\nno valid address\n" },
	{ "no address at all", ADAM "objectClass: coexistMailbox\n", CX_EINVAL, "", "no valid address\n" },
	{ "mail is SMTP", MAILBOX "mail: MS:A/B/C\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n", "mail: \"MS:A/B/C\": not an SMTP address\n" },
	{ "several values of mail are sorted", MAILBOX "mail: aa@acme.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail aa@acme.example\nmail adam@acme.example\n", "" },
	{ "an address with a line feed in it", MAILBOX "coexistProxyAddress:: c210cDphCkBhY21lLmV4YW1wbGU=\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n",
	  "coexistProxyAddress: \"smtp:a\\x0a@acme.example\": has a control character\n" },
	{ "alternate recipient with delivery to both",
	  MAILBOX "coexistAltRecipient: CN=Bob , OU=People,dc=acme,dc=example\ncoexistDeliverAndRedirect: true\n"
	  "coexistHideFromAddressLists: TRUE\n", CX_OK,
	  "kind recipient\nflag both\nflag hidden\n" ADAM_DN "mail adam@acme.example\n"
	  "alt-key dn:cn=bob,ou=people,dc=acme,dc=example\nalt CN=Bob , OU=People,dc=acme,dc=example\n", "" },
	{ "two spellings of one reference are one",
	  MAILBOX "coexistAltRecipient: cn=bob,dc=acme,dc=example\ncoexistAltRecipient: CN=Bob,DC=acme,dc=example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n"
	  "alt-key dn:cn=bob,dc=acme,dc=example\nalt CN=Bob,DC=acme,dc=example\n", "" },
	{ "a reference that is no DN is broken, not absent", MAILBOX "coexistAltRecipient: bob\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n"
	  "alt-key bad:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\nalt bob\n",
	  "coexistAltRecipient: \"bob\": not a DN\n" },
	{ "forwarding address", MAILBOX "coexistForwardingAddress: SMTP:adam@pop.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\nforwarding adam@pop.example\n", "" },
	{ "flags of permissions",
	  MAILBOX "coexistRelayAllowed: FALSE\ncoexistRequireAuth: TRUE\ncoexistParked: TRUE\n", CX_OK,
	  "kind recipient\nflag no-relay\nflag auth\nflag parked\n" ADAM_DN "mail adam@acme.example\n", "" },
	{ "unreadable coexistRelayAllowed is no permission", MAILBOX "coexistRelayAllowed: no\n", CX_EINVAL, "",
	  "coexistRelayAllowed: is neither TRUE nor FALSE\n" },
	{ "unreadable coexistRequireAuth is no permission", MAILBOX "coexistRequireAuth: 1\n", CX_EINVAL, "",
	  "coexistRequireAuth: is neither TRUE nor FALSE\n" },
	{ "TRUE and FALSE is unreadable", MAILBOX "coexistRelayAllowed: TRUE\ncoexistRelayAllowed: FALSE\n", CX_EINVAL, "",
	  "coexistRelayAllowed: is neither TRUE nor FALSE\n" },
	{ "unreadable coexistParked waits", MAILBOX "coexistParked: yes\n", CX_OK,
	  "kind recipient\nflag parked\n" ADAM_DN "mail adam@acme.example\n",
	  "coexistParked: neither TRUE nor FALSE, read as TRUE\n" },
	{ "unreadable coexistHideFromAddressLists is ignored", MAILBOX "coexistHideFromAddressLists: x\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n",
	  "coexistHideFromAddressLists: neither TRUE nor FALSE, ignored\n" },
	{ "home server by name", MAILBOX "coexistHomeServer: SiteB\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\nhome SiteB\n", "" },
	{ "home server by DN", MAILBOX "coexistHomeServer: cn=SiteB,ou=servers,dc=acme,dc=example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\nhome SiteB\n", "" },
	{ "two home servers", MAILBOX "coexistHomeServer: a\ncoexistHomeServer: b\n", CX_EINVAL, "",
	  "coexistHomeServer: \"b\": has several values where one is meant\n" },
	{ "custom recipient with its target alone",
	  ADAM "objectClass: coexistCustomRecipient\ncoexistTargetAddress: MS:MICROSOFT/PO2/ADAM\n", CX_OK,
	  "kind recipient\n" ADAM_DN "target MS:MICROSOFT/PO2/ADAM\n", "" },
	{ "a mailbox with a target is a custom recipient", MAILBOX "coexistTargetAddress: smtp:adam@pop.example\n", CX_OK,
	  "kind recipient\nflag mailbox\n" ADAM_DN "mail adam@acme.example\ntarget adam@pop.example\n", "" },
	{ "a target that is none does not make a mailbox of it", MAILBOX "coexistTargetAddress: pop.example\n", CX_EINVAL, "",
	  "coexistTargetAddress: \"pop.example\": an address needs a domain\n"
	  "coexistTargetAddress: \"pop.example\": not an address\n" },
	{ "group", ADAM "objectClass: coexistGroup\nmail: all@acme.example\ncoexistMember: cn=b,dc=x\n"
	  "coexistMember: cn=A,dc=x\ncoexistMemberAddress: x@y.example\n", CX_OK,
	  "kind recipient\nflag group\n" ADAM_DN "mail all@acme.example\n"
	  "member-key dn:cn=a,dc=x\nmember-key dn:cn=b,dc=x\nmember cn=A,dc=x\nmember cn=b,dc=x\n"
	  "member-address x@y.example\n", "" },
	{ "an empty group is a group", ADAM "objectClass: coexistGroup\nmail: all@acme.example\n", CX_OK,
	  "kind recipient\nflag group\n" ADAM_DN "mail all@acme.example\n", "" },
	{ "groupOfNames with members is a group",
	  MAILBOX "objectClass: groupOfNames\nmember: cn=a,dc=x\nmember:\n", CX_OK,
	  "kind recipient\nflag group\n" ADAM_DN "mail adam@acme.example\nmember-key dn:cn=a,dc=x\nmember cn=a,dc=x\n", "" },
	{ "groupOfNames without members is what it is else", MAILBOX "objectClass: groupOfNames\nmember:\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n", "" },
	{ "members of what is no group count for nothing", MAILBOX "coexistMember: cn=a,dc=x\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n", "" },
	{ "a group with a target is a custom recipient",
	  ADAM "objectClass: coexistGroup\nmail: all@acme.example\ncoexistMember: cn=b,dc=x\n"
	  "coexistTargetAddress: all@pop.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail all@acme.example\ntarget all@pop.example\n", "" },
	{ "attributes with options are not read", MAILBOX "mail;lang-de: x@acme.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "mail adam@acme.example\n", "" },
	{ "a DN that is none", "dn: nonsense\nobjectClass: coexistMailbox\nmail: a@acme.example\n", CX_EINVAL, "",
	  "not a DN\n" },
	{ "an entry of others", ADAM "mail: adam@acme.example\n", CX_NOTFOUND, "", "" },
	{ "a container", "dn: ou=people,dc=acme,dc=example\nobjectClass: top\nobjectClass: organizationalUnit\nou: people\n",
	  CX_OK, "kind container\ndn ou=people,dc=acme,dc=example\n", "" },

	{ "domain", DOMAIN "associatedDomain: ACME.example.\nassociatedDomain: *.Acme.Example\n"
	  "coexistDomainType: Shared\ncoexistUnknownRecipient: forward\ncoexistForwardHost: [192.0.2.1]:25\n", CX_OK,
	  "kind domain\ntype shared\nunknown forward\n" DOMAIN_DN "domain *.acme.example\ndomain acme.example\n"
	  "forward-host [192.0.2.1]:25\n", "" },
	{ "internationalised domain", DOMAIN "associatedDomain:: YsO8Y2hlci5leGFtcGxl\ncoexistDomainType: authoritative\n", CX_OK,
	  "kind domain\ntype authoritative\nunknown reject\n" DOMAIN_DN "domain xn--bcher-kva.example\n", "" },
	{ "\"*\" alone is unusable", DOMAIN "associatedDomain: *\ncoexistDomainType: relay\n", CX_EINVAL, "",
	  "associatedDomain: \"*\": not a domain\nassociatedDomain: no usable domain\n" },
	{ "a bad pattern beside a good one", DOMAIN "associatedDomain: *.\nassociatedDomain: a.example\ncoexistDomainType: relay\n", CX_OK,
	  "kind domain\ntype relay\nunknown reject\n" DOMAIN_DN "domain a.example\n",
	  "associatedDomain: \"*.\": not a domain\n" },
	{ "unknown type", DOMAIN "associatedDomain: a.example\ncoexistDomainType: internal\n", CX_EINVAL, "",
	  "coexistDomainType: \"internal\": must be authoritative, shared, relay or rewrite\n" },
	{ "no type", DOMAIN "associatedDomain: a.example\n", CX_EINVAL, "", "coexistDomainType: must be authoritative, shared, relay or rewrite\n" },
	{ "rewrite", DOMAIN "associatedDomain: old.example\ncoexistDomainType: rewrite\ncoexistRewriteDomain: New.Example\n", CX_OK,
	  "kind domain\ntype rewrite\nunknown reject\n" DOMAIN_DN "domain old.example\nrewrite new.example\n", "" },
	{ "rewrite to nowhere", DOMAIN "associatedDomain: old.example\ncoexistDomainType: rewrite\n", CX_EINVAL, "",
	  "coexistRewriteDomain: a domain of type rewrite needs a domain here\n" },
	{ "switched off", DOMAIN "associatedDomain: a.example\ncoexistDomainType: relay\ncoexistEnabled: false\n", CX_OK,
	  "kind domain\nflag disabled\ntype relay\nunknown reject\n" DOMAIN_DN "domain a.example\n", "" },
	{ "unreadable coexistEnabled", DOMAIN "associatedDomain: a.example\ncoexistDomainType: relay\ncoexistEnabled: off\n", CX_EINVAL, "",
	  "coexistEnabled: is neither TRUE nor FALSE\n" },
	{ "unreadable coexistUnknownRecipient rejects", DOMAIN "associatedDomain: a.example\ncoexistDomainType: shared\n"
	  "coexistUnknownRecipient: accept\n", CX_OK,
	  "kind domain\ntype shared\nunknown reject\n" DOMAIN_DN "domain a.example\n",
	  "coexistUnknownRecipient: \"accept\": no such word, read as reject\n" },
	{ "a forward host that would be two words", DOMAIN "associatedDomain: a.example\ncoexistDomainType: relay\n"
	  "coexistForwardHost: a b\n", CX_EINVAL, "",
	  "coexistForwardHost: \"a b\": has a blank or a control character\n" },

	{ "connector", CONNECTOR "coexistNextHop: smtp:[pop.example]:2525\ncoexistAddressSpace: SMTP:*.pop.example;5\n"
	  "coexistAddressSpace: MS:MICROSOFT/PO2\ncoexistPeer: 192.0.2.0/24\ncoexistRelayClient: 10.0.0.0/8\n"
	  "coexistRelayClient: !10.1.2.3\ncoexistRelayCertificate: 01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:"
	  "01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF\n", CX_OK,
	  "kind connector\n" CONNECTOR_DN "name POP3\nnext-hop smtp:[pop.example]:2525\nspace MS:MICROSOFT/PO2\n"
	  "space SMTP:*.pop.example;5\npeer 192.0.2.0/24\nrelay-client !10.1.2.3\nrelay-client 10.0.0.0/8\n"
	  "relay-certificate " DIGITS "\n", "" },
	{ "what does not parse is left out", CONNECTOR "coexistAddressSpace: SMTP:a@b@c@\ncoexistPeer: 192.0.2.1/24\n"
	  "coexistPeer: !192.0.2.1\ncoexistRelayClient: 10.0.0.0/33\ncoexistRelayCertificate: abc\n", CX_OK,
	  "kind connector\n" CONNECTOR_DN "name POP3\n",
	  "coexistAddressSpace: \"SMTP:a@b@c@\": not an address space\n"
	  "coexistPeer: \"192.0.2.1/24\": neither an IP address nor a block\n"
	  "coexistPeer: \"!192.0.2.1\": \"!\" means nothing here\n"
	  "coexistRelayClient: \"10.0.0.0/33\": neither an IP address nor a block\n"
	  "coexistRelayCertificate: \"abc\": not a SHA-256 fingerprint\n" },
	{ "a prohibition that does not parse", CONNECTOR "coexistRelayClient: 10.0.0.0/8\ncoexistRelayClient: !10.1.2\n", CX_EINVAL, "",
	  "coexistRelayClient: \"!10.1.2\": neither an IP address nor a block\n" },
	{ "the name of several is that of the RDN", CONNECTOR "cn: A\n", CX_OK,
	  "kind connector\n" CONNECTOR_DN "name POP3\n", "" },
	{ "switched off connector", CONNECTOR "coexistEnabled: FALSE\n", CX_OK,
	  "kind connector\nflag disabled\n" CONNECTOR_DN "name POP3\n", "" },
	{ "a next hop with a line feed", CONNECTOR "coexistNextHop:: YQpi\n", CX_EINVAL, "",
	  "coexistNextHop: \"a\\x0ab\": has a blank or a control character\n" },
};

static const struct row exchange_rows[] = {
	{ "user",
	  "dn: CN=Adam Barr,CN=Users,DC=acme,DC=example\nobjectClass: user\ncn: Adam Barr\nmail: adam@acme.example\n"
	  "proxyAddresses: SMTP:adam@acme.example\nproxyAddresses: smtp:barr@acme.example\n"
	  "proxyAddresses: X500:/o=acme/cn=adam\nproxyAddresses: sip:adam@acme.example\nsAMAccountName: ABarr\n"
	  "altRecipient: CN=Bob,CN=Users,DC=acme,DC=example\ndeliverAndRedirect: TRUE\nmsExchHideFromAddressLists: TRUE\n"
	  "homeMTA: CN=Microsoft MTA,CN=SERVER1,CN=Servers,DC=acme,DC=example\n", CX_OK,
	  "kind recipient\nflag both\nflag hidden\ndn CN=Adam Barr,CN=Users,DC=acme,DC=example\nname Adam Barr\n"
	  "primary adam@acme.example\nmail adam@acme.example\nproxy SIP:adam@acme.example\nproxy X500:/o=acme/cn=adam\n"
	  "proxy barr@acme.example\nalt-key dn:cn=bob,cn=users,dc=acme,dc=example\nalt CN=Bob,CN=Users,DC=acme,DC=example\n"
	  "home SERVER1\nlogin abarr\n", "" },
	{ "contact", "dn: CN=C,DC=acme,DC=example\nobjectClass: contact\ncn: C\ntargetAddress: SMTP:c@pop.example\n", CX_OK,
	  "kind recipient\ndn CN=C,DC=acme,DC=example\nname C\ntarget c@pop.example\n", "" },
	{ "group", "dn: CN=G,DC=acme,DC=example\nobjectClass: group\nmail: g@acme.example\nmember: CN=C,DC=acme,DC=example\n"
	  "msExchRequireAuthToSendTo: TRUE\n", CX_OK,
	  "kind recipient\nflag group\nflag auth\ndn CN=G,DC=acme,DC=example\nmail g@acme.example\n"
	  "member-key dn:cn=c,dc=acme,dc=example\nmember CN=C,DC=acme,DC=example\n", "" },
	{ "home server by its legacy name",
	  "dn: CN=A,DC=acme,DC=example\nobjectClass: user\nmail: a@acme.example\n"
	  "homeMTA: /o=Acme/ou=Site/cn=Configuration/cn=Servers/cn=MAIL1\n", CX_OK,
	  "kind recipient\ndn CN=A,DC=acme,DC=example\nmail a@acme.example\nhome MAIL1\n", "" },
	{ "a user without any address is none of ours", "dn: CN=S,DC=acme,DC=example\nobjectClass: user\ncn: S\n", CX_NOTFOUND, "", "" },
};

static const struct row laser_rows[] = {
	{ "routed elsewhere", ADAM "objectClass: inetLocalMailRecipient\nmailLocalAddress: adam@acme.example\n"
	  "mailRoutingAddress: adam@pop.example\nmailHost: pop.example\n", CX_OK,
	  "kind recipient\n" ADAM_DN "proxy adam@acme.example\ntarget adam@pop.example\nhome pop.example\n", "" },
	{ "others", MAILBOX, CX_NOTFOUND, "", "" },
};
/* clang-format on */

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

START_TEST(maps_entries_of_our_schema)
{
	struct conf_directory directory = help_directory();

	row_check(&directory, &coexist_rows[_i]);
}
END_TEST

START_TEST(maps_entries_of_exchange)
{
	struct conf_directory directory = help_directory();

	directory.mapping = "exchange";
	row_check(&directory, &exchange_rows[_i]);
}
END_TEST

START_TEST(maps_entries_of_laser)
{
	struct conf_directory directory = help_directory();

	directory.mapping = "laser";
	row_check(&directory, &laser_rows[_i]);
}
END_TEST

START_TEST(reads_renamed_attributes)
{
	struct conf_directory directory = help_directory();
	static const struct row row = { "renamed",
		ADAM "objectClass: coexistMailbox\nmail: no@acme.example\n"
		     "mailPrimaryAddress: a@acme.example\nalias: b@acme.example\n"
		     "mailAlternativeAddress: c@acme.example\n",
		CX_OK,
		"kind recipient\n" ADAM_DN
		"mail a@acme.example\nproxy b@acme.example\nproxy c@acme.example\n",
		"" };

	directory.attributes[ROLE_MAIL] = "mailPrimaryAddress";
	directory.attributes[ROLE_PROXY_ADDRESS] = "alias mailAlternativeAddress";
	row_check(&directory, &row);
}
END_TEST

START_TEST(takes_only_what_the_directory_provides)
{
	struct conf_directory directory = help_directory();
	static const struct row rows[] = {
		{ "domain",
		    DOMAIN "associatedDomain: a.example\ncoexistDomainType: relay\n",
		    CX_NOTFOUND, "", "" },
		{ "connector", CONNECTOR, CX_NOTFOUND, "", "" },
		{ "mailbox", MAILBOX, CX_NOTFOUND, "", "" },
	};

	directory.provides_recipients = false;
	directory.provides_domains = false;
	directory.provides_connectors = false;
	row_check(&directory, &rows[_i]);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("mapping");
	TCase *tcase = tcase_create("mapping");

	tcase_add_loop_test(tcase, maps_entries_of_our_schema, 0, COUNT(coexist_rows));
	tcase_add_loop_test(tcase, maps_entries_of_exchange, 0, COUNT(exchange_rows));
	tcase_add_loop_test(tcase, maps_entries_of_laser, 0, COUNT(laser_rows));
	tcase_add_test(tcase, reads_renamed_attributes);
	tcase_add_loop_test(tcase, takes_only_what_the_directory_provides, 0, 3);
	suite_add_tcase(suite, tcase);
	return suite;
}
