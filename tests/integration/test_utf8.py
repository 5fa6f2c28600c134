"""
Addresses beyond ASCII on a real Postfix with SMTPUTF8: which spellings are one address, through
every door; what is delivered where, by which envelope; what is refused at RCPT because its message
came without SMTPUTF8.
"""

import json

import pytest

from support.ledger import At, Bounced, Refused
from support.ldif import (CONTAINERS, connector, custom, domain, group, group_of_names, mailbox,
                          person_dn)
from support.policyd import MapClient, PolicyClient, netstring
from support.wait import wait_for

SENDER = "sue@outside.example"
NFC = "jos\u00e9"
NFD = "jose\u0301"
U_BUECHER = "b\u00fccher.example"
A_BUECHER = "xn--bcher-kva.example"
HINDI = "\u0915\u094d\u200d\u0937"  # a joiner where IDNA2008 permits one


def directory(site):
    new, old = site.sinks["new"].hop, site.sinks["old"].hop
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("B\u00dcCHER.example.", "authoritative"),
        domain("*.b\u00fcro.example", "authoritative"),
        domain("fa\u00df.example", "rewrite", rewriteDomain=U_BUECHER),
        domain(f"{HINDI}.example", "relay", forwardHost=new),
        domain("strasse.example", "authoritative"),
        connector("new", new, addressSpace="SMTP:*.n\u00e4chst.example", relayClient="192.0.2.8"),
        connector("old", old, addressSpace="SMTP:*.\u00e4lter.example"),
        mailbox("jose", f"{NFC}@acme.example", proxyAddress=[
            f"smtp:JOSE@{U_BUECHER}", "smtp:caf\u00e9@x.xn--bro-hoa.example",
            "smtp:JOSE.ALIAS@acme.example"]),
        mailbox("plain", f"Plain@{U_BUECHER}"),
        mailbox("sharp", "stra\u00dfe@acme.example"),
        mailbox("double", "strasse@acme.example"),
        mailbox("sigma", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2@acme.example"),
        mailbox("istanbul", "istanbul@acme.example"),
        mailbox("kelvin", "\u212aelvin@acme.example"),
        mailbox("cherokee", "\u13a0\u13b5@acme.example"),
        mailbox("wide", "wide\uff20home@acme.example"),
        mailbox("uout", "uout@acme.example", forwardingAddress="r\u00e9d@x.n\u00c4chst.example"),
        mailbox("udomain", "udomain@acme.example",
                forwardingAddress="udomain@x.\u00e4LTER.example"),
        mailbox("eve", "eve@acme.example", deliverAndRedirect="TRUE",
                forwardingAddress="\u00e8ve@x.n\u00e4chst.example"),
        mailbox("named", "n\u00e4med@acme.example", forwardingAddress="named@x.\u00e4lter.example"),
        mailbox("toalias", "toalias@acme.example", altRecipient=person_dn("jose")),
        custom("custom", f"SMTP:{NFD}.c@x.n\u00e4chst.example", mail="custom@acme.example"),
        custom("here", f"SMTP:hi\u00e9r@{U_BUECHER}", mail="here@acme.example"),
        group_of_names("mixed", "mixed@acme.example", ["plain", "jose"]),
        group("texts", "g\u0155\u00f6up@acme.example", ["plain"],
              memberAddress=[f"{NFD}@acme.example", f"jose@{A_BUECHER}"]),
    ])


@pytest.fixture(scope="module")
def site(make_module_site):
    def add_sinks(made):
        made.add_sink("new")
        made.add_sink("old", without=("SMTPUTF8",))
        return directory(made)

    return make_module_site(source="ldif", ldif=add_sinks)


BOX = At("mailboxes", f"{NFC}@acme.example")
PLAIN = At("mailboxes", f"Plain@{A_BUECHER}")
RED = At("new", "r\u00e9d@x.xn--nchst-gra.example")
OLD_DOMAIN = "x.xn--lter-koa.example"

# Equal spellings, by the object that they name: (uid, its address in a delivery, spellings).
EQUAL = [
    ("jose", f"{NFC}@acme.example", [
        f"{NFC}@acme.example", f"{NFD}@acme.example", "JOS\u00c9@ACME.example",
        "JOSE\u0301@acme.example", f'"{NFC}"@acme.example', "JOSE.ALIAS@acme.example",
        f"jose@{U_BUECHER}", f"Jose@{A_BUECHER}", "jose@bu\u0308cher.EXAMPLE",
        "jose@B\u00dcCHER.example", "jose@XN--BCHER-KVA.example", f"jose@{U_BUECHER}.",
        "caf\u00e9@x.b\u00fcro.example", "CAFE\u0301@X.xn--bro-hoa.example"]),
    ("plain", f"Plain@{A_BUECHER}", [
        f"plain@{U_BUECHER}", f"PLAIN@{A_BUECHER}", "plain@\uff42\u00fccher.example",
        "plain@xn--fa-hia.example", "plain@fa\u00df.example"]),
    ("sharp", "stra\u00dfe@acme.example", ["stra\u00dfe@acme.example", "STRA\u1e9eE@acme.example"]),
    ("double", "strasse@acme.example", ["strasse@acme.example", "STRASSE@acme.example"]),
    ("sigma", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2@acme.example", [
        "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2@acme.example",
        "\u03a3\u0399\u0301\u03a3\u03a5\u03a6\u039f\u03c2@acme.example"]),
    ("istanbul", "istanbul@acme.example", ["ISTANBUL@acme.example", "\u0130stanbul@acme.example"]),
    ("kelvin", "\u212aelvin@acme.example", ["kelvin@acme.example", "\u212aELVIN@acme.example"]),
    ("cherokee", "\u13a0\u13b5@acme.example", [
        "\u13a0\u13b5@acme.example", "\uab70\uab85@acme.example"]),
    ("wide", "wide\uff20home@acme.example", ["wide\uff20home@acme.example"]),
]

# Not equal to any: (address, what the policy service says).
OTHERS = [
    ("jose@acme.example", "550 5.1.1"),  # an accent is no decoration
    ("STRA\u1e9eE.x@acme.example", "550 5.1.1"),
    ("\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3@acme.example", "550 5.1.1"),  # final sigma
    ("\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3@acme.example", "550 5.1.1"),
    ("\u0131stanbul@acme.example", "550 5.1.1"),  # no dot
    ("i\u0307stanbul@acme.example", "550 5.1.1"),
    ("\u017ftrasse@acme.example", "550 5.1.1"),  # long s: folds to s, lower case already
    ("jo\u0073\u00e9\u200b@acme.example", "550 5.1.1"),
    ("\uff4aos\u00e9@acme.example", "550 5.1.1"),
    ("plain@fass.example", "foreign"),
    ("plain@bucher.example", "foreign"),
    ("plain@xn--zzzzzz.example", "foreign"),
    ("plain@xn--zzzzzz.b\u00fcro.example", "550 5.1.1"),
    ("caf\u00e9@b\u00fcro.example", "foreign"),
    # No dot and no at sign but those of ASCII.
    ("plain@b\u00fccher\u3002example", "501 5.1.3"),
    ("plain@b\u00fccher\uff0eexample", "501 5.1.3"),
    ("strasse@acme\uff61example", "501 5.1.3"),
    ("strasse@x\uff20acme.example", "501 5.1.3"),
    ("strasse@acme\u2488example", "501 5.1.3"),
    # No domains: signs, joiners out of place, both directions, a mark first, not assigned, long.
    ("plain@\u2764.example", "501 5.1.3"),
    ("plain@x\u200dy.example", "501 5.1.3"),
    ("plain@\u05d0a.example", "501 5.1.3"),
    ("plain@\u0301a.example", "501 5.1.3"),
    ("plain@\u0378.example", "501 5.1.3"),
    ("plain@" + 60 * "\u00fc" + ".example", "501 5.1.3"),
]


def resolve(site, addresses):
    done = site.ctl("resolve", "--json", "-", stdin="".join(f"{a}\n" for a in addresses))
    return [json.loads(line) for line in done.stdout.splitlines()]


def internal(address):
    """As Postfix's policy protocol has it."""
    return address.replace('"', "")


def test_equal_spellings_are_one_address_through_every_door(site):
    rows = [(uid, at, text) for uid, at, spellings in EQUAL for text in spellings]
    answers = resolve(site, [text for _, _, text in rows])
    wrong = []
    with PolicyClient(f"unix:{site.postfix.queue}/coexist/policy") as policy, \
            MapClient(f"unix:{site.postfix.queue}/coexist/map") as maps:
        for (uid, at, text), answer in zip(rows, answers, strict=True):
            found = {
                "resolve": (answer["verdict"], answer["object"],
                            [d["address"].lower() for d in answer["deliveries"]]),
                "policy": policy.ask(recipient=internal(text), policy_context="recipient"),
                "recipients": maps.ask("recipients", text),
                "domains": maps.ask("domains", text.rpartition("@")[2]).split()[0],
            }
            expected = {
                "resolve": ("deliver", person_dn(uid), [at.lower()]), "policy": "DUNNO",
                "recipients": "OK OK", "domains": "OK",
            }
            if "\u00df.ex" not in text and "fa-hia" not in text:  # nobody's own, in a rewritten domain
                found |= {"primary": maps.ask("primary", text),
                          "login": maps.ask("login", text).split(",")[0],
                          "transport": maps.ask("transport", text)}
                expected |= {"primary": f"OK {at}", "login": f"OK {uid}",
                             "transport": f"OK {site.sinks['mailboxes'].hop}"}
            wrong += [(text, door, found[door], expected[door])
                      for door in expected if found[door] != expected[door]
                      and not (door == "resolve" and _same_resolution(found[door], expected[door]))]
    assert not wrong, "\n".join(map(str, wrong))


def _same_resolution(found, expected):
    """A spelling that differs in case, beyond ASCII too, is delivered to as it was written."""
    return found[:2] == expected[:2] and len(found[2]) == 1


def test_what_is_not_equal_is_unknown_foreign_or_no_address_through_every_door(site):
    verdicts = {"550 5.1.1": "unknown", "501 5.1.3": "invalid", "foreign": "foreign"}
    wrong = []
    with PolicyClient(f"unix:{site.postfix.queue}/coexist/policy") as policy, \
            MapClient(f"unix:{site.postfix.queue}/coexist/map") as maps:
        answers = resolve(site, [text for text, _ in OTHERS])
        for (text, expected), answer in zip(OTHERS, answers, strict=True):
            said = policy.ask(recipient=text, policy_context="recipient")
            found = [answer["verdict"], said[:9], maps.ask("recipients", text).split()[0],
                     maps.ask("primary", text).split()[0]]
            if found != [verdicts[expected], "DUNNO" if expected == "foreign" else expected,
                         "NOTFOUND", "NOTFOUND"]:
                wrong.append((text, found))
            if expected != "550 5.1.1" and maps.ask(
                    "domains", text.rpartition("@")[2]) != "NOTFOUND ":
                wrong.append((text, "a domain of ours"))
        # Bytes that are no text are nobody's, not "don't know": no mail waits for them.
        for key in (b"\xff", b"jos\xe9@acme.example", b"plain@b\xfccher.example",
                    b"\xed\xa0\x80@acme.example", b"\xc0\xae@acme.example"):
            for name in ("transport", "recipients", "domains", "primary", "login"):
                maps.send(netstring(name.encode() + b" " + key))
                if maps.answer() != "NOTFOUND ":
                    wrong.append((name, key))
    assert not wrong, "\n".join(map(str, wrong))


# (label, parameters of MAIL, recipients with their fates, what arrives: sink -> [(address, ORCPT)],
#  the sinks that were told SMTPUTF8)
MESSAGES = [
    ("a mailbox", "SMTPUTF8", {f"{NFC}@acme.example": BOX},
     {"mailboxes": [(f"{NFC}@acme.example", "rfc822;jos+C3+A9@acme.example")]}, {"mailboxes"}),
    ("equal spellings are one recipient", "SMTPUTF8",
     {f"{NFD}@acme.example": BOX, f"{NFC}@acme.example": BOX, "JOS\u00c9@acme.example": BOX,
      f"jose@{U_BUECHER}": BOX},
     {"mailboxes": [(f"{NFC}@acme.example", "rfc822;jos+C3+A9@acme.example")]}, {"mailboxes"}),
    ("the other order", "SMTPUTF8",
     {f"{NFC}@acme.example": BOX, f"{NFD}@acme.example": BOX},
     {"mailboxes": [(f"{NFC}@acme.example", "rfc822;jos+C3+A9@acme.example")]}, {"mailboxes"}),
    ("a domain in both forms", "SMTPUTF8",
     {f"plain@{A_BUECHER}": At("mailboxes", f"plain@{A_BUECHER}"),
      f"PLAIN@{U_BUECHER}": At("mailboxes", f"plain@{A_BUECHER}"),
      "plain@bu\u0308cher.example": At("mailboxes", f"plain@{A_BUECHER}")},
     {"mailboxes": [(f"plain@{A_BUECHER}", f"rfc822;plain@{A_BUECHER}")]}, {"mailboxes"}),
    ("a domain in Unicode alone", "SMTPUTF8", {f"plain@{U_BUECHER}": PLAIN},
     {"mailboxes": [(f"Plain@{A_BUECHER}", r"utf-8;plain@b\x{FC}cher.example")]}, {"mailboxes"}),
    ("Turkish capitals", "SMTPUTF8",
     {"\u0130STANBUL@acme.example": At("mailboxes", "istanbul@acme.example")},
     {"mailboxes": [("istanbul@acme.example", r"utf-8;\x{130}STANBUL@acme.example")]},
     {"mailboxes"}),
    # Postfix folds a domain before it asks whether it is ours, sharp s to ss; of an A-label
    # there is nothing to fold.
    ("a rewritten domain", "SMTPUTF8",
     {"plain@xn--fa-hia.example": PLAIN, "plain@fa\u00df.example": Refused("554 5.7.1")},
     {"mailboxes": [(f"Plain@{A_BUECHER}", "rfc822;plain@xn--fa-hia.example")]}, {"mailboxes"}),
    ("to an address beyond ASCII", "SMTPUTF8 RET=HDRS ENVID=e8",
     {"uout@acme.example": RED, "custom@acme.example":
      At("new", f"{NFD}.c@x.xn--nchst-gra.example")},
     {"new": [("r\u00e9d@x.xn--nchst-gra.example", "rfc822;uout@acme.example"),
              (f"{NFD}.c@x.xn--nchst-gra.example", "rfc822;custom@acme.example")]}, {"new"}),
    ("the same without", "",
     {"uout@acme.example": Refused("550 5.6.7"), "custom@acme.example": Refused("550 5.6.7"),
      "here@acme.example": Refused("550 5.6.7"), "JOSE.ALIAS@acme.example": Refused("550 5.6.7"),
      "toalias@acme.example": Refused("550 5.6.7"), "eve@acme.example": Refused("550 5.6.7"),
      "mixed@acme.example": Refused("550 5.6.7"),
      f"plain@{A_BUECHER}": At("mailboxes", f"plain@{A_BUECHER}")},
     {"mailboxes": [(f"plain@{A_BUECHER}", f"rfc822;plain@{A_BUECHER}")]}, set()),
    ("only the domain is beyond ASCII", "",
     {"udomain@acme.example": At("old", f"udomain@{OLD_DOMAIN}")},
     {"old": [(f"udomain@{OLD_DOMAIN}", "rfc822;udomain@acme.example")]}, set()),
    ("and SMTPUTF8 said for nothing", "SMTPUTF8",
     {"udomain@acme.example": At("old", f"udomain@{OLD_DOMAIN}")},
     {"old": [(f"udomain@{OLD_DOMAIN}", "rfc822;udomain@acme.example")]}, set()),
    ("a copy", "SMTPUTF8",
     {"eve@acme.example": At("mailboxes", "eve@acme.example",
                             "new", "\u00e8ve@x.xn--nchst-gra.example")},
     {"mailboxes": [("eve@acme.example", "rfc822;eve@acme.example")],
      "new": [("\u00e8ve@x.xn--nchst-gra.example", "rfc822;eve@acme.example")]},
     {"mailboxes", "new"}),
    ("members", "SMTPUTF8",
     {"mixed@acme.example": BOX + PLAIN, "G\u0154O\u0308UP@acme.example": BOX + PLAIN},
     {"mailboxes": [(f"{NFC}@acme.example", "rfc822;mixed@acme.example"),
                    (f"Plain@{A_BUECHER}", "rfc822;mixed@acme.example")]}, {"mailboxes"}),
    ("a target of ours that nobody has", "SMTPUTF8",
     {"here@acme.example": At("outside", f"hi\u00e9r@{A_BUECHER}")}, None, {"outside"}),
    ("a client that says nothing, and means it", "", {f"{NFC}@acme.example": BOX},
     {"mailboxes": [(f"{NFC}@acme.example", "rfc822;jos+C3+A9@acme.example")]}, set()),
    # Postfix remembers that a recipient was beyond ASCII, also when it has another by then.
    ("a next hop that knows no SMTPUTF8", "SMTPUTF8",
     {"n\u00e4med@acme.example": Bounced("outside", SENDER)}, {}, set()),
    ("and is not asked for it", "",
     {"n\u00e4med@acme.example": At("old", f"named@{OLD_DOMAIN}")},
     {"old": [(f"named@{OLD_DOMAIN}", r"utf-8;n\x{E4}med@acme.example")]}, set()),
]


def test_each_message_arrives_by_the_envelope_that_it_should(site):
    ledger = site.ledger()
    label_params = {label: params for label, params, *_ in MESSAGES}
    sent = []
    with site.connect() as client:
        for label, params, fates, envelopes, told in MESSAGES:
            ledger_id, _ = ledger.send(client, SENDER, fates, params)
            sent.append((label, ledger_id, envelopes, told))
    ledger.balance()
    wrong = []
    for label, ledger_id, envelopes, told in sent:
        found = {sink: messages for sink in ledger.sinks
                 if (messages := [m for m in ledger.messages(ledger_id, sink) if m.sender])}
        recipients = {sink: sorted((r.address, r.args.get("ORCPT", "")) for m in messages
                                   for r in m.recipients) for sink, messages in found.items()}
        if envelopes is not None and recipients != {
                sink: sorted(pairs) for sink, pairs in envelopes.items()}:
            wrong.append((label, recipients))
        if {s for s, messages in found.items() if "SMTPUTF8" in messages[0].args} != told:
            wrong.append((label, {s: m[0].args for s, m in found.items()}))
        if any(m.sender != SENDER for messages in found.values() for m in messages):
            wrong.append((label, "sender"))
        if "ENVID" in label_params[label] and any(
                (m.args.get("RET"), m.args.get("ENVID")) != ("HDRS", "e8") for m in found["new"]):
            wrong.append((label, "RET and ENVID"))
    assert not wrong, "\n".join(map(str, wrong))
    lines = "\n".join(site.milter.log_lines(r"reject:.*5\.6\.7"))
    assert "to=<uout@acme.example>, verdict=deliver" in lines


def test_local_submission_takes_what_it_needs(site):
    """Nothing can be refused there; Postfix finds out by itself what needs SMTPUTF8."""
    ledger = site.ledger()
    fates = {"uout@acme.example": RED, f"{NFD}@acme.example": BOX,
             "udomain@acme.example": At("old", f"udomain@{OLD_DOMAIN}")}
    ids = {}
    for address, fate in fates.items():
        ids[address] = ledger.new_id()
        ledger.expect(ids[address], fate)
        site.postfix.sendmail(["-f", SENDER, address], ledger.message(ids[address], SENDER, []))
    ledger.balance()
    message, = ledger.messages(ids["uout@acme.example"], "new")
    assert "SMTPUTF8" in message.args
    message, = ledger.messages(ids["udomain@acme.example"], "old")
    assert "SMTPUTF8" not in message.args


def test_what_is_logged_and_printed_is_text(site):
    tricky = "\u202efdp\u2066.\u2028x\u0085y\u009bz@acme.example"
    shown = r"\xe2\x80\xaefdp\xe2\x81\xa6.\xe2\x80\xa8x\xc2\x85y\xc2\x9bz@acme.example"
    with site.connect() as client:
        assert client.mail(SENDER, "SMTPUTF8").ok
        assert client.rcpt(tricky).status == "550 5.1.1"
        assert client.rcpt("t\u00f6x@acme.example").status == "550 5.1.1"
    wait_for(lambda: site.policyd.log_lines(r"reject:.*to=<t\u00f6x@acme"), "the refusals")
    assert len([line for line in site.policyd.log_lines("reject:")
                if f"to=<{shown}>" in line]) == 1
    done = site.ctl("resolve", tricky)
    assert done.returncode == 67 and shown in done.stdout and "\u202e" not in done.stdout
    assert json.loads(site.ctl("resolve", "--json", tricky).stdout)["address"] == tricky


def test_a_domain_that_postfix_folds_into_ours_is_no_way_to_relay(site):
    other = "x@stra\u00dfe.example"
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, SENDER, {other: Refused("554 5.7.1"),
                                     "x@strasse.example": Refused("550 5.1.1"),
                                     "x@xn--strae-oqa.example": Refused("554 5.7.1")}, "SMTPUTF8")
    assert site.policyd.log_lines("reject:.*verdict=not permitted, rule=foldedDomain")
    with site.connect(xclient={"addr": "192.0.2.8"}) as client:
        ledger.send(client, SENDER, {other: At("outside", other)}, "SMTPUTF8")
    ledger.balance()
