"""What a message costs: the callbacks and macros that a real Postfix sends to the milter."""

import itertools

import pytest

from support.ledger import At
from support.ldif import CONTAINERS, custom, domain, group, mailbox, person_dn
from support.milterproxy import MilterProxy
from support.wait import wait_for

NUMBERS = itertools.count(1)
HEADERS = "".join(f"X-Header-{n}: {'x' * 60}\n" for n in range(20))
BODY = "Hello.\n" * 50000


def directory(site):
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("pop.acme.example", "relay", forwardHost=site.sinks["pop"].hop),
        mailbox("bob", "bob@acme.example"), mailbox("carol", "carol@acme.example"),
        mailbox("adam", "adam@acme.example", altRecipient=person_dn("pop")),
        custom("pop", "SMTP:p@pop.acme.example", mail="p@pop.acme.example"),
        group("all", "all@acme.example", ["bob", "carol"]),
    ])


@pytest.fixture(scope="module")
def site(make_module_site):
    return make_module_site(source="ldif", sinks=("pop",), ldif=directory, settings={
        "local_header_rewrite_clients": "",  # as for strangers: no header is added
        "smtpd_milters": "{ unix:coexist/proxy, connect_timeout=5s, default_action=tempfail }"})


@pytest.fixture(scope="module")
def proxy(site):
    folder = f"{site.postfix.queue}/coexist"
    made = MilterProxy(f"{folder}/proxy", f"{folder}/milter")
    yield made
    made.close()


BOB = At("mailboxes", "bob@acme.example")
CAROL = At("mailboxes", "carol@acme.example")
P = At("pop", "p@pop.acme.example")
JOE = At("outside", "joe@outside.example")


@pytest.mark.parametrize("messages", [
    # Nothing to do: no headers, no end, no edit. Two of them on one connection.
    [({"bob@acme.example": BOB}, "MRcTa"), ({"joe@outside.example": JOE}, "MRcTa")],
    [({"bob@acme.example": BOB, "joe@outside.example": JOE, "carol@acme.example": CAROL},
      "MRcRcRcTa")],
    # Each edit once, and a header for the trace; before and behind messages with nothing to do.
    [({"bob@acme.example": BOB}, "MRcTa"), ({"adam@acme.example": P}, "MRcTcNE2-hc"),
     ({"carol@acme.example": CAROL}, "MRcTa"),
     ({"all@acme.example": BOB + CAROL}, "MRcTcNE22-hc"), ({"bob@acme.example": BOB}, "MRcTa")],
    # Nothing but a trace.
    [({"p@pop.acme.example": P}, "MRcTcNEhc")],
])
def test_callbacks_of_a_message(site, proxy, messages):
    ledger = site.ledger()
    wait_for(lambda: proxy.commands()[-1:] in ("", "Q"), "the connection before to end")
    proxy.packets.clear()
    with site.connect(xclient={"addr": "192.0.2.250"}) as client:
        for fates, _ in messages:
            ledger.send(client, "s@outside.example", fates, headers=HEADERS, body=BODY)
        client.quit()
    ledger.balance()
    wait_for(lambda: proxy.commands()[-1:] == "Q", "the connection to end")
    said = proxy.commands()
    conversations = said.replace("A", "").replace("Q", "").split("M")[1:]
    assert ["M" + each.replace("L", "") for each in conversations] == \
        [expected for _, expected in messages], said
    # CONNECT is not answered (twice: XCLIENT begins anew).
    assert sorted(said.partition("M")[0].replace("A", "").replace("Q", "")) == sorted("OOCOOC"), said
    # Headers only where they are needed.
    assert [each.count("L") > 20 for each in conversations] == \
        ["E" in expected for _, expected in messages], said
    # Neither HELO nor body.
    assert not set(said) & set("HBU"), said
    names = proxy.macros()
    assert names["C"] == {"v", "{client_addr}"} and names["M"] <= {
        "{auth_authen}", "{tls_version}", "{cert_fp}", "{mail_mailer}"}
    assert all(names[stage] <= {"i"} for stage in names if stage not in "CM")


def test_a_message_without_any_header_is_taken(site, proxy):
    """Postfix adds none to what strangers send, and libmilter must see something behind DATA."""
    before = site.sinks["pop"].count()
    with site.connect() as client:
        assert client.mail("s@outside.example").ok
        assert client.rcpt("adam@acme.example").ok
        assert client.data("\nNo header at all.\n").ok
    wait_for(lambda: site.sinks["pop"].count() > before, "the message")
    message = site.sinks["pop"].snapshot()[before]
    assert message.addresses == ["p@pop.acme.example"]
    assert {name for name, _ in message.headers} == {"Received", "X-Coexist-Forwarded"}
