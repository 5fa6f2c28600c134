"""
What a directory does not say and coexist-syncd finds out: servers that hang, lose their memory of
what was last, change their rules, or are several. coexist-syncd-fast does in moments what
coexist-syncd does in minutes.
"""

import os
import re
import signal

import pytest

from support.faults import edit_and_restart, edit_conf, make_server, section
from support.follower import DOMAIN, PEOPLE, Follower, Proxy, mailbox
from support.slapd import Slapd
from support.wait import free_port, run, wait_for


def port_of(server):
    return int(server.uri.rstrip("/").rpartition(":")[2])


@pytest.fixture
def server(folder):
    slapd = make_server(folder)
    yield slapd
    slapd.close()


@pytest.fixture
def follow(folder, server):
    made = []

    def make(*servers, extra="", has="adam@acme.example", program="coexist-syncd-fast"):
        follower = Follower(folder, section(folder, *(servers or [server]), extra=extra),
                            program=program)
        made.append(follower)
        follower.start()
        follower.wait_has(has)
        return follower

    yield make
    for follower in made:
        follower.close()


def test_notices_a_server_that_hangs(folder, server, follow):
    """Its sockets stay open: only the probe tells."""
    syncd = follow()
    os.kill(server.child.pid, signal.SIGSTOP)
    try:
        syncd.wait_log("the server does not answer")
        assert syncd.has("adam@acme.example")
    finally:
        os.kill(server.child.pid, signal.SIGCONT)
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.assert_like_new(folder)


def test_a_full_refresh_comes_at_its_interval_and_finds_changed_rights(folder, server, follow):
    """slapd says nothing when access rules hide an entry (T8)."""
    syncd = follow(extra='full_interval = "1s"')
    edit_and_restart(server, (r"(?m)^# Passwords\..*$", f'access to dn.exact="uid=eve,{PEOPLE}"'
                              ' by * none\n\\g<0>'))
    syncd.wait_has_not("eve@acme.example")
    edit_and_restart(server, (r"(?m)^access to dn.exact=.uid=eve.*$", ""))
    syncd.wait_has("eve@acme.example")
    syncd.assert_like_new(folder)


def test_a_server_that_learns_to_persist_is_no_longer_polled(server, follow):
    with open(f"{server.folder}/slapd.conf", encoding="utf-8") as conf:
        whole = conf.read()
    edit_and_restart(server, (r"(?m)^(overlay\s+syncprov|syncprov-.*)$", ""))
    syncd = follow(extra='poll_interval = "200ms"')
    assert syncd.status()["directories"][0]["state"] == "poll"
    server.stop()
    with open(f"{server.folder}/slapd.conf", "w", encoding="utf-8") as conf:
        conf.write(whole)
    server.start()
    wait_for(lambda: syncd.status()["directories"][0]["state"] == "persist",
             lambda: f"persist\n{syncd.log()}")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")


SYNC = b"1.3.6.1.4.1.4203.1.9.1.1"  # the control of a sync search


def test_the_interval_counts_from_the_last_full_refresh(server, follow):
    """Connections that never last as long as full_interval must not put it off for ever."""
    proxy = Proxy(port_of(server))
    try:
        syncd = follow(proxy, extra='full_interval = "2s"')
        seen = -1

        def goes_on():
            nonlocal seen
            incremental = len(syncd.daemon.log_lines("incremental refresh finished"))
            if incremental > seen:
                seen = incremental
                proxy.cut()
            return len(syncd.daemon.log_lines("full refresh finished")) >= 3

        wait_for(goes_on, syncd.log)
    finally:
        proxy.close()


def test_a_full_refresh_that_failed_is_tried_again(server, follow):
    broken = []

    def edit(data):
        if broken and SYNC in data and b"csn=" not in data:
            broken.append(data)
            return data.replace(b"dc=example", b"dc=nowhere")
        return data

    proxy = Proxy(port_of(server), edit)
    try:
        syncd = follow(proxy)
        broken.append("from now on")
        assert syncd.ask("refresh corp") == "ok"
        assert syncd.ask("refresh corp") == "ok"
        syncd.wait_log("the full refresh ended with result")
        broken.clear()
        syncd.wait_log("full refresh finished", 2)
        assert syncd.status()["directories"][0]["state"] == "persist"
    finally:
        proxy.close()


def test_a_server_that_loses_us_in_the_refresh_is_left_for_the_next(server, follow):
    def edit(data):
        if SYNC in data:
            raise OSError
        return data

    proxy = Proxy(port_of(server), edit)
    try:
        syncd = follow(proxy, server)
        assert syncd.status()["directories"][0]["server"] == server.uri
    finally:
        proxy.close()


def test_a_server_that_refreshes_and_does_not_persist_is_asked_as_if_polled(server, follow):
    """Not at once again, nor all servers in turn without a pause."""
    def edit(data):  # refreshAndPersist becomes refreshOnly
        return data.replace(b"\x0a\x01\x03", b"\x0a\x01\x01") if SYNC in data else data

    proxies = [Proxy(port_of(server), edit) for _ in range(2)]
    try:
        syncd = follow(*proxies, extra='poll_interval = "1h"')
        syncd.wait_log("next attempt in 3600")
        assert [proxy.accepted for proxy in proxies] == [1, 0]
        server.add(mailbox("cain"))
        assert syncd.ask("refresh corp") == "ok"
        syncd.wait_has("cain@acme.example")
    finally:
        for proxy in proxies:
            proxy.close()


def test_a_directory_that_was_removed_and_comes_back_is_loaded_whole(folder, server, follow):
    """What the old connection has to write as it ends must not outlive the directory's records."""
    syncd = follow(program="coexist-syncd")
    whole = syncd.directory
    ldif = f"{folder}/other.ldif"
    with open(ldif, "w", encoding="utf-8") as out:
        out.write(mailbox("cain"))
    other = f'ldif = "{ldif}"'
    with open(syncd.conf, encoding="utf-8") as conf:
        text = conf.read()

    def reload(*sections):
        done = len(syncd.daemon.log_lines("configuration reloaded"))
        head, rest = text.split('directory "corp" {')
        tail = rest[rest.index("\n}\n") + 3:]
        with open(syncd.conf, "w", encoding="utf-8") as conf:
            conf.write(head + "".join(f'directory "{name}" {{\n{body}\n}}\n'
                                      for name, body in sections) + tail)
        syncd.daemon.reload()
        syncd.wait_log("configuration reloaded", done + 1)

    reload(("corp", whole), ("other", other))
    syncd.wait_has("cain@acme.example")
    # After a reload a cookie is due to be written; the next probe, which would, is far off.
    reload(("corp", whole), ("other", other))
    reload(("other", other))
    syncd.wait_has_not("adam@acme.example")
    reload(("corp", whole), ("other", other))
    syncd.wait_has("adam@acme.example")
    syncd.wait_log("directory=corp full refresh finished", 2)


@pytest.fixture
def pair(folder):
    """Two slapds that replicate each other."""
    servers = []
    ports = [free_port(), free_port()]
    for number, port in enumerate(ports, 1):
        slapd = Slapd(f"{folder}/provider{number}", seed=False, extra=f"""
syncrepl rid={number:03} provider=ldap://127.0.0.1:{ports[2 - number]} type=refreshAndPersist
  retry="1 +" searchbase="dc=acme,dc=example" bindmethod=simple
  binddn="cn=admin,dc=acme,dc=example" credentials="manager secret"
multiprovider on
""")
        servers.append(slapd)
        slapd.stop()
        slapd.port, slapd.uri = port, f"ldap://127.0.0.1:{port}"
        slapd.listeners[0] = f"{slapd.uri}/"
        edit_conf(slapd, (r"(?m)^(pidfile.*)$", rf"\1\nserverID {number}"),
                  (r"(?m)^(overlay\s+(unique|refint)|unique_uri.*|refint_attributes.*)$", ""))
    for slapd in servers:
        slapd.start()
    yield servers
    for slapd in servers:
        slapd.close()


def test_two_providers_lose_no_change_and_need_no_reload(folder, pair, follow):
    """The cookie of one with a CSN for each serves at the other (T4, T5)."""
    first, second = pair
    run(["ldapadd", "-x", "-H", first.uri, "-D", first.root_dn, "-w", first.root_password],
        stdin=f"dn: {first.suffix}\nobjectClass: dcObject\nobjectClass: organization\ndc: acme\no: Acme\n\n"
        + "".join(f"dn: ou={name},{first.suffix}\nobjectClass: organizationalUnit\nou: {name}\n\n"
                  for name in ("people", "services", "mail"))
        + f"dn: {first.service_dn}\nobjectClass: applicationProcess\n"
        f"objectClass: simpleSecurityObject\ncn: coexist\nuserPassword: {first.service_password}\n\n"
        + DOMAIN + mailbox("adam") + "".join(mailbox(f"user{i}") for i in range(20)))
    wait_for(lambda: second.search("(uid=user19)"), "replication")
    # A provider whose first change comes later is new to the cookie, and sends everything.
    second.add(mailbox("eve"))
    wait_for(lambda: first.search("(uid=eve)"), "replication")
    syncd = follow(first, second)
    both = {first: second, second: first}
    at = first
    for turn in range(6):
        server = both[at] if turn % 2 else at
        server.add(mailbox(f"turn{turn}"))
        syncd.wait_has(f"turn{turn}@acme.example")
        wait_for(lambda s=both[server], n=turn: s.search(f"(uid=turn{n})"), "replication")
        at.stop()
        both[at].add(mailbox(f"alone{turn}"))
        syncd.wait_has(f"alone{turn}@acme.example")
        at.start()
        wait_for(lambda s=at, n=turn: s.search(f"(uid=alone{n})"), "replication")
        at = both[at]
    assert len(syncd.daemon.log_lines("full refresh finished")) == 1, syncd.log()
    for line in syncd.daemon.log_lines("incremental refresh finished"):
        assert int(re.search(r"with (\d+) entries", line)[1]) < 5, syncd.log()
    syncd.assert_like_new(folder)
