#include "config.h"

#include <stdlib.h>

#include "syncd_help.h"
#include "unit.h"

/* A directory entry, and the record that becomes of it. */
struct row {
	const char *label;
	const char *ldif;
	enum status status;
	const char *record; /* as text; "" where there is none */
	const char *said;   /* notes and reason */
};

/* clang-format off */
#define ADAM "dn: uid=adam,ou=people,dc=acme,dc=example\nobjectClass: inetOrgPerson\n"
#define ADAM_DN "dn uid=adam,ou=people,dc=acme,dc=example\n"
#define MAILBOX ADAM "objectClass: coexistMailbox\nmail: adam@acme.example\n"
#define DOMAIN "dn: cn=acme,dc=acme,dc=example\nobjectClass: coexistDomain\n"
#define DOMAIN_DN "dn cn=acme,dc=acme,dc=example\n"
#define CONNECTOR "dn: cn=POP3,dc=acme,dc=example\nobjectClass: coexistConnector\ncn: POP3\n"
#define CONNECTOR_DN "dn cn=POP3,dc=acme,dc=example\n"
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
	  "coexistDomainType: \"internal\": no such type of domain\n" },
	{ "no type", DOMAIN "associatedDomain: a.example\n", CX_EINVAL, "", "coexistDomainType: no such type of domain\n" },
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

static void check_row(const struct conf_directory *directory, const struct row *row)
{
	struct buf record, said;

	buf_init(&record);
	buf_init(&said);
	enum status status = help_map(directory, row->ldif, &record, &said);

	ck_assert_msg(strcmp(said.data ? said.data : "", row->said) == 0,
	    "%s: said\n%s-- not\n%s", row->label, said.data ? said.data : "",
	    row->said);
	unit_assert_status(status, row->status, row->label);
	ck_assert_msg(strcmp(record.data ? record.data : "", row->record) == 0,
	    "%s: is\n%s-- not\n%s", row->label, record.data ? record.data : "",
	    row->record);
	buf_release(&record);
	buf_release(&said);
}

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

START_TEST(maps_entries_of_our_schema)
{
	struct conf_directory directory = help_directory();

	check_row(&directory, &coexist_rows[_i]);
}
END_TEST

START_TEST(maps_entries_of_exchange)
{
	struct conf_directory directory = help_directory();

	directory.mapping = "exchange";
	check_row(&directory, &exchange_rows[_i]);
}
END_TEST

START_TEST(maps_entries_of_laser)
{
	struct conf_directory directory = help_directory();

	directory.mapping = "laser";
	check_row(&directory, &laser_rows[_i]);
}
END_TEST

START_TEST(keeps_to_the_domains_of_the_directory)
{
	struct conf_directory directory = help_directory();

	directory.domains = limit;
	directory.base = "DC=acme, DC=example";
	check_row(&directory, &limited_rows[_i]);
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
	check_row(&directory, &row);
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
	check_row(&directory, &rows[_i]);
}
END_TEST

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
	Suite *suite = suite_create("mapping");
	TCase *entries = tcase_create("entries");

	tcase_add_loop_test(entries, maps_entries_of_our_schema, 0,
	    COUNT(coexist_rows));
	tcase_add_loop_test(entries, maps_entries_of_exchange, 0, COUNT(exchange_rows));
	tcase_add_loop_test(entries, maps_entries_of_laser, 0, COUNT(laser_rows));
	tcase_add_loop_test(entries, keeps_to_the_domains_of_the_directory, 0,
	    COUNT(limited_rows));
	tcase_add_test(entries, skips_entries_with_a_value_too_long);
	tcase_add_test(entries, skips_what_fits_into_no_record);
	tcase_add_test(entries, takes_very_many_addresses);
	tcase_add_test(entries, reads_renamed_attributes);
	tcase_add_loop_test(entries, takes_only_what_the_directory_provides, 0, 3);
	suite_add_tcase(suite, entries);

	TCase *mapping = tcase_create("mapping");
	tcase_add_test(mapping, asks_for_what_it_reads);
	tcase_add_test(mapping, asks_for_entries_by_the_names_in_force);
	tcase_add_test(mapping, fingerprint_follows_what_records_depend_on);
	tcase_add_loop_test(mapping, retargets_as_if_the_directory_had_done_it, 0,
	    sizeof(retargets) / sizeof(retargets[0]));
	tcase_add_test(mapping, refuses_a_mapping_that_does_not_exist);
	suite_add_tcase(suite, mapping);
	return suite;
}
