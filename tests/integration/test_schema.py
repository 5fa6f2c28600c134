"""The schema and slapd's set-up, in real slapds, in both configuration styles."""

import re

import pytest

from support.slapd import Slapd
from support.wait import wait_for

PEOPLE = """\
dn: uid=adam,ou=people,dc=acme,dc=example
objectClass: inetOrgPerson
objectClass: coexistMailbox
uid: adam
cn: Adam Barr
sn: Barr
mail: adam.barr@acme.example
coexistProxyAddress: smtp:abarr@acme.example
coexistHideFromAddressLists: TRUE
coexistAltRecipient: uid=adam-pop,ou=people,dc=acme,dc=example
coexistDeliverAndRedirect: FALSE
userPassword: adams secret

dn: uid=adam-pop,ou=people,dc=acme,dc=example
objectClass: inetOrgPerson
objectClass: coexistCustomRecipient
uid: adam-pop
cn: Adam Barr (POP3)
sn: Barr
coexistTargetAddress: SMTP:adam@pop.acme.example

dn: uid=eve,ou=people,dc=acme,dc=example
objectClass: inetOrgPerson
objectClass: coexistMailbox
uid: eve
cn: Eve Nosy
sn: Nosy
mail: eve@acme.example
userPassword: eves secret

dn: cn=staff,ou=groups,dc=acme,dc=example
objectClass: groupOfNames
objectClass: coexistGroup
cn: staff
mail: staff@acme.example
member: uid=eve,ou=people,dc=acme,dc=example
coexistMember: uid=adam,ou=people,dc=acme,dc=example
coexistMemberAddress: b\u00f6b@outside.example

dn: associatedDomain=acme.example,ou=mail,dc=acme,dc=example
objectClass: coexistDomain
associatedDomain: acme.example
coexistDomainType: shared

dn: cn=pop,ou=mail,dc=acme,dc=example
objectClass: coexistConnector
cn: pop
coexistNextHop: smtp:[127.0.0.1]:2525
coexistAddressSpace: SMTP:pop.acme.example;10
coexistRelayClient: !192.0.2.9
coexistEnabled: TRUE
"""
ADAM = "uid=adam,ou=people,dc=acme,dc=example"
EVE = "uid=eve,ou=people,dc=acme,dc=example"


@pytest.fixture
def server(slapd):
    slapd.add(PEOPLE)
    return slapd


def as_user(dn):
    return dn, {ADAM: "adams secret", EVE: "eves secret"}[dn]


def as_service(server):
    return server.service_dn, server.service_password


def as_admin(server):
    return server.admin_dn, server.service_password


def test_takes_an_entry_of_each_class(server):
    for name in ("Mailbox", "CustomRecipient", "Group", "Domain", "Connector"):
        assert server.search(f"(objectClass=coexist{name})"), name


def test_refuses_what_the_classes_do_not_allow(server):
    for attributes in ("objectClass: coexistMailbox", "objectClass: coexistCustomRecipient",
                       "coexistParked: TRUE"):
        done = server.add("dn: cn=odd,ou=people,dc=acme,dc=example\nobjectClass: person\n"
                          f"cn: odd\nsn: odd\n{attributes}\n", check=False)
        assert done.returncode == 65, attributes  # objectClassViolation
    done = server.modify(f"dn: {EVE}\nchangetype: modify\nadd: coexistHomeServer\n"
                         "coexistHomeServer: a\ncoexistHomeServer: b\n", check=False)
    assert done.returncode == 19  # single-valued: constraintViolation


def test_addresses_match_in_any_case_and_script(server):
    assert ADAM in server.search("(coexistProxyAddress=SMTP:ABARR@acme.EXAMPLE)")
    assert ADAM in server.search("(coexistProxyAddress=*abarr*)")
    assert server.search("(coexistMemberAddress=B\u00d6B@outside.example)")


def test_hides_hidden_entries_from_address_book_searches(server):
    for who in (as_user(EVE), ):
        found = server.search("(objectClass=inetOrgPerson)", "cn", bind=who)
        assert ADAM not in found and EVE in found
        assert not server.search("(mail=adam.barr@acme.example)", bind=who)
        assert not server.search(base=ADAM, scope="base", bind=who)
    # The custom recipient that stands for him is there.
    assert server.search("(cn=Adam Barr (POP3))".replace("(POP3)", "\\28POP3\\29"), "cn",
                         bind=as_user(EVE))


def test_shows_hidden_entries_to_those_who_must_see_them(server):
    for who in (as_service(server), as_admin(server), as_user(ADAM)):
        assert ADAM in server.search("(mail=adam.barr@acme.example)", bind=who)


def test_shows_an_entry_again_that_is_no_longer_hidden(server):
    server.modify(f"dn: {ADAM}\nchangetype: modify\nreplace: coexistHideFromAddressLists\n"
                  "coexistHideFromAddressLists: FALSE\n")
    assert ADAM in server.search("(uid=adam)", bind=as_user(EVE))


def test_shows_nothing_to_the_anonymous(server):
    assert not server.search("(objectClass=*)", anonymous=True)


def test_shows_domains_and_connectors_to_service_and_administrators_only(server):
    wanted = "(|(objectClass=coexistConnector)(objectClass=coexistDomain))"
    assert len(server.search(wanted, bind=as_service(server))) == 2
    assert len(server.search(wanted, bind=as_admin(server))) == 2
    assert not server.search(wanted, bind=as_user(EVE))


@pytest.mark.parametrize("attribute,value", [
    ("coexistProxyAddress", "smtp:ceo@acme.example"),
    ("coexistAltRecipient", ADAM),
    ("coexistForwardingAddress", "eve@elsewhere.example"),
    ("coexistRelayAllowed", "TRUE"),
    ("coexistHideFromAddressLists", "TRUE"),
    ("mail", "ceo@acme.example"),
    ("uid", "ceo"),
    ("objectClass", "coexistCustomRecipient"),
])
def test_users_cannot_write_what_routes_their_mail(server, attribute, value):
    change = f"dn: {EVE}\nchangetype: modify\nadd: {attribute}\n{attribute}: {value}\n"
    if attribute == "objectClass":
        change += "-\nadd: coexistTargetAddress\ncoexistTargetAddress: x@y.example\n"
    assert server.modify(change, bind=as_user(EVE), check=False).returncode == 50
    server.modify(change, bind=as_admin(server))


def test_users_can_write_their_telephone_number_and_password(server):
    server.modify(f"dn: {EVE}\nchangetype: modify\nreplace: telephoneNumber\n"
                  "telephoneNumber: 1\n-\nreplace: userPassword\nuserPassword: new\n",
                  bind=as_user(EVE))
    assert EVE in server.search("(uid=eve)", bind=(EVE, "new"))


def test_the_service_account_reads_all_but_passwords_and_writes_nothing(server):
    everything = server.search()
    seen = server.search(bind=as_service(server))
    assert seen.keys() == everything.keys()
    for dn, attributes in everything.items():
        assert attributes.keys() - {"userPassword", "userPassword:"} == seen[dn].keys(), dn
    done = server.modify(f"dn: {EVE}\nchangetype: modify\nadd: coexistParked\n"
                         "coexistParked: TRUE\n", bind=as_service(server), check=False)
    assert done.returncode == 50


def test_the_service_account_has_no_size_limit(server):
    server.add("".join(
        f"dn: uid=u{n},ou=people,dc=acme,dc=example\nobjectClass: inetOrgPerson\n"
        f"objectClass: coexistMailbox\nuid: u{n}\ncn: u{n}\nsn: u{n}\nmail: u{n}@acme.example\n\n"
        for n in range(600)))
    assert len(server.search("(mail=u*)", "1.1", bind=as_service(server))) == 600
    with pytest.raises(AssertionError, match="exit 4"):
        server.search("(mail=u*)", "1.1", bind=as_user(EVE))


def test_references_follow_a_rename_and_vanish_with_their_object(server):
    new = "uid=adam-pop3,ou=people,dc=acme,dc=example"
    server.rename("uid=adam-pop,ou=people,dc=acme,dc=example", "uid=adam-pop3")

    def reference():
        return server.search("(uid=adam)", "coexistAltRecipient")[ADAM]
    # refint works in the background.
    wait_for(lambda: reference().get("coexistAltRecipient") == [new], "refint to rename")
    server.delete(new)
    wait_for(lambda: "coexistAltRecipient" not in reference(), "refint to delete")


@pytest.mark.parametrize("change", [
    "coexistProxyAddress: SMTP:ABarr@acme.example",
    "mail: Adam.Barr@acme.example",
    "uid: adam",
])
def test_one_address_has_one_owner(server, change):
    name = change.split(":")[0]
    done = server.modify(f"dn: {EVE}\nchangetype: modify\nadd: {name}\n{change}\n", check=False)
    assert done.returncode == 19, done.stderr


def test_syncprov_serves_refresh_and_persist(server):
    root = server.search("(objectClass=*)", "contextCSN", base=server.suffix, scope="base")
    assert root[server.suffix]["contextCSN"]


# Access rules as slapd prints them, and as people write them.
RESPELLINGS = (('"', ""), ("dn.base=", "dn.exact="), (" +0 break", " break"),
               ("group/groupOfNames/member.exact=", "group.exact="))


def settings_of(ldif):
    """{(entry, attribute): values} of what Coexist sets up, numbering taken off."""
    found = {}
    for block in ldif.split("\n\n"):
        dn = re.sub(r"\{-?\d+\}", "", re.search(r"(?m)^dn: (.*)$", block + "\ndn: ").group(1))
        if not re.search(r"olcDatabase=mdb,|cn=coexist,cn=schema,", dn):
            continue
        for name, value in re.findall(r"(?m)^(olc\w+): (.*)$", block):
            if name in ("olcDatabase", "olcDbDirectory", "olcOverlay"):
                continue
            value = re.sub(r"\s+", " ", re.sub(r"^\{\d+\}", "", value))
            for printed, written in RESPELLINGS:
                value = value.replace(printed, written)
            if name == "olcDbIndex":  # "a,b eq" is "a eq" and "b eq"
                names, _, kinds = value.partition(" ")
                found.setdefault((dn, name), set()).update(f"{n} {kinds}"
                                                           for n in names.split(","))
            else:
                found.setdefault((dn, name), []).append(value)
    return found


def test_both_configuration_styles_come_to_the_same(folder):
    found = []
    for style in ("slapd.conf", "cn=config"):
        server = Slapd(f"{folder}/{style}", style, seed=False)
        found.append(settings_of(server.configuration()))
        server.close()
    # What only a style or the tests add.
    for settings in found:
        for key in [k for k in settings if k[1] in (
                "olcAddContentAcl", "olcLastMod", "olcMaxDerefDepth", "olcReadOnly",
                "olcMonitoring", "olcSyncUseSubentry", "olcDbNoSync", "olcDbMode",
                "olcDbMaxReaders", "olcDbSearchStack", "olcDbMaxEntrySize", "olcDbRtxnSize",
                "olcLastBind", "olcDbMultival", "olcSchemaDN", "olcMirrorMode")]:
            del settings[key]
    for key in sorted(found[0].keys() | found[1].keys()):
        assert found[0].get(key) == found[1].get(key), key
    assert len(found[0]) >= 10
