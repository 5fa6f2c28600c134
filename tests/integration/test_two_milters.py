"""
Other milters before and behind ours, and settings of Postfix that change recipients, too (SPEC
section 6, postfix-facts sections 1, 2, 6 and 7): whole envelopes of what arrives.
"""

import pytest

from support.envelopes import compare, envelopes
from support.ldif import CONTAINERS, custom, domain, group, mailbox, person_dn
from support.othermilter import Link, OtherMilter
from support.postfix import coexist_settings
from support.smtp import Client
from support.wait import free_port, run, wait_for

OURS = coexist_settings()["smtpd_milters"]
SENDER = "s@outside.example"
MANY = 1001


def directory(site):
    to_pop = person_dn("pop")
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("carol", "carol@acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=to_pop),
        mailbox("eve", "eve@acme.example", altRecipient=to_pop, deliverAndRedirect="TRUE"),
        mailbox("out", "out@acme.example", forwardingAddress="friend@outside.example"),
        custom("pop", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
        group("all", "all@acme.example", [], memberAddress=[
            "bob@acme.example", "carol@acme.example", "adam@acme.example"]),
        *[custom(f"c{n}", f"SMTP:c{n}@pop.acme.example", mail=f"c{n}@acme.example")
          for n in range(MANY)],
    ])


class Doors:
    """Listeners of one Postfix, each with milters and options of its own."""

    def __init__(self):
        self.ports = {}
        self.services = []
        self.others = []
        self.link = Link()

    def add(self, name, milters=OURS, *options):
        self.ports[name] = free_port()
        words = [f"-o {{ {o} }}" for o in (f"smtpd_milters = {milters}", *options)]
        self.services.append(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd "
                             + " ".join(words))

    def add_with(self, name, *options):
        """Options of cleanup(8)."""
        words = " ".join(f"-o {{ {o} }}" for o in options)
        self.services.append(f"cleanup-{name} unix n - n - 0 cleanup {words}")
        self.add(name, OURS, f"cleanup_service_name=cleanup-{name}")

    def add_other(self, name, **habits):
        other = OtherMilter(**habits)
        self.others.append(other)
        self.add(f"{name} before", f"{other.setting}, {OURS}")
        self.add(f"{name} behind", f"{OURS}, {other.setting}")

    def close(self):
        for listener in [*self.others, self.link]:
            listener.close()


def build_doors():
    doors = Doors()
    doors.add("ours")
    doors.add_other("edits", added=["<a@pop.acme.example>"], deleted=["<adam@acme.example>"])
    doors.add_other("adds", added=["<eve@acme.example>"])
    doors.add_other("headers", headers={"DKIM-Signature": "v=1"})
    doors.add_other("sender", sender="<new@outside.example>")
    doors.add_other("accepts", verdict="a")
    doors.add_other("discards", verdict="d")
    doors.add_other("defers", verdict="t")
    doors.add_other("quarantines", quarantine=True)
    doors.add_other("refuses target", refused={"a@pop.acme.example": "550 5.7.1 no"})
    doors.add_other("refuses", refused={"bad@outside.example": "550 5.7.1 no",
                                        "eve@acme.example": "550 5.7.1 no"})
    for action in "tempfail", "accept":
        doors.add(f"breaks {action}", f"{{ {doors.link.setting}, default_action={action} }}")
        doors.add(f"down {action}", f"{{ inet:127.0.0.1:{free_port()}, "
                  f"default_action={action} }}")
    for version in 2, 3, 4, 6:
        doors.add(f"protocol {version}", f"{{ unix:coexist/milter, protocol={version}, "
                  "default_action=tempfail }")
    doors.add("some", "", "smtpd_milter_maps=cidr:{ {192.0.2.7 DISABLE}, "
              "{192.0.2.8 unix:coexist/milter} }")
    doors.add("limit", OURS, "smtpd_recipient_limit=1000")
    doors.add_with("virtual", "virtual_alias_maps=inline:{ "
                   "{ a@pop.acme.example=adam@acme.example }, "
                   "{ out@acme.example=elsewhere@outside.example }, "
                   "{ bob@acme.example=bob@acme.example, more@outside.example } }")
    doors.add_with("virtual-target", "virtual_alias_maps=inline:{ "
                   "{ a@pop.acme.example=deep@pop.acme.example }, "
                   "{ friend@outside.example=friend@else.example } }")
    doors.add_with("canonical", "recipient_canonical_maps=inline:{ "
                   "{ a@pop.acme.example=deep@pop.acme.example } }")
    doors.add_with("no-original", "enable_original_recipient=no")
    doors.add_with("bcc", "always_bcc=archive@outside.example", "recipient_bcc_maps=inline:{ "
                   "{ adam@acme.example=of-adam@outside.example }, "
                   "{ a@pop.acme.example=of-pop@outside.example } }")
    doors.add_with("bcc-here", "always_bcc=adam@acme.example")
    doors.add("second", OURS, "receive_override_options=no_milters")
    doors.add("second-too", OURS)
    for name in "second", "second-too":
        doors.add(f"filter {name}", OURS, f"content_filter=smtp:[127.0.0.1]:{doors.ports[name]}",
                  "receive_override_options=no_address_mappings")
    return doors


@pytest.fixture(name="doors", scope="module")
def _doors():
    doors = build_doors()
    yield doors
    doors.close()


@pytest.fixture(name="site", scope="module")
def _site(make_module_site, doors):
    site = make_module_site(source="ldif", sinks=("pop",), ldif=directory,
                            services=doors.services)
    doors.link.path = f"{site.postfix.queue}/coexist/milter"
    site.doors = doors
    return site


def connect(site, door, **options):
    return Client("127.0.0.1", site.doors.ports[door], **options)


def send(ledger, client, recipients, end="250 2.0.0", mail="RET=HDRS ENVID=e1", rcpt=None):
    """One message; recipients that are refused have their status in `rcpt`."""
    ledger_id = ledger.new_id()
    assert client.mail(SENDER, mail).ok
    for word in recipients:
        address, _, arguments = word.partition(" ")
        assert client.rcpt(address, arguments).status == (rcpt or {}).get(address, "250 2.1.5")
    assert client.data(ledger.message(ledger_id, SENDER, ["x@y.example"])).status == end
    return ledger_id


def here(name, written="", *more):
    return " ".join([f"mailboxes {name}@acme.example", *more, "ORCPT=rfc822;"
                     + (written or f"{name}@acme.example"), "RET=HDRS ENVID=e1"])


def pop(written, *more):
    return " ".join(["pop a@pop.acme.example", *more, f"ORCPT=rfc822;{written}",
                     "RET=HDRS ENVID=e1"])


def outside(name, written="", *more):
    return " ".join([f"outside {name}@outside.example", *more, "ORCPT=rfc822;"
                     + (written or f"{name}@outside.example"), "RET=HDRS ENVID=e1"])


NAMED = ["adam@acme.example", "bob@acme.example", "eve@acme.example NOTIFY=FAILURE"]
EVE = here("eve", "", "NOTIFY=FAILURE")
ADAM = pop("adam@acme.example")
DEEP = ADAM.replace("pop a@", "pop deep@")
DEEP_NAMED = pop("a@pop.acme.example").replace("pop a@", "pop deep@")
USUAL = [ADAM, here("bob"), EVE]
ALL = ["all@acme.example", "a@pop.acme.example", "eve@acme.example"]
NEW_SENDER = [line + " FROM=<new@outside.example>" for line in USUAL]

# What another filter adds or changes at the end of a message is shown to no filter: this is what
# coexist-milter(8) says of it.
CASES = [
    ("ours", NAMED, USUAL),
    ("edits before", NAMED, [*USUAL, pop("a@pop.acme.example")]),
    ("edits behind", NAMED, [*USUAL, pop("a@pop.acme.example")]),
    ("adds before", NAMED, [*USUAL, here("eve")]),
    ("adds behind", ["adam@acme.example"], [ADAM, here("eve")]),
    ("headers before", NAMED, USUAL),
    ("headers behind", NAMED, USUAL),
    ("sender before", NAMED, NEW_SENDER),
    ("sender behind", NAMED, NEW_SENDER),
    ("accepts before", NAMED, USUAL),
    ("accepts behind", NAMED, USUAL),
    ("discards before", NAMED, []),
    ("discards behind", NAMED, []),
    ("down accept", NAMED, [here("adam"), here("bob"), EVE]),
    *[(f"protocol {version}", NAMED, USUAL) for version in (2, 3, 4, 6)],
    ("virtual", ["adam@acme.example"], [here("adam")]),
    ("virtual", ["out@acme.example"], [outside("friend", "out@acme.example")]),
    ("virtual", ["a@pop.acme.example", "adam@acme.example"],
     [here("adam", "a@pop.acme.example")]),
    ("virtual", ["all@acme.example"],
     [here(n, "all@acme.example") for n in ("adam", "bob", "carol")]
     + [outside("more", "all@acme.example")]),
    ("virtual-target", ["adam@acme.example"], [DEEP]),
    ("virtual-target", ["a@pop.acme.example", "adam@acme.example"], [DEEP_NAMED]),
    ("virtual-target", ["eve@acme.example", "a@pop.acme.example"], [here("eve"), DEEP_NAMED]),
    ("virtual-target", ["out@acme.example"],
     [outside("friend", "out@acme.example").replace("friend@outside", "friend@else")]),
    ("canonical", NAMED, [DEEP, here("bob"), EVE]),
    ("canonical", ["adam@acme.example", "deep@pop.acme.example"],
     [DEEP, pop("deep@pop.acme.example").replace("pop a@", "pop deep@")]),
    ("no-original", NAMED + ["a@pop.acme.example NOTIFY=NEVER"],
     [pop("a@pop.acme.example", "NOTIFY=NEVER"), here("bob"), EVE]),
    ("bcc", NAMED, [*USUAL, outside("archive", "", "NOTIFY=NEVER"),
                    outside("of-adam", "", "NOTIFY=NEVER")]),
    ("bcc-here", NAMED, USUAL),
    ("bcc-here", ["bob@acme.example"], [here("bob"), here("adam", "", "NOTIFY=NEVER")]),
    ("filter second", NAMED, USUAL),
    ("filter second", ALL, [here("bob", "all@acme.example"), here("carol", "all@acme.example"),
                            pop("a@pop.acme.example"), here("eve")]),
]


def test_every_filter_and_setting_leaves_one_copy_for_each(site):
    ledger = site.ledger()
    expected = {}
    for door, recipients, lines in CASES:
        with connect(site, door) as client:
            expected[send(ledger, client, recipients)] = (f"{door}: {recipients}", lines)
            if door.startswith("discards"):
                # Of a message that ended otherwise nothing is left.
                expected[send(ledger, client, NAMED)] = (door, [])
    compare(ledger, expected)
    for ledger_id, (door, _) in expected.items():
        if door.startswith("headers"):
            for name, sink in ledger.sinks.items():
                for message in ledger.messages(ledger_id, name):
                    assert message.header("DKIM-Signature") == ["v=1"]
                    assert len(message.header("X-Coexist-Forwarded")) == 1, sink


def test_a_target_that_another_filter_refuses_still_gets_its_forwarded_mail(site):
    """Behind ours: we have seen the recipient that it refuses, and must not count on it."""
    ledger = site.ledger()
    no = {"a@pop.acme.example": "550 5.7.1"}
    expected = {}
    for door in "refuses target before", "refuses target behind":
        with connect(site, door) as client:
            # Behind: it was added once more, with what the client had said of it.
            own = [pop("a@pop.acme.example")] if door.endswith("behind") else []
            for names, lines in (
                    (["adam@acme.example", *no], own or [ADAM]),
                    ([*no, "adam@acme.example"], own or [ADAM]),
                    (["eve@acme.example", *no],
                     [here("eve"), *(own or [pop("eve@acme.example", "NOTIFY=NEVER")])])):
                expected[send(ledger, client, names, rcpt=no)] = (f"{door}: {names}", lines)
    compare(ledger, expected)


def test_a_filter_behind_ours_that_refuses_takes_no_other_recipient_with_it(site):
    ledger = site.ledger()
    no = {"eve@acme.example": "550 5.7.1"}
    expected = {}
    for door in "refuses before", "refuses behind":
        with connect(site, door) as client:
            assert client.mail("bad@outside.example").status == "550 5.7.1"
            assert client.rcpt("adam@acme.example").code == 503
            ledger_id = send(ledger, client, ["eve@acme.example", "adam@acme.example"], rcpt=no)
            expected[ledger_id] = (door, [ADAM])
            # Nobody tells ours that eve was refused behind it: her copy goes out.
            ledger_id = send(ledger, client, ["bob@acme.example", "eve@acme.example"], rcpt=no)
            expected[ledger_id] = (door, [here("bob")] + [
                pop("eve@acme.example", "NOTIFY=NEVER")] * door.endswith("behind"))
    compare(ledger, expected)


def test_a_filter_that_defers_leaves_nothing_behind(site):
    ledger = site.ledger()
    for door in "defers before", "defers behind":
        with connect(site, door) as client:
            for _ in range(2):
                refused = send(ledger, client, NAMED, end="451 4.7.1")
            compare(ledger, {refused: (door, [])})
    with connect(site, "down tempfail") as client:
        assert client.mail(SENDER).status == "451 4.7.1"


def test_what_is_held_behind_ours_goes_out_with_its_edits(site):
    """Postfix asks no further milter once one has held the message: it goes out as it came."""
    ledger = site.ledger()
    expected = {}
    for door, adam in (("quarantines before", here("adam")), ("quarantines behind", ADAM)):
        with connect(site, door) as client:
            expected[send(ledger, client, NAMED)] = (door, [adam, *USUAL[1:]])
    assert len(site.postfix.queued()["hold"]) == 2
    assert not any(envelopes(ledger, ledger_id) for ledger_id in expected)
    run(["postsuper", "-c", site.postfix.config, "-H", "ALL"])
    site.postfix.flush()
    compare(ledger, expected)


def test_a_link_that_breaks_at_any_edit_leaves_no_half_of_them(site):
    ledger = site.ledger()
    link = site.doors.link
    whole = [here("bob", "all@acme.example"), here("carol", "all@acme.example"),
             pop("a@pop.acme.example"), here("eve")]

    def once(end="250 2.0.0", action="tempfail"):
        with connect(site, f"breaks {action}") as client:
            return send(ledger, client, ALL, end)

    link.edits = 0
    expected = {once(): ("whole", whole)}
    count = link.edits
    assert count == 5  # bob, carol, the target once more; the group; the trace
    for left in range(count):
        link.left = left
        expected[once("451 4.7.1")] = (f"{left} edits", [])
    # So says coexist-milter(8) of other default actions.
    link.left = 1
    half = once(action="accept")
    link.left = -1
    expected[once()] = ("and again", whole)
    wait_for(ledger.queues_are_empty, "the queues to drain")
    assert sorted(whole) != envelopes(ledger, half)
    compare(ledger, expected)
    assert site.milter.is_running()


def test_a_map_of_milters_says_whose_mail_is_rewritten(site):
    ledger = site.ledger()
    expected = {}
    for address, line in (("192.0.2.7", here("adam")), ("192.0.2.8", ADAM),
                          ("192.0.2.9", here("adam"))):
        with connect(site, "some", xclient={"addr": address}) as client:
            expected[send(ledger, client, ["adam@acme.example"])] = (address, [line])
    compare(ledger, expected)


def test_a_filter_that_brings_all_mail_back_doubles_nothing(site):
    """Its second door should have no_milters. With ours the trace takes it for a loop."""
    ledger = site.ledger()
    with connect(site, "filter second-too") as client:
        ledger_id = send(ledger, client, NAMED)
        bounced = send(ledger, client, ["out@acme.example", "a@pop.acme.example"])
    back = "outside s@outside.example ORCPT=rfc822;s@outside.example FROM=<>"
    compare(ledger, {ledger_id: ("both", [here("bob"), EVE, back]),
                     bounced: ("only", [back])})


def test_1001_recipients(site):
    ledger = site.ledger()
    names = [f"c{n}@acme.example" for n in range(MANY)]
    others = ["adam@acme.example", *(f"r{n}@outside.example" for n in range(MANY - 2)),
              "bob@acme.example"]
    ids = []
    for door, addresses, last in (("ours", names, "250 2.1.5"), ("limit", others, "452 4.5.3")):
        with connect(site, door, xclient={"addr": "192.0.2.250"}) as client:
            ledger_id = ledger.new_id()
            replies = client.pipeline([f"MAIL FROM:<{SENDER}>"] + [
                f"RCPT TO:<{address}>" for address in addresses])
            assert [r.status for r in replies[1:]] == ["250 2.1.5"] * (MANY - 1) + [last]
            assert client.data(ledger.message(ledger_id, SENDER, ["x@y.example"])).ok
        ids.append(ledger_id)
    compare(ledger, dict(zip(ids, [
        ("ours", [f"pop c{n}@pop.acme.example ORCPT=rfc822;c{n}@acme.example"
                  for n in range(MANY)]),
        ("limit", ["pop a@pop.acme.example ORCPT=rfc822;adam@acme.example"]
         + [f"outside {address} ORCPT=rfc822;{address}" for address in others[1:-1]])])))
