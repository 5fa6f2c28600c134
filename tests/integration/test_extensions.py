"""
Address extensions on a real Postfix, with two delimiters: kept where mail stays with the object that
was addressed, dropped or (propagate_extension) taken along where it goes elsewhere; whatever the
object is, and whatever the extension looks like.
"""

import pytest

from support.daemons import program
from support.ledger import At, Refused
from support.ldif import (CONTAINERS, connector, custom, domain, group, group_of_names, mailbox,
                          person_dn)
from support.wait import run, wait_for

SENDER = "sue@outside.example"


def directory(site):
    pop, ms, legacy = (site.sinks[name].hop for name in ("pop", "ms", "legacy"))
    return CONTAINERS + "".join([
        domain("acme.example", "shared", forwardHost=legacy),
        domain("old.example", "rewrite", rewriteDomain="acme.example"),
        domain("pop.example", "relay", forwardHost=pop),
        connector("ms", ms, addressSpace="MS:NET/PO/"),
        connector("one", pop, addressSpace="SMTP:same@acme.example"),
        mailbox("adam", "Adam@acme.example", proxyAddress="smtp:adam.barr@acme.example"),
        mailbox("list", "adam+list@acme.example"),
        mailbox("imcea", "imcea@acme.example"),
        mailbox("under", "a_b@acme.example"),
        mailbox("blank", '"a b"@acme.example'),
        mailbox("jose", "jos\u00e9@acme.example"),
        mailbox("plus", "+@acme.example"),
        mailbox("redirect", "redirect@acme.example", altRecipient=person_dn("adam")),
        mailbox("toproxy", "toproxy@acme.example", forwardingAddress="adam.barr_fixed@acme.example"),
        mailbox("copy", "copy@acme.example", deliverAndRedirect="TRUE",
                forwardingAddress="copy@far.example"),
        mailbox("quoted", "quoted@acme.example", forwardingAddress='"q q"@far.example'),
        mailbox("tofixed", "tofixed@acme.example", forwardingAddress="fixed+f@far.example"),
        custom("custom", "SMTP:c@pop.example", mail="custom@acme.example"),
        custom("far", "SMTP:f@far.example", mail="far@acme.example"),
        custom("same", "SMTP:same@acme.example", mail="same@acme.example"),
        custom("hidden", "SMTP:nobodys@acme.example", mail="hidden@acme.example"),
        custom("box", "MS:NET/PO/BOX", mail="box@acme.example"),
        group_of_names("all", "all@acme.example", ["adam", "custom"]),
        group("texts", "texts@acme.example", memberAddress=["adam+m@acme.example", "m@far.example"]),
    ])


@pytest.fixture(scope="module")
def site(make_module_site):
    return make_module_site(source="ldif", ldif=directory, sinks=("pop", "ms", "legacy"),
                            options='recipient_delimiter = "+_"')


def box(address):
    return At("mailboxes", address)


def reload(site, **options):
    """Other settings, taken up by the milter and the policy service."""
    with open(site.conf, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines()
                 if line.partition(" = ")[0] not in options]
    with open(site.conf, "w", encoding="utf-8") as file:
        file.write("\n".join([f"{k} = {v}" for k, v in options.items()] + lines) + "\n")
    for daemon in (site.policyd, site.milter):
        said = "configuration reloaded"
        before = len(daemon.log_lines(said))
        daemon.reload()
        wait_for(lambda d=daemon, b=before: len(d.log_lines(said)) > b, "the new settings")


# What stays with its object, whatever the settings: RCPT, fate, ORCPT where it was changed.
STAYING = [
    ("adam+x@acme.example", box("adam+x@acme.example")),
    ("ADAM+X@ACME.example", box("ADAM+X@ACME.example")),
    ("adam_x@acme.example", box("adam_x@acme.example")),
    ("adam+x_y+z@acme.example", box("adam+x_y+z@acme.example")),
    ("adam+@acme.example", box("adam+@acme.example")),
    ("adam++@acme.example", box("adam++@acme.example")),
    ('"adam+x y"@acme.example', box('"adam+x y"@acme.example')),
    ('"adam+x"@acme.example', box("adam+x@acme.example")),
    ("adam+\u00e9@acme.example", box("adam+\u00e9@acme.example")),
    ("adam+list@acme.example", box("adam+list@acme.example")),
    ("adam+list+x@acme.example", box("adam+list+x@acme.example")),
    ("adam+listx@acme.example", box("adam+listx@acme.example")),
    ("a_b@acme.example", box("a_b@acme.example")),
    ("a_b_c@acme.example", box("a_b_c@acme.example")),
    ('"a b+x"@acme.example', box('"a b+x"@acme.example')),
    ("+@acme.example", box("+@acme.example")),
    ("++x@acme.example", box("++x@acme.example")),
    ("jos\u00e9+x@acme.example", box("jos\u00e9+x@acme.example")),
    ("JOSE\u0301_\u00c9@acme.example", box("jos\u00e9_\u00c9@acme.example")),
    ("same+x@acme.example", At("pop", "same+x@acme.example")),
    ("same@acme.example", At("pop", "same@acme.example")),
    ("custom+x@acme.example", At("pop", "c+x@pop.example")),  # its own: nobody else has it
    ("hidden+x@acme.example", At("legacy", "nobodys+x@acme.example")),
    ("pop+x@pop.example", At("pop", "pop+x@pop.example")),
    ("eve+x@acme.example", Refused("550 5.1.1")),
    ("a+b@acme.example", Refused("550 5.1.1")),
    ("+x@acme.example_", Refused("554 5.7.1")),
    ("_x@acme.example", Refused("550 5.1.1")),
    ("adam-x@acme.example", Refused("550 5.1.1")),
    ("adam%x@acme.example", Refused("554 5.7.1")),
    # What an encapsulated address is made of delimits nothing.
    ("IMCEAMS-NET_PO_BOX@acme.example", At("ms", "IMCEAMS-NET_PO_BOX@acme.example")),
    ("IMCEAMS-NET_PO_NOBODY@acme.example", Refused("550 5.1.1")),
    ("IMCEAMS-NET_PO_BOX+x@acme.example", Refused("501 5.1.3")),
    ("imcea_x@acme.example", box("imcea_x@acme.example")),
]
# A proxy address becomes the primary one, or stays.
TO_PRIMARY = [
    ("adam.barr+x@acme.example", box("Adam+x@acme.example")),
    ("adam.barr_@acme.example", box("Adam_@acme.example")),
    ("ADAM.BARR+X_Y@old.example", box("Adam+X_Y@acme.example")),
]
AS_WRITTEN = [
    ("adam.barr+x@acme.example", box("adam.barr+x@acme.example")),
    ("adam.barr_@acme.example", box("adam.barr_@acme.example")),
    ("ADAM.BARR+X_Y@old.example", box("ADAM.BARR+X_Y@acme.example")),
    ("jose\u0301_\u00c9@acme.example", box("jose\u0301_\u00c9@acme.example")),
]
MS_BOX = At("ms", "IMCEAMS-NET_PO_BOX@acme.example")
# What goes elsewhere.
DROPPED = [
    ("redirect+x@acme.example", box("Adam@acme.example")),
    ("toproxy+x@acme.example", box("Adam_fixed@acme.example")),
    ("copy+x@acme.example", box("copy+x@acme.example") + At("outside", "copy@far.example")),
    ("quoted+x@acme.example", At("outside", '"q q"@far.example')),
    ("tofixed_x@acme.example", At("outside", "fixed+f@far.example")),
    ("far+x@acme.example", At("outside", "f@far.example")),
    ("box+x@acme.example", MS_BOX),
    ("all+x@acme.example", box("Adam@acme.example") + At("pop", "c@pop.example")),
    ("texts_x@acme.example", box("Adam+m@acme.example") + At("outside", "m@far.example")),
]
PROPAGATED = [
    ("redirect+x@acme.example", box("Adam+x@acme.example")),
    ("redirect_@acme.example", box("Adam_@acme.example")),
    ("toproxy+x@acme.example", box("Adam_fixed+x@acme.example")),
    ("copy+x@acme.example", box("copy+x@acme.example") + At("outside", "copy+x@far.example")),
    ("quoted+x@acme.example", At("outside", '"q q+x"@far.example')),
    ("tofixed_x@acme.example", At("outside", "fixed+f_x@far.example")),
    ("far+x@acme.example", At("outside", "f+x@far.example")),
    ("box+x@acme.example", MS_BOX),  # another type has no extensions
    ("all+x@acme.example", box("Adam+x@acme.example") + At("pop", "c+x@pop.example")),
    ("texts_x@acme.example", box("Adam+m_x@acme.example") + At("outside", "m_x@far.example")),
    ("toproxy@acme.example", box("Adam_fixed@acme.example")),
]


def xtext(text):
    return "".join(chr(b) if 33 <= b <= 126 and b not in b"+=" else f"+{b:02X}"
                   for b in text.encode())


def send_each(site, rows):
    """A message for each; what arrived has to be what should, and to name what was written."""
    ledger = site.ledger()
    sent = []
    with site.connect() as client:
        for rcpt, fate in rows:
            ledger_id, _ = ledger.send(client, SENDER, {rcpt: fate}, "SMTPUTF8",
                                       {rcpt: "NOTIFY=FAILURE,DELAY"})
            sent.append((ledger_id, rcpt, fate))
    ledger.balance()
    wrong = []
    for ledger_id, rcpt, fate in sent:
        for sink in ledger.sinks:
            for message in ledger.messages(ledger_id, sink):
                recipient, = message.recipients
                # The internal form, as everywhere in ORCPT.
                written = rcpt.replace('"', "") if rcpt.startswith('"') else rcpt
                orcpt = recipient.args["ORCPT"]
                if rcpt.isascii() and orcpt not in (f"rfc822;{xtext(written)}",
                                                    f"rfc822;{xtext(rcpt)}"):
                    wrong.append((rcpt, recipient))
                is_copy = len(fate.deliveries) == 2 and recipient.address.startswith("copy") and \
                    sink == "outside"
                if recipient.args["NOTIFY"] != ("NEVER" if is_copy else "FAILURE,DELAY"):
                    wrong.append((rcpt, recipient))
                if message.sender != SENDER:
                    wrong.append((rcpt, message.sender))
    assert not wrong, "\n".join(map(str, wrong))


def test_an_extension_is_kept_at_home_and_dropped_elsewhere(site):
    send_each(site, STAYING + TO_PRIMARY + DROPPED)


def test_propagate_extension_takes_it_along(site):
    reload(site, propagate_extension="true")
    send_each(site, STAYING + TO_PRIMARY + PROPAGATED)


def test_as_written_means_the_extension_too(site):
    reload(site, propagate_extension="true", rewrite_to_primary="false")
    send_each(site, AS_WRITTEN + [
        ("toproxy+x@acme.example", box("adam.barr_fixed+x@acme.example")),
        ("redirect+x@acme.example", box("Adam+x@acme.example"))])


def test_without_delimiters_there_are_no_extensions(site):
    reload(site, recipient_delimiter='""')
    send_each(site, [("adam@acme.example", box("adam@acme.example")),
                     ("adam+list@acme.example", box("adam+list@acme.example")),
                     ("adam+x@acme.example", Refused("550 5.1.1")),
                     ("a_b_c@acme.example", Refused("550 5.1.1"))])


def test_only_what_needs_no_quotes_and_means_nothing_else_delimits(site):
    with open(site.conf, encoding="utf-8") as file:
        text = file.read()
    path = f"{site.folder}/delimiters.conf"
    for delimiters in ("\u00e9", "@", ".", "a", "%", "=", "+ ", "!"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'recipient_delimiter = "{delimiters}"\n' + "\n".join(
                line for line in text.splitlines() if "recipient_delimiter" not in line) + "\n")
        done = run([program("coexist-milter"), "-t", "-c", path], check=False)
        assert done.returncode == 78 and ":1: " in done.stderr, (delimiters, done)
