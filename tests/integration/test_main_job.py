"""The main job: a real Postfix does what a real directory says, and goes on doing it."""

import json
import pwd
import time

import pytest

from support.ldif import (CONTAINERS, change, connector, connector_dn, custom, domain, domain_dn,
                          group, mailbox, person_dn)
from support.ledger import At, Refused
from support.policyd import MapClient, PolicyClient
from support.postfix import coexist_settings
from support.wait import FACTOR, free_port, wait_for

SENDER = "sue@outside.example"
UNKNOWN = Refused("550 5.1.1")


def organisation(site):
    """acme.example is shared with the system `other`; pop.example is somebody else's."""
    return "".join([
        domain("acme.example", "shared", forwardHost="other"),
        connector("other", site.sinks["other"].hop),
        connector("pop", site.sinks["pop"].hop, addressSpace="SMTP:pop.example"),
        mailbox("plain", "plain@acme.example"),
        mailbox("red", "red@acme.example", altRecipient=person_dn("red-pop"),
                proxyAddress="smtp:red.head@acme.example"),
        custom("red-pop", "SMTP:red@pop.example"),
        mailbox("ginger", "ginger@acme.example", altRecipient=person_dn("red-pop")),
        mailbox("copied", "copied@acme.example", altRecipient=person_dn("copied-pop"),
                deliverAndRedirect="TRUE"),
        custom("copied-pop", "SMTP:copied@pop.example"),
        custom("eve", "SMTP:eve@acme.example", "eve@acme.example"),
        group("staff", "staff@acme.example", ["plain", "red", "eve"]),
    ])


@pytest.fixture(scope="module", params=["ldap", "ldif"])
def site(make_module_site, request):
    def ldif(made):
        return (CONTAINERS if request.param == "ldif" else "") + organisation(made)
    return make_module_site(source=request.param, sinks=("other", "pop"), ldif=ldif)


@pytest.fixture
def ldap_site(make_site):
    return make_site(sinks=("other", "pop"), ldif=organisation)


FATES = {
    "plain@acme.example": At("mailboxes", "plain@acme.example"),
    "red@acme.example": At("pop", "red@pop.example"),
    "copied@acme.example": At("mailboxes", "copied@acme.example", "pop", "copied@pop.example"),
    "nobody@acme.example": UNKNOWN,
    "eve@acme.example": At("other", "eve@acme.example"),
}


def send(site, ledger, fates, sender=SENDER, xclient=None, **options):
    with site.connect(xclient=xclient) as client:
        return ledger.send(client, sender, fates, **options)


def test_one_transaction_reaches_each_its_place(site):
    ledger = site.ledger()
    send(site, ledger, FATES)
    ledger.balance()


def test_each_alone_reaches_its_place_too(site):
    ledger = site.ledger()
    for address, fate in FATES.items():
        send(site, ledger, {address: fate})
    ledger.balance()


def test_two_paths_to_one_target_deliver_once(site):
    ledger = site.ledger()
    send(site, ledger, {
        "red@acme.example": At("pop", "red@pop.example"),
        "RED.head@Acme.Example": At("pop", "red@pop.example"),
        "ginger@acme.example": At("pop", "red@pop.example"),
        "staff@acme.example": At("pop", "red@pop.example", "mailboxes", "plain@acme.example",
                                 "other", "eve@acme.example"),
        "plain@acme.example": At("mailboxes", "plain@acme.example"),
    })
    ledger.balance()


def test_all_spellings_of_a_redirected_recipient_leave_the_mailbox_alone(site):
    ledger = site.ledger()
    send(site, ledger, {spelling: At("pop", "red@pop.example") for spelling in (
        "red@acme.example", "RED@acme.example", '"red"@acme.example', "red@ACME.example",
        "red+folder@acme.example", "red@acme.example.")})
    ledger.balance()


def test_an_extension_stays_with_the_mailbox(site):
    ledger = site.ledger()
    send(site, ledger, {
        "plain+list@acme.example": At("mailboxes", "plain+list@acme.example"),
        "copied+list@acme.example": At("mailboxes", "copied+list@acme.example",
                                       "pop", "copied@pop.example")})
    ledger.balance()


def test_mail_that_is_not_ours_is_left_alone(site):
    ledger = site.ledger()
    send(site, ledger, {"x@elsewhere.example": Refused("554 5.7.1")})
    send(site, ledger, {"x@elsewhere.example": At("outside", "x@elsewhere.example")},
         xclient={"addr": "192.0.2.250"})
    ledger.balance()


def test_the_log_says_what_became_of_a_recipient_and_why(site):
    ledger = site.ledger()
    send(site, ledger, {a: FATES[a] for a in ("red@acme.example", "copied@acme.example",
                                              "plain@acme.example")})
    ledger.balance()
    for name, action in (("red", "redirect"), ("copied", "copy")):
        line = (rf"coexist-milter: [0-9A-F]{{6,}}: to=<{name}@pop\.example>, "
                rf"orig_to=<{name}@acme\.example>, action={action}, "
                rf'object="{person_dn(name)}", rule=altRecipient$')
        assert site.milter.log_lines(line), site.milter.log_text()[-2000:]
    assert not site.milter.log_lines("orig_to=<plain@acme.example>")


def test_local_submission_is_rewritten_too(site):
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    fates = {a: f for a, f in FATES.items() if f is not UNKNOWN}
    ledger.expect(ledger_id, *fates.values())
    site.postfix.sendmail(["-i", "-f", SENDER, *fates], ledger.message(ledger_id, SENDER, fates))
    ledger.balance()


def test_a_bounce_names_the_address_the_sender_wrote(site):
    rule = site.sinks["pop"].refuse("red@pop.example")
    ledger = site.ledger()
    try:
        ledger_id, _ = send(site, ledger, {"red@acme.example": At("outside", SENDER,
                                                                  kind="bounce")})
        ledger.balance()
    finally:
        site.sinks["pop"].rules.remove(rule)
    bounce = ledger.messages(ledger_id, "outside")[0]
    assert b"\r\nOriginal-Recipient: rfc822;red@acme.example\r\n" in bounce.body


def test_a_redirect_carries_the_senders_dsn_wishes(site):
    ledger = site.ledger()
    ledger_id, _ = send(
        site, ledger,
        {"red@acme.example": At("pop", "red@pop.example"),
         "copied@acme.example": FATES["copied@acme.example"]},
        mail_params="RET=HDRS ENVID=abc",
        rcpt_params={"red@acme.example": "NOTIFY=FAILURE,DELAY ORCPT=rfc822;old+2Bred@x.example"})
    ledger.balance()
    delivered = {r.address: r.args for m in ledger.messages(ledger_id, "pop")
                 for r in m.recipients}
    assert delivered["red@pop.example"]["ORCPT"] == "rfc822;old+2Bred@x.example"
    assert set(delivered["red@pop.example"]["NOTIFY"].split(",")) == {"FAILURE", "DELAY"}
    assert delivered["copied@pop.example"] == {"NOTIFY": "NEVER",
                                               "ORCPT": "rfc822;copied@acme.example"}
    assert {m.args["ENVID"] for m in ledger.messages(ledger_id, "pop")} == {"abc"}


def test_maps_say_what_postfix_does(site):
    other, mailboxes = site.sinks["other"].hop, site.sinks["mailboxes"].hop
    for key, name, value in (
            ("plain@acme.example", "transport", mailboxes),
            ("eve@acme.example", "transport", other),
            ("red@pop.example", "transport", site.sinks["pop"].hop),
            ("x@elsewhere.example", "transport", ""),
            ("*", "transport", ""),
            ("acme.example", "domains", None),
            ("acme.example", "mailbox_domains", None),
            ("acme.example", "relay_domains", ""),
            ("pop.example", "domains", ""),
            ("red.head+x@acme.example", "recipients", None),
            ("nobody@acme.example", "recipients", "")):
        code, found = site.postfix.postmap(key, name)
        assert (code, bool(found)) == ((1, False) if value == "" else (0, True)), (name, key)
        assert value in (None, found), (name, key)


def test_many_at_once_are_one_each(site):
    """Many connections at once, each with the five kinds of recipients."""
    ledger = site.ledger()
    clients = [site.connect() for _ in range(20)]
    try:
        for _ in range(5):
            for client in clients:
                ledger.send(client, SENDER, FATES)
    finally:
        for client in clients:
            client.close()
    ledger.balance()


class Follower:
    """Asks again until the directory's change shows, and says how long that took."""

    def __init__(self, site):
        self.site = site
        self.probes = 0

    def status(self, address):
        # A new sender each time: smtpd keeps what it resolved for a pair of addresses.
        self.probes += 1
        return self.site.rcpt_status(address, sender=f"probe{self.probes}@outside.example")

    def follows(self, address, status):
        changed = time.monotonic()
        wait_for(lambda: self.status(address) == status,
                 lambda: f"{address} to get {status}: {self.status(address)}", interval=0.005)
        took = time.monotonic() - changed
        assert took < FACTOR, f"{address}: {took:.2f} s"


def test_the_next_rcpt_follows_ldapadd_ldapmodify_and_ldapdelete(ldap_site):
    site, slapd = ldap_site, ldap_site.slapd
    follower = Follower(site)
    assert follower.status("new@acme.example") == "550 5.1.1"
    slapd.add(mailbox("new", "new@acme.example"))
    follower.follows("new@acme.example", "250 2.1.5")

    slapd.modify(change(person_dn("new"), ("add", "proxyAddress", "smtp:newer@acme.example"),
                        ("add", "parked", "TRUE")))
    follower.follows("newer@acme.example", "450 4.2.1")
    slapd.modify(change(person_dn("new"), ("delete", "parked"),
                        ("replace", "mail", "newest@acme.example")))
    follower.follows("new@acme.example", "550 5.1.1")
    assert follower.status("newer@acme.example") == "250 2.1.5"
    assert follower.status("newest@acme.example") == "250 2.1.5"

    slapd.delete(person_dn("new"))
    follower.follows("newer@acme.example", "550 5.1.1")
    assert follower.status("newest@acme.example") == "550 5.1.1"


def test_a_way_that_was_broken_is_open_to_the_connection_that_met_it(ldap_site):
    """smtpd keeps what the transport map said for as long as it lives, errors too."""
    site, slapd = ldap_site, ldap_site.slapd
    slapd.add(mailbox("far", "far@acme.example", homeServer="nosuch")
              + mailbox("twin", "twin@acme.example") + mailbox("twin2", "twin2@acme.example",
                                                       proxyAddress="smtp:twin@acme.example"))
    wait_for(lambda: site.resolve("far@acme.example")[0] == site.resolve(
        "twin@acme.example")[0] == 75, "both to be broken")
    with site.connect() as client:
        assert client.mail(SENDER).ok
        for address in ("far@acme.example", "twin@acme.example"):
            assert client.rcpt(address).status == "451 4.3.5"
        slapd.modify(change(person_dn("far"), ("replace", "homeServer", "other")))
        slapd.delete(person_dn("twin2"))
        for address in ("far@acme.example", "twin@acme.example"):
            wait_for(lambda a=address: client.rcpt(a).status == "250 2.1.5",
                     f"{address} to be taken")


def test_mail_waits_where_its_way_is_broken(make_site):
    site = make_site(sinks=("other", "pop"), ldif=organisation,
                     settings={"transport_retry_time": "1s"})
    slapd = site.slapd
    slapd.add(mailbox("far", "far@acme.example", homeServer="other"))
    site.wait_rcpt("far@acme.example", "250 2.1.5")
    ledger = site.ledger()
    with site.connect() as client:
        assert client.mail(SENDER).ok and client.rcpt("far@acme.example").ok
        slapd.modify(change(person_dn("far"), ("replace", "homeServer", "nosuch")))
        wait_for(lambda: site.resolve("far@acme.example")[0] == 75, "the way to be broken")
        ledger_id = ledger.new_id()
        ledger.expect(ledger_id, At("other", "far@acme.example"))
        assert client.data(ledger.message(ledger_id, SENDER, ["far@acme.example"])).ok
    wait_for(lambda: site.postfix.log_lines("to=<far@acme.example>.*status=deferred"),
             "the mail to be deferred")
    slapd.modify(change(person_dn("far"), ("replace", "homeServer", "other")))
    wait_for(lambda: site.resolve("far@acme.example")[0] == 0, "the way to be mended")
    # qmgr asks for one address no more than once in 30 s, if for none in between.
    send(site, ledger, {"plain@acme.example": At("mailboxes", "plain@acme.example")})
    site.postfix.flush()
    ledger.balance()


def test_mail_follows_an_alternate_recipient_that_is_set_and_taken_away(ldap_site):
    site, slapd = ldap_site, ldap_site.slapd
    ledger = site.ledger()
    send(site, ledger, {"plain@acme.example": At("mailboxes", "plain@acme.example")})
    for operations, fate in (
            ([("add", "altRecipient", person_dn("red-pop"))], At("pop", "red@pop.example")),
            ([("add", "deliverAndRedirect", "TRUE")],
             At("pop", "red@pop.example", "mailboxes", "plain@acme.example")),
            ([("delete", "altRecipient"), ("delete", "deliverAndRedirect")],
             At("mailboxes", "plain@acme.example"))):
        slapd.modify(change(person_dn("plain"), *operations))
        wanted = {d.address for d in fate.deliveries}
        wait_for(lambda: {d["address"] for d in site.resolve("plain@acme.example")[1]
                          ["deliveries"]} == wanted, "the change", deadline=FACTOR)
        send(site, ledger, {"plain@acme.example": fate})
    ledger.balance()


def test_mail_follows_a_rename(ldap_site):
    site, slapd = ldap_site, ldap_site.slapd
    ledger = site.ledger()
    follower = Follower(site)
    # Of a recipient: its addresses stay, and references to it still hold.
    slapd.rename(person_dn("red-pop"), "uid=red-pop3")
    slapd.rename(person_dn("plain"), "uid=simple")
    slapd.add(mailbox("marker", "marker@acme.example"))
    follower.follows("marker@acme.example", "250 2.1.5")
    # refint's repair of the reference is not replicated: syncd must find it (451 until then).
    site.wait_rcpt("red@acme.example", "250 2.1.5")
    send(site, ledger, FATES)
    # Of a domain: with it all its addresses.
    slapd.add(domain("one.example", "authoritative")
              + mailbox("uno", "uno@one.example", proxyAddress="smtp:uno@two.example"))
    follower.follows("uno@one.example", "250 2.1.5")
    assert follower.status("uno@two.example") == "554 5.7.1"
    slapd.rename(domain_dn("one.example"), "associatedDomain=two.example")
    follower.follows("uno@two.example", "250 2.1.5")
    # "not ours any more" is only heard by smtpds that have not asked before: they keep
    # relay_domains for life. The map itself answers at once.
    assert site.postfix.postmap("one.example", "domains") == (1, "")
    # Of a connector: the domain's coexistForwardHost now names nothing.
    slapd.rename(connector_dn("other"), "cn=elsewhere")
    slapd.modify(change(domain_dn("acme.example"), ("replace", "forwardHost", "elsewhere")))
    slapd.add(mailbox("marker2", "marker2@acme.example"))
    follower.follows("marker2@acme.example", "250 2.1.5")
    send(site, ledger, FATES)
    ledger.balance()


def test_mail_goes_on_without_slapd_and_without_its_daemons(ldap_site):
    site = ldap_site
    ledger = site.ledger()
    send(site, ledger, FATES)
    before = site.ctl("dump").stdout
    site.slapd.kill()
    send(site, ledger, FATES)
    for daemon in site.daemons:
        daemon.kill()
    for daemon in site.daemons:
        daemon.start()
    assert site.ctl("dump").stdout == before
    send(site, ledger, FATES)
    ledger.balance()
    # And it follows again when slapd is back.
    site.slapd.start()
    site.slapd.add(mailbox("back", "back@acme.example"))
    site.wait_rcpt("back@acme.example", "250 2.1.5")
    send(site, ledger, {"back@acme.example": At("mailboxes", "back@acme.example"), **FATES})
    ledger.balance()


def test_a_crash_in_the_middle_loses_and_invents_nothing(ldap_site):
    """All daemons die between RCPT and DATA: a temporary failure, and no mail."""
    site = ldap_site
    ledger = site.ledger()
    with site.connect() as client:
        assert client.mail(SENDER).ok
        assert client.rcpt("red@acme.example").ok
        for daemon in site.daemons:
            daemon.kill()
        reply = client.data(ledger.message(ledger.new_id(), SENDER, ["red@acme.example"]))
        assert reply.status[:3] == "451", reply
    for daemon in site.daemons:
        daemon.start()
    send(site, ledger, FATES)
    ledger.balance()


def test_without_a_replica_everything_is_temporary(make_site):
    site = make_site(start=False, sinks=("other", "pop"), ldif=organisation)
    site.policyd.start()
    site.milter.start()
    site.postfix.start()
    assert site.rcpt_status("plain@acme.example").startswith("451 4.3")
    sockets = f"unix:{site.postfix.queue}/coexist"
    with PolicyClient(f"{sockets}/policy") as policy:
        for context in ("relay", "recipient", ""):
            for recipient in ("plain@acme.example", "x@elsewhere.example"):
                action = policy.ask(recipient=recipient, client_address="192.0.2.1",
                                    policy_context=context)
                assert action.startswith("451 4.3.0 "), (context, recipient, action)
    with MapClient(f"{sockets}/map") as maps:
        assert maps.ask("transport", "*") == "NOTFOUND "
        for name, key in (("transport", "plain@acme.example"), ("domains", "acme.example"),
                          ("mailbox_domains", "acme.example"), ("relay_domains", "acme.example"),
                          ("recipients", "plain@acme.example"), ("login", "plain@acme.example"),
                          ("primary", "plain@acme.example")):
            assert maps.ask(name, key).startswith("TEMP "), name
    # The milter alone, where Postfix asks nobody else.
    site.postfix.set(smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination",
                     smtpd_recipient_restrictions="", relay_domains="acme.example",
                     transport_maps="")
    wait_for(lambda: site.rcpt_status("plain@acme.example") == "451 4.3.0",
             lambda: site.rcpt_status("plain@acme.example"))
    # With the replica all of it comes to life.
    site.syncd.start()
    site.wait_rcpt("plain@acme.example", "250 2.1.5")


def test_two_users_swap_addresses_and_nobody_sees_a_mixture(make_site):
    """
    Two mailboxes exchange their addresses in one transaction, again and again for 30 s. A
    list that names both addresses (one decision, one snapshot) must always come to both
    people, once each; and each address alone to one of the two.
    """
    def ldif(flipped):
        a, b = ("b", "a") if flipped else ("a", "b")
        return CONTAINERS + domain("acme.example", "authoritative") \
            + connector("pop", pop.hop, addressSpace="SMTP:pop.example") \
            + mailbox("adam", f"{a}@acme.example", altRecipient=person_dn("pop-adam")) \
            + mailbox("bea", f"{b}@acme.example", altRecipient=person_dn("pop-bea")) \
            + custom("pop-adam", "adam@pop.example") + custom("pop-bea", "bea@pop.example") \
            + group("both", "both@acme.example",
                    memberAddress=["a@acme.example", "b@acme.example"])

    site = make_site(source="ldif", sinks=("pop",), start=False)
    pop = site.sinks["pop"]
    site.write_ldif(ldif(False))
    site.start()
    ledger = site.ledger()
    both = At("pop", "adam@pop.example", "pop", "bea@pop.example")
    flipped, seen, flips = False, [], 0
    end = time.monotonic() + 30
    with site.connect() as client:
        while time.monotonic() < end or flips < 5:
            done = site.ctl("resolve", "--json", "-", stdin="both@acme.example\na@acme.example\n")
            targets = [[d["address"] for d in json.loads(line)["deliveries"]]
                       for line in done.stdout.splitlines()]
            assert sorted(targets[0]) == ["adam@pop.example", "bea@pop.example"], done.stdout
            assert len(targets[1]) == 1 and targets[1][0] in targets[0], done.stdout
            if not seen or seen[-1] != targets[1][0]:
                seen.append(targets[1][0])
                flipped = not flipped
                flips += 1
                site.write_ldif(ldif(flipped))
            ledger.send(client, SENDER, {"both@acme.example": both})
    ledger.balance()


@pytest.mark.parametrize("transport", ["chrooted", "tcp"])
def test_chrooted_and_over_tcp(make_site, transport):
    """Debian chroots smtpd: the sockets lie below the queue folder. TCP must be as good."""
    options = {"chroot": True}
    if transport == "tcp":
        policy, maps, milter = (f"inet:127.0.0.1:{free_port()}" for _ in range(3))
        options = {"settings": coexist_settings(policy, maps, milter),
                   "listeners": {"policy": policy, "map": maps, "milter": milter}}
    site = make_site(sinks=("other", "pop"), ldif=organisation, **options)
    ledger = site.ledger()
    for _ in range(3):
        send(site, ledger, FATES)
    ledger.balance()


def test_daemons_give_up_root(make_site):
    site = make_site(sinks=("other", "pop"), ldif=organisation, user="nobody")
    for daemon in site.daemons:
        with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
            ids = dict(line.split(":\t", 1) for line in status.read().splitlines() if ":\t" in line)
        nobody = str(pwd.getpwnam("nobody").pw_uid)
        assert ids["Uid"].split() == [nobody] * 4, daemon.name
        assert "0" not in ids["Gid"].split() + ids["Groups"].split(), daemon.name
    ledger = site.ledger()
    send(site, ledger, FATES)
    site.slapd.add(mailbox("new", "new@acme.example"))
    site.wait_rcpt("new@acme.example", "250 2.1.5")
    for daemon in site.daemons:
        daemon.restart()
    send(site, ledger, {"new@acme.example": At("mailboxes", "new@acme.example"), **FATES})
    ledger.balance()
