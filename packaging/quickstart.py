"""
The site that packaging/quickstart shows: a small organisation, real Postfix, real OpenLDAP, the three
daemons; mail through it; what was sent, what happened and why.

It is built from the same parts as the integration tests (tests/support).
"""

import argparse
import os
import shutil
import signal
import sys
import textwrap

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

from support.site import BASE_LDIF, Site, judge_milters  # noqa: E402
from support.wait import wait_for  # noqa: E402

SUFFIX = "dc=acme,dc=example"
OUTSIDER = "sue@outside.example"


def organisation(site):
    """Two systems share acme.example: this one, and the old one at the sink `legacy`."""
    return textwrap.dedent(f"""\
        dn: associatedDomain=acme.example,ou=mail,{SUFFIX}
        objectClass: coexistDomain
        associatedDomain: acme.example
        coexistDomainType: shared
        coexistForwardHost: legacy

        dn: associatedDomain=pop.acme.example,ou=mail,{SUFFIX}
        objectClass: coexistDomain
        associatedDomain: pop.acme.example
        coexistDomainType: relay
        coexistForwardHost: pop

        dn: cn=legacy,ou=mail,{SUFFIX}
        objectClass: coexistConnector
        cn: legacy
        coexistNextHop: {site.sinks["legacy"].hop}

        dn: cn=pop,ou=mail,{SUFFIX}
        objectClass: coexistConnector
        cn: pop
        coexistNextHop: {site.sinks["pop"].hop}
        """) + "".join([
            mailbox("anna", "anna@acme.example"),
            mailbox("adam.barr", "adam.barr@acme.example",
                    f"coexistAltRecipient: cn=Adam,ou=people,{SUFFIX}",
                    "coexistHideFromAddressLists: TRUE"),
            custom("Adam", "adam@pop.acme.example", "adam@pop.acme.example"),
            mailbox("carol", "carol@acme.example",
                    f"coexistAltRecipient: cn=Carol at home,ou=people,{SUFFIX}",
                    "coexistDeliverAndRedirect: TRUE"),
            custom("Carol at home", None, "carol@home.example"),
            custom("dave", "dave@acme.example", "dave@acme.example"),
        ])


def mailbox(uid, mail, *lines):
    return "\n" + "\n".join([
        f"dn: uid={uid},ou=people,{SUFFIX}", "objectClass: inetOrgPerson",
        "objectClass: coexistMailbox", f"uid: {uid}", f"cn: {uid}", f"sn: {uid}",
        f"mail: {mail}", *lines, ""])


def custom(cn, mail, target):
    return "\n" + "\n".join([
        f"dn: cn={cn},ou=people,{SUFFIX}", "objectClass: person",
        "objectClass: coexistCustomRecipient", f"cn: {cn}", f"sn: {cn}",
        *([f"mail: {mail}"] if mail else []), f"coexistTargetAddress: {target}", ""])


MIGRATION = f"""\
dn: uid=adam.barr,ou=people,{SUFFIX}
changetype: modify
add: coexistProxyAddress
coexistProxyAddress: smtp:adam@pop.acme.example
-
delete: coexistAltRecipient
-
delete: coexistHideFromAddressLists

dn: cn=Adam,ou=people,{SUFFIX}
changetype: delete
"""

PLACES = {
    "mailboxes": "the mailboxes of this system",
    "pop": "the POP3 system",
    "legacy": "the old mail system",
    "outside": "the Internet",
}


class Demo:
    def __init__(self, site):
        self.site = site
        self.seen = {name: 0 for name in site.sinks}
        self.number = 0

    def title(self, text):
        self.number += 1
        print(f"\n--- {self.number}. {text}", flush=True)

    @staticmethod
    def show(label, text):
        label += ":"
        for line in text.rstrip("\n").split("\n"):
            print(f"    {label:10}{line}", flush=True)
            label = ""

    def arrivals(self):
        """What came since the last time: [(place, address)]."""
        found = []
        for name, sink in self.site.sinks.items():
            messages = sink.snapshot()[self.seen[name]:]
            found += [(name, address) for m in messages for address in m.addresses]
        return sorted(found)

    def mail(self, title, recipient, places, sender=OUTSIDER):
        """Sends one mail and waits until it is in all of `places`; none: it must be refused."""
        self.title(title)
        self.seen = {name: sink.count() for name, sink in self.site.sinks.items()}
        self.show("sent", f"from <{sender}> to <{recipient}>")
        with self.site.connect() as client:
            client.mail(sender)
            reply = client.rcpt(recipient)
            if reply.ok:
                reply = client.data(f"From: <{sender}>\nTo: <{recipient}>\n"
                                    f"Subject: {title}\n\nHello.\n")
        if not places:
            assert not reply.ok, f"<{recipient}> was accepted: {reply}"
            self.show("happened", "refused:\n" + textwrap.fill(f"{reply.code} {reply.text}", 64))
        else:
            assert reply.ok, f"<{recipient}>: {reply}"
            wait_for(lambda: len(self.arrivals()) >= len(places),
                     lambda: f"{places}; so far {self.arrivals()}")
            assert [place for place, _ in self.arrivals()] == sorted(places), self.arrivals()
            self.show("happened", "accepted, and arrived at\n" + "\n".join(
                f"{PLACES[place]}, as <{address}>" for place, address in self.arrivals()))
        self.show("why", self.site.ctl("resolve", recipient, "--client", "127.0.0.1").stdout)

    def migrate(self):
        self.title("A user is migrated: adam.barr now reads his mail here")
        self.show("did", ("ldapmodify of" if self.site.slapd else "wrote the LDIF file anew, with")
                  + "\n" + MIGRATION)
        if self.site.slapd:
            self.site.slapd.modify(MIGRATION)
        else:
            self.site.write_ldif(directory(migrated(organisation(self.site))))
        wait_for(self.is_migrated, "the change to reach the replica")
        self.show("happened", "the replica has it; the next RCPT follows")

    def is_migrated(self):
        """Between the two changes the address is that of two objects: nothing is delivered."""
        deliveries = self.site.resolve("adam@pop.acme.example")[1]["deliveries"]
        return [each["address"] for each in deliveries] == ["adam.barr@acme.example"]


def migrated(text):
    """The organisation after MIGRATION, for the directory that is a file."""
    entries = [e for e in text.split("\n\n") if not e.startswith("dn: cn=Adam,")]
    return "\n\n".join(
        e.replace(f"coexistAltRecipient: cn=Adam,ou=people,{SUFFIX}",
                  "coexistProxyAddress: smtp:adam@pop.acme.example")
         .replace("\ncoexistHideFromAddressLists: TRUE", "") for e in entries)


def directory(text):
    """The whole file: what the private slapd is seeded with, and `text`."""
    return BASE_LDIF.format(suffix=SUFFIX, dc="acme", service_password="-") + "\n" + text


def run(demo):
    demo.mail("A plain mailbox", "anna@acme.example", ["mailboxes"])
    demo.mail("A redirected mailbox (alternate recipient)", "adam.barr@acme.example", ["pop"])
    demo.mail("A copy (deliver to both)", "carol@acme.example", ["mailboxes", "outside"])
    demo.mail("A shared name space: same domain, other system", "dave@acme.example", ["legacy"])
    demo.mail("Nobody has the address", "nobody@acme.example", [])
    demo.mail("A stranger wants to relay", "victim@elsewhere.example", [])
    demo.migrate()
    demo.mail("His old address on the POP3 system", "adam@pop.acme.example", ["mailboxes"])
    demo.mail("And the one here", "adam.barr@acme.example", ["mailboxes"])


def how_to_talk(site, folder):
    """Short names, so that a line can be read and copied; `site` is a link."""
    os.symlink(site.folder, f"{folder}/site")
    ctl = "build/ctl/coexistctl -c site/coexist.conf"
    lines = [
        f"The site is running. Talk to it:  cd {folder}",
        f"  SMTP         telnet 127.0.0.1 {site.postfix.port}",
        f"  resolve      {ctl} resolve carol@acme.example",
        f"  status       {ctl} status",
    ]
    if site.slapd:
        lines += [f"  LDAP         ldapmodify -x -H {site.slapd.uri} \\",
                  f"                   -D {site.slapd.root_dn} -w '{site.slapd.root_password}'"]
    else:
        lines += ["  directory    site/directory.ldif: change it, and it is read again"]
    lines += [
        "  mail log     site/postfix/mail.log",
        "  daemons      site/coexist-*.log",
        f"Stop it, and remove it: kill $(cat {folder}/kept)",
    ]
    return "\n".join(lines)


def stop(signum, frame):
    """Raises once: Ctrl-C reaches the shell that started us too, and that says SIGTERM."""
    if not stop.is_asked:
        stop.is_asked = True
        raise KeyboardInterrupt


stop.is_asked = False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--ldif", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    site = None
    try:
        print("== 3. The site", flush=True)
        source = "ldif" if options.ldif else "ldap"
        site = Site(source=source, sinks=("legacy", "pop"),
                    ldif=(lambda s: directory(organisation(s))) if options.ldif
                    else organisation)
        site.start()
        show_site(site)
        print("\n== 4. Mail\n\"why\" is what coexistctl resolve says about the address.", flush=True)
        run(Demo(site))
        print("\nAll of it happened as it should." + ("" if options.keep else
              " Stopping what was started."), flush=True)
        if options.keep:
            keep(site, options.folder)
    except KeyboardInterrupt:
        return 130
    finally:
        was_asked, stop.is_asked = stop.is_asked, True
        try:
            if site:
                site.close()
            judge_milters()
        except AssertionError:
            if not was_asked:  # a program that was stopped while it started may complain
                raise
        if os.path.exists(f"{options.folder}/kept"):
            shutil.rmtree(options.folder, ignore_errors=True)
    return 0


def show_site(site):
    def show(name, text):
        print(f"{name:29} {text}", flush=True)

    if site.slapd:
        show("slapd", f"{site.slapd.uri}, with the schema")
    else:
        show("directory", site.ldif_path)
    show("Postfix", f"127.0.0.1:{site.postfix.port}")
    for name, sink in site.sinks.items():
        show(PLACES[name], sink.hop)
    for daemon in site.daemons:
        show(daemon.name, f"process {daemon.pid}")


def keep(site, folder):
    """Shows how to talk to the site, lets the shell go, and stays until SIGTERM."""
    print("\n" + how_to_talk(site, folder), flush=True)
    with open(f"{folder}/kept.new", "w", encoding="ascii") as out:
        out.write(f"{os.getpid()}\n")
    os.rename(f"{folder}/kept.new", f"{folder}/kept")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while True:
        signal.pause()  # the handler raises


if __name__ == "__main__":
    sys.exit(main())
