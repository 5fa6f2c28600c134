"""An LDIF directory is followed: what changes in the file shows in the replica."""

import os
import time

import pytest

from support.syncd import DOMAIN, Syncd, fresh_dump, mailbox, mailboxes
from support.wait import FACTOR, wait_for

# SPEC section 10: two seconds; on a busy machine, with sanitizers, more.
SOON = 2 * max(1, FACTOR)


@pytest.fixture
def syncd():
    made = Syncd()
    yield made
    made.close()


def test_loads_what_is_there_and_is_ready(syncd):
    syncd.write(mailboxes(0, 3))
    syncd.daemon.start()
    status = syncd.wait_status(state="loaded", recipients=3, domains=1)
    assert status["loaded"] and status["lastContact"] > 0 and status["lastError"] == ""
    assert "u1@acme.example" in syncd.dump()


def test_a_file_that_comes_later_is_loaded(syncd):
    syncd.daemon.start()
    status = syncd.wait_status(state="missing")
    assert not status["loaded"] and "No such file" in status["lastError"]
    syncd.write(mailboxes(0, 3))
    syncd.wait_status(state="loaded", recipients=3)
    # Said once, however often it was looked for.
    assert len(syncd.daemon.log_lines("No such file")) == 1


def replace(syncd, text):
    syncd.write(text)


def write_in_place(syncd, text):
    with open(syncd.ldif(), "w", encoding="utf-8") as out:
        out.write(text)


def switch_link(syncd, text):
    """As configuration management and orchestrators do."""
    with open(f"{syncd.folder}/other", "w", encoding="utf-8") as out:
        out.write(text)
    os.symlink("other", f"{syncd.folder}/link")
    os.rename(f"{syncd.folder}/link", syncd.ldif())


def same_size_same_mtime(syncd, text):
    before = os.stat(syncd.ldif())
    write_in_place(syncd, text)
    os.utime(syncd.ldif(), ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [replace, write_in_place, switch_link, same_size_same_mtime])
def test_a_change_shows_within_two_seconds(syncd, change):
    syncd.write(DOMAIN + "\n" + mailbox(1, mail="before@acme.example"))
    syncd.daemon.start()
    syncd.wait_status(state="loaded")
    change(syncd, DOMAIN + "\n" + mailbox(1, mail="behind@acme.example"))
    wait_for(lambda: "behind@acme.example" in syncd.dump(), "the change to show", SOON)
    assert "before@acme.example" not in syncd.dump()


def test_an_unchanged_file_transfers_nothing(syncd):
    syncd.write(mailboxes(0, 3))
    syncd.daemon.start()
    before = syncd.wait_status(state="loaded")
    syncd.write(mailboxes(0, 3))
    os.utime(syncd.ldif())
    # A change behind it proves that it was looked at.
    syncd.write(mailboxes(0, 4))
    after = syncd.wait_status(recipients=4)
    assert after["changes"] == before["changes"] + 1
    syncd.daemon.restart()
    again = syncd.wait_status(state="loaded", recipients=4)
    assert (again["changes"], again["refreshes"]) == (0, 0)


def test_a_file_written_slowly_is_never_taken_half_done(syncd):
    text = mailboxes(0, 200)
    syncd.write(text)
    syncd.daemon.start()
    syncd.wait_status(state="loaded", recipients=200)
    target = text + "\n" + mailbox(900)
    with open(syncd.ldif(), "w", encoding="utf-8") as out:
        for at in range(0, len(target), 600):
            out.write(target[at:at + 600])
            out.flush()
            time.sleep(0.05)  # the slow writer itself, not a wait for something
    syncd.wait_status(recipients=201, held=0)
    assert not syncd.daemon.log_lines("kept back")


def test_what_is_skipped_is_counted_and_logged_once(syncd):
    bad = mailbox(7, mail="nonsense", uid=None)
    syncd.write(mailboxes(0, 3) + "\n" + bad)
    syncd.daemon.start()
    syncd.wait_status(state="loaded", recipients=3, skipped=1)
    syncd.write(mailboxes(0, 4) + "\n" + bad)
    syncd.wait_status(recipients=4, skipped=1)
    assert len(syncd.daemon.log_lines("entry skipped.*uid=u7")) == 1
    syncd.daemon.restart()
    syncd.wait_status(state="loaded", skipped=1)
    syncd.write(mailboxes(0, 4) + "\n" + mailbox(7))
    syncd.wait_status(recipients=5, skipped=0)


def test_any_row_of_changes_ends_like_a_first_load(syncd):
    text = ""
    syncd.write(mailboxes(0, 30))
    syncd.daemon.start()
    for step in range(6):
        kept = [mailbox(n, cn=f"step {step}" if n % 3 == 0 else None)
                for n in range(step * 2, 30 + step * 3)]
        text = "\n".join([DOMAIN] + kept)
        syncd.write(text)
        wait_for(lambda: syncd.status()["recipients"] == len(kept), f"step {step}")
        syncd.wait_status(state="loaded")
    assert syncd.dump() == fresh_dump({"corp": text})


def test_addresses_claimed_twice_are_reported_once(syncd):
    syncd.configure({"corp": "", "pop": ""})
    syncd.write(mailboxes(0, 3) + "\n" + mailbox(9, mail="u1@acme.example"))
    syncd.write(mailbox(50) + "\n" + mailbox(2, dn="uid=two,dc=pop"), "pop")
    syncd.daemon.start()
    within = r"directory=corp address smtp:u1@acme.example .*nobody's"
    between = r"directory=pop address smtp:u2@acme.example of .uid=two,dc=pop. .*corp, which wins"
    wait_for(lambda: syncd.daemon.log_lines(within) and syncd.daemon.log_lines(between),
             lambda: f"the reports:\n{syncd.daemon.log_text()}")
    syncd.write(mailboxes(0, 4) + "\n" + mailbox(9, mail="u1@acme.example", cn="changed"))
    syncd.wait_status(recipients=5)
    assert len(syncd.daemon.log_lines(within)) == 1
    assert len(syncd.daemon.log_lines(between)) == 1
