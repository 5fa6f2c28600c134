"""
The re-injection hop (SPEC section 9): what main.cf says for others does not concern it, nobody
else gets anything from it, and mail waits while there is none.
"""

import base64
import hmac
import re
import time

import pytest

from support.ledger import At
from support.smtp import Client
from support.srs_site import (CAROL, HERE, OF_CAROL, OUT, SRS, make_srs_site, reconfigure,
                              rewrite)
from support.wait import run, wait_for

ARCHIVE = At("outside", "archive@foreign.example")
STRANGER = {"ADDR": "203.0.113.9"}
SIZE_LIMIT = 20000
LINE = 99 * "x" + "\n"
# Each would spoil the mail, or lead it elsewhere, if the hop took any notice.
OF_OTHERS = {
    "always_bcc": "archive@foreign.example",
    "sender_bcc_maps": "inline:{carol@partner.example=archive@foreign.example}",
    "recipient_bcc_maps": "static:archive@foreign.example",
    "message_size_limit": str(SIZE_LIMIT),
    "smtpd_milter_maps": "cidr:{{127.0.0.0/8 DISABLE}}",
    "smtpd_discard_ehlo_keyword_address_maps": "cidr:{{127.0.0.0/8 dsn}}",
    "smtpd_client_restrictions": "check_client_access cidr:{{127.0.0.0/8 reject}}",
    "smtpd_end_of_data_restrictions": "check_client_access cidr:{{127.0.0.0/8 reject}}",
    "local_header_rewrite_clients": "check_address_map cidr:{{127.0.0.0/8 OK}}",
    "smtp_generic_maps": "inline:{carol@partner.example=carol@other.example}",
}


@pytest.fixture(name="gw", scope="module")
def _gw(make_module_site):
    site = make_srs_site(make_module_site, settings={"smtp_fallback_relay": "[127.0.0.1]:9"})
    site.postfix.set(smtp_fallback_relay=f"[127.0.0.1]:{site.sinks['old'].port}")
    return site


def configure(site, conf):
    reconfigure(site, conf)
    site.postfix.set()  # which keeps a next hop for 30 seconds


@pytest.fixture(name="no_hop")
def _no_hop(gw):
    """The hop is where nobody listens. The configuration of before, and that."""
    with open(gw.conf, encoding="utf-8") as file:
        conf = file.read()
    without = conf.replace(f"[127.0.0.1]:{gw.hop_port}", "[127.0.0.1]:9")
    assert without != conf
    configure(gw, without)
    yield conf, without
    configure(gw, conf)


OUT_ADAM = ["adam@outside.example"]
MIXED = {"adam@acme.example": OUT["adam"], "bob@acme.example": HERE["bob"]}


def transact(client, message):
    assert client.mail(CAROL, "RET=HDRS ENVID=e+2B1").ok
    for name in ("adam", "bob"):
        assert client.rcpt(f"{name}@acme.example", "NOTIFY=SUCCESS,FAILURE").ok
    return client.data(message)


def begin(site, *more, refused=None, headers="", bodies=("Hello.\n",)):
    """
    A message to two, one of whom goes by the hop; the first body that is accepted.
    (ledger, id)
    """
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    ledger.expect(ledger_id, HERE["bob"], refused or OUT["adam"], *more)
    with site.connect(xclient=STRANGER) as client:
        for body in bodies:
            reply = transact(client, ledger.message(ledger_id, CAROL, MIXED, headers=headers,
                                                    body=body))
            if reply.ok:
                return ledger, ledger_id
    raise AssertionError(reply)


def is_by_the_hop(ledger, ledger_id):
    """To each with the sender that is due; the message in the mailbox, and that of the hop."""
    ledger.balance()
    here, = ledger.messages(ledger_id, "mailboxes")
    there, = [m for m in ledger.messages(ledger_id, "outside") if m.addresses == OUT_ADAM]
    assert here.sender == CAROL and OF_CAROL.fullmatch(there.sender)
    assert [(m.args["RET"], m.args["ENVID"]) for m in (here, there)] == 2 * [("HDRS", "e+2B1")]
    assert [r.args for m in (here, there) for r in m.recipients] == [
        {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": f"rfc822;{name}@acme.example"}
        for name in ("bob", "adam")]
    return here, there


def written(message):
    """The headers that the sender wrote."""
    return [h for h in message.headers if h[0] not in ("Received", "Return-Path")]


def set_postfix(site, settings):
    """What was set before; where nothing was, the default."""
    before = {name: site.postfix.settings.get(name) or run(
        ["postconf", "-dh", name]).stdout.strip() for name in settings}
    site.postfix.set(**settings)
    return before


def test_what_main_cf_says_for_others_is_not_for_the_hop(gw):
    before = set_postfix(gw, OF_OTHERS)
    try:
        # The largest that is accepted is not too large for the hop.
        here, there = is_by_the_hop(*begin(
            gw, ARCHIVE, headers="Cc: plain\nContent-Type: text/plain\n",
            bodies=(f"Hello.\n{lines * LINE}" for lines in range(SIZE_LIMIT // len(LINE), 0, -1))))
    finally:
        set_postfix(gw, before)
    # Nothing is mended: no Date, and a name without a domain. What leaves in the end is changed
    # as is due to all.
    assert [h for h in written(here) if h[0] != "From"] == written(there)[1:]
    assert ("Cc", "plain") in written(there) and not there.header("Date")
    assert there.header("From") == ["<carol@other.example>"]
    assert here.body == there.body
    assert [len(m.header("Received")) for m in (here, there)] == [1, 2]
    assert [len(m.header("X-Coexist-Forwarded")) for m in (here, there)] == [1, 1]


def test_mail_waits_for_the_hop(gw, no_hop):
    """And for its key: neither a bounce, nor another way out."""
    conf, without = no_hop
    ledger, ledger_id = begin(gw)
    wait_for(lambda: gw.postfix.log_lines("to=<HOP0=.*status=deferred"), gw.postfix.log_text)
    for broken in (without.replace("srs.secret", "secret"), re.sub(r"\n *hop = .*", "", without)):
        configure(gw, broken)
        seen = len(gw.postfix.log_lines("to=<HOP0=.*mail transport unavailable"))
        gw.postfix.flush()
        wait_for(lambda: len(gw.postfix.log_lines(
            "to=<HOP0=.*mail transport unavailable")) > seen, gw.postfix.log_text)
    configure(gw, conf)
    gw.postfix.flush()
    is_by_the_hop(ledger, ledger_id)


@pytest.mark.usefixtures("no_hop")
def test_mail_that_waited_too_long_is_returned_to_who_wrote_it(gw):
    """By the name that was written."""
    before = set_postfix(gw, {"maximal_queue_lifetime": "0"})
    try:
        ledger, ledger_id = begin(gw, refused=At("outside", CAROL, kind="bounce"))
        ledger.balance()
    finally:
        set_postfix(gw, before)
    bounce, = ledger.messages(ledger_id, "outside")
    assert b"Original-Recipient: rfc822;adam@acme.example\r\n" in bounce.body
    assert re.search(rb"(?m)^Final-Recipient: rfc822; HOP0=", bounce.body)
    assert b"Original-Envelope-Id: e+1\r\n" in bounce.body


def digest(text, kind="sha256", purpose=b"", secret=b"one secret"):
    return hmac.digest(secret, purpose + text.lower().encode(), kind)


HOP, TRACE = b"coexist hop\n", b"coexist trace\0"


def test_a_digest_is_good_for_its_purpose_only(gw):
    """
    Strangers see digests under our secrets: those of senders, of traces. A hop's is of 24 digits, a
    sender's of 4 characters or more; with the right one each of these addresses is good.
    """
    day = int(time.time() / 86400)
    to_hop = f"{day}=outside.example=adam"
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    stamp = letters[day >> 5 & 31] + letters[day & 31]
    to_srs = f"{stamp}=partner.example=carol"
    signed = to_srs.replace("=", "", 2)  # "...partner.examplecarol"

    def hop(mac):
        return f"HOP0={mac[:24]}={to_hop}@{SRS}"

    def srs(mac, length):
        return f"SRS0={mac[:length]}={to_srs}@{SRS}"

    def text(mac):
        return base64.b64encode(mac).decode()

    right = digest(to_hop, purpose=HOP)
    wrong = [digest(to_hop), digest(to_hop, "sha1"), digest(to_hop, "sha1", HOP),
             digest(to_hop, purpose=TRACE), digest(to_hop.replace("=", "")),
             digest(to_hop, purpose=HOP, secret=b"0123456789abcdef0123456789abcdef")]
    right_of_sender = digest(signed, "sha1")
    wrong_of_sender = [digest(signed), digest(signed, "sha1", HOP), digest(signed, "sha1", TRACE),
                       digest(to_srs, "sha1"), digest(signed, purpose=HOP)]
    for address, status in (
            (hop(right.hex()), "250 2.1.5"),
            *((hop(each.hex()), "550 5.1.1") for each in wrong),
            (hop(text(right)), "550 5.1.1"),
            *((srs(text(right_of_sender), length), "250 2.1.5") for length in (4, 27)),
            *((srs(text(each), length), "550 5.1.1")
              for each in wrong_of_sender for length in (4, 27)),
            (srs(right_of_sender.hex(), 4), "550 5.1.1")):
        assert (address, gw.rcpt_status(address, sender="")) == (address, status)


def test_who_reaches_the_hop_has_nothing_of_it(gw):
    """Any process of this machine may: it is asked for addresses that only we can make."""
    srs = rewrite(gw)
    forged = f"HOP0=0123456789abcdef01234567=20000=x.example=y@{SRS}"
    with Client("127.0.0.1", gw.hop_port) as client:
        assert client.command("XCLIENT ADDR=127.0.0.2").code == 550
        for sender, address, status in (
                (CAROL, "bob@acme.example", "554 5.7.1"),
                (CAROL, "x@foreign.example", "554 5.7.1"),
                (CAROL, f"y%foreign.example@{SRS}", "550 5.1.1"),
                (CAROL, f"nobody@{SRS}", "550 5.1.1"),
                (CAROL, forged, "550 5.1.1"),
                (CAROL, srs, "550 5.1.1"),
                ("", srs, "250 2.1.5")):
            assert client.mail(sender).ok
            assert (address, client.rcpt(address).status) == (address, status)
            assert client.reset().ok
