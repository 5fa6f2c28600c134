"""
Mail that comes back, further (SPEC section 6, trace): what systems on the way do to its headers,
what makes another message of it, and who is told of whom nothing is left.
"""

import re

import pytest

from support.comeback import SETTINGS, TRACE, headers_of, send_back, send_first
from support.ledger import At
from support.ldif import CONTAINERS, connector, custom, domain, group, mailbox

SENDER = "s@sender.example"
MOST = 8  # deliveries
ALL = ["bob", "adam", "carol"]


def directory(site):
    old = site.sinks["old"]
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        connector("old", old.hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam@acme.example", forwardingAddress="adam@outside.example"),
        mailbox("eve", "eve@acme.example", forwardingAddress="eve@outside.example",
                deliverAndRedirect="TRUE"),
        mailbox("moved", "moved@acme.example", homeServer="old"),
        custom("carol", "SMTP:carol@outside.example", mail="carol@acme.example"),
        custom("odd", "SMTP:odd@outside.example", mail="odd@acme.example",
               proxyAddress="smtp:\"o dd\"@acme.example"),
        custom("odd2", "SMTP:odd2@outside.example", mail="odd2@acme.example",
               proxyAddress="smtp:\"o, dd\"@acme.example"),
        custom("carol2", "SMTP:carol@outside.example", mail="carol2@acme.example"),
        mailbox("eva", "eva@acme.example", forwardingAddress="eva@outside.example"),
        mailbox("iva", "iva@acme.example", forwardingAddress="eva@acme.example"),
        mailbox("fay", "fay@acme.example"),
        group("all", "all@acme.example", ALL),
    ])


@pytest.fixture(name="gw", scope="module")
def _gw(make_module_site):
    return make_module_site(source="ldif", sinks=("old",), ldif=directory,
                            settings=SETTINGS, options=f"max_deliveries = {MOST}")


def here(name):
    return At("mailboxes", f"{name}@acme.example")


def outside(name):
    return At("outside", f"{name}@outside.example")


BOUNCE = At("outside", SENDER, kind="bounce")
CUT = object()


def bounces_of(site, ledger_id):
    return [m for m in site.sinks["outside"].snapshot()
            if m.sender == "" and f"X-Ledger-Id: {ledger_id}\r".encode() in m.body]


# --- Whom nothing is left of ---

def test_each_with_nothing_left_is_named_in_one_bounce(gw):
    """Nobody vanishes for another's sake, and who has something left is not touched."""
    lost = {"Carol@acme.example": "NOTIFY=FAILURE ORCPT=rfc822;c@x",
            "moved@acme.example": "NOTIFY=FAILURE,DELAY",
            '"o dd"@acme.example': "",
            '"o, dd"@acme.example': "",
            "quiet@acme.example": "NOTIFY=NEVER"}
    gw.write_ldif(directory(gw) + custom("quiet", "SMTP:quiet@outside.example",
                                         mail="quiet@acme.example"))
    gw.wait_rcpt("quiet@acme.example", "250 2.1.5")
    ledger_id, message = send_first(gw, list(lost), "old")
    bob = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x"
    assert send_back(gw, ledger_id, {
        **{address: BOUNCE for address in lost}, "bob@acme.example": here("bob"),
        "eve@acme.example": here("eve") + outside("eve")},
        headers_of(message), mail_params="RET=HDRS ENVID=e+2B1",
        rcpt_params={**lost, "bob@acme.example": bob}).ok
    at_bob, = [m for m in gw.sinks["mailboxes"].snapshot()
               if m.header("X-Ledger-Id") == [ledger_id] and "bob@acme.example" in m.addresses]
    taken, = [r for r in at_bob.recipients if r.address == "bob@acme.example"]
    assert (at_bob.sender, at_bob.args["RET"], at_bob.args["ENVID"]) == (SENDER, "HDRS", "e+2B1")
    assert taken.args == {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": "rfc822;b@x"}
    bounce, = bounces_of(gw, ledger_id)
    body = bounce.body.decode()
    assert sorted(re.findall(r"(?m)^Original-Recipient: rfc822;(.+)\r$", body)) == sorted(
        ["c@x", "moved@acme.example", '"o dd"@acme.example', '"o, dd"@acme.example'])
    assert re.findall(r"(?m)^Status: (\S+)\r$", body) == ["5.4.6"] * 4
    assert "Original-Envelope-Id: e+1\r\n" in body
    # A person reads the address too.
    assert "<carol=acme.example@coexist-returned.invalid>" in body
    assert "quiet" not in body.split("Undelivered Message", 1)[0]


def test_what_sendmail_submits_is_bounced_and_the_rest_delivered(gw):
    ledger_id, message = send_first(gw, "carol@acme.example", "outside")
    text = "\n".join(headers_of(message)).replace("\r\n", "\n") + "\n\nHello.\n"
    ledger = gw.ledger()
    ledger.expect(ledger_id, here("bob"), BOUNCE)
    gw.postfix.sendmail(["-f", SENDER, "carol@acme.example", "bob@acme.example"], text)
    ledger.balance()
    ledger.expect(ledger_id, BOUNCE)
    gw.postfix.sendmail(["-f", SENDER, "carol@acme.example"], text)
    ledger.balance()
    assert all(b"Status: 5.4.6" in m.body for m in bounces_of(gw, ledger_id))


# --- What the limit and the directory say of mail that comes back ---

# Seven deliveries.
SEVEN = {"bob@acme.example": here("bob"), "eve@acme.example": here("eve") + outside("eve"),
         "adam@acme.example": outside("adam"), "odd@acme.example": outside("odd"),
         "odd2@acme.example": outside("odd2"), "moved@acme.example": At("old", "moved@acme.example")}


def test_a_bounce_is_none_of_the_deliveries_that_are_limited(gw):
    """Of two with one delivery one becomes a bounce, the other still has it."""
    ledger_id, message = send_first(gw, "carol@acme.example", "outside")
    fates = {"carol@acme.example": BOUNCE, "carol2@acme.example": outside("carol"), **SEVEN}
    with gw.connect() as client:
        assert client.mail(SENDER).ok
        assert {client.rcpt(each).status for each in fates} == {"250 2.1.5"}
        assert client.rcpt("all@acme.example").status == "250 2.1.5"  # nobody else
        assert client.rcpt("fay@acme.example").status == "452 4.5.3"
    assert send_back(gw, ledger_id, fates, headers_of(message)).ok


def test_what_was_accepted_waits_where_the_directory_changes_before_its_end(gw):
    """Now it makes a loop, which is none of this message's, or one delivery too many."""
    ledger_id, message = send_first(gw, "carol2@acme.example", "outside")
    changed = directory(gw).replace("eva@outside.example", "iva@acme.example").replace(
        group("all", "all@acme.example", ALL), group("all", "all@acme.example", [*ALL, "fay"]))
    with gw.connect() as to_loop, gw.connect() as to_many:
        for client, recipients in ((to_loop, ["eva@acme.example"]),
                                   (to_many, [*SEVEN, "all@acme.example"])):
            assert client.mail(SENDER).ok
            assert {client.rcpt(each).status for each in recipients} == {"250 2.1.5"}
        gw.write_ldif(changed)
        try:
            gw.wait_rcpt("eva@acme.example", "550 5.4.6")
            for client in (to_loop, to_many):
                reply = client.data("\r\n".join(headers_of(message)) + "\r\n\r\nHello.\r\n")
                assert reply.status == "451 4.3.0", reply
        finally:
            gw.write_ldif(directory(gw))
            gw.wait_rcpt("eva@acme.example", "250 2.1.5")


# --- What other systems do to headers ---

def in_one_line(line):
    return re.sub(r"\r\n[ \t]", " ", line)


def broken(line):
    """As a system does that counts characters, after another that took the blanks."""
    head, tokens = line.split("o=")
    return head + "o=" + re.sub("(.{17})", r"\1\r\n ", re.sub(r"\s", "", tokens))


def trace_to(change):
    return lambda lines: [change(line) if line.startswith(TRACE) else line for line in lines]


def id_to(change):
    return lambda lines: [change(line) if line.lower().startswith("message-id:") else line
                          for line in lines]


CHANGES = {
    "one line": trace_to(in_one_line),
    "broken within tokens": trace_to(broken),
    "tabs": trace_to(lambda line: line.replace("\r\n ", "\r\n\t").replace(" ", "\t", 3)),
    "other case": trace_to(lambda line: line.replace(TRACE, TRACE.upper())),
    "in front": lambda lines: sorted(lines, key=lambda line: not line.startswith(TRACE)),
    "turned round": lambda lines: lines[::-1],
    "others behind it": lambda lines: lines + [f"X-Other: {n}" for n in range(300)],
    "cut off": trace_to(lambda line: line[:-5] + "..."),
    "id folded": id_to(lambda line: line.replace(": ", ":\r\n   ")),
    "a second id": lambda lines: lines + ["Message-ID: <second@x.example>"],
    "id annotated": id_to(lambda line: line + " (added by x.example)"),
    "a server's mark": lambda lines: ["Resent-From: <a@outside.example>"] + lines,
    "another subject": lambda lines: [re.sub("^Subject:.*", "Subject: Fwd: test", line)
                                      for line in lines],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_known_whatever_is_done_to_its_headers(gw, change):
    ledger_id, message = send_first(gw, ["adam@acme.example", "carol@acme.example",
                                         "eve@acme.example"], "mailboxes")
    lines = change(headers_of(message))
    cut_off = "..." in "".join(lines)
    assert send_back(gw, ledger_id, {
        "adam@acme.example": here("adam"), "carol@acme.example": BOUNCE,
        "eve@acme.example": here("eve") + (outside("eve") if cut_off else At()),
        "bob@acme.example": here("bob")}, lines).ok


def test_a_message_may_get_its_first_id_on_the_way(gw):
    headers = ["From: Sue\n <s@sender.example>", "Date: Sun, 22 Nov 2026 05:32:31 +0000 (UTC)",
               "X-Ledger-Id: {id}"]
    for given in ([], ["Message-ID: <given@outside.example>"]):
        ledger_id, message = send_first(gw, "carol@acme.example", "outside", headers)
        assert not message.header("Message-ID") and "; d=" in message.header(TRACE)[0]
        lines = [line.replace(" (UTC)", "").replace("\r\n <", " <")
                 for line in headers_of(message)]
        fates = {"carol@acme.example": BOUNCE, "bob@acme.example": here("bob")}
        assert send_back(gw, ledger_id, fates, given + lines).ok
        other = [re.sub("^Date: Sun", "Date: Mon", line) for line in lines]
        assert send_back(gw, ledger_id, {"carol@acme.example": outside("carol")}, other).ok
        # Another one that only shares what it lacks.
        assert send_back(gw, ledger_id, {"carol@acme.example": outside("carol")}, [
            line for line in lines if not line.startswith(("From:", "Date:"))]).ok


# --- What makes another message of it ---

def nested(lines):
    """What a person forwards as an attachment, headers and all."""
    return ["From: <c@acme.example>", "Message-ID: <fwd@x>", "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=b", *ledger_line(lines)], "\r\n".join(
        ["--b", "Content-Type: message/rfc822", "", *lines, "", "Hello.", "",
         "--b", "Content-Type: text/plain", *trace_lines(lines), "", *trace_lines(lines),
         "--b--", ""])


def ledger_line(lines):
    return [line for line in lines if line.startswith("X-Ledger-Id")]


def trace_lines(lines):
    return [line for line in lines if line.startswith((TRACE, "Message-ID"))]


def resent(lines):
    return ["Resent-From: <c@acme.example>", "Resent-Date: Mon, 23 Nov 2026 05:32:31 +0000",
            "Resent-To: <a@acme.example>"] + lines


OTHERS = {
    "resent by a person": resent,
    "resent with an id": lambda lines: ["Resent-Message-ID: <again@acme.example>"] + lines,
    "resent twice": lambda lines: ["Resent-Message-ID: <again@acme.example>"] + resent(lines),
    "from a list": lambda lines: lines + ["List-Id: Friends <friends.x.example>"],
    "from a list that gives ids": id_to(lambda line: "Message-ID: <list1@x.example>"),
    "as an attachment": nested,
    "replied to": lambda lines: (["From: <c@acme.example>", "Message-ID: <re@x>",
                                  "In-Reply-To: <x>", *ledger_line(lines)],
                                 "> " + "\r\n> ".join(lines) + "\r\n"),
    "beginning with its headers": lambda lines: (
        ["Message-ID: <new@x>", *ledger_line(lines)], "\r\n".join(lines) + "\r\n\r\nHello.\r\n"),
    "without the trace": lambda lines: [line for line in lines if not line.startswith(TRACE)],
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_is_sent_again_goes_the_whole_way(gw, change):
    """To the same recipients, and comes back from there no second time."""
    everybody = {"adam@acme.example": outside("adam"), "carol@acme.example": outside("carol"),
                 "eve@acme.example": here("eve") + outside("eve"), "bob@acme.example": here("bob"),
                 "all@acme.example": here("bob") + outside("adam") + outside("carol"),
                 "moved@acme.example": At("old", "moved@acme.example")}
    ledger_id, message = send_first(gw, list(everybody), "old")
    changed = change(headers_of(message))
    lines, body = changed if isinstance(changed, tuple) else (changed, "Hello.\r\n")
    before = len(gw.sinks["old"].snapshot())
    assert send_back(gw, ledger_id, everybody, lines, body).ok
    again, = gw.sinks["old"].snapshot()[before:]
    assert len(again.header(TRACE)) == sum(line.startswith(TRACE) for line in lines) + 1
    assert send_back(gw, ledger_id, {
        "adam@acme.example": here("adam"), "carol@acme.example": BOUNCE,
        "moved@acme.example": BOUNCE, "all@acme.example": BOUNCE}, headers_of(again), body).ok


def test_a_bounce_of_a_traced_message_is_no_loop(gw):
    """For a sender who is redirected himself, and was among the recipients."""
    ledger_id, message = send_first(gw, ["eve@acme.example", "carol@acme.example"], "mailboxes")
    report = ["From: MAILER-DAEMON@outside.example", "Message-ID: <bounce@outside.example>",
              "MIME-Version: 1.0", "Content-Type: multipart/report; boundary=b"]
    inner = "\r\n".join(["--b", "Content-Type: message/delivery-status", "", "Action: failed", "",
                         "--b", "Content-Type: message/rfc822", "", *headers_of(message), "",
                         "Hello.", "--b--", ""])
    assert send_back(gw, ledger_id, {
        "eve@acme.example": At("mailboxes", "eve@acme.example", "outside", "eve@outside.example",
                               kind="bounce"),
        "carol@acme.example": At("outside", "carol@outside.example", kind="bounce")},
        report, inner, sender="").ok
    # A loop with the empty sender has nobody to be told; it ends all the same.
    reply = send_back(gw, ledger_id, {"carol@acme.example": At()}, headers_of(message), sender="")
    assert reply.status == "554 5.4.6"


def test_a_replayed_trace_harms_nobody_else(gw):
    """Who has received one can put it into a message of his own, with the same id; that is all."""
    ledger_id, message = send_first(gw, "all@acme.example", "outside")
    assert send_back(gw, ledger_id, {
        "all@acme.example": BOUNCE, "adam@acme.example": here("adam"),
        "moved@acme.example": At("old", "moved@acme.example"),
        "eve@acme.example": here("eve") + outside("eve")}, headers_of(message),
        "Something else.\r\n").ok
