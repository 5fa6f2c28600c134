"""
Split horizon through a real Postfix: the policy service and the milter say the same, together
and each alone. The old system sends from 192.0.2.1; what would go back to it under the
very address it sent it to is refused.
"""

import pytest

from support.ldif import CONTAINERS, connector, custom, domain, mailbox
from support.ledger import At, Refused

PEER, OTHER, STRANGER = ({"addr": a} for a in ("192.0.2.1", "192.0.2.33", "203.0.113.1"))
PEER6 = {"addr": "IPv6:2001:db8::25"}
KNOWN, UNKNOWN = Refused("451 4.4.6"), Refused("550 5.1.1")
HERE = At("mailboxes", "here@acme.example")


def organisation(site):
    return CONTAINERS + "".join([
        domain("acme.example", "shared", forwardHost="old"),
        domain("fwd.example", "shared", forwardHost="old", unknownRecipient="forward"),
        domain("relay.example", "relay", forwardHost="old"),
        domain("former.example", "rewrite", rewriteDomain="acme.example"),
        connector("old", site.sinks["old"].hop, peer=["192.0.2.0/28", "2001:db8::25"],
                  addressSpace="MS:MICROSOFT/PO1/"),
        connector("new", site.sinks["new"].hop, peer="192.0.2.33"),
        # A range that two systems share, and one that is switched off.
        connector("off", site.sinks["new"].hop, peer="192.0.2.0/28", enabled="FALSE"),
        mailbox("here", "here@acme.example"),
        mailbox("away", "away@acme.example", homeServer="old"),
        custom("there", "there@acme.example", "there@acme.example"),
        custom("newly", "newly@acme.example", "newly@acme.example", homeServer="new"),
        custom("alias", "real@acme.example", "alias@acme.example",
               proxyAddress="smtp:real@acme.example"),
        custom("paula", "MS:MICROSOFT/PO1/PAULA", "paula@acme.example"),
        mailbox("copied", "copied@acme.example", forwardingAddress="there@acme.example",
                deliverAndRedirect="TRUE"),
    ])


ALONE = {
    "policy and milter": {},
    # What must not be bypassed when the other is missing; relaying stays Postfix's affair.
    "policy": {"smtpd_milters": ""},
    "milter": {"smtpd_recipient_restrictions": "",
               "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"},
}


@pytest.fixture(scope="module", params=ALONE)
def site(make_module_site, request):
    made = make_module_site(source="ldif", sinks=("old", "new"), ldif=organisation,
                            settings=ALONE[request.param])
    made.alone = request.param
    return made


def old(address):
    return At("old", address)


# (client, recipient, fate)
ROWS = [
    (PEER, "there@acme.example", KNOWN),
    (PEER, "THERE@Acme.Example", KNOWN),
    (PEER, "there+list@acme.example", KNOWN),
    (PEER6, "there@acme.example", KNOWN),
    (PEER, "away@acme.example", KNOWN),
    (PEER, "real@acme.example", KNOWN),
    (PEER, "IMCEAMS-MICROSOFT_PO1_PAULA@acme.example", KNOWN),
    (PEER, "nobody@fwd.example", UNKNOWN),
    (PEER, "nobody@relay.example", UNKNOWN),
    # Not back to it.
    (PEER, "here@acme.example", HERE),
    (PEER, "newly@acme.example", At("new", "newly@acme.example")),
    (OTHER, "newly@acme.example", KNOWN),
    (OTHER, "there@acme.example", old("there@acme.example")),
    (OTHER, "nobody@fwd.example", old("nobody@fwd.example")),
    # Not from it.
    (STRANGER, "there@acme.example", old("there@acme.example")),
    (STRANGER, "nobody@fwd.example", old("nobody@fwd.example")),
    ({"addr": "192.0.2.16"}, "there@acme.example", old("there@acme.example")),
    # Its users, who have logged in: they write to each other through this server.
    ({**PEER, "login": "here"}, "there@acme.example", old("there@acme.example")),
    ({**PEER, "login": "here"}, "nobody@fwd.example", old("nobody@fwd.example")),
]
# Back to it, but under another address: it does not know that this is its own. Only the
# milter can say so to it.
REWRITTEN = [
    (PEER, "alias@acme.example", old("real@acme.example")),
    (PEER, "there@former.example", old("there@acme.example")),
    (PEER, "paula@acme.example", old("IMCEAMS-MICROSOFT_PO1_PAULA@acme.example")),
    (PEER, "copied@acme.example", At("mailboxes", "copied@acme.example",
                                     "old", "there@acme.example")),
]


@pytest.mark.parametrize("who,recipient,fate", ROWS + REWRITTEN,
                         ids=lambda v: "-".join(v.values()) if isinstance(v, dict) else None)
def test_nothing_goes_back_to_whence_it_came(site, who, recipient, fate):
    if site.alone == "policy" and (who, recipient, fate) in REWRITTEN:
        assert site.rcpt_status(recipient, xclient=who) == "250 2.1.5"
        return
    ledger = site.ledger()
    with site.connect(xclient=who) as client:
        ledger.send(client, "sue@outside.example", {recipient: fate})
    ledger.balance()


def test_in_one_message_each_recipient_has_its_own_fate(site):
    ledger = site.ledger()
    for who in (PEER, OTHER, STRANGER):
        rows = {recipient: fate for w, recipient, fate in ROWS if w == who}
        with site.connect(xclient=who) as client:
            ledger.send(client, "", rows)
    ledger.balance()


def test_mail_from_this_host_itself_is_nobodys(site):
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    ledger.expect(ledger_id, old("there@acme.example"))
    site.postfix.sendmail(["-i", "-f", "here@acme.example", "there@acme.example"],
                          ledger.message(ledger_id, "here@acme.example", []))
    ledger.balance()
