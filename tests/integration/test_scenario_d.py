"""
Q148389: the post offices PO1 and PO2 of the mail network MICROSOFT, joined by the sites A and
B: PO1 -> site A -> site B -> PO2. The connector of A to B has the address space
MS:MICROSOFT/PO2/ (the mailbox left empty: everybody there), that of B to A MS:MICROSOFT/PO1/.
With a replicated directory no connector between sites needs any.
"""

import pytest

from support.ldif import (CONTAINERS, change, connector, connector_dn, custom, domain, mailbox,
                          person_dn)
from support.ledger import At, Bounced, Refused
from support.twosites import DOMAIN, imcea, two_sites, wait_replicated
from support.wait import wait_for

PAULA, ADAM = imcea("po1", "paula"), imcea("po2", "adam")
AT_PAULA, AT_ADAM = At("po1", PAULA), At("siteb.po2", ADAM)
UNKNOWN = Refused("550 5.1.1")


def paula(**attributes):
    return custom("paula", "MS:MICROSOFT/PO1/PAULA", f"paula@{DOMAIN}", **attributes)


def adam(**attributes):
    return custom("adam", "MS:MICROSOFT/PO2/ADAM", f"adam@{DOMAIN}", **attributes)


def received_by(message, site):
    return sum(f"by {site.postfix.name}.gateway.example" in line
               for line in message.header("Received"))


def travels(two, ledger, post_office, sender, recipient, fate, expect_sites=True):
    """Sends one message from a post office; the message as its one recipient has it."""
    with two.post_office(post_office) as client:
        ledger_id, _ = ledger.send(client, sender, {recipient: fate})
    ledger.balance()
    message, = ledger.messages(ledger_id, fate.deliveries[0].sink)
    if expect_sites:
        assert [received_by(message, site) for site in (two.a, two.b)] == [1, 1]
    return message


# Two directories that know nothing of each other: address spaces.

@pytest.fixture
def backbone(make_site, request):
    """A lists PO1's users, and Adam by hand; B those of PO2, as the article has it."""
    two = two_sites(make_site, settings=getattr(request, "param", {}))
    two.a.slapd.add("".join([
        domain(DOMAIN, "shared"),
        two.to_site("siteb", addressSpace="MS:MICROSOFT/PO2/"),
        two.to_post_office("po1", addressSpace="MS:MICROSOFT/PO1/"),
        paula(), adam()]))
    two.b.slapd.add("".join([
        domain(DOMAIN, "shared"),
        two.to_site("sitea", addressSpace="MS:MICROSOFT/PO1/"),
        two.to_post_office("po2", addressSpace="MS:MICROSOFT/PO2/"),
        adam()]))
    return two.start()


@pytest.mark.parametrize("recipient,arrives_as,sender", [
    (f"adam@{DOMAIN}", ADAM, PAULA),
    (ADAM, ADAM, PAULA),
    (imcea("po2", "noone"), imcea("po2", "noone"), imcea("po1", "newcomer")),
], ids=["custom-recipient", "one-off", "wildcard"])
def test_mail_and_its_reply_cross_both_sites(backbone, recipient, arrives_as, sender):
    ledger = backbone.ledger()
    message = travels(backbone, ledger, "po1", sender, recipient, At("siteb.po2", arrives_as))
    reply = travels(backbone, ledger, "po2", arrives_as, message.sender, At("po1", sender))
    assert reply.sender == arrives_as


def test_one_message_for_both_post_offices_and_for_strangers(backbone):
    ledger = backbone.ledger()
    with backbone.post_office("po1") as client:
        ledger.send(client, PAULA, {
            f"adam@{DOMAIN}": AT_ADAM,
            imcea("po2", "eve"): At("siteb.po2", imcea("po2", "eve")),
            # Its own mail is not sent back to it, listed or not.
            imcea("po1", "otto"): UNKNOWN,
            PAULA: Refused("451 4.4.6"),
            "sue@outside.example": At("outside", "sue@outside.example"),
            imcea("po20", "adam"): UNKNOWN,
            f"nobody@{DOMAIN}": UNKNOWN,
        })
    # Who is not a post office or a site reaches only those who are listed.
    with backbone.a.connect() as stranger:
        ledger.send(stranger, "sue@outside.example", {
            f"adam@{DOMAIN}": AT_ADAM, ADAM: AT_ADAM, PAULA: AT_PAULA,
            imcea("po2", "eve"): UNKNOWN})
    ledger.balance()


@pytest.mark.parametrize("backbone", [{
    "sender_canonical_maps": "socketmap:unix:coexist/map:primary"}], indirect=True)
def test_without_replication_a_reply_to_a_listed_sender_fails_until_he_is_listed(backbone):
    ledger = backbone.ledger()
    message = travels(backbone, ledger, "po1", PAULA, ADAM, AT_ADAM)
    assert message.sender == f"paula@{DOMAIN}"  # as site A lists her
    with backbone.post_office("po2") as client:
        ledger.send(client, ADAM, {message.sender: UNKNOWN})
    backbone.b.slapd.add(paula())
    wait_for(lambda: backbone.b.resolve(message.sender)[1]["verdict"] == "deliver", "Paula at B")
    reply = travels(backbone, ledger, "po2", ADAM, message.sender, AT_PAULA)
    assert reply.sender == f"adam@{DOMAIN}"


def test_what_a_post_office_refuses_comes_back_to_the_other(backbone):
    backbone.b.sinks["po2"].refuse(ADAM)
    ledger = backbone.ledger()
    with backbone.post_office("po1") as client:
        ledger.send(client, PAULA, {f"adam@{DOMAIN}": Bounced("po1", PAULA)})
    ledger.balance()


# The route on one side is missing.

def follows(site, address, verdict):
    wait_for(lambda: site.resolve(address, "--client", "192.0.2.12")[1]["verdict"] == verdict,
             lambda: f"{address} to be {verdict} at {site.name}")


def test_with_no_route_back_the_reply_is_refused(backbone):
    backbone.b.slapd.modify(change(connector_dn("sitea"), ("delete", "addressSpace")))
    backbone.b.slapd.add(custom("otto", "MS:MICROSOFT/PO1/OTTO", f"otto@{DOMAIN}"))
    follows(backbone.b, f"otto@{DOMAIN}", "broken")
    ledger = backbone.ledger()
    message = travels(backbone, ledger, "po1", PAULA, ADAM, AT_ADAM)
    with backbone.post_office("po2") as client:
        # Listed at B, and no way to get there: an administrator may mend that.
        ledger.send(client, ADAM, {message.sender: UNKNOWN,
                                   f"otto@{DOMAIN}": Refused("451 4.3.5")})
    ledger.balance()
    backbone.b.slapd.modify(change(connector_dn("sitea"),
                                   ("add", "addressSpace", "MS:MICROSOFT/PO1/")))
    follows(backbone.b, f"otto@{DOMAIN}", "deliver")
    travels(backbone, ledger, "po2", ADAM, message.sender, AT_PAULA)


def test_with_no_route_there_the_mail_is_refused(backbone):
    backbone.a.slapd.modify(change(connector_dn("siteb"), ("add", "enabled", "FALSE")))
    wait_for(lambda: backbone.a.resolve(f"adam@{DOMAIN}")[1]["verdict"] == "broken", "no route")
    ledger = backbone.ledger()
    with backbone.post_office("po1") as client:
        ledger.send(client, PAULA, {imcea("po2", "eve"): UNKNOWN, ADAM: Refused("451 4.3.5"),
                                    f"adam@{DOMAIN}": Refused("451 4.3.5")})
    ledger.balance()


def test_sites_that_each_route_a_post_office_to_the_other_do_not_loop(backbone):
    """B has lost its post office, and takes the whole mail network to be behind A."""
    backbone.b.slapd.modify(
        change(connector_dn("po2"), ("add", "enabled", "FALSE"))
        + change(connector_dn("sitea"), ("replace", "addressSpace", "MS:MICROSOFT/")))
    to_a = f"smtp:[127.0.0.1]:{backbone.a.postfix.port}"
    wait_for(lambda: [d["nexthop"] for d in backbone.b.resolve(ADAM)[1]["deliveries"]] == [to_a],
             "the wrong route")
    ledger = backbone.ledger()
    with backbone.post_office("po1") as client:
        # Whom nobody lists is unknown at B: the sender hears of it.
        ledger.send(client, PAULA, {imcea("po2", "eve"): Bounced("po1", PAULA)})
        ledger.balance()
        # Adam is listed: his mail waits at A.
        ledger.send(client, PAULA, {f"adam@{DOMAIN}": AT_ADAM})
    wait_for(lambda: backbone.a.postfix.log_lines(r"status=deferred .*451 4\.4\.6"),
             "the mail to be turned away")
    assert not backbone.b.postfix.log_lines("status=sent") and not backbone.b.postfix.queued()
    backbone.b.slapd.modify(change(connector_dn("po2"), ("delete", "enabled")))
    backbone.a.postfix.flush()
    ledger.balance()


# One replicated directory: home servers.

@pytest.fixture(params=["home-is-site", "home-is-post-office"])
def replicated(make_site, request):
    """
    No connector between sites has an address space. Either a user's home is the site, and only
    the post office's own connector at that site has one; or it is the post office, for
    which each site has a connector of its own, and there is no address space at all.
    """
    two = two_sites(make_site, replicated=True)
    by_site = request.param == "home-is-site"
    homes = ("sitea", "siteb") if by_site else ("po1", "po2")
    own = {
        two.a: [two.to_post_office("po1", addressSpace="MS:MICROSOFT/PO1/" if by_site else None)],
        two.b: [two.to_post_office("po2", addressSpace="MS:MICROSOFT/PO2/" if by_site else None)],
    }
    if not by_site:
        own[two.a].append(connector("po2", f"smtp:[127.0.0.1]:{two.b.postfix.port}"))
        own[two.b].append(connector("po1", f"smtp:[127.0.0.1]:{two.a.postfix.port}"))
    for site, connectors in own.items():
        site.write_ldif(CONTAINERS + "".join(connectors))
    two.homes = homes
    two.a.slapd.add("".join([
        domain(DOMAIN, "shared"), two.to_site("sitea"), two.to_site("siteb"),
        paula(homeServer=homes[0]), adam(homeServer=homes[1]),
        mailbox("ann", f"ann@{DOMAIN}", homeServer="sitea"),
        mailbox("bea", f"bea@{DOMAIN}", homeServer="siteb")]))
    wait_replicated(two, person_dn("bea"))
    return two.start()


@pytest.mark.parametrize("recipient", [f"adam@{DOMAIN}", ADAM], ids=["listed", "encapsulated"])
def test_a_replicated_directory_needs_no_address_space(replicated, recipient):
    ledger = replicated.ledger()
    message = travels(replicated, ledger, "po1", PAULA, recipient, AT_ADAM)
    travels(replicated, ledger, "po2", ADAM, message.sender, AT_PAULA)
    # A reply to the name in the directory works from either side, too.
    travels(replicated, ledger, "po2", ADAM, f"paula@{DOMAIN}", AT_PAULA)


def test_users_of_both_sites_and_both_post_offices_reach_each_other(replicated):
    ledger = replicated.ledger()
    fates = {
        f"ann@{DOMAIN}": At("mailboxes", f"ann@{DOMAIN}"),
        f"bea@{DOMAIN}": At("siteb.mailboxes", f"bea@{DOMAIN}"),
        f"paula@{DOMAIN}": AT_PAULA, f"adam@{DOMAIN}": AT_ADAM,
        f"nobody@{DOMAIN}": UNKNOWN,
        imcea("po3", "x"): UNKNOWN,
    }
    for site in (replicated.a, replicated.b):
        with site.connect() as client:
            ledger.send(client, "sue@outside.example", fates)
        for address, fate in fates.items():
            with site.connect() as client:
                ledger.send(client, "sue@outside.example", {address: fate})
    ledger.balance()


def test_who_is_added_at_one_site_is_reached_through_the_other(replicated):
    ledger = replicated.ledger()
    new = imcea("po1", "new")
    with replicated.post_office("po2") as client:
        ledger.send(client, ADAM, {f"new@{DOMAIN}": UNKNOWN})
    replicated.b.slapd.add(custom("new", "MS:MICROSOFT/PO1/NEW", f"new@{DOMAIN}",
                                  homeServer=replicated.homes[0]))
    for site in (replicated.a, replicated.b):
        site.wait_rcpt(f"new@{DOMAIN}", "250 2.1.5")
    travels(replicated, ledger, "po2", ADAM, f"new@{DOMAIN}", At("po1", new))
