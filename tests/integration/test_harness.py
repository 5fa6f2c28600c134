"""What the other tests rely on: private Postfix instances, sinks, and a ledger that notices."""

import os
import re

import pytest

from support.ledger import At, Bounced, Ledger, Refused
from support.postfix import Postfix
from support.sink import Sink
from support.wait import Timeout, wait_for


def write_map(folder, text):
    path = f"{folder}/transport"
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.utime(path, (1, 1))  # Postfix waits for files that are brand new
    return path


@pytest.fixture
def sinks():
    made = {"here": Sink("here", lmtp=True), "there": Sink("there"), "outside": Sink("outside")}
    yield made
    for sink in made.values():
        sink.close()


@pytest.fixture(params=[False, True], ids=["plain", "chrooted"])
def postfix(request, folder, sinks):
    transport = write_map(folder, f"acme.example {sinks['here'].hop}\n"
                          f"other.example {sinks['there'].hop}\n")
    server = Postfix(f"{folder}/postfix", outside=f"[127.0.0.1]:{sinks['outside'].port}",
                     chroot=request.param, settings={
                         "relay_domains": "acme.example, other.example",
                         "transport_maps": f"texthash:{transport}",
                         "smtpd_relay_restrictions": "reject_unauth_destination"})
    server.start()
    yield server
    server.close()
    assert not server.complaints()


def test_mail_goes_where_the_ledger_says(postfix, sinks):
    ledger = Ledger(sinks, [postfix])
    with postfix.connect() as client:
        ledger.send(client, "a@outside.example", {
            "x@acme.example": At("here", "x@acme.example"),
            '"y z"@acme.example': At("here", '"y z"@acme.example'),
            "w@other.example": At("there", "w@other.example"),
            "v@elsewhere.example": Refused("554 5.7.1"),
        }, mail_params="RET=HDRS ENVID=e1",
            rcpt_params={"w@other.example": "NOTIFY=NEVER ORCPT=rfc822;w+2Bx@old.example"})
    ledger.balance()
    message = sinks["there"].snapshot()[0]
    assert message.recipients[0].args == {"NOTIFY": "NEVER", "ORCPT": "rfc822;w+2Bx@old.example"}
    assert message.args["RET"] == "HDRS" and message.args["ENVID"] == "e1"
    assert message.header("Subject") == ["test"] and message.body == b"Hello.\r\n"


def test_a_bounce_is_in_the_books(postfix, sinks):
    sinks["there"].refuse("gone@other.example")
    ledger = Ledger(sinks, [postfix])
    with postfix.connect() as client:
        ledger.send(client, "a@outside.example", {
            "gone@other.example": Bounced("outside", "a@outside.example"),
            "kept@other.example": At("there", "kept@other.example"),
        })
    ledger.balance()


def test_deferred_mail_is_waited_for(postfix, sinks):
    rule = sinks["there"].refuse("late@other.example", "450 4.2.1 later")
    ledger = Ledger(sinks, [postfix])
    with postfix.connect() as client:
        ledger.send(client, "a@outside.example", {"late@other.example":
                                                  At("there", "late@other.example")})
    wait_for(lambda: "deferred" in postfix.queued(), "the deferral")
    sinks["there"].rules.remove(rule)
    postfix.flush()
    ledger.balance()


def test_the_ledger_notices_what_is_missing_and_what_is_too_much(postfix, sinks):
    ledger = Ledger(sinks, [postfix])
    with postfix.connect() as client:
        ledger_id, _ = ledger.send(client, "a@outside.example", {
            "x@acme.example": At("here", "x@acme.example")})
        ledger.balance()
        ledger.expect(ledger_id, At("there", "x@acme.example"))
        with pytest.raises(Timeout, match="missing: 1 x .*there"):
            ledger.balance(deadline=0.5)
        ledger.expected.popitem()
        ledger.balance()
        client.mail("a@outside.example")
        client.rcpt("y@acme.example")
        client.data("Subject: not in the books\n\n")
        wait_for(lambda: sinks["here"].count() == 2, "the second message")
    with pytest.raises(AssertionError, match="too many: 1 x .*y@acme.example"):
        ledger.balance()


def test_the_client_says_who_it_is(folder, sinks):
    server = Postfix(f"{folder}/postfix", outside=f"[127.0.0.1]:{sinks['outside'].port}",
                     settings={"smtpd_relay_restrictions":
                               "permit_sasl_authenticated, permit_mynetworks, reject"})
    try:
        server.start()
        ledger = Ledger(sinks, [server])
        for who, fate in (({"addr": "192.0.2.1"}, Refused("554 5.7.1")),
                          ({"addr": "192.0.2.250"}, At("outside", "x@elsewhere.example"))):
            with server.connect(xclient=who) as client:
                ledger.send(client, "a@outside.example", {"x@elsewhere.example": fate})
        ledger.balance()
    finally:
        server.close()


def test_a_bare_host_is_reached_by_name_and_by_address(folder, sinks):
    """The clients of an instance have a hosts file of their own, and an smtp port."""
    transport = write_map(folder, "one.example relay:[mail.one.example]\n"
                          "two.example relay:[127.0.0.22]\n")
    server = Postfix(f"{folder}/postfix", hosts={"mail.one.example": "127.0.0.21"},
                     settings={"relay_domains": "one.example, two.example",
                               "transport_maps": f"texthash:{transport}"})
    by_name, by_address = (Sink(name, address=address, port=server.smtp_port) for name, address
                           in (("by-name", "127.0.0.21"), ("by-address", "127.0.0.22")))
    try:
        server.start()
        ledger = Ledger({**sinks, "by-name": by_name, "by-address": by_address}, [server])
        with server.connect() as client:
            ledger.send(client, "a@outside.example", {
                "x@one.example": At("by-name", "x@one.example"),
                "y@two.example": At("by-address", "y@two.example")})
        ledger.balance()
    finally:
        server.close()
        by_name.close()
        by_address.close()


def test_two_instances_live_side_by_side(folder, sinks):
    second = Postfix(f"{folder}/b", "b", f"[127.0.0.1]:{sinks['outside'].port}",
                     settings={"relay_domains": "acme.example"})
    first = Postfix(f"{folder}/a", "a", f"[127.0.0.1]:{second.port}",
                    settings={"relay_domains": "acme.example"})
    try:
        first.start()
        second.start()
        ledger = Ledger(sinks, [first, second])
        with first.connect() as client:
            ledger_id, _ = ledger.send(client, "a@outside.example", {
                "x@acme.example": At("outside", "x@acme.example")})
        ledger.balance()
        received = ledger.messages(ledger_id, "outside")[0].header("Received")
        assert [re.search(r"\sby (\w+)\.", r).group(1) for r in received] == ["b", "a"]
    finally:
        first.close()
        second.close()
