"""
Mail that comes back, further (SPEC section 6, trace): what systems on the way do to its headers,
what makes another message of it, and who is told of whom nothing is left.
"""

import re

import pytest

from support.comeback import SETTINGS, TRACE, headers_of, send_back, send_first
from support.ledger import At
from support.ldif import CONTAINERS, connector, custom, domain, group, mailbox
from support.wait import wait_for

SENDER = "s@sender.example"


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
        group("all", "all@acme.example", ["bob", "adam", "carol"]),
    ])


@pytest.fixture(name="gw", scope="module")
def _gw(make_module_site):
    return make_module_site(source="ldif", sinks=("old",), ldif=directory,
                            settings=SETTINGS)


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
        ["c@x", "moved@acme.example", '"o dd"@acme.example'])
    assert re.findall(r"(?m)^Status: (\S+)\r$", body) == ["5.4.6"] * 3
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
