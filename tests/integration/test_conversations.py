"""
SMTP conversations that take turns: no message knows anything of the one before it, and what was
decided at RCPT is what is done at the end of the message (SPEC section 6).
"""

import ssl

import pytest

from support.envelopes import compare
from support.ldif import CONTAINERS, custom, domain, group, mailbox, person_dn
from support.tls import make_certificate
from support.wait import wait_for

SENDER = "s@outside.example"


def directory(site, is_late=False):
    to_pop = person_dn("pop")
    both = person_dn("pop2")
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        custom("pop", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
        custom("pop2", "SMTP:b@pop.acme.example", mail="b@pop.acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=to_pop),
        mailbox("board", "board@acme.example", requireAuth="TRUE", altRecipient=to_pop),
        mailbox("ring", "ring@acme.example", altRecipient=person_dn("ring")),
        mailbox("dave", "dave@acme.example"),
        *([mailbox("carl", "carl@acme.example")] if not is_late else []),
        # These change between RCPT and the end of the message.
        mailbox("bob", "bob@acme.example", altRecipient=both if is_late else None),
        mailbox("eve", "eve@acme.example", altRecipient=None if is_late else both),
        mailbox("moves", "moves@acme.example", altRecipient=to_pop if is_late else both),
        group("all", "all@acme.example", [], memberAddress=[
            "dave@acme.example", "adam@acme.example" if is_late else "eve@acme.example"]),
    ])


@pytest.fixture(name="site", scope="module")
def _site(make_module_site, module_folder):
    certificate, key = make_certificate(module_folder, None, "gw", "DNS:gw.gateway.example")
    return make_module_site(source="ldif", sinks=("pop",), ldif=directory, settings={
        "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate,
        "smtpd_tls_key_file": key, "message_size_limit": "20000"},
        services=["tlsmgr unix - - n 1000? 1 tlsmgr"])


def here(name, written="", more=""):
    return f"mailboxes {name}@acme.example {more}ORCPT=rfc822;{written or name}@acme.example"


def pop(name, written, more=""):
    return f"pop {name}@pop.acme.example {more}ORCPT=rfc822;{written}@acme.example"


ADAM = pop("a", "adam")


class Conversation:
    """A connection, and what must have come of its messages."""

    def __init__(self, client, ledger):
        self.client = client
        self.ledger = ledger
        self.expected = {}

    def say(self, *lines_and_statuses):
        """A command, its status, a command, its status..."""
        for line, status in zip(lines_and_statuses[::2], lines_and_statuses[1::2]):
            assert self.client.command(line).status == status, line

    def begin(self, *words, sender=SENDER, mail="", status="250 2.1.5"):
        self.say(f"MAIL FROM:<{sender}> {mail}".rstrip(), "250 2.1.0")
        for word in words:
            name, _, arguments = word.partition(" ")
            self.say(f"RCPT TO:<{name}@acme.example> {arguments}".rstrip(), status)

    def text(self, *lines):
        """A message of which these are the envelopes."""
        ledger_id = self.ledger.new_id()
        self.expected[ledger_id] = (f"message {len(self.expected)}", list(lines))
        return self.ledger.message(ledger_id, SENDER, ["x@y.example"])

    def end(self, *lines, status="250 2.0.0"):
        assert self.client.data(self.text(*lines)).status == status

    def chunks(self, text, size=100, is_last=True):
        """BDAT (RFC 3030)."""
        data = text.replace("\n", "\r\n").encode()
        parts = [data[at:at + size] for at in range(0, len(data), size)]
        return [b"BDAT %d%s\r\n%s" % (len(part), b" LAST" * (is_last and at == len(parts) - 1), part)
                for at, part in enumerate(parts)]


@pytest.fixture(name="talk")
def _talk(site):
    with site.connect() as client:
        talk = Conversation(client, site.ledger())
        yield talk
    compare(talk.ledger, talk.expected)


def test_nothing_of_a_message_is_left_for_the_next(talk):
    talk.begin("adam NOTIFY=SUCCESS ORCPT=rfc822;first@old.example", mail="RET=HDRS ENVID=e1")
    talk.end("pop a@pop.acme.example NOTIFY=SUCCESS ORCPT=rfc822;first@old.example "
             "RET=HDRS ENVID=e1")
    talk.begin("adam")
    talk.end(ADAM)
    talk.begin("adam", "eve", "dave")
    talk.say("RSET", "250 2.0.0")
    talk.begin("dave")
    talk.end(here("dave"))
    talk.begin(sender="other@outside.example")
    talk.say("RSET", "250 2.0.0")
    talk.begin("adam")
    talk.end(ADAM)
    talk.begin("adam")
    assert talk.client.ehlo().ok  # ends the transaction, too
    talk.say("DATA", "503 5.5.1")
    talk.begin("dave")
    talk.end(here("dave"))
    talk.begin("adam")
    assert talk.client.command("HELO again").ok
    talk.begin("dave")
    talk.end(here("dave"))


def test_what_postfix_refuses_disturbs_no_message(talk):
    talk.say(f"MAIL FROM:<{SENDER}> SIZE=99999999", "552 5.3.4",
             "RCPT TO:<adam@acme.example>", "503 5.5.1",
             "RSET", "250 2.0.0")  # until then Postfix remembers the size
    talk.begin("dave")
    talk.say("MAIL FROM:<other@outside.example>", "503 5.5.1",
             "RCPT TO:<ring@acme.example>", "550 5.4.6",
             "RCPT TO:<nobody@acme.example>", "550 5.1.1",
             "RCPT TO:<adam@acme.example> NOTIFY=SOMETIMES", "501 5.5.4",
             "VRFY adam@acme.example", "502 5.5.1", "NOOP", "250 2.0.0", "XYZZY", "500 5.5.2")
    talk.end(here("dave"))
    talk.begin("ring", status="550 5.4.6")
    talk.say("DATA", "554 5.5.1")
    talk.say("RSET", "250 2.0.0")
    talk.begin("adam", "eve")
    assert talk.client.data(talk.text() + "x" * 900 + "\n" * 20000).status == "552 5.3.4"
    talk.begin("dave")
    talk.end(here("dave"))


def test_bdat_and_pipelining(talk):
    talk.begin("adam", "dave")
    for chunk in talk.chunks(talk.text(ADAM, here("dave"))):
        talk.client.send(chunk)
        assert talk.client.read().ok
    # Half of one, and a new start.
    talk.begin("adam")
    talk.client.send(talk.chunks(talk.text(), is_last=False)[0])
    assert talk.client.read().ok
    talk.say("RSET", "250 2.0.0")
    # Four messages in one go.
    lines = []
    for words, found in ((["adam"], [ADAM]), (["ring", "dave"], [here("dave")]),
                         (["eve"], None), (["dave", "all"], [here("dave"), pop("b", "all")])):
        lines.append(f"MAIL FROM:<{SENDER}>\r\n".encode())
        lines += [f"RCPT TO:<{word}@acme.example>\r\n".encode() for word in words]
        lines += talk.chunks(talk.text(*found), 10000) if found else [b"RSET\r\n"]
    talk.client.send(b"".join(lines))
    codes = [talk.client.read().code for _ in lines]
    assert codes == [250] * 3 + [250, 550, 250, 250] + [250] * 3 + [250] * 4


def test_who_the_client_is_may_change_in_between(talk):
    client = talk.client
    talk.begin("dave")
    talk.say("RCPT TO:<board@acme.example>", "550 5.7.1")
    talk.say("RSET", "250 2.0.0")
    client.xclient(login="dave")
    talk.begin("board")
    talk.end(pop("a", "board"))
    client.xclient(login="[UNAVAILABLE]")
    talk.begin("dave")
    talk.say("RCPT TO:<board@acme.example>", "550 5.7.1")
    # TLS in the middle of a message ends it.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client.starttls(context)
    talk.say("DATA", "503 5.5.1")
    talk.begin("adam")
    talk.say("RCPT TO:<board@acme.example>", "550 5.7.1")
    talk.end(ADAM)


def test_what_was_decided_at_rcpt_is_done_whatever_changes(site, talk):
    names = ["bob", "eve", "moves", "carl", "all"]
    talk.begin(*names, "adam")
    site.write_ldif(directory(site, is_late=True))
    wait_for(lambda: site.rcpt_status("carl@acme.example") == "550 5.1.1", "the change")
    talk.end(here("bob"), here("carl"), here("dave", "all"), ADAM,
             # Three ways to it: the first redirect.
             pop("b", "eve"))
    talk.begin(*names[:3], "all")
    talk.say("RCPT TO:<carl@acme.example>", "550 5.1.1")
    talk.end(pop("b", "bob"), here("eve"), pop("a", "moves"), here("dave", "all"))
