"""
kill -9 of coexist-syncd, hundreds of times: at random moments, and at each of its calls that
write files, in first loads, refreshes, and while changes stream in. Readers check what they see
all the while (tests/support/check_reader.c).
"""

import os
import random
import re
import subprocess
import threading
import time

import pytest

from support.follower import DOMAIN, PEOPLE, Follower, mailbox
from support.readers import Reader, check_whole
from support.slapd import Slapd
from support.syncd import Syncd, fresh_dump, mailboxes
from support.wait import run, wait_for

ENTRIES = 3000
READERS = 3
# And those of the first load.
KILLS = 220


@pytest.fixture
def server(folder):
    slapd = Slapd(f"{folder}/slapd")
    slapd.add(DOMAIN)
    slapd.stop()
    run(["/usr/sbin/slapadd", "-q", "-w", *slapd.config],
        stdin="".join(mailbox(f"u{n}") for n in range(ENTRIES)))
    slapd.start()
    yield slapd
    slapd.close()


class Victim(Follower):
    """A syncd that is killed; `second` is an LDIF file that a second section may name."""

    def __init__(self, folder, server):
        self.second = f"{folder}/second.ldif"
        with open(self.second, "w", encoding="utf-8") as out:
            out.write("\n".join(mailbox(f"second{n}", parent="ou=two,dc=acme,dc=example").rstrip()
                                + "\n" for n in range(300)))
        self.kills = 0
        super().__init__(folder, f"""uri = "{server.uri}"
  starttls = false
  base = "{server.suffix}"
  bind_dn = "{server.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret"
  max_delete_percent = 100""", program="coexist-syncd-crash")

    def name_second(self, is_named):
        """Adds or takes away the second directory: its first load is a new file each time."""
        self.write_conf(self.directory)
        if is_named:
            with open(self.conf, "a", encoding="utf-8") as out:
                out.write(f'directory "second" {{ ldif = "{self.second}" }}\n')

    def start_to_die(self, at=None):
        """`at`: dies by itself when it writes a file for this time."""
        self.daemon.prefix = ["env", f"COEXIST_TEST_KILL_AT={at}"] if at else []
        if os.path.exists(self.daemon.log):
            os.unlink(self.daemon.log)
        self.daemon.start(wait=False)

    def await_death(self, seconds):
        """It dies by itself, or is killed now. What it had logged."""
        child = self.daemon.child
        try:
            code = child.process.wait(seconds)
            assert code == -9, f"ended with {code}:\n{self.log()}"
        except subprocess.TimeoutExpired:
            self.daemon.kill()
        self.kills += 1
        assert not self.daemon.complaints(), self.log()
        return self.log()

    def refresh_soon(self):
        """As soon as somebody listens."""
        try:
            wait_for(lambda: not self.daemon.is_running() or self._refresh(), "the control socket")
        except (OSError, ConnectionError):
            pass

    def _refresh(self):
        try:
            return self.ask("refresh") == "ok"
        except OSError:
            return not self.daemon.is_running()


class Changes(threading.Thread):
    """Changes of all kinds, one after the other, until stop()."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.chance, self.ended = server, random.Random(2), threading.Event()
        self.count = 0
        self.start()

    def _one(self):
        chance = self.chance
        n, m = chance.randrange(ENTRIES), chance.randrange(ENTRIES)
        dn = f"uid=u{n},{PEOPLE}"
        return chance.choice([
            f"dn: {dn}\nchangetype: modify\nreplace: cn\ncn: name {self.count}\n",
            f"dn: {dn}\nchangetype: modify\nreplace: mail\nmail: m{self.count}@acme.example\n",
            f"dn: {dn}\nchangetype: modify\nreplace: coexistAltRecipient\n"
            f"coexistAltRecipient: uid=u{m},{PEOPLE}\n",
            f"dn: {dn}\nchangetype: delete\n",
            f"dn: {dn}\nchangetype: modrdn\nnewrdn: uid=v{n}\ndeleteoldrdn: 1\n",
            mailbox(f"u{n}").replace("\nobjectClass", "\nchangetype: add\nobjectClass", 1).rstrip()
            + "\n",
        ])

    def run(self):
        with subprocess.Popen(
                ["ldapmodify", "-c", "-x", "-H", self.server.uri, "-D", self.server.root_dn,
                 "-w", self.server.root_password], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as tool:
            while not self.ended.wait(self.chance.random() * 0.01):
                tool.stdin.write(self._one() + "\n")
                tool.stdin.flush()
                self.count += 1
            tool.stdin.close()

    def stop(self):
        self.ended.set()
        self.join()


def files(replica):
    return sorted(os.listdir(replica))


def assert_no_litter(replica):
    names = files(replica)
    data = [name for name in names if re.fullmatch(r"data-\d+\.mdb", name)]
    assert len(data) == 1 and os.readlink(f"{replica}/current") == data[0], names
    assert set(names) == {"current", "writer.lock", data[0], data[0] + "-lock"}, names


def load_under_kills(victim):
    """A first load that dies at each of its writes in turn, until one is not too short."""
    at = 1
    while True:
        victim.start_to_die(at)
        wait_for(lambda: not victim.daemon.is_running()
                 or "refresh finished" in victim.log(), victim.log)
        if "refresh finished" in victim.await_death(0):
            return
        check_readable(victim)
        at += 1


def check_readable(victim):
    if os.path.lexists(f"{victim.folder}/replica/current"):
        check_whole(f"{victim.folder}/replica")


def test_killed_hundreds_of_times_it_is_consistent_and_ends_equal(folder, server):
    victim = Victim(folder, server)
    replica = f"{victim.folder}/replica"
    chance = random.Random(1)
    readers = [Reader(replica, f"{folder}/reader{n}.log") for n in range(READERS)]
    changes = None
    died_in = {"before the refresh": 0, "after the refresh": 0, "a second directory": 0}
    try:
        load_under_kills(victim)
        # A start that is not disturbed says how long one takes here, today.
        began = time.monotonic()
        victim.start_to_die()
        victim.wait_log("refresh finished")
        usual = time.monotonic() - began
        victim.daemon.kill()
        largest = 0
        changes = Changes(server)
        for turn in range(KILLS):
            victim.name_second(turn % 3 == 1)
            # At one of its writes, or at some time after its start, or once it follows.
            at = int(10 ** (chance.random() * 2)) if turn % 2 else None
            victim.start_to_die(at)
            if turn % 3 == 2:
                victim.refresh_soon()
            if turn % 4 == 0:
                victim.wait_log("directory=corp refreshed")
                log = victim.await_death(chance.random() * 0.2)
            else:
                log = victim.await_death(chance.random() * min(5 * usual, 0.8))
            died_in["after the refresh" if "directory=corp refreshed" in log
                    else "before the refresh"] += 1
            died_in["a second directory"] += "directory=second" in log
            for reader in readers:
                reader.assert_content()
            largest = max(largest, sum(os.lstat(f"{replica}/{name}").st_size
                                       for name in files(replica)))
        changes.stop()
        assert victim.kills >= 200
        assert min(died_in.values()) >= 10, died_in
        victim.name_second(False)
        victim.daemon.prefix = []
        victim.start()
        assert_no_litter(replica)
        victim.wait_log("refresh finished")
        victim.assert_like_new(folder)
        check_whole(replica)
        seen = [reader.close() for reader in readers]
        # They followed, and met more than a few states.
        assert min(s["generations"] for s in seen) > KILLS / 3, seen
        # Two copies of it at a time, with what is free in them.
        assert largest < 16 << 20, largest
        assert len(victim.daemon.log_text()) < 1 << 20
    finally:
        if changes:
            changes.stop()
        for reader in readers:
            reader.kill()
        victim.close()


def test_killed_between_a_change_and_what_follows_from_it(folder, server):
    """
    slapd repairs references, and renames what is below a container, without a word: what
    syncd was still to read when it was killed it reads after its next start.
    """
    victim = Victim(folder, server)
    try:
        victim.start()
        victim.wait_log("full refresh finished")
        for n in range(6):
            server.modify(f"dn: uid=u{n},{PEOPLE}\nchangetype: modify\n"
                          f"replace: coexistAltRecipient\n"
                          f"coexistAltRecipient: uid=u{100 + n},{PEOPLE}\n")
            victim.wait_has(f"altRecipient: uid=u{100 + n},")
            server.rename(f"uid=u{100 + n},{PEOPLE}", f"uid=v{100 + n}")
            victim.wait_has(f"mailbox uid=v{100 + n},")
            victim.daemon.kill()
            victim.start()
            victim.wait_has(f"altRecipient: uid=v{100 + n},")
        server.rename(PEOPLE, "ou=folk")
        wait_for(lambda: victim.daemon.log_lines("a container changed"), victim.log)
        victim.daemon.kill()
        victim.start()
        victim.wait_has("uid=u1,ou=folk,")
        victim.assert_like_new(folder)
    finally:
        victim.close()


def test_killed_at_each_write_of_a_file_that_changes(folder):
    """LDIF: each start finds the file changed, and dies at the next of its writes."""
    texts = [mailboxes(0, 200), mailboxes(20, 200)]
    syncd = Syncd({"corp": "max_delete_percent = 100"})
    try:
        syncd.daemon.name = "coexist-syncd-crash"
        syncd.write(texts[0])
        syncd.daemon.start()
        syncd.wait_status(state="loaded", recipients=200)
        replica = f"{syncd.folder}/replica"
        reader = Reader(replica, f"{folder}/reader.log")
        syncd.daemon.stop()
        before = syncd.dump()
        syncd.write(texts[1])
        at = 0
        while not syncd.daemon.is_running():
            assert syncd.dump() == before
            at += 1
            syncd.daemon.prefix = ["env", f"COEXIST_TEST_KILL_AT={at}"]
            syncd.daemon.start(wait=False)
            wait_for(lambda: not syncd.daemon.is_running()
                     or syncd.daemon.log_lines("refreshed: changed=20 "), syncd.daemon.log_text)
            reader.assert_content()
        syncd.daemon.kill()
        assert at > 3
        syncd.daemon.prefix = []
        syncd.daemon.start()
        syncd.wait_status(state="loaded", recipients=200)
        assert_no_litter(replica)
        check_whole(replica)
        assert syncd.dump() == fresh_dump({"corp": texts[1]})
        assert reader.close()["generations"] > 0
    finally:
        syncd.close()
