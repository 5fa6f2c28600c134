"""
Servers of one organization that share nothing but the directory and the secret: each a machine of
its own on a network (lan.py), with its own Postfix, daemons and replica, all of them MX; and two
LDAP servers in mirror mode, set up with what schema/ ships, one in each configuration style.
"""

import os
import re

from .lan import Lan
from .ldif import MAIL, PEOPLE, SUFFIX
from .sink import Sink
from .site import Site
from .slapd import BASE_LDIF, SCHEMA, Slapd
from .smtp import Client
from .tls import make_ca, make_certificate
from .wait import FACTOR, PATIENCE, run, wait_for

MANUAL = os.path.join(SCHEMA, "..", "doc", "several-servers.md")


def replicator():
    """The entry that the manual gives."""
    with open(MANUAL, encoding="utf-8") as manual:
        lines = re.search(r"(?m)^ +dn: cn=replicator(.+\n)+", manual.read())[0].splitlines()
    return "\n".join(line.strip() for line in lines) + "\n\n"


class Providers:
    """first (slapd.conf) and second (cn=config), each on a host of its own."""

    def __init__(self, folder, lan, ldif):
        self.ca = make_ca(folder, "ca")
        self.hosts = [lan.add("ldap1"), lan.add("ldap2")]
        self.both = []
        try:
            for host, style in zip(self.hosts, ("slapd.conf", "cn=config")):
                self.both.append(self._make(folder, host, style))
            self.first, self.second = self.both
            self.first.add(BASE_LDIF.format(suffix=SUFFIX, dc="acme",
                                            service_password=self.first.service_password)
                           + "\n" + replicator() + ldif)
            self.wait_in_step()
        except BaseException:
            self.close()
            raise

    def _shipped(self, name):
        """An example, for our hosts and our certificates; and a second is enough between attempts."""
        with open(f"{SCHEMA}/{name}", encoding="utf-8") as file:
            text = file.read()
        for number, host in enumerate(self.hosts, 1):
            text = text.replace(f"ldap://ldap{number}.acme.example/", f"ldap://{host.address}:389/")
        text, n = re.subn("/etc/ssl/certs/ca-certificates.crt", self.ca, text)
        assert n == 2
        return text.replace('retry="5 +"', 'retry="1 +"')

    def _make(self, folder, host, style):
        pem, key = make_certificate(folder, self.ca, host.name, f"IP:{host.address}")
        where = {"address": host.address, "port": 389, "prefix": host.prefix, "seed": False}
        if style == "slapd.conf":
            return Slapd(f"{folder}/{host.name}", database=self._shipped("mirror.conf.example"),
                         head=f"TLSCACertificateFile {self.ca}\nTLSCertificateFile {pem}\n"
                         f"TLSCertificateKeyFile {key}", **where)
        server = Slapd(f"{folder}/{host.name}", style, **where)
        server.configure(f"""\
dn: cn=config
changetype: modify
add: olcTLSCACertificateFile
olcTLSCACertificateFile: {self.ca}
-
add: olcTLSCertificateFile
olcTLSCertificateFile: {pem}
-
add: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: {key}
""")
        server.configure(self._shipped("mirror.ldif"))
        return server

    def uris(self):
        return [server.uri for server in self.both]

    @staticmethod
    def entries(server):
        """All that a server has, but for what it says of itself."""
        return server.search("(objectClass=*)", "*", "entryCSN", "entryUUID")

    def wait_in_step(self):
        def is_equal():
            one, two = map(self.entries, self.both)
            return one == two and MAIL in one and PEOPLE in one
        wait_for(is_equal, lambda: f"replication: {self.entries(self.first)}\n"
                 f"{self.entries(self.second)}")

    def close(self):
        for server in self.both:
            server.close()


class Node(Site):
    """One MX: a Site on a host. `estate` has the sinks, which are elsewhere, and the providers."""

    def __init__(self, estate, name, options):
        self.host = estate.lan.add(name)
        self._estate = estate
        super().__init__(source="elsewhere", name=name, options=options, settings={
            "queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s"})
        self.syncd.name = "coexist-syncd-fast"
        for daemon in self.daemons:
            daemon.prefix = self.host.prefix

    def add_sink(self, name, **_):
        self.sinks[name] = self._estate.sinks[name]

    def _where(self):
        return {"address": self.host.address, "prefix": self.host.prefix}

    def _source(self):
        # Not all begin with the same.
        uris = self._estate.providers.uris()
        if self.name == "mx2":
            uris.reverse()
        return f"""
  uri = "{' '.join(uris)}"
  starttls = true
  tls_ca_file = "{self._estate.providers.ca}"
  timeout = "2s"
  base = "{SUFFIX}"
  bind_dn = "cn=coexist,ou=services,{SUFFIX}"
  bind_password_file = "{self.folder}/ldap.secret"
  """

    def answer(self, address):
        """What a stranger is told who wants to send to it: "250", "550 5.1.1", ..., or "no answer"."""
        try:
            with Client(self.host.address, 25, connect_timeout=FACTOR) as client:
                reply = client.mail("probe@sender.example")
                if reply.ok:
                    reply = client.rcpt(address)
                return "250" if reply.ok else reply.status
        except OSError:
            return "no answer"

    def wait_answer(self, address, *wanted, deadline=PATIENCE):
        """Until it is one of these; which."""
        last = []

        def is_there():
            last[:] = [self.answer(address)]
            return last[0] in wanted and last[0]
        return wait_for(is_there, lambda: f"{self.name} to answer {wanted} for {address}, not "
                        f"{last}:\n{self.postfix.log_text()[-3000:]}\n"
                        f"{self.syncd.log_text()[-2000:]}", deadline)

    def reload_mta(self):
        """As the manual says: an smtpd keeps a failed look-up of an address for its life."""
        run([*self.host.prefix, "postfix", "-c", self.postfix.config, "reload"])

    def kill(self):
        """The power fails."""
        self.postfix.close()
        for daemon in self.daemons:
            daemon.kill()

    def revive(self):
        for daemon in self.daemons:
            daemon.start()
        self.postfix.start()

    def history(self, file):
        """What is known of a queue file."""
        return [str(os.stat(f"{self.postfix.queue}/{file}")),
                *self.postfix.log_lines(os.path.basename(file))]

    def queued(self):
        """The queue files that hold a message; a torn one that nobody was promised does not."""
        found = []
        for queue in ("maildrop", "incoming", "active", "deferred", "hold", "corrupt"):
            for folder, _, names in os.walk(f"{self.postfix.queue}/{queue}"):
                for name in names:
                    try:
                        if os.stat(f"{folder}/{name}").st_mode & 0o100:
                            found.append(f"{queue}/{name}")
                    except FileNotFoundError:
                        pass
        return found


class Estate:
    """lan, providers, nodes, sinks: "mailboxes" (LMTP), "outside", and "old", another system."""

    def __init__(self, folder, ldif, options):
        """ldif(estate): the directory; options: of coexist.conf, on all nodes."""
        self.sinks, self.nodes, self.providers = {}, [], None
        self.lan = Lan()
        try:
            for name in ("mailboxes", "outside", "old"):
                self.sinks[name] = Sink(name, name == "mailboxes", self.lan.address)
            self.providers = Providers(folder, self.lan, ldif(self))
            for number in (1, 2, 3):
                self.nodes.append(Node(self, f"mx{number}", options))
            for node in self.nodes:
                node.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        failures = []
        closing = [*(lambda n=n: n.close(wait=False) for n in self.nodes),
                   *(s.close for s in self.sinks.values()),
                   *([self.providers.close] if self.providers else []), self.lan.close]
        for close in closing:
            try:
                close()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        if failures:
            raise failures[0]

