"""
What the sender hears (RFC 3464) of recipients that were redirected, copied and expanded, in the
reports that a real Postfix writes: failures, delays, and successes where a next hop speaks no DSN.
"""

import email
import email.policy

import pytest

from support.ldif import CONTAINERS, PEOPLE, custom, domain, group, mailbox, person_dn
from support.ledger import At, identify
from support.smtp import xtext
from support.wait import wait_for

SENDER = "s@outside.example"
ENVID = "QQ+2B1+3D"


def places(system, name):
    """redirect-NAME, copy-NAME, group-NAME and more: they lead to NAME@SYSTEM.acme.example."""
    to = person_dn(name)
    members = f"cn=group-{name},{PEOPLE}"
    return "".join([
        custom(name, f"SMTP:{name}@{system}.acme.example", mail=f"{name}@{system}.acme.example"),
        mailbox(f"redirect-{name}", f"redirect-{name}@acme.example", altRecipient=to),
        mailbox(f"copy-{name}", f"copy-{name}@acme.example", altRecipient=to,
                deliverAndRedirect="TRUE"),
        group(f"group-{name}", f"group-{name}@acme.example", ["bob", f"redirect-{name}"]),
        group(f"nested-{name}", f"nested-{name}@acme.example",
              memberAddress=f"group-{name}@acme.example"),
        mailbox(f"to-group-{name}", f"to-group-{name}@acme.example", altRecipient=members),
        mailbox(f"copy-group-{name}", f"copy-group-{name}@acme.example", altRecipient=members,
                deliverAndRedirect="TRUE"),
    ])


def directory(site):
    old = site.add_sink("old", without=("DSN",))
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        domain("old.acme.example", "relay", forwardHost=old.hop),
        mailbox("bob", "bob@acme.example"),
        mailbox("rene", "rene@acme.example", proxyAddress="smtp:ren\u00e9@acme.example",
                altRecipient=person_dn("bad")),
        mailbox("sender", "sender@acme.example", altRecipient=person_dn("good")),
        places("pop", "bad"), places("pop", "good"), places("pop", "slow"), places("old", "old"),
    ])


@pytest.fixture(name="site", scope="module")
def make_the_site(make_module_site):
    made = make_module_site(source="ldif", sinks=("pop",), ldif=directory, settings={
        "delay_warning_time": "1s"})
    made.sinks["pop"].refuse("bad@pop.acme.example")
    return made


def reports(ledger, ledger_id):
    """[(action, original recipient, final recipient, status, envelope id, what is returned)]"""
    found = []
    for message in ledger.messages(ledger_id, "outside"):
        if identify(message)[1] == "mail":
            continue
        assert (message.sender, message.addresses) == ("", [SENDER])
        report = email.message_from_bytes(message.data, policy=email.policy.SMTPUTF8)
        assert report.get_content_type() == "multipart/report"
        _, status, returned = report.iter_parts()
        of_message, *of_recipients = status.get_payload()
        found += [(r["Action"], r["Original-Recipient"], r["Final-Recipient"], r["Status"][0],
                   of_message["Original-Envelope-Id"], returned.get_content_type())
                  for r in of_recipients]
    return sorted(found)


class Post:
    """Sends many messages, waits once, compares what the sender was told of each."""

    def __init__(self, site):
        self.ledger = site.ledger()
        self.sent = []

    def send(self, client, rcpts, deliveries, told, mail=f"RET=HDRS ENVID={ENVID}"):
        """told: [(action, original recipient, final recipient)]"""
        fates = [At(*place) for place in deliveries]
        if told:
            kind = "bounce" if told[0][0] == "failed" else "notice"
            fates.append(At("outside", SENDER, kind=kind))
        ledger_id = self.ledger.new_id()
        replies = client.pipeline([f"MAIL FROM:<{SENDER}> {mail}".rstrip(), *(
            f"RCPT TO:<{a}> {p}".rstrip() for a, p in rcpts)])
        assert all(reply.ok for reply in replies), (rcpts, replies)
        self.ledger.expect(ledger_id, *fates)
        assert client.data(self.ledger.message(ledger_id, SENDER, ["all@of.example"])).ok
        full = "message/rfc822" if "RET=HDRS" not in mail else "text/rfc822-headers"
        envid = "QQ+1=" if ENVID in mail else None
        status = {"failed": "5", "relayed": "2", "delayed": "4"}
        self.sent.append((ledger_id, rcpts, sorted(
            (action, original, f"rfc822; {final}", status[action], envid, full)
            for action, original, final in told)))
        return ledger_id

    def compare(self):
        self.ledger.balance()
        for ledger_id, rcpts, told in self.sent:
            assert reports(self.ledger, ledger_id) == told, rcpts


BOB = ("mailboxes", "bob@acme.example")
# Who is named: where it arrives beside the place in question; what of SUCCESS, FAILURE and DELAY
# the sender may hear of that place.
ALL, TROUBLE, NOTHING = {"SUCCESS", "FAILURE", "DELAY"}, {"FAILURE", "DELAY"}, set()
NAMES = {
    "redirect-{}": ([], ALL), "Redirect-{}+ext": ([], ALL),
    "group-{}": ([BOB], TROUBLE), "nested-{}": ([BOB], TROUBLE), "to-group-{}": ([BOB], TROUBLE),
    "copy-{}": ([("mailboxes", "copy-{}@acme.example")], NOTHING),
    "copy-group-{}": ([("mailboxes", "copy-group-{}@acme.example"), BOB], NOTHING),
}
NOTIFY = ["", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "FAILURE,DELAY"]
# As sent, and as a report has it.
ORCPT = [("", None), ("rfc822;old+2Bx+3D@before.example", "rfc822;old+x=@before.example"),
         ("X400;c+3Dus;a+3D+20b", "X400;c=us;a= b")]


def cases(place, event, notifies):
    """(RCPTs, other deliveries, what is named) of each name of a place, with what is asked."""
    for n, notify in enumerate(notifies):
        for k, (name, (others, may_hear)) in enumerate(NAMES.items()):
            sent, shown = ORCPT[(n + k) % len(ORCPT)]
            typed = name.format(place) + "@acme.example"
            arguments = " ".join(f"{key}={value}" for key, value in (
                ("NOTIFY", notify), ("ORCPT", sent)) if value)
            asked = set(notify.split(",")) if notify else TROUBLE
            named = shown or f"rfc822;{typed}"
            yield ([(typed, arguments)], [(sink, a.format(place)) for sink, a in others],
                   named if event in asked & may_hear else None)


def test_a_failure_names_what_the_sender_wrote_and_of_a_copy_nobody_hears(site):
    final = "bad@pop.acme.example"
    post = Post(site)
    with site.connect() as client:
        for rcpts, others, named in cases("bad", "FAILURE", NOTIFY):
            told = [("failed", named, final)] if named else []
            post.send(client, rcpts, others, told)
        for mail in ("", "RET=FULL", f"ENVID={ENVID}"):
            post.send(client, [("redirect-bad@acme.example", "")], [],
                      [("failed", "rfc822;redirect-bad@acme.example", final)], mail)
        # Two ways to the target: the redirect, though it came last.
        post.send(client, [("copy-bad@acme.example", ""), ("group-bad@acme.example", ""),
                           ("redirect-bad@acme.example", "")],
                  [("mailboxes", "copy-bad@acme.example"), BOB],
                  [("failed", "rfc822;redirect-bad@acme.example", final)])
        # A recipient beside it is no part of the report.
        post.send(client, [("redirect-good@acme.example", ""), ("redirect-bad@acme.example", "")],
                  [("pop", "good@pop.acme.example")],
                  [("failed", "rfc822;redirect-bad@acme.example", final)])
        post.send(client, [("ren\u00e9@acme.example", "")], [],
                  [("failed", "utf-8;ren\u00e9@acme.example", final)])
    post.compare()


def test_a_success_is_told_where_the_next_hop_cannot_but_not_of_groups_and_copies(site):
    post = Post(site)
    with site.connect() as client:
        for rcpts, others, named in cases("old", "SUCCESS", NOTIFY):
            told = [("relayed", named, "old@old.acme.example")] if named else []
            post.send(client, rcpts, [*others, ("old", "old@old.acme.example")], told)
        # The next hop that speaks DSN reports itself.
        for rcpts, others, _ in cases("good", "SUCCESS", ["SUCCESS"]):
            post.send(client, rcpts, [*others, ("pop", "good@pop.acme.example")], [])
    post.compare()
    old, = post.ledger.messages(post.sent[0][0], "old")
    assert not {"RET", "ENVID"} & set(old.args) and not old.recipients[0].args


def test_a_delay_names_what_the_sender_wrote(site):
    pop = site.sinks["pop"]
    slow = pop.refuse("slow@pop.acme.example", "450 4.2.1 later")
    post = Post(site)
    with site.connect() as client:
        for rcpts, others, named in cases("slow", "DELAY", ["", "NEVER", "FAILURE", "DELAY"]):
            told = [("delayed", named, "slow@pop.acme.example")] if named else []
            post.send(client, rcpts, [*others, ("pop", "slow@pop.acme.example")], told)
    expected = sum(len(told) for _, _, told in post.sent)
    wait_for(lambda: sum(len(reports(post.ledger, i)) for i, _, _ in post.sent) >= expected,
             lambda: f"{expected} delays: {site.postfix.log_text()[-3000:]}")
    pop.rules.remove(slow)
    site.postfix.flush()
    post.compare()


def test_a_bounce_to_a_sender_of_ours_is_redirected_too(site):
    ledger = site.ledger()
    with site.connect() as client:
        ledger_id, _ = ledger.send(client, "sender@acme.example", {
            "redirect-bad@acme.example": At("pop", "good@pop.acme.example", kind="bounce")})
    ledger.balance()
    bounce, = ledger.messages(ledger_id, "pop")
    assert bounce.sender == ""
    assert bounce.recipients[0].args == {"ORCPT": f"rfc822;{xtext('sender@acme.example')}"}
    assert b"Original-Recipient: rfc822;redirect-bad@acme.example\r\n" in bounce.data
