"""
Servers of one organization (SPEC section 6, trace): two nodes with one directory and one secret,
the change of the secret, its loss, the time; and senders of SRS on mail that comes back.
"""

import os
import re
import struct

import pytest

from support.comeback import SETTINGS, TRACE, headers_of, send_back, send_first
from support.ledger import At
from support.ldif import CONTAINERS, connector, custom, domain, mailbox
from support.srs import hop_service, write_secret
from support.wait import free_port, wait_for

SENDER = "s@sender.example"
DAY = 24 * 60 * 60


def directory(site):
    old = site.sinks["old"]
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        connector("old", old.hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam@acme.example", forwardingAddress="adam@outside.example"),
        mailbox("moved", "moved@acme.example", homeServer="old"),
        custom("carol", "SMTP:carol@outside.example", mail="carol@acme.example"),
    ])


class Node:
    """A site whose milter and policyd have a wall clock that can be set."""

    def __init__(self, make, name, ldif, other=None):
        """With `other`, a further smtpd has the milters of both."""
        self.port, self.both_port = free_port(), free_port()
        services = [hop_service(self.port, "srs.acme.example")]
        if other:
            services.append(f"""\
127.0.0.1:{self.both_port} inet n - n - - smtpd
  -o {{ smtpd_milters = unix:coexist/milter unix:{other.site.postfix.queue}/coexist/milter }}""")
        self.site = make(
            start=False, name=name, source="ldif", sinks=("old",), ldif=ldif, settings=SETTINGS,
            # For clocks that jump: the directory stays young enough to refuse by.
            options='unknown_defer_after = "99d"\nmax_staleness = "99d"',
            services=services,
            sections=f"""srs {{
  enable = true
  domain = "srs.acme.example"
  hop = "coexist-srs:[127.0.0.1]:{self.port}"
}}""")
        for name, text in (("new", "fedcba9876543210"), ("empty", ""), ("secret2", "x")):
            write_secret(f"{self.site.folder}/{name}", text)
        self.jump(0)
        for daemon in (self.site.policyd, self.site.milter):
            daemon.name += "-jump"
            daemon.prefix = ["env", f"COEXIST_TEST_CLOCK={self.site.folder}/clock"]
        with open(self.site.conf, encoding="utf-8") as file:
            self.conf = file.read()
        self.site.start()

    def jump(self, seconds):
        path = f"{self.site.folder}/clock"
        with open(path, "r+b" if os.path.exists(path) else "wb", buffering=0) as out:
            out.write(struct.pack("=q", seconds))

    def secrets(self, *names, log="configuration reloaded"):
        """These files, first to last, from now on."""
        files = ", ".join(f'"{self.site.folder}/{name}"' for name in names)
        with open(self.site.conf, "w", encoding="utf-8") as out:
            out.write(self.conf.replace(f'"{self.site.folder}/secret"', f"{{{files}}}"))
        milter = self.site.milter
        before = len(milter.log_lines(log))
        milter.reload()
        wait_for(lambda: len(milter.log_lines(log)) > before, milter.log_text)


@pytest.fixture(name="nodes", scope="module")
def _nodes(make_module_site):
    first = Node(make_module_site, "mx1", directory)
    with open(first.site.ldif_path, encoding="utf-8") as file:
        return first, Node(make_module_site, "mx2", file.read(), first)


@pytest.fixture(autouse=True)
def _as_at_first(nodes):
    yield
    for node in nodes:
        node.jump(0)
        node.secrets("secret")


BOUNCE = At("outside", SENDER, kind="bounce")
BOB, ADAM = At("mailboxes", "bob@acme.example"), At("mailboxes", "adam@acme.example")
CAROL = At("outside", "carol@outside.example")


def is_known(node, ledger_id, message, sender=SENDER):
    """Whether the message, when it comes back to the node, is known; all of it must come to pass."""
    lines = headers_of(message)
    reply = send_back(node.site, ledger_id, {"carol@acme.example": CAROL}, lines, sender=sender)
    if reply.ok:
        return False
    assert reply.status == "554 5.4.6"
    assert send_back(node.site, ledger_id, {
        "bob@acme.example": BOB, "adam@acme.example": ADAM, "carol@acme.example": BOUNCE},
        lines, sender=sender).ok
    return True


BOTH = ["carol@acme.example", "adam@acme.example"]


def test_what_one_node_sent_is_known_to_the_other(nodes):
    one, two = nodes
    for there, back in ((one, two), (two, one)):
        ledger_id, message = send_first(there.site, BOTH, "outside")
        assert is_known(back, ledger_id, message)
    # Handed to another system under the same address.
    ledger_id, message = send_first(one.site, "moved@acme.example", "old")
    for back in nodes:
        assert send_back(back.site, ledger_id, {"moved@acme.example": At()},
                         headers_of(message)).status == "554 5.4.6"


def test_a_second_milter_behind_the_first_sees_no_return(nodes):
    """Two in one list, as for the case that one fails: the second reads what the first wrote."""
    one, two = nodes
    send_first(two.site, "carol@acme.example", "outside", port=two.both_port)
    ledger_id, message = send_first(two.site, BOTH, "outside", port=two.both_port)
    assert sorted(message.addresses) == ["adam@outside.example", "carol@outside.example"]
    assert len(message.header(TRACE)) == 2 and is_known(one, ledger_id, message)
    _, message = send_first(two.site, "bob@acme.example", "mailboxes", port=two.both_port)
    assert not message.header(TRACE)


def test_the_secret_changes_with_no_trace_lost(nodes):
    """In the order that coexist.conf(5) gives, with mail under way at each step."""
    one, two = nodes
    steps = [(("secret",), ("secret",)), (("secret", "new"), ("secret",)),
             (("secret", "new"), ("secret", "new")), (("new", "secret"), ("secret", "new")),
             (("new", "secret"), ("new", "secret"))]
    sent = []
    for of_one, of_two in steps:
        one.secrets(*of_one)
        two.secrets(*of_two)
        sent += [send_first(node.site, BOTH, "outside") for node in nodes]
        for ledger_id, message in sent[-3:]:
            assert is_known(one, ledger_id, message) and is_known(two, ledger_id, message)
    one.secrets("new")
    # Of before the third step the old one, which is gone now.
    assert [is_known(one, *each) for each in sent] == [False] * 6 + [True, False] + [True] * 2


def test_a_secret_that_is_lost_or_wrong_changes_nothing(nodes):
    one, _ = nodes
    ledger_id, message = send_first(one.site, BOTH, "outside")
    for name, what in (("gone", "No such file"), ("empty", "the secret is empty"),
                       ("open", "everybody can read it")):
        if name == "open":
            write_secret(f"{one.site.folder}/open", "x")
            os.chmod(f"{one.site.folder}/open", 0o644)
        one.secrets(name, log=f"configuration not reloaded: .*/{name}: {what}")
        assert is_known(one, ledger_id, message)


def test_a_trace_is_good_for_seven_days(nodes):
    one, two = nodes
    ledger_id, message = send_first(one.site, BOTH, "outside")
    # Nor is it lost where the other's clock is slow.
    for jump, known in ((7 * DAY - 60, True), (7 * DAY + 60, False), (-240, True)):
        two.jump(jump)
        assert is_known(two, ledger_id, message) is known


def test_bounces_of_what_came_back_find_their_way_by_srs(nodes):
    """It left with a sender of ours, and comes back with that."""
    one, two = nodes
    ledger_id, message = send_first(one.site, BOTH, "outside")
    assert re.fullmatch(r"SRS0=.*=sender\.example=s@srs\.acme\.example", message.sender)
    assert is_known(two, ledger_id, message, sender=message.sender)
    assert is_known(one, ledger_id, message, sender=message.sender)


def test_the_hop_adds_no_second_trace(nodes):
    """Recipients with another sender come in once more by it; ours are not cut there."""
    one, _ = nodes
    ledger = one.site.ledger()
    ledger_id, message = send_first(one.site, ["bob@acme.example", *BOTH], "mailboxes")
    wait_for(lambda: ledger.messages(ledger_id, "outside"), "the forwarded ones")
    forwarded = ledger.messages(ledger_id, "outside")
    assert sorted(address for m in forwarded for address in m.addresses) == [
        "adam@outside.example", "carol@outside.example"]
    assert all(m.sender.startswith("SRS0=") for m in forwarded) and message.sender == SENDER
    for each in (message, *forwarded):
        assert len(each.header(TRACE)) == 1
        assert is_known(one, ledger_id, each, sender=each.sender)
