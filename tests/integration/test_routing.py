"""
The order of next-hop rules, domains and their types, and what is parked or switched off, through
a real Postfix: each row of the table names an address and the sink it comes out of.
"""

import pytest

from support.ldif import (CONTAINERS, change, connector, connector_dn, custom, domain, domain_dn,
                          mailbox, person_dn)
from support.ledger import At, Refused
from support.wait import wait_for

SENDER = "sue@outside.example"
UNKNOWN, BROKEN = Refused("550 5.1.1"), Refused("451 4.3.5")
DISABLED, PARKED = Refused("451 4.3.2"), Refused("450 4.2.1")
SINKS = ("one", "two", "three")


def own(name, address=None, **attributes):
    """A custom recipient of a shared domain: its target is its own address."""
    address = address or f"{name}@acme.example"
    return custom(name, address, address, **attributes)


def organisation(site):
    one, two, three = (site.sinks[name].hop for name in SINKS)
    return "".join([
        connector("one", one), connector("two", two), connector("three", three),
        connector("off", two, enabled="FALSE"),
        connector("mute"),  # no next hop

        # Address spaces: exact before wildcard, longer before shorter, then cost, then name.
        connector("spaces-one", one, addressSpace=[
            "SMTP:exact@acme.example", "SMTP:partner.example;1", "SMTP:*.deep.partner.example",
            "SMTP:tie.acme.example;5", "SMTP:*@boxes.example"]),
        connector("spaces-two", two, addressSpace=[
            "SMTP:*@acme.example;9", "SMTP:*.partner.example", "SMTP:partner.example;2",
            "SMTP:tie.acme.example;5", "SMTP:one@boxes.example"]),
        connector("spaces-off", three, enabled="FALSE", addressSpace=[
            "SMTP:exact@acme.example", "SMTP:partner.example", "SMTP:sub.partner.example",
            "SMTP:anyone@boxes.example"]),

        # Domains of every type.
        domain("acme.example", "shared", forwardHost="three"),
        domain("relay.example", "relay", forwardHost="two"),
        domain("*.relay.example", "relay", forwardHost="three"),
        domain("special.relay.example", "authoritative"),
        domain("tie.acme.example", "relay"),
        domain("boxes.example", "relay", forwardHost="three"),
        domain("open.example", "shared", forwardHost="one", unknownRecipient="forward"),
        domain("shut.example", "shared", forwardHost="off", unknownRecipient="forward"),
        domain("gone.example", "relay", forwardHost="off"),
        domain("mute.example", "relay", forwardHost="mute"),
        domain("former.example", "rewrite", rewriteDomain="acme.example"),
        domain("*.former.example", "rewrite", rewriteDomain="relay.example"),
        domain("older.example", "rewrite", rewriteDomain="former.example"),
        domain("asleep.example", "authoritative", enabled="FALSE"),
        domain("*.asleep.example", "relay", forwardHost="one", enabled="FALSE"),
        domain("awake.asleep.example", "relay", forwardHost="two"),

        mailbox("here", "here@acme.example",
                proxyAddress=["smtp:info@special.relay.example", "smtp:here@asleep.example"]),
        mailbox("there", "there@acme.example", homeServer="one"),
        mailbox("homeless", "homeless@acme.example", homeServer="off"),
        mailbox("parked", "parked@acme.example", parked="TRUE"),
        mailbox("parked-away", "parked-away@acme.example", homeServer="one", parked="TRUE"),
        mailbox("to-parked", "to-parked@acme.example", altRecipient=person_dn("parked")),
        mailbox("to-asleep", "to-asleep@acme.example", forwardingAddress="here@asleep.example"),
        own("plain"), own("exact"), own("served", homeServer="one"),
        own("deep", "deep@x.relay.example"),
        custom("partner", "x@partner.example", "partner@acme.example"),
        custom("sub-partner", "x@sub.partner.example", "sub-partner@acme.example"),
        custom("deep-partner", "x@y.deep.partner.example", "deep-partner@acme.example"),
    ])


ROWS = {
    # The first that applies: mailbox here, home server, address space, forward host.
    "here@acme.example": At("mailboxes", "here@acme.example"),
    "there@acme.example": At("one", "there@acme.example"),
    "homeless@acme.example": BROKEN,
    "served@acme.example": At("one", "served@acme.example"),
    "exact@acme.example": At("one", "exact@acme.example"),
    # A forward host is a space of cost 0: nothing that is no longer than the domain is cheaper.
    "plain@acme.example": At("three", "plain@acme.example"),
    "one@boxes.example": At("two", "one@boxes.example"),
    "anyone@boxes.example": At("three", "anyone@boxes.example"),
    "x@tie.acme.example": At("one", "x@tie.acme.example"),
    "partner@acme.example": At("one", "x@partner.example"),
    "sub-partner@acme.example": At("two", "x@sub.partner.example"),
    "deep-partner@acme.example": At("one", "x@y.deep.partner.example"),
    # coexistForwardHost by the name of a connector, and subdomain patterns.
    "x@relay.example": At("two", "x@relay.example"),
    "X@Sub.Relay.Example": At("three", "X@Sub.Relay.Example"),
    "x@a.b.relay.example": At("three", "x@a.b.relay.example"),
    "deep@x.relay.example": At("three", "deep@x.relay.example"),
    "info@special.relay.example": At("mailboxes", "here@acme.example"),
    "x@special.relay.example": UNKNOWN,
    "x@a.special.relay.example": At("three", "x@a.special.relay.example"),
    "x@open.example": At("one", "x@open.example"),
    "x@sub.acme.example": Refused("554 5.7.1"),
    # A connector that is switched off, or leads nowhere.
    "x@shut.example": BROKEN,
    "x@gone.example": BROKEN,
    "x@mute.example": BROKEN,
    # Rewrite domains.
    "here@former.example": At("mailboxes", "here@acme.example"),
    "here+list@former.example": At("mailboxes", "here+list@acme.example"),
    "plain@former.example": At("three", "plain@acme.example"),
    "there@former.example": At("one", "there@acme.example"),
    "nobody@former.example": UNKNOWN,
    "Who.Ever+x@sub.former.example": At("two", "Who.Ever+x@relay.example"),
    "here@older.example": At("mailboxes", "here@acme.example"),
    "parked@former.example": PARKED,
    # A domain that is switched off is still ours.
    "here@asleep.example": DISABLED,
    "nobody@asleep.example": DISABLED,
    "x@sub.asleep.example": DISABLED,
    "to-asleep@acme.example": DISABLED,
    "x@awake.asleep.example": At("two", "x@awake.asleep.example"),
    # Mailboxes on their way.
    "parked@acme.example": PARKED,
    "parked-away@acme.example": PARKED,
    "to-parked@acme.example": PARKED,
}


@pytest.fixture(scope="module")
def site(make_module_site):
    return make_module_site(source="ldif", sinks=SINKS,
                            ldif=lambda made: CONTAINERS + organisation(made))


@pytest.mark.parametrize("recipient,fate", ROWS.items(), ids=list(ROWS))
def test_each_address_has_its_way(site, recipient, fate):
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, SENDER, {recipient: fate})
    ledger.balance()


def test_in_one_message_too(site):
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, SENDER, ROWS)
    ledger.balance()


# What an administrator switches, and what becomes of mail then.

@pytest.fixture
def changing(make_site):
    return make_site(sinks=SINKS, ldif=organisation)


SWITCHES = [
    # (address, its fate, the change, its fate then)
    ("parked@acme.example", PARKED, (person_dn("parked"), ("delete", "parked")),
     At("mailboxes", "parked@acme.example")),
    ("there@acme.example", ROWS["there@acme.example"],
     (person_dn("there"), ("add", "parked", "TRUE")), PARKED),
    ("here@asleep.example", DISABLED, (domain_dn("asleep.example"), ("delete", "enabled")),
     At("mailboxes", "here@acme.example")),
    ("nobody@asleep.example", DISABLED, (domain_dn("asleep.example"), ("delete", "enabled")),
     UNKNOWN),
    ("x@relay.example", ROWS["x@relay.example"],
     (domain_dn("relay.example"), ("replace", "enabled", "FALSE")), DISABLED),
    ("x@gone.example", BROKEN, (connector_dn("off"), ("replace", "enabled", "TRUE")),
     At("two", "x@gone.example")),
    ("homeless@acme.example", BROKEN, (connector_dn("off"), ("replace", "enabled", "TRUE")),
     At("two", "homeless@acme.example")),
    ("exact@acme.example", ROWS["exact@acme.example"],
     (connector_dn("spaces-one"), ("add", "enabled", "FALSE")),
     At("three", "exact@acme.example")),
    ("x@mute.example", BROKEN, (connector_dn("mute"), ("add", "nextHop", None)),
     At("one", "x@mute.example")),
    ("here@former.example", ROWS["here@former.example"],
     (domain_dn("former.example"), ("replace", "rewriteDomain", "open.example")),
     At("one", "here@open.example")),
]


def test_a_switch_takes_effect_on_the_next_message(changing):
    """
    In this order, in one connection: Postfix keeps the next hops of smtpd for its life, and
    that of the last message for 30 seconds, so each message has another sender.
    """
    ledger = changing.ledger()
    with changing.connect() as client:
        for n, (address, before, (dn, operation), after) in enumerate(SWITCHES):
            # Switched on by a row before.
            if (dn, operation) not in [done for _, _, done, _ in SWITCHES[:n]]:
                ledger.send(client, f"before{n}@outside.example", {address: before})
                if operation[-1] is None:
                    operation = (*operation[:-1], changing.sinks["one"].hop)
                changing.slapd.modify(change(dn, operation))
            wait_for(lambda: is_fate(changing, address, after),
                     lambda: f"{address} to follow: {changing.resolve(address)}")
            ledger.send(client, f"after{n}@outside.example", {address: after})
            ledger.balance()


def is_fate(site, address, fate):
    _, found = site.resolve(address)
    if isinstance(fate, Refused):
        return (found["reply"] or "").startswith(fate.status)
    return [d["address"] for d in found["deliveries"]] == \
        [d.address for d in fate.deliveries] and [d["nexthop"] for d in found["deliveries"]] == \
        [site.sinks[d.sink].hop for d in fate.deliveries]


def test_mail_in_the_queue_waits_for_a_connector_that_is_switched_off(changing):
    """It was accepted while the connector was there, and goes its way when it is back."""
    rules = changing.sinks["one"].rules
    rules.append(lambda stage, address, message: "451 4.3.2 later" if stage == "DATA" else None)
    ledger = changing.ledger()
    with changing.connect() as client:
        ledger.send(client, SENDER, {"there@acme.example": ROWS["there@acme.example"]})
    wait_for(lambda: changing.postfix.log_lines("status=deferred"), "the first try")
    changing.slapd.modify(change(connector_dn("one"), ("add", "enabled", "FALSE")))
    changing.wait_rcpt("there@acme.example", "451 4.3.5")
    # Something else to ask for: qmgr keeps the last next hop it was told for 30 seconds.
    with changing.connect() as client:
        here, _ = ledger.send(client, SENDER, {"here@acme.example": ROWS["here@acme.example"]})
    wait_for(lambda: any(ledger.messages(here, name) for name in ledger.sinks), "it to arrive")
    rules.clear()
    tries = len(changing.postfix.log_lines("status=deferred"))
    changing.postfix.flush()
    wait_for(lambda: len(changing.postfix.log_lines("status=deferred")) > tries, "another try")
    assert not changing.sinks["one"].count()
    changing.slapd.modify(change(connector_dn("one"), ("delete", "enabled")))
    changing.wait_rcpt("there@acme.example", "250 2.1.5")
    with changing.connect() as client:
        ledger.send(client, SENDER, {"here@acme.example": ROWS["here@acme.example"]})
    changing.postfix.flush()
    ledger.balance()
