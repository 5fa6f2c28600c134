"""
Q171032: POP3 clients of this server read their mail by POP3 and send it by SMTP. To reach
recipients outside they need "reroute incoming SMTP mail", which here is a permission of the
client, by its network or by its login; the organisation's own domain is "accepted as inbound"
for everybody.
"""

import poplib

import pytest

from support.ldif import change, connector, connector_dn, domain, mailbox, person_dn
from support.ledger import At, Refused
from support.pop3host import SETTINGS, Here, Logins
from support.wait import wait_for

ADAM, EVE = "adam.barr@acme.example", "eve@acme.example"
USERS = {"adam": "adams secret", "eve": "eves secret"}
ELSEWHERE = "x@elsewhere.example"
REROUTED = At("outside", ELSEWHERE)
DENIED = Refused("554 5.7.1")
CLIENT = {"addr": "198.51.100.7"}


def organisation(site):
    site.add_system(Here(site, USERS))
    site.add_system(Logins(site))
    return "".join([
        domain("acme.example", "authoritative"),
        domain("old.example", "rewrite", rewriteDomain="acme.example"),
        connector("clients"),
        mailbox("adam", ADAM, proxyAddress="smtp:adam@acme.example",
                _userPassword=USERS["adam"]),
        mailbox("eve", EVE, relayAllowed="FALSE", _userPassword=USERS["eve"]),
    ])


@pytest.fixture
def site(make_site):
    return make_site(ldif=organisation, settings=SETTINGS)


def send(site, ledger, fates, who=None, login=None, sender=ADAM):
    with site.connect(xclient=who) as client:
        if login:
            reply = client.auth(login, USERS["eve" if login == "eve" else "adam"])
            assert reply.status == "235 2.7.0", reply
        return ledger.send(client, sender, fates)


def permit(site, *networks):
    site.slapd.modify(change(connector_dn("clients"), ("replace", "relayClient", *networks)))


def wait_permission(site, who, status="250 2.1.5"):
    wait_for(lambda: site.rcpt_status(ELSEWHERE, xclient=who) == status, f"{who}: {status}")


def test_a_client_without_permission_reaches_the_organisation_only(site):
    """Rows 3.1, 3.4, 3.8: no rule permits nobody; it is refused, nothing is bounced."""
    ledger = site.ledger()
    send(site, ledger, {ELSEWHERE: DENIED, EVE: At("mailboxes", EVE)}, CLIENT)
    send(site, ledger, {ELSEWHERE: DENIED}, CLIENT)
    ledger.balance()
    # What is said about it (row 3.7): client, sender, recipient.
    line = site.postfix.wait_log("NOQUEUE: reject: RCPT")[0]
    assert "198.51.100.7" in line and f"from=<{ADAM}>" in line and f"to=<{ELSEWHERE}>" in line


def test_with_rerouting_its_mail_goes_out_after_it_is_sent_again(site):
    """Rows 3.1, 3.4, 3.5: no restart, the next attempt is let through."""
    ledger = site.ledger()
    send(site, ledger, {ELSEWHERE: DENIED}, CLIENT)
    permit(site, "198.51.100.0/24")
    wait_permission(site, CLIENT)
    send(site, ledger, {ELSEWHERE: REROUTED, EVE: At("mailboxes", EVE)}, CLIENT)
    # Only that client's.
    send(site, ledger, {ELSEWHERE: DENIED}, {"addr": "198.51.101.7"})
    # And no longer than it lasts.
    site.slapd.modify(change(connector_dn("clients"), ("delete", "relayClient")))
    wait_permission(site, CLIENT, "554 5.7.1")
    ledger.balance()


def test_the_own_domain_is_accepted_as_inbound(site):
    """Row 3.2: delivered by the directory, from anywhere; and read by POP3."""
    ledger = site.ledger()
    ledger_id, _ = send(site, ledger, {
        ADAM: At("mailboxes", ADAM), "Adam@ACME.example": At("mailboxes", ADAM),
        EVE: At("mailboxes", EVE), "nobody@acme.example": Refused("550 5.1.1"),
        ELSEWHERE: DENIED}, {"addr": "203.0.113.9"}, sender="sue@outside.example")
    ledger.balance()
    for user, address in (("adam", ADAM), ("eve", EVE)):
        (_, message), = site.sinks["mailboxes"].read(user)
        assert message.header("X-Ledger-Id") == [ledger_id]
        assert message.addresses == [address] and message.sender == "sue@outside.example"


def test_another_domain_is_rerouted_to_it(site):
    """Row 3.3: "should be rerouted to this domain" rewrites the recipient's domain."""
    ledger = site.ledger()
    send(site, ledger, {"adam.barr@old.example": At("mailboxes", ADAM),
                        "eve+list@old.example": At("mailboxes", "eve+list@acme.example"),
                        "nobody@old.example": Refused("550 5.1.1")}, sender="sue@outside.example")
    ledger.balance()


@pytest.mark.parametrize("name,status", [
    ("x.acme.example", "250 2.1.5"), ("y.x.acme.example", "250 2.1.5"),
    ("z.acme.example", "550 5.1.1"), ("x.z.acme.example", "250 2.1.5"),
    ("notacme.example", "554 5.7.1"), ("acme.example.elsewhere.example", "554 5.7.1")])
def test_an_entry_covers_its_subdomains_and_a_closer_one_overrides(subdomains, name, status):
    """Row 3.6, which has no entry for the domain itself here: that is another one."""
    assert subdomains.rcpt_status(f"eve@{name}") == status


@pytest.fixture(scope="module")
def subdomains(make_module_site):
    return make_module_site(ldif="".join([
        domain("acme.example", "authoritative"),
        domain("*.acme.example", "rewrite", rewriteDomain="acme.example"),
        domain("z.acme.example", "authoritative"),
        mailbox("eve", EVE)]))


def test_clients_that_log_in_send_outside(site):
    """Row 3.7, by the login: as uid or as an address of the user, by a real AUTH PLAIN."""
    ledger = site.ledger()
    for login in ("adam", "ADAM", ADAM):
        send(site, ledger, {ELSEWHERE: REROUTED, EVE: At("mailboxes", EVE)},
             {"addr": "203.0.113.9"}, login)
    ledger.balance()


def test_an_account_that_may_not_relay_is_refused(site):
    permit(site, "198.51.100.0/24")
    wait_permission(site, CLIENT)
    ledger = site.ledger()
    for who in ({"addr": "203.0.113.9"}, CLIENT, {"addr": "192.0.2.250"}):
        send(site, ledger, {ELSEWHERE: DENIED, ADAM: At("mailboxes", ADAM)}, who, "eve", EVE)
    ledger.balance()
    # What is said about it: client, account, sender, recipient.
    assert len(site.policyd.log_lines(r"NOQUEUE: reject: .*192\.0\.2\.250.*, sasl_username=eve, "
                                      f"from=<{EVE}>, to=<{ELSEWHERE}>")) == 1
    site.slapd.modify(change(person_dn("eve"), ("delete", "relayAllowed")))
    wait_permission(site, {"addr": "203.0.113.9", "login": "eve"})
    send(site, ledger, {ELSEWHERE: REROUTED}, {"addr": "203.0.113.9"}, "eve", EVE)
    ledger.balance()


def test_a_wrong_password_permits_nothing(site):
    with site.connect() as client:
        assert client.auth("adam", "eves secret").status == "535 5.7.8"
        assert client.mail(ADAM).ok
        assert client.rcpt(ELSEWHERE).status == "554 5.7.1"
    with pytest.raises(poplib.error_proto):
        site.sinks["mailboxes"].login("adam", "eves secret")


@pytest.mark.parametrize("networks,address,status", [
    # Deny before allow, longest prefix first; nothing that is not permitted (row 3.7).
    (["198.51.100.0/24", "!198.51.100.66"], "198.51.100.7", "250 2.1.5"),
    (["198.51.100.0/24", "!198.51.100.66"], "198.51.100.66", "554 5.7.1"),
    (["198.51.100.66", "!198.51.100.66"], "198.51.100.66", "554 5.7.1"),
    (["!198.51.100.66"], "198.51.100.66", "554 5.7.1"),
    # Where there are only prohibitions the others are not permitted: the original's open relay.
    (["!198.51.100.66"], "198.51.100.7", "554 5.7.1"),
    # A single address is just that.
    (["198.51.100.7"], "198.51.100.7", "250 2.1.5"),
    (["198.51.100.7"], "198.51.100.71", "554 5.7.1"),
])
def test_networks_that_may_relay(site_for_networks, networks, address, status):
    site = site_for_networks
    # A client that only this set permits says when it is there.
    permit(site, *networks, "203.0.113.77")
    wait_permission(site, {"addr": "203.0.113.77"})
    assert site.rcpt_status(ELSEWHERE, xclient={"addr": address}) == status
    permit(site, "203.0.113.78")
    wait_permission(site, {"addr": "203.0.113.77"}, "554 5.7.1")


@pytest.fixture(scope="module")
def site_for_networks(make_module_site):
    return make_module_site(ldif=domain("acme.example", "authoritative") + connector("clients"))
