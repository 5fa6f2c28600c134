"""A whole site: directory, replica, daemons, Postfix, sinks."""

import json
import os
import shutil
import tempfile

from .daemons import Daemon, coexistctl, resolve
from .ledger import Ledger
from .postfix import Postfix, coexist_settings
from .sink import Sink
from .slapd import BASE_LDIF, Slapd
from .wait import run, wait_for

# A milter needs up to five seconds to stop (libmilter looks that often): tests do not wait
# for each, but call judge_milters() in the end. [(daemon, its folder)]
_ending = []


def leave_to_end(milter, folder):
    """Tells a milter to stop, and leaves it and its folder to judge_milters()."""
    milter.begin_stop()
    _ending.append((milter, folder))


def judge_milters():
    """Waits for the milters of closed sites; the first complaint of all."""
    failures = []
    while _ending:
        milter, folder = _ending.pop()
        try:
            milter.close()
            if "COEXIST_KEEP" not in os.environ:
                shutil.rmtree(folder, ignore_errors=True)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
    if failures:
        raise failures[0]


DAEMONS = ("coexist-syncd", "coexist-policyd", "coexist-milter")


class Site:
    """
    source "ldap": a private slapd, seeded with `ldif`; "ldif": a file, see write_ldif().
    Sinks: "mailboxes" (LMTP; mailbox_transport) and "outside" (what is not ours), and those
    of add_sink(), which must exist before `ldif` can name their next hops: ldif may be a
    function that takes the site, and so may sections. slapd: options of Slapd(). Nothing else
    runs before start().
    """

    prefix = ()  # a command that runs coexistctl where the site is

    def __init__(self, source="ldap", ldif="", settings=None, options="", sections="",
                 chroot=False, hosts=None, slapd_style="slapd.conf", sinks=(), name="gw",
                 directory="", services=(), policyd="", milter="", listeners=None,
                 user="", slapd=None, mailbox_transport=None):
        self.folder = tempfile.mkdtemp(prefix="cx-")
        os.chmod(self.folder, 0o755)
        self.source = source
        self.name = name
        self.conf = f"{self.folder}/coexist.conf"
        self.ldif_path = f"{self.folder}/directory.ldif"
        self.sinks = {}
        self.slapd = None
        self.postfix = None
        self.other_postfixes = []  # of add_system()
        self.daemons = []
        self._closing = []
        self._systems = []
        self._user = user  # whom the daemons become; "": they stay root
        self._mailbox_transport = mailbox_transport  # None: the sink "mailboxes"
        self._listeners = listeners or {}  # {"policy": "inet:...", "map", "milter"}
        self.add_sink("mailboxes", lmtp=True)
        self.add_sink("outside")
        for sink in sinks:
            self.add_sink(sink)
        try:
            self._build(source, ldif, settings, options, sections, chroot, hosts,
                        {"style": slapd_style, **(slapd or {})}, directory, services, policyd,
                        milter)
        except BaseException:
            self.close()
            raise

    def _build(self, source, ldif, settings, options, sections, chroot, hosts, slapd,
               directory, services, policyd, milter):
        self.postfix = self._make_mta(settings, services, chroot, hosts)
        self._closing.append(self.postfix.close)
        if callable(ldif):
            ldif = ldif(self)
        if source == "ldap":
            self.slapd = Slapd(f"{self.folder}/slapd", **slapd)
            self._closing.append(self.slapd.close)
            if ldif:
                self.slapd.add(ldif)
        elif ldif:
            self.write_ldif(ldif)
        if callable(sections):
            sections = sections(self)
        self._write_conf(options, sections, directory, policyd, milter)
        self.syncd, self.policyd, self.milter = self.daemons = [
            Daemon(name, self.conf, self.folder) for name in DAEMONS]
        self._closing += [self.syncd.close, self.policyd.close]

    def _make_mta(self, settings, services, chroot, hosts):
        outside = self.sinks["outside"]
        return Postfix(
            f"{self.folder}/postfix", self.name, f"[{outside.address}]:{outside.port}",
            {**coexist_settings(), **(settings or {})}, services, chroot, hosts, **self._where())

    def _where(self):
        """Where the MTA runs, if not here."""
        return {}

    def _start_mta(self):
        self.postfix.start()

    def add_sink(self, name, **options):
        sink = Sink(name, **options)
        self.sinks[name] = sink
        self._closing.insert(0, sink.close)
        return sink

    def add_system(self, system):
        """
        Another mail system that shares its mail; start() starts it first. It has sinks,
        postfixes, start(slapd) and close().
        """
        self._systems.append(system)
        self.sinks.update(system.sinks)
        self.other_postfixes += system.postfixes
        self._closing.append(system.close)
        return system

    def write_ldif(self, text):
        """Replaces the file at once, as an administrator's script should."""
        with open(self.ldif_path + ".new", "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(self.ldif_path + ".new", self.ldif_path)

    def _source(self):
        """How the directory section begins."""
        if self.source == "ldap":
            return f"""
  uri = "{self.slapd.uri}"
  starttls = false
  base = "{self.slapd.suffix}"
  bind_dn = "{self.slapd.service_dn}"
  bind_password_file = "{self.folder}/ldap.secret"
  """
        return f"""
  ldif = "{self.ldif_path}"
  """

    def _write_conf(self, options, sections, directory, policyd, milter):
        os.makedirs(f"{self.folder}/replica")
        for name, text in (("secret", "0123456789abcdef0123456789abcdef\n"),
                           ("ldap.secret", "service secret\n")):
            with open(f"{self.folder}/{name}", "w", encoding="ascii") as out:
                out.write(text)
            os.chmod(f"{self.folder}/{name}", 0o600)
        if self._user:
            for name in ("replica", "secret", "ldap.secret"):
                shutil.chown(f"{self.folder}/{name}", self._user)
        directory = self._source() + directory
        transport = self._mailbox_transport
        if transport is None:
            transport = self.sinks["mailboxes"].hop
        listen = {name: f"unix:{self.postfix.queue}/coexist/{name}"
                  for name in ("policy", "map", "milter")} | self._listeners
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"""\
organization = "acme"
replica = "{self.folder}/replica"
secret_file = "{self.folder}/secret"
user = "{self._user}"
{options}
directory "corp" {{{directory}
}}
syncd {{
  control = "unix:{self.folder}/syncd.sock"
}}
milter {{
  listen = "{listen['milter']}"
  {milter}
}}
policyd {{
  policy_listen = {{"{listen['policy']}"}}
  map_listen = {{"{listen['map']}"}}
  mailbox_transport = "{transport}"
  {policyd}
}}
{sections}
log {{ level = "debug" }}
""")

    def start(self):
        """All of it, until the first decision can be made."""
        for system in self._systems:
            system.start(self.slapd)
        self.syncd.start()
        self.wait_loaded()
        self.policyd.start()
        self.milter.start()
        self._start_mta()
        return self

    def wait_loaded(self):
        """Until syncd has published the first load of each directory."""
        wait_for(self._is_loaded, lambda: f"the first load:\n{self.syncd.log_text()[-4000:]}")

    def _is_loaded(self):
        status = self.ctl("status", "--json").stdout
        directories = json.loads(status)["directories"] if status else []
        return directories and all(each["loaded"] for each in directories)

    def connect(self, **options):
        return self.postfix.connect(**options)

    def resolve(self, address, *arguments):
        return resolve(self.conf, address, *arguments, prefix=self.prefix)

    def ctl(self, *arguments, **options):
        return coexistctl(self.conf, *arguments, prefix=self.prefix, **options)

    def ledger(self, *others):
        """A ledger over this site, and others that share its mail."""
        sinks = dict(self.sinks)
        for other in others:
            sinks.update({f"{other.name}.{n}": s for n, s in other.sinks.items()})
        return Ledger(sinks, [self.postfix, *self.other_postfixes,
                              *(o.postfix for o in others)])

    def rcpt_status(self, address, sender="probe@outside.example", **options):
        """"250 2.1.5", "550 5.1.1", ...: what one RCPT in a connection of its own gets."""
        with self.connect(**options) as client:
            reply = client.mail(sender)
            assert reply.ok, reply
            return client.rcpt(address).status

    def wait_rcpt(self, address, status, **options):
        """Until RCPT gets that status."""
        wait_for(lambda: self.rcpt_status(address, **options) == status,
                 lambda: f"{address} to get {status}; it gets "
                 f"{self.rcpt_status(address, **options)}")

    def close(self, wait=True):
        """
        Stops everything; raises what the stops and the logs have to say. wait=False leaves
        the milter, which has been told to stop, to judge_milters().
        """
        failures = []
        for daemon in self.daemons:
            daemon.begin_stop()
        for close in reversed(self._closing):
            try:
                close()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        for postfix in filter(None, [self.postfix, *self.other_postfixes]):
            if complaints := postfix.complaints():
                failures.append(AssertionError("\n".join(complaints)))
        if self.daemons:
            leave_to_end(self.milter, self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            if wait:
                judge_milters()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
        if failures:
            raise failures[0]


__all__ = ["BASE_LDIF", "Site", "judge_milters", "leave_to_end", "run"]
