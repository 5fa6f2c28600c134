"""
Addresses of other types through a real Postfix: a custom recipient whose target is MS:, X400:
or of any other type travels encapsulated (IMCEA) to the gateway of its address space, is
recognised when it comes back, as recipient and as sender, and nothing that should be
refused gets through. The vectors are those of Exchange's own encoder.
"""

import re

import pytest

from support.ldif import CONTAINERS, connector, custom, domain, mailbox, person_dn
from support.ledger import At, Refused

SENDER = "sue@outside.example"
UNKNOWN, INVALID = Refused("550 5.1.1"), Refused("501 5.1.3")
GATEWAY = {"addr": "192.0.2.7"}  # may relay, and is behind the connector "ms"
INSIDER = {"login": "here"}

# (name, target, local part on the wire, gateway)
VECTORS = [
    ("x400", "X400:c=US;a= ;p=Microsoft;o=Site;dda:SMTP=user;",
     "IMCEAX400-c=US+3Ba=+20+3Bp=Microsoft+3Bo=Site+3Bdda+3ASMTP=user+3B", "x400"),
    ("ms", "MS:MICROSOFT/PO2/ADAMB", "IMCEAMS-MICROSOFT_PO2_ADAMB", "ms"),
    ("ms-low", "MS:NET_1/PO2/A B", "IMCEAMS-NET+5F1_PO2_A+20B", "ms"),
    ("ms-plus", "MS:A+B/C=D/E-F", "IMCEAMS-A+2BB_C=D_E-F", "other"),
    ("ccmail", "CCMAIL:Barr, Adam at PO1", "IMCEACCMAIL-Barr+2C+20Adam+20at+20PO1", "other"),
    ("notes", "NOTES:Adam Barr/Sales/Acme@Acme", "IMCEANOTES-Adam+20Barr_Sales_Acme+40Acme",
     "other"),
    ("snads", "SNADS:DGN(DEN)", "IMCEASNADS-DGN+28DEN+29", "other"),
    ("gwise", "GWISE:Dom.PO.User", "IMCEAGWISE-Dom+2EPO+2EUser", "other"),
    ("fax", "FAX:+1 (425) 555-0100", "IMCEAFAX-+2B1+20+28425+29+20555-0100", "other"),
    ("long", "NOTES:" + "n" * 250, "IMCEANOTES-" + "n" * 250, "other"),
]
IDS = [name for name, *_ in VECTORS]


def acme(local):
    return f"{local}@acme.example"


def organisation(site):
    hop = {name: site.sinks[name].hop for name in ("ms", "x400", "fax", "other")}
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("other.example", "shared"),
        domain("former.example", "rewrite", rewriteDomain="acme.example"),
        connector("ms", hop["ms"], addressSpace=["MS:MICROSOFT/PO2/", "MS:NET_1/*/*"],
                  peer=GATEWAY["addr"], relayClient=GATEWAY["addr"]),
        connector("x400", hop["x400"], addressSpace="X400:O=Site;C=us;P=microsoft;A= "),
        connector("fax", hop["fax"], addressSpace="FAX:+1*"),
        # Longer prefixes than that of "fax" win, whatever their cost.
        connector("other", hop["other"], addressSpace=[
            "MS:A+B/C=D/E-F", "CCMAIL:*", "NOTES:*", "SNADS:*", "GWISE:*;5", "FAX:+1 (425)*;9",
            "FAX:+44*"]),
        # The longest that matches would win; this one is switched off.
        connector("off", hop["fax"], addressSpace="MS:MICROSOFT/PO2/ADAMB", enabled="FALSE"),
        mailbox("here", "here@acme.example"),
        mailbox("exuser", "exuser@acme.example",
                proxyAddress="X500:/o=Acme/ou=HQ/cn=Recipients/cn=adamb"),
        # Moved here from its post office, and keeps its address there.
        mailbox("moved", "moved@acme.example", proxyAddress="MS:MICROSOFT/PO2/MOVED"),
        mailbox("forwarded", "forwarded@acme.example", altRecipient=person_dn("ms")),
        custom("to-moved", "MS:microsoft/po2/moved", "to-moved@acme.example"),
        custom("nowhere", "MS:ELSEWHERE/PO1/X", "nowhere@acme.example"),
        *(custom(name, target, acme(name), proxyAddress=f"smtp:{name}@other.example")
          for name, target, _, _ in VECTORS),
    ])


@pytest.fixture(scope="module")
def site(make_module_site):
    return make_module_site(
        source="ldif", sinks=("ms", "x400", "fax", "other"), ldif=organisation,
        settings={"sender_canonical_maps": "socketmap:unix:coexist/map:primary",
                  "sender_canonical_classes": "envelope_sender"})


def send(site, ledger, fates, sender=SENDER, who=None):
    with site.connect(xclient=who) as client:
        return ledger.send(client, sender, fates)[0]


@pytest.mark.parametrize("name,target,local,gateway", VECTORS, ids=IDS)
def test_it_travels_encapsulated_and_is_recognised_when_it_comes_back(site, name, target, local,
                                                                       gateway):
    ledger = site.ledger()
    there = At(gateway, acme(local))
    send(site, ledger, {acme(name): there})
    # Under the domain of the address that was looked up.
    send(site, ledger, {f"{name}@other.example": At(gateway, f"{local}@other.example")})
    # As somebody else's reply: known, so no permission is needed.
    send(site, ledger, {acme(local): there})
    send(site, ledger, {acme(name): there, acme(local): there})
    # As sender: whoever reads it sees the name the directory has for it.
    ledger_id = send(site, ledger, {"here@acme.example": At("mailboxes", "here@acme.example")},
                     sender=acme(local))
    ledger.balance()
    message, = ledger.messages(ledger_id, "mailboxes")
    assert message.sender == acme(name)
    assert site.postfix.postmap(acme(local), "transport") == (0, site.sinks[gateway].hop)


def any_case(local):
    """Prefix and hexadecimal digits in small letters."""
    prefix, dash, rest = local.partition("-")
    return prefix.lower() + dash + re.sub(r"\+..", lambda m: m.group().lower(), rest)


@pytest.mark.parametrize("name,target,local,gateway", VECTORS, ids=IDS)
def test_it_is_known_in_any_case(site, name, target, local, gateway):
    """And left as it is: it is the same address."""
    ledger = site.ledger()
    written = acme(any_case(local))
    send(site, ledger, {written: At(gateway, written)})
    send(site, ledger, {"here@acme.example": At("mailboxes", "here@acme.example")},
         sender=written)
    ledger.balance()


@pytest.mark.parametrize("recipient,fate", [
    ("IMCEAMS-MICROSOFT_PO2_MOVED", At("mailboxes", "moved@acme.example")),
    ("to-moved", At("mailboxes", "moved@acme.example")),
    ("forwarded", At("ms", "IMCEAMS-MICROSOFT_PO2_ADAMB@acme.example")),
    ("IMCEAEX-_o=Acme_ou=HQ_cn=Recipients_cn=adamb", At("mailboxes", "exuser@acme.example")),
    ("imceaex-_O=ACME_OU=hq_cn=recipients_cn=ADAMB", At("mailboxes", "exuser@acme.example")),
    ("nowhere", Refused("451 4.3.5")),
])
def test_what_another_object_has_is_that_objects(site, recipient, fate):
    ledger = site.ledger()
    send(site, ledger, {acme(recipient): fate})
    ledger.balance()


@pytest.mark.parametrize("domain_name", ["acme.example", "other.example", "former.example"])
@pytest.mark.parametrize("who", [{}, GATEWAY, INSIDER], ids=["stranger", "gateway", "insider"])
@pytest.mark.parametrize("local,fate", [
    ("IMCEASMTP-victim+40elsewhere+2Eexample", UNKNOWN),
    ("imceasmtp-victim+40elsewhere+2Eexample", UNKNOWN),
    ("IMCEASMTP-here+40acme+2Eexample", UNKNOWN),
    ("IMCEAX500-_o=Acme_ou=HQ_cn=Recipients_cn=adamb", UNKNOWN),
    ("IMCEAX500-victim", UNKNOWN),
    ("IMCEAEX-_o=Acme_ou=HQ_cn=Recipients_cn=removed", UNKNOWN),
    ("IMCEAEX-victim+40elsewhere+2Eexample", UNKNOWN),
    ("IMCEAMS-NET+5", INVALID),
    ("IMCEAMS-NET+ZZ", INVALID),
    ("IMCEAMS-NET+", INVALID),
    ("IMCEAMS-MICROSOFT_PO2_X+00", INVALID),
    ("IMCEAMS-MICROSOFT_PO2_X+0D+0ARCPT", INVALID),
    ("IMCEA-x", INVALID),
    ("IMCEAMS-" + "x" * 308, INVALID),
    ("IMCEAMS-MICROSOFT_PO20_ANY", UNKNOWN),
    ("IMCEAMS-MICROSOFT_PO1_X", UNKNOWN),
    ("IMCEAX400-c=us+3Ba=+20+3Bp=Microsoft+3Bo=Siteb", UNKNOWN),
    ("IMCEAFAX-+2B331", UNKNOWN),
])
def test_what_must_not_get_through_is_refused(site, local, fate, who, domain_name):
    ledger = site.ledger()
    send(site, ledger, {f"{local}@{domain_name}": fate}, who=who)
    ledger.balance()


ONE_OFFS = [
    ("IMCEAMS-MICROSOFT_PO2_ANYONE", "ms"),
    ("IMCEAMS-NET+5F1_PO9_X", "ms"),
    ("IMCEAX400-s=barr+3Bo=site+3Bc=US+3Ba=+20+3Bp=Microsoft", "x400"),
    ("IMCEAFAX-+2B14255550199", "fax"),
    ("IMCEAFAX-+2B442079460000", "other"),
    ("IMCEACCMAIL-Anyone+20at+20PO9", "other"),
]


@pytest.mark.parametrize("local,gateway", ONE_OFFS)
def test_one_off_addresses_are_for_those_who_may_relay(site, local, gateway):
    ledger = site.ledger()
    there = At(gateway, acme(local))
    send(site, ledger, {acme(local): UNKNOWN})
    send(site, ledger, {acme(local): there}, who=INSIDER)
    # The gateway of MS is not sent back what it has sent.
    send(site, ledger, {acme(local): UNKNOWN if gateway == "ms" else there}, who=GATEWAY)
    ledger.balance()


def test_one_message_to_all_types(site):
    ledger = site.ledger()
    send(site, ledger, {
        **{acme(name): At(gateway, acme(local))
           for name, _, local, gateway in VECTORS},
        **{acme(local): At(gateway, acme(local)) for local, gateway in ONE_OFFS},
        "exuser@acme.example": At("mailboxes", "exuser@acme.example"),
        "forwarded@acme.example": At("ms", "IMCEAMS-MICROSOFT_PO2_ADAMB@acme.example"),
    }, who=INSIDER)
    ledger.balance()


def test_in_a_domain_that_is_not_ours_it_is_an_ordinary_address(site):
    ledger = site.ledger()
    for local in ("IMCEAEX-_o=Acme_cn=adamb", "IMCEAMS-NET+5", "IMCEASMTP-a+40b+2Ec"):
        address = f"{local}@elsewhere.example"
        send(site, ledger, {address: Refused("554 5.7.1")})
        send(site, ledger, {address: At("outside", address)}, who=INSIDER)
    ledger.balance()
