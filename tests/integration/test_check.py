"""coexistctl check: one of each finding, and a directory that has none (SPEC section 12)."""

import json
import os
import re
import socket

import pytest

from support.daemons import coexistctl
from support.follower import Follower
from support.ldif import (CONTAINERS, PEOPLE, connector, custom, domain, entry, group,
                          mailbox, person_dn)
from support.slapd import Slapd
from support.syncd import Syncd
from support.wait import wait_for

DOMAINS = CONTAINERS + "".join([
    domain("acme.example", "shared"),
    domain("own.example", "authoritative"),
    domain("mx.example", "relay"),
])

CLEAN = DOMAINS + "".join([
    connector("pop", "relay:[pop.example]", addressSpace=["SMTP:acme.example", "MS:ACME"]),
    mailbox("adam", "adam@own.example", proxyAddress=["SMTP:adam@own.example", "smtp:a@own.example"]),
    mailbox("both", "both@own.example", altRecipient=person_dn("elsewhere"),
            deliverAndRedirect="TRUE"),
    custom("elsewhere", "SMTP:else@foreign.example"),
    custom("shared", "SMTP:shared@acme.example", mail="shared@acme.example", homeServer="pop"),
    custom("typed", "MS:ACME/PO1/TYPED", mail="typed@own.example"),
    custom("by-mx", "SMTP:by-mx@mx.example", mail="by-mx@mx.example"),
    mailbox("forward", "forward@own.example", forwardingAddress="a@own.example"),
    group("staff", "staff@own.example", ["adam", "both"], memberAddress="x@foreign.example"),
    # Two who call each other theirs outside our domains harm nobody.
    mailbox("out1", "out1@own.example", proxyAddress="smtp:same@foreign.example"),
    mailbox("out2", "out2@own.example", proxyAddress="smtp:same@foreign.example"),
])

FLAWED = DOMAINS + "".join([
    domain("twice.example", "shared"),
    domain("twice.example", "relay").replace("dn: ", "dn: cn=again,", 1),
    connector("back", f"relay:[{socket.gethostname()}]:25"),
    connector("loopback", "smtp:[127.0.0.1]"),
    connector("other-port", "smtp:[127.0.0.1]:10025"),
    mailbox("twin1", "twin@own.example"),
    mailbox("twin2", "twin@own.example"),
    mailbox("dangling", "dangling@own.example", altRecipient=person_dn("nobody")),
    mailbox("forward", "forward@own.example", forwardingAddress="nobody@own.example"),
    group("crowd", "crowd@own.example", ["twin1", "gone"], memberAddress="gone@own.example"),
    group("nest", "nest@own.example", memberAddress="crowd@own.example"),
    group("empty", "empty@own.example"),
    group("large", "large@own.example", memberAddress=[f"x{n}@foreign.example" for n in range(5)]),
    mailbox("ring1", "ring1@own.example", altRecipient=person_dn("ring2")),
    mailbox("ring2", "ring2@own.example", altRecipient=person_dn("ring1")),
    custom("lost", "SMTP:lost@acme.example", mail="lost@acme.example"),
    custom("no-space", "MS:NET/PO/BOX", mail="no-space@own.example"),
    mailbox("away", "away@own.example", homeServer="nowhere"),
    custom("mirror", "SMTP:mirror@acme.example", mail="mirror@acme.example", homeServer="back"),
    custom("mirror2", "SMTP:mirror2@acme.example", mail="mirror2@acme.example",
           homeServer="loopback"),
    custom("fine", "SMTP:fine@acme.example", mail="fine@acme.example", homeServer="other-port"),
    mailbox("copier", "copier@own.example", altRecipient=person_dn("copied"),
            deliverAndRedirect="TRUE"),
    custom("copied", "SMTP:copier@own.example"),
    mailbox("hybrid", "hybrid@own.example", targetAddress="SMTP:hybrid@foreign.example"),
    mailbox("odd", "odd@own.example", proxyAddress="SMTP:even@own.example"),
    mailbox("login1", "login1@own.example", _uid="shared-login"),
    mailbox("login2", "login2@own.example", _uid="shared-login"),
    mailbox("login3", "login3@own.example", _uid="twin3@own.example"),
    mailbox("login4", "twin3@own.example"),
    entry(f"uid=unusable\\1B,{PEOPLE}", "objectClass: inetOrgPerson", "objectClass: coexistMailbox",
          "cn: unusable", "sn: unusable", "mail: not an address"),
])
PARTNER = (mailbox("adam", "ring1@own.example") +
           mailbox("odd", "other@own.example")).replace(PEOPLE, "ou=partner,dc=example")


@pytest.fixture
def make():
    made = []

    def start(options="", **texts):
        syncd = Syncd({name: "" for name in texts}, options)
        made.append(syncd)
        for name, text in texts.items():
            if text is not None:
                syncd.write(text, name)
        syncd.daemon.start()
        for name, text in texts.items():
            if text is not None:
                syncd.wait_status(name, state="loaded")
        return syncd

    yield start
    for syncd in made:
        syncd.close()


def findings(syncd, code=1):
    """{check: [its findings]}"""
    done = coexistctl(syncd.conf, "check", "--json")
    assert done.returncode == code, done
    answer = json.loads(done.stdout)
    assert answer["clean"] is (code == 0) and answer["complete"] is (code in (0, 1))
    found = {}
    for row in answer["findings"]:
        assert set(row) == {"check", "directory", "dn", "address", "otherDirectory", "otherDn",
                            "detail", "command", "count", "message"}
        found.setdefault(row["check"], []).append(row)
    assert {n: c for n, c in answer["counts"].items() if c} == {
        name: sum(row["count"] for row in rows) for name, rows in found.items()}
    return found


def names(rows):
    """The RDN values of what was found."""
    return sorted(re.split("[=,]", row["dn"])[1] for row in rows)


def test_a_clean_directory_has_no_findings_and_says_so(make):
    syncd = make(corp=CLEAN)
    assert findings(syncd, 0) == {}
    done = coexistctl(syncd.conf, "check")
    assert (done.returncode, done.stdout) == (
        0, "clean: no findings in 10 recipients of 1 directory\n")


def test_one_of_each_is_found_and_nothing_else(make):
    syncd = make("max_deliveries = 4", corp=FLAWED, partner=PARTNER)
    found = findings(syncd)
    expected = {
        "addressAmbiguous": ["twin2"],
        "addressConflict": ["adam"],
        "brokenReference": ["crowd", "crowd", "dangling", "forward"],
        "comesBack": ["copier", "mirror", "mirror2"],
        "loginConflict": ["login1", "login3", "odd"],
        "loop": ["ring1", "ring2"],
        "mailNotPrimary": ["odd"],
        "noRoute": ["away", "lost", "no-space"],
        "nothingLeft": ["empty"],
        "objectDouble": names(found["objectDouble"][:1]),
        "skippedEntry": ["unusable\\1B"],
        "targetOnMailbox": ["hybrid"],
        "tooManyDeliveries": ["large"],
    }
    assert {check: names(rows) for check, rows in found.items()} == expected
    conflict = found["addressConflict"][0]
    assert conflict["address"] == "smtp:ring1@own.example"
    assert (conflict["directory"], conflict["otherDirectory"]) == ("partner", "corp")
    assert conflict["otherDn"] == person_dn("ring1")
    logins = {row["detail"]: row for row in found["loginConflict"]}
    assert set(logins) == {"shared-login", "twin3@own.example", "odd"}
    assert (logins["odd"]["directory"], logins["odd"]["otherDirectory"]) == ("partner", "corp")
    assert {row["detail"] for row in found["brokenReference"]} == {
        person_dn("nobody"), person_dn("gone"), "nobody@own.example", "gone@own.example"}
    assert found["skippedEntry"][0]["detail"]
    assert found["objectDouble"][0]["detail"] == "twice.example"
    # What mail does is the same.
    for address, code in (("twin@own.example", 75), ("ring1@own.example", 65),
                          ("no-space@own.example", 75), ("empty@own.example", 75),
                          ("dangling@own.example", 75), ("copier@own.example", 0)):
        assert coexistctl(syncd.conf, "resolve", address).returncode == code, address


def test_conflicts_of_a_first_load_are_logged(folder):
    """Where the entries go past the batch, into a new file, too."""
    slapd = Slapd(f"{folder}/slapd")
    slapd.add(domain("own.example", "authoritative") + mailbox("u1", "u1@own.example")
              + mailbox("u2", "u2@own.example", proxyAddress="smtp:u1@own.example"))
    syncd = Follower(folder, f"""uri = "{slapd.uri}"
  starttls = false
  base = "{slapd.suffix}"
  bind_dn = "{slapd.service_dn}"
  bind_password_file = "{folder}/follower/ldap.secret\"""").start()
    try:
        syncd.wait_log("address smtp:u1@own.example of .* is also that of .*: it is nobody's")
    finally:
        syncd.close()
        slapd.close()


def test_people_get_a_line_for_each_grouped_and_escaped(make):
    syncd = make(corp=FLAWED, partner=PARTNER)
    done = coexistctl(syncd.conf, "check")
    assert done.returncode == 1
    groups = [block.split("\n") for block in done.stdout.strip().split("\n\n")]
    total = 0
    for heading, *lines in groups[:-1]:
        count = int(re.fullmatch(r"[a-z][^:]*(?:: [a-z ]+)?: (\d+)", heading)[1])
        assert len(heading) <= 80 and len(lines) == count, heading
        assert all(line.startswith("  ") for line in lines)
        total += count
    assert groups[-1] == [f"{total} findings in 26 recipients of 2 directories"]
    assert r"uid=unusable\1B" in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)


def test_removals_kept_back_are_listed_with_what_accepts_them(make):
    people = [mailbox(f"u{n}", f"u{n}@own.example") for n in range(100)]
    syncd = make(corp=DOMAINS + "".join(people))
    syncd.write(DOMAINS + "".join(people[25:]))
    syncd.wait_status(held=25)
    rows = findings(syncd)["removalKeptBack"]
    assert names(rows) == sorted(f"u{n}" for n in range(25))
    assert {row["command"] for row in rows} == {"coexistctl accept-refresh corp"}
    assert {(row["dn"], row["address"]) for row in rows} == {
        (person_dn(f"u{n}"), f"u{n}@own.example") for n in range(25)}
    text = coexistctl(syncd.conf, "check").stdout
    assert text.count("coexistctl accept-refresh corp") == 1
    assert coexistctl(syncd.conf, "accept-refresh", "corp").returncode == 0
    assert findings(syncd, 0) == {}


def test_directories_in_trouble_are_named(make):
    syncd = make(corp=CLEAN, away=None)
    syncd.wait_status("away", state="missing")
    found = findings(syncd)
    assert set(found) == {"directoryNotLoaded", "directoryError"}
    assert [row["directory"] for row in found["directoryNotLoaded"]] == ["away"]
    assert [row["directory"] for row in found["directoryError"]] == ["away"]
    # Who is not known to be nobody is not told to be: it may be in the other directory.
    syncd.write(CLEAN + mailbox("dangling", "d@own.example", altRecipient=person_dn("x")))
    syncd.wait_status(recipients=11)
    assert "brokenReference" not in findings(syncd)
    syncd.daemon.stop()
    found = findings(syncd)
    assert set(found) == {"syncdDown", "directoryNotLoaded"}
    # A directory that coexist-syncd has not heard of.
    syncd.configure({"corp": "", "away": "", "new": ""})
    assert [row["directory"] for row in findings(syncd)["directoryNotLoaded"]] == ["away", "new"]


def test_a_directory_that_grows_old_is_found(make):
    syncd = make('unknown_defer_after = "1s"\nmax_staleness = "2s"\n', corp=CLEAN)
    assert findings(syncd, 0) == {}
    syncd.daemon.stop()
    wait_for(lambda: "all its mail" in coexistctl(syncd.conf, "check").stdout,
             lambda: coexistctl(syncd.conf, "check").stdout)
    rows = findings(syncd)["directoryStale"]
    assert rows[0]["directory"] == "corp" and int(rows[0]["detail"]) >= 2


def test_skipped_entries_beyond_those_kept_are_counted(make):
    bad = "".join(entry(f"uid=bad{n},{PEOPLE}", "objectClass: coexistMailbox", "mail: not one")
                  for n in range(1010))
    syncd = make(corp=DOMAINS + bad)
    rows = findings(syncd)["skippedEntry"]
    assert len(rows) == 1001
    assert rows[-1]["count"] == 10 and rows[-1]["dn"] is None
    text = coexistctl(syncd.conf, "check").stdout
    assert ": 1010\n" in text and "... and 10 more (--json shows all)\n" in text


def test_without_a_replica_or_with_a_wrong_one_the_exit_code_says_so(folder, make):
    syncd = make(corp=CLEAN)
    assert coexistctl(syncd.conf, "check", "too-much").returncode == 64
    assert coexistctl(syncd.conf, "check", "--bogus").returncode == 64
    syncd.daemon.stop()
    data = os.path.realpath(f"{syncd.folder}/replica/current")
    size = os.path.getsize(data)
    with open(data, "r+b") as file:
        file.write(b"\0" * size)
    done = coexistctl(syncd.conf, "check", "--json")
    assert done.returncode == 75 and "coexistctl: " in done.stderr
    os.unlink(f"{syncd.folder}/replica/current")
    done = coexistctl(syncd.conf, "check")
    assert done.returncode == 75 and "no replica" in done.stderr, done
    with open(syncd.conf, "w", encoding="utf-8") as conf:
        conf.write("nonsense\n")
    assert coexistctl(syncd.conf, "check").returncode == 78


