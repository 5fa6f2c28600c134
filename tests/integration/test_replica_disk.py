"""A disk that is full or read-only: a clear error, readers unharmed, and syncd goes on by itself."""

import os
import re

import pytest

from support.daemons import coexistctl, program
from support.estate import Estate
from support.follower import DOMAIN as LDAP_DOMAIN
from support.follower import Follower
from support.follower import mailbox as ldap_mailbox
from support.readers import Reader, check_whole
from support.slapd import Slapd
from support.syncd import fresh_dump, mailboxes
from support.wait import run, wait_for

KIB = 1 << 10
FULL = "cannot write the replica: .*(No space left on device|disk full)"


@pytest.fixture
def estate():
    made = []

    def make(**options):
        made.append(Estate(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def loaded(made, count):
    made.write(mailboxes(0, count))
    made.daemon.start()
    made.wait_status(state="loaded", recipients=count)
    return made


def test_no_room_to_begin_with(estate):
    """Not even for an empty replica: it ends, and says why."""
    made = estate(disk=16 * KIB)
    made.write(mailboxes(0, 1))
    done = run([program("coexist-syncd"), "-f", "-c", made.conf], check=False)
    assert done.returncode == 74, done.stderr
    assert made.replica in done.stderr and "No space left on device" in done.stderr
    assert os.listdir(made.replica) == ["writer.lock"]
    made.resize(64 << 20)
    loaded(made, 1)


def test_no_room_for_a_first_load(estate, folder):
    made = estate(disk=400 * KIB)
    made.write(mailboxes(0, 2000))
    made.daemon.start()
    reader = Reader(made.replica, f"{folder}/reader.log")
    wait_for(lambda: made.daemon.log_lines(FULL), made.daemon.log_text)
    assert made.status()["lastError"] and not made.status()["loaded"]
    # What it could not fill is gone.
    wait_for(lambda: made.used() < 250 * KIB, lambda: os.listdir(made.replica))
    made.resize(64 << 20)
    made.wait_status(state="loaded", recipients=2000)
    wait_for(lambda: made.daemon.log_lines("can be read again"), made.daemon.log_text)
    assert made.dump() == fresh_dump({"corp": mailboxes(0, 2000)})
    reader.close()


def test_no_room_for_changes(estate, folder):
    """Readers go on with what there is, new ones too; new daemons can start."""
    made = loaded(estate(disk=8 << 20), 300)
    before = made.dump()
    reader = Reader(made.replica, f"{folder}/reader.log")
    made.fill_disk()
    made.write(mailboxes(100, 600))
    wait_for(lambda: made.daemon.log_lines(FULL), made.daemon.log_text)
    assert made.dump() == before
    made.policyd.start()
    assert made.ask_policy("u1@acme.example") == "DUNNO"
    # Each snapshot takes a slot of the mapped table of readers: that is on the disk already.
    crowd = Reader(made.replica, f"{folder}/crowd.log", hold=400)
    assert crowd.held() == 400
    crowd.close()
    made.free_disk()
    made.wait_status(state="loaded", recipients=700, held=100)
    assert made.ask_policy("u650@acme.example") == "DUNNO"
    assert made.ask("accept corp") == ["ok"]
    assert made.dump() == fresh_dump({"corp": mailboxes(100, 600)})
    reader.close()
    check_whole(made.replica)


def test_no_room_for_a_second_directory(estate, folder):
    """Its first load is a new file beside the one in force."""
    made = loaded(estate(disk=8 << 20), 300)
    reader = Reader(made.replica, f"{folder}/reader.log")
    made.fill_disk()
    texts = {"corp": mailboxes(0, 300), "pop": mailboxes(5000, 200)}
    made.write(texts["pop"], "pop")
    made.configure({"corp": "", "pop": ""})
    made.daemon.reload()
    wait_for(lambda: made.daemon.log_lines(FULL + "|not reloaded: .*(No space|disk full)"),
             made.daemon.log_text)
    reader.assert_content()
    made.free_disk()
    if made.daemon.log_lines("not reloaded"):
        made.daemon.reload()
        wait_for(lambda: made.daemon.log_lines("configuration reloaded"), made.daemon.log_text)
    made.wait_status("pop", state="loaded", recipients=200)
    assert made.dump() == fresh_dump(texts)
    reader.close()


def test_killed_and_started_while_the_disk_is_full(estate, folder):
    made = loaded(estate(disk=8 << 20), 300)
    reader = Reader(made.replica, f"{folder}/reader.log")
    before = made.dump()
    made.fill_disk()
    made.write(mailboxes(0, 500))
    for _ in range(3):
        made.daemon.kill()
        made.daemon.start()
        assert made.dump() == before
    wait_for(lambda: made.daemon.log_lines(FULL), made.daemon.log_text)
    made.free_disk()
    made.wait_status(state="loaded", recipients=500)
    assert made.dump() == fresh_dump({"corp": mailboxes(0, 500)})
    reader.close()


def test_no_room_while_a_server_sends_changes(estate, folder):
    made = estate(disk=8 << 20)
    server = Slapd(f"{folder}/slapd")
    server.add(LDAP_DOMAIN + "".join(ldap_mailbox(f"u{n}") for n in range(100)))
    follower = Follower(folder, f"""uri = "{server.uri}"
  starttls = false
  base = "{server.suffix}"
  bind_dn = "{server.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret"
  max_delete_percent = 100""", program="coexist-syncd-fast")
    os.rmdir(f"{follower.folder}/replica")
    os.symlink(made.replica, f"{follower.folder}/replica")
    try:
        follower.start()
        follower.wait_log("full refresh finished")
        reader = Reader(made.replica, f"{folder}/reader.log")
        made.fill_disk()
        server.delete(*(f"uid=u{n},ou=people,{server.suffix}" for n in range(50)))
        server.add("".join(ldap_mailbox(f"v{n}") for n in range(50)))
        follower.wait_log(FULL)
        # Nothing is wrong with the server: what people are told stays the disk.
        follower.wait_log("next attempt in", 2)
        assert re.search(FULL, follower.status()["directories"][0]["lastError"]), follower.log()
        made.free_disk()
        follower.wait_has("v49@acme.example")
        follower.assert_like_new(folder)
        reader.close()
    finally:
        follower.close()
        server.close()


def test_a_read_only_disk(estate):
    """Nobody can write there: nor can readers take part in LMDB's locks, so they refuse."""
    made = loaded(estate(disk=8 << 20), 3)
    made.daemon.stop()
    run(["mount", "-o", "remount,ro", made.replica])
    for name, code in (("coexist-syncd", 74), ("coexist-policyd", 78), ("coexist-milter", 78)):
        done = run([program(name), "-f", "-c", made.conf], check=False)
        assert done.returncode == code, (name, done)
        assert made.replica in done.stderr and "ead-only file system" in done.stderr, done
    done = coexistctl(made.conf, "dump")
    assert done.returncode != 0 and "read-only" in done.stderr, done
    run(["mount", "-o", "remount,rw", made.replica])
    loaded(made, 3)
    made.policyd.start()
    assert made.ask_policy("u1@acme.example") == "DUNNO"
