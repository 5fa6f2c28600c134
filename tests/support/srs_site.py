"""
A site with SRS, and what its tests have in common: mail from carol, of another system, to people
of ours who have it forwarded.
"""

import os
import re
import struct

from .ledger import At, identify
from .ldif import CONTAINERS, connector, domain, group_of_names, mailbox
from .srs import HOP_SETTINGS, hop_service, write_secret
from .wait import free_port, wait_for

SRS = "srs.acme.example"
CAROL = "carol@partner.example"
# Of all characters those that somebody may stumble over; Postfix takes some for a route.
ODD = At("outside", r'"O d%d!\"+x=@y"@outside.example')
OF_CAROL = re.compile(r"SRS0=[A-Za-z0-9+/]{4}=[A-Z2-7]{2}=partner\.example=carol@srs\.acme\.example")


def directory(site):
    old = site.sinks["old"]
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        connector("old", old.hop, addressSpace="SMTP:old.example"),
        mailbox("bob", "bob@acme.example"),
        mailbox("adam", "adam@acme.example", forwardingAddress="adam@outside.example"),
        mailbox("odd", "odd@acme.example", forwardingAddress=ODD.deliveries[0].address),
        mailbox("accent", "accent@acme.example", forwardingAddress="Jösé@outside.example"),
        mailbox("eve", "eve@acme.example", forwardingAddress="eve@outside.example",
                deliverAndRedirect="TRUE"),
        mailbox("far", "far@acme.example", forwardingAddress="far@old.example"),
        group_of_names("all", "all@acme.example", ["bob", "adam", "far"]),
        group_of_names("abroad", "abroad@acme.example", ["adam", "odd"]),
        domain("moved.example", "rewrite", rewriteDomain="outside.example"),
        # What is left of SRS0+... without its "extension".
        mailbox("base", f"srs0@{SRS}"),
    ])


def make_srs_site(make, has_hop=True, settings=None, **options):
    port = free_port()
    hop_settings = HOP_SETTINGS if has_hop else {}
    site = make(
        start=False, source="ldif", sinks=("old",), ldif=directory, **options,
        settings={**hop_settings, **(settings or {})},
        # For clocks that jump: the directories stay young enough to refuse by.
        options='unknown_defer_after = "199d"\nmax_staleness = "199d"',
        services=[hop_service(port, SRS)] if has_hop else [],
        sections=lambda site: f"""srs {{
  enable = true
  domain = "{SRS}"
  secret_file = {{"{site.folder}/srs.secret"}}
  {f'hop = "coexist-srs:[127.0.0.1]:{port}"' if has_hop else ''}
}}""")
    site.hop_port = port
    write_secret(f"{site.folder}/srs.secret", "one secret")
    let_jump(site, site.policyd, site.milter)
    return site.start()


def let_jump(site, *daemons):
    """Before they start: those whose wall clock jump() changes."""
    jump(site, 0)
    for daemon in daemons:
        daemon.name += "-jump"
        daemon.prefix = ["env", f"COEXIST_TEST_CLOCK={site.folder}/clock"]


def jump(site, seconds):
    """From now on the wall clock of those daemons is off by so much."""
    with open(f"{site.folder}/clock", "r+b" if os.path.exists(f"{site.folder}/clock") else "wb",
              buffering=0) as out:
        out.write(struct.pack("=q", seconds))


def envelopes(site, ledger_id):
    """[(sink, sender, RET, ENVID, recipient, NOTIFY, ORCPT)] of one message, sorted."""
    return sorted(
        (name, message.sender, message.args.get("RET", ""), message.args.get("ENVID", ""),
         recipient.address, recipient.args.get("NOTIFY", ""), recipient.args.get("ORCPT", ""))
        for name, sink in site.sinks.items() for message in sink.snapshot()
        if identify(message) == (ledger_id, "mail") for recipient in message.recipients)


def send(site, sender, fates, mail_params="RET=HDRS ENVID=e+2B1", rcpt_params=None, **message):
    """One message to its end; its envelopes, with rewritten senders as "SRS"."""
    ledger = site.ledger()
    with site.connect() as client:
        ledger_id, _ = ledger.send(client, sender, fates, mail_params, rcpt_params, **message)
    ledger.balance()
    return ledger_id, envelopes(site, ledger_id)


OUT = {name: At("outside", f"{name}@outside.example") for name in ("adam", "eve")}
HERE = {name: At("mailboxes", f"{name}@acme.example") for name in ("bob", "eve")}
FAR = At("old", "far@old.example")


def rewritten(rows):
    """The rows with OF_CAROL for each sender that is carol's, rewritten."""
    return [(row[0], "SRS" if OF_CAROL.fullmatch(row[1]) else row[1], *row[2:]) for row in rows]


def row(sink, sender, recipient, of, notify="SUCCESS,FAILURE"):
    return (sink, sender, "HDRS", "e+2B1", recipient, notify, f"rfc822;{of}@acme.example")


def notify(*names, value="SUCCESS,FAILURE"):
    return {f"{name}@acme.example": f"NOTIFY={value}" for name in names}


def rewrite(site, sender=CAROL, mail_params=""):
    """The sender that a message from there leaves with."""
    _, rows = send(site, sender, {"adam@acme.example": OUT["adam"]}, mail_params)
    return rows[0][1]


def reconfigure(site, text):
    with open(site.conf, "w", encoding="utf-8") as out:
        out.write(text)
    says = "configuration reloaded"
    for daemon in (site.milter, site.policyd):
        before = len(daemon.log_lines(says))
        daemon.reload()
        wait_for(lambda: len(daemon.log_lines(says)) > before, daemon.log_text)
