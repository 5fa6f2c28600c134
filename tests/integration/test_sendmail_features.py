"""
What else a Sendmail has, beside Coexist: its own checks (access table, delayed), macros that are
not sent by default, odd addresses, IPv6, local submission and its queue, SRS, a filter that dies.
"""

import base64
import os
import re

import pytest

from support.ledger import At, Bounced, Refused
from support.ldif import CONTAINERS, connector, custom, domain, group, mailbox
from support.smtp import Client
from support.srs import write_secret
from support.wait import free_port, wait_for

SENDER = "sue@outside.example"
STRANGER = {"addr": "192.0.2.7"}
LISTED = {"addr": "192.0.2.66"}  # in the access table
PERMITTED_CLIENT = {"addr": "198.51.100.7"}
OUTSIDE = "x@elsewhere.example"
SRS = "srs.acme.example"
OF_SUE = re.compile(r"SRS0=[A-Za-z0-9+/]{4}=[A-Z2-7]{2}=outside\.example=sue@srs\.acme\.example")

ACCESS = """\
Connect:192.0.2.66\tREJECT
To:blocked@acme.example\tREJECT
From:bad@outside.example\tREJECT
"""

# Of the macros none but "j" is sent unless the milter asks for it.
EXTRA = """\
FEATURE(`delay_checks')dnl
FEATURE(`blocklist_recipients')dnl
define(`confMILTER_MACROS_CONNECT', `j')dnl
define(`confMILTER_MACROS_HELO', `j')dnl
define(`confMILTER_MACROS_ENVFROM', `j')dnl
define(`confMILTER_MACROS_ENVRCPT', `j')dnl
define(`confMILTER_MACROS_DATA', `j')dnl
define(`confMILTER_MACROS_EOM', `j')dnl
DAEMON_OPTIONS(`Port={port}, Family=inet6, Addr=::1, Name=MTA6')dnl"""


def organisation(made):
    pop = made.sinks["pop"].hop
    return CONTAINERS + "".join([
        domain("acme.example", "shared"),
        connector("pop", pop),
        connector("clients", relayClient=["198.51.100.0/24", "::1"]),
        mailbox("adam", "adam@acme.example"),
        mailbox("blocked", "blocked@acme.example"),
        mailbox("eve", "eve@acme.example", relayAllowed="FALSE"),
        mailbox("moved", "moved@acme.example", forwardingAddress="moved@outside.example"),
        group("team", "team@acme.example", ["adam", "moved"]),
        mailbox("refused", "refused@acme.example", forwardingAddress="refused@outside.example"),
        mailbox("both", "both@acme.example", forwardingAddress="both@outside.example",
                deliverAndRedirect="TRUE"),
        custom("blank", 'SMTP:"far away"@acme.example', '"far away"@acme.example',
               homeServer="pop"),
        custom("paren", 'SMTP:"f(a,b"@acme.example', '"f(a,b"@acme.example', homeServer="pop"),
        custom("quote", r'SMTP:"f\"a"@acme.example', "quote@acme.example", homeServer="pop"),
        custom("comma", 'SMTP:"x, y"@outside.example', "comma@acme.example"),
        custom("pipe", 'SMTP:"|x y"@outside.example', "pipe@acme.example"),
        custom("route", 'SMTP:"x:y;z<q>"@outside.example', "route@acme.example"),
    ])


def make(make_site, **options):
    port = free_port()
    site = make_site(
        start=False, source="ldif", ldif=organisation, sinks=("pop",),
        mta={"users": {"adam": "right", "eve": "right", "mallory": "right"}, "access": ACCESS,
             "local": ["local.example"],
             "aliases": "staff: comma@acme.example, team@acme.example\n",
             "extra": EXTRA.format(port=port)}, **options)
    site.port6 = port
    return site


def srs_section(site, hop):
    write_secret(f"{site.folder}/srs.secret", "one secret")
    return f"""srs {{
  enable = true
  domain = "{SRS}"
  secret_file = "{site.folder}/srs.secret"
  {hop}
}}"""


@pytest.fixture(name="site", scope="module")
def _site(make_module_sendmail_site):
    return make(make_module_sendmail_site, sections=lambda site: srs_section(
        site, f'hop = "coexist-srs:[127.0.0.1]:{free_port()}"')).start()


def adam(*more):
    return At("mailboxes", "adam@acme.example", *more)


@pytest.mark.parametrize("who, sender, recipient, status", [
    (STRANGER, SENDER, "adam@acme.example", "250 2.1.5"),
    (STRANGER, SENDER, "nobody@acme.example", "550 5.1.1"),
    (STRANGER, SENDER, OUTSIDE, "550 5.7.1"),
    # The access table says no: by recipient, by sender, by client.
    (STRANGER, SENDER, "blocked@acme.example", "553 5.3.0"),
    (STRANGER, "bad@outside.example", "adam@acme.example", "553 5.3.0"),
    (LISTED, SENDER, "adam@acme.example", "553 5.3.0"),
    (LISTED, SENDER, OUTSIDE, "550 5.7.1"),
    # Who may relay is spared what is delayed, whomever he writes to, but not what is blocked.
    ({"login": "adam", **LISTED}, SENDER, "adam@acme.example", "250 2.1.5"),
    ({"login": "adam", **LISTED}, "bad@outside.example", OUTSIDE, "250 2.1.5"),
    ({"login": "adam", **LISTED}, SENDER, "blocked@acme.example", "553 5.3.0"),
    ({"login": "eve", **LISTED}, SENDER, "adam@acme.example", "553 5.3.0"),
])
def test_sendmails_own_checks_stay(site, who, sender, recipient, status):
    assert site.rcpt_status(recipient, sender=sender, xclient=who) == status


@pytest.mark.parametrize("name, may", [("adam", True), ("eve", False), ("mallory", False)])
def test_a_login_is_who_gave_the_password(site, name, may):
    """RFC 4616: one may ask to act as somebody else."""
    word = base64.b64encode(f"adam\0{name}\0right".encode()).decode()
    with site.connect(xclient=STRANGER) as client:
        assert client.command(f"AUTH PLAIN {word}").ok
        assert client.mail(SENDER, "AUTH=adam").ok
        assert client.rcpt(OUTSIDE).status == ("250 2.1.5" if may else "550 5.7.1")


def test_a_login_that_is_only_claimed_is_none(site):
    with site.connect(xclient=STRANGER) as client:
        assert client.mail(SENDER, "AUTH=adam").ok
        assert client.rcpt(OUTSIDE).status == "550 5.7.1"


def test_a_client_with_ipv6(site):
    ledger = site.ledger()
    with Client("::1", site.port6) as client:
        ledger.send(client, SENDER, {OUTSIDE: At("outside", OUTSIDE), "adam@acme.example": adam()})
    ledger.balance()


@pytest.mark.parametrize("typed, there", [
    ('"far away"@acme.example', At("pop", '"far away"@acme.example')),
    ('"f(a,b"@acme.example', At("pop", '"f(a,b"@acme.example')),
    ("quote@acme.example", At("pop", r'"f\"a"@acme.example')),
    ("comma@acme.example", At("outside", '"x, y"@outside.example')),
    ("pipe@acme.example", At("outside", '"|x y"@outside.example')),
    ("route@acme.example", At("outside", '"x:y;z<q>"@outside.example')),
])
def test_quoted_addresses_are_one_address(site, typed, there):
    """Sendmail takes what a milter adds for a list, with commas between."""
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {typed: there})
    ledger.balance()


def test_one_message_after_the_other(site):
    """A connection with three messages, two RSET, and one that has no DATA."""
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        assert client.mail(SENDER).ok and client.rcpt("moved@acme.example").ok
        client.reset()
        ledger.send(client, SENDER, {"adam@acme.example": adam()})
        ledger.send(client, SENDER, {"moved@acme.example": At("outside", "moved@outside.example")})
        assert client.mail(SENDER).ok and client.rcpt("both@acme.example").ok
        client.reset()
        ledger.send(client, SENDER, {"nobody@acme.example": Refused("550 5.1.1"),
                                     "adam@acme.example": adam()})
        assert client.mail(SENDER).ok and client.rcpt("moved@acme.example").ok
    ledger.balance()


def test_nobody_is_told_whom_sendmail_knows(site):
    """novrfy and noexpn are printed, and the flags that were there stay."""
    with site.connect(xclient=STRANGER) as client:
        answers = {client.command(f"VRFY {name}").text
                   for name in ("adam@acme.example", "nobody@acme.example", "postmaster", "adam")}
        assert len(answers) == 1 and answers.pop().startswith("2.5.2 ")
        assert client.command("EXPN postmaster").status == "502 5.7.0"
    with open(f"{site.postfix.folder}/sendmail.cf", encoding="utf-8") as made:
        assert "\nO PrivacyOptions=authwarnings,novrfy,noexpn\n" in made.read()


def senders(site, ledger, ledger_id):
    return {name: [m.sender for m in ledger.messages(ledger_id, name)] for name in site.sinks}


def test_forwarded_mail_leaves_with_a_sender_of_ours(site):
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        forwarded, _ = ledger.send(client, SENDER, {
            "moved@acme.example": At("outside", "moved@outside.example")}, "RET=HDRS ENVID=e1")
        # By the hop: the copy here keeps its sender.
        mixed, _ = ledger.send(client, SENDER, {
            "both@acme.example": At("mailboxes", "both@acme.example",
                                    "outside", "both@outside.example")})
    ledger.balance()
    message, = ledger.messages(forwarded, "outside")
    assert OF_SUE.fullmatch(message.sender)
    assert {"RET": "HDRS", "ENVID": "e1"}.items() <= message.args.items()
    found = senders(site, ledger, mixed)
    assert found == {"mailboxes": [SENDER], "outside": found["outside"], "pop": []}
    assert OF_SUE.fullmatch("".join(found["outside"]))

    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, "", {message.sender: At("outside", SENDER)})
        ledger.send(client, SENDER, {message.sender: Refused("550 5.1.1")})
        ledger.send(client, "", {f"SRS0=AAAA=AA=outside.example=sue@{SRS}": Refused("550 5.1.1")})
    ledger.balance()


@pytest.mark.parametrize("sender, there", [
    (SENDER, Bounced("outside", SENDER)),  # rewritten by SRS on its way out, and back
    # Of a mailbox that is here no alternate recipient is looked up: see coexist-milter(8).
    ("moved@acme.example", Bounced("mailboxes", "moved@acme.example")),
    ("comma@acme.example", Bounced("outside", '"x, y"@outside.example')),
    ("adam@acme.example", Bounced("mailboxes", "adam@acme.example")),
])
def test_bounces_of_sendmail_arrive(site, sender, there):
    ledger = site.ledger()
    undo = site.sinks["pop"].refuse('"far away"@acme.example')
    undo_too = site.sinks["outside"].refuse("refused@outside.example")
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, sender, {'"far away"@acme.example': there})
        ledger.send(client, sender, {"refused@acme.example": there})
    ledger.balance()
    site.sinks["pop"].rules.remove(undo)
    site.sinks["outside"].rules.remove(undo_too)


def test_aliases_of_sendmail_lead_to_groups_and_custom_recipients(site):
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {"staff@local.example": At(
            "outside", '"x, y"@outside.example', "outside", "moved@outside.example") + adam()})
    ledger.balance()


def test_what_root_hands_to_the_daemons_own_queue_passes_the_filter(site):
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    ledger.expect(ledger_id, At("outside", "moved@outside.example"), adam())
    done = site.postfix.run(
        ["-Am", "-f", SENDER, "moved@acme.example", "adam@acme.example"],
        ledger.message(ledger_id, SENDER, ["moved@acme.example"]))
    assert done.returncode == 0, done
    ledger.balance()


def submit(site, ledger, recipients, exit_code=0, sender="adam@acme.example"):
    ledger_id = ledger.new_id()
    ledger.expect(ledger_id, *recipients.values())
    site.postfix.sendmail(["-f", sender, *recipients],
                          ledger.message(ledger_id, sender, recipients), exit_code)


def test_mail_of_this_host_passes_the_filter(site):
    """sendmail(1): it can refuse nothing, so that who wrote gets a bounce."""
    ledger = site.ledger()
    submit(site, ledger, {
        "moved@acme.example": At("outside", "moved@outside.example"),
        "both@acme.example": At("mailboxes", "both@acme.example",
                                "outside", "both@outside.example"),
        "nobody@acme.example": Bounced("mailboxes", "adam@acme.example")}, os.EX_NOUSER)
    ledger.balance()


@pytest.mark.parametrize("name, arguments, unknown, foreign", [
    ("submit", [], "250 2.1.5", "250 2.1.5"),       # queued, and then by SMTP to the daemon
    ("sendmail", ["-Am"], "550 5.1.1", "554 5.7.1"),  # a server of its own
])
def test_smtp_on_standard_input(site, name, arguments, unknown, foreign):
    replies = site.postfix.converse(arguments, name, [
        "EHLO localhost", "MAIL FROM:<>", "RCPT TO:<nobody@acme.example>",
        f"RCPT TO:<{OUTSIDE}>", "QUIT"])
    assert [reply[:9] for reply in replies[2:4]] == [unknown, foreign]


def test_no_more_mailers_than_sendmail_has_room_for(make_sendmail_site):
    site = make_sendmail_site(
        start=False, source="ldif", ldif=CONTAINERS + "".join(
            connector(f"c{port}", f"smtp:[127.0.0.1]:{port}") for port in range(2601, 2621)))
    site.syncd.start()
    site.wait_loaded()
    done = site.ctl("sendmail")
    # One is that of the mailboxes.
    assert done.returncode == 0 and done.stderr.count("has room for 25 mailers") == 20 + 1 - 12
    site.postfix.configure(done.stdout)
    assert site.postfix.run(["-bv", "root"]).stderr == ""


def test_a_filter_that_dies_lets_nothing_through(make_sendmail_site):
    """In mid-message, and with mail of this host in the client queue. Here SRS has no hop."""
    site = make(make_sendmail_site, complaint="srs has no hop",
                sections=lambda site: srs_section(site, "")).start()
    site.postfix.expected = "Milter .*(error state|error connecting|read)"
    ledger = site.ledger()
    with site.connect(xclient=STRANGER) as client:
        assert client.mail(SENDER).ok and client.rcpt("moved@acme.example").ok
        site.milter.kill()
        reply = client.data(ledger.message(ledger.new_id(), SENDER, ["moved@acme.example"]))
        assert reply.status.startswith("451 4."), reply
    submit(site, ledger, {"moved@acme.example": At("outside", "moved@outside.example")})
    assert "clientmqueue" in site.postfix.queued()
    site.milter.start()
    site.postfix.run_client_queue()
    ledger.balance()

    undo = site.sinks["outside"].refuse("refused@outside.example")
    with site.connect(xclient=STRANGER) as client:
        ledger.send(client, SENDER, {"refused@acme.example": Bounced("outside", SENDER)})
    ledger.balance()
    site.sinks["outside"].rules.remove(undo)
