"""
"Scenarios for Coexistence of the POP3 Service in Exchange Server 2003 and Windows Server 2003",
the second one: POP3 users and users of this server in one directory, each with an SMTP domain
of their own. The POP3 domain is reached through a connector.
"""

import pytest

from support.ldif import change, connector, connector_dn, custom, domain, domain_dn, mailbox, \
    person_dn
from support.ledger import At, Bounced, Refused
from support.pop3host import POP3_HOST, SETTINGS, Here, Logins, Pop3Host
from support.wait import wait_for

SUE, ELSEWHERE = "sue@outside.example", "x@elsewhere.example"
ADAM, ANN, BOB = "adam@acme.example", "ann@pop.example", "bob@pop.example"
USERS = {"adam": "adams secret"}
POP3_USERS = {"ann": "anns secret", "bob": "bobs secret"}
TO_ADAM, TO_ANN, TO_BOB = At("mailboxes", ADAM), At("pop", ANN), At("pop", BOB)
UNKNOWN, DENIED = Refused("550 5.1.1"), Refused("554 5.7.1")


def organisation(site):
    site.add_system(Here(site, USERS))
    site.add_system(Logins(site))
    site.pop3 = site.add_system(Pop3Host(site, POP3_USERS, [ANN, BOB], domain="pop.example"))
    return "".join([
        domain("acme.example", "authoritative"),
        domain("pop.example", "relay"),
        connector("pop", site.pop3.hop, addressSpace="SMTP:pop.example", peer=POP3_HOST,
                  relayClient=POP3_HOST),
        mailbox("adam", ADAM, _userPassword=USERS["adam"]),
        *(custom(name, f"SMTP:{name}@pop.example", f"{name}@pop.example",
                 _userPassword=POP3_USERS[name]) for name in POP3_USERS)])


@pytest.fixture
def site(make_site):
    return make_site(ldif=organisation, settings=SETTINGS)


def send(site, ledger, fates, sender=SUE, login=None):
    with site.connect(xclient={"addr": "203.0.113.9"}) as client:
        if login:
            assert client.auth(login, {**USERS, **POP3_USERS}[login]).ok
        return ledger.send(client, sender, fates)


def test_each_domain_reaches_its_system(site):
    """Rows 1.2, 1.3, 1.10, in all directions."""
    ledger = site.ledger()
    send(site, ledger, {ADAM: TO_ADAM, ANN: TO_ANN, BOB: TO_BOB, ELSEWHERE: DENIED,
                        "nobody@acme.example": UNKNOWN})
    send(site, ledger, {ADAM: TO_ADAM, ANN: TO_ANN, ELSEWHERE: At("outside", ELSEWHERE)}, ADAM,
         "adam")
    send(site, ledger, {ADAM: TO_ADAM, BOB: TO_BOB, ELSEWHERE: At("outside", ELSEWHERE)}, ANN,
         "ann")
    with site.pop3.connect() as client:
        ledger.send(client, ANN, {ADAM: TO_ADAM, BOB: TO_BOB,
                                  ELSEWHERE: At("outside", ELSEWHERE)})
        # Here, as nobody; bounced by the POP3 host, to its own user.
        ledger.send(client, ANN, {"nobody@acme.example": Bounced("pop", ANN),
                                  "nobody@pop.example": UNKNOWN})
    ledger.balance()


@pytest.mark.parametrize("kind,nobody", [
    # A plain relay per domain: the POP3 host says that there is no such user.
    ("relay", Bounced("outside", SUE)),
    # Its users are all in the directory: refused before it is accepted.
    ("shared", UNKNOWN), ("authoritative", UNKNOWN)])
def test_an_invalid_user_of_the_pop3_domain(site, kind, nobody):
    site.slapd.modify(change(domain_dn("pop.example"), ("replace", "domainType", kind)))
    wait_for(lambda: site.resolve("nobody@pop.example")[1]["verdict"]
             == ("deliver" if kind == "relay" else "unknown"), kind)
    ledger = site.ledger()
    send(site, ledger, {"nobody@pop.example": nobody, ANN: TO_ANN})
    ledger.balance()


def test_without_a_connector_that_is_enabled_mail_takes_the_usual_way(site):
    """Row 1.10: the connector is what leads there; no MX record does."""
    site.slapd.modify(change(connector_dn("pop"), ("add", "enabled", "FALSE")))
    wait_for(lambda: not site.resolve(ANN)[1]["deliveries"][0]["nexthop"], "the change")
    ledger = site.ledger()
    send(site, ledger, {ANN: At("outside", ANN), ADAM: TO_ADAM})
    ledger.balance()
    # And its permission is gone with it: the POP3 host's mail waits or comes back.
    assert site.rcpt_status(ELSEWHERE, xclient={"addr": POP3_HOST}) == "554 5.7.1"


def test_users_of_either_system_see_each_other(site):
    """Row 1.8."""
    for name, password in {**USERS, **POP3_USERS}.items():
        found = site.slapd.search("(mail=*)", "mail", bind=(person_dn(name), password))
        assert {dn: entry["mail"] for dn, entry in found.items()} == {
            person_dn("adam"): [ADAM], person_dn("ann"): [ANN], person_dn("bob"): [BOB]}


def test_users_read_their_mail_by_pop3_with_the_same_password(site):
    """Row 1.5."""
    ledger = site.ledger()
    ledger_id, _ = send(site, ledger, {ANN: TO_ANN, ADAM: TO_ADAM}, ADAM, "adam")
    ledger.balance()
    for sink, user in (("pop", "ann"), ("mailboxes", "adam")):
        (_, message), = site.sinks[sink].read(user)
        assert message.header("X-Ledger-Id") == [ledger_id]
    # The password is the directory's.
    site.slapd.modify(change(person_dn("ann"), ("replace", "userPassword", "new")))
    with site.connect() as client:
        assert client.auth("ann", POP3_USERS["ann"]).status == "535 5.7.8"
        assert client.auth("ann", "new").status == "235 2.7.0"
    site.sinks["pop"].users["ann"] = "new"
    assert len(site.sinks["pop"].read("ann")) == 1
