"""Fifty reloads, of right and wrong configurations in turn, while everybody is busy."""

import http.client
import os
import re
import socket
import tempfile
import threading

import pytest

from support.daemons import Daemon
from support.ldif import CONTAINERS, custom, domain, mailbox, person_dn
from support.milterclient import MilterClient
from support.policyd import MapClient, PolicyClient, netstring, request
from support.site import leave_to_end
from support.wait import PATIENCE, free_port, wait_for

RELOADS = 50
DIRECTORY = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    domain("pop.acme.example", "relay", forwardHost="192.0.2.25"),
    mailbox("bob", "bob@acme.example", proxyAddress="smtp:bobby@acme.example"),
    mailbox("adam.barr", "adam.barr@acme.example", altRecipient=person_dn("adam")),
    custom("adam", "SMTP:adam@pop.acme.example", mail="adam@pop.acme.example"),
    mailbox("moving", "moving@acme.example", parked="TRUE"),
    mailbox("loop", "loop@acme.example", altRecipient=person_dn("loop")),
])
# Two right configurations: what is asked, and what each of them answers.
OPTIONS = [("false", "true", "lmtp:unix:private/one"), ("true", "false", "lmtp:unix:private/two")]
POLICY = [  # attributes; answers
    ({"recipient": "nobody@acme.example"}, ["550 5.1.1 User unknown"] * 2),
    ({"recipient": "bob@acme.example", "sender": "eve@acme.example", "sasl_username": "bob"},
     ["DUNNO", "553 5.7.1 Sender address rejected: not owned by the authenticated user"]),
    ({"recipient": "moving@acme.example"},
     ["450 4.2.1 Mailbox is being moved; try again later"] * 2),
    ({"recipient": "adam.barr@acme.example"}, ["DUNNO"] * 2),
]
MAPS = [
    ("domains pop.acme.example", ["OK relay"] * 2),
    ("transport bob@acme.example", [f"OK {options[2]}" for options in OPTIONS]),
    ("domains elsewhere.example", ["NOTFOUND "] * 2),
    ("transport adam@pop.acme.example", ["OK relay:[192.0.2.25]"] * 2),
    ("transport bobby@acme.example", [f"OK {options[2]}" for options in OPTIONS]),
]
RECIPIENTS = ["bobby", "adam.barr", "Bobby", "loop"]
TAKEN = ["continue", "continue", "continue", "550 5.4.6"]
ALWAYS = {"+adam@pop.acme.example", "-adam.barr@acme.example"}
EDITS = [ALWAYS | {"+bob@acme.example", "-bobby@acme.example", "-Bobby@acme.example"}, ALWAYS]
WRONG = [
    lambda right: right + "nonsense = 1\n",
    lambda right: right[:len(right) // 2],
    lambda right: "",
    lambda right: right + "\0\1\2\xff" * 1000,
    lambda right: right + "#" * (10 << 20),
    lambda right: right.replace('level = "', 'level = "very '),
]


class Busy:
    """Clients that ask one thing after another, each on one connection; close() judges."""

    def __init__(self, folder, ports):
        self.folder = folder
        self.failures = []
        self.done = threading.Event()
        self.counts = {"policy": 0, "map": 0, "milter": 0, "page": 0}
        self.lock = threading.Lock()
        kinds = [(self.ask_policy, 12), (self.ask_maps, 12), (self.send_mail, 6),
                 *((lambda port=port: self.watch(port), 2) for port in ports)]
        self.threads = [threading.Thread(target=self._run, args=(work,))
                        for work, count in kinds for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, work):
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(f"{work.__name__}: {type(error).__name__} {error}")

    def count(self, kind, number):
        with self.lock:
            self.counts[kind] += number

    def pipeline(self, client, kind, rows, send):
        """All at once; the answers come in the order of the questions."""
        while not self.done.is_set():
            client.send(b"".join(send(row[0]) for row in rows))
            for asked, allowed in rows:
                answer = client.answer()
                assert answer in allowed, f"{asked}: {answer}"
            self.count(kind, len(rows))

    def ask_policy(self):
        with PolicyClient(f"unix:{self.folder}/policy") as client:
            self.pipeline(client, "policy", POLICY * 3,
                          lambda what: request(policy_context="recipient", **what))

    def ask_maps(self):
        with MapClient(f"unix:{self.folder}/map") as client:
            self.pipeline(client, "map", MAPS * 3, netstring)

    def send_mail(self):
        with MilterClient(f"unix:{self.folder}/milter") as client:
            client.connect()
            while not self.done.is_set():
                edits = send_message(client)
                # What it began under, a message ends under.
                assert edits in EDITS, edits
                self.count("milter", 1)

    def watch(self, port):
        """No number that counts ever goes back, and no series goes."""
        before = {}
        while not self.done.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/metrics")
            now = dict(re.findall(r"^(\w+(?:\{.*\})?) (\S+)$",
                                  connection.getresponse().read().decode(), re.M))
            connection.close()
            assert now and before.keys() <= now.keys(), before.keys() - now.keys()
            back = [name for name, value in before.items() if float(now[name]) < float(value)
                    and re.search(r"_(total|bucket|sum|count)(\{|$)", name)]
            assert not back, back
            before = now
            self.count("page", 1)
            self.done.wait(0.02)

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


def send_message(client):
    client.mail()
    taken = [client.rcpt(f"<{name}@acme.example>") for name in RECIPIENTS]
    assert [reply.status for reply in taken] == TAKEN, taken
    client.data()
    return {edit[0] + edit[1].strip("<>") for edit in client.end().edits if edit[0] in "+-"}


class Reloading:
    def __init__(self, folder):
        self.folder = folder
        self.conf = f"{folder}/coexist.conf"
        self.ports = [free_port() for _ in range(3)]
        os.makedirs(f"{folder}/replica")
        self.write("directory.ldif", DIRECTORY)
        self.write("coexist.conf", self.right(0))
        self.daemons = [Daemon(f"coexist-{name}", self.conf, folder)
                        for name in ("syncd", "milter", "policyd")]
        for daemon in self.daemons:
            daemon.start()

    def write(self, name, text):
        with open(f"{self.folder}/new", "w", encoding="latin-1") as out:
            out.write(text)
        os.rename(f"{self.folder}/new", f"{self.folder}/{name}")

    def right(self, which):
        enforce_sender, rewrite, transport = OPTIONS[which]
        # Only what is wrong is logged: refusals by the thousand are not.
        return f"""replica = "{self.folder}/replica"
user = ""
enforce_sender = {enforce_sender}
rewrite_to_primary = {rewrite}
directory "corp" {{ ldif = "{self.folder}/directory.ldif" max_delete_percent = {10 + which} }}
syncd {{
  control = "unix:{self.folder}/syncd"
  metrics_listen = "inet:127.0.0.1:{self.ports[0]}"
}}
milter {{ listen = "unix:{self.folder}/milter" metrics_listen = "inet:127.0.0.1:{self.ports[1]}" }}
policyd {{
  metrics_listen = "inet:127.0.0.1:{self.ports[2]}"
  policy_listen = {{"unix:{self.folder}/policy"}}
  map_listen = {{"unix:{self.folder}/map"}}
  mailbox_transport = "{transport}"
  workers = 4
}}
log {{ level = "error" }}
"""

    def reload(self):
        for daemon in self.daemons:
            daemon.reload()

    def assert_says_what_needs_a_restart(self):
        """At a level of the log that was changed, too."""
        info = self.right(0).replace('"error"', '"info"')
        self.write("coexist.conf", info)
        self.reload()
        for daemon in self.daemons:
            wait_for(lambda daemon=daemon: daemon.log_lines("configuration reloaded$"), "the reload")
        os.makedirs(f"{self.folder}/other")
        other = info.replace("/replica", "/other").replace("/syncd", "/other-syncd").replace(
            "/milter", "/other-milter")
        for number, port in enumerate(self.ports, 1):
            other = other.replace(f'"inet:127.0.0.1:{port}"', f'"inet:127.0.0.1:{number}"')
        self.write("coexist.conf", other)
        self.reload()
        for daemon, keys in zip(self.daemons, (("replica", "syncd: control", "syncd: metrics_listen"),
                                               ("replica", "milter listen", "metrics_listen"),
                                               ("metrics_listen",))):
            for key in keys:
                wait_for(lambda daemon=daemon, key=key: daemon.log_lines(
                    f'warning: .*{key}"? (needs a restart|takes effect with the next start only)$'),
                         f"{daemon.name} to say so of {key}")

    def assert_told(self, daemon):
        """The service manager hears of a reload, and of its end, however that went."""
        path = f"{self.folder}/{daemon.name}.ready"
        os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(path)
            told.settimeout(PATIENCE)
            messages = (m for m in iter(lambda: told.recv(100), b"") if m != b"WATCHDOG=1")
            for text in (self.right(0), "nonsense"):
                self.write("coexist.conf", text)
                daemon.reload()
                assert next(messages).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert next(messages) == b"READY=1"
            if daemon.name != "coexist-milter":  # which takes seconds to say so
                daemon.stop()
                assert next(messages) == b"STOPPING=1"

    def refusals(self):
        return [len(daemon.log_lines("configuration")) for daemon in self.daemons]

    def close(self):
        for daemon in self.daemons:
            if daemon.name == "coexist-milter":
                leave_to_end(daemon, self.folder)
            else:
                daemon.close()


@pytest.fixture(name="reloading")
def make_reloading():
    made = Reloading(tempfile.mkdtemp(prefix="cx-"))
    yield made
    made.close()


def answers(policy, maps, milter):
    """Which of the configurations each connection is answered by."""
    asked, allowed = POLICY[1]
    action = policy.ask(policy_context="recipient", **asked)
    reply = maps.ask("transport", "bob@acme.example")
    edits = send_message(milter)
    return {allowed.index(action), MAPS[1][1].index(reply), EDITS.index(edits)}


def test_reloads_keep_the_milters_watchdog_quiet():
    """However often they come; the interval is hours here, so that only a reload can say it."""
    folder = tempfile.mkdtemp(prefix="cx-")
    with open(f"{folder}/conf", "w", encoding="utf-8") as out:
        out.write(f'replica = "{folder}"\nuser = ""\ndirectory "corp" {{ ldif = "{folder}/none" }}\n'
                  f'milter {{ listen = "unix:{folder}/milter" }}\n')
    milter = Daemon("coexist-milter", f"{folder}/conf", folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/heard")
        manager.settimeout(PATIENCE)
        milter.prefix = ["env", f"NOTIFY_SOCKET={folder}/heard", "WATCHDOG_USEC=36000000000"]
        milter.start(wait=False)
        while manager.recv(4096) != b"READY=1":
            pass
        milter.reload()
        while manager.recv(4096) != b"WATCHDOG=1":
            pass
    leave_to_end(milter, folder)


def test_reloads_under_load_drop_and_confuse_nobody(reloading):
    folder = reloading.folder
    with PolicyClient(f"unix:{folder}/policy") as policy, MapClient(f"unix:{folder}/map") as maps, \
            MilterClient(f"unix:{folder}/milter") as milter:
        milter.connect()
        wait_for(lambda: maps.ask("domains", "acme.example").startswith("OK"), "the directory")
        milter.mail()
        wait_for(lambda: milter.rcpt("<bob@acme.example>").code == "continue", "the milter")
        busy = Busy(folder, reloading.ports)
        try:
            for n in range(RELOADS // 2):
                before = dict(busy.counts)
                which = (n + 1) % 2
                reloading.write("coexist.conf", reloading.right(which))
                reloading.reload()
                wait_for(lambda which=which: answers(policy, maps, milter) == {which},
                         f"reload {n} to be in force")
                refused = reloading.refusals()
                wrong = WRONG[n % len(WRONG)](reloading.right(1 - which))
                reloading.write("coexist.conf", wrong)
                reloading.reload()
                wait_for(lambda refused=refused: all(
                    now > old for now, old in zip(reloading.refusals(), refused)),
                         lambda: f"refusals after {refused}: {reloading.refusals()}")
                assert answers(policy, maps, milter) == {which}
                assert not busy.failures
                wait_for(lambda before=before: all(
                    busy.counts[kind] > before[kind] for kind in before), "everybody to go on")
        finally:
            busy.stop()
    assert busy.counts["policy"] > 1000 and busy.counts["map"] > 1000, busy.counts
    assert reloading.refusals() == [RELOADS // 2] * 3
    reloading.assert_says_what_needs_a_restart()
    for daemon in reloading.daemons:
        reloading.assert_told(daemon)
