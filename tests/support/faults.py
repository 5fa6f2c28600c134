"""What the fault tests of the LDAP backend share: a private slapd, and coexist-syncd-fast behind it."""

import json
import re
import shutil
import subprocess
import threading

from .daemons import coexistctl, program
from .follower import DOMAIN, PEOPLE, Follower, mailbox
from .slapd import EXAMPLE_SUFFIX, Slapd
from .wait import run, wait_for

SERVICE = f"cn=coexist,ou=services,{EXAMPLE_SUFFIX}"


def section(folder, *servers, extra="", base=EXAMPLE_SUFFIX, bind_dn=SERVICE, name="follower"):
    """The body of a directory section; servers have a `uri`."""
    return f"""uri = "{' '.join(s.uri for s in servers)}"
  starttls = false
  base = "{base}"
  bind_dn = "{bind_dn}"
  bind_password_file = "{folder}/{name}/ldap.secret"
  {extra}"""


def edit_conf(server, *edits):
    """Edits slapd.conf by (pattern, replacement); each must match. For the next start."""
    path = f"{server.folder}/slapd.conf"
    with open(path, encoding="utf-8") as conf:
        text = conf.read()
    for pattern, replacement in edits:
        text, n = re.subn(pattern, replacement, text)
        assert n > 0, pattern
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text)


def edit_and_restart(server, *edits):
    server.stop()
    edit_conf(server, *edits)
    server.start()


def without_overlay(server, name):
    """slapd without one of its overlays, or only without its checkpoints ("checkpoint")."""
    lines = {"refint": r"overlay\s+refint|refint_attributes.*",
             "unique": r"overlay\s+unique|unique_uri.*",
             "checkpoint": r"syncprov-checkpoint.*"}[name]
    edit_and_restart(server, (rf"(?m)^({lines})$", ""))


def rule(text):
    """An edit: an access rule before all others."""
    return (r"(?m)^# Passwords\..*$", lambda m: f"{text}\n{m[0]}")


def slapcat(server):
    """Everything, as LDIF, with operational attributes. slapd may run."""
    return run(["/usr/sbin/slapcat", "-o", "ldif-wrap=no", *server.config]).stdout


def without_operational(text):
    """LDIF that a server takes for new entries: they get ids and times of their own."""
    names = "entryUUID|entryCSN|contextCSN|createTimestamp|modifyTimestamp|creatorsName|modifiersName"
    return re.sub(rf"(?m)^({names}|structuralObjectClass):.*\n", "", text)


def load_database(server, text):
    """Stops slapd, and starts it with a database that holds just this."""
    server.stop()
    shutil.rmtree(f"{server.folder}/db")
    run(["mkdir", f"{server.folder}/db"])
    if text:
        run(["/usr/sbin/slapadd", "-w", *server.config], stdin=text)
    server.start()


def records_of(text):
    return [record + "\n" for record in text.split("\n\n") if record.strip()]


def count_recipients(text):
    return len(re.findall(r"(?m)^\S+ (?:mailbox|customRecipient|group) ", text))


class FastFollower(Follower):
    """A Follower with short times that has a way to say how its directory does."""

    def __init__(self, folder, directory, name="follower"):
        super().__init__(folder, directory, name, "coexist-syncd-fast")

    def directory_status(self):
        return self.status()["directories"][0]

    def wait_state(self, **wanted):
        wait_for(lambda: all(self.directory_status()[k] == v for k, v in wanted.items()),
                 lambda: f"{wanted}: {self.directory_status()}\n{self.log()}")

    def stored_cookie(self, *new):
        """The stored cookie; with an argument, another one. syncd must not run."""
        return run([program("coexist-cookie"), f"{self.folder}/replica", *new]).stdout.strip()

    def verdicts(self, *names):
        """{name: (verdict, deliveries)} of addresses in acme.example, from one snapshot each."""
        return look_up(self.conf, names)

    def full_refreshes(self):
        return len(self.daemon.log_lines("full refresh finished"))


def look_up(conf, names):
    done = coexistctl(conf, "resolve", "-", "--json",
                      stdin="".join(f"{name}@acme.example\n" for name in names))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(names), done
    return {name: (row["verdict"], sorted(d["address"] for d in row["deliveries"]))
            for name, row in zip(names, rows)}


class Reader:
    """
    A `with` block during which addresses are looked up again and again. Whatever was
    not `wanted`, a verdict or a function of (name, verdict, deliveries), fails the block.
    """

    def __init__(self, follower, *names, wanted="deliver"):
        self.conf, self.names = follower.conf, names
        self.is_wanted = wanted if callable(wanted) else lambda name, verdict, to: verdict == wanted
        self.rounds, self.strange, self.error = 0, [], None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self._end.is_set():
                for name, (verdict, to) in look_up(self.conf, self.names).items():
                    if not self.is_wanted(name, verdict, to):
                        self.strange.append((self.rounds, name, verdict, to))
                self.rounds += 1
        except (AssertionError, subprocess.SubprocessError, ValueError) as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        wait_for(lambda: self.rounds or self.error, "a reader")
        return self

    def __exit__(self, kind, value, trace):
        seen = self.rounds
        if kind is None:
            wait_for(lambda: self.rounds > seen or self.error, "the reader's last round")
        self._end.set()
        self._thread.join()
        if kind is None:
            assert self.error is None, self.error
            assert not self.strange, self.strange


def make_server(folder, *people, name="slapd"):
    """A running slapd with the domain and these entries (LDIF)."""
    slapd = Slapd(f"{folder}/{name}")
    slapd.add(DOMAIN + "".join(people or (mailbox("adam"), mailbox("eve"))))
    return slapd


def users(count, first=0):
    return "".join(mailbox(f"user{i}") for i in range(first, first + count))


__all__ = ["DOMAIN", "EXAMPLE_SUFFIX", "FastFollower", "PEOPLE", "Reader", "SERVICE",
           "count_recipients", "edit_and_restart", "edit_conf", "load_database", "look_up", "mailbox",
           "make_server", "records_of", "rule", "section", "slapcat", "users", "without_operational",
           "without_overlay"]
