"""coexistctl resolve, dump and status, as scripts use them (SPEC section 12)."""

import json
import os
import random
import re
import signal
import subprocess

import pytest

from support.daemons import TOP, coexistctl, program
from support.follower import Follower
from support.ldif import (CONTAINERS, connector, custom, domain, group, mailbox, person_dn)
from support.wait import PATIENCE, run, wait_for

ORGANISATION = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    domain("off.example", "authoritative", enabled="FALSE"),
    connector("clients", relayClient=["198.51.100.0/24", "!198.51.100.9"]),
    mailbox("plain", "plain@acme.example",
            proxyAddress=["smtp:b@acme.example", "smtp:a@acme.example", "MS:NET/PO/PLAIN"]),
    mailbox("board", "board@acme.example", requireAuth="TRUE"),
    mailbox("norelay", "norelay@acme.example", relayAllowed="FALSE"),
    mailbox("moving", "moving@acme.example", parked="TRUE"),
    mailbox("ring", "ring@acme.example", altRecipient=person_dn("ring2")),
    mailbox("ring2", "ring2@acme.example", altRecipient=person_dn("ring")),
    mailbox("red", "red@acme.example", altRecipient=person_dn("red-pop")),
    custom("red-pop", "SMTP:red@pop.example"),
    custom("lost", "SMTP:lost@acme.example"),
    mailbox("away", "away@acme.example", homeServer="nowhere"),
    mailbox("twin", "twin@acme.example"),
    mailbox("twin2", "twin2@acme.example", proxyAddress="smtp:twin@acme.example"),
    group("staff", "staff@acme.example", ["plain", "red"],
          memberAddress=["x@a.example", "x@b.example"]),
])


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.rename(path + ".new", path)


@pytest.fixture(scope="module")
def follower(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("ctl"))
    write(f"{folder}/directory.ldif", ORGANISATION)
    made = Follower(folder, f'ldif = "{folder}/directory.ldif"').start()
    made.wait_has("staff@acme.example")
    yield made
    made.close()


EXIT_CODES = [
    ("plain@acme.example", [], 0, "deliver", None),
    ("x@elsewhere.example", [], 0, "foreign", None),
    ("SMTP:plain@acme.example", [], 0, "deliver", None),
    ("ms:net/po/plain", [], 0, "deliver", None),
    ("<@relay.example:plain@acme.example>", [], 0, "deliver", None),
    ("nobody@acme.example", [], 67, "unknown", "550 5.1.1"),
    ("moving@acme.example", [], 75, "parked", "450 4.2.1"),
    ("x@off.example", [], 75, "disabled", "451 4.3.2"),
    ("ring@acme.example", [], 65, "loop", "550 5.4.6"),
    ("a b@acme.example", [], 65, "invalid", "501 5.1.3"),
    ("IMCEAMS-N+5@acme.example", [], 65, "invalid", "501 5.1.3"),
    ("away@acme.example", [], 75, "broken", "451 4.3.5"),
    ("twin@acme.example", [], 75, "broken", "451 4.3.5"),
    ("board@acme.example", [], 77, "denied", "550 5.7.1"),
    ("board@acme.example", ["--login", "plain"], 0, "deliver", None),
    ("x@elsewhere.example", ["--login", "plain"], 0, "foreign", None),
    ("x@elsewhere.example", ["--login", "norelay"], 77, "foreign", "554 5.7.1"),
    ("x@elsewhere.example", ["--client", "198.51.100.1"], 0, "foreign", None),
    ("x@elsewhere.example", ["--client", "198.51.100.9"], 77, "foreign", "554 5.7.1"),
    ("x@elsewhere.example", ["--client", "2001:db8::1"], 77, "foreign", "554 5.7.1"),
    ("plain@acme.example", ["--login", "norelay"], 0, "deliver", None),
]


@pytest.mark.parametrize("address, options, code, verdict, reply", EXIT_CODES)
def test_the_exit_code_says_what_the_verdict_is(follower, address, options, code, verdict, reply):
    done = coexistctl(follower.conf, "resolve", address, "--json", *options)
    answer = json.loads(done.stdout)
    assert done.returncode == code, done
    assert answer["address"] == address
    assert answer["verdict"] == verdict
    assert (answer["reply"] or "")[:9] == (reply or "")
    assert ("relay" in answer) == bool(options)
    assert bool(answer["deliveries"]) == (verdict == "deliver")
    assert coexistctl(follower.conf, "resolve", address, *options).returncode == code


def test_says_when_nothing_is_refused(follower, tmp_path):
    with open(follower.conf, encoding="utf-8") as conf:
        write(f"{tmp_path}/coexist.conf", "observe = true\n" + conf.read())
    observing = f"{tmp_path}/coexist.conf"
    done = coexistctl(observing, "resolve", "nobody@acme.example")
    assert "reply: 550 5.1.1 User unknown (not given: observe is true)\n" in done.stdout
    done = coexistctl(observing, "resolve", "nobody@acme.example", "--json")
    assert json.loads(done.stdout)["observe"] is True
    assert "\n  -> nothing is refused" in coexistctl(observing, "status").stdout
    for command in (("status",), ("resolve", "nobody@acme.example")):
        assert "observe" not in coexistctl(follower.conf, *command).stdout


@pytest.mark.parametrize("sender, code, reply", [
    ("plain@acme.example", 0, None), ("A@acme.example", 0, None), ("", 0, None), ("<>", 0, None),
    ("board@acme.example", 77, "553 5.7.1"), ("plain@elsewhere.example", 77, "553 5.7.1")])
def test_says_who_must_not_send_so(follower, tmp_path, sender, code, reply):
    with open(follower.conf, encoding="utf-8") as conf:
        write(f"{tmp_path}/coexist.conf", "enforce_sender = true\n" + conf.read())
    options = ("resolve", "board@acme.example", "--login", "plain", "--sender", sender, "--json")
    done = coexistctl(f"{tmp_path}/coexist.conf", *options)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"]) == (code, "deliver")
    assert (answer["reply"] or "")[:9] == (reply or "")
    assert coexistctl(follower.conf, *options).returncode == 0


def test_too_many_deliveries_are_temporary(follower, tmp_path):
    with open(follower.conf, encoding="utf-8") as conf:
        write(f"{tmp_path}/coexist.conf", "max_deliveries = 2\n" + conf.read())
    done = coexistctl(f"{tmp_path}/coexist.conf", "resolve", "staff@acme.example", "--json")
    assert done.returncode == 75 and json.loads(done.stdout)["reply"].startswith("452 4.5.3 ")


def test_a_bare_name_is_said_to_be_the_mail_servers(follower):
    assert "  no domain: the MTA's own\n" in coexistctl(follower.conf, "resolve", "plain").stdout
    assert "no domain" not in coexistctl(follower.conf, "resolve", "x@elsewhere.example").stdout


@pytest.mark.parametrize("address, lines", [
    ("away@acme.example", "  noRoute away@acme.example via nowhere\n"
                          "  no connector that is switched on leads there: see coexistctl check\n"),
    ("lost@acme.example", "  -> lost@acme.example (self) by the MTA's own routing\n"
                          "  no connector takes it, and by MX it would come back: see coexistctl check\n"),
    ("twin@acme.example", "  ambiguous twin@acme.example\n"
                          "  more than one object has the address: coexistctl check names them\n"),
])
def test_what_is_broken_leads_to_what_is_to_be_mended(follower, address, lines):
    assert lines in coexistctl(follower.conf, "resolve", address).stdout


def test_a_replica_that_nobody_writes_is_wondered_at(follower, tmp_path):
    with open(follower.conf, encoding="utf-8") as conf:
        text = re.sub(r'replica *= *".*"', f'replica = "{tmp_path}/other"', conf.read())
    write(f"{tmp_path}/coexist.conf", text)
    done = coexistctl(f"{tmp_path}/coexist.conf", "status")
    assert "no replica yet\n  -> coexist-syncd runs: " in done.stdout
    assert "coexist-syncd runs:" not in coexistctl(follower.conf, "status").stdout


def test_json_names_the_deliveries_and_the_relay_permission(follower):
    done = coexistctl(follower.conf, "resolve", "red@acme.example", "--json",
                      "--client", "198.51.100.1")
    answer = json.loads(done.stdout)
    assert [{k: d[k] for k in ("address", "kind", "nexthop")} for d in answer["deliveries"]] == [
        {"address": "red@pop.example", "kind": "redirect", "nexthop": None}]
    assert answer["rule"] == "altRecipient"
    assert answer["steps"]
    assert answer["relay"]["allowed"] is True
    assert "network" in answer["relay"]["why"]


def test_objects_of_json_have_the_keys_of_the_manual(follower):
    with open(f"{TOP}/doc/coexistctl.8", encoding="utf-8") as page:
        text = page.read().partition("\n.Ss JSON\n")[2].partition("\n.Ss ")[0]
    told = [set(re.findall(r"^\.It (\w+)$", part, re.MULTILINE)) for part in text.split("\n.El\n")]
    answer = json.loads(coexistctl(follower.conf, "resolve", "red@acme.example", "--json",
                                   "--client", "198.51.100.1").stdout)
    assert set(answer) == told[0] - {"observe", "observed", "trouble"}
    assert set(answer["deliveries"][0]) == {"address", "kind", "nexthop", "rule", "object"}
    assert {frozenset(step) for step in answer["steps"]} == {
        frozenset(("depth", "rule", "subject", "detail"))}
    assert set(answer["relay"]) == {"allowed", "why"}
    assert answer["object"] == person_dn("red") and answer["deliveries"][0]["object"]
    status = json.loads(coexistctl(follower.conf, "status", "--json").stdout)
    assert set(status) == told[1]
    assert set(status["replica"]) == {"available", "generation"} and status["replica"]["generation"] > 0
    assert set(status["directories"][0]) == {
        "name", "loaded", "age", "entries", "skipped", "held", "state", "server", "lastError", "hints"}
    assert [(set(row), row["program"], row["running"]) for row in status["daemons"]] == [
        ({"program", "running"}, f"coexist-{name}", None) for name in ("syncd", "milter", "policyd")]


def test_standard_input_gives_an_object_a_line_and_the_highest_code(follower):
    addresses = ["plain@acme.example", "ring@acme.example", "nobody@acme.example", ""]
    done = coexistctl(follower.conf, "resolve", "-", "--json", stdin="\n".join(addresses) + "\n")
    assert done.returncode == 67
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == [
        "deliver", "loop", "unknown"]
    done = coexistctl(follower.conf, "resolve", "--json", "plain@acme.example",
                      "moving@acme.example")
    assert done.returncode == 75
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == [
        "deliver", "parked"]


def test_strange_bytes_are_no_addresses_and_come_out_as_json(follower):
    lines = [b"pl\xffain@acme.example", b"plain\0@acme.example", b"plain@acme.example\0",
             b"plain@acme.example\r", b"\xc3\xbc\x1b@acme.example"]
    for options in (["--json"], []):
        done = subprocess.run([program("coexistctl"), "-c", follower.conf, "resolve", "-",
                               *options], input=b"\n".join(lines), capture_output=True,
                              check=False)
        assert done.returncode == 67, done
        if options:
            verdicts = [json.loads(line)["verdict"] for line in done.stdout.split(b"\n") if line]
            assert verdicts == ["invalid", "invalid", "invalid", "deliver", "unknown"]
        assert not set(done.stdout.decode()) & set("\0\x1b\x7f\r")


@pytest.mark.parametrize("option", ["-h", "--help", "-V", "--version"])
def test_help_and_version_need_no_configuration(option):
    done = coexistctl("/nonexistent", option)
    assert done.returncode == 0 and "coexistctl" in done.stdout, done


def test_usage_errors_are_exit_64(follower):
    for arguments in (["resolve"], ["resolve", "--client", "x", "a@b.example"], ["nonsense"],
                      ["resolve", "a@b.example", "--bogus"], ["dump", "too-much"], []):
        assert coexistctl(follower.conf, *arguments).returncode == 64, arguments


def shuffled(text, seed):
    """The same entries and values in another order."""
    chance = random.Random(seed)
    head, *entries = text.strip().split("\n\n")
    chance.shuffle(entries)
    mixed = [head]
    for entry in entries:
        dn, *lines = entry.split("\n")
        chance.shuffle(lines)
        mixed.append("\n".join([dn, *lines]))
    return "\n\n".join(mixed) + "\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_dump_does_not_depend_on_order(follower, folder, options):
    write(f"{folder}/directory.ldif", shuffled(ORGANISATION, 1))
    other = Follower(folder, f'ldif = "{folder}/directory.ldif"').start()
    try:
        other.wait_has("staff@acme.example")
        dumps = [coexistctl(f.conf, "dump", *options) for f in (follower, other)]
        assert dumps[0].stdout == dumps[1].stdout
        for line in dumps[0].stdout.splitlines() if options else []:
            json.loads(line)
    finally:
        other.close()


def test_status_counts_by_kind_and_directory(follower):
    done = coexistctl(follower.conf, "status", "--json")
    status = json.loads(done.stdout)
    assert done.returncode == 0
    assert status["replica"]["available"] is True
    [corp] = status["directories"]
    assert corp["name"] == "corp" and corp["loaded"] is True and 0 <= corp["age"] < 60
    assert corp["entries"] == {"mailboxes": 10, "customRecipients": 2, "groups": 1, "domains": 2,
                               "connectors": 1, "damaged": 0}
    assert status["syncd"]["running"] is True
    assert status["syncd"]["directories"][0]["state"] == "loaded"
    assert (corp["state"], corp["lastError"], corp["skipped"], corp["held"], corp["hints"]) == (
        "loaded", "", 0, 0, [])
    text = coexistctl(follower.conf, "status").stdout
    for line in ("directory corp", "  state: loaded", f"  server: {corp['server']}",
                 "  entries: 10 mailboxes, 2 custom recipients, 1 group, 2 domains, 1 connector",
                 "  skipped: 0", "  removals kept back: 0", "  running: yes, process "
                 f"{follower.daemon.pid}"):
        assert line in text.splitlines(), text
    assert re.search(r"^  last contact:( \d+ (min|s))+ ago$", text, re.MULTILINE), text
    assert "->" not in text


def test_who_may_not_ask_syncd_is_not_told_that_it_is_down(folder):
    write(f"{folder}/directory.ldif", CONTAINERS)
    other = Follower(folder, f'ldif = "{folder}/directory.ldif"').start()
    try:
        other.wait_log("refreshed:")
        os.chmod(folder, 0o755)
        os.chmod(other.folder, 0o755)
        os.chmod(other.conf, 0o644)
        group = os.stat(f"{other.folder}/replica").st_gid
        command = ["setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups",
                   program("coexistctl"), "-c", other.conf, "status"]
        done = run(command)
        assert "  running: not known\n" in done.stdout and "Permission denied" in done.stdout
        assert "start it" not in done.stdout
        assert json.loads(run([*command, "--json"]).stdout)["syncd"]["running"] is None
    finally:
        other.close()


def test_a_silent_syncd_is_said_to_be_busy(folder):
    """As one that writes a million entries; all that does not need it is answered."""
    write(f"{folder}/directory.ldif", CONTAINERS)
    other = Follower(folder, f'ldif = "{folder}/directory.ldif"').start()
    try:
        other.wait_log("refreshed:")
        os.kill(other.daemon.pid, signal.SIGSTOP)
        asked = {command: subprocess.Popen(
            [program("coexistctl"), "-c", other.conf, *command.split()], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for command in ("status", "check", "accept-refresh corp")}
        said = {command: (*child.communicate(timeout=PATIENCE), child.returncode)
                for command, child in asked.items()}
        busy = f"{other.control}: coexist-syncd is busy: no answer within 10 s; try again later"
        assert f"  running: not known\n  trouble: {busy}\n" in said["status"][0]
        assert "start it" not in said["status"][0] and said["status"][2] == 0
        assert said["check"][1].startswith(f"coexistctl: {busy}: errors of the directories")
        assert said["accept-refresh corp"][1:] == (f"coexistctl: {busy}\n", 69)
    finally:
        os.kill(other.daemon.pid, signal.SIGCONT)
        other.close()


def test_status_wonders_at_a_directory_with_nobody_in_it(folder):
    """As with a filter of which one letter is wrong: no server calls that an error."""
    write(f"{folder}/directory.ldif", CONTAINERS)
    other = Follower(folder, f'ldif = "{folder}/directory.ldif"').start()
    try:
        other.wait_log("refreshed:")
        [corp] = json.loads(coexistctl(other.conf, "status", "--json").stdout)["directories"]
        assert corp["loaded"] and "no recipients came" in "".join(corp["hints"])
        with open(other.conf, encoding="utf-8") as conf:
            text = conf.read()
        write(other.conf, text.replace("ldif =", 'provides = "domains"\n  ldif ='))
        [corp] = json.loads(coexistctl(other.conf, "status", "--json").stdout)["directories"]
        assert corp["hints"] == []
    finally:
        other.close()


def test_status_says_what_is_wrong_and_what_to_do(folder):
    people = [mailbox(f"u{n}", f"u{n}@acme.example") for n in range(50)]
    bad = mailbox("bad", "not an address") + domain("acme.example", "authoritative")
    write(f"{folder}/directory.ldif", CONTAINERS + "".join(people) + bad)
    other = Follower(folder, f'ldif = "{folder}/directory.ldif"').start()
    try:
        other.wait_has("u49@acme.example")
        write(f"{folder}/directory.ldif", CONTAINERS + "".join(people[:10]) + bad)
        other.wait_log("removals kept back")
        write(f"{folder}/directory.ldif", "nonsense\n")
        other.wait_log("no colon")
        [corp] = json.loads(coexistctl(other.conf, "status", "--json").stdout)["directories"]
        assert (corp["state"], corp["skipped"], corp["held"]) == ("rejected", 1, 40)
        assert "no colon" in corp["lastError"]
        hints = "\n".join(corp["hints"])
        assert "coexistctl accept-refresh corp" in hints and "coexistctl check" in hints
        text = coexistctl(other.conf, "status").stdout
        for hint in corp["hints"]:
            assert f"  -> {hint}\n" in text
        assert "  removals kept back: 40\n" in text and "  last error: " in text
        with open(other.conf, "a", encoding="utf-8") as conf:
            conf.write('unknown_defer_after = "1s"\n')
        other.daemon.stop()

        def is_old():
            status = json.loads(coexistctl(other.conf, "status", "--json").stdout)
            assert status["syncd"]["running"] is False
            assert status["directories"][0]["state"] is None
            assert "  -> start it: " in coexistctl(other.conf, "status").stdout
            return "unknown_defer_after" in "".join(status["directories"][0]["hints"])

        wait_for(is_old, "the directory to be old")
        assert "  a directory was not heard of for too long, or was never loaded: see coexistctl status\n" in coexistctl(
            other.conf, "resolve", "stranger@acme.example").stdout
        assert "  running: no\n" in coexistctl(other.conf, "status").stdout
    finally:
        other.close()


@pytest.mark.parametrize("is_made", [True, False])
def test_without_a_replica_everything_is_temporary(folder, is_made):
    silent = Follower(folder, f'ldif = "{folder}/directory.ldif"')
    if not is_made:
        os.rmdir(f"{silent.folder}/replica")
    done = coexistctl(silent.conf, "resolve", "plain@acme.example", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"]) == (75, "unavailable")
    assert answer["reply"].startswith("451 4.3.0 ") and answer["trouble"]
    assert coexistctl(silent.conf, "dump").returncode == 75
    assert coexistctl(silent.conf, "accept-refresh", "corp").returncode == 69
    assert coexistctl(silent.conf, "accept-refresh", "nobody").returncode == 64
    done = coexistctl(silent.conf, "status", "--json")
    assert done.returncode == 75
    assert json.loads(done.stdout)["syncd"]["running"] is False


@pytest.fixture(scope="module")
def sendmail(tmp_path_factory):
    """A configuration; judge(text of a sendmail.mc) -> CompletedProcess. More: test_sendmail_settings."""
    folder = str(tmp_path_factory.mktemp("mc"))
    write(f"{folder}/coexist.conf", f"""\
replica = "{folder}/replica"
directory "corp" {{ ldif = "{folder}/x.ldif" }}
milter {{ enforce = true listen = "inet:[::1]:10025" }}
policyd {{ map_listen = {{"inet:127.0.0.1:10041"}}  mailbox_transport = "lmtp:unix:/run/lmtp" }}
""")

    def judge(text):
        write(f"{folder}/sendmail.mc", text)
        return coexistctl(f"{folder}/coexist.conf", "sendmail", f"{folder}/sendmail.mc")

    judge.conf = f"{folder}/coexist.conf"
    return judge


def test_a_sendmail_mc_that_is_not_there(sendmail):
    assert coexistctl(sendmail.conf, "sendmail", "/nonexistent/sendmail.mc").returncode == 66
    assert coexistctl(sendmail.conf, "sendmail", "a", "b").returncode == 64


def test_prints_sockets_as_sendmail_writes_them(sendmail):
    done = coexistctl(sendmail.conf, "sendmail")
    assert done.returncode == 0 and "no replica that can be read" in done.stderr
    assert "S=inet6:10025@::1, F=T" in done.stdout
    for name, option in (("domains", "-T<TMPF> "), ("relay", "-T<TMPF> "), ("transport", "")):
        assert f"\nK{name} socket -f {option}inet:10041@127.0.0.1\n" in done.stdout
    assert "A=FILE `/run/lmtp'\n" in done.stdout
    # What it prints it finds nothing wrong with.
    judged = sendmail(done.stdout)
    assert (judged.returncode, judged.stderr) == (0, "")
