"""
The settings that change who may send what: enforce_sender, authenticated_relay, observe,
postmaster, through a real Postfix.
"""

import pytest

from support.ldif import CONTAINERS, connector, custom, domain, mailbox
from support.ledger import At, Refused
from support.wait import wait_for

ELSEWHERE = "x@elsewhere.example"
RELAYED = At("outside", ELSEWHERE)
DENIED = Refused("554 5.7.1")
NOT_OWNER = Refused("553 5.7.1")
TO_ADAM = {"adam@acme.example": At("mailboxes", "adam@acme.example")}

DIRECTORY = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    domain("new.example", "authoritative", unknownRecipient="observe"),
    domain("off.example", "authoritative", enabled="FALSE"),
    connector("clients", relayClient=["198.51.100.0/24", "!192.0.2.250"]),
    mailbox("adam", "adam@acme.example", proxyAddress="smtp:adam.barr@acme.example"),
    mailbox("eve", "eve@acme.example", relayAllowed="FALSE"),
    mailbox("board", "board@acme.example", requireAuth="TRUE"),
    mailbox("redir", "redir@acme.example", forwardingAddress="r@elsewhere.example"),
    mailbox("twin1", "twin1@acme.example").replace("uid: twin1", "uid: twin1\nuid: twin"),
    mailbox("twin2", "twin2@acme.example").replace("uid: twin2", "uid: twin2\nuid: twin"),
    custom("pop", "pop@pop.example", "pop@acme.example"),
])


@pytest.fixture(scope="module", name="enforcing")
def fixture_enforcing(make_module_site):
    return make_module_site(source="ldif", ldif=DIRECTORY, options="enforce_sender = true")


@pytest.mark.parametrize("login,sender,fate", [
    ("adam", "adam@acme.example", RELAYED),
    ("ADAM", "Adam.Barr@ACME.example.", RELAYED),
    ("adam@acme.example", "adam.barr+list@acme.example", RELAYED),
    ("adam", '"adam"@acme.example', RELAYED),
    ("adam", "", RELAYED),
    ("adam", "eve@acme.example", NOT_OWNER),
    ("adam", "adam@elsewhere.example", NOT_OWNER),
    ("adam", "nobody@acme.example", NOT_OWNER),
    ("adam", "eve@acme.example@acme.example", NOT_OWNER),
    ("adam", '"adam@acme.example"@elsewhere.example', NOT_OWNER),
    ("adam", "adam%elsewhere.example@acme.example", NOT_OWNER),
    ("pop", "pop@acme.example", RELAYED),
    ("pop", "adam@acme.example", NOT_OWNER),
    # Only who has authenticated is held to it.
    ("", "eve@acme.example", DENIED),
])
def test_a_login_sends_from_its_own_addresses(enforcing, login, sender, fate):
    ledger = enforcing.ledger()
    with enforcing.connect(xclient={"login": login} if login else {}) as client:
        ledger.send(client, sender, {ELSEWHERE: fate})
        # To recipients of ours no less.
        ledger.send(client, sender, {"adam@acme.example": NOT_OWNER} if fate is NOT_OWNER
                    else TO_ADAM)
    ledger.balance()


@pytest.mark.parametrize("mode,fates", [
    ("directory", {"adam": RELAYED, "mallory": DENIED, "twin": DENIED, "eve": DENIED}),
    ("any", {"adam": RELAYED, "mallory": RELAYED, "twin": DENIED, "eve": DENIED}),
    ("none", {"adam": DENIED, "mallory": DENIED, "twin": DENIED, "eve": DENIED}),
])
def test_which_logins_relay(make_site, mode, fates):
    site = make_site(source="ldif", ldif=DIRECTORY, policyd=f'authenticated_relay = "{mode}"')
    ledger = site.ledger()
    for login, fate in fates.items():
        with site.connect(xclient={"login": login}) as client:
            ledger.send(client, "sue@outside.example", {ELSEWHERE: fate, **TO_ADAM})
        # Its network may, whoever it is: but not who is forbidden.
        with site.connect(xclient={"login": login, "addr": "198.51.100.7"}) as client:
            ledger.send(client, "sue@outside.example",
                        {ELSEWHERE: DENIED if login == "eve" else RELAYED})
    ledger.balance()


def test_observing_refuses_and_permits_nothing_and_says_what_it_would_have(make_site):
    site = make_site(source="ldif", ldif=DIRECTORY, options="observe = true")
    ledger = site.ledger()
    here = {address: At("mailboxes", address) for address in (
        "nobody@acme.example", "board@acme.example", "adam@acme.example", "x@off.example")}
    with site.connect() as client:
        ledger.send(client, "sue@outside.example", {
            **here, "adam.barr@acme.example": At("mailboxes", "adam@acme.example"),
            "redir@acme.example": At("outside", "r@elsewhere.example"), ELSEWHERE: DENIED})
    # Postfix's own rules decide about relaying: mynetworks may, what the directory says or not.
    with site.connect(xclient={"addr": "192.0.2.250"}) as client:
        ledger.send(client, "sue@outside.example", {ELSEWHERE: RELAYED})
    with site.connect(xclient={"addr": "198.51.100.7"}) as client:
        ledger.send(client, "sue@outside.example", {ELSEWHERE: DENIED})
    ledger.balance()
    for address, reply in (("nobody@acme.example", "550 5.1.1"),
                           ("board@acme.example", "550 5.7.1"),
                           ("x@off.example", "451 4.3.2"), (ELSEWHERE, "554 5.7.1")):
        wait_for(lambda: site.policyd.log_lines(f'NOQUEUE: observe: .*to=<{address}>.*"{reply}'),
                 lambda: f"{address}, {reply}:\n{site.policyd.log_text()[-3000:]}")
    assert not site.policyd.log_lines("NOQUEUE: reject:")


@pytest.fixture(scope="module", name="plain")
def fixture_plain(make_module_site):
    return make_module_site(source="ldif", ldif=DIRECTORY)


def test_a_domain_that_is_observed_takes_its_unknown_recipients(plain):
    ledger = plain.ledger()
    with plain.connect() as client:
        ledger.send(client, "sue@outside.example", {
            "nobody@new.example": At("mailboxes", "nobody@new.example"),
            "nobody@acme.example": Refused("550 5.1.1")})
    ledger.balance()
    assert plain.policyd.log_lines('NOQUEUE: observe: .*to=<nobody@new.example>.*"550 5.1.1')


POSTMASTERS = ("postmaster@acme.example", "POSTMASTER@new.example", '"postmaster"@acme.example')


def test_the_postmaster_is_the_mtas_own(plain):
    ledger = plain.ledger()
    for address in POSTMASTERS:
        with plain.connect() as client:
            ledger.send(client, "", {address: At("outside", "postmaster@gw.gateway.example")})
    with plain.connect() as client:
        ledger.send(client, "", {"postmaster@off.example": Refused("451 4.3.2"),
                                 "postmaster@elsewhere.example": DENIED})
    ledger.balance()


def test_the_postmaster_is_whom_the_configuration_names(make_site):
    site = make_site(source="ldif", ldif=DIRECTORY,
                     options='postmaster = "adam.barr@acme.example"')
    ledger = site.ledger()
    for address in POSTMASTERS:
        with site.connect() as client:
            ledger.send(client, "", {address: At("mailboxes", "adam@acme.example")})
    ledger.balance()
