"""
Servers that are broken, or want to do harm. Whatever they send: coexist-syncd goes on, changes nothing
for it, keeps other directories and its control socket served, and is in step once they behave.
"""

import os
import random
import time

import pytest

from support.faultyserver import FaultyServer
from support.follower import Follower
from support.ldapserver import LdapServer, PAGED, integer, octets, tlv

BASE = "dc=acme,dc=example"
SEEDS = range(int(os.environ.get("COEXIST_TEST_SEEDS", "3")))
PATIENT = 'full_interval = "1h"'


def person(server, name, **more):
    server.put(f"cn={name},{BASE}",
               **{"objectClass": ["user", "coexistMailbox"], "cn": name, "sAMAccountName": name,
                  "mail": f"{name}@acme.example", **more})


def fill(server):
    server.put(BASE, objectClass=["domain"], dc="acme")
    server.put(f"associatedDomain=acme.example,{BASE}", objectClass=["coexistDomain"],
               associatedDomain="acme.example", coexistDomainType="authoritative")
    person(server, "adam")
    return server


@pytest.fixture
def directory():
    made = []

    def make(kind=LdapServer, offers_sync=True, **options):
        server = kind(**options)
        made.append(server)
        server.offers_sync = offers_sync
        return fill(server)

    yield make
    for server in made:
        server.close()


@pytest.fixture
def follow(folder):
    made = []

    def make(server, sync="persist", has="adam@acme.example", extra=PATIENT):
        follower = Follower(folder, f"""uri = "{server.uri}"
  starttls = false
  base = "{BASE}"
  mapping = "exchange"
  sync = "{sync}"
  poll_interval = "100ms"
  timeout = "1s"
  {extra}""", program="coexist-syncd-fast")
        made.append(follower)
        follower.start()
        if has:
            follower.wait_has(has)
            follower.wait_log("full (pass|refresh) finished")
        return follower

    yield make
    for follower in made:
        follower.close()


def whole_again(syncd, server, name="cain"):
    person(server, name)
    syncd.wait_has(f"{name}@acme.example")
    assert syncd.has("adam@acme.example")


def test_half_an_answer_to_the_bind(directory, follow):
    """It must not hold the attempt for ever: there may be no other server."""
    class Half(LdapServer):
        halves = 2

        def bind(self, send, message):
            if self.halves:
                self.halves -= 1
                self._half(send, message)
            else:
                super().bind(send, message)

        def _half(self, send, message):
            self.cut = 5
            send(message, self._result(0x61))

        cut = None

        def deliver(self, stream, data):
            stream.write(data[:self.cut])
            self.cut = None

    server = directory(Half)
    syncd = follow(server, has=None)
    syncd.wait_has("adam@acme.example", deadline=20)


def test_pages_without_end(directory, follow):
    class Endless(LdapServer):
        is_endless = True
        pages = 0

        def _search(self, send, message, request, controls):
            if self.is_endless and PAGED in controls:
                self.pages += 1
                send(message, self._result(0x65), tlv(0xa0, tlv(0x30, octets(PAGED),
                     octets(tlv(0x30, integer(0), octets("more"))))))
                return
            super()._search(send, message, request, controls)

    server = directory(Endless, offers_sync=False)
    syncd = follow(server, "poll", has=None)
    syncd.wait_log("more and more pages")
    server.is_endless = False
    syncd.wait_has("adam@acme.example")


def test_a_refresh_beside_the_session_that_never_comes(directory, follow):
    class Deaf(LdapServer):
        is_deaf = False

        def _sync(self, send, message, found, wanted, request):
            if self.is_deaf:
                self.is_deaf = False
                return
            super()._sync(send, message, found, wanted, request)

    server = directory(Deaf)
    syncd = follow(server)
    server.is_deaf = True
    assert syncd.ask("refresh corp") == "ok"
    syncd.wait_log("no message for too long")
    whole_again(syncd, server)


def test_unknown_notices_mean_nothing(directory, follow):
    server = directory()
    syncd = follow(server)
    attempts = len(syncd.daemon.log_lines("connected to"))
    for send, _ in list(server._persisting):
        for _ in range(10):
            send(0, tlv(0x78, integer(0, 0x0a), octets(""), octets(""), octets("1.2.3.4", 0x8a)))
    whole_again(syncd, server)
    assert len(syncd.daemon.log_lines("connected to")) == attempts
    for send, _ in list(server._persisting):
        send(0, tlv(0x78, integer(52, 0x0a), octets(""), octets(""),
                    octets("1.3.6.1.4.1.1466.20036", 0x8a)))
    syncd.wait_log("disconnects: Server is unavailable")
    whole_again(syncd, server, "abel")
    for send, _ in list(server._persisting):
        for _ in range(11):
            send(0, tlv(0x78, integer(0, 0x0a), octets(""), octets("")))
    syncd.wait_log("nobody asked for")
    whole_again(syncd, server, "seth")


@pytest.mark.parametrize("seed", SEEDS)
def test_any_fault_at_any_moment(folder, directory, follow, seed):
    """Changes go on while messages go wrong; when all is well, the replica is the directory."""
    server = directory(lambda: FaultyServer(seed))
    draw = random.Random(1000 + seed)
    there = {f"user{i}" for i in range(60)}
    for name in sorted(there):
        person(server, name)
    syncd = follow(server)
    server.faults = 12
    step = 0
    while step < 250 or len(server.done) < 9:
        step += 1
        name = f"user{draw.randrange(120)}"
        if name in there and draw.random() < 0.3 and len(there) > 55:
            server.remove(f"cn={name},{BASE}")
            there.discard(name)
        else:
            person(server, name, telephoneNumber=str(step), displayName=f"{name} {step}")
            there.add(name)
        if draw.random() < 0.4:
            time.sleep(draw.random() * 0.06)
        assert syncd.daemon.is_running() and step < 5000, server.done
        if step % 25 == 0:
            syncd.ask("refresh corp")
            syncd.ask("accept corp")  # what the valve keeps back is not what is tried here
    server.faults = 0
    person(server, "last")
    syncd.wait_has("last@acme.example")
    syncd.ask("accept corp")
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("what", ["changed", "removed"])
def test_a_session_that_is_behind_the_refresh_that_takes_its_place(folder, directory, follow, what):
    """What the old session sent last is not what the new one has read, and will not send again."""
    class Late(FaultyServer):
        syncd = None

        def _sync(self, send, message, found, wanted, request):
            if self.syncd and self._persisting:
                syncd, self.syncd = self.syncd, None
                person(self, "seth", displayName="first")
                syncd.wait_has("first")
                with self._lock:
                    waiting, self._persisting = self._persisting, []
                    if what == "changed":
                        person(self, "seth", displayName="second")
                    else:
                        self.remove(f"cn=seth,{BASE}")
                    self._persisting = waiting
                found = [dn for dn in self.entries if dn in found]
            super()._sync(send, message, found, wanted, request)

    server = directory(lambda: Late(1))
    person(server, "seth", displayName="none")
    syncd = follow(server)
    server.syncd = syncd
    assert syncd.ask("refresh corp") == "ok"
    syncd.wait_log("full refresh finished", count=2)
    if what == "changed":
        syncd.wait_has("second", deadline=20)
    else:
        syncd.wait_has_not("seth@")
    syncd.assert_like_new(folder)


def test_connections_that_end_at_once_are_made_ever_more_slowly(directory, follow):
    class Fickle(LdapServer):
        is_fickle = False

        def _sync(self, send, message, *more):
            super()._sync(send, message, *more)
            if self.is_fickle:
                send(0, tlv(0x78, integer(52, 0x0a), octets(""), octets(""),
                            octets("1.3.6.1.4.1.1466.20036", 0x8a)))

    server = directory(Fickle)
    syncd = follow(server)
    server.is_fickle = True
    server.close_all()
    lines = syncd.wait_log("next attempt in", count=7)[-4:]
    assert all(float(line.split()[-2]) >= 0.3 for line in lines), lines  # the unit is 0.1 s
    server.is_fickle = False
    whole_again(syncd, server)
