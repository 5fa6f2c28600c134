"""
A real Sendmail with `enforce = true`, set up with what `coexistctl sendmail` prints: who may
relay and by which tricks not, notifications, what Sendmail itself is final for, and what
happens when a part is down. Scenarios A and F are in test_sendmail_scenarios.py.
"""

import pytest
from test_relay_certificates import Authority
from test_relay_tricks import FORBIDDEN, PERMITTED, SENDERS, TRICKS, attempt, directory

from support.daemons import coexistctl
from support.ldif import CONTAINERS, connector, custom, domain, group, mailbox, person_dn
from support.ledger import At, Bounced, Refused
from support.sendmail import HOST
from support.srs_site import jump, let_jump, reconfigure
from support.wait import wait_for

SENDER = "sue@outside.example"
STRANGER = {"addr": "192.0.2.7"}
PERMITTED_CLIENT = {"addr": "198.51.100.7"}
OUTSIDE = "x@elsewhere.example"


NO_MAILER = {
    "strange": "uucp:oldhost",
    "hosts": "smtp:[127.0.0.1],[127.0.0.2]",
    "names": "relay:one.example,two.example",
    "zero": "smtp:[127.0.0.1]:0",
    "large": "lmtp:[127.0.0.1]:65536",
}


def organisation(made):
    pop = made.sinks["pop"].hop
    return CONTAINERS + "".join([
        domain("acme.example", "shared"),
        domain("pop.example", "relay", forwardHost=pop),
        domain("off.example", "shared", enabled="FALSE"),
        connector("clients", relayClient=["198.51.100.0/24", "!198.51.100.66"]),
        mailbox("adam", "adam@acme.example"),
        mailbox("eve", "eve@acme.example", relayAllowed="FALSE"),
        mailbox("fay", "fay@acme.example", _uid="fay+er"),
        mailbox("moved", "moved@acme.example", forwardingAddress="moved@pop.example",
                proxyAddress="smtp:m=v+d@acme.example"),
        mailbox("both", "both@acme.example", forwardingAddress="both@pop.example",
                deliverAndRedirect="TRUE"),
        mailbox("board", "board@acme.example", requireAuth="TRUE"),
        mailbox("abroad", "abroad@acme.example", forwardingAddress="r\u00e9d@pop.example"),
        mailbox("udomain", "udomain@acme.example", forwardingAddress="u@b\u00fccher.example"),
        group("team", "team@acme.example", ["adam", "moved", "both"]),
        # Same address, other host, and those that Sendmail has no mailer for.
        custom("there", "SMTP:there@acme.example", "there@acme.example", homeServer="pop"),
        connector("pop", pop),
        *(served_by(name, hop) for name, hop in NO_MAILER.items()),
    ])


def served_by(name, hop):
    return mailbox(f"at-{name}", f"{name}@acme.example", homeServer=name) + connector(name, hop)


A_LABELS = "xn--bcher-kva.example"


@pytest.fixture(scope="module")
def site(make_module_sendmail_site):
    return make_module_sendmail_site(
        source="ldif", ldif=organisation, sinks=("pop",), complaint="uucp:oldhost",
        mta={"local": ["local.example"], "aliases": "here: adam@acme.example\n",
             "users": {"adam": "right"}})


def adam(*more):
    return At("mailboxes", "adam@acme.example", *more)


@pytest.mark.parametrize("who, status", [
    (STRANGER, "550 5.7.1"),                    # Sendmail says so
    ({"addr": "198.51.100.66"}, "550 5.7.1"),
    ({}, "554 5.7.1"),                          # Sendmail lets itself; the milter does not
    ({"login": "eve"}, "554 5.7.1"),
    ({"login": "eve", **PERMITTED_CLIENT}, "550 5.7.1"),
    ({"login": "mallory", **STRANGER}, "550 5.7.1"),
    (PERMITTED_CLIENT, "250 2.1.5"),
    ({"login": "adam", **STRANGER}, "250 2.1.5"),
    ({"login": "adam", "addr": "198.51.100.66"}, "250 2.1.5"),
    ({"login": "fay+er", **STRANGER}, "250 2.1.5"),
    ({"login": "adam@acme.example", **STRANGER}, "250 2.1.5"),
])
def test_the_directory_says_who_may_relay(site, who, status):
    ledger = site.ledger()
    with site.connect(xclient=who) as client:
        ledger.send(client, SENDER, {
            "adam@acme.example": adam(),
            "nobody@acme.example": Refused("550 5.1.1"),
            OUTSIDE: At("outside", OUTSIDE) if status[0] == "2" else Refused(status)})
    ledger.balance()


def test_what_needs_smtputf8_is_refused_as_sendmail_has_none(site):
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        assert "SMTPUTF8" not in client.ehlo().text
        ledger.send(client, SENDER, {"abroad@acme.example": Refused("550 5.6.7"),
                                     "udomain@acme.example": At("outside", f"u@{A_LABELS}")})
    ledger.balance()


def test_host_user_is_no_route(site):
    """Of strangers, to domains of ours."""
    for typed in ("acme.example!adam", '"acme.example!moved"', "x.example!y@pop.example"):
        assert site.rcpt_status(typed, xclient=STRANGER) == "550 5.7.1", typed


def test_who_must_own_the_sender_says_so_here_too(site):
    with open(site.conf, encoding="utf-8") as file:
        conf = file.read()
    reconfigure(site, "enforce_sender = true\n" + conf)
    login = {"login": "adam", **STRANGER}
    try:
        for who, sender, status in (
                (login, SENDER, "553 5.7.1"), (login, "eve@acme.example", "553 5.7.1"),
                (login, "Adam+x@acme.example", "250 2.1.5"), (login, "", "250 2.1.5"),
                (STRANGER, SENDER, "250 2.1.5")):
            assert site.rcpt_status("adam@acme.example", sender=sender, xclient=who) == status, sender
    finally:
        reconfigure(site, conf)


def test_a_wrong_password_is_no_login(site):
    with site.connect() as client:
        assert client.auth("adam", "wrong").code == 535
        assert client.mail(SENDER).ok and client.rcpt(OUTSIDE).status == "554 5.7.1"


def test_closed_recipients_take_mail_of_those_who_may_relay(site):
    assert site.rcpt_status("board@acme.example", xclient=STRANGER) == "550 5.7.1"
    for who in (PERMITTED_CLIENT, {"login": "eve", **STRANGER}):
        assert site.rcpt_status("board@acme.example", xclient=who) == "250 2.1.5", who


def test_what_the_directory_does_not_take_is_refused_with_its_reply(site):
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {
            "x@off.example": Refused("451 4.3.2"), "adam@acme.example": adam(),
            "IMCEAMS-a+zz@acme.example": Refused("501 5.1.3"),
            "board@acme.example": Refused("550 5.7.1")})
    ledger.balance()


def envelope(message):
    return (message.sender, {k: v for k, v in message.args.items() if k in ("RET", "ENVID")},
            [(r.address, r.args) for r in message.recipients])


ORCPT = "ORCPT=rfc822;old+2Bname@before.example"
UTF8 = r"ORCPT=utf-8;j\x{F6}s@before.example"

NOTIFICATIONS = [
    ("moved@acme.example", f"NOTIFY=SUCCESS,FAILURE {ORCPT}", {
        "pop": [("moved@pop.example", {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": ORCPT[6:]})]}),
    ("Moved@acme.example", "NOTIFY=NEVER", {
        "pop": [("moved@pop.example", {"NOTIFY": "NEVER", "ORCPT": "rfc822;Moved@acme.example"})]}),
    ("m=v+d@acme.example", "NOTIFY=NEVER", {
        "pop": [("moved@pop.example", {"NOTIFY": "NEVER",
                                       "ORCPT": "rfc822;m+3Dv+2Bd@acme.example"})]}),
    ("moved@acme.example", f"NOTIFY=FAILURE {UTF8}", {
        "pop": [("moved@pop.example", {"NOTIFY": "FAILURE", "ORCPT": UTF8[6:]})]}),
    ("both@acme.example", f"NOTIFY=SUCCESS {ORCPT}", {
        "mailboxes": [("both@acme.example", {"NOTIFY": "SUCCESS", "ORCPT": ORCPT[6:]})],
        "pop": [("both@pop.example", {"NOTIFY": "NEVER", "ORCPT": ORCPT[6:]})]}),
    ("team@acme.example", f"NOTIFY=SUCCESS,DELAY {ORCPT}", {
        "mailboxes": [("adam@acme.example", {"NOTIFY": "DELAY", "ORCPT": ORCPT[6:]}),
                      ("both@acme.example", {"NOTIFY": "DELAY", "ORCPT": ORCPT[6:]})],
        "pop": [("both@pop.example", {"NOTIFY": "NEVER", "ORCPT": ORCPT[6:]}),
                ("moved@pop.example", {"NOTIFY": "DELAY", "ORCPT": ORCPT[6:]})]}),
]


@pytest.mark.parametrize("recipient, params, wanted", NOTIFICATIONS)
def test_what_is_rewritten_keeps_what_the_sender_asked_for(site, recipient, params, wanted):
    ledger = site.ledger()
    fate = At(*[word for sink, recipients in wanted.items() for address, _ in recipients
                for word in (sink, address)])
    with site.connect(xclient=STRANGER) as client:
        ledger_id, _ = ledger.send(client, SENDER, {recipient: fate}, "RET=HDRS ENVID=e+2B1",
                                   {recipient: params})
    ledger.balance()
    for sink, recipients in wanted.items():
        found = []
        for message in ledger.messages(ledger_id, sink):
            sender, args, there = envelope(message)
            assert sender == SENDER and args == {"RET": "HDRS", "ENVID": "e+2B1"}
            found += there
        assert sorted(found, key=str) == recipients


def test_a_bounce_names_the_address_that_the_sender_wrote(site):
    ledger = site.ledger()
    undo = site.sinks["pop"].refuse("moved@pop.example")
    with site.connect(xclient=STRANGER) as client:
        ledger_id, _ = ledger.send(client, SENDER, {
            "moved@acme.example": Bounced("outside", SENDER)})
    ledger.balance()
    site.sinks["pop"].rules.remove(undo)
    bounce, = [m for m in site.sinks["outside"].snapshot()
               if ledger_id.encode() in m.data and m.sender == ""]
    assert b"\r\nOriginal-Recipient: rfc822;moved@acme.example\r\n" in bounce.data


def test_a_failing_copy_bounces_to_nobody(site):
    ledger = site.ledger()
    undo = site.sinks["pop"].refuse("both@pop.example")
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {"both@acme.example": At("mailboxes", "both@acme.example")})
    ledger.balance()
    site.sinks["pop"].rules.remove(undo)


def test_the_same_address_on_another_host(site):
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {
            "there@acme.example": At("pop", "there@acme.example"),
            "There+x@acme.example": At("pop", "There+x@acme.example"),
            "x@pop.example": At("pop", "x@pop.example"),
            "adam@acme.example": adam()})
    ledger.balance()


def test_sendmail_judges_those_it_is_final_for(site):
    """A domain that only Sendmail knows, and addresses without one."""
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {
            "here@local.example": adam(),
            "postmaster": At("outside", "pm@outside.example"),
            f"here@{HOST}": adam(),
            "nosuch@local.example": Refused("550 5.1.1"),
            "nosuch": Refused("550 5.1.1")})
    ledger.balance()


def test_sendmail_has_the_mailboxes_of_a_shared_domain(make_sendmail_site):
    """
    No mailbox_transport, and the domain in class w: its users are Sendmail's own, those of the
    other system are the directory's.
    """
    site = make_sendmail_site(
        source="ldif", sinks=("pop",), mailbox_transport="",
        mta={"local": ["acme.example"], "aliases": "adam: adam@inner.example\n"
             "own: own@inner.example\n"},
        ldif=lambda made: CONTAINERS + "".join([
            domain("acme.example", "shared"),
            connector("pop", made.sinks["pop"].hop),
            mailbox("adam", "adam@acme.example"),
            custom("far", "SMTP:far@acme.example", "far@acme.example", homeServer="pop"),
            mailbox("moved", "moved@acme.example", altRecipient=person_dn("far"),
                    deliverAndRedirect="FALSE")]))
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {
            "adam@acme.example": At("outside", "adam@inner.example"),
            "own@acme.example": At("outside", "own@inner.example"),
            "far@acme.example": At("pop", "far@acme.example"),
            "nosuch@acme.example": Refused("550 5.1.1"),
            "victim%elsewhere.example@acme.example": Refused("550 5.7.1")})
    ledger.balance()


def test_a_next_hop_that_sendmail_has_no_mailer_for_waits(site):
    """It is told when the settings are printed, or is a port that came later."""
    said = site.ctl("sendmail").stderr.splitlines()
    for hop in NO_MAILER.values():
        assert sum(f" cannot use the next hop {hop}: mail for it will wait" in s for s in said) == 1
    assert len(said) == len(NO_MAILER), said
    site.write_ldif(organisation(site) + served_by("later", "relay:[127.0.0.1]:2599"))
    site.wait_rcpt("later@acme.example", "250 2.1.5", xclient=STRANGER)
    waiting = [f"{name}@acme.example" for name in (*NO_MAILER, "later")]
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        assert client.mail(SENDER).ok and all(client.rcpt(each).ok for each in waiting)
        assert client.data(ledger.message(ledger.new_id(), SENDER, waiting)).ok
    for each in waiting:
        line = f"to=<?{each}>?.* mailer=coexistwait,.* stat=queued"
        wait_for(lambda l=line: site.postfix.log_lines(l), site.postfix.log_text)
    assert site.postfix.queued()
    site.postfix.empty_queue()


def test_where_a_senders_own_mail_would_go_does_not_matter(site):
    """Sendmail resolves senders too: one without a way is none the worse for it."""
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        for sender in ("strange@acme.example", "nosuch@acme.example", "there@acme.example"):
            ledger_id, _ = ledger.send(client, sender, {"adam@acme.example": adam()})
            ledger.balance()
            assert ledger.messages(ledger_id, "mailboxes")[0].sender == sender


def test_with_a_part_down_mail_waits(make_sendmail_site):
    site = make_sendmail_site(start=False, source="ldif", sinks=("pop",), ldif=organisation,
                              complaint="uucp:oldhost")
    let_jump(site, site.policyd)
    site.start()
    site.postfix.expected = 'socket map "|Milter .*error state'
    # The directory is old, to the maps alone: who may relay may, until it is too old for that;
    # who may not may have been entered since.
    for age, permitted, other in ((8 * 86400, "451 4.3.0", "451 4.3.0"),
                                  (7200, "250 2.1.5", "451 4.3.0"), (0, "250 2.1.5", "550 5.7.1")):
        jump(site, age)
        for who, status in ((PERMITTED_CLIENT, permitted), ({"login": "adam", **STRANGER}, permitted),
                            ({"login": "mallory", **STRANGER}, other)):
            assert site.rcpt_status(OUTSIDE, xclient=who) == status, (age, who)
    ledger = site.ledger()
    # Accepted while the sinks are down; the maps are down when it is tried again.
    down = [lambda stage, address, message: "421 4.3.2 down" if stage == "CONNECT" else None]
    for sink in site.sinks.values():
        sink.rules += down
    with site.connect(xclient=PERMITTED_CLIENT) as client:
        ledger.send(client, "adam@acme.example", {
            "adam@acme.example": adam(), "there@acme.example": At("pop", "there@acme.example"),
            OUTSIDE: At("outside", OUTSIDE)})
    site.policyd.stop()
    for sink in site.sinks.values():
        sink.rules.clear()
    site.postfix.flush()
    assert site.rcpt_status("adam@acme.example", xclient=STRANGER) == "451 4.3.0"
    assert site.rcpt_status(OUTSIDE, xclient=PERMITTED_CLIENT) == "451 4.3.0"
    site.policyd.start()
    site.wait_rcpt("adam@acme.example", "250 2.1.5", xclient=STRANGER)
    ledger.balance()
    site.milter.stop()
    with site.connect(xclient=PERMITTED_CLIENT) as client:
        assert client.mail(SENDER).status.startswith("451 4.")


@pytest.fixture
def authority(folder):
    """Makes certificates; that of the server is there."""
    made = Authority(folder)
    made.make_root("ca")
    made.make("server")
    return made


def test_a_certificate_lets_relay(make_sendmail_site, authority):
    """Sendmail knows fingerprints as SHA-256 because it is told to."""
    contexts = {name: authority.make(name) for name in ("listed", "unlisted")}
    extra = "".join(f"define(`conf{option}', `{authority.path(name, end)}')dnl\n"
                    for option, name, end in (("SERVER_CERT", "server", "pem"),
                                              ("SERVER_KEY", "server", "key"),
                                              ("CACERT", "ca", "pem")))
    site = make_sendmail_site(
        source="ldif", mta={"extra": f"{extra}define(`confCACERT_PATH', `{authority.folder}')dnl"},
        ldif=CONTAINERS + domain("acme.example", "shared") + connector(
            "clients", relayCertificate=authority.fingerprint("listed")))
    ledger = site.ledger()
    for name, fate in (("listed", At("outside", OUTSIDE)), ("unlisted", Refused("550 5.7.1"))):
        with site.connect(xclient=STRANGER) as client:
            client.starttls(contexts[name])
            ledger.send(client, SENDER, {OUTSIDE: fate})
    ledger.balance()


SETUPS = {"as-printed": "", "relaying-for-all": "define(`_PROMISCUOUS_RELAY_', 1)dnl"}


@pytest.fixture(scope="module", params=list(SETUPS))
def gateway(make_module_sendmail_site, request):
    return make_module_sendmail_site(
        source="ldif", ldif=directory, sinks=("pop", "legacy", "gateway"),
        mta={"extra": SETUPS[request.param]})


def is_ascii(trick):
    return isinstance(trick, str) and trick.isascii()


@pytest.mark.parametrize("who, column", [
    (FORBIDDEN["stranger"], 1), (STRANGER, 1), (FORBIDDEN["refused-network"], 1),
    (FORBIDDEN["forbidden-login-in-permitted-network"], 1), (FORBIDDEN["unknown-login"], 1),
    (PERMITTED["permitted-network"], 2), (PERMITTED["permitted-login-from-refused-network"], 2)])
def test_no_trick_makes_it_relay(gateway, who, column):
    """Sendmail refuses more of them than Postfix; what it takes ends where it may."""
    ledger = gateway.ledger()
    # Without SMTPUTF8 it takes eight bits for a domain of somebody's.
    tricks = [row for row in TRICKS if column == 1 or is_ascii(row[0])]
    complaints = []
    with gateway.connect(xclient=who) as client:
        for number, row in enumerate(tricks):
            sender = SENDERS[number % len(SENDERS)]
            complaint = attempt(client, ledger, sender, row[0], row[column])
            if complaint and not complaint.split(": ", 1)[1].startswith("Reply(code=5"):
                complaints.append(complaint)
    assert not complaints, "\n".join(complaints)
    ledger.balance()
