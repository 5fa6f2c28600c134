"""
Servers of one organization that share nothing but the directory and the secret, each a host of its
own (host.py): nodes with their own Postfix, daemons and replica, all of them MX, and two LDAP servers
in mirror mode, one in each configuration style. What makes them one is done by the commands of
doc/several-servers.md.
"""

import glob
import itertools
import os
import re
import shutil
from functools import partial

from .flow import CONNECT_TIMEOUT
from .guide import blocks, type_in
from .host import Hosts, Unit
from .ldif import MAIL, PEOPLE, SUFFIX
from .sink import Sink
from .site import Site
from .slapd import BASE_LDIF, SCHEMA, Slapd
from .smtp import Client
from .tls import make_ca, make_certificate
from .wait import PATIENCE, wait_for

MANUAL = os.path.join(SCHEMA, "..", "doc", "several-servers.md")
PLACE = "/usr/share/coexist/schema"
CONF = "/etc/coexist/coexist.conf"
_strangers = itertools.count()


class Page:
    """The manual, typed at the hosts that it names. edits: {file: function of its text}."""

    def __init__(self, hosts, folder, edits):
        self._hosts, self._edits = hosts, edits
        self._blocks = blocks(MANUAL)
        self._schema = f"{folder}/schema"
        self.typed = set()
        self._copy_schema()

    def _copy_schema(self):
        """What is shipped; but a second is enough between attempts to replicate."""
        shutil.copytree(SCHEMA, self._schema)
        for path in glob.glob(f"{self._schema}/mirror.*"):
            with open(path, encoding="utf-8") as file:
                text, n = re.subn('retry="5 \\+"', 'retry="1 +"', file.read())
            assert n == 2
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)

    def part(self, heading):
        found = [block for block in self._blocks if block.heading == heading]
        assert found, heading
        return found

    def play(self, block, host):
        """One block at one host."""
        self.typed.add(block.line)
        if name := block.options.get("file"):
            block.write(f"{host.folder}/home", host.folder)
            if name in self._edits:
                host.rewrite(name, self._edits[name])
        else:
            assert block.language == "sh", block
            type_in(block, f"several-servers.md:{block.line}, {host.name}",
                    lambda text: host.run(text.replace(PLACE, self._schema)))

    def play_part(self, heading):
        for block in self.part(heading):
            self.play_block(block)

    def play_block(self, block, then=lambda host: None):
        """At each of its hosts; then(host) behind each."""
        for name in block.options["on"].split(","):
            self.play(block, self._hosts[name])
            then(self._hosts[name])

    def assert_all_typed(self):
        left = [b for b in self._blocks if "on" in b.options and b.line not in self.typed
                or b.language == "sh" and "on" not in b.options]
        assert not left, left


class Providers:
    """
    first (slapd.conf) and second (cn=config), each on a host of its own. The first has `ldif`; they
    know nothing of each other yet.
    """

    def __init__(self, folder, hosts, ldif):
        self.hosts = [hosts["ldap1"], hosts["ldap2"]]
        self.both = []
        try:
            for host, style in zip(self.hosts, ("slapd.conf", "cn=config")):
                self.both.append(self._make(folder, host, style, hosts))
            self.first, self.second = self.both
            self.first.add(BASE_LDIF.format(suffix=SUFFIX, dc="acme",
                                            service_password=self.first.service_password)
                           + "\n" + ldif)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _make(folder, host, style, hosts):
        pem, key = make_certificate(folder, hosts.ca, host.name, f"DNS:{host.full_name}")
        server = Slapd(
            f"{folder}/{host.name}", style, address=host.address, port=389, prefix=host.prefix,
            seed=False, listeners=["ldap:///", "ldapi:///"], is_ours=style == "slapd.conf",
            head=f"TLSCACertificateFile {hosts.ca}\nTLSCertificateFile {pem}\n"
            f"TLSCertificateKeyFile {key}")
        host.units["slapd"] = server
        if style == "slapd.conf":
            shutil.move(f"{server.folder}/slapd.conf", f"{host.folder}/etc/ldap/slapd.conf")
            server.config = ["-f", "/etc/ldap/slapd.conf"]
        else:
            server.configure(f"""\
dn: cn=config
changetype: modify
add: olcTLSCACertificateFile
olcTLSCACertificateFile: {hosts.ca}
-
add: olcTLSCertificateFile
olcTLSCertificateFile: {pem}
-
add: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: {key}
""")
        for name, text in ((".ldaprc", f"URI ldap://127.0.0.1\nBASE {SUFFIX}\nBINDDN {server.root_dn}\n"),
                           ("admin.pw", server.root_password)):
            with open(f"{host.folder}/home/{name}", "w", encoding="ascii",
                      opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                out.write(text)
        return server

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
            server.kill()  # ending well takes seconds where it has lost the other one


class Node(Site):
    """One MX: a Site on a host. `estate` has the sinks, which are elsewhere, and the providers."""

    def __init__(self, estate, name):
        self.host = estate.hosts[name]
        self.prefix = self.host.prefix
        self._estate = estate
        super().__init__(source="elsewhere", name=name, settings={
            "queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
            "lmtp_host_lookup": "native", "lmtp_dns_support_level": "disabled"},
            hosts={"store.acme.example": estate.hosts.address})
        self.replica = f"{self.host.folder}/var/lib/coexist"
        for daemon in self.daemons:
            daemon.prefix = self.host.prefix
            os.symlink(daemon.log, f"{self.host.folder}/var/log/{daemon.name}.log")
            self.host.units[daemon.name] = Unit(daemon)
        self.syncd.name = "coexist-syncd-fast"
        for where, there in ((self.postfix.config, "/etc/postfix"), (self.postfix.queue, "/var/spool/postfix")):
            self.host.do(f"mount --bind {where} {there}")
        self.host.do("apt install ./coexist_*.deb\ninstall -d -o coexist-sync /run/coexist")

    def add_sink(self, name, **_):
        self.sinks[name] = self._estate.sinks[name]

    def _where(self):
        return {"address": self.host.address, "prefix": self.host.prefix}

    def _write_conf(self, *_):
        """The manual does."""
        self.conf = CONF

    def answer(self, address):
        """
        What a stranger is told who wants to send to it: "250", "550 5.1.1", ..., or "no answer". Each
        is another one: an smtpd keeps what it looked up about a sender and a recipient.
        """
        try:
            with Client(self.host.address, 25, connect_timeout=CONNECT_TIMEOUT) as client:
                reply = client.mail(f"probe{next(_strangers)}@sender.example")
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

    def kill(self):
        """The power fails."""
        self.postfix.close()
        for daemon in self.daemons:
            daemon.kill()

    def revive(self):
        self.syncd.start()
        self.revive_without_syncd()

    def revive_without_syncd(self):
        self.policyd.start()
        self.milter.start()
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
    """hosts, providers, nodes, sinks: "mailboxes" (LMTP), "outside", and "old", another system."""

    def __init__(self, folder, ldif, options):
        """ldif(estate): the directory; options: of coexist.conf, on all nodes."""
        self.sinks, self.nodes, self.providers = {}, [], None
        self.hosts = Hosts(folder, ["ldap1", "ldap2", "mx1", "mx2", "mx3"], make_ca(folder, "ca"))
        try:
            for name in ("mailboxes", "outside", "old"):
                is_store = name == "mailboxes"
                self.sinks[name] = Sink(name, is_store, self.hosts.address, 24 if is_store else 0)
            self.providers = Providers(folder, self.hosts, ldif(self))
            for number in (1, 2, 3):
                self.nodes.append(Node(self, f"mx{number}"))
            self._set_up(folder, options)
        except BaseException:
            self.close()
            raise

    def _set_up(self, folder, options):
        self.page = Page(self.hosts, folder, {CONF: partial(self._edit, options)})
        self.hosts["mx1"].do(f"printf '%s' '{self.providers.first.service_password}' |"
                             "install -o coexist-sync -m 600 /dev/stdin /etc/coexist/ldap.secret")
        self.page.play_part("Set it up")
        for node in self.nodes:
            node.postfix.start()

    @staticmethod
    def _edit(options, text):
        """What a test needs besides."""
        text, n = re.subn("(?m)^directory .*", r'\g<0>\n  timeout = "2s"', text)
        assert n == 1
        return f"{text}\n{options}\nlog {{ level = \"debug\" }}\n"

    def close(self):
        failures = []
        closing = [*(partial(n.close, wait=False) for n in self.nodes),
                   *(s.close for s in self.sinks.values()),
                   *([self.providers.close] if self.providers else []), self.hosts.close]
        for close in closing:
            try:
                close()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        if failures:
            raise failures[0]
