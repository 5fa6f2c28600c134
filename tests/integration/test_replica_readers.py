"""
Who reads the replica: idle ones follow a new file, one that holds on to an old state is told of,
one that was killed holds nothing back, and there may be too many.
"""

import os
import signal

import pytest

from support.estate import Estate, old_files
from support.readers import Reader, check_whole
from support.syncd import fresh_dump, mailboxes
from support.wait import FACTOR, wait_for



@pytest.fixture
def estate():
    made = Estate()
    made.write(mailboxes(0, 50))
    made.daemon.start()
    made.wait_status(state="loaded", recipients=50)
    yield made
    made.close()


def publish(made, name):
    """A new file: the first load of one more directory."""
    old = made.data_file()
    sections = {"corp": ""}
    reloads = len(made.daemon.log_lines("configuration reloaded"))
    for more in (name, None):
        made.configure({**sections, **({more: ""} if more else {})})
        if more:
            made.write(mailboxes(1000, 3), more)
        made.daemon.reload()
        reloads += 1
        wait_for(lambda n=reloads: len(made.daemon.log_lines("configuration reloaded")) == n,
                 made.daemon.log_text)
        if more:
            made.wait_status(more, state="loaded")
    assert made.data_file() != old


def test_idle_daemons_give_the_old_file_back_within_two_seconds(estate):
    """Nobody asks them anything: they look by themselves."""
    estate.policyd.start()
    estate.milter.start()
    assert estate.ask_policy("u1@acme.example") == "DUNNO"
    daemons = (estate.policyd, estate.milter)
    for turn in range(2):
        # Until they have the file in force open (the milter has never been asked).
        for daemon in daemons:
            wait_for(lambda d=daemon: os.path.basename(estate.data_file()) in maps(d.pid),
                     lambda d=daemon: maps(d.pid))
        publish(estate, f"more{turn}")
        for daemon in daemons:
            wait_for(lambda d=daemon: not old_files(d.pid), lambda d=daemon: old_files(d.pid),
                     2 * FACTOR)


def maps(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as text:
        return text.read()


def change_often(made, times):
    """Each is a transaction that gives up the pages of the one before."""
    for _ in range(times):
        made.turn = getattr(made, "turn", 0) + 1
        made.write(mailboxes(0, 50) + "\n" + f"dn: uid=x,dc=acme\nobjectClass: coexistMailbox\n"
                   f"uid: x\nmail: x{made.turn}@acme.example\ndisplayName: {'x' * 30000}\n")
        wait_for(lambda: f"x{made.turn}@" in made.dump(), made.daemon.log_text)


def test_a_stopped_reader_is_told_of_and_a_dead_one_holds_nothing(estate, folder):
    looker = Reader(estate.replica, f"{folder}/looker.log")
    holder = Reader(estate.replica, f"{folder}/holder.log", hold=1)
    os.kill(holder.pid, signal.SIGSTOP)
    change_often(estate, 4)
    said = f"pid={holder.pid} has held one state of the replica for \\d+ s; it grows meanwhile"
    wait_for(lambda: estate.daemon.log_lines(said), estate.daemon.log_text)
    assert not estate.daemon.log_lines(f"pid={looker.pid} has held")
    # It goes on as if nothing had been: with what it had, then with what there is.
    os.kill(holder.pid, signal.SIGCONT)
    assert holder.close()["records"] == 52
    wait_for(lambda: estate.daemon.log_lines(f"pid={holder.pid} no longer holds"),
             estate.daemon.log_text)

    dead = Reader(estate.replica, f"{folder}/dead.log", hold=3)
    change_often(estate, 3)
    wait_for(lambda: estate.daemon.log_lines(f"pid={dead.pid} has held"), estate.daemon.log_text)
    assert len(estate.daemon.log_lines(f"pid={dead.pid} has held")) <= 3
    dead.kill()
    wait_for(lambda: estate.daemon.log_lines(f"pid={dead.pid} no longer holds"),
             estate.daemon.log_text)
    # What they held back is used again: it does not grow any more.
    change_often(estate, 2)
    before = estate.used()
    change_often(estate, 4)
    assert estate.used() <= before + 64 * 1024, (before, estate.used())
    looker.close()
    check_whole(estate.replica)
    with open(estate.ldif(), encoding="utf-8") as now:
        assert estate.dump() == fresh_dump({"corp": now.read()})


def test_more_readers_than_there_are_slots(estate, folder):
    """Who comes too late waits, and is served as soon as others are gone."""
    crowd = Reader(estate.replica, f"{folder}/crowd.log", hold=1000)
    assert 500 <= crowd.held() <= 512
    estate.policyd.start()
    assert estate.ask_policy("u1@acme.example").startswith("451 4.3.0")
    assert estate.ask_policy("nobody@acme.example").startswith("451 4.3.0")
    wait_for(lambda: estate.policyd.log_lines("replica: .*maxreaders"), estate.policyd.log_text)
    # syncd needs none.
    estate.write(mailboxes(0, 60))
    estate.wait_status(recipients=60)
    crowd.kill()
    wait_for(lambda: estate.ask_policy("u55@acme.example") == "DUNNO", estate.policyd.log_text)
    assert estate.ask_policy("nobody@acme.example").startswith("550")
    check_whole(estate.replica)
