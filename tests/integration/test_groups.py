"""
Groups on a real Postfix: who gets the message, how often, on whose behalf; what is left out, what
holds the whole group up; large ones, and many recipients that name the same.
"""

import collections
import re

import pytest

from support.daemons import BUILD
from support.ledger import At, Refused
from support.ldif import (CONTAINERS, PEOPLE, custom, domain, group, group_of_names, mailbox,
                          person_dn)
from support.milterclient import MilterClient
from support.wait import wait_for

MEMBERS = 10000
LARGE = [f"m{n:05}" for n in range(MEMBERS)]


def group_dn(name):
    return f"cn={name},{PEOPLE}"


def of_groups(name, groups, members=(), **attributes):
    """A group of groups."""
    return group(name, ours(name), **attributes).rstrip("\n") + "\n" + "".join(
        f"coexistMember: {dn}\n" for dn in [*map(group_dn, groups), *map(person_dn, members)]) + "\n"


def ours(name):
    return f"{name}@acme.example"


def directory(site):
    pop = site.sinks["pop"]
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("off.example", "authoritative", enabled="FALSE"),
        domain("pop.acme.example", "relay", forwardHost=pop.hop),
        *(mailbox(name, ours(name)) for name in ("a", "b", "c", "d", "boss")),
        mailbox("noaddress", None),
        mailbox("moved", ours("moved"), altRecipient=person_dn("pop")),
        mailbox("copied", ours("copied"), altRecipient=group_dn("team"), deliverAndRedirect="TRUE"),
        mailbox("moving", ours("moving"), parked="TRUE"),
        mailbox("locked", ours("locked"), requireAuth="TRUE"),
        mailbox("ring", ours("ring"), altRecipient=person_dn("ring")),
        mailbox("astray", ours("astray"), homeServer="nowhere"),
        mailbox("twin1", ours("twin")), mailbox("twin2", ours("twin")),
        custom("pop", "SMTP:p@pop.acme.example", mail="p@pop.acme.example"),
        custom("deep", "SMTP:deep@off.example"),
        # Each member once, by whatever path.
        group("team", ours("team"), ["a", "b"], proxyAddress="smtp:crew@acme.example"),
        group_of_names("names", ours("names"), ["b", "c"], memberAddress="a@acme.example"),
        of_groups("outer", ["team", "names"], ["pop", "moved", "a"], memberAddress=[
            "B@acme.example", "x@outside.example", "p@pop.acme.example", "TEAM@acme.example"]),
        of_groups("over", ["team"]),
        of_groups("self", ["self"], ["a"]),
        of_groups("this", ["that"], ["a"]),
        of_groups("that", ["this"], ["b"]),
        # What adds nothing.
        group("mixed", ours("mixed"), ["a", "gone", "noaddress"], memberAddress=[
            "nobody@acme.example", "not an address"]),
        group("closedin", ours("closedin"), ["a", "locked"]),
        group("ringed", ours("ringed"), ["a", "ring"]),
        # With nothing left, and what holds all of it up.
        group("empty", ours("empty")), group("gone", ours("gone"), ["gone", "noaddress"]),
        group("onlyring", ours("onlyring"), ["ring"]),
        of_groups("round", ["round2"]), of_groups("round2", ["round"]),
        group("onlylocked", ours("onlylocked"), ["locked"]),
        group("closed", ours("closed"), ["a"], requireAuth="TRUE"),
        group("inmove", ours("inmove"), ["a", "moving"]),
        of_groups("above", ["inmove"], ["b"]),
        group("toastray", ours("toastray"), ["a", "astray"]),
        group("totwin", ours("totwin"), ["a"], memberAddress="twin@acme.example"),
        group("todeep", ours("todeep"), ["a", "deep"]),
        *(of_groups(f"level{n}", [f"level{n + 1}"], ["a"]) for n in range(2, 17)),
        group("level17", ours("level17"), ["b"]),
        # Many.
        *(mailbox(name, ours(name)) for name in LARGE),
        group_of_names("large", ours("large"), LARGE),
        of_groups("larger", ["large"], ["a"]),
        *(of_groups(f"wrap{n}", ["large"]) for n in range(100)),
    ])


@pytest.fixture(scope="module")
def site(make_module_site):
    return make_module_site(source="ldif", sinks=("pop",), ldif=directory)


@pytest.fixture
def ledger(site):
    return site.ledger()


def arrived(ledger, message):
    """[(sink, sender, address, arguments of RCPT and MAIL)] of all that came of a message."""
    found = []
    for sink in ledger.sinks:
        for copy in ledger.messages(message, sink):
            extra = [f"{k}={v}" for k, v in sorted(copy.args.items()) if k in ("RET", "ENVID")]
            found += [(sink, copy.sender, r.address, " ".join(
                [f"{k}={v}" for k, v in sorted(r.args.items())] + extra)) for r in copy.recipients]
    return sorted(found)


def send(ledger, client, recipients, sender="s@outside.example", mail="", rcpt=""):
    """One message to them all, each with the same arguments of RCPT; its id."""
    message = ledger.new_id()
    assert client.mail(sender, mail).ok
    for address in recipients:
        reply = client.rcpt(address, rcpt)
        assert reply.ok, (address, reply)
    assert client.data(ledger.message(message, sender, recipients[:10])).ok
    return message


def here(*names, on="team", more=""):
    """At the mailboxes, on behalf of a recipient of ours."""
    return [("mailboxes", ours(name), f"{more}ORCPT=rfc822;{on}@acme.example") for name in names]


def named(*names):
    """The client's own recipients."""
    return [each for name in names for each in here(name, on=name)]


FROM_OUTER = here("c", on="outer") + [
    ("outside", "x@outside.example", "ORCPT=rfc822;outer@acme.example"),
    ("pop", "p@pop.acme.example", "ORCPT=rfc822;outer@acme.example")]

# Recipients of one message, and all that comes of it.
DELIVERED = {
    "a group": (["team"], here("a", "b")),
    "by another address": (["crew"], here("a", "b", on="crew")),
    "members by DN and by address": (["names"], here("a", "b", "c", on="names")),
    "nested, by every way at once": (["outer"], here("a", "b", on="outer") + FROM_OUTER),
    "within itself": (["self"], here("a", on="self")),
    "within each other": (["this"], here("a", "b", on="this")),
    "sixteen deep, the member included": (["level3"], here("a", "b", on="level3")),
    "what does not exist or has no address is left out": (["mixed"], here("a", on="mixed")),
    "what is closed to strangers is left out": (["closedin"], here("a", on="closedin")),
    "what loops is left out": (["ringed"], here("a", on="ringed")),
    "the first that leads to a member counts": (["team", "outer", "names"],
                                                here("a", "b") + FROM_OUTER),
    "the other way round": (["names", "outer", "team"], here("a", "b", "c", on="names") + [
        each for each in FROM_OUTER if each[0] != "mailboxes"]),
    "two within each other, both named": (["this", "that"], here("a", "b", on="this")),
    "every spelling of one": (["team", "TEAM", "crew", "team+x", "team+y"], here("a", "b")),
    "a member that the client names too is its own": (["team", "a"], named("a") + here("b")),
    "and first": (["a", "team"], named("a") + here("b")),
    "all of them": (["b", "team", "a", "crew", "outer"], named("a", "b") + FROM_OUTER),
    "a copy to a group": (["copied"], named("copied") + here(
        "a", "b", on="copied", more="NOTIFY=NEVER ")),
    "a group beats a copy to it": (["copied", "crew"], named("copied") + here(
        "a", "b", on="crew")),
    "and behind it": (["crew", "copied"], named("copied") + here("a", "b", on="crew")),
}


def settle(ledger, sent):
    """sent: [(label, id, what must come of it)], and nothing else."""
    for label, message, expected in sent:
        wait_for(lambda: len(arrived(ledger, message)) >= len(expected),
                 lambda: f"{label}: {arrived(ledger, message)}")
    wait_for(ledger.queues_are_empty, "the queues to drain")
    for label, message, expected in sent:
        found = [(sink, address, arguments) for sink, _, address, arguments
                 in arrived(ledger, message)]
        assert found == sorted(expected), label
        assert not any(m.sender == "" for s in ledger.sinks for m in ledger.messages(message, s))


def test_each_member_gets_it_once_and_on_whose_behalf(site, ledger):
    with site.connect() as client:
        sent = [(label, send(ledger, client, [ours(name) for name in names]), expected)
                for label, (names, expected) in DELIVERED.items()]
        # For all of what the sender asked, SUCCESS is not a group's to tell.
        sent += [("notifications", send(ledger, client, [ours("team")], mail="RET=HDRS ENVID=e1",
                                        rcpt="NOTIFY=SUCCESS,FAILURE,DELAY"),
                  [(sink, address, arguments + " ENVID=e1 RET=HDRS") for sink, address, arguments
                   in here("a", "b", more="NOTIFY=FAILURE,DELAY ")])]
        # One that is silent does not silence another.
        message = ledger.new_id()
        assert client.mail("s@outside.example").ok
        assert client.rcpt(ours("crew"), "NOTIFY=NEVER").ok
        assert client.rcpt(ours("outer")).ok
        assert client.rcpt(ours("team"), "NOTIFY=NEVER").ok
        assert client.data(ledger.message(message, "s@outside.example", [])).ok
        sent += [("silent and not", message, here("a", "b", on="outer") + FROM_OUTER)]
        message = ledger.new_id()
        assert client.mail("s@outside.example").ok
        assert client.rcpt(ours("crew"), "NOTIFY=NEVER").ok
        assert client.rcpt(ours("over")).ok
        assert client.data(ledger.message(message, "s@outside.example", [])).ok
        sent += [("silent, and not within another", message, here("a", "b", on="over"))]
        # A sender may be among the members.
        sent += [("its own sender", send(ledger, client, [ours("team")], sender=ours("a")),
                  here("a", "b"))]
    with site.connect(xclient={"login": "b"}) as client:
        sent += [("a login may write to what is closed to strangers", send(
            ledger, client, [ours("closedin"), ours("closed")]),
                  here("a", "locked", on="closedin"))]
    settle(ledger, sent)
    assert {sender for _, message, _ in sent for _, sender, *_ in arrived(ledger, message)} == {
        "s@outside.example", ours("a")}


def test_what_is_left_out_is_logged_once(site, ledger):
    def lines(name):
        return site.milter.log_lines(f'left out: object="cn={name},')
    with site.connect() as client:
        sent = [("", send(ledger, client, [ours("mixed")]), here("a", on="mixed"))
                for _ in range(3)]
        sent += [("", send(ledger, client, [ours("mixed+x"), ours("team")]),
                  here("a", on="mixed+2Bx") + here("b"))]
    settle(ledger, sent)
    line, = lines("mixed")
    assert 'missing="uid=gone,' in line and line.endswith("count=3")
    assert not lines("team") and not lines("ringed")


# What a stranger gets, each with the group of two in the same message.
REFUSED = {
    "empty": "451 4.3.5", "gone": "451 4.3.5", "onlyring": "550 5.4.6", "round": "550 5.4.6",
    "level2": "550 5.4.6", "onlylocked": "550 5.7.1", "closed": "550 5.7.1", "inmove": "450 4.2.1",
    "above": "450 4.2.1", "toastray": "451 4.3.5", "totwin": "451 4.3.5", "todeep": "451 4.3.2",
    "larger": "452 4.5.3",
}


def test_a_group_is_refused_or_waits_as_a_whole_and_alone(site, ledger):
    with site.connect() as client:
        message = ledger.new_id()
        assert client.mail("s@outside.example").ok
        assert client.rcpt(ours("team")).ok
        found = {name: client.rcpt(ours(name)).status for name in REFUSED}
        assert client.data(ledger.message(message, "s@outside.example", [])).ok
    assert found == REFUSED
    settle(ledger, [("", message, here("a", "b"))])


def memory_kib(daemon):
    """The most that it ever had."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def is_sanitized():
    with open(f"{BUILD}/milter/coexist-milter", "rb") as program:
        return b"__asan_init" in program.read()


def looked_into(site, since):
    """[objects that were looked into] for each RCPT that the milter was asked of."""
    return [int(n) for n in re.findall(r"rcpt: to=<.*?>, verdict=deliver, objects=(\d+)",
                                       site.milter.log_text()[since:])]


def test_ten_thousand_in_one_message_and_not_one_more(site, ledger):
    """Beyond 1000 recipients Postfix finds no doubles: there must be none."""
    since = len(site.milter.log_text())
    refused = Refused("452 4.5.3")
    fates = {
        "m00042@acme.example": At(), "large@acme.example": At(
            *(part for name in LARGE for part in ("mailboxes", ours(name)))),
        "wrap0@acme.example": At(), "LARGE@acme.example": At(), "m09999@acme.example": At(),
        "large+x@acme.example": At(), "wrap1@acme.example": At(),
        "boss@acme.example": refused, "team@acme.example": refused, "moved@acme.example": refused,
        "friend@outside.example": At("outside", "friend@outside.example"),
        "m05000@acme.example": At(), "larger@acme.example": refused,
    }
    with site.connect(xclient={"addr": "192.0.2.250"}) as client:
        message, replies = ledger.send(client, "s@outside.example", fates)
        # The client sends what is left in another message.
        ledger.send(client, "s@outside.example", {
            "boss@acme.example": At("mailboxes", ours("boss")),
            "moved@acme.example": At("pop", "p@pop.acme.example")})
    ledger.balance(deadline=120)
    assert replies["boss@acme.example"].text == \
        "4.5.3 Too many recipients; try again in smaller pieces"
    found = collections.Counter(arguments for _, _, _, arguments in arrived(ledger, message))
    assert found == {"ORCPT=rfc822;large@acme.example": MEMBERS - 3,
                     **{f"ORCPT=rfc822;{name}@{rest}": 1 for name, rest in (
                         ("m00042", "acme.example"), ("m05000", "acme.example"),
                         ("m09999", "acme.example"), ("friend", "outside.example"))}}
    # One of them was expanded, once.
    assert [n for n in looked_into(site, since) if n > 3] == [MEMBERS + 1]


def test_a_thousand_recipients_that_name_one_group_cost_one_expansion(site):
    """As many as Postfix lets a client name, and without it, which would need its time to delete them."""
    recipients = ["large@acme.example", *(f"large+{n}@acme.example" for n in range(899)),
                  *(f"wrap{n}@acme.example" for n in range(100))]
    before = memory_kib(site.milter)
    with MilterClient(f"unix:{site.postfix.queue}/coexist/milter") as client:
        client.connect()
        for turn in (recipients, recipients[::-1]):
            since = len(site.milter.log_text())
            edits = client.message(*(f"<{each}>" for each in turn)).edits
            client.abort()
            found = looked_into(site, since)
            assert len(found) == 1000 and max(found) <= MEMBERS + 2
            assert sum(found) <= MEMBERS + 2 * 1000
            assert sorted(e[1] for e in edits if e[0] == "+") == [f"<{ours(n)}>" for n in LARGE]
            assert {e[2] for e in edits if e[0] == "+"} == {f"ORCPT=rfc822;{turn[0].replace('+', '+2B')}"}
            assert sorted(e[1] for e in edits if e[0] == "-") == sorted(turn)
    assert memory_kib(site.milter) - before < (1 << 20 if is_sanitized() else 48 << 10)
