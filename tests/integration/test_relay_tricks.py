"""
Every known way to make a server relay by a trick of spelling, through a real Postfix as gateway,
as the system that has the mailboxes itself, and set up carelessly. What is accepted ends in
the one sink that may have it, and nowhere else: the ledger sees to that.
"""

import pytest

from support.ldif import CONTAINERS, connector, domain, mailbox
from support.ledger import At
from support.postfix import local_settings

ROLES = {
    "gateway": {},
    "local": local_settings(),
    # Postfix follows routes for anybody, and has a domain of its own to strip.
    "careless": {"allow_untrusted_routing": "yes", "mydestination": "gw.gateway.example"},
}


def directory(site):
    sinks = site.sinks
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.example", "relay", forwardHost=sinks["pop"].hop),
        domain("shared.example", "shared", forwardHost=sinks["legacy"].hop,
               unknownRecipient="forward"),
        domain("old.example", "rewrite", rewriteDomain="acme.example"),
        domain("off.example", "authoritative", enabled="FALSE"),
        connector("clients", relayClient=["198.51.100.0/24", "!198.51.100.66",
                                          "2001:db8:1::/48", "!192.0.2.250"]),
        connector("gateway", sinks["gateway"].hop, addressSpace="MS:NET/PO/"),
        mailbox("adam", "adam@acme.example"),
        mailbox("eve", "eve@acme.example", relayAllowed="FALSE"),
        mailbox("redir", "redir@acme.example", forwardingAddress="redir@pop.example"),
        mailbox("board", "board@acme.example", requireAuth="TRUE"),
    ])


@pytest.fixture(scope="module", params=list(ROLES))
def site(make_module_site, request):
    made = make_module_site(
        start=False, source="ldif", ldif=directory, sinks=("pop", "legacy", "gateway"),
        settings=ROLES[request.param],
        mailbox_transport="" if request.param == "local" else None)
    made.postfix.settings["virtual_transport"] = made.sinks["mailboxes"].hop
    made.postfix.write_settings()
    return made.start()


class Perhaps(At):
    """Refused or taken, as Postfix likes; if taken, it comes out there."""


NO = "5"     # refused for good
LATER = "4"  # refused for now
ADAM = At("mailboxes", "adam@acme.example")
REDIR = At("pop", "redir@pop.example")
VICTIM = At("outside", "victim@victim.example")


def outside(address):
    return At("outside", address)


# (what RCPT names, fate for anyone, fate for those who may relay)
TRICKS = [
    # Without a trick.
    ("victim@victim.example", NO, VICTIM),
    ("adam@acme.example", ADAM, ADAM),
    ("redir@acme.example", REDIR, REDIR),
    ("victim@acme.example", NO, NO),
    ("x@off.example", LATER, LATER),
    # The percent hack.
    ("victim%victim.example@acme.example", NO, NO),
    ('"victim%victim.example"@acme.example', NO, NO),
    ("victim%victim.example%acme.example@acme.example", NO, NO),
    ("postmaster%victim.example@acme.example", NO, NO),
    ("victim%victim.example", NO, Perhaps("outside", "victim@victim.example")),
    ('"victim%victim.example"', NO, Perhaps("outside", "victim@victim.example")),
    ("victim%victim.example@", NO, NO),
    ("victim%victim.example@[127.0.0.1]", NO, NO),
    ("victim%victim.example@old.example", NO, NO),
    ("adam%acme.example@victim.example", NO, NO),
    ("victim%victim.example@pop.example",
     Perhaps("pop", "victim%victim.example@pop.example"),
     Perhaps("pop", "victim%victim.example@pop.example")),
    ("victim%victim.example@shared.example",
     Perhaps("legacy", "victim%victim.example@shared.example"),
     Perhaps("legacy", "victim%victim.example@shared.example")),
    ("adam+victim%victim.example@acme.example",
     Perhaps("mailboxes", "adam+victim%victim.example@acme.example"),
     Perhaps("mailboxes", "adam+victim%victim.example@acme.example")),
    # ... to a domain of ours: the decision is about where it leads.
    ("adam%acme.example", ADAM, ADAM),
    ("redir%acme.example", REDIR, REDIR),
    ('"redir%acme.example"', REDIR, REDIR),
    ("redir%acme.example.", Perhaps("pop", "redir@pop.example"),
     Perhaps("pop", "redir@pop.example")),
    ("nobody%acme.example", NO, NO),
    ('"no body%acme.example"', NO, NO),
    ("x%off.example", LATER, LATER),
    ("%acme.example", NO, NO),
    ("redir%", NO, NO),
    ("nobody%acme.example%", NO, NO),
    # ... through the server's own name or address: nobody looks behind that.
    ("adam%acme.example@[127.0.0.1]", NO, NO),
    ("nobody%acme.example@[127.0.0.1]", NO, NO),
    ("redir@acme.example@[127.0.0.1]", NO, NO),
    ("acme.example!nobody@[127.0.0.1]", NO, NO),
    # Blanks, quotes and backslashes that Postfix's rewriter passes over, and nested routes.
    ('"nobody@ acme.example"@[127.0.0.1]', NO, NO),
    ('"redir% acme.example"@gw.gateway.example', NO, NO),
    ('"@x:redir%acme.example"@gw.gateway.example', NO, NO),
    ('"x@off. example"@gw.gateway.example', NO, NO),
    ("nobody%acme.example@gw.gateway.example", NO, NO),
    ('"nobody@acme.example"@gw.gateway.example', NO, NO),
    ("nobody%acme.example%gw.gateway.example", NO, NO),
    ("victim%victim.example%acme.example@gw.gateway.example", NO, NO),
    # Bang paths.
    ("victim.example!victim", NO, Perhaps("outside", "victim@victim.example")),
    ("victim.example!victim@acme.example", NO, NO),
    ('"victim.example!victim"@acme.example', NO, NO),
    ("acme.example!victim.example!victim", NO, NO),
    ("acme.example!victim%victim.example", NO, NO),
    ("victim.example!victim@pop.example",
     Perhaps("pop", "victim.example!victim@pop.example"),
     Perhaps("pop", "victim.example!victim@pop.example")),
    ("acme.example!redir", REDIR, REDIR),
    ("acme.example!nobody", NO, NO),
    ("acme.example!", NO, NO),
    ("!redir", NO, NO),
    # Source routes.
    ("@acme.example:victim@victim.example", NO, VICTIM),
    ("@acme.example,@pop.example:victim@victim.example", NO, VICTIM),
    ("@[127.0.0.1]:victim@victim.example", NO, VICTIM),
    ("@victim.example:adam@acme.example", ADAM, ADAM),
    ("@acme.example:victim%victim.example@acme.example", NO, NO),
    # An "@" in the local part.
    ('"victim@victim.example"@acme.example', NO, NO),
    ("victim@victim.example@acme.example", NO, NO),
    (r"victim\@victim.example@acme.example", NO, NO),
    ('"victim@victim.example"@old.example', NO, NO),
    ('"victim@victim.example"@pop.example',
     Perhaps("pop", '"victim@victim.example"@pop.example'),
     Perhaps("pop", '"victim@victim.example"@pop.example')),
    ('"victim@victim.example"', NO, VICTIM),
    ("victim@victim.example@", NO, NO),
    ('"adam@acme.example"@victim.example', NO, NO),
    ("victim@victim.example@[127.0.0.1]", NO, NO),
    # Two addresses, comments, groups.
    ("victim@victim.example,adam@acme.example", NO, NO),
    ('"adam@acme.example>,<victim@victim.example"@acme.example', NO, NO),
    ("adam@acme.example (@victim.example)", ADAM, ADAM),
    ("(adam@acme.example) victim@victim.example", NO, VICTIM),
    ("victim:;@acme.example", NO, NO),
    # Encapsulated SMTP, in any case and domain; types that are never opened.
    ("IMCEASMTP-victim+40victim+2Eexample@acme.example", NO, NO),
    ("imceasmtp-victim+40victim+2eexample@acme.example", NO, NO),
    ("ImCeAsMtP-victim+40victim+2Eexample@ACME.EXAMPLE", NO, NO),
    ('"IMCEASMTP-victim+40victim+2Eexample"@acme.example', NO, NO),
    ("IMCEASMTP-victim+40victim+2Eexample@pop.example", NO, NO),
    ("IMCEASMTP-victim+40victim+2Eexample@shared.example", NO, NO),
    ("imceasmtp-victim+40victim+2Eexample@old.example", NO, NO),
    ("IMCEASMTP-victim@acme.example", NO, NO),
    ("IMCEASMTP-adam+40acme+2Eexample@acme.example", NO, NO),
    ("IMCEASMTP-victim+40victim+2Eexample%acme.example", NO, NO),
    ("IMCEAX500-victim+40victim+2Eexample@acme.example", NO, NO),
    ("IMCEAEX-victim+40victim+2Eexample@acme.example", NO, NO),
    ("IMCEAIMCEASMTP-victim+40victim+2Eexample@acme.example", NO, NO),
    ("IMCEAMS-NET_PO_ME+0D+0ARCPT@acme.example", NO, NO),
    ("IMCEAMS-NET_PO_ME+00@acme.example", NO, NO),
    ("IMCEAMS-NET_PO_+5@acme.example", NO, NO),
    ("IMCEA-x@acme.example", NO, NO),
    ("IMCEASMTP-adam+40acme+2Eexample@victim.example", NO,
     outside("IMCEASMTP-adam+40acme+2Eexample@victim.example")),
    # One-off addresses: for those who may relay, and where an address space takes them.
    ("IMCEAMS-NET_PO_ME@acme.example", NO, At("gateway", "IMCEAMS-NET_PO_ME@acme.example")),
    ("IMCEAMS-OTHER_PO_ME@acme.example", NO, NO),
    # Dots and case.
    ("victim@victim.example.", NO, VICTIM),
    ("victim@victim.example..", NO, NO),
    ("adam@acme.example.", ADAM, ADAM),
    ("adam@acme.example..", NO, NO),
    ("adam@acme.example.victim.example", NO, outside("adam@acme.example.victim.example")),
    ("victim@sub.acme.example", NO, outside("victim@sub.acme.example")),
    ("VICTIM@VICTIM.EXAMPLE", NO, outside("VICTIM@VICTIM.EXAMPLE")),
    ("ADAM@Acme.EXAMPLE", At("mailboxes", "ADAM@Acme.EXAMPLE"),
     At("mailboxes", "ADAM@Acme.EXAMPLE")),
    # Local parts that are none, or hardly.
    ('""@acme.example', NO, NO),
    ("@acme.example", NO, NO),
    ('""@victim.example', NO, NO),
    ("@victim.example", NO, NO),
    ('" "@acme.example', NO, NO),
    ("+victim@acme.example", NO, NO),
    ("victim|x@acme.example", NO, NO),
    ("/etc/passwd@acme.example", NO, NO),
    ("victim@", NO, NO),
    # The server's own, wherever those are.
    ("victim", Perhaps("outside", "victim@gw.gateway.example"),
     Perhaps("outside", "victim@gw.gateway.example")),
    # Eight bits and NUL.
    ("v\u00efctim@acme.example", NO, NO),
    ("v\u00efctim@victim.example", NO, outside("v\u00efctim@victim.example")),
    ("adam@\u00e4cme.example", NO, NO),
    (b"v\xefctim@acme.example", NO, NO),
    (b"adam\xff@acme.example", NO, NO),
    (b"victim\x80%victim.example@acme.example", NO, NO),
    (b"victim@victim.example\x00@acme.example", NO, NO),
    # Address literals are never ours.
    ("victim@[192.0.2.9]", NO, outside("victim@[192.0.2.9]")),
    ("adam@[127.0.0.1]", NO, NO),
    ("adam@[IPv6:::1]", NO, outside("adam@[IPv6:::1]")),
    ("adam@[acme.example]", NO, NO),
    ("adam@127.0.0.1", NO, NO),
]

SENDERS = ("sue@outside.example", "", "adam@acme.example", "eve@acme.example")
FORBIDDEN = {
    "stranger": {},
    "refused-network": {"addr": "198.51.100.66"},
    "refused-network-of-mynetworks": {"addr": "192.0.2.250"},
    "forbidden-login": {"login": "eve"},
    "forbidden-login-in-mynetworks": {"login": "eve", "addr": "192.0.2.250"},
    "forbidden-login-in-permitted-network": {"login": "eve", "addr": "198.51.100.7"},
    "unknown-login": {"login": "mallory"},
}
PERMITTED = {
    "permitted-network": {"addr": "198.51.100.7"},
    "permitted-ipv6-network": {"addr": "IPv6:2001:db8:1::7"},
    "permitted-login": {"login": "adam"},
    "permitted-login-from-refused-network": {"login": "adam", "addr": "198.51.100.66"},
}


def attempt(client, ledger, sender, trick, fate):
    """One transaction; a complaint, or None."""
    ledger_id = ledger.new_id()
    assert client.mail(sender).ok
    path = trick if isinstance(trick, bytes) else trick.encode()
    reply = client.command(b"RCPT TO:<" + path + b">")
    if not reply.ok:
        client.reset()
        if isinstance(fate, Perhaps) or str(reply.code)[0] == fate:
            return None
        return f"{trick}: {reply}"
    if isinstance(fate, str):
        client.reset()
        return f"{trick}: taken"
    ledger.expect(ledger_id, fate)
    reply = client.data(ledger.message(ledger_id, "sue@outside.example", ["x@example.com"]))
    return None if reply.ok else f"{trick}: {reply} to DATA"


def attempt_all(site, who, column):
    ledger = site.ledger()
    complaints = []
    with site.connect(xclient=who) as client:
        for number, row in enumerate(TRICKS):
            sender = SENDERS[number % len(SENDERS)]
            complaints.append(attempt(client, ledger, sender, row[0], row[column]))
    assert not list(filter(None, complaints)), "\n".join(filter(None, complaints))
    ledger.balance()


@pytest.mark.parametrize("who", FORBIDDEN.values(), ids=FORBIDDEN)
def test_no_trick_makes_it_relay(site, who):
    attempt_all(site, who, 1)


@pytest.mark.parametrize("who", PERMITTED.values(), ids=PERMITTED)
def test_what_permitted_clients_send_by_tricks_ends_where_it_may(site, who):
    attempt_all(site, who, 2)


@pytest.mark.parametrize("trick", [
    "board@acme.example", "BOARD@acme.example.", '"board"@acme.example', "board@old.example",
    "board+x@acme.example", "board%acme.example", "acme.example!board", '"board@acme.example"',
    "board%acme.example@[127.0.0.1]", "board@acme.example@[127.0.0.1]",
    "acme.example!board@[127.0.0.1]", "board%acme.example@gw.gateway.example",
    '"board% acme.example"@[127.0.0.1]', '"board%acme\\\\.example"@[127.0.0.1]',
    '" acme.example!board"@[127.0.0.1]', '"board@\\"acme.example\\""@[127.0.0.1]',
    '"@x:board%acme.example"@[127.0.0.1]', '"@x,@y:board%acme.example"@[127.0.0.1]',
    "@x:@y:board%acme.example@[127.0.0.1]", '"board%acme.example "@[127.0.0.1]',
    '"\\"acme.example\\"!board"@[127.0.0.1]', '"board% acme.example"@gw.gateway.example',
    '"@x:board%acme.example"@gw.gateway.example', '"board%(c)acme.example"@gw.gateway.example',
    '"board@acme.example"@gw.gateway.example', "board%acme.example%gw.gateway.example",
    "@[127.0.0.1]:board@acme.example", "board%old.example", "board%acme.example%"])
def test_no_trick_opens_a_closed_recipient_to_strangers(site, trick):
    for who in ({}, {"addr": "192.0.2.250"}):
        status = site.rcpt_status(trick, xclient=who)
        assert status[0] == "5", f"{trick} from {who or 'a stranger'}: {status}"
