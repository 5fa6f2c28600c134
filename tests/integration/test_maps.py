"""
The maps of the policy service in a real Postfix: as a gateway, and as the system that has the
mailboxes itself (virtual_mailbox_domains and virtual_mailbox_maps); postmap -q against each.
"""

import pytest

from support.dovecot import Dovecot
from support.ldif import change, connector, custom, domain, group, mailbox, person_dn
from support.ledger import At, Refused
from support.postfix import local_settings
from support.wait import run, wait_for

MAPS = "socketmap:unix:coexist/map:"
SENDER = "sue@outside.example"
UNKNOWN = Refused("550 5.1.1")

# Whose mail is whose: senders by login, and users of the other system write as the domain.
SENDERS = {
    "smtpd_sender_login_maps": MAPS + "login",
    "smtpd_sender_restrictions": "reject_sender_login_mismatch",
    "sender_canonical_maps": MAPS + "primary",
    "sender_canonical_classes": "envelope_sender, header_sender",
    "local_header_rewrite_clients": "static:all",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sasl_type": "dovecot",
    "smtpd_sasl_path": "private/auth",
}


def directory(site):
    pop = site.sinks["pop"].hop
    return "".join([
        domain("acme.example", "shared", forwardHost=site.sinks["legacy"].hop),
        domain("auth.example", "authoritative"), domain("*.wild.example", "authoritative"),
        domain("pop.example", "relay", forwardHost="pop"),
        domain("old.example", "rewrite", rewriteDomain="acme.example"),
        domain("off.example", "authoritative", enabled="FALSE"),
        connector("pop", pop, addressSpace="SMTP:pop.example"),
        connector("ms", site.sinks["legacy"].hop, addressSpace="MS:NET/PO/"),
        mailbox("adam", "adam@acme.example", proxyAddress=[
            "smtp:adam.barr@acme.example", "smtp:we ird@acme.example", "MS:NET/PO/ADAM"]),
        mailbox("redir", "redir@acme.example", altRecipient=person_dn("eve")),
        mailbox("parked", "parked@acme.example", parked="TRUE"),
        mailbox("lost", "lost@acme.example", homeServer="nowhere"),
        custom("eve", "eve@pop.example", "eve@acme.example"),
        custom("gil", "gil@acme.example", "gil@acme.example"),
        custom("ms", "MS:NET/PO/BOX", "ms@acme.example"),
        group("team", "team@acme.example", ["adam", "eve"]),
    ])


@pytest.fixture(scope="module", params=["gateway", "local"])
def site(make_module_site, request):
    is_local = request.param == "local"
    made = make_module_site(
        start=False, source="ldap", ldif=directory, sinks=("pop", "legacy"),
        settings={**SENDERS, **(local_settings() if is_local else {})},
        mailbox_transport="" if is_local else None)
    made.postfix.settings["virtual_transport"] = made.sinks["mailboxes"].hop
    made.postfix.write_settings()
    made.is_local = is_local
    dovecot = Dovecot(f"{made.folder}/logins", "logins",
                      sasl=f"{made.postfix.queue}/private/auth").start(made.slapd)
    yield made.start()
    dovecot.close()


FATES = {
    "adam@acme.example": At("mailboxes", "adam@acme.example"),
    "Adam.Barr@acme.example": At("mailboxes", "adam@acme.example"),
    "adam+list@acme.example": At("mailboxes", "adam+list@acme.example"),
    '"we ird"@acme.example': At("mailboxes", "adam@acme.example"),
    "adam@old.example": At("mailboxes", "adam@acme.example"),
    "redir@acme.example": At("pop", "eve@pop.example"),
    "eve@acme.example": At("pop", "eve@pop.example"),
    "gil@acme.example": At("legacy", "gil@acme.example"),
    "ms@acme.example": At("legacy", "IMCEAMS-NET_PO_BOX@acme.example"),
    "IMCEAMS-NET_PO_ADAM@acme.example": At("mailboxes", "adam@acme.example"),
    "team@acme.example": At("mailboxes", "adam@acme.example", "pop", "eve@pop.example"),
    "who@pop.example": At("pop", "who@pop.example"),
    "nobody@acme.example": UNKNOWN,
    "nobody@old.example": UNKNOWN,
    "nobody@x.wild.example": UNKNOWN,
    "parked@acme.example": Refused("450 4.2.1"),
    "lost@acme.example": Refused("451 4.3.5"),
    "x@off.example": Refused("451 4.3.2"),
    "x@elsewhere.example": Refused("554 5.7.1"),
}


def test_mail_finds_its_way_in_either_role(site):
    ledger = site.ledger()
    for address, fate in FATES.items():
        with site.connect() as client:
            ledger.send(client, SENDER, {address: fate})
    with site.connect() as client:
        ledger.send(client, SENDER, FATES)
    ledger.balance()


def test_a_changed_directory_shows_in_either_role(site):
    ledger = site.ledger()
    for move, sink in (("replace", "pop"), ("delete", "legacy")):
        values = ("pop",) if move == "replace" else ()
        site.slapd.modify(change(person_dn("gil"), (move, "homeServer", *values)))
        wait_for(lambda: site.postfix.postmap("gil@acme.example", "transport")
                 == (0, site.sinks[sink].hop), f"gil to be at {sink}")
        with site.connect() as client:
            ledger.send(client, f"sue-{sink}@outside.example",
                        {"gil@acme.example": At(sink, "gil@acme.example")})
        ledger.balance()


NONE = None
# No name with a blank in it: Postfix takes the value for a list.
LOGINS = "adam, adam@acme.example, adam.barr@acme.example"

# map, key, value (None: not found); "@name": the next hop of that sink
LOOKUPS = [
    ("transport", "adam@acme.example", "@mailboxes"),
    ("transport", "ADAM.BARR+x@ACME.example", "@mailboxes"),
    ("transport", '"we ird"@acme.example', "@mailboxes"),
    ("transport", "redir@acme.example", "@mailboxes"),  # as if it had no alternates
    ("transport", "gil@acme.example", "@legacy"),
    ("transport", "eve@pop.example", "@pop"),
    ("transport", "who@pop.example", "@pop"),
    ("transport", "IMCEAMS-NET_PO_BOX@acme.example", "@legacy"),
    ("transport", "x@elsewhere.example", NONE),
    ("transport", "x@[192.0.2.1]", NONE),
    ("transport", "*", NONE),
    ("transport", "postmaster", NONE),
    ("domains", "acme.example", "shared"),
    ("domains", "ACME.Example", "shared"),
    ("domains", "auth.example", "authoritative"),
    ("domains", "a.b.wild.example", "authoritative"),
    ("domains", "wild.example", NONE),
    ("domains", "pop.example", "relay"),
    ("domains", "old.example", "rewrite"),
    ("domains", "off.example", "authoritative"),
    ("domains", "elsewhere.example", NONE),
    ("mailbox_domains", "acme.example", "shared"),
    ("mailbox_domains", "x.wild.example", "authoritative"),
    ("mailbox_domains", "off.example", "authoritative"),
    ("mailbox_domains", "pop.example", NONE),
    ("mailbox_domains", "old.example", NONE),
    ("relay_domains", "pop.example", "relay"),
    ("relay_domains", "old.example", "rewrite"),
    ("relay_domains", "acme.example", NONE),
    ("relay_domains", "elsewhere.example", NONE),
    ("recipients", "adam@acme.example", "OK"),
    ("recipients", "adam.barr+x@acme.example", "OK"),
    ("recipients", "redir@acme.example", "OK"),
    ("recipients", "team@acme.example", "OK"),
    ("recipients", "gil@acme.example", "OK"),
    ("recipients", "who@pop.example", "OK"),
    ("recipients", "adam@old.example", "OK"),
    ("recipients", "IMCEAMS-NET_PO_ANY@acme.example", "OK"),  # some client could
    ("recipients", "postmaster@auth.example", "OK"),
    ("recipients", "nobody@acme.example", NONE),
    ("recipients", "nobody@old.example", NONE),
    ("recipients", "x@elsewhere.example", NONE),
    ("login", "adam@acme.example", LOGINS),
    ("login", "Adam.Barr+x@acme.example", LOGINS),
    ("login", "eve@acme.example", "eve, eve@acme.example"),
    ("login", "eve@pop.example", "eve, eve@acme.example"),
    ("login", "team@acme.example", "team@acme.example"),  # whom no login is called
    ("login", "nobody@acme.example", NONE),
    ("login", "x@elsewhere.example", NONE),
    ("primary", "adam.barr@acme.example", "adam@acme.example"),
    ("primary", "adam.barr+x@acme.example", "adam+x@acme.example"),
    ("primary", '"we ird"@acme.example', "adam@acme.example"),
    ("primary", "IMCEAMS-NET_PO_BOX@acme.example", "ms@acme.example"),
    ("primary", "eve@pop.example", "eve@acme.example"),
    ("primary", "who@pop.example", NONE),
    ("primary", "x@elsewhere.example", NONE),
]
TEMPORARY = [("recipients", "parked@acme.example"), ("recipients", "lost@acme.example"),
             ("recipients", "x@off.example")]


def value_of(site, value):
    """What must be answered, or None."""
    if value == "@mailboxes" and site.is_local:
        return None
    return site.sinks[value[1:]].hop if value and value[0] == "@" else value


def test_postmap_asks_each_map_for_a_key(site):
    wrong = []
    for name, key, value in LOOKUPS:
        code, found = site.postfix.postmap(key, name)
        wanted = value_of(site, value)
        if (code, found) != ((1, "") if wanted is None else (0, wanted)):
            wrong.append(f"{name} {key}: {code}, {found}")
    assert not wrong, "\n".join(wrong)


def postmap_alone(site, key, name):
    """Not as part of the site, whose log would hold its complaint."""
    return run(["postmap", "-q", key,
                f"socketmap:unix:{site.postfix.queue}/coexist/map:{name}"], check=False)


def test_postmap_is_told_to_try_later(site):
    for name, key in TEMPORARY:
        done = postmap_alone(site, key, name)
        assert done.returncode == 1 and "query error" in done.stderr, (name, key, done)
        assert not done.stdout, (name, key, done)


@pytest.mark.parametrize("name", sorted({row[0] for row in LOOKUPS}))
def test_postmap_asks_each_map_for_many_keys(site, name):
    rows = [(key, value_of(site, value)) for n, key, value in LOOKUPS if n == name]
    keys = "".join(f"{key}\n" for key, _ in rows)
    done = run(["postmap", "-c", site.postfix.config, "-q", "-",
                f"socketmap:unix:{site.postfix.queue}/coexist/map:{name}"], stdin=keys)
    found = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    for key, wanted in rows:
        assert found.get(key) == wanted, (key, found.get(key))
    assert len(found) == len([wanted for _, wanted in rows if wanted])


def test_an_unknown_map_is_an_error(site):
    done = postmap_alone(site, "adam@acme.example", "nonsense")
    assert done.returncode == 1 and "query error" in done.stderr and not done.stdout, done


@pytest.mark.parametrize("login,sender,status", [
    ("adam", "adam@acme.example", "250 2.1.5"),
    ("adam", "Adam.Barr+x@acme.example", "250 2.1.5"),
    ("adam.barr@acme.example", "adam@acme.example", "250 2.1.5"),
    ("adam", "eve@acme.example", "553 5.7.1"),
    ("adam", "x@elsewhere.example", "553 5.7.1"),
    ("eve", "eve@pop.example", "250 2.1.5"),
    ("", "adam@acme.example", "553 5.7.1"),  # nobody writes as him who has not logged in
    ("", "x@elsewhere.example", "250 2.1.5"),
])
def test_senders_belong_to_logins(site, login, sender, status):
    who = {"login": login} if login else {}
    assert site.rcpt_status("gil@acme.example", sender=sender, xclient=who) == status


def test_users_of_the_other_system_write_as_the_domain(site):
    """Envelope and header; who has no object stays what he is."""
    ledger = site.ledger()
    for login, sender, seen in (("eve", "eve@pop.example", "eve@acme.example"),
                                ("adam", "adam.barr@acme.example", "adam@acme.example"),
                                ("", "who@pop.example", "who@pop.example"),
                                ("", SENDER, SENDER)):
        with site.connect(xclient={"login": login} if login else {}) as client:
            ledger_id, _ = ledger.send(client, sender, {
                "gil@acme.example": At("legacy", "gil@acme.example")})
        ledger.balance()
        message, = ledger.messages(ledger_id, "legacy")
        assert message.sender == seen
        assert message.header("From") == [f"<{seen}>"]


def test_the_map_of_recipients_refuses_by_itself(site):
    """With no policy service: who is unknown, and not who is only for some."""
    settings = {name: site.postfix.settings[name] for name in (
        "smtpd_recipient_restrictions", "smtpd_relay_restrictions", "relay_recipient_maps")}
    site.postfix.set(smtpd_recipient_restrictions="", relay_recipient_maps=MAPS + "recipients",
                     smtpd_relay_restrictions="reject_unauth_destination")
    try:
        site.wait_rcpt("nobody@acme.example", "550 5.1.1")
        for address, status in (("adam@acme.example", "250 2.1.5"),
                                ("gil@acme.example", "250 2.1.5"),
                                ("nobody@x.wild.example", "550 5.1.1"),
                                ("parked@acme.example", "451 4.3.0")):
            code = site.rcpt_status(address)
            assert code[:3] == status[:3], (address, code)
    finally:
        site.postfix.set(**settings)
