"""
Q193930: Adam.Barr has a mailbox here and another on the POP3 system, where he is Adam. His
mailbox has the alternate recipient Adam, a custom recipient, and is hidden. (The article's
step 3 says to clear the box "hide from address book"; its stated effect needs it set.) Users
migrate one by one: then the custom recipient goes, and the mailbox takes over.
"""

import time

import pytest

from support.ldif import change, connector, custom, domain, group, mailbox, person_dn
from support.ledger import At, Bounced, Either, Refused
from support.pop3host import ONE_BY_ONE, Here, Pop3Host
from support.wait import wait_for

SENDER = "sue@outside.example"
BARR, ADAM = "adam.barr@acme.example", "adam@pop.acme.example"
EVE = person_dn("eve")
MAILBOX = At("mailboxes", BARR)
POP3 = At("pop", ADAM)
# Redirected before the mailbox took ADAM over, and queued until it had.
TAKEN_OVER = At("mailboxes", ADAM)


HERE_USERS = {"adam.barr": "barrs secret", "eve": "eves secret"}
POP3_USERS = {"adam": "adams secret"}


def organisation(pop):
    return "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "shared", forwardHost="pop"),
        connector("pop", pop.hop, addressSpace="SMTP:pop.acme.example"),
        mailbox("adam.barr", BARR, altRecipient=person_dn("adam"), hideFromAddressLists="TRUE",
                _userPassword=HERE_USERS["adam.barr"]),
        custom("adam", f"SMTP:{ADAM}", ADAM, _userPassword=POP3_USERS["adam"]),
        mailbox("eve", "eve@acme.example", _userPassword=HERE_USERS["eve"]),
    ])


def with_sinks(make_site):
    """Sinks for mailboxes, for what is faster than a user reads."""
    return make_site(sinks=("pop",), ldif=lambda made: organisation(made.sinks["pop"]))


@pytest.fixture
def site(make_site):
    return with_sinks(make_site)


@pytest.fixture
def pop3_site(make_site):
    """Both mailboxes are real, and read by POP3."""
    def ldif(made):
        made.add_system(Here(made, HERE_USERS))
        return organisation(made.add_system(
            Pop3Host(made, POP3_USERS, [ADAM], domain="pop.acme.example")))
    return make_site(ldif=ldif, settings=ONE_BY_ONE)


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
    return set(site.slapd.search(search, "cn", bind=(EVE, HERE_USERS["eve"])))


def has_read(site, sink, user, ledger_id):
    """The messages with that id that the user reads by POP3."""
    return [m for _, m in site.sinks[sink].read(user)
            if m.header("X-Ledger-Id") == [ledger_id]]


def test_the_pop3_user_reads_what_was_forwarded(pop3_site):
    """Rows 0.1 to 0.5: to either address; the mailbox gets nothing, the headers are as sent."""
    site, ledger = pop3_site, pop3_site.ledger()
    sent = [send(site, ledger, fates, body="Lunch?\n")[0]
            for fates in ({BARR: POP3}, {ADAM: POP3}, {BARR: POP3, ADAM: POP3})]
    ledger.balance()
    for ledger_id, to in zip(sent, (f"<{BARR}>", f"<{ADAM}>", f"<{BARR}>, <{ADAM}>")):
        message, = has_read(site, "pop", "adam", ledger_id)
        assert message.header("To") == [to] and message.header("From") == [f"<{SENDER}>"]
        assert message.sender == SENDER and message.addresses == [ADAM]
        assert message.body == b"Lunch?\r\n"
    assert site.sinks["mailboxes"].read("adam.barr") == []


def test_the_user_reads_a_copy_in_each_mailbox(pop3_site):
    """Row 0.4, deliver to both; the hidden mailbox is open to its owner (rows 0.7, 0.8)."""
    site, ledger = pop3_site, pop3_site.ledger()
    site.slapd.modify(change(person_dn("adam.barr"), ("add", "deliverAndRedirect", "TRUE")))
    follows(site, BARR, BARR, ADAM)
    ledger_id, _ = send(site, ledger, {BARR: At("mailboxes", BARR, "pop", ADAM)})
    ledger.balance()
    assert len(has_read(site, "mailboxes", "adam.barr", ledger_id)) == 1
    assert len(has_read(site, "pop", "adam", ledger_id)) == 1


def test_bounces_and_local_submissions_are_forwarded_too(pop3_site):
    """Row 0.9, "accidentally sent": by whomever, also by the mail server itself."""
    site, ledger = pop3_site, pop3_site.ledger()
    ledger_id = ledger.new_id()
    ledger.expect(ledger_id, POP3)
    site.postfix.sendmail(["-i", "-f", "eve@acme.example", BARR],
                          ledger.message(ledger_id, "eve@acme.example", [BARR]))
    site.sinks["outside"].refuse("x@elsewhere.example")
    bounced = ledger.new_id()
    ledger.expect(bounced, Bounced("pop", ADAM))
    site.postfix.sendmail(["-i", "-f", BARR, "x@elsewhere.example"],
                          ledger.message(bounced, BARR, ["x@elsewhere.example"]))
    ledger.balance()


CUSTOM_GONE = f"dn: {person_dn('adam')}\nchangetype: delete\n\n"
TAKES_ADDRESS = change(person_dn("adam.barr"), ("add", "proxyAddress", f"smtp:{ADAM}"))
UNHIDDEN = change(person_dn("adam.barr"), ("delete", "hideFromAddressLists"))
NO_ALTERNATE = change(person_dn("adam.barr"), ("replace", "altRecipient"))


@pytest.mark.parametrize("steps", [
    # (what is changed, where mail to Adam.Barr and to Adam goes then, who is in the book)
    pytest.param([(UNHIDDEN, ADAM, ADAM, ["adam", "adam.barr"]),
                  (NO_ALTERNATE, BARR, ADAM, ["adam", "adam.barr"]),
                  (TAKES_ADDRESS + CUSTOM_GONE, BARR, BARR, ["adam.barr"])], id="custom-last"),
    # In the article's order. The directory forgets the alternate with its object.
    pytest.param([(TAKES_ADDRESS + CUSTOM_GONE, BARR, BARR, []),
                  (UNHIDDEN, BARR, BARR, ["adam.barr"]),
                  (NO_ALTERNATE, BARR, BARR, ["adam.barr"])], id="custom-first"),
    # A copy for a while, as the careful do.
    pytest.param([(change(person_dn("adam.barr"), ("add", "deliverAndRedirect", "TRUE")),
                   (BARR, ADAM), ADAM, ["adam"]),
                  (UNHIDDEN + NO_ALTERNATE + TAKES_ADDRESS + CUSTOM_GONE, BARR, BARR,
                   ["adam.barr"])], id="by-way-of-copies"),
])
def test_a_user_migrates_step_by_step(pop3_site, steps):
    """Row 0.10: mail to both addresses arrives before, between the steps, and after."""
    site, ledger = pop3_site, pop3_site.ledger()
    fate = {BARR: MAILBOX, ADAM: POP3}

    def mail_to_both(to_barr, to_adam):
        fates = {BARR: At(), ADAM: At()}
        for address, places in ((BARR, to_barr), (ADAM, to_adam)):
            for place in [places] if isinstance(places, str) else places:
                fates[address] += fate[place]
        both = send(site, ledger, fates)[0]
        send(site, ledger, {BARR: fates[BARR]})
        send(site, ledger, {ADAM: fates[ADAM]})
        ledger.balance()
        return both

    before = mail_to_both(ADAM, ADAM)
    assert len(has_read(site, "pop", "adam", before)) == 1
    for changes, to_barr, to_adam, book in steps:
        if CUSTOM_GONE in changes:
            site.sinks["pop"].retire("adam")
        site.slapd.modify(changes)
        for address, places in ((BARR, to_barr), (ADAM, to_adam)):
            follows(site, address, *([places] if isinstance(places, str) else places))
        after = mail_to_both(to_barr, to_adam)
        assert address_book(site, f"(|(cn=adam)(mail={BARR}))") == {person_dn(n) for n in book}
    message, = has_read(site, "mailboxes", "adam.barr", after)
    assert message.addresses == [BARR]


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
                    self.ledger.expect(ledger_id, Either(MAILBOX, POP3, TAKEN_OVER))
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


def test_an_alternate_recipient_that_is_not_there(site):
    """Row 0.10: it may be on its way, so that mail waits; a copy is just left out."""
    site.slapd.modify(change(person_dn("adam.barr"), ("replace", "altRecipient",
                                                      person_dn("nobody"))))
    site.wait_rcpt(BARR, "451 4.3.5")
    site.slapd.modify(change(person_dn("adam.barr"), ("add", "deliverAndRedirect", "TRUE")))
    site.wait_rcpt(BARR, "250 2.1.5")
    ledger = site.ledger()
    send(site, ledger, {BARR: MAILBOX, ADAM: POP3})
    ledger.balance()


def test_nobody_gets_a_message_twice(site):
    """Row 0.14: the group has the mailbox, its alternate, and another with the same one."""
    site.slapd.add(group("team", "team@acme.example", ["adam.barr", "adam", "eve"])
                   + mailbox("fay", "fay@acme.example", altRecipient=person_dn("adam")))
    site.wait_rcpt("team@acme.example", "250 2.1.5")
    site.wait_rcpt("fay@acme.example", "250 2.1.5")
    ledger = site.ledger()
    team = POP3 + At("mailboxes", "eve@acme.example")
    send(site, ledger, {"team@acme.example": team})
    send(site, ledger, {"team@acme.example": team, BARR: POP3, ADAM: POP3,
                        "fay@acme.example": POP3})
    ledger.balance()


def test_what_restricts_the_alternate_holds_for_mail_by_way_of_the_mailbox(site):
    """Row 0.15, where the original looked at the mailbox only."""
    site.slapd.modify(change(person_dn("adam"), ("add", "requireAuth", "TRUE")))
    site.wait_rcpt(ADAM, "550 5.7.1")
    ledger = site.ledger()
    send(site, ledger, {ADAM: Refused("550 5.7.1"), BARR: Refused("550 5.7.1")})
    with site.connect(xclient={"login": "eve"}) as client:
        ledger.send(client, "eve@acme.example", {ADAM: POP3, BARR: POP3})
    ledger.balance()
