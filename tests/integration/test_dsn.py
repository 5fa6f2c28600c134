"""
NOTIFY, ORCPT, RET and ENVID (RFC 3461, RFC 6533) of what a real Postfix sends on for recipients
that were redirected, copied and expanded: whole envelopes, against the rules of SPEC section 6.
"""

import collections
import itertools

import pytest

from support.ldif import (CONTAINERS, PEOPLE, custom, domain, group, group_of_names, mailbox,
                          person_dn)
from support.ledger import At, identify
from support.smtp import xtext
from support.wait import wait_for

PERMITTED = {"addr": "192.0.2.250"}  # to write to strangers
SENDER = "s@outside.example"
ALL = f"cn=all,{PEOPLE}"
OWN, REDIRECT, GROUP, COPY = range(4)  # the earlier counts where one target has several ways


def directory(site):
    ascii_only = site.add_sink("ascii", without=("SMTPUTF8",))
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        domain("ascii.acme.example", "relay", forwardHost=ascii_only.hop),
        mailbox("bob", "bob@acme.example", proxyAddress="smtp:robert@acme.example"),
        mailbox("carol", "carol@acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=person_dn("pop")),
        mailbox("odd", '"o+d= d"@acme.example', altRecipient=person_dn("pop")),
        mailbox("eve", "eve@acme.example", altRecipient=person_dn("pop"),
                deliverAndRedirect="TRUE"),
        mailbox("chain", "chain@acme.example", altRecipient=person_dn("adam")),
        mailbox("two", "two@acme.example", altRecipient=[person_dn("adam"), person_dn("bob")]),
        mailbox("to-all", "to-all@acme.example", altRecipient=ALL),
        mailbox("copy-all", "copy-all@acme.example", deliverAndRedirect="TRUE",
                altRecipient=ALL),
        custom("pop", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
        custom("contact", "SMTP:c@pop.acme.example", mail="contact@acme.example"),
        custom("stranger", "SMTP:x@else.example", mail="stranger@acme.example"),
        mailbox("jos\u00e9", "jose@acme.example", proxyAddress="smtp:jos\u00e9+x@acme.example",
                altRecipient=person_dn("pop")),
        mailbox("ren\u00e9", "rene@acme.example", proxyAddress="smtp:ren\u00e9@acme.example",
                altRecipient=person_dn("plain")),
        custom("plain", "SMTP:r@ascii.acme.example", mail="r@ascii.acme.example"),
        mailbox("to-utf8", "to-utf8@acme.example", altRecipient=person_dn("utf8")),
        custom("utf8", "SMTP:\u00e9@pop.acme.example", mail="\u00e9@pop.acme.example"),
        group_of_names("all", "all@acme.example", ["bob", "carol", "adam"]),
        group_of_names("with-copy", "with-copy@acme.example", ["eve", "carol"]),
        group_of_names("pops", "pops@acme.example", ["pop"]),
        group("nest", "nest@acme.example", ["carol"], memberAddress=[
            "all@acme.example", "with-copy@acme.example"]),
    ])


POP = ("pop", "a@pop.acme.example")
BOB, CAROL, EVE, COPY_ALL = (("mailboxes", f"{name}@acme.example")
                             for name in ("bob", "carol", "eve", "copy-all"))

# What RCPT names: {where it arrives: how}.
WAYS = {
    "bob@acme.example": {BOB: OWN},
    "a@pop.acme.example": {POP: OWN},
    "joe@else.example": {("outside", "joe@else.example"): OWN},
    "Robert@acme.example": {BOB: REDIRECT},
    "adam@ACME.example": {POP: REDIRECT},
    "adam+ext@acme.example": {POP: REDIRECT},
    '"o+d= d"@acme.example': {POP: REDIRECT},
    "chain@acme.example": {POP: REDIRECT},
    "two@acme.example": {POP: REDIRECT, BOB: REDIRECT},
    "contact@acme.example": {("pop", "c@pop.acme.example"): REDIRECT},
    "stranger@acme.example": {("outside", "x@else.example"): REDIRECT},
    "eve@acme.example": {EVE: OWN, POP: COPY},
    "all@acme.example": {BOB: GROUP, CAROL: GROUP, POP: GROUP},
    "to-all@acme.example": {BOB: GROUP, CAROL: GROUP, POP: GROUP},
    "copy-all@acme.example": {COPY_ALL: OWN, BOB: COPY, CAROL: COPY, POP: COPY},
    "with-copy@acme.example": {EVE: GROUP, CAROL: GROUP, POP: COPY},
    "nest@acme.example": {EVE: GROUP, BOB: GROUP, CAROL: GROUP, POP: GROUP},
}

NOTIFY = ["", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "DELAY,SUCCESS",
          "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"]
ORCPT = ["", "rfc822;old+2Bname+3D+20x@before.example", "X400;c+3Dus;a+3D+20b", "x-my_type!;a+2Bb",
         r"utf-8;j\x{F6}s\x{2B}\x{20}\x{1F600}@before.example"]
MAIL = ["", "RET=HDRS", "RET=FULL ENVID=QQ+2B1+3D", "ENVID=e1"]


@pytest.fixture(name="site", scope="module")
def make_the_site(make_module_site):
    return make_module_site(source="ldif", sinks=("pop",), ldif=directory)


def words(notify):
    return frozenset(notify.split(",")) if notify else frozenset()


def arguments(notify, orcpt):
    return " ".join(f"{k}={v}" for k, v in (("NOTIFY", notify), ("ORCPT", orcpt)) if v)


def expected(way, typed, notify="", orcpt=""):
    """(NOTIFY, ORCPT) that arrive for a recipient."""
    asked = words(notify)
    if way == COPY:
        asked = words("NEVER")
    elif way == GROUP and asked:
        asked = asked - {"SUCCESS"} or words("NEVER")
    return asked, orcpt or f"rfc822;{xtext(typed)}"


def arrivals(ledger):
    """{id: {(sink, address): (sender, RET, ENVID, NOTIFY, ORCPT)}} of all that came."""
    found = collections.defaultdict(dict)
    for name, sink in ledger.sinks.items():
        for m in sink.snapshot()[ledger.start[name]:]:
            for r in m.recipients:
                found[identify(m)[0]][name, r.address] = (
                    m.sender, m.args.get("RET", ""), m.args.get("ENVID", ""),
                    words(r.args.get("NOTIFY", "")), r.args.get("ORCPT", ""))
    return found


class Post:
    """Sends many messages, waits once, compares all."""

    def __init__(self, site):
        self.ledger = site.ledger()
        self.sent = []

    def send(self, client, rcpts, outcome, mail=""):
        """rcpts: [(address, arguments)]; outcome: {(sink, address): (NOTIFY, ORCPT)}."""
        ledger_id = self.ledger.new_id()
        args = dict(word.partition("=")[::2] for word in mail.split())
        replies = client.pipeline([f"MAIL FROM:<{SENDER}> {mail}".rstrip(),
                                   *(f"RCPT TO:<{a}> {p}".rstrip() for a, p in rcpts)])
        assert all(reply.ok for reply in replies), (rcpts, replies)
        self.ledger.expect(ledger_id, *(At(*place) for place in outcome))
        assert client.data(self.ledger.message(ledger_id, SENDER, ["all@of.example"])).ok
        self.sent.append((ledger_id, rcpts, {
            place: (SENDER, args.get("RET", ""), args.get("ENVID", ""), *dsn)
            for place, dsn in outcome.items()}))
        return ledger_id

    def compare(self):
        self.ledger.balance()
        found = arrivals(self.ledger)
        for ledger_id, rcpts, outcome in self.sent:
            assert found[ledger_id] == outcome, rcpts


def test_each_way_carries_what_the_sender_asked_for(site):
    post = Post(site)
    mail = itertools.cycle(MAIL)
    with site.connect(xclient=PERMITTED) as client:
        for (typed, ways), (n, notify), step in itertools.product(
                WAYS.items(), enumerate(NOTIFY), (0, 2)):
            orcpt = ORCPT[(n + step) % len(ORCPT)]
            post.send(client, [(typed, arguments(notify, orcpt))], {
                place: expected(way, typed, notify, orcpt) for place, way in ways.items()},
                next(mail))
    post.compare()


def test_of_several_ways_to_one_target_the_best_counts_whatever_their_order(site):
    """The client's own RCPT, a redirect, a group, a copy: SPEC section 6."""
    ways = [("a@pop.acme.example", "NOTIFY=DELAY", OWN),
            ("chain@acme.example", "NOTIFY=SUCCESS,DELAY", REDIRECT),
            ("pops@acme.example", "NOTIFY=SUCCESS,FAILURE", GROUP),
            ("eve@acme.example", "NOTIFY=SUCCESS", COPY)]
    post = Post(site)
    with site.connect() as client:
        for count, own_orcpt in itertools.product((2, 3, 4), ("", "X400;own", "rfc822;a+2Bb")):
            for chosen in itertools.permutations(ways, count):
                rcpts, outcome = [], {}
                for address, notify, way in chosen:
                    orcpt = own_orcpt if way == OWN else f"rfc822;{way}"
                    rcpts.append((address, f"{notify} ORCPT={orcpt}" if orcpt else notify))
                    if way == COPY:
                        outcome[EVE] = (words("SUCCESS"), orcpt)
                    if way == min(w for _, _, w in chosen):
                        outcome[POP] = expected(way, address, notify[7:], orcpt)
                post.send(client, rcpts, outcome)
    post.compare()


# What Postfix lets through and no client should send.
ODD = [
    "NOTIFY=success,Failure", "NOTIFY=SUCCESS,,DELAY", "NOTIFY=,NEVER", "NOTIFY=FAILURE,",
    "NOTIFY=DELAY,DELAY,FAILURE", "orcpt=rfc822;a@b.example notify=never",
    "ORCPT=rfc822;a+2bb@before.example", "ORCPT=rfc822;+61+40b", "ORCPT=rfc822;a=b@before.example",
    "ORCPT=rfc822;a@before.example;b", "ORCPT=RFC822;A@b.example", "ORCPT=a+b=c;x",
    "ORCPT=x.y\"z;x", "ORCPT=rfc822;\u00e9@before.example", "ORCPT=rfc822;+C3+A9@before.example",
    "ORCPT=rfc822;+FF+80@before.example", "ORCPT=rfc822;a+0D+0Ab@before.example",
    "ORCPT=rfc822;\x01\x7f@before.example", "ORCPT=rfc822;a\\b@before.example",
    'ORCPT=rfc822;"a b"@before.example', "ORCPT=rfc822;<a@before.example>",
    "ORCPT=rfc822;end+20", "ORCPT=rfc822;end+0A", r"ORCPT=utf-8;end\x{20}", "ORCPT=rfc822;+20a",
    "ORCPT=utf-8;\u00e9@before.example", r"ORCPT=UTF-8;\x{e9}\x{0000E9}\x{000000000041}@b.example",
    r"ORCPT=utf-8;a\b\x{5C}@before.example", "ORCPT=utf-8;a+2Bb=c@before.example",
    r"ORCPT=utf-8;\x{10FFFF}\x{FFFF}@before.example", r"ORCPT=utf-8;a\x{A}b@before.example",
    "ORCPT=rfc822;" + "a" * 1900, "ORCPT=rfc822;" + "+3D" * 600, "ORCPT=rfc822;" + "=" * 1900,
    "ORCPT=utf-8;" + "\u00e9" * 900, "ORCPT=" + "t" * 900 + ";" + "a" * 900,
]
# What names nothing, or nothing that could be told.
NOTHING = ["ORCPT=rfc822;", "ORCPT=rfc822;+00", "ORCPT=rfc822;+00a", "ORCPT=utf-8;",
         r"ORCPT=utf-8;\x{}", r"ORCPT=utf-8;\x{D800}", "ORCPT=\u00e9;x"]


def test_odd_parameters_come_out_as_of_a_recipient_that_is_not_touched(site):
    """
    Or name the address as typed. And of a target that the client named too, however oddly,
    Postfix takes the second for a double.
    """
    post = Post(site)
    fates = {}
    with site.connect() as client:
        for odd in ODD + NOTHING:
            fates[odd] = [post.send(client, rcpts, {POP: ()}) for rcpts in (
                [("a@pop.acme.example", odd)], [("adam@acme.example", odd)],
                [("adam@acme.example", ""), ("a@pop.acme.example", odd)])]
    post.ledger.balance()
    found = arrivals(post.ledger)
    for odd, ids in fates.items():
        own, redirected, both = (found[i][POP][3:] for i in ids)
        typed = "ORCPT" not in odd.upper() or odd in NOTHING
        assert redirected == (own[0], "rfc822;adam@acme.example" if typed else own[1]), odd
        assert both == own, odd


BAD = ["NOTIFY=", "NOTIFY=,", "NOTIFY=LATER", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY NOTIFY=DELAY",
       "ORCPT=", "ORCPT=rfc822", "ORCPT=;a", "ORCPT=rfc822;+", "ORCPT=rfc822;+2",
       "ORCPT=rfc822;+zz",
       "ORCPT=rfc822;a ORCPT=rfc822;b", r"ORCPT=utf-8;\x{", r"ORCPT=utf-8;\x{zz}",
       r"ORCPT=utf-8;\x{110000}"]


def test_what_postfix_refuses_never_reaches_the_milter(site):
    def shown():
        return len(site.milter.log_lines("refused-by-postfix"))

    post = Post(site)
    with site.connect() as client:
        assert client.mail(SENDER).ok
        assert client.rcpt("adam+refused-by-postfix@acme.example").ok
        wait_for(shown, "the milter to log a recipient")
        before = shown()
        client.reset()
        for mail in ("RET=SOME", "RET=FULL RET=HDRS", "ENVID=", "ENVID=+2", "ENVID=a ENVID=b",
                     "ENVID=a+0Ab"):
            assert client.mail(SENDER, mail).status == "501 5.5.4", mail
            client.reset()
        assert client.mail(SENDER).ok
        for bad in BAD:
            assert client.rcpt("adam+refused-by-postfix@acme.example", bad).status in (
                "501 5.5.4", "500 5.5.2"), bad
        client.reset()
        long_id = "ENVID=" + "a" * 1900
        post.send(client, [("adam@acme.example", "")], {
            POP: (frozenset(), "rfc822;adam@acme.example")}, long_id)
    post.compare()
    assert shown() == before


TWICE = [("", ""), ("", "x;d"), ("NEVER", ""), ("NEVER", "x;n"), ("SUCCESS", "x;s"),
         ("FAILURE", "x;f"), ("DELAY,FAILURE", "")]


def test_of_two_in_the_same_way_the_first_counts_that_hears_of_failures(site):
    """One address twice, two spellings of it, two objects with one target, two groups."""
    post = Post(site)
    with site.connect() as client:
        for names, dsns in itertools.product(
                [("adam@acme.example", "adam@acme.example"),
                 ("adam@acme.example", "ADAM@acme.example"),
                 ("chain@acme.example", "adam@ACME.example"),
                 ("all@acme.example", "nest@acme.example")],
                itertools.product(TWICE, TWICE)):
            rcpts = list(zip(names, dsns))
            heard = next((r for r in rcpts if not r[1][0] or "FAILURE" in r[1][0]), rcpts[0])
            outcome = {place: expected(way, heard[0], *heard[1])
                       for place, way in WAYS.get(names[0], {POP: REDIRECT}).items()}
            if EVE in WAYS.get(names[1], {}):
                outcome[EVE] = expected(GROUP, names[1], *dsns[1])
            post.send(client, [(name, arguments(*dsn)) for name, dsn in rcpts], outcome)
    post.compare()


def test_addresses_that_are_not_ascii(site):
    """
    ORCPT is utf-8, and ASCII on the wire, whether the next hop speaks SMTPUTF8 or not (RFC
    6533, 3); an untouched recipient keeps what Postfix makes of it.
    """
    jose, rene = "Jos\u00e9+x@acme.example", "ren\u00e9@acme.example"
    named = (words("DELAY"), r"utf-8;\x{E9}\x{2B}@before.example")
    given = r"NOTIFY=DELAY ORCPT=utf-8;\x{E9}\x{2B}@before.example"
    raw = "NOTIFY=DELAY ORCPT=utf-8;\u00e9+@before.example"
    ascii_only = ("ascii", "r@ascii.acme.example")
    utf8 = ("pop", "\u00e9@pop.acme.example")
    # Of a single recipient Postfix writes the address into Received, which then is not ASCII.
    bob, to_bob = ("bob@acme.example", ""), {BOB: (frozenset(), "rfc822;bob@acme.example")}
    post = Post(site)
    with site.connect() as client:
        for mail in ("", "SMTPUTF8"):
            post.send(client, [(jose, "")], {
                POP: (frozenset(), r"utf-8;Jos\x{E9}\x{2B}x@acme.example")}, mail)
            post.send(client, [(rene, ""), bob], {
                ascii_only: (frozenset(), r"utf-8;ren\x{E9}@acme.example"), **to_bob}, mail)
            for (address, place), sent in itertools.product(
                    ((jose, POP), (rene, ascii_only), ("adam@acme.example", POP)), (given, raw)):
                post.send(client, [(address, sent), bob], {place: named, **to_bob}, mail)
        for sent, outcome in (("", (frozenset(), "rfc822;+C3+A9@pop.acme.example")),
                              (given, named), (raw, named)):
            for rcpts in itertools.permutations([(utf8[1], sent), ("to-utf8@acme.example", "")]):
                post.send(client, rcpts, {utf8: outcome}, "SMTPUTF8")
    post.compare()
