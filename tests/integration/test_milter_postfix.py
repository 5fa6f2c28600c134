"""
The milter behind a real Postfix: what leaves it, to whom, with which NOTIFY and ORCPT. The traps
of background/postfix-facts.md, sections 1 to 4, 7 and 8, each by a message of its own.
"""

import itertools

import pytest

from support.ledger import At
from support.ldif import CONTAINERS, custom, domain, group_of_names, mailbox, person_dn
from support.wait import wait_for


def directory(site):
    pop = site.sinks["pop"]
    to_pop = person_dn("pop")
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=pop.hop),
        mailbox("bob", "bob@acme.example", proxyAddress="smtp:robert@acme.example"),
        mailbox("carol", "carol@acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=to_pop),
        mailbox("eve", "eve@acme.example", altRecipient=to_pop, deliverAndRedirect="TRUE"),
        mailbox("we ird", '"we ird"@acme.example', altRecipient=to_pop),
        mailbox("ring", "ring@acme.example", altRecipient=person_dn("ring")),
        custom("pop", "SMTP:a@pop.acme.example", mail="a@pop.acme.example"),
        group_of_names("all", "all@acme.example", ["bob", "carol", "adam"]),
    ])


POP = At("pop", "a@pop.acme.example")
BOB = At("mailboxes", "bob@acme.example")
CAROL = At("mailboxes", "carol@acme.example")
EVE = At("mailboxes", "eve@acme.example")


@pytest.fixture
def site(make_site):
    return make_site(source="ldif", sinks=("pop",), ldif=directory)


def envelope(ledger, ledger_id):
    """{(sink, address): "NOTIFY ORCPT"} of all that came of a message."""
    found = {}
    for sink in ledger.sinks:
        for message in ledger.messages(ledger_id, sink):
            for recipient in message.recipients:
                found[sink, recipient.address] = " ".join(
                    f"{k}={v}" for k, v in sorted(recipient.args.items()))
    return found


def test_each_reaches_its_place_once_and_notifications_name_what_was_written(site):
    ledger = site.ledger()
    with site.connect() as client:
        one, _ = ledger.send(client, "s@outside.example", {
            "adam@acme.example": POP, "bob@acme.example": BOB, "eve@acme.example": EVE + POP})
        two, _ = ledger.send(client, "s@outside.example", {
            "Adam@ACME.example": POP, "eve@acme.example": EVE + POP}, rcpt_params={
                "Adam@ACME.example": "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;list+2Bx@old.example"})
        copy, _ = ledger.send(client, "s@outside.example", {"eve@acme.example": EVE + POP},
                              rcpt_params={"eve@acme.example": "NOTIFY=FAILURE"})
        group, _ = ledger.send(client, "s@outside.example", {
            "all@acme.example": BOB + CAROL + POP}, "RET=HDRS ENVID=e1", {
                "all@acme.example": "NOTIFY=FAILURE,DELAY"})
        proxy, _ = ledger.send(client, "s@outside.example", {"robert@acme.example": BOB})
    ledger.balance()
    assert envelope(ledger, one)["pop", "a@pop.acme.example"] == "ORCPT=rfc822;adam@acme.example"
    assert envelope(ledger, two)["pop", "a@pop.acme.example"] == \
        "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;list+2Bx@old.example"
    assert envelope(ledger, copy) == {
        ("pop", "a@pop.acme.example"): "NOTIFY=NEVER ORCPT=rfc822;eve@acme.example",
        ("mailboxes", "eve@acme.example"): "NOTIFY=FAILURE ORCPT=rfc822;eve@acme.example"}
    assert set(envelope(ledger, group).values()) == {
        "NOTIFY=FAILURE,DELAY ORCPT=rfc822;all@acme.example"}
    assert envelope(ledger, proxy)["mailboxes", "bob@acme.example"] == \
        "ORCPT=rfc822;robert@acme.example"
    message, = ledger.messages(group, "pop")
    assert (message.args["RET"], message.args["ENVID"]) == ("HDRS", "e1")


DSN = ["", "NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;other+2Bx@old.example",
       "NOTIFY=DELAY ORCPT=rfc822;other@old.example", "ORCPT=X400;c=us".replace("=us", "+3Dus")]


@pytest.mark.parametrize("original_recipient", ["yes", "no"])
def test_a_target_that_the_client_named_too_is_delivered_to_once(make_site, original_recipient):
    site = make_site(source="ldif", sinks=("pop",), ldif=directory,
                     settings={"enable_original_recipient": original_recipient,
                               "disable_dns_lookups": "yes"})
    ledger = site.ledger()
    spellings = ["a@pop.acme.example", "A@POP.acme.example", "@relay.example:a@pop.acme.example",
                 '"a"@pop.acme.example', "a@pop.acme.example."]
    with site.connect() as client:
        for dsn, spelling, first in itertools.product(DSN, spellings, (False, True)):
            fates = [("adam@acme.example", POP), (spelling, POP)]
            fates = dict(reversed(fates) if first else fates)
            ledger_id = ledger.new_id()
            assert client.mail("s@outside.example").ok
            for address in fates:
                assert client.rcpt(address, dsn if address == spelling else "").ok
            assert client.data(ledger.message(ledger_id, "s@outside.example", fates)).ok
            wait_for(lambda: ledger.messages(ledger_id, "pop"), "the message")
            wait_for(ledger.queues_are_empty, "the queues to drain")
            recipients = [r for m in ledger.messages(ledger_id, "pop") for r in m.recipients]
            assert len(recipients) == 1, (dsn, spelling, first, recipients)
            # It is the client's own one that stays.
            assert recipients[0].args.get("NOTIFY", "") == \
                (dsn.partition("NOTIFY=")[2].split() or [""])[0]
            assert not [m for m in ledger.messages(ledger_id, "mailboxes")]


@pytest.mark.parametrize("spellings", [
    ["adam@acme.example", "ADAM@acme.example", "adam@ACME.EXAMPLE"],
    ['"adam"@acme.example', "adam@acme.example", '"a\\dam"@acme.example'],
    ["@relay.example:adam@acme.example", "@a.example,@b.example:ADAM@acme.example"],
    ["adam@acme.example.", "adam@acme.example"],
    ['"we ird"@acme.example', '"we\\ ird"@acme.example', '"We Ird"@acme.example'],
    ["adam@acme.example", "eve@acme.example", "a@pop.acme.example", "all@acme.example"],
])
def test_every_spelling_goes_and_one_copy_arrives(site, spellings):
    ledger = site.ledger()
    fates = {s: POP for s in spellings}
    if "eve@acme.example" in fates:
        fates["eve@acme.example"] = EVE + POP
        fates["all@acme.example"] = BOB + CAROL + POP
    with site.connect() as client:
        for address in spellings:  # alone
            ledger.send(client, "s@outside.example", {address: fates[address]})
        ledger.send(client, "s@outside.example", fates)
    ledger.balance()


def test_many_recipients_of_which_one_is_a_target(site):
    """Beyond 1000 recipients Postfix remembers none, and would take a repeated one twice."""
    ledger = site.ledger()
    fates = {f"r{n}@outside.example": At("outside", f"r{n}@outside.example")
             for n in range(1100)}
    fates["a@pop.acme.example"] = POP
    fates["adam@acme.example"] = POP
    with site.connect(xclient={"addr": "192.0.2.250"}) as client:
        ledger.send(client, "s@outside.example", fates)
    ledger.balance()


def test_local_submission_is_rewritten_and_what_cannot_be_is_kept(make_site):
    site = make_site(source="ldif", sinks=("pop",), ldif=directory,
                     settings={"myorigin": "acme.example"})
    ledger = site.ledger()
    for words, fates in (
            (["adam"], [POP]), (["adam@acme.example"], [POP]), (["bob", "adam"], [BOB, POP]),
            (["-N", "never", "eve@acme.example"], [EVE, POP]),
            (["a@pop.acme.example", "adam"], [POP])):
        ledger_id = ledger.new_id()
        ledger.expect(ledger_id, *fates)
        site.postfix.sendmail(["-f", "s@outside.example", *words], ledger.message(
            ledger_id, "s@outside.example", words))
    ledger.balance()
    site.postfix.sendmail(["-f", "s@outside.example", "ring@acme.example", "bob@acme.example"],
                          ledger.message(ledger.new_id(), "s@outside.example", ["ring"]))
    wait_for(lambda: site.postfix.log_lines(r"milter-reject: END-OF-MESSAGE.* 4\.4\.6"),
             lambda: site.postfix.log_text()[-3000:])
    assert site.postfix.queued().get("maildrop")
    assert site.milter.log_lines("NOQUEUE: reject: .*to=<ring@acme.example>, verdict=loop")
    assert not ledger.found() - ledger.expected


def test_a_milter_that_dies_in_mid_session_loses_nothing(site):
    ledger = site.ledger()
    with site.connect() as client:
        assert client.mail("s@outside.example").ok
        assert client.rcpt("adam@acme.example").ok
        site.milter.kill()
        reply = client.data(ledger.message(ledger.new_id(), "s@outside.example", ["adam"]))
        assert reply.code == 451
    site.milter.start()
    with site.connect() as client:
        ledger.send(client, "s@outside.example", {"adam@acme.example": POP})
    ledger.balance()
