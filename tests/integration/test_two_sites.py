"""
Two sites share one replicated directory, and each routes to the other by home server, with no
address space. While one of them does not know yet who has moved, mail makes one hop and waits.
"""

import pytest

from support.comeback import TRACE, headers_of, send_back, send_first
from support.ldif import CONTAINERS, change, connector, custom, domain, group, mailbox, person_dn
from support.ledger import At, Bounced, Refused
from support.twosites import DOMAIN, two_sites, wait_replicated
from support.wait import wait_for

SENDER = "sue@outside.example"
UNKNOWN = Refused("550 5.1.1")


def ours(name):
    return f"{name}@{DOMAIN}"


@pytest.fixture
def two(make_site):
    """PO2 stands for an old system of site B, which has some users of acme.example."""
    made = two_sites(make_site, replicated=True)
    made.b.write_ldif(CONTAINERS + connector("old", made.b.sinks["po2"].hop))
    made.a.slapd.add("".join([
        domain(DOMAIN, "shared", forwardHost="old"), made.to_site("sitea"), made.to_site("siteb"),
        mailbox("ann", ours("ann"), homeServer="sitea", proxyAddress=f"smtp:{ours('a.smith')}"),
        mailbox("bea", ours("bea"), homeServer="cn=SiteB,ou=servers,dc=acme,dc=example",
                proxyAddress=f"smtp:{ours('b.jones')}"),
        mailbox("cal", ours("cal"), homeServer="sitea", altRecipient=person_dn("bea")),
        mailbox("both", ours("both"), homeServer="sitea", altRecipient=person_dn("bea"),
                deliverAndRedirect="TRUE"),
        # A custom recipient that site B serves, for its old system and for a mailbox there.
        custom("gil", ours("gil"), ours("gil"), homeServer="siteb"),
        custom("hal", ours("bea"), ours("hal"), homeServer="siteb"),
        custom("lost", ours("lost"), ours("lost"), homeServer="sitec"),
        group("staff", ours("staff"), ["ann", "bea", "gil"]),
    ]))
    wait_replicated(made, "cn=staff,ou=people,dc=acme,dc=example")
    return made.start()


ANN, BEA = At("mailboxes", ours("ann")), At("siteb.mailboxes", ours("bea"))
GIL = At("siteb.po2", ours("gil"))


def send(site, ledger, fates, sender=SENDER):
    with site.connect() as client:
        return ledger.send(client, sender, fates)


def test_either_site_takes_mail_for_both(two):
    ledger = two.ledger()
    fates = {
        ours("ann"): ANN, ours("A.Smith"): ANN, ours("bea"): BEA, ours("B.Jones"): BEA,
        ours("bea+list"): At("siteb.mailboxes", ours("bea+list")),
        ours("cal"): BEA, ours("gil"): GIL, ours("hal"): BEA,
        ours("staff"): ANN + BEA + GIL,
        ours("nobody"): UNKNOWN, ours("lost"): Refused("451 4.3.5"),
    }
    for site in (two.a, two.b):
        send(site, ledger, fates)
        for address, fate in fates.items():
            send(site, ledger, {address: fate})
        # The trace keeps the second site from making the copy once more.
        send(site, ledger, {ours("both"): At("mailboxes", ours("both")) + BEA})
    ledger.balance()


def test_mail_that_comes_back_to_either_site_is_cut(two):
    """What one handed to the other, which handed it to its old system, with the trace of both."""
    ledger_id, message = send_first(two.a, ours("staff"), "siteb.po2", ledger=two.ledger())
    assert message.addresses == [ours("gil")] and len(message.header(TRACE)) == 2
    for site, bea, back in ((two.a, At("outside", "s@sender.example", kind="bounce"), "outside"),
                            (two.b, BEA, "siteb.outside")):
        cut = At(back, "s@sender.example", kind="bounce")
        assert send_back(site, ledger_id, {
            ours("ann"): ANN, ours("bea"): bea, ours("gil"): cut, ours("staff"): cut},
            headers_of(message), ledger=two.ledger()).ok
    users_who_forward_to_each_other_get_it_once(two)


def users_who_forward_to_each_other_get_it_once(two):
    """By a rule of their mailboxes, which keeps the headers."""
    ledger_id, message = send_first(two.a, ours("bea"), "siteb.mailboxes", ledger=two.ledger())
    assert len(message.header(TRACE)) == 1
    ledger = two.ledger()
    assert send_back(two.b, ledger_id, {ours("ann"): ANN}, headers_of(message), ledger=ledger).ok
    at_ann, = ledger.messages(ledger_id, "mailboxes")
    assert len(at_ann.header(TRACE)) == 2
    for fates in ({ours("bea"): At()}, {ours("hal"): At()}):
        assert send_back(two.a, ledger_id, fates, headers_of(at_ann)).status == "554 5.4.6"
    # Whom neither was sent to is not touched.
    assert send_back(two.a, ledger_id, {ours("gil"): GIL}, headers_of(at_ann),
                     ledger=two.ledger()).ok


def test_the_maps_of_each_site_route_to_the_other(two):
    to_b = f"smtp:[127.0.0.1]:{two.b.postfix.port}"
    to_a = f"smtp:[127.0.0.1]:{two.a.postfix.port}"
    for site, ann, bea, gil in (
            (two.a, two.a.sinks["mailboxes"].hop, to_b, to_b),
            (two.b, to_a, two.b.sinks["mailboxes"].hop, two.b.sinks["po2"].hop)):
        for name, hop in (("ann", ann), ("bea", bea), ("gil", gil)):
            assert site.postfix.postmap(ours(name), "transport") == (0, hop)


def hop_of(site, address):
    deliveries = site.resolve(address)[1]["deliveries"]
    return deliveries[0]["nexthop"] if deliveries else None


def follows(site, address, hop):
    wait_for(lambda: hop_of(site, address) == hop,
             lambda: f"{address} to go to {hop} from {site.name}; it goes to "
             f"{hop_of(site, address)}")


def test_who_moves_is_found_at_the_other_site(two):
    ledger = two.ledger()
    send(two.a, ledger, {ours("ann"): ANN})
    ledger.balance()
    two.b.slapd.modify(change(person_dn("ann"), ("replace", "homeServer", "siteb")))
    follows(two.a, ours("ann"), f"smtp:[127.0.0.1]:{two.b.postfix.port}")
    follows(two.b, ours("ann"), two.b.sinks["mailboxes"].hop)
    for site in (two.a, two.b):
        # Another sender: qmgr keeps the last next hop it was told for 30 seconds.
        send(site, ledger, {ours("ann"): At("siteb.mailboxes", ours("ann")), ours("bea"): BEA},
             sender="tom@outside.example")
    ledger.balance()


def test_mail_makes_one_hop_while_each_site_believes_the_user_at_the_other(two):
    """Ann has moved to B, and B's slapd was down: replication is late."""
    two.b.slapd.stop()
    two.a.slapd.modify(change(person_dn("ann"), ("replace", "homeServer", "siteb")))
    follows(two.a, ours("ann"), f"smtp:[127.0.0.1]:{two.b.postfix.port}")
    ledger = two.ledger()
    for site in (two.a, two.b):
        send(site, ledger, {ours("ann"): At("siteb.mailboxes", ours("ann")), ours("bea"): BEA,
                            ours("gil"): GIL})
    for site in (two.a, two.b):
        wait_for(lambda: site.postfix.log_lines(  # pylint: disable=cell-var-from-loop
            rf"to=<{ours('ann')}>.*status=deferred .*said: 451 4\.4\.6"),
            lambda: f"the other site to turn {site.name} away")  # pylint: disable=W0640
    # Nobody took it a second time.
    for site in (two.a, two.b):
        assert not site.postfix.log_lines(rf"to=<{ours('ann')}>.*status=sent")
        assert site.policyd.log_lines("NOQUEUE: reject: .*splitHorizon")
    two.b.slapd.start()
    follows(two.b, ours("ann"), two.b.sinks["mailboxes"].hop)
    for site in (two.a, two.b):
        # Something else to ask for: qmgr keeps the last next hop it was told for 30 seconds.
        send(site, ledger, {ours("bea"): BEA}, sender="tom@outside.example")
    for site in (two.a, two.b):
        site.postfix.flush()
    ledger.balance()
    assert [len(m.header("Received")) for _, m in arrived(two, "ann")] in ([1, 2], [2, 1])


def arrived(two, name):
    return [(sink, m) for sink, s in two.b.sinks.items() for m in s.snapshot()
            if ours(name) in m.addresses]


def test_an_unknown_that_each_site_passes_to_the_other_is_refused(make_site):
    """Two directories that are not one, and the same domain forwarded by both."""
    made = two_sites(make_site)
    for site, other in ((made.a, "siteb"), (made.b, "sitea")):
        site.slapd.add(domain(DOMAIN, "shared", forwardHost=other, unknownRecipient="forward")
                       + made.to_site(other))
    made.a.slapd.add(mailbox("ann", ours("ann")) + custom("both", ours("both"), ours("both")))
    made.b.slapd.add(mailbox("bea", ours("bea")) + custom("both", ours("both"), ours("both")))
    for site in (made.a, made.b):
        site.start()
        site.wait_rcpt(ours("nobody"), "250 2.1.5")
    ledger = made.ledger()
    for site, back in ((made.a, "outside"), (made.b, "siteb.outside")):
        send(site, ledger, {ours("ann"): ANN, ours("bea"): BEA,
                            ours("nobody"): Bounced(back, SENDER)})
    ledger.balance()
    # Whom both list as the other's is no unknown: his mail waits, until one has him.
    send(made.a, ledger, {ours("both"): At("siteb.mailboxes", ours("both"))})
    wait_for(lambda: made.a.postfix.log_lines(r"status=deferred .*said: 451 4\.4\.6"), "B's reply")
    made.b.slapd.modify(change(
        person_dn("both"), ("delete", "objectClass", "coexistCustomRecipient"),
        ("delete", "targetAddress"), ("add", "objectClass", "coexistMailbox")))
    follows(made.b, ours("both"), made.b.sinks["mailboxes"].hop)
    made.a.postfix.flush()
    ledger.balance()


def test_who_is_trusted_at_one_site_is_trusted_at_the_other(two):
    """A site may relay through the other, and so writes to its closed recipients."""
    two.a.slapd.add(mailbox("board", ours("board"), homeServer="sitea", requireAuth="TRUE"))
    for site in (two.a, two.b):
        site.wait_rcpt(ours("board"), "550 5.7.1")
    ledger = two.ledger()
    for site in (two.a, two.b):
        with site.connect(xclient={"login": "ann"}) as client:
            ledger.send(client, ours("ann"), {ours("board"): At("mailboxes", ours("board"))})
    ledger.balance()


def test_a_site_whose_slapd_is_gone_follows_that_of_the_other(make_site):
    made = two_sites(make_site, replicated=True)
    with open(made.a.conf, encoding="utf-8") as conf:
        text = conf.read().replace(f'"{made.a.slapd.uri}"',
                                   f'"{made.a.slapd.uri} {made.b.slapd.uri}"')
    with open(made.a.conf, "w", encoding="utf-8") as conf:
        conf.write(text)
    made.a.slapd.add("".join([
        domain(DOMAIN, "shared"), made.to_site("sitea"), made.to_site("siteb"),
        mailbox("ann", ours("ann"), homeServer="sitea")]))
    wait_replicated(made, person_dn("ann"))
    made.start()
    to_b = f"smtp:[127.0.0.1]:{made.b.postfix.port}"
    for turn in range(2):
        made.a.slapd.kill()
        made.b.slapd.add(mailbox(f"bea{turn}", ours(f"bea{turn}"), homeServer="siteb"))
        made.b.slapd.modify(change(person_dn("ann"), ("replace", "homeServer", "siteb")))
        follows(made.a, ours(f"bea{turn}"), to_b)
        follows(made.a, ours("ann"), to_b)
        made.a.slapd.start()
        wait_replicated(made, person_dn(f"bea{turn}"))
        made.a.slapd.modify(change(person_dn("ann"), ("replace", "homeServer", "sitea")))
        follows(made.a, ours("ann"), made.a.sinks["mailboxes"].hop)
        follows(made.b, ours("ann"), f"smtp:[127.0.0.1]:{made.a.postfix.port}")
    ledger = made.ledger()
    for site in (made.a, made.b):
        send(site, ledger, {ours("ann"): ANN, ours("bea0"): At("siteb.mailboxes", ours("bea0")),
                            ours("bea1"): At("siteb.mailboxes", ours("bea1"))})
    ledger.balance()
    # Both replicas hold the same, however they came by it.
    dumps = [site.ctl("dump").stdout for site in (made.a, made.b)]
    assert dumps[0] == dumps[1] and ours("bea1") in dumps[0]
