"""The age of a directory, with limits of a few seconds (SPEC section 10)."""

import os
import signal
import time

import pytest

from support.daemons import resolve
from support.follower import DOMAIN, Follower, mailbox
from support.slapd import BASE_LDIF, EXAMPLE_SUFFIX, Slapd
from support.wait import wait_for

LIMITS = 'unknown_defer_after = "4s"\nmax_staleness = "8s"\n'


class LdifDirectory:
    program, young_for = "coexist-syncd", 10

    def __init__(self, folder):
        self.path = f"{folder}/directory.ldif"
        self.section = f'ldif = "{self.path}"'
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(BASE_LDIF.format(suffix=EXAMPLE_SUFFIX, dc="acme", service_password="x")
                      + "\n" + DOMAIN + mailbox("adam"))

    def go_away(self):
        os.rename(self.path, self.path + ".away")

    def come_back(self):
        os.rename(self.path + ".away", self.path)

    def close(self):
        pass


class LdapDirectory:
    program, young_for = "coexist-syncd", 10

    def __init__(self, folder):
        self.slapd = Slapd(f"{folder}/slapd")
        self.slapd.add(DOMAIN + mailbox("adam"))
        self.section = (f'uri = "{self.slapd.uri}" starttls = false base = "{EXAMPLE_SUFFIX}" '
                        f'bind_dn = "{self.slapd.service_dn}" '
                        f'bind_password_file = "{folder}/follower/ldap.secret" timeout = "500ms"')
        self.go_away = self.slapd.kill
        self.come_back = self.slapd.start
        self.close = self.slapd.close


class Refused(LdapDirectory):
    """Tried again and again, far more often than the limits: no attempt is a contact."""
    program, young_for = "coexist-syncd-fast", 0


class Hanging(Refused):
    """Connections are open, and nothing comes: neither is that one."""

    def __init__(self, folder):
        super().__init__(folder)
        self.go_away = lambda: os.kill(self.slapd.child.pid, signal.SIGSTOP)
        self.come_back = lambda: os.kill(self.slapd.child.pid, signal.SIGCONT)
        self.close = self._close

    def _close(self):
        self.come_back()
        self.slapd.close()


@pytest.mark.parametrize("kind", [LdifDirectory, LdapDirectory, Refused, Hanging])
def test_only_a_directory_that_is_away_grows_old(folder, kind):
    directory = kind(folder)
    follower = Follower(folder, directory.section, program=kind.program)
    with open(follower.conf, "a", encoding="utf-8") as conf:
        conf.write(LIMITS)

    def verdicts():
        return tuple(resolve(follower.conf, f"{name}@acme.example")[1]["verdict"]
                     for name in ("adam", "nobody"))

    try:
        follower.start()
        follower.wait_has("adam@acme.example")
        end = time.monotonic() + kind.young_for

        def is_young_to_the_end():
            assert verdicts() == ("deliver", "unknown"), follower.log()
            return time.monotonic() > end

        wait_for(is_young_to_the_end, "the time to pass", interval=0.2)
        directory.go_away()
        for wanted in (("deliver", "unavailable"), ("unavailable", "unavailable")):
            wait_for(lambda w=wanted: verdicts() == w, f"{wanted}, not {verdicts()}", interval=0.1)
        directory.come_back()
        wait_for(lambda: verdicts() == ("deliver", "unknown"), follower.log, interval=0.1)
    finally:
        follower.close()
        directory.close()
