"""A record of the replica that is damaged: its mail waits, nobody else's, and it is mended."""

import os
import re

import pytest

from support.daemons import coexistctl, resolve
from support.follower import DOMAIN, PEOPLE, Follower, mailbox
from support.slapd import Slapd
from support.wait import wait_for

LOGGED = "damaged records of the replica replaced|records of the replica are damaged"


def damage(follower, name):
    """Spoils every copy of a record in the data file, and nothing else."""
    path = os.path.realpath(f"{follower.folder}/replica/current")
    dn = f"uid={name},{PEOPLE}".encode()
    # Kind and last tag after the version; then the DN as the first field. See record.c.
    pattern = re.compile(b"\x02(?=\x01[\x01-\x19]\x01" + re.escape(bytes([len(dn)]) + dn) + b")",
                         re.DOTALL)
    with open(path, "r+b") as file:
        places = [m.start() for m in pattern.finditer(file.read())]
        assert places, f"no record of {name} in {path}"
        for place in places:
            file.seek(place)
            file.write(b"\x7f")


@pytest.fixture
def server(folder):
    slapd = Slapd(f"{folder}/slapd")
    slapd.add(DOMAIN + mailbox("adam") + mailbox("eve", f"coexistAltRecipient: uid=adam,{PEOPLE}")
              + mailbox("cain"))
    yield slapd
    slapd.close()


@pytest.fixture
def syncd(folder, server):
    made = Follower(folder, f"""uri = "{server.uri}"
  starttls = false
  base = "{server.suffix}"
  bind_dn = "{server.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret\"""")
    made.start()
    made.wait_has("cain@acme.example")
    yield made
    made.close()


def verdict(syncd, name):
    return resolve(syncd.conf, f"{name}@acme.example")[1]["verdict"]


def assert_only_adam_waits(syncd):
    assert verdict(syncd, "adam") == "unavailable"
    assert verdict(syncd, "cain") == "deliver"
    assert verdict(syncd, "nobody") == "unknown"
    done = coexistctl(syncd.conf, "check")
    assert done.returncode == 75 and "damaged" in done.stderr, done


def test_a_change_of_the_entry_mends_its_record(folder, server, syncd):
    damage(syncd, "adam")
    assert_only_adam_waits(syncd)
    server.modify(f"dn: uid=adam,{PEOPLE}\nchangetype: modify\nreplace: mail\n"
                  "mail: abel@acme.example\n")
    wait_for(lambda: verdict(syncd, "abel") == "deliver", syncd.log)
    # What only the lost version had is nobody's.
    assert verdict(syncd, "adam") == "unknown"
    syncd.wait_log(LOGGED)
    syncd.wait_log("full refresh finished", 2)
    syncd.assert_like_new(folder)


def test_an_entry_that_goes_takes_its_damaged_record_along(folder, server, syncd):
    damage(syncd, "adam")
    server.delete(f"uid=adam,{PEOPLE}")
    wait_for(lambda: verdict(syncd, "adam") == "unknown", syncd.log)
    syncd.wait_log(LOGGED)
    # eve referred to it; slapd took the reference away and told nobody.
    syncd.assert_like_new(folder)


def test_a_start_finds_damaged_records(folder, server, syncd):
    damage(syncd, "adam")
    syncd.daemon.restart()
    syncd.wait_log("1 records of the replica are damaged")
    wait_for(lambda: verdict(syncd, "adam") == "deliver", syncd.log)
    syncd.assert_like_new(folder)
    assert coexistctl(syncd.conf, "check").returncode == 0


def test_a_refresh_mends_what_did_not_change(folder, server, syncd):
    damage(syncd, "adam")
    damage(syncd, "cain")
    assert syncd.ask("refresh corp") == "ok"
    wait_for(lambda: {verdict(syncd, "adam"), verdict(syncd, "cain")} == {"deliver"}, syncd.log)
    syncd.assert_like_new(folder)


def test_a_file_with_an_empty_page_is_put_aside_at_the_next_start(folder, server, syncd):
    """As a power failure on a disk that lies leaves it."""
    syncd.daemon.stop()
    path = os.path.realpath(f"{syncd.folder}/replica/current")
    dn = f"uid=adam,{PEOPLE}".encode()
    with open(path, "r+b") as file:
        data = file.read()
        for page in range(0, len(data), 4096):
            if dn in data[page:page + 4096]:
                file.seek(page)
                file.write(bytes(4096))
    assert verdict(syncd, "adam") == "unavailable"
    syncd.start()
    syncd.wait_log("a new replica; everything is loaded", 2)
    wait_for(lambda: verdict(syncd, "adam") == "deliver", syncd.log)
    syncd.assert_like_new(folder)


def test_an_ldif_directory_mends_its_records(folder):
    path = f"{folder}/directory.ldif"
    with open(path, "w", encoding="utf-8") as out:
        out.write(DOMAIN + mailbox("adam") + mailbox("cain"))
    syncd = Follower(folder, f'ldif = "{path}"').start()
    try:
        syncd.wait_has("cain@acme.example")
        damage(syncd, "adam")
        assert_only_adam_waits(syncd)
        assert syncd.ask("refresh corp") == "ok"
        wait_for(lambda: verdict(syncd, "adam") == "deliver", syncd.log)
        syncd.assert_like_new(folder)
    finally:
        syncd.close()
