"""coexist-syncd behind a real slapd: what happens in the directory happens in the replica."""

import re

import pytest

from support.follower import DOMAIN, PEOPLE, Follower, Proxy, mailbox
from support.slapd import Slapd

# What the SPEC gives a change until the next RCPT follows it.
ONE_SECOND = 1


def section(server, folder, extra="", uri=None):
    return f"""uri = "{uri or server.uri}"
  starttls = false
  base = "{server.suffix}"
  bind_dn = "{server.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret"
  {extra}"""


@pytest.fixture
def server(folder):
    slapd = Slapd(f"{folder}/slapd")
    slapd.add(DOMAIN + mailbox("adam") + mailbox("eve", f"coexistAltRecipient: uid=adam,{PEOPLE}"))
    yield slapd
    slapd.close()


@pytest.fixture
def follow(folder, server):
    """follow(extra) -> a Follower that has loaded the directory."""
    made = []

    def make(extra="", uri=None, wait=True):
        follower = Follower(folder, section(server, folder, extra, uri))
        made.append(follower)
        follower.start()
        if wait:
            follower.wait_log(r"full refresh finished")
        return follower

    yield make
    for follower in made:
        follower.close()


def test_follows_add_modify_rename_and_delete(folder, server, follow):
    syncd = follow()
    assert syncd.has("adam@acme.example")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example", ONE_SECOND)
    server.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: kain@acme.example\n")
    syncd.wait_has("kain@acme.example", ONE_SECOND)
    assert not syncd.has("cain@acme.example")
    server.rename(f"uid=cain,{PEOPLE}", "uid=seth")
    syncd.wait_has(f"uid=seth,{PEOPLE}", ONE_SECOND)
    server.delete(f"uid=seth,{PEOPLE}")
    syncd.wait_has_not("kain@acme.example")
    syncd.assert_like_new(folder)


def test_serves_and_goes_on_when_slapd_is_killed(folder, server, follow):
    syncd = follow()
    server.kill()
    syncd.wait_log("lost the connection")
    assert syncd.has("adam@acme.example")
    server.start()
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.assert_like_new(folder)


def test_finds_what_was_deleted_while_slapd_was_out_of_reach(folder, server, follow):
    proxy = Proxy(server.port)
    try:
        syncd = follow(uri=proxy.uri)
        proxy.target = 1  # nobody
        proxy.cut()
        syncd.wait_log("lost the connection")
        server.delete(f"uid=eve,{PEOPLE}")
        server.add(mailbox("cain"))
        proxy.target = server.port
        syncd.wait_has("cain@acme.example")
        syncd.wait_has_not("eve@acme.example")
        syncd.assert_like_new(folder)
    finally:
        proxy.close()


def test_the_first_retry_comes_within_a_second(server, follow):
    proxy = Proxy(server.port)
    try:
        syncd = follow(uri=proxy.uri)
        for _ in range(3):
            seen = len(syncd.daemon.log_lines("connected to"))
            proxy.cut()
            syncd.wait_log("connected to", seen + 1)
        waits = [float(re.search(r"in ([\d.]+) s", line)[1])
                 for line in syncd.daemon.log_lines("next attempt")]
        # Of a server that loses us again and again the pause grows, but stays below ten seconds.
        assert len(waits) == 3 and waits[0] < 1 and max(waits) < 10
    finally:
        proxy.close()


def test_a_restart_transfers_nothing_again(server, follow):
    syncd = follow()
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.daemon.stop()
    syncd.start()
    line = syncd.wait_log("incremental refresh finished")[0]
    assert " 0 entries" in line, line


def test_after_kill_9_it_goes_on_from_the_stored_cookie(folder, server, follow):
    syncd = follow()
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.daemon.kill()
    server.add(mailbox("seth"))
    server.delete(f"uid=cain,{PEOPLE}")
    syncd.start()
    syncd.wait_has("seth@acme.example")
    syncd.wait_has_not("cain@acme.example")
    syncd.wait_log("incremental refresh finished")
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("damage", [
    pytest.param(lambda data: data.replace(b"csn=2", b"csn=x"), id="cookie garbled"),
    pytest.param(lambda data: data.replace(b"rid=000", b"abc=000"), id="cookie foreign"),
])
def test_a_cookie_that_the_server_ignores(folder, server, follow, damage):
    """What was deleted meanwhile goes all the same (T2, T3)."""
    proxy = Proxy(server.port)
    try:
        syncd = follow(uri=proxy.uri)
        proxy.target = 1
        proxy.cut()
        server.delete(f"uid=eve,{PEOPLE}")
        proxy.edit, proxy.target = damage, server.port
        syncd.wait_has_not("eve@acme.example")
        assert syncd.daemon.log_lines("did not take our cookie")
        syncd.assert_like_new(folder)
    finally:
        proxy.close()


def test_no_directory_at_first(server, follow):
    server.stop()
    syncd = follow(wait=False)
    syncd.wait_log("error: .*contact LDAP server")
    assert not syncd.dump()
    server.start()
    syncd.wait_has("adam@acme.example")


def test_a_full_refresh_on_request_disturbs_nothing(folder, server, follow):
    syncd = follow()
    for i in range(20):
        server.add(mailbox(f"user{i}"))
        assert syncd.ask("refresh corp") == "ok"
        server.modify(f"dn: uid=user{i},{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                      f"mail: new{i}@acme.example\n")
    syncd.wait_has("new19@acme.example")
    syncd.wait_log("full refresh finished", 3)
    assert not syncd.daemon.log_lines("lost the connection")
    syncd.assert_like_new(folder)


def test_an_entry_that_cannot_be_used_is_skipped_and_said_once(folder, server, follow):
    syncd = follow()
    server.add(mailbox("cain").replace("cain@acme.example", "no address"))
    server.add(mailbox("seth"))
    syncd.wait_has("seth@acme.example")
    server.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: sn\nsn: other\n")
    server.add(mailbox("noah"))
    syncd.wait_has("noah@acme.example")
    assert len(syncd.daemon.log_lines("entry skipped.*uid=cain")) == 1
    server.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: cain@acme.example\n")
    syncd.wait_has("cain@acme.example")
    server.modify(f"dn: uid=cain,{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: none\n")
    syncd.wait_has_not("cain@acme.example")
    syncd.assert_like_new(folder)


def test_many_entries_and_changes(folder, server, follow):
    server.add("".join(mailbox(f"user{i}") for i in range(1200)))
    syncd = follow()
    server.modify("".join(
        f"dn: uid=user{i},{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: new{i}@acme.example\n\n"
        for i in range(0, 1200, 4)))
    server.modify("".join(f"dn: uid=user{i},{PEOPLE}\nchangetype: delete\n\n" for i in (1, 2, 3)))
    syncd.wait_has("new1196@acme.example")
    syncd.wait_has_not("user3@acme.example")
    syncd.assert_like_new(folder)
