"""Who may relay: clients and logins of the directory, through a real Postfix."""

import pytest

from support.ldif import CONTAINERS, connector, domain, mailbox
from support.ledger import At, Refused
from support.wait import wait_for

ELSEWHERE = "x@elsewhere.example"
RELAYED = At("outside", ELSEWHERE)
DENIED = Refused("554 5.7.1")

DIRECTORY = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    connector("clients", relayClient=["198.51.100.0/24", "!198.51.100.66", "2001:db8:1::/48"]),
    mailbox("adam", "adam@acme.example"),
    mailbox("eve", "eve@acme.example", relayAllowed="FALSE"),
    mailbox("board", "board@acme.example", requireAuth="TRUE"),
])


@pytest.fixture(scope="module")
def site(make_module_site):
    return make_module_site(source="ldif", ldif=DIRECTORY)


def who_text(value):
    return ("-".join(value.values()) or "stranger") if isinstance(value, dict) else None


@pytest.mark.parametrize("who,fate", [
    ({}, DENIED),
    ({"addr": "198.51.100.7"}, RELAYED),
    ({"addr": "198.51.100.66"}, DENIED),
    ({"addr": "198.51.101.7"}, DENIED),
    ({"addr": "IPv6:2001:db8:1:2::3"}, RELAYED),
    ({"addr": "IPv6:2001:db8:2:2::3"}, DENIED),
    ({"addr": "192.0.2.250"}, RELAYED),  # in mynetworks of Postfix
    ({"login": "adam"}, RELAYED),
    ({"login": "ADAM@acme.example"}, RELAYED),
    ({"login": "eve"}, DENIED),
    ({"login": "mallory"}, DENIED),
    ({"login": "eve", "addr": "192.0.2.250"}, DENIED),
    ({"login": "adam", "addr": "198.51.100.66"}, RELAYED),
], ids=who_text)
def test_relay(site, who, fate):
    ledger = site.ledger()
    with site.connect(xclient=who) as client:
        ledger.send(client, "adam@acme.example", {
            ELSEWHERE: fate, "adam@acme.example": At("mailboxes", "adam@acme.example"),
            "nobody@acme.example": Refused("550 5.1.1")})
    ledger.balance()


def test_only_the_trusted_write_to_a_closed_recipient(site):
    ledger = site.ledger()
    to_board = At("mailboxes", "board@acme.example")
    for who, fate in (({}, Refused("550 5.7.1")), ({"addr": "198.51.100.7"}, to_board),
                      ({"login": "adam"}, to_board)):
        with site.connect(xclient=who) as client:
            ledger.send(client, "adam@acme.example", {"board@acme.example": fate})
    ledger.balance()


def test_a_client_that_is_added_may_relay_at_once(make_site):
    site = make_site(ldif="".join([domain("acme.example", "authoritative"),
                                   connector("clients", relayClient="198.51.100.7")]))
    ledger = site.ledger()

    def may_relay(address):
        return site.rcpt_status(ELSEWHERE, xclient={"addr": address}) == "250 2.1.5"
    assert may_relay("198.51.100.7") and not may_relay("198.51.100.8")
    site.slapd.modify("dn: cn=clients,ou=mail,dc=acme,dc=example\nchangetype: modify\n"
                      "add: coexistRelayClient\ncoexistRelayClient: 198.51.100.8\n-\n"
                      "delete: coexistRelayClient\ncoexistRelayClient: 198.51.100.7\n")
    wait_for(lambda: may_relay("198.51.100.8"), "the permission")
    assert not may_relay("198.51.100.7")
    with site.connect(xclient={"addr": "198.51.100.8"}) as client:
        ledger.send(client, "a@acme.example", {ELSEWHERE: RELAYED})
    ledger.balance()
