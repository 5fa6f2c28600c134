"""
Daemons whose wall clock jumps (SPEC section 10, age): nobody is refused for good because a clock is
wrong, what is known goes on or waits, and all is well again with the next contact.
"""

import mmap
import os
import struct
import time

import pytest

from support.daemons import Daemon
from support.follower import DOMAIN, mailbox
from support.milterclient import MilterClient
from support.policyd import PolicyClient
from support.slapd import BASE_LDIF, EXAMPLE_SUFFIX, Slapd
from support.wait import wait_for

HOUR = 3600
DAY = 24 * HOUR

CONF = """\
organization = "acme"
replica = "{folder}/replica"
user = ""
unknown_defer_after = "{defer}"
directory "first" {{ ldif = "{folder}/first.ldif" }}
directory "second" {{
  uri = "{uri}"
  starttls = false
  base = "{suffix}"
  bind_dn = "{service_dn}"
  bind_password_file = "{folder}/ldap.secret"
}}
syncd {{ control = "unix:{folder}/syncd.sock" }}
policyd {{
  policy_listen = {{"unix:{folder}/policy"}}
  map_listen = {{"unix:{folder}/map"}}
}}
milter {{ listen = "unix:{folder}/milter" enforce = true }}
log {{ level = "debug" }}
"""


TAKEN = ("DUNNO", "continue")
WAITS = ("451", "451")
REFUSED = ("550", "550")


class World:
    """Both kinds of directories, all daemons, and the clock that they have in common."""

    def __init__(self, folder, defer):
        self.folder = folder
        os.makedirs(f"{folder}/replica")
        with open(f"{folder}/clock", "wb") as out:
            out.write(bytes(8))
        with open(f"{folder}/clock", "r+b") as file:
            self.clock = mmap.mmap(file.fileno(), 8)
        with open(f"{folder}/first.ldif", "w", encoding="utf-8") as out:
            out.write(BASE_LDIF.format(suffix=EXAMPLE_SUFFIX, dc="acme", service_password="x")
                      + "\n" + DOMAIN + mailbox("adam"))
        self.slapd = Slapd(f"{folder}/slapd")
        self.slapd.add(mailbox("eve"))
        with open(f"{folder}/ldap.secret", "w", encoding="utf-8") as out:
            out.write(self.slapd.service_password)
        os.chmod(f"{folder}/ldap.secret", 0o600)
        with open(f"{folder}/coexist.conf", "w", encoding="utf-8") as out:
            out.write(CONF.format(folder=folder, uri=self.slapd.uri, suffix=EXAMPLE_SUFFIX,
                                  service_dn=self.slapd.service_dn, defer=defer))
        self.syncd, *self.readers = self.daemons = [
            Daemon(f"coexist-{name}-jump", f"{folder}/coexist.conf", folder)
            for name in ("syncd", "policyd", "milter")]
        for daemon in self.daemons:
            daemon.prefix = ["env", f"COEXIST_TEST_CLOCK={folder}/clock"]
            daemon.start()

    def jump(self, seconds):
        """From now on the wall clock is off by so much."""
        self.clock[:] = struct.pack("=q", seconds)

    def answers(self):
        """{name: the first word of policyd's and of the milter's answer}"""
        found = {}
        with PolicyClient(f"unix:{self.folder}/policy") as policy, \
                MilterClient(f"unix:{self.folder}/milter") as milter:
            milter.connect()
            milter.mail()
            for name in ("adam", "eve", "nobody"):
                address = f"{name}@acme.example"
                action = policy.ask(recipient=address, policy_context="recipient").split()[0]
                reply = milter.rcpt(f"<{address}>").code.split()[0]
                found[name] = (action, reply)
        for name in ("adam", "eve"):  # never for good
            assert set(found[name]) <= {*TAKEN, *WAITS}, found
        assert set(found["nobody"]) <= {*WAITS, *REFUSED}, found
        return found

    def wait_answers(self, known, unknown):
        wanted = {"adam": known, "eve": known, "nobody": unknown}
        last = {}

        def are_there():
            last.update(self.answers())
            return last == wanted

        wait_for(are_there, lambda: f"{wanted}, not {last}\n{self.syncd.log_text()}")

    def relay(self, login):
        with PolicyClient(f"unix:{self.folder}/policy") as policy:
            return policy.ask(recipient="x@elsewhere.example", policy_context="relay",
                              sasl_username=login).split()[0]

    def close(self):
        for daemon in self.daemons:
            daemon.close()
        self.slapd.close()


@pytest.fixture
def world(folder):
    made = []

    def make(defer):
        made.append(World(folder, defer))
        made[0].wait_answers(TAKEN, REFUSED)
        return made[0]

    yield make
    for one in made:
        one.close()


def test_a_jump_does_no_harm_while_the_directories_are_there(world):
    """Contact is proven anew at the next occasion, whatever the clock said at the last."""
    here = world("6s")
    connections = here.syncd.log_text().count("connected to")
    for offset in (2 * HOUR, 0, -2 * HOUR, 0, 8 * DAY, 0):
        here.jump(offset)
        # As soon as there was contact, and in the meantime no answer is for good: answers().
        here.wait_answers(TAKEN, REFUSED)
    # No timer of the connection went off: those of the wall clock would have.
    end = time.monotonic() + 1
    wait_for(lambda: here.answers() and time.monotonic() > end, "a second to pass")
    log = here.syncd.log_text()
    assert log.count("connected to") == connections, log
    for trouble in ("does not answer", "no message for too long", "lost the connection",
                    "no connection in the time given"):
        assert trouble not in log, log
    assert log.count("full refresh finished") == 1, log


def test_a_jump_with_nobody_to_ask_makes_everything_wait(world):
    here = world("1h")
    here.syncd.stop()
    here.wait_answers(TAKEN, REFUSED)
    assert here.relay("adam") == "OK" and here.relay("nobody") == "DUNNO"
    for offset, known, unknown, relay in (
            (2 * HOUR, TAKEN, WAITS, "451"),       # old for refusals
            (8 * DAY, WAITS, WAITS, "451"),        # old for everything
            (-2 * HOUR, WAITS, WAITS, "451"),      # of the future: nobody knows how old
            (-2 * 60, TAKEN, REFUSED, "DUNNO"),    # a little ahead: as good as now
            (0, TAKEN, REFUSED, "DUNNO")):
        here.jump(offset)
        here.wait_answers(known, unknown)
        assert here.relay("nobody") == relay, offset
        assert here.relay("adam") == ("OK" if known == TAKEN else "451"), offset
