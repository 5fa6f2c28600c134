"""
The ledger: each accepted pair of message and recipient ends in exactly the sinks it should,
and no sink holds anything else.

    ledger = Ledger(site)
    ledger.send(sender, {
        "plain@acme.example": At("mailboxes", "plain@acme.example"),
        "gone@acme.example": Refused("550 5.1.1"),
    })
    ledger.balance()
"""

import collections
import itertools
import re
from dataclasses import dataclass

from .wait import PATIENCE, wait_for

ID_HEADER = "X-Ledger-Id"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Delivery:
    """One copy of a message for one recipient in one sink."""
    sink: str
    address: str
    kind: str = "mail"  # or "bounce", "notice" (DSN that is no failure)


class At:
    """The RCPT is accepted and comes out there: At(sink, address[, sink, address...])."""

    def __init__(self, *pairs, kind="mail"):
        assert len(pairs) % 2 == 0
        self.deliveries = [Delivery(s, a, kind) for s, a in zip(pairs[::2], pairs[1::2])]

    def __add__(self, other):
        both = At()
        both.deliveries = self.deliveries + other.deliveries
        return both


class Bounced(At):
    """Accepted, and later returned to the sender, whose mailbox is in that sink."""

    def __init__(self, sink, sender):
        super().__init__(sink, sender, kind="bounce")


class Either:
    """One of several fates, as a whole: Either(At(...), At(...)). Only alone in a message."""

    def __init__(self, *fates):
        self.fates = fates


@dataclass(frozen=True)
class Refused:
    """The RCPT is answered with this code and enhanced code ("550 5.1.1")."""
    status: str


class Ledger:
    def __init__(self, sinks, postfixes):
        """sinks: {name: Sink}, each new to this ledger; postfixes: whose queues must drain."""
        self.sinks = sinks
        self.postfixes = postfixes
        self.expected = collections.Counter()  # (id, Delivery)
        self.open = {}  # id: fates of which one must come true
        self.start = {name: sink.count() for name, sink in sinks.items()}

    def new_id(self):
        return f"ledger-{next(_numbers)}"

    def expect(self, ledger_id, *fates):
        """What one message comes to; two recipients that meet in one place meet once."""
        if len(fates) == 1 and isinstance(fates[0], Either):
            self.open[ledger_id] = fates[0].fates
            return
        for delivery in {d for fate in fates for d in getattr(fate, "deliveries", [])}:
            self.expected[ledger_id, delivery] += 1

    def message(self, ledger_id, sender, recipients, subject="test", body="Hello.\n", headers=""):
        return (f"From: <{sender}>\nTo: {', '.join(f'<{r}>' for r in recipients)}\n"
                f"Subject: {subject}\nMessage-ID: <{ledger_id}@ledger.example>\n"
                f"{ID_HEADER}: {ledger_id}\n{headers}\n{body}")

    def send(self, client, sender, fates, mail_params="", rcpt_params=None, **message):
        """
        One transaction on an open connection. fates: {recipient: At(...) | Refused(...)};
        what the client writes in RCPT is the key. Returns (id, {recipient: Reply}).
        """
        ledger_id = self.new_id()
        reply = client.mail(sender, mail_params)
        assert reply.ok, f"MAIL FROM:<{sender}>: {reply}"
        replies = {}
        for address, fate in fates.items():
            reply = client.rcpt(address, (rcpt_params or {}).get(address, ""))
            replies[address] = reply
            if isinstance(fate, Refused):
                assert reply.status == fate.status, f"RCPT TO:<{address}>: {reply}"
            else:
                assert reply.ok, f"RCPT TO:<{address}>: {reply}"
        if any(reply.ok for reply in replies.values()):
            # Before DATA: if that fails halfway, the books say so.
            self.expect(ledger_id, *fates.values())
            reply = client.data(self.message(ledger_id, sender, fates, **message))
            assert reply.ok, f"DATA: {reply}"
        else:
            client.reset()
        return ledger_id, replies

    def found(self):
        """Counter of (id, Delivery) over all sinks; a message of unknown origin has id None."""
        found = collections.Counter()
        for name, sink in self.sinks.items():
            for message in sink.snapshot()[self.start[name]:]:
                ledger_id, kind = identify(message)
                for address in message.addresses:
                    found[ledger_id, Delivery(name, address, kind)] += 1
        return found

    def settle(self):
        """Books for each open message the fate that came true, as soon as one has."""
        found = collections.defaultdict(set)
        for ledger_id, delivery in self.found():
            found[ledger_id].add(delivery)
        for ledger_id, fates in list(self.open.items()):
            for fate in fates:
                if set(fate.deliveries) == found[ledger_id]:
                    self.expect(ledger_id, fate)
                    del self.open[ledger_id]
                    break
        return not self.open

    def messages(self, ledger_id, sink):
        """The messages with that id in one sink."""
        return [m for m in self.sinks[sink].snapshot()[self.start[sink]:]
                if identify(m)[0] == ledger_id]

    def queues_are_empty(self):
        # Twice, as a message may move between two queues while one looks.
        return not any(p.queued() for p in self.postfixes) and \
            not any(p.queued() for p in self.postfixes)

    def balance(self, deadline=PATIENCE):
        """Waits until all is delivered, then compares."""
        if self.open:
            wait_for(self.queues_are_empty, "the queues to drain", deadline)
            wait_for(self.settle, lambda: f"{self.open}: {self.difference()}", deadline)
        wait_for(lambda: self.queues_are_empty() and not self.expected - self.found()
                 or self.found() - self.expected,
                 lambda: self.difference() or "the queues to drain: "
                 f"{[p.queued() for p in self.postfixes]}", deadline)
        wait_for(self.queues_are_empty, "the queues to drain", deadline)
        assert self.found() == self.expected, self.difference()

    def difference(self):
        found = self.found()
        lines = [f"missing: {count} x {what}" for what, count in (self.expected - found).items()]
        lines += [f"too many: {count} x {what}" for what, count in (found - self.expected).items()]
        for postfix in self.postfixes:
            if lines:
                lines.append(f"--- log of {postfix.name}\n" + postfix.log_text()[-6000:])
        return "\n".join(lines)


def identify(message):
    """(ledger id or None, "mail" | "bounce" | "notice")"""
    ids = message.header(ID_HEADER)
    if len(ids) == 1:
        return ids[0], "mail"
    if message.sender == "":
        inner = re.search(rb"(?m)^" + ID_HEADER.encode() + rb": (\S+)\r$", message.body)
        failed = re.search(rb"(?mi)^Action: failed\r$", message.body)
        return (inner.group(1).decode() if inner else None), "bounce" if failed else "notice"
    return None, "mail"
