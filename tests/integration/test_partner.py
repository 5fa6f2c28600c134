"""
A partner's directory, taken in with `domains`, tries whatever it can to get at what is ours. What
becomes of our mail, and who may relay, is the same before and after.
"""

import base64

import pytest

from support.directories import Directories
from support.ldif import (CONTAINERS, PEOPLE, connector, custom, domain, entry, group, mailbox,
                          person_dn)
from support.wait import wait_for

SUFFIX = "dc=partner,dc=example"
OUR_PEOPLE = PEOPLE


def ours(name):
    return f"{name}@acme.example"


OURS = CONTAINERS + "".join([
    domain("acme.example", "authoritative"), domain("partner.example", "shared"),
    domain("pop.acme.example", "relay", forwardHost="pop"),
    domain("old.acme.example", "rewrite", rewriteDomain="acme.example"),
    domain("xn--bcher-kva.example", "authoritative"),
    connector("pop", "smtp:[192.0.2.25]", addressSpace=["SMTP:pop.acme.example", "MS:ACME/PO1"],
              relayClient="192.0.2.0/24"),
    connector("fax", "fax:[192.0.2.26]", addressSpace="FAX:*"),
    mailbox("adam", ours("adam"), proxyAddress=[f"smtp:{ours('a.barr')}", "X500:/o=Acme/cn=Adam",
                                                "smtp:adam@xn--bcher-kva.example"]),
    mailbox("ceo", ours("ceo"), requireAuth="TRUE"),
    mailbox("banned", ours("banned"), relayAllowed="FALSE"),
    mailbox("fwd", ours("fwd"), altRecipient=person_dn("cust")),
    mailbox("lost", ours("lost"), altRecipient=person_dn("gone")),
    mailbox("spare", ours("spare"), altRecipient=["cn=contact," + PEOPLE, person_dn("gone")],
            deliverAndRedirect="TRUE"),
    custom("cust", "cust@pop.acme.example", ours("cust")),
    custom("ms", "MS:ACME/PO1/EVE", ours("ms")),
    custom("same", ours("same"), ours("same"), homeServer="pop"),
    group("staff", ours("staff"), ["adam", "cust", "gone"]),
])

# Each with what it is asked by: nobody, a login, a client.
ADDRESSES = [ours(name) for name in (
    "adam", "A.Barr", "adam+list", "ceo", "banned", "fwd", "lost", "spare", "cust", "ms", "same",
    "staff", "nobody", "postmaster", "abuse", "*", "gone",
    "IMCEAMS-ACME_PO1_EVE", "IMCEAMS-ACME_PO1_NEW", "IMCEAEX-_o+3DAcme_cn+3DAdam",
    "IMCEAEX-_o+3DAcme_cn+3DNew", "IMCEAFAX-+2B4930123", "IMCEASMTP-x+40outside+2Eexample")] + [
        "cust@pop.acme.example", "bob@pop.acme.example", "adam@old.acme.example",
        "adam@xn--bcher-kva.example", "eve@xn--bcher-kva.example", "ceo@sub.acme.example",
        "nobody@partner.example", "x@sub.partner.example", "x@outside.example",
        "adam%acme.example@outside.example", "x@evil.example", "MS:ACME/PO1/EVE", "MS:ACME/PO1/NEW"]
ASKED_BY = [[], ["--login", "adam"], ["--login", "banned"], ["--login", ours("adam")],
            ["--login", "newcomer"], ["--client", "203.0.113.9"], ["--client", "192.0.2.9"]]


def proxies(*values, mail="x@partner.example"):
    return mailbox("x", mail, proxyAddress=values)


def raw(value):
    """A value that only base64 can carry."""
    text = mailbox("x", "x@partner.example")
    return text.rstrip() + "\ncoexistProxyAddress:: " + base64.b64encode(value).decode() + "\n\n"


def with_logins(*logins, **attributes):
    return mailbox("x", "x@partner.example", **attributes).replace(
        "uid: x\n", "uid: x\n" + "".join(f"uid: {login}\n" for login in logins))


def at(dn, text):
    """The entry under another DN."""
    return f"dn: {dn}\n" + text.split("\n", 1)[1]


X = mailbox("x", "x@partner.example")
OUTSIDE = "outside the domains of this directory"
NOT_BASE = "outside the base of this directory"
NOTHING = None  # nothing to report: it is its own affair

# name -> (what the partner adds, what is said of it)
ATTACKS = {
    "an address of ours as mail": (mailbox("x", ours("adam")), OUTSIDE),
    "an address of ours as proxy": (proxies(f"SMTP:{ours('adam')}", ours("nobody")), OUTSIDE),
    "in capitals, with a dot": (proxies("smtp:ADAM@ACME.EXAMPLE.", "nobody@Acme.Example."), OUTSIDE),
    "a domain of ours in another script": (
        proxies("adam@bücher.example", "eve@BÜCHER.EXAMPLE", "eve@xn--BCHER-kva.example",
                "nobody@ａcme.example", "nobody@acme。example"), OUTSIDE),
    "routes": (proxies("smtp:adam%acme.example@partner.example",
                       "smtp:acme.example!adam@partner.example",
                       'smtp:"adam@acme.example"@partner.example',
                       "smtp:@acme.example:adam@partner.example",
                       "smtp:adam%acme.example@outside.example"), OUTSIDE),
    "a route in mail": (mailbox("x", "adam%acme.example@outside.example"), OUTSIDE),
    "addresses of other types": (
        proxies("MS:ACME/PO1/EVE", "MS:ACME/PO1/NEW", "X500:/o=Acme/cn=Adam", "X500:/o=Acme/cn=New",
                "FAX:+4930123", "EX:/o=Acme/cn=New"), "is limited to its domains"),
    "encapsulated addresses": (
        proxies("smtp:IMCEAMS-ACME_PO1_NEW@acme.example", "IMCEAEX-_o+3DAcme_cn+3DNew@acme.example",
                "smtp:IMCEAMS-ACME_PO1_EVE@ACME.example"), OUTSIDE),
    "a subdomain of ours": (mailbox("x", "ceo@sub.acme.example"), OUTSIDE),
    "a subdomain of its own": (mailbox("x", "x@sub.partner.example"), OUTSIDE),
    "wildcards": (proxies("smtp:*@acme.example", "@acme.example", "*@partner.example",
                          "smtp:@partner.example"), OUTSIDE),
    "an extension": (proxies(ours("adam+list")), OUTSIDE),
    "postmaster": (proxies(ours("postmaster"), ours("abuse")), OUTSIDE),
    "address literals": (proxies("smtp:adam@[127.0.0.1]", "adam@[192.0.2.25]"), "literal"),
    "types that look like another": (
        proxies("SMTP:SMTP:nobody@acme.example", "smtp :nobody@acme.example",
                "nobody@acme.example@partner.example", "smtp:nobody@acme.example,y@partner.example",
                "smtp:<nobody@acme.example>", "smtp:nobody@acme.example (x@partner.example)"), OUTSIDE),
    "a line feed": (raw(b"smtp:nobody@acme.example\nsmtp:y@partner.example"), "control character"),
    "a NUL": (raw(b"smtp:nobody@acme.example\0@partner.example"), "control character"),
    "a login of ours": (with_logins("adam", "ADAM", "a.barr", "ceo"), "login adam .* wins"),
    "a login of ours, forbidden": (with_logins("adam", relayAllowed="FALSE"), "login adam .* wins"),
    "a forbidden login, allowed": (with_logins("banned", "Banned", relayAllowed="TRUE"),
                                   "login banned .* wins"),
    "a login that is an address of ours": (
        with_logins(ours("adam"), ours("Adam"), ours("adam") + ".", '"adam"@acme.example',
                    relayAllowed="FALSE"), OUTSIDE),
    "our DN": (at(person_dn("adam"), X), NOT_BASE),
    "our DN, otherwise spelled": (at("UID = Cust , OU=People, DC=Acme;DC=example", X), NOT_BASE),
    "a DN that we miss": (at(person_dn("gone"), X), NOT_BASE),
    "a contact that we miss": (at(f"cn=contact,{OUR_PEOPLE}", X), NOT_BASE),
    "references into ours": (
        mailbox("x", "x@partner.example", altRecipient="PLACE-ceo")
        + group("g", "g@partner.example", []).replace(
            "cn: g\n", "cn: g\ncoexistMember: PLACE-ceo\ncoexistMember: PLACE-adam\n"), NOTHING),
    "members anywhere": (
        group("g", "g@partner.example", memberAddress=[
            ours("adam"), "victim@outside.example", ours("IMCEAFAX-+2B4930123"), "FAX:+4930123",
            "MS:ACME/PO1/EVE", ours("nobody")]), NOTHING),
    "targets among ours": (
        custom("a", ours("nobody"), "a@partner.example", homeServer="[203.0.113.9]")
        + custom("b", "bob@pop.acme.example", "b@partner.example", homeServer="[203.0.113.9]")
        + custom("c", "MS:ACME/PO1/NEW", "c@partner.example", homeServer="[203.0.113.9]")
        + custom("d", "MS:ACME/PO1/EVE", "d@partner.example", homeServer="[203.0.113.9]")
        + custom("e", ours("adam"), "e@partner.example", homeServer="[203.0.113.9]")
        + custom("f", "eve@xn--bcher-kva.example", "f@partner.example"), NOTHING),
    "a target and no address": (custom("a", ours("nobody"), homeServer="[203.0.113.9]"), NOTHING),
    "an alternate recipient among ours": (
        mailbox("x", "x@partner.example", forwardingAddress=ours("nobody"), homeServer="pop"), NOTHING),
    "a connector": (
        connector("evil", "smtp:[203.0.113.9]", addressSpace=["SMTP:*", "SMTP:adam@acme.example",
                                                              "MS:ACME/PO1/EVE", "FAX:*;0"],
                  relayClient="0.0.0.0/0", peer="0.0.0.0/0"), NOTHING),
    "a connector of our name": (connector("pop", "smtp:[203.0.113.9]", relayClient="::/0"), NOTHING),
    "domains": (
        domain("acme.example", "relay", forwardHost="[203.0.113.9]")
        + domain("evil.example", "relay") + domain("*.acme.example", "relay")
        + domain("outside.example", "rewrite", rewriteDomain="acme.example"), NOTHING),
    "a recipient that is a domain and a connector, too": (
        X.replace("objectClass: coexistMailbox",
                  "objectClass: coexistMailbox\nobjectClass: coexistDomain\n"
                  "objectClass: coexistConnector\nassociatedDomain: evil.example\n"
                  "coexistDomainType: relay\ncoexistNextHop: smtp:[203.0.113.9]\n"
                  "coexistRelayClient: 203.0.113.9\ncoexistAddressSpace: SMTP:*"), NOTHING),
    "containers of ours": (
        entry(PEOPLE, "objectClass: organizationalUnit", "ou: people"), NOT_BASE),
}


@pytest.fixture(scope="module", name="partner")
def _partner():
    made = Directories({
        "corp": "",
        "partner": f'base = "{SUFFIX}"\n  domains = {{"partner.example"}}\n  max_delete_percent = 100'})
    made.write(OURS, "corp")
    made.write(theirs("", 0), "partner")
    made.daemon.start()
    for name in ("corp", "partner"):
        wait_for(lambda: made.status(name)["loaded"],  # pylint: disable=W0640
                 lambda: made.daemon.log_text()[-4000:])
    yield made
    made.close()


def theirs(text, number):
    """What the partner's directory holds; the number tells when it is in force."""
    base = (CONTAINERS.replace("dc: acme", "dc: partner").replace("dc=acme,dc=example", SUFFIX)
            + "".join(mailbox(name, f"{name}@partner.example") for name in (
                f"mark{number}", "stays")).replace("dc=acme,dc=example", SUFFIX))
    outside = any(text.startswith(f"dn: {dn}") for dn in (
        person_dn("adam"), "UID = Cust", person_dn("gone"), f"cn=contact,{OUR_PEOPLE}", PEOPLE))
    text = text if outside else text.replace("dc=acme,dc=example", SUFFIX)
    for name in ("ceo", "adam"):
        text = text.replace(f"PLACE-{name}", person_dn(name))
    return base + text


def everything(syncd):
    """All that is decided of ours: by question, without the steps."""
    answers = {}
    for arguments in ASKED_BY:
        for address, answer in syncd.resolve(*ADDRESSES, arguments=arguments).items():
            answer.pop("steps")
            answers[" ".join([address, *arguments])] = answer
    return answers


@pytest.fixture(scope="module", name="before")
def _before(partner):
    return everything(partner)


def test_what_is_ours_works_at_all(before):
    """Otherwise the comparison would prove little."""
    verdicts = {question: answer["verdict"] for question, answer in before.items()}
    assert {a.split("@")[0]: verdicts[a] for a in ADDRESSES[:23]} == {
        "adam": "deliver", "A.Barr": "deliver", "adam+list": "deliver", "ceo": "denied",
        "banned": "deliver", "fwd": "deliver", "lost": "broken", "spare": "deliver",
        "cust": "deliver", "ms": "deliver", "same": "deliver", "staff": "deliver",
        "nobody": "unknown", "postmaster": "deliver", "abuse": "unknown", "*": "unknown",
        "gone": "unknown", "IMCEAMS-ACME_PO1_EVE": "deliver", "IMCEAMS-ACME_PO1_NEW": "unknown",
        "IMCEAEX-_o+3DAcme_cn+3DAdam": "deliver", "IMCEAEX-_o+3DAcme_cn+3DNew": "unknown",
        "IMCEAFAX-+2B4930123": "unknown", "IMCEASMTP-x+40outside+2Eexample": "unknown"}
    assert verdicts[ours("ceo") + " --login adam"] == "deliver"
    assert verdicts[ours("IMCEAFAX-+2B4930123") + " --login adam"] == "deliver"
    relay = {q: before[f"x@outside.example {q}"]["relay"]["allowed"] for q in (
        "--login adam", "--login banned", f"--login {ours('adam')}", "--login newcomer",
        "--client 203.0.113.9", "--client 192.0.2.9")}
    assert list(relay.values()) == [True, False, True, False, False, True]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_partner_changes_nothing_of_ours(partner, before, attack):
    text, said = ATTACKS[attack]
    number = list(ATTACKS).index(attack) + 1
    partner.write(theirs(text, number), "partner")
    wait_for(lambda: partner.fate(f"mark{number}@partner.example")[0] == "deliver",
             lambda: partner.daemon.log_text()[-4000:])
    after = everything(partner)
    assert {q: a for q, a in after.items() if a != before[q]} == {}
    if said:
        partner.wait_log(said)


def test_its_own_addresses_get_past_no_rule_of_ours(partner):
    """What is closed to strangers stays closed behind its groups and alternate recipients."""
    text = ATTACKS["references into ours"][0] + "".join([
        custom("a", ours("nobody"), "a@partner.example", homeServer="[203.0.113.9]"),
        custom("b", "bob@pop.acme.example", "b@partner.example", homeServer="[203.0.113.9]"),
        custom("y", ours("ceo"), "y@partner.example"),
        custom("z", ours("adam"), "z@partner.example")])
    partner.write(theirs(text, 999), "partner")
    wait_for(lambda: partner.fate("mark999@partner.example")[0] == "deliver",
             lambda: partner.daemon.log_text()[-4000:])
    answers = partner.resolve(*(f"{name}@partner.example" for name in "xgabyz"))
    fates = {a[0]: [x["verdict"], *(d["address"] for d in x["deliveries"])]
             for a, x in answers.items()}
    assert fates == {
        "x": ["denied"], "g": ["deliver", ours("adam")], "a": ["broken"],
        "b": ["deliver", "bob@pop.acme.example"], "y": ["denied"], "z": ["deliver", ours("adam")]}
    # By our route, whatever home server the partner named.
    assert answers["b@partner.example"]["deliveries"][0]["nexthop"] == "smtp:[192.0.2.25]"
