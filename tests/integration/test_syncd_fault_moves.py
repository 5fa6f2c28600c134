"""
Entries that are renamed, moved with what is above them, leave the base or the filter and come back,
while coexist-syncd listens, is away, or cannot reach the server (ldap-sync.md section 10, test 9).
"""

import pytest

from support.faults import EXAMPLE_SUFFIX, PEOPLE, mailbox, users
from support.follower import Proxy

AWAY = f"ou=away,{EXAMPLE_SUFFIX}"


def unit(name, parent=EXAMPLE_SUFFIX):
    return f"dn: ou={name},{parent}\nobjectClass: organizationalUnit\nou: {name}\n\n"


@pytest.fixture(params=["online", "syncd stopped", "syncd killed", "server out of reach"])
def line(request, directory):
    """line(**options) -> (syncd, away(), back())."""
    proxy = Proxy(directory.port)

    def make(**options):
        syncd = directory.follow(proxy, **options)

        def away():
            if request.param == "syncd stopped":
                syncd.daemon.stop()
            elif request.param == "syncd killed":
                syncd.daemon.kill()
            elif request.param == "server out of reach":
                proxy.target = 1  # nobody
                proxy.cut()

        def back():
            proxy.target = directory.port
            if not syncd.daemon.is_running():
                syncd.start()

        return syncd, away, back

    yield make
    proxy.close()


def test_containers_renamed_and_nested(folder, directory, line):
    directory.add(unit("deep", PEOPLE) + unit("deeper", f"ou=deep,{PEOPLE}")
                  + mailbox("cain", parent=f"ou=deeper,ou=deep,{PEOPLE}"))
    syncd, away, back = line(has="cain@acme.example")
    away()
    directory.rename(f"ou=deeper,ou=deep,{PEOPLE}", "ou=lower")
    directory.rename(f"ou=deep,{PEOPLE}", "ou=low")
    directory.rename(PEOPLE, "ou=staff")
    staff = f"ou=staff,{EXAMPLE_SUFFIX}"
    directory.add(mailbox("seth", parent=f"ou=lower,ou=low,{staff}"))
    back()
    syncd.wait_has("seth@acme.example")
    lost = len(syncd.daemon.log_lines("lost the connection"))
    syncd.wait_has(f"uid=cain,ou=lower,ou=low,{staff}")
    syncd.wait_has(f"uid=adam,{staff}")
    # The full refresh beside it leaves the session as it is.
    assert len(syncd.daemon.log_lines("lost the connection")) == lost
    syncd.assert_like_new(folder)


def test_a_subtree_moved_within_out_and_back(folder, directory, line):
    """The base is ou=people: what leaves it must go, what comes into it must come, at any depth."""
    directory.add(unit("away") + unit("team", AWAY) + unit("inner", f"ou=team,{AWAY}") + unit("side", PEOPLE)
                  + mailbox("cain", parent=f"ou=team,{AWAY}")
                  + mailbox("seth", parent=f"ou=inner,ou=team,{AWAY}"))
    syncd, away, back = line(base=PEOPLE)
    for into in (True, False, True):
        away()
        if into:
            directory.rename(f"ou=team,{AWAY}", "ou=team", PEOPLE)
            directory.rename(f"ou=team,{PEOPLE}", "ou=team", f"ou=side,{PEOPLE}")
        else:
            directory.rename(f"ou=team,ou=side,{PEOPLE}", "ou=team", AWAY)
        back()
        for name in ("cain", "seth"):
            (syncd.wait_has if into else syncd.wait_has_not)(f"{name}@acme.example")
        if into:
            syncd.wait_has(f"uid=seth,ou=inner,ou=team,ou=side,{PEOPLE}")
        syncd.assert_like_new(folder)


def test_an_entry_moved_out_and_back(folder, directory, line):
    directory.add(unit("away"))
    syncd, away, back = line(base=PEOPLE)
    away()
    directory.rename(f"uid=eve,{PEOPLE}", "uid=eve", AWAY)
    back()
    syncd.wait_has_not("eve@acme.example")
    away()
    directory.rename(f"uid=eve,{AWAY}", "uid=eva", PEOPLE)
    back()
    syncd.wait_has(f"uid=eva,{PEOPLE}")
    syncd.assert_like_new(folder)


def change(name, *lines):
    return "\n".join([f"dn: uid={name},{PEOPLE}", "changetype: modify", *lines, "", ""])


def test_entries_that_leave_the_filter_and_come_back(folder, directory, line):
    """By an attribute that the filter names, and by the object class that makes them ours."""
    directory.add(users(3))
    syncd, away, back = line(has="user2@acme.example",
                             extra='filter = "(&(!(employeeType=left))(objectClass=*))"')
    away()
    directory.modify(change("user0", "add: employeeType", "employeeType: left")
                     + change("user1", "delete: objectClass", "objectClass: coexistMailbox"))
    back()
    syncd.wait_has_not("user0@acme.example")
    syncd.wait_has_not("user1@acme.example")
    syncd.assert_like_new(folder)
    away()
    directory.modify(change("user0", "delete: employeeType")
                     + change("user1", "add: objectClass", "objectClass: coexistMailbox"))
    back()
    syncd.wait_has("user0@acme.example")
    syncd.wait_has("user1@acme.example")
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("end", ["killed", "cut"])
def test_a_renamed_container_is_not_forgotten_when_the_line_is_lost(folder, directory, end):
    """The full refresh that it asks for is still to come when syncd dies, or loses the server."""
    proxy = Proxy(directory.port)
    try:
        syncd = directory.follow(proxy)
        hold = []

        def edit(data):  # no refresh but those with a cookie gets through
            if hold and b"1.3.6.1.4.1.4203.1.9.1.1" in data and b"csn=" not in data:
                raise OSError
            return data

        proxy.edit = edit
        hold.append(1)
        proxy.cut()
        syncd.wait_log("connected to", 2)
        syncd.wait_state(state="persist")
        directory.rename(PEOPLE, "ou=staff")
        syncd.wait_log("full refresh: a container changed")
        if end == "killed":
            syncd.daemon.kill()
        else:
            proxy.cut()
        hold.clear()
        if end == "killed":
            syncd.start()
        syncd.wait_has(f"uid=adam,ou=staff,{EXAMPLE_SUFFIX}")
        syncd.assert_like_new(folder)
    finally:
        proxy.close()
