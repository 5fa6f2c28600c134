"""
Daemons that are restarted while messages are under way, at every stage of SMTP: what was accepted
arrives, once and as a whole; what the restart caught gets 4xx, and is taken when it is tried again.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.ldif import CONTAINERS, custom, domain, mailbox, person_dn
from support.ledger import At
from support.policyd import connect
from support.wait import wait_for

SENDER = "sue@outside.example"
ADAM, BOB = At("pop", "a@pop.acme.example"), At("mailboxes", "bob@acme.example")
FATES = {"adam@acme.example": ADAM, "both@acme.example": At("mailboxes", "both@acme.example") + ADAM,
         "bob@acme.example": BOB}


def directory(site):
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=person_dn("a")),
        mailbox("both", "both@acme.example", altRecipient=person_dn("a"), deliverAndRedirect="TRUE"),
        custom("a", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
    ])


@pytest.fixture(scope="module", name="site")
def make_site_once(make_module_site):
    return make_module_site(source="ldif", sinks=("pop",), ldif=directory)


class Transaction:
    """A message of which so many steps are done before the restart, and the others behind it."""

    def __init__(self, site, ledger, recipients, first):
        self.recipients = recipients
        # The milter lets a message go at DATA that it does not change.
        self.is_let_go = recipients == ["bob@acme.example"] and first > len(recipients) + 1
        self.number = ledger.new_id()
        self.replies = []
        self.client = site.connect()
        text = ledger.message(self.number, SENDER, recipients, body="Hello.\n" * 20)
        lines = text.replace("\n", "\r\n")
        half = lines.index("Hello.") + 60
        self.steps = [
            lambda: self.client.mail(SENDER),
            *(lambda r=r: self.client.rcpt(r) for r in recipients),
            lambda: self.client.command("DATA"),
            lambda: self.client.send(lines[:half]),
            lambda: self.client.send(lines[half:]),
            lambda: self.client.command("."),
        ]
        for _ in range(first):
            reply = self.steps.pop(0)()
            assert reply is None or reply.ok, reply

    def finish(self):
        """The rest, as far as it is accepted; whether all of it is."""
        reply = None
        while self.steps and (reply is None or reply.ok):
            reply = self.steps.pop(0)()
            if reply is not None:
                self.replies.append(reply)
        self.client.close()
        assert reply.ok or 400 <= reply.code < 500 and reply.enhanced[:2] == "4.", self.replies
        return reply.ok


def begin(site, ledger):
    """Messages that are changed, and that are not, each stopped behind each of its steps."""
    for recipients in (["adam@acme.example", "both@acme.example"], ["bob@acme.example"]):
        for first in range(len(recipients) + 5):
            yield Transaction(site, ledger, recipients, first)


def is_closed(listener):
    try:
        connect(listener).close()
        return False
    except OSError:
        return True


def restart(site, name):
    """As a service manager does it."""
    daemon = getattr(site, name)
    daemon.begin_stop()
    if name == "milter":  # libmilter looks every five seconds, or when somebody connects
        wait_for(lambda: is_closed(f"unix:{site.postfix.queue}/coexist/milter"),
                 "the milter to take no more connections")
    daemon.restart()


@pytest.mark.parametrize("name", ["syncd", "policyd", "milter"])
def test_what_was_accepted_arrives_and_what_was_caught_is_deferred(site, name):
    ledger = site.ledger()
    transactions = list(begin(site, ledger))
    restart(site, name)
    with ThreadPoolExecutor(len(transactions)) as pool:  # Postfix takes a second to ask anew
        taken = list(pool.map(Transaction.finish, transactions))
    for each, is_taken in zip(transactions, taken):
        if is_taken:
            ledger.expect(each.number, *(FATES[r] for r in each.recipients))
    # Postfix asks the policy service anew; a milter has forgotten what the last one was told.
    assert taken == [name != "milter" or each.is_let_go for each in transactions]
    with site.connect() as client:
        ledger.send(client, SENDER, FATES)
    ledger.balance()
