"""
A directory of twenty thousand people behind coexist-syncd. What must hold for a million is
measured by "make bench"; here it is the same code, with results and no times.
"""

import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from support import bigdirectory
from support.bigslapd import BigSlapd
from support.daemons import program
from support.follower import Follower, difference
from support.syncd import Syncd
from support.wait import PATIENCE, wait_for

PEOPLE = 20000
CHANGES = 3000
# SPEC: syncd's own memory, whatever the size of the directory.
RSS_ANON_MAX_KB = 200 * 1024


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    server = BigSlapd(tmp_path_factory.mktemp("big"), PEOPLE)
    yield server
    server.close()


@pytest.fixture
def follower(folder, big):
    made = Follower(folder, big.section_body())
    # Freed memory that AddressSanitizer holds on to is none of syncd's.
    made.daemon.prefix = ["env", "ASAN_OPTIONS=detect_stack_use_after_return=0:quarantine_size_mb=4"]
    yield made
    made.close()


def anonymous_kb(follower):
    with open(f"/proc/{follower.daemon.child.pid}/status", encoding="utf-8") as status:
        return int(re.search(r"RssAnon:\s+(\d+) kB", status.read()).group(1))


def wait_refresh(follower, kind, count=1):
    """(entries received, the numbers of what was changed) of the refresh of this kind."""
    finished = follower.wait_log(rf"{kind} refresh finished", count)[-1]
    refreshed = follower.daemon.log_lines(r"directory=corp refreshed:")[-1]
    return (int(re.search(r"with (\d+) entries", finished).group(1)),
            {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", refreshed)})


def ldif_dump(count):
    """What a replica holds that was made of the same entries as a file."""
    syncd = Syncd()
    try:
        with open(syncd.ldif(), "w", encoding="utf-8") as out:
            bigdirectory.write(count, out)
        syncd.daemon.start()
        syncd.wait_status(state="loaded")
        return syncd.dump()
    finally:
        syncd.close()


def change(big, follower, rate, count):
    """Every change must arrive."""
    dns = "\n".join(bigdirectory.person_dn(n * 7 % PEOPLE) for n in range(count))
    done = subprocess.run(
        [program("sync_changes"), f"{follower.folder}/replica", big.uri, big.root_dn, big.password,
         str(rate), str(count), "changed"],
        input=dns, text=True, capture_output=True, timeout=3 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr + follower.log()[-4000:]
    return json.loads(done.stdout)


def test_twenty_thousand_entries_load_follow_and_stay(folder, big, follower):
    follower.start()
    received, numbers = wait_refresh(follower, "full")
    # The account that syncd binds as is none of the classes that it asks for.
    assert received == numbers["changed"] == bigdirectory.entry_count(PEOPLE)
    assert numbers["removed"] == numbers["skipped"] == numbers["held"] == 0
    assert anonymous_kb(follower) < RSS_ANON_MAX_KB
    ours, theirs = follower.dump(), ldif_dump(PEOPLE)
    assert ours.count("\n") > PEOPLE
    assert ours == theirs, difference(ours, theirs)[:4000]

    # A restart with an unchanged directory transfers nothing.
    follower.daemon.stop()
    follower.start()
    assert wait_refresh(follower, "incremental") == (
        0, {"changed": 0, "removed": 0, "skipped": 0, "held": 0})

    # A thousand changes a second, for a few seconds, all arrive.
    assert change(big, follower, 1000, CHANGES)["changes"] == CHANGES
    assert anonymous_kb(follower) < RSS_ANON_MAX_KB

    # Everything read once more: nothing is found that did not come by itself.
    assert follower.ask("refresh corp") == "ok"
    received, numbers = wait_refresh(follower, "full", 2)
    assert received == bigdirectory.entry_count(PEOPLE)
    assert numbers == {"changed": 0, "removed": 0, "skipped": 0, "held": 0}
    assert anonymous_kb(follower) < RSS_ANON_MAX_KB
    follower.assert_like_new(folder)


def test_a_large_directory_is_dropped_as_a_whole_or_not(folder):
    """kill -9 while it goes: readers have all of it or nothing, before and after a new start."""
    corp = f"{folder}/corp.ldif"
    with open(corp, "w", encoding="utf-8") as out:
        bigdirectory.write(PEOPLE // 2, out)
    with open(f"{folder}/other.ldif", "w", encoding="utf-8") as out:
        out.write(bigdirectory.BASE)
    follower = Follower(folder, f'ldif = "{corp}"')
    with open(follower.conf, encoding="utf-8") as text:
        whole = text.read()
    dropped = whole.replace('directory "corp"', 'directory "other"').replace("corp.ldif", "other.ldif")

    def configure(text):
        with open(f"{follower.conf}.new", "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(f"{follower.conf}.new", follower.conf)

    def people():
        return len(re.findall(r"^  mail: .*@acme\.example$", follower.dump(), re.M))

    try:
        follower.start()
        follower.wait_log("directory=corp refreshed:")
        everybody = people()
        assert everybody > PEOPLE // 2
        for attempt in range(4):
            configure(dropped)
            os.kill(follower.daemon.child.pid, signal.SIGHUP)
            time.sleep(random.uniform(0, 0.1))  # any moment will do
            os.kill(follower.daemon.child.pid, signal.SIGKILL)
            follower.daemon.child.process.wait()
            left = people()
            assert left in (0, everybody), (attempt, left)
            configure(whole)
            follower.start()
            wait_for(lambda: people() == everybody, follower.log)
        configure(dropped)
        os.kill(follower.daemon.child.pid, signal.SIGHUP)
        wait_for(lambda: people() == 0, follower.log)
    finally:
        follower.close()
