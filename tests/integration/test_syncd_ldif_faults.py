"""LDIF files that are wrong, and directories that lose their people."""

import os

import pytest

from support.daemons import coexistctl
from support.syncd import DOMAIN, Syncd, fresh_dump, mailbox, mailboxes
from support.wait import wait_for

GOOD = mailboxes(0, 3)
NEXT = GOOD.count("\n") + 2  # the line behind it and a blank one


@pytest.fixture
def syncd():
    made = Syncd()
    made.write(GOOD)
    made.daemon.start()
    made.wait_status(state="loaded", recipients=3)
    yield made
    made.close()


BROKEN = {
    "syntax": (GOOD + "\nnonsense\n", f"{NEXT}: no colon"),
    "cut off in the middle": (GOOD[:-20], f"{NEXT - 2}: no colon"),
    "a value from a file": (GOOD + "\n" + mailbox(9) + "description:< file:///etc/passwd\n",
                            "values from a URL"),
    "include": ("include: file:///etc/passwd\n\n" + GOOD, "1: \"include\" is not allowed"),
    "change record": (GOOD + "\n" + mailbox(9) + "changetype: add\n", "change records"),
    "a DN twice": (GOOD + "\n" + mailbox(1, dn="UID=U1,ou=People,dc=acme,dc=example"),
                   f"{NEXT}: the DN was there before, in line 12"),
    "NUL": (GOOD.encode() + b"\ndn: uid=u8\0,dc=x\n", f"{NEXT}: a NUL byte"),
    "base64": (GOOD + "\n" + mailbox(9) + "cn:: %%%\n", "not base64"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_rejected_whole_and_old_data_stay(syncd, case):
    text, error = BROKEN[case]
    before = syncd.dump()
    syncd.write(text)
    status = syncd.wait_status(state="rejected")
    assert f"{syncd.ldif()}:" in status["lastError"] and error in status["lastError"]
    assert syncd.dump() == before
    contact = status["lastContact"]
    assert syncd.daemon.log_lines(f"error: {syncd.ldif()}:")
    # A restart finds the same, and still has the data.
    syncd.daemon.restart()
    assert syncd.wait_status(state="rejected")["lastContact"] <= contact
    assert syncd.dump() == before
    syncd.write(mailboxes(0, 4))
    status = syncd.wait_status(state="loaded", recipients=4)
    assert status["lastError"] == ""


@pytest.mark.parametrize("kind", ["fifo", "directory", "gone", "unreadable link"])
def test_what_is_no_file_is_an_error_and_old_data_stay(syncd, kind):
    before = syncd.dump()
    os.unlink(syncd.ldif())
    if kind == "fifo":
        os.mkfifo(syncd.ldif())
    elif kind == "directory":
        os.mkdir(syncd.ldif())
    elif kind == "unreadable link":
        os.symlink(syncd.ldif(), syncd.ldif())
    status = syncd.wait_status(state="rejected" if kind in ("fifo", "directory") else "missing")
    assert status["lastError"]
    assert syncd.dump() == before
    if kind == "directory":
        os.rmdir(syncd.ldif())
    syncd.write(mailboxes(0, 4))
    syncd.wait_status(state="loaded", recipients=4)


def test_many_removals_are_kept_back_until_they_are_accepted(syncd):
    syncd.write(mailboxes(0, 100))
    syncd.wait_status(recipients=100)
    # 25 are gone, one is new, one changed.
    rest = [mailbox(n, cn="new name" if n == 50 else None) for n in range(25, 101)]
    text = "\n".join([DOMAIN] + rest)
    syncd.write(text)
    syncd.wait_status(recipients=101, held=25)
    dump = syncd.dump()
    assert "new name" in dump and "u100@acme.example" in dump and "u3@acme.example" in dump
    assert syncd.daemon.log_lines("error: .*removals kept back: 25 now, 25 in all")
    syncd.daemon.restart()
    syncd.wait_status(state="loaded", held=25)
    # One comes back: struck off.
    text = "\n".join([DOMAIN, mailbox(3)] + rest)
    syncd.write(text)
    syncd.wait_status(held=24)
    accept = coexistctl(syncd.daemon.conf, "accept-refresh", "corp")
    assert (accept.returncode, accept.stdout) == (0, "ok\n"), accept.stderr
    syncd.wait_status(recipients=77, held=0)
    assert syncd.dump() == fresh_dump({"corp": text})
    assert syncd.ask("accept corp") == ["error: no removals are kept back"]
    accept = coexistctl(syncd.daemon.conf, "accept-refresh", "corp")
    assert accept.returncode == 69 and "no removals are kept back" in accept.stderr
    assert coexistctl(syncd.daemon.conf, "accept-refresh", "nosuch").returncode == 64


def test_an_empty_file_removes_nobody(syncd):
    before = syncd.dump()
    syncd.write("")
    syncd.wait_status(state="loaded", recipients=3, domains=1, held=4)
    assert syncd.dump() == before
    syncd.write(GOOD)
    syncd.wait_status(held=0)
    assert syncd.dump() == before


def test_entries_that_move_are_not_removals(syncd):
    """Without entryUUID a move is another entry, with the same addresses."""
    syncd.write(mailboxes(0, 100))
    syncd.wait_status(recipients=100)
    moved = "\n".join([DOMAIN] + [mailbox(n, dn=f"uid=u{n},ou=moved,dc=acme,dc=example")
                                  for n in range(100)])
    syncd.write(moved)
    wait_for(lambda: "ou=moved" in syncd.dump(), "the move to show")
    syncd.wait_status(recipients=100, held=0)
    assert syncd.dump() == fresh_dump({"corp": moved})


def test_refresh_reads_the_file_again(syncd):
    refreshes = syncd.status()["refreshes"]
    assert syncd.ask("refresh") == ["ok"]
    syncd.wait_status(refreshes=refreshes + 1)
    assert syncd.ask("refresh corp", "refresh nosuch") == ["ok", 'error: no such directory: "nosuch"']
    syncd.wait_status(refreshes=refreshes + 2)


def test_a_first_load_of_nothing_is_none():
    """An empty file, or an account that may not read: no domain would be ours."""
    syncd = Syncd()
    try:
        syncd.write("")
        syncd.daemon.start()
        status = wait_for(lambda: syncd.status()["lastError"] and syncd.status(), "an error")
        assert "no entry at all" in status["lastError"] and not status["loaded"]
        for address in ("u1@acme.example", "x@elsewhere.example"):
            assert coexistctl(syncd.daemon.conf, "resolve", address).returncode == 75
        syncd.write(GOOD)
        syncd.wait_status(state="loaded", recipients=3)
        assert coexistctl(syncd.daemon.conf, "resolve", "u1@acme.example").returncode == 0
    finally:
        syncd.close()
