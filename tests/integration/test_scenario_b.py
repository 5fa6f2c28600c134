"""
"Scenarios for Coexistence of the POP3 Service in Exchange Server 2003 and Windows Server 2003",
the first one: POP3 users and users of this server in one directory and one SMTP domain. The
POP3 users are mail-enabled accounts with an external address on the POP3 host, whose smart
host is this server. As the article asks, the POP3 host has a mail domain of its own; and
in `same` the same addresses are on both, which the original could not do.
"""

import re

import pytest

from support.ldif import change, connector, custom, domain, domain_dn, mailbox, person_dn
from support.ledger import At, Bounced, Refused
from support.pop3host import POP3_HOST, SETTINGS, Here, Logins, Pop3Host
from support.wait import wait_for

SUE, ELSEWHERE = "sue@outside.example", "x@elsewhere.example"
ADAM, ANN, BOB, FAY, GONE = (f"{name}@acme.example"
                             for name in ("adam", "ann", "bob", "fay", "gone"))
POP3_USERS = {name: f"{name}s secret" for name in ("ann", "bob", "fay")}
USERS = {"adam": "adams secret"}
ANN_THERE, BOB_THERE, FAY_THERE, GONE_THERE = (
    f"{name}@pop.internal.example" for name in ("ann", "bob", "fay", "gone"))
TO_ADAM = At("mailboxes", ADAM)
UNKNOWN = Refused("550 5.1.1")
DENIED = Refused("554 5.7.1")


def pop3_users(there, **attributes):
    """ann, bob, fay, who may not relay, and gone, who is not on the POP3 host (any more)."""
    return "".join(custom(name, f"SMTP:{there(name)}", f"{name}@acme.example", **attributes,
                          **more) for name, more in (
        ("ann", {"_userPassword": POP3_USERS["ann"]}),
        ("bob", {"_userPassword": POP3_USERS["bob"]}),
        ("fay", {"_userPassword": POP3_USERS["fay"], "relayAllowed": "FALSE"}),
        ("gone", {})))


def private_domain(site):
    """The POP3 host is pop.internal.example; a connector leads there."""
    site.add_system(Here(site, USERS))
    site.add_system(Logins(site))
    site.pop3 = site.add_system(Pop3Host(
        site, POP3_USERS, [ANN_THERE, BOB_THERE, FAY_THERE], domain="pop.internal.example"))
    return "".join([
        domain("acme.example", "shared"),
        connector("pop", site.pop3.hop, addressSpace="SMTP:pop.internal.example",
                  peer=POP3_HOST, relayClient=POP3_HOST),
        mailbox("adam", ADAM, _userPassword=USERS["adam"]),
        pop3_users(lambda name: f"{name}@pop.internal.example")])


def same_addresses(site):
    """The POP3 host has addresses of acme.example itself, and gives the others to us."""
    site.add_system(Here(site, USERS))
    site.add_system(Logins(site))
    site.pop3 = site.add_system(Pop3Host(site, POP3_USERS, [ANN, BOB, FAY],
                                         shared="acme.example"))
    return "".join([
        domain("acme.example", "shared"),
        connector("pop", site.pop3.hop, peer=POP3_HOST, relayClient=POP3_HOST),
        mailbox("adam", ADAM, _userPassword=USERS["adam"]),
        pop3_users(lambda name: f"{name}@acme.example", homeServer="pop")])


# The POP3 host's users write as the shared domain.
PRIVATE_SETTINGS = {
    **SETTINGS, "sender_canonical_maps": "socketmap:unix:coexist/map:primary",
    "local_header_rewrite_clients":
        f"permit_inet_interfaces, check_address_map inline:{{{POP3_HOST}=OK}}"}


@pytest.fixture(scope="module")
def private_site(make_module_site):
    made = make_module_site(ldif=private_domain, settings=PRIVATE_SETTINGS)
    made.there = {ANN: ANN_THERE, BOB: BOB_THERE, FAY: FAY_THERE, GONE: GONE_THERE}
    return made


@pytest.fixture(scope="module")
def same_site(make_module_site):
    made = make_module_site(ldif=same_addresses, settings=SETTINGS)
    made.there = {a: a for a in (ANN, BOB, FAY, GONE)}
    return made


@pytest.fixture(params=["private_site", "same_site"])
def site(request):
    return request.getfixturevalue(request.param)


def at_pop3(site, *addresses):
    return At(*(word for a in addresses for word in ("pop", site.there[a])))


def send(site, ledger, fates, sender=SUE, login=None):
    with site.connect(xclient={"addr": "203.0.113.9"}) as client:
        if login:
            assert client.auth(login, {**USERS, **POP3_USERS}[login]).ok
        return ledger.send(client, sender, fates)


def hops(message):
    """The mail servers that a message passed: gw and pop3, in the order of travel."""
    found = [re.search(r"\bby (\w+)\.gateway\.example\b", value)
             for value in reversed(message.header("Received"))]
    return [match.group(1) for match in found if match]


def test_one_domain_serves_the_users_of_both(site):
    """Rows 1.1, 1.3, 1.4, 1.7: and what its users get, they read by POP3."""
    ledger = site.ledger()
    ledger_id, _ = send(site, ledger, {ADAM: TO_ADAM, ANN: at_pop3(site, ANN),
                                       BOB: at_pop3(site, BOB), "nobody@acme.example": UNKNOWN})
    ledger.balance()
    for address, sink, route in ((ADAM, "mailboxes", ["gw"]), (ANN, "pop", ["gw", "pop3"])):
        user = address.split("@")[0]
        message = [m for _, m in site.sinks[sink].read(user)
                   if m.header("X-Ledger-Id") == [ledger_id]][0]
        assert message.sender == SUE and message.header("From") == [f"<{SUE}>"]
        assert address in message.header("To")[0]
        assert hops(message) == route


def test_an_invalid_user_is_refused_and_never_bounced_between_the_systems(site):
    """Row 1.6. The POP3 host's own bounce goes to its user, and no further."""
    ledger = site.ledger()
    send(site, ledger, {"nobody@acme.example": UNKNOWN})
    send(site, ledger, {"nobody@acme.example": UNKNOWN}, sender="")
    sender = site.there[ANN]
    with site.pop3.connect() as client:
        ledger.send(client, sender, {"nobody@acme.example": Bounced("pop", sender)})
        ledger.send(client, "", {"nobody@acme.example": At()})
    ledger.balance()
    for postfix in (site.postfix, site.pop3.postfix):
        assert not postfix.log_lines(r"to=<nobody@acme\.example>.*status=(sent|deferred)")
    assert not site.postfix.log_lines(r"to=<nobody@acme\.example>.*status=")


def test_a_user_that_only_the_directory_knows_is_bounced_to_the_sender(private_site):
    """What the POP3 host refuses goes back to who wrote it, once."""
    site, ledger = private_site, private_site.ledger()
    send(site, ledger, {GONE: Bounced("outside", SUE)})
    send(site, ledger, {GONE: Bounced("mailboxes", ADAM)}, ADAM)
    send(site, ledger, {GONE: Bounced("pop", ANN_THERE)}, ANN)
    send(site, ledger, {GONE: At()}, "")
    ledger.balance()


def test_pop3_users_of_one_host_write_to_each_other_by_the_shared_address(site):
    """
    Row 1.11. By way of the smart host where the POP3 host does not know the domain: back to
    it, and no further.
    """
    ledger = site.ledger()
    with site.pop3.connect() as client:
        ledger_id, _ = ledger.send(client, site.there[ANN], {
            BOB: at_pop3(site, BOB), ADAM: TO_ADAM, FAY: at_pop3(site, FAY)})
    ledger.balance()
    message, = [m for _, m in site.sinks["pop"].read("bob")
                if m.header("X-Ledger-Id") == [ledger_id]]
    assert hops(message) == (["pop3"] if BOB == site.there[BOB] else ["pop3", "gw", "pop3"])


def test_the_pop3_host_relays_through_its_smart_host(site):
    """Row 1.11: its users' mail to the outside; nobody else relays through either."""
    ledger = site.ledger()
    with site.pop3.connect() as client:
        ledger_id, _ = ledger.send(client, site.there[ANN],
                                   {ELSEWHERE: At("outside", ELSEWHERE)})
    ledger_id_2 = ledger.new_id()
    ledger.expect(ledger_id_2, At("outside", ELSEWHERE))
    site.pop3.postfix.sendmail(["-i", "-f", site.there[BOB], ELSEWHERE],
                               ledger.message(ledger_id_2, site.there[BOB], [ELSEWHERE]))
    with site.pop3.postfix.connect() as stranger:
        ledger.send(stranger, SUE, {ELSEWHERE: DENIED})
    send(site, ledger, {ELSEWHERE: DENIED})
    ledger.balance()
    # Users of the other system write as the shared domain.
    for ledger_id, address in ((ledger_id, ANN), (ledger_id_2, BOB)):
        message, = ledger.messages(ledger_id, "outside")
        assert message.sender == address
        assert message.header("From") == [f"<{address}>"]


def test_pop3_clients_log_in_to_send_outside(site):
    """Rows 1.5, 1.9: AUTH PLAIN by Dovecot, against the directory that POP3 uses too."""
    ledger = site.ledger()
    outside = At("outside", ELSEWHERE)
    send(site, ledger, {ELSEWHERE: DENIED, BOB: at_pop3(site, BOB)}, ANN)
    send(site, ledger, {ELSEWHERE: outside, BOB: at_pop3(site, BOB), ADAM: TO_ADAM,
                        "nobody@acme.example": UNKNOWN}, ANN, "ann")
    send(site, ledger, {ELSEWHERE: outside, BOB: at_pop3(site, BOB)}, ADAM, "adam")
    # Logged in, a POP3 client reaches its own mailbox as well.
    ledger_id, _ = send(site, ledger, {ANN: at_pop3(site, ANN)}, ANN, "ann")
    ledger.balance()
    # Row 1.12: the target address is no reply address.
    message, = ledger.messages(ledger_id, "pop")
    assert message.sender == ANN and message.header("From") == [f"<{ANN}>"]


def test_an_account_that_may_not_relay_is_refused(site):
    ledger = site.ledger()
    send(site, ledger, {ELSEWHERE: DENIED, BOB: at_pop3(site, BOB), ADAM: TO_ADAM}, FAY, "fay")
    ledger.balance()
    with site.connect() as client:
        assert client.auth("ann", "fays secret").status == "535 5.7.8"
        # Without a mailbox and a password nobody logs in.
        assert client.auth("gone", "gones secret").status == "535 5.7.8"


def test_users_of_either_system_see_each_other(site):
    """Row 1.8, with an ordinary bind."""
    everybody = {person_dn(name) for name in ("adam", "ann", "bob", "fay", "gone")}
    for name, password in {**USERS, **POP3_USERS}.items():
        bind = (person_dn(name), password)
        found = site.slapd.search("(&(objectClass=inetOrgPerson)(mail=*@acme.example))", "mail",
                                  bind=bind)
        assert set(found) == everybody
        # Others' routes are for reading, the domains and connectors are not.
        assert not site.slapd.search("(|(objectClass=coexistConnector)"
                                     "(objectClass=coexistDomain))", bind=bind)


@pytest.mark.parametrize("name", ["adam", "ann", "fay"])
@pytest.mark.parametrize("operation", [
    ("replace", "relayAllowed", "TRUE"), ("delete", "relayAllowed"),
    ("add", "proxyAddress", "smtp:ceo@acme.example"),
    ("add", "altRecipient", person_dn("bob")),
    ("replace", "targetAddress", f"SMTP:{SUE}"),
    ("add", "forwardingAddress", SUE), ("add", "hideFromAddressLists", "TRUE"),
    ("add", "deliverAndRedirect", "TRUE"), ("replace", "homeServer", "nowhere"),
    ("add", "parked", "TRUE"), ("replace", "requireAuth", "TRUE"),
    ("replace", "mail", "ceo@acme.example"), ("replace", "uid", "ceo"),
], ids=lambda operation: "-".join(operation[:2]))
def test_a_user_cannot_write_what_routes_his_mail(private_site, name, operation):
    slapd = private_site.slapd
    before = slapd.search(base=person_dn(name), scope="base")
    bind = (person_dn(name), {**USERS, **POP3_USERS}[name])
    done = slapd.modify(change(person_dn(name), operation), bind=bind, check=False)
    assert done.returncode == 50, done.stderr  # insufficientAccess
    assert slapd.search(base=person_dn(name), scope="base") == before


def test_each_system_believes_that_a_user_is_on_the_other(make_site):
    """One hop and a temporary failure; the mail is delivered when the directory is mended."""
    site = make_site(ldif=same_addresses, settings=SETTINGS)
    ledger = site.ledger()
    with site.pop3.connect() as client:
        ledger.send(client, ANN, {GONE: At("mailboxes", GONE)})
    wait_for(lambda: site.pop3.postfix.log_lines(
        rf"to=<{GONE}>.*status=deferred .* 451 4\.4\.6 "), "the refusal")
    assert not site.postfix.log_lines(rf"to=<{GONE}>.*status=")
    # He is here, not there.
    site.slapd.modify(change(person_dn("gone"), ("replace", "objectClass", "inetOrgPerson",
                                                 "coexistMailbox"),
                             ("delete", "targetAddress"), ("delete", "homeServer"),
                             ("add", "userPassword", "gones secret")))
    site.sinks["mailboxes"].users["gone"] = "gones secret"
    site.wait_rcpt(GONE, "250 2.1.5")
    site.pop3.postfix.flush()
    ledger.balance()
    assert not site.postfix.log_lines(rf"to=<{GONE}>.*status=bounced")


def test_an_invalid_user_comes_back_once_where_each_system_asks_the_other(make_site):
    """Row 1.6, the loop that the article warns of: each passes on what it does not know."""
    site = make_site(ldif=same_addresses, settings=SETTINGS)
    site.slapd.modify(change(domain_dn("acme.example"), ("add", "unknownRecipient", "forward"),
                             ("add", "forwardHost", "pop")))
    site.wait_rcpt("nobody@acme.example", "250 2.1.5")
    ledger = site.ledger()
    send(site, ledger, {"nobody@acme.example": Bounced("outside", SUE)})
    send(site, ledger, {"nobody@acme.example": Bounced("mailboxes", ADAM), ADAM: TO_ADAM}, ADAM,
         "adam")
    with site.pop3.connect() as client:
        ledger.send(client, ANN, {"nobody@acme.example": Bounced("pop", ANN),
                                  BOB: At("pop", BOB)})
    ledger.balance()
    # From outside and from Adam it went there, and not back; from Ann it did not even come in.
    there = site.postfix.wait_log(r"to=<nobody@acme\.example>.*status=sent", 2)
    back = site.pop3.postfix.wait_log(r"to=<nobody@acme\.example>.*status=", 3)
    assert len(there) == 2 and len(back) == 3
    assert all(re.search("status=bounced .* 550 5.1.1 ", line) for line in back)
