"""
Q193930: Adam.Barr has a mailbox here and another on the POP3 system, where he is Adam. His
mailbox has the alternate recipient Adam, a custom recipient, and is hidden. (The article's
step 3 says to clear the box "hide from address book"; its stated effect needs it set.) Users
migrate one by one: then the custom recipient goes, and the mailbox takes over.
"""

import time

import pytest

from support.ldif import change, connector, custom, domain, mailbox, person_dn
from support.ledger import At, Either, Refused
from support.wait import wait_for

SENDER = "sue@outside.example"
BARR, ADAM = "adam.barr@acme.example", "adam@pop.acme.example"
EVE = person_dn("eve")
MAILBOX = At("mailboxes", BARR)
POP3 = At("pop", ADAM)


def organisation(site):
    return "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "shared", forwardHost="pop"),
        connector("pop", site.sinks["pop"].hop, addressSpace="SMTP:pop.acme.example"),
        mailbox("adam.barr", BARR, altRecipient=person_dn("adam"), hideFromAddressLists="TRUE"),
        custom("adam", f"SMTP:{ADAM}", ADAM),
        mailbox("eve", "eve@acme.example").rstrip("\n") + "\nuserPassword: eves secret\n\n",
    ])


@pytest.fixture
def site(make_site):
    return make_site(sinks=("pop",), ldif=organisation)


def send(site, ledger, fates, **options):
    with site.connect() as client:
        return ledger.send(client, SENDER, fates, **options)


def deliveries(site, address):
    return sorted(d["address"] for d in site.resolve(address)[1]["deliveries"])


def follows(site, address, *wanted):
    wait_for(lambda: deliveries(site, address) == sorted(wanted), lambda: f"{address}: {wanted}, "
             f"{deliveries(site, address)}")


def address_book(site, search):
    """What an ordinary user finds."""
    return set(site.slapd.search(search, "cn", bind=(EVE, "eves secret")))


def test_mail_to_both_addresses_goes_to_the_pop3_mailbox(site):
    ledger = site.ledger()
    send(site, ledger, {BARR: POP3})
    send(site, ledger, {ADAM: POP3})
    send(site, ledger, {BARR: POP3, ADAM: POP3})
    # Sent by a user of the organisation, too.
    ledger_id = ledger.new_id()
    ledger.expect(ledger_id, POP3)
    site.postfix.sendmail(["-i", "-f", "eve@acme.example", BARR],
                          ledger.message(ledger_id, "eve@acme.example", [BARR]))
    ledger.balance()


def test_deliver_to_both_copies(site):
    site.slapd.modify(change(person_dn("adam.barr"), ("add", "deliverAndRedirect", "TRUE")))
    follows(site, BARR, BARR, ADAM)
    both = At("mailboxes", BARR, "pop", ADAM)
    ledger = site.ledger()
    send(site, ledger, {BARR: both})
    send(site, ledger, {ADAM: POP3})
    send(site, ledger, {BARR: both, ADAM: POP3})
    ledger.balance()


def test_the_headers_are_the_senders(site):
    ledger = site.ledger()
    ledger_id, _ = send(site, ledger, {BARR: POP3}, headers="Cc: eve@acme.example\n")
    ledger.balance()
    message = ledger.messages(ledger_id, "pop")[0]
    assert message.header("To") == [f"<{BARR}>"]
    assert message.header("Cc") == ["eve@acme.example"]
    assert message.sender == SENDER


def test_the_hidden_mailbox_is_missing_from_searches_and_its_custom_recipient_is_not(site):
    assert address_book(site, "(objectClass=inetOrgPerson)") == {EVE, person_dn("adam")}
    assert not address_book(site, f"(mail={BARR})")
    assert address_book(site, f"(mail={ADAM})") == {person_dn("adam")}


@pytest.mark.parametrize("hidden", ["TRUE", "FALSE"])
def test_hiding_has_no_effect_on_routing(site, hidden):
    site.slapd.modify(change(person_dn("adam.barr"), ("replace", "hideFromAddressLists", hidden))
                      + change(person_dn("adam"), ("replace", "hideFromAddressLists", hidden)))
    wait_for(lambda: ("hideFromAddressLists" in site.ctl("dump").stdout) == (hidden == "TRUE"),
             "the change")
    ledger = site.ledger()
    send(site, ledger, {BARR: POP3, ADAM: POP3, "eve@acme.example": At(
        "mailboxes", "eve@acme.example")})
    ledger.balance()


class Correspondent:
    """Writes to both addresses all the time; a temporary failure is tried again."""

    def __init__(self, site, ledger):
        self.site, self.ledger = site, ledger
        self.waiting = []

    def write(self):
        self.waiting += [BARR, ADAM]
        with self.site.connect() as client:
            for address in list(self.waiting):
                assert client.mail(SENDER).ok
                reply = client.rcpt(address)
                if reply.code < 400:
                    ledger_id = self.ledger.new_id()
                    self.ledger.expect(ledger_id, Either(MAILBOX, POP3))
                    reply = client.data(self.ledger.message(ledger_id, SENDER, [address]))
                    assert reply.ok, reply
                    self.waiting.remove(address)
                else:
                    assert reply.code < 500, f"{address}: {reply}"
                    client.reset()


def test_a_user_migrates_and_no_mail_is_refused_or_lost(site):
    ledger = site.ledger()
    correspondent = Correspondent(site, ledger)
    send(site, ledger, {BARR: POP3, ADAM: POP3})
    for _ in range(5):
        correspondent.write()
    # The mailbox takes the address of the custom recipient over, which then is deleted.
    site.slapd.modify(
        change(person_dn("adam.barr"), ("add", "proxyAddress", f"smtp:{ADAM}"),
               ("delete", "altRecipient"), ("delete", "hideFromAddressLists"))
        + f"dn: {person_dn('adam')}\nchangetype: delete\n")
    correspondent.write()
    changed = time.monotonic()
    while deliveries(site, ADAM) != [BARR] or deliveries(site, BARR) != [BARR]:
        correspondent.write()
        assert time.monotonic() < changed + 60
    correspondent.write()
    assert not correspondent.waiting
    send(site, ledger, {BARR: MAILBOX, ADAM: MAILBOX})
    ledger.balance()
    assert address_book(site, f"(|(mail={ADAM})(mail={BARR}))") == {person_dn("adam.barr")}


def test_a_mailbox_on_its_way_is_parked(site):
    site.slapd.modify(change(person_dn("adam.barr"), ("delete", "altRecipient"),
                             ("add", "parked", "TRUE")))
    site.wait_rcpt(BARR, "450 4.2.1")
    ledger = site.ledger()
    send(site, ledger, {BARR: Refused("450 4.2.1"), ADAM: POP3})
    site.slapd.modify(change(person_dn("adam.barr"), ("delete", "parked")))
    site.wait_rcpt(BARR, "250 2.1.5")
    send(site, ledger, {BARR: MAILBOX})
    ledger.balance()


def test_alternate_recipients_of_one_another_do_not_loop(site):
    """Eve's mail goes to Adam, Adam's to Eve: nobody would get any. Copies are fine."""
    site.slapd.modify(
        change(person_dn("adam.barr"), ("replace", "altRecipient", EVE))
        + change(EVE, ("add", "altRecipient", person_dn("adam.barr"))))
    site.wait_rcpt(BARR, "550 5.4.6")
    ledger = site.ledger()
    send(site, ledger, {BARR: Refused("550 5.4.6"), "eve@acme.example": Refused("550 5.4.6"),
                        ADAM: POP3})
    for name in ("adam.barr", "eve"):
        site.slapd.modify(change(person_dn(name), ("add", "deliverAndRedirect", "TRUE")))
    follows(site, "eve@acme.example", "eve@acme.example", BARR)
    both = At("mailboxes", BARR, "mailboxes", "eve@acme.example")
    for recipients in ([BARR], ["eve@acme.example"], [BARR, "eve@acme.example"]):
        send(site, ledger, {r: both for r in recipients})
    ledger.balance()
