"""
Several servers of one directory: what coexist-syncd does when one is killed, refuses it, or lags
behind the other.
"""

import re

import pytest

from support.follower import PEOPLE, Follower, mailbox
from support.mirror import Mirror
from support.network import Gate
from support.slapd import EXAMPLE_SUFFIX
from support.wait import free_port, wait_for


@pytest.fixture
def mirror(request, folder):
    servers = Mirror(folder, has_session_log=getattr(request, "param", True))
    yield servers
    servers.close()


@pytest.fixture
def follow(folder):
    """follow(uris, ...) -> a Follower that is not started."""
    made = []

    def make(*uris, program="coexist-syncd-fast", extra=""):
        made.append(Follower(folder, f"""uri = "{' '.join(uris)}"
  starttls = false
  base = "{EXAMPLE_SUFFIX}"
  bind_dn = "cn=coexist,ou=services,{EXAMPLE_SUFFIX}"
  bind_password_file = "{folder}/follower/ldap.secret"
  {extra}""", program=program))
        return made[-1]

    yield make
    for follower in made:
        follower.close()


def incremental(syncd):
    """The entries that each incremental refresh brought."""
    return [int(re.search(r"with (\d+) entries", line)[1])
            for line in syncd.daemon.log_lines("incremental refresh finished")]


def assert_loaded_once(syncd):
    assert len(syncd.daemon.log_lines("full refresh finished")) == 1, syncd.log()


BOTH_WAYS = pytest.mark.parametrize("mirror", [True, False], indirect=True,
                                    ids=["session log", "no session log"])
NO_SESSION_LOG = pytest.mark.parametrize("mirror", [False], indirect=True, ids=["no session log"])


@BOTH_WAYS
def test_a_killed_provider_costs_nothing(folder, mirror, follow):
    """kill -9 while it persists, to and fro, with changes at both: no reload, no loss (T4, T5)."""
    mirror.fill("".join(mailbox(f"user{i}") for i in range(50)))
    syncd = follow(mirror.first.uri, mirror.second.uri).start()
    syncd.wait_has("user49@acme.example")
    at = mirror.first
    for turn in range(4):
        other = mirror.both[at]
        for number, server in enumerate((at, other, at, other)):
            server.add(mailbox(f"turn{turn}-{number}"))
        syncd.wait_has(f"turn{turn}-3@acme.example")
        mirror.wait_in_step(servers=2)
        refreshes = len(incremental(syncd))
        at.kill()
        other.add(mailbox(f"alone{turn}"))
        syncd.wait_has(f"alone{turn}@acme.example")
        assert syncd.status()["directories"][0]["server"] == other.uri
        assert len(incremental(syncd)) > refreshes
        at.start()
        mirror.wait_in_step(servers=2)
        at = other
    assert_loaded_once(syncd)
    assert max(incremental(syncd)) < 5, syncd.log()
    syncd.assert_like_new(folder)


def test_a_provider_killed_in_the_middle_of_a_refresh(folder, mirror, follow):
    mirror.fill("".join(mailbox(f"user{i}") for i in range(300)))
    gate = Gate(mirror.first.port)
    try:
        syncd = follow(gate.uri, mirror.second.uri).start()
        syncd.wait_has("user299@acme.example")
        syncd.daemon.stop()
        mirror.first.modify("".join(
            f"dn: uid=user{i},{PEOPLE}\nchangetype: modify\nreplace: mail\n"
            f"mail: new{i}@acme.example\n\n" for i in range(200)))
        mirror.second.delete(f"uid=user250,{PEOPLE}")
        mirror.wait_in_step(servers=2)
        before = syncd.dump()
        gate.hold(after=30000)
        syncd.start()
        wait_for(gate.held.is_set, syncd.log)
        assert syncd.dump() == before
        mirror.first.kill()
        gate.cut()
        syncd.wait_has("new199@acme.example")
        syncd.wait_has_not("user250@acme.example")
        assert syncd.status()["directories"][0]["server"] == mirror.second.uri
        assert_loaded_once(syncd)
        assert incremental(syncd) == [200]
        syncd.assert_like_new(folder)
    finally:
        gate.close()


@NO_SESSION_LOG
def test_a_provider_that_lags_takes_nothing_away(folder, mirror, follow):
    """
    What it does not have yet is kept for the time of grace. What it never gets goes then, and
    comes back with the provider that has it.
    """
    first, second = mirror.first, mirror.second
    mirror.fill(mailbox("adam") + mailbox("eve"))
    syncd = follow(first.uri, second.uri).start()
    syncd.wait_has("eve@acme.example")
    mirror.gates[second].hold()
    first.add(mailbox("young"))
    syncd.wait_has("young@acme.example")
    # Where it has changes of its own it names what it has, and means that the rest is gone.
    mirror.gates[first].hold()
    second.delete(f"uid=eve,{PEOPLE}")
    second.add(mailbox("cain"))
    first.kill()
    line = syncd.wait_log("lags behind the server before it")[0]
    assert " 1 new entries" in line
    syncd.wait_has("cain@acme.example")
    syncd.wait_has_not("eve@acme.example")  # deleted, and none that came lately
    assert syncd.has("young@acme.example") or syncd.daemon.log_lines("entries were kept")
    syncd.wait_has_not("young@acme.example")
    assert syncd.daemon.log_lines("full refresh: entries were kept"), syncd.log()
    for gate in mirror.gates.values():
        gate.release()
    first.start()
    mirror.wait_in_step(servers=2)
    syncd.wait_has("young@acme.example")
    syncd.assert_like_new(folder)


@NO_SESSION_LOG
def test_what_is_gone_goes_at_once_where_the_other_provider_is_up_to_date(folder, mirror, follow):
    mirror.fill(mailbox("adam"))
    syncd = follow(mirror.first.uri, mirror.second.uri).start()
    syncd.wait_has("adam@acme.example")
    mirror.first.add(mailbox("young"))
    syncd.wait_has("young@acme.example")
    mirror.wait_in_step(servers=2)
    mirror.gates[mirror.first].hold()
    mirror.second.delete(f"uid=young,{PEOPLE}")
    mirror.first.kill()
    syncd.wait_has_not("young@acme.example")
    assert not syncd.daemon.log_lines("lags behind")
    mirror.gates[mirror.first].release()
    syncd.assert_like_new(folder, syncd.directory.replace(mirror.first.uri + " ", "")
                          .replace(syncd.folder, f"{folder}/fresh"))


def test_attempts_become_rarer(follow):
    """tests/unit/test_ldap_retry.c has the bounds."""
    syncd = follow(f"ldap://127.0.0.1:{free_port()}", f"ldap://127.0.0.1:{free_port()}").start()
    waits = [float(re.search(r"in ([\d.]+) s", line)[1])
             for line in syncd.wait_log("next attempt in", 5)]
    for number, wait in enumerate(waits):
        assert 0.075 * 2 ** min(number, 4) <= wait <= 0.125 * 2 ** min(number, 4), waits


def test_who_refuses_us_is_left_alone_for_long(server, follow):
    """Else a wrong password would be tried at each turn of the others, until the account is locked."""
    syncd = follow(server.uri, f"ldap://127.0.0.1:{free_port()}", program="coexist-syncd")
    syncd.write_secret("wrong\n")
    syncd.start()
    syncd.wait_log("next attempt in", 3)
    assert len(syncd.daemon.log_lines("Invalid credentials")) == 1, syncd.log()
    assert len(syncd.daemon.log_lines("Can't contact LDAP server")) >= 1
    # And a password that is put right is tried at once.
    syncd.write_secret("service secret\n")
    syncd.wait_has("adam@acme.example")
