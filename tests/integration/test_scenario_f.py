"""
Q258203: one domain, several systems. The other server is given as the domain's "forward all
messages for this domain to host", as a name and as an address; and a third system, which
the original could not have.
"""

import pytest

from support.ldif import change, connector, custom, domain, domain_dn, mailbox, person_dn
from support.ledger import At, Refused
from support.wait import wait_for

UNKNOWN = Refused("550 5.1.1")
NAME, ADDRESS = "mail.other.example", "127.0.0.31"


def shared_with_another(make_site, host):
    def ldif(made):
        made.add_sink("other", address=ADDRESS, port=made.postfix.smtp_port)
        return "".join([
            domain("acme.example", "shared", forwardHost=host),
            mailbox("adam", "adam@acme.example", proxyAddress="smtp:adam.barr@acme.example"),
            custom("eve", "SMTP:eve@acme.example", "eve@acme.example"),
            custom("fay", "fay@acme.example", proxyAddress="SMTP:fay@acme.example"),
            custom("gil", "SMTP:gil@elsewhere.example", "gil@acme.example"),
        ])
    return make_site(hosts={NAME: ADDRESS}, ldif=ldif)


@pytest.fixture(params=[NAME, ADDRESS], ids=["by-name", "by-address"])
def site(make_site, request):
    return shared_with_another(make_site, request.param)


def test_a_domain_is_shared_with_another_server(site):
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, "sue@outside.example", {
            # Local: delivered here, under the primary address.
            "adam@acme.example": At("mailboxes", "adam@acme.example"),
            "Adam.Barr@acme.example": At("mailboxes", "adam@acme.example"),
            # Custom recipients: rerouted to the other server, the address as it was.
            "eve@acme.example": At("other", "eve@acme.example"),
            "fay@acme.example": At("other", "fay@acme.example"),
            # A custom recipient somewhere else altogether.
            "gil@acme.example": At("outside", "gil@elsewhere.example"),
            # No custom recipient: refused, and not one of the systems hears of it.
            "nobody@acme.example": UNKNOWN,
            "x@elsewhere.example": Refused("554 5.7.1"),
        })
    ledger.balance()


def test_each_address_alone(site):
    ledger = site.ledger()
    for address, fate in (("adam@acme.example", At("mailboxes", "adam@acme.example")),
                          ("EVE@Acme.Example", At("other", "EVE@Acme.Example")),
                          ("eve+list@acme.example", At("other", "eve+list@acme.example")),
                          ("nobody@acme.example", UNKNOWN)):
        with site.connect() as client:
            ledger.send(client, "", {address: fate})
    ledger.balance()


def test_removing_a_custom_recipient_makes_its_address_unknown(site):
    site.slapd.delete(person_dn("eve"))
    site.wait_rcpt("eve@acme.example", "550 5.1.1")
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, "sue@outside.example", {
            "eve@acme.example": UNKNOWN, "fay@acme.example": At("other", "fay@acme.example")})
    ledger.balance()


def test_unknown_recipients_are_passed_on_where_the_domain_says_so(site):
    site.slapd.modify(change(domain_dn("acme.example"), ("add", "unknownRecipient", "forward")))
    site.wait_rcpt("nobody@acme.example", "250 2.1.5")
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, "sue@outside.example", {
            "nobody@acme.example": At("other", "nobody@acme.example"),
            "adam@acme.example": At("mailboxes", "adam@acme.example")})
    ledger.balance()


def test_the_other_system_down_delays_its_mail_and_nobody_elses(site):
    rule = site.sinks["other"].rules
    rule.append(lambda stage, address, message: "421 4.3.2 down" if stage == "CONNECT" else None)
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, "sue@outside.example", {
            "adam@acme.example": At("mailboxes", "adam@acme.example"),
            "eve@acme.example": At("other", "eve@acme.example")})
        rule.clear()
        site.postfix.flush()
    ledger.balance()


def three_systems(make_site):
    """Mailboxes here, at `notes` and at `unix`; the two others send from 192.0.2.2 and .3."""
    return make_site(sinks=("notes", "unix"), ldif=lambda made: "".join([
        domain("acme.example", "shared"),
        connector("notes", made.sinks["notes"].hop, peer="192.0.2.2"),
        connector("unix", made.sinks["unix"].hop, peer="192.0.2.3",
                  addressSpace="SMTP:*@lists.acme.example"),
        mailbox("adam", "adam@acme.example"),
        custom("eve", "SMTP:eve@acme.example", "eve@acme.example", homeServer="notes"),
        custom("fay", "SMTP:fay@acme.example", "fay@acme.example", homeServer="unix"),
        mailbox("gil", "gil@acme.example", homeServer="unix"),
        mailbox("team", "team@acme.example", altRecipient=[person_dn("eve"), person_dn("fay")],
                deliverAndRedirect="TRUE"),
    ]))


@pytest.fixture
def three(make_site):
    return three_systems(make_site)


def test_three_systems_share_a_domain(three):
    ledger = three.ledger()
    fates = {
        "adam@acme.example": At("mailboxes", "adam@acme.example"),
        "eve@acme.example": At("notes", "eve@acme.example"),
        "fay@acme.example": At("unix", "fay@acme.example"),
        "gil@acme.example": At("unix", "gil@acme.example"),
        "nobody@acme.example": UNKNOWN,
    }
    with three.connect() as client:
        ledger.send(client, "sue@outside.example", fates)
        ledger.send(client, "sue@outside.example", {
            "team@acme.example": At("mailboxes", "team@acme.example", "notes", "eve@acme.example",
                                    "unix", "fay@acme.example")})
    ledger.balance()


def test_a_system_reaches_the_others_but_is_not_sent_its_own_mail_back(three):
    ledger = three.ledger()
    with three.connect(xclient={"addr": "192.0.2.2"}) as notes:
        ledger.send(notes, "eve@acme.example", {
            "adam@acme.example": At("mailboxes", "adam@acme.example"),
            "fay@acme.example": At("unix", "fay@acme.example"),
            # It thinks that she is here, we think that she is there.
            "eve@acme.example": Refused("451 4.4.6"),
            "nobody@acme.example": UNKNOWN,
        })
    with three.connect(xclient={"addr": "192.0.2.3"}) as unix:
        ledger.send(unix, "fay@acme.example", {
            "eve@acme.example": At("notes", "eve@acme.example"),
            "gil@acme.example": Refused("451 4.4.6"),
        })
    ledger.balance()


def test_a_user_moves_from_one_system_to_another(three):
    ledger = three.ledger()
    for home, sink in (("notes", "notes"), ("unix", "unix")):
        three.slapd.modify(change(person_dn("eve"), ("replace", "homeServer", home)))
        hop = three.sinks[sink].hop
        wait_for(lambda: three.resolve("eve@acme.example")[1]["deliveries"][0]["nexthop"] == hop,
                 f"eve to be at {sink}")
        # The transport map is what Postfix asks when it delivers; smtpd asked it before.
        with three.connect() as client:
            ledger.send(client, f"sue-{sink}@outside.example",
                        {"eve@acme.example": At(sink, "eve@acme.example")})
        ledger.balance()
