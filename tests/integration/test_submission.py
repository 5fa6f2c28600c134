"""
Mail that does not come by SMTP (SPEC section 6, postfix-facts section 8): sendmail(1), QMQP, and
what Postfix itself writes. It is rewritten like any other, and nothing of it can be refused.
"""

import os
import re
import socket
import subprocess

import pytest

from support.envelopes import compare, envelopes
from support.ldif import CONTAINERS, connector, custom, domain, group, mailbox, person_dn
from support.smtp import Client
from support.wait import free_port, run, wait_for

SENDER = "s@outside.example"
QMQP_PORT = free_port()
VERIFYING_PORT = free_port()
MANY = 51


def directory(site, ring="ring", missing="nobody"):
    pop = site.sinks["pop"]
    to_pop = person_dn("pop")
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("shared.example", "shared", forwardHost=pop.hop, unknownRecipient="forward"),
        domain("pop.acme.example", "relay", forwardHost=pop.hop),
        mailbox("bob", "bob@acme.example", proxyAddress="smtp:robert@acme.example"),
        mailbox("carol", "carol@acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=to_pop,
                proxyAddress="smtp:jos\u00e9@acme.example"),
        mailbox("eve", "eve@acme.example", altRecipient=to_pop, deliverAndRedirect="TRUE"),
        mailbox("we ird", '"we ird"@acme.example', altRecipient=to_pop),
        mailbox("at", '"a@b"@acme.example', altRecipient=to_pop),
        mailbox("out", "out@acme.example", forwardingAddress="friend@outside.example"),
        mailbox("board", "board@acme.example", requireAuth="TRUE", altRecipient=to_pop),
        mailbox("ring", "ring@acme.example", altRecipient=person_dn(ring)),
        mailbox("broken", "broken@acme.example", altRecipient=person_dn(missing)),
        custom("pop", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
        connector("popside", pop.hop, peer="127.0.0.1"),  # it is not who writes from here
        custom("there", "SMTP:there@shared.example", mail="there@shared.example",
               homeServer="popside"),
        group("all", "all@acme.example", [], memberAddress=[
            "bob@acme.example", "carol@acme.example", "adam@acme.example"]),
        group("huge", "huge@acme.example", [], memberAddress=[
            f"m{n}@outside.example" for n in range(MANY)]),
    ])


@pytest.fixture(name="site", scope="module")
def _site(make_module_site):
    site = make_module_site(
        source="ldif", sinks=("pop",), ldif=directory, options=f"max_deliveries = {MANY - 1}",
        settings={
            "myorigin": "acme.example", "mydomain": "example", "append_dot_mydomain": "yes",
            "mydestination": "local.example", "local_transport": "local",
            "alias_maps": "inline:{ {sales=adam@acme.example} }",
            "qmqpd_authorized_clients": "127.0.0.1", "qmqpd_error_delay": "0",
            "address_verify_poll_delay": "1s", "address_verify_map": "",
        },
        services=["local unix - n n - - local",
                  f"127.0.0.1:{QMQP_PORT} inet n - n - - qmqpd",
                  f"127.0.0.1:{VERIFYING_PORT} inet n - n - - smtpd -o smtpd_milters= "
                  "-o smtpd_recipient_restrictions=reject_unverified_recipient"])
    site.sinks["mailboxes"].refuse("nobody@acme.example")
    return site


def pop(written, *more):
    return " ".join(["pop a@pop.acme.example", *more, f"ORCPT=rfc822;{written}"])


def here(name, written="", *more):
    return " ".join([f"mailboxes {name}@acme.example", *more,
                     f"ORCPT=rfc822;{written or name + '@acme.example'}"])


ADAM = pop("adam@acme.example")
ALL = [here("bob", "all@acme.example"), here("carol", "all@acme.example"),
       pop("all@acme.example")]

# Words of sendmail(1) and all that comes of them.
SUBMITTED = [
    (["adam@acme.example"], [ADAM]),
    (["adam"], [ADAM]),
    (["ADAM", "Adam@ACME.example"], [pop("ADAM@acme.example")]),
    (["adam@acme"], [ADAM]),
    (["adam@acme.example."], [ADAM]),
    (["adam%acme.example"], [ADAM]),
    (["acme.example!adam"], [ADAM]),
    (["Adam Barr <adam@acme.example>"], [ADAM]),
    (["adam, bob"], [ADAM, here("bob")]),
    (["adam%acme.example", "adam@outside.example"],
     [ADAM, "outside adam@outside.example ORCPT=rfc822;adam@outside.example"]),
    (['"we ird"'], [pop('"we+20ird"@acme.example')]),
    (['"we ird"@acme.example.'], [pop('"we+20ird"@acme.example')]),
    (['"a@b"@acme.example'], [pop('"a@b"@acme.example')]),
    (["adam+x"], [pop("adam+2Bx@acme.example")]),
    (["bob+x"], [here("bob+x", "bob+2Bx@acme.example")]),
    (["jos\u00e9"], ["pop a@pop.acme.example ORCPT=utf-8;jos\\x{E9}@acme.example"]),
    (["eve"], [here("eve"), pop("eve@acme.example", "NOTIFY=NEVER")]),
    (["robert"], [here("bob", "robert@acme.example")]),
    (["all"], ALL),
    (["all", "adam", "eve", "a@pop.acme.example"],
     ALL[:2] + [here("eve"), pop("a@pop.acme.example")]),
    (["out"], ["outside friend@outside.example ORCPT=rfc822;out@acme.example"]),
    # Once: no milter is shown what else was said of it.
    (["-N", "never", "adam", "a@pop.acme.example"], [pop("a@pop.acme.example", "NOTIFY=NEVER")]),
    # No address for the directory: whoever delivers it may say so to the sender.
    (["IMCEAMS-a+zz@acme.example"],
     [here("IMCEAMS-a+zz", "IMCEAMS-a+2Bzz@acme.example")]),
    (["board"], [pop("board@acme.example")]),  # who is on this machine is trusted
    (["there@shared.example", "nobody@shared.example"],
     [f"pop {name}@shared.example ORCPT=rfc822;{name}@shared.example"
      for name in ("there", "nobody")]),
    # Milters are shown none of these, so only what the sender itself named has NOTIFY.
    (["-N", "never", "-R", "hdrs", "adam", "bob"],
     [ADAM + " RET=HDRS", here("bob", "", "NOTIFY=NEVER") + " RET=HDRS"]),
    (["-N", "success,delay", "-V", "env+1", "eve"],
     [here("eve", "", "NOTIFY=SUCCESS,DELAY") + " ENVID=env+2B1",
      pop("eve@acme.example", "NOTIFY=NEVER") + " ENVID=env+2B1"]),
    (["-f", "<>", "adam"], [ADAM + " FROM=<>"]),
    (["-f", "bob", "adam"], [ADAM + " FROM=<bob@acme.example>"]),
    (["-t", "out"], [ADAM, here("bob"), here("carol"), here("eve"),
                     "outside friend@outside.example ORCPT=rfc822;out@acme.example"]),
]


def text(ledger, ledger_id):
    """For -t, too."""
    return (f"From: <{SENDER}>\nTo: adam, Bob <bob@acme.example>\nCc: eve (she)\n"
            f"Bcc: carol@acme.example\nSubject: test\nX-Ledger-Id: {ledger_id}\n"
            f"Message-ID: <{ledger_id}@ledger.example>\n\nHello.\n")


def submit(site, ledger, words):
    ledger_id = ledger.new_id()
    site.postfix.sendmail(["-f", SENDER, *words], text(ledger, ledger_id))
    return ledger_id


def test_is_rewritten_like_any_other(site):
    ledger = site.ledger()
    expected = {submit(site, ledger, words): (words, lines) for words, lines in SUBMITTED}
    compare(ledger, expected)
    message, = [m for sink in ledger.sinks for m in ledger.messages(list(expected)[-1], sink)
                if "carol@acme.example" in m.addresses]
    assert not message.header("Bcc")


def test_an_address_is_not_taken_for_another_that_lacked_its_domain(site):
    """Of "adam" no milter is told which of the two was written so."""
    before = site.postfix.settings["myorigin"]
    site.postfix.set(myorigin="outside.example")
    ledger = site.ledger()
    try:
        ledger_id = submit(site, ledger, ["adam", "adam@acme.example"])
        compare(ledger, {ledger_id: ("adam", [
            ADAM, "outside adam@outside.example ORCPT=rfc822;adam@outside.example"])})
    finally:
        site.postfix.set(myorigin=before)


def test_a_session_of_sendmail_bs_passes_the_same_way(site):
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    lines = ["EHLO here", f"MAIL FROM:<{SENDER}>",
             "RCPT TO:<adam> NOTIFY=SUCCESS", "RCPT TO:<bob@acme.example> NOTIFY=NEVER", "DATA",
             *text(ledger, ledger_id).split("\n")[:-1], ".", "QUIT", ""]
    done = subprocess.run(["/usr/sbin/sendmail", "-C", site.postfix.config, "-bs"], check=True,
                          input="\r\n".join(lines), text=True, capture_output=True)
    assert "queued as" in done.stdout
    compare(ledger, {ledger_id: ("-bs", [ADAM, here("bob", "", "NOTIFY=NEVER")])})


def qmqp(ledger, ledger_id, *recipients):
    """One message, as a qmail client hands it over: netstrings within a netstring."""
    def netstring(data):
        return b"%d:%s," % (len(data), data)

    parts = [text(ledger, ledger_id), SENDER, *recipients]
    with socket.create_connection(("127.0.0.1", QMQP_PORT)) as connection:
        connection.sendall(netstring(b"".join(netstring(part.encode()) for part in parts)))
        return connection.recv(4096).decode()


def test_mail_by_qmqp_is_rewritten_or_refused(site):
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    assert ":K" in qmqp(ledger, ledger_id, "adam@acme.example", "bob@acme.example")
    refused = ledger.new_id()
    assert ":ZError: 4.4.6" in qmqp(ledger, refused, "bob@acme.example", "ring@acme.example")
    compare(ledger, {ledger_id: ("qmqp", [ADAM, here("bob")]), refused: ("refused", [])})


def maildrop(site):
    return len(site.postfix.queued().get("maildrop", []))


def test_what_cannot_be_delivered_waits_for_the_repair_of_the_directory(site):
    ledger = site.ledger()
    waiting = {
        "ring": ("loop", "550 5.4.6", "4.4.6"),
        "broken": ("broken", "451 4.3.5", "4.3.5"),
        "huge": ("unavailable", "452 4.5.3", "4.5.3"),
    }
    ids = {name: submit(site, ledger, [name, "bob"]) for name in waiting}
    for name, (verdict, reply, status) in waiting.items():
        wait_for(lambda: site.postfix.log_lines(
            rf"milter-reject: END-OF-MESSAGE .*: {status}"), site.postfix.log_text)
        assert site.milter.log_lines(
            rf"NOQUEUE: reject: .*from=<{SENDER}>, to=<{name}@acme.example>, "
            rf"verdict={verdict}, .*reply=\"{reply}")
    # mailq(1) shows them, as they were written, and others pass.
    shown = run(["mailq", "-C", site.postfix.config]).stdout
    assert re.search(rf"{SENDER}\s+ring\s+bob\s", shown), shown
    beside = submit(site, ledger, ["adam"])
    wait_for(lambda: envelopes(ledger, beside) == [ADAM], site.postfix.log_text)
    assert maildrop(site) == 3
    assert not any(envelopes(ledger, ledger_id) for ledger_id in ids.values())

    # Any submission wakes pickup(8), as its own clock does each minute.
    site.write_ldif(directory(site, ring="pop"))
    site.wait_rcpt("ring@acme.example", "250 2.1.5")
    other = submit(site, ledger, ["bob"])
    wait_for(lambda: maildrop(site) == 2 and envelopes(ledger, other), site.postfix.log_text)
    # And so does the administrator.
    site.write_ldif(directory(site, missing="pop").replace(
        f"coexistMemberAddress: m{MANY - 1}@outside.example\n", "").replace(
            f"coexistMemberAddress: m{MANY - 2}@outside.example\n", ""))
    site.wait_rcpt("broken@acme.example", "250 2.1.5")
    site.postfix.flush()
    wait_for(lambda: not maildrop(site), site.postfix.log_text)
    huge = [f"outside m{n}@outside.example ORCPT=rfc822;huge@acme.example"
            for n in range(MANY - 2)]
    compare(ledger, {
        ids["ring"]: ("ring", [pop("ring@acme.example"), here("bob")]),
        ids["broken"]: ("broken", [pop("broken@acme.example"), here("bob")]),
        ids["huge"]: ("huge", huge + [here("bob")])})
    site.write_ldif(directory(site))
    site.wait_rcpt("ring@acme.example", "550 5.4.6")


def test_no_route_leads_past_the_directory(site):
    """It would be followed where the other domain is Postfix's own."""
    ledger = site.ledger()
    ledger_id = submit(site, ledger, ["adam%acme.example@outside.example"])
    wait_for(lambda: site.postfix.log_lines(r"milter-reject: END-OF-MESSAGE .*: 4\.1\.3"),
             site.postfix.log_text)
    assert maildrop(site) == 1
    run(["postsuper", "-c", site.postfix.config, "-d", "ALL", "maildrop"])
    compare(ledger, {ledger_id: ("route", [])})


def test_without_milter_or_replica_it_stays_where_it_is(site):
    ledger = site.ledger()
    site.milter.kill()
    ledger_id = submit(site, ledger, ["adam", "bob"])
    wait_for(lambda: site.postfix.log_lines(r"milter-reject: \S+ from localhost.*: 4\.7\.1"),
             site.postfix.log_text)
    assert maildrop(site) == 1
    replica = f"{site.folder}/replica"
    os.rename(replica, replica + ".gone")
    try:
        site.milter.start()
        site.postfix.flush()
        wait_for(lambda: site.postfix.log_lines(r"milter-reject: END-OF-MESSAGE .*: 4\.3\.0"),
                 site.postfix.log_text)
        assert maildrop(site) == 1
    finally:
        os.rename(replica + ".gone", replica)
    site.postfix.flush()
    compare(ledger, {ledger_id: ("late", [ADAM, here("bob")])})


def test_an_unknown_one_is_bounced_and_the_bounce_is_rewritten(site):
    """Postfix hands it to the store, which does not know it; its bounce passes the milter."""
    ledger = site.ledger()
    ledger_id = ledger.new_id()
    site.postfix.sendmail(["-f", "adam@acme.example", "-V", "env1", "nobody"],
                          text(ledger, ledger_id))
    wait_for(lambda: site.postfix.log_lines("to=<nobody@acme.example>, .*dsn=5.1.1, status=bounced"),
             site.postfix.log_text)
    wait_for(ledger.queues_are_empty, "the queues to drain")
    bounce = site.sinks["pop"].snapshot()[-1]
    assert (bounce.sender, [(r.address, r.args) for r in bounce.recipients]) == (
        "", [("a@pop.acme.example", {"ORCPT": "rfc822;adam@acme.example"})])
    for line in (b"Original-Recipient: rfc822;nobody@acme.example", b"Status: 5.1.1",
                 b"Original-Envelope-Id: env1", b"Action: failed"):
        assert line in bounce.body


def test_a_probe_of_verify_is_neither_expanded_nor_delivered(site):
    before = {name: sink.count() for name, sink in site.sinks.items()}
    shown = len(site.milter.log_lines("rcpt: to="))
    with Client("127.0.0.1", VERIFYING_PORT, xclient={"addr": "192.0.2.250"}) as client:
        assert client.mail(SENDER).ok
        assert client.rcpt("adam@acme.example").ok
    site.postfix.wait_log("to=<adam@acme.example>, .*status=deliverable")
    assert {name: sink.count() for name, sink in site.sinks.items()} == before
    assert len(site.milter.log_lines("rcpt: to=")) == shown


def test_what_local_forwards_passes_no_milter(site):
    """A fact of Postfix that coexist-milter(8) warns of: int_filt.c lets no class be set."""
    ledger = site.ledger()
    ledger_id = submit(site, ledger, ["sales@local.example"])
    compare(ledger, {ledger_id: ("alias", [here("adam", "sales@local.example")])})
