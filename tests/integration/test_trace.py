"""
Mail that comes back (SPEC section 6, trace): cut at the first return, with nobody else touched; a
header that is forged, copied or too old does nothing.
"""

import json
import os
import re
import time

import pytest

from support.comeback import TRACE, headers_of, send_back, send_first
from support.ledger import At
from support.ldif import CONTAINERS, connector, custom, domain, group_of_names, mailbox
from support.wait import free_port, wait_for


def directory(site):
    old = site.sinks["old"]
    return CONTAINERS + "".join([
        domain("acme.example", "shared", forwardHost=old.hop, unknownRecipient="forward"),
        connector("old", old.hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam@acme.example", forwardingAddress="adam@outside.example"),
        mailbox("eve", "eve@acme.example", forwardingAddress="eve@outside.example",
                deliverAndRedirect="TRUE"),
        mailbox("moved", "moved@acme.example", homeServer="old"),
        custom("carol", "SMTP:carol@outside.example", mail="carol@acme.example"),
        custom("tobob", "SMTP:bob@acme.example", mail="tobob@acme.example"),
        group_of_names("all", "all@acme.example", ["bob", "adam"]),
    ])


@pytest.fixture(name="gw", scope="module")
def _gw(make_module_site):
    return make_module_site(source="ldif", sinks=("old",), ldif=directory,
                            milter=f'metrics_listen = "inet:127.0.0.1:{free_port()}"')


def rejected(gw):
    """How many messages the milter has counted so."""
    _, milter, _ = json.loads(gw.ctl("status", "--json").stdout)["daemons"]
    return milter["series"]['coexist_messages_total{result="rejected"}']


HERE = {name: At("mailboxes", f"{name}@acme.example") for name in ("bob", "adam", "eve")}
BOUNCE = At("outside", "s@sender.example", kind="bounce")


def test_only_what_is_expanded_or_handed_on_is_traced(gw):
    _, message = send_first(gw, "bob@acme.example", "mailboxes")
    assert not message.header(TRACE)
    for recipient, sink in (("adam@acme.example", "outside"), ("eve@acme.example", "outside"),
                            ("eve@acme.example", "mailboxes"), ("carol@acme.example", "outside"),
                            ("moved@acme.example", "old"), ("nobody@acme.example", "old"),
                            ("all@acme.example", "mailboxes")):
        _, message = send_first(gw, recipient, sink)
        value, = message.header(TRACE)
        assert re.fullmatch(r"acme; t=\d{10}; q=[0-9A-Za-z]+; o=[-_A-Za-z0-9]{22}( [-_A-Za-z0-9]{22})*", value)


@pytest.mark.parametrize("recipient, sink, fate", [
    ("adam@acme.example", "outside", HERE["adam"]),
    ("eve@acme.example", "outside", HERE["eve"]),
    ("Adam@ACME.example", "outside", At("mailboxes", "Adam@ACME.example")),
])
def test_a_redirected_mailbox_takes_what_comes_back(gw, recipient, sink, fate):
    ledger_id, message = send_first(gw, recipient, sink)
    reply = send_back(gw, ledger_id, {recipient: fate, "bob@acme.example": HERE["bob"]},
                      headers_of(message))
    assert reply.ok
    # Who wonders where the rest is finds it in the log.
    queue_id = re.search(r"queued as (\w+)|(\w+) Message accepted", reply.text)
    said, = gw.milter.log_lines(f"{queue_id[1] or queue_id[2]}: ")
    assert re.search(f': orig_to=<{recipient}>, action=returned, object="uid=[a-z]+,.*", '
                     "rule=loop$", said)


@pytest.mark.parametrize("recipient, sink", [
    ("carol@acme.example", "outside"), ("moved@acme.example", "old"),
    ("nobody@acme.example", "old"), ("all@acme.example", "mailboxes"),
    ("tobob@acme.example", "mailboxes"),
])
def test_who_has_nothing_left_is_bounced_alone(gw, recipient, sink):
    ledger_id, message = send_first(gw, recipient, sink)
    assert send_back(gw, ledger_id, {"bob@acme.example": HERE["bob"], recipient: BOUNCE},
                     headers_of(message)).ok
    bounce, = [m for m in gw.sinks["outside"].snapshot() if m.sender == ""
               and ledger_id.encode() + b"@" in m.body]
    assert f"Original-Recipient: rfc822;{recipient}".encode() in bounce.body
    assert b"Status: 5.4.6" in bounce.body
    # When there is nobody else, the client is told.
    before = rejected(gw)
    reply = send_back(gw, ledger_id, {recipient: At()}, headers_of(message))
    assert reply.status == "554 5.4.6" and rejected(gw) == before + 1
    assert gw.milter.log_lines(f"reject: .* to=<{recipient}>, verdict=loop, .*554 5.4.6")


def test_a_trace_says_nothing_of_another_message(gw):
    ledger_id, message = send_first(gw, "carol@acme.example", "outside")
    mine = [f"Message-ID: <other@ledger.example>" if line.lower().startswith("message-id:")
            else line for line in headers_of(message)]
    fates = {"carol@acme.example": At("outside", "carol@outside.example")}
    assert send_back(gw, ledger_id, fates, mine).ok
    # Nor of other objects.
    ledger_id, message = send_first(gw, "adam@acme.example", "outside")
    assert send_back(gw, ledger_id, fates, headers_of(message)).ok


FORGERIES = [
    (r"t=(\d+)", lambda m: f"t={int(m[1]) - 1}"),
    (r"t=(\d+)", lambda m: f"t={int(m[1]) - 8 * 86400}"),
    (r"acme;", lambda m: "other;"),
    (r"q=\w", lambda m: "q=" + ("B" if m[0][-1] == "A" else "A")),
    (r"o=.", lambda m: "o=" + ("B" if m[0][-1] == "A" else "A")),
    (r"(.{10})$", lambda m: m[1].translate(str.maketrans("ABCD", "BCDE")).swapcase()),
    (r"(?s)o=.*", lambda m: "o=" + " ".join(["A" * 22] * 3000)),
    (r"(?s)o=.*", lambda m: "o=\x01%s\xff"),
]


@pytest.mark.parametrize("pattern, replacement", FORGERIES)
def test_a_forged_one_does_nothing(gw, pattern, replacement):
    ledger_id, message = send_first(gw, "carol@acme.example", "outside")
    forged = [re.sub(pattern, replacement, line) if line.startswith(TRACE) else line
              for line in headers_of(message)]
    assert send_back(gw, ledger_id, {
        "carol@acme.example": At("outside", "carol@outside.example")}, forged).ok


@pytest.mark.parametrize("value, count", [
    ("x", 300),
    ("acme; t={now}; q=4F1A; o=" + "A" * 22, 300),
    ("acme; t={now}; q=4F1A; o=" + " ".join(["A" * 22] * 3900), 1),
], ids=["other values", "of our form", "many tokens"])
def test_what_a_stranger_puts_before_ours_does_not_hide_it(gw, value, count):
    forged = [f"{TRACE}: " + value.format(now=int(time.time())).replace(" AAA", "\r\n AAA")] * count
    ledger_id, message = send_first(gw, "carol@acme.example", "outside")
    assert send_back(gw, ledger_id, {"bob@acme.example": HERE["bob"], "carol@acme.example": BOUNCE},
                     forged + headers_of(message)).ok


def test_two_paths_that_meet_are_no_loop(gw):
    ledger = gw.ledger()
    with gw.connect() as client:
        ledger.send(client, "s@sender.example", {
            "all@acme.example": HERE["bob"] + At("outside", "adam@outside.example"),
            "adam@acme.example": At("outside", "adam@outside.example"),
            "bob@acme.example": HERE["bob"]})
    ledger.balance()


def reconfigure(site, text):
    with open(site.conf, "w", encoding="utf-8") as out:
        out.write(text)
    before = len(site.milter.log_lines("configuration reloaded"))
    site.milter.reload()
    wait_for(lambda: len(site.milter.log_lines("configuration reloaded")) > before,
             site.milter.log_text)


def test_a_new_secret_ends_no_trace(gw):
    ledger_id, message = send_first(gw, "adam@acme.example", "outside")
    with open(gw.conf, encoding="utf-8") as file:
        conf = file.read()
    with open(f"{gw.folder}/new.secret", "w", encoding="ascii", opener=lambda path, flags:
              os.open(path, flags, 0o600)) as out:
        out.write("fedcba9876543210\n")
    both = f'secret_file = {{"{gw.folder}/new.secret", "{gw.folder}/secret"}}'
    try:
        reconfigure(gw, conf.replace(f'secret_file = "{gw.folder}/secret"', both))
        assert send_back(gw, ledger_id, {"adam@acme.example": HERE["adam"]},
                         headers_of(message)).ok
        # What it signs now is not believed by who has only the old one.
        ledger_id, message = send_first(gw, "adam@acme.example", "outside")
    finally:
        reconfigure(gw, conf)
    assert send_back(gw, ledger_id, {
        "adam@acme.example": At("outside", "adam@outside.example")}, headers_of(message)).ok


def test_without_a_secret_there_is_no_trace(gw):
    assert not os.path.exists("/etc/coexist/secret")  # the default, which may be missing
    ledger_id, message = send_first(gw, "carol@acme.example", "outside")
    with open(gw.conf, encoding="utf-8") as file:
        conf = file.read()
    fates = {"carol@acme.example": At("outside", "carol@outside.example")}
    try:
        reconfigure(gw, conf.replace(f'secret_file = "{gw.folder}/secret"', ""))
        assert gw.milter.log_lines("no secret_file: mail that comes back is not known")
        assert send_back(gw, ledger_id, fates, headers_of(message)).ok
        _, bare = send_first(gw, "carol@acme.example", "outside")
        assert not bare.header(TRACE)
        # A connection that was open before asked for no headers to bind a trace to.
        with gw.connect() as client:
            ledger = gw.ledger()
            ledger.send(client, "s@sender.example", fates)
            reconfigure(gw, conf)
            ledger_id, _ = ledger.send(client, "s@sender.example", fates)
            ledger.balance()
            assert not ledger.messages(ledger_id, "outside")[0].header(TRACE)
    finally:
        reconfigure(gw, conf)
    _, traced = send_first(gw, "carol@acme.example", "outside")
    assert traced.header(TRACE)
