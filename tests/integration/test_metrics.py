"""What the daemons show to who watches them: /metrics, /healthz and /readyz (SPEC section 13)."""

import contextlib
import json
import math
import os
import re
import socket
import subprocess
import tempfile
import time

import pytest

from support.daemons import TOP, coexistctl, program
from support.ldif import mailbox
from support.milterclient import MilterClient
from support.policyd import MapClient, PolicyClient, netstring
from support.wait import run, wait_for
from support.watched import DAEMONS, DIRECTORY, Watched

PROMTOOL = "/var/cache/coexist-tests/sendmail/usr/bin/promtool"


@pytest.fixture
def watched():
    made = Watched(tempfile.mkdtemp(prefix="cx-"))
    yield made
    made.close()


def families(*series):
    return {re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", key.partition("{")[0])
            for one in series for key in one}


def families_of_manual():
    with open(f"{TOP}/doc/coexist-metrics.7", encoding="utf-8") as page:
        items = re.findall(r"^\.It Li (coexist_.*)$", page.read(), re.M)
    return {name for item in items for name in item.split(" , ")}


def label_values(series):
    """{(family, label): values}"""
    found = {}
    for key in series:
        for label, value in re.findall(r'(\w+)="([^"]*)"', key):
            found.setdefault((key.partition("{")[0], label), set()).add(value)
    return found


def label_values_of_manual():
    """".Li label", behind it ".Pq Li value , value"."""
    with open(f"{TOP}/doc/coexist-metrics.7", encoding="utf-8") as page:
        items = re.split(r"^\.It Li ", page.read(), flags=re.M)[1:]
    return {(family, label): set(values.removesuffix(" .").split(" , "))
            for item in items for family in item.splitlines()[0].split(" , ")
            for label, values in re.findall(r"^\.Li (\w+)\n\.Pq Li (.*)$", item, re.M)}


def verdict(name):
    return f'coexist_decisions_total{{verdict="{name}"}}'


@contextlib.contextmanager
def hidden(watched, name):
    os.rename(f"{watched.folder}/{name}", f"{watched.folder}/hidden")
    yield
    os.rename(f"{watched.folder}/hidden", f"{watched.folder}/{name}")


LOADED = 'coexist_sync_state{directory="corp",state="loaded"}'


def test_every_series_is_there_from_the_start_and_counts(watched):
    start = {}
    with hidden(watched, "directory.ldif"):
        for name in ("milter", "policyd", "syncd"):  # the first two without a replica
            watched.daemons[name].start()
            start[name] = watched.series(name)
    wait_for(lambda: all(watched.get(name, "/readyz")[0] == 200 for name in DAEMONS), "all of them")
    wait_for(lambda: watched.series("syncd")[LOADED] == 1, "syncd to say so")
    before = {name: watched.series(name) for name in DAEMONS}
    for name in DAEMONS:
        assert before[name]["coexist_replica_up"] == 1
        assert before[name]['coexist_directory_loaded{directory="corp"}'] == 1
        assert before[name]['coexist_directory_entries{directory="corp",kind="recipient"}'] == 5
        assert before[name]['coexist_directory_entries{directory="corp",kind="domain"}'] == 2
        assert before[name]['coexist_directory_entries{directory="corp",kind="connector"}'] == 1
        assert 0 <= before[name]['coexist_directory_age_seconds{directory="corp"}'] < 60
        assert before[name]["coexist_replica_size_bytes"] >= 4096
        assert before[name]["coexist_replica_generation"] >= 1
        assert 0 <= time.time() - before[name]["coexist_start_time_seconds"] < 600
        version = run([program(f"coexist-{name}"), "-V"]).stdout.split()[1]
        assert before[name][f'coexist_build_info{{program="coexist-{name}",version="{version}"}}'] == 1
        counters = {key: value for key, value in before[name].items()
                    if re.search(r"_(total|count|sum)(\{|$)", key) and "_sync_" not in key}
        assert name == "syncd" or counters and set(counters.values()) == {0.0}, counters
    assert before["syncd"]['coexist_sync_changes_total{directory="corp"}'] == 11  # with containers
    assert before["syncd"]['coexist_sync_refreshes_total{directory="corp"}'] == 1

    with PolicyClient(f"unix:{watched.folder}/policy") as policy:
        for recipient in ("bob", "nobody", "nobody", "moving"):
            policy.ask(policy_context="recipient", recipient=f"{recipient}@acme.example")
        policy.ask(policy_context="relay", recipient="x@elsewhere.example")
        policy.ask(policy_context="relay", recipient="x@elsewhere.example",
                   client_address="198.51.100.1")
        now = watched.series("policyd")
        assert now['coexist_connections{service="policy"}'] == 1
        policy.send(b"nonsense\n\n")
        assert policy.read_to_end() == b""
    with MapClient(f"unix:{watched.folder}/map") as maps:
        for key in ("acme.example", "elsewhere.example"):
            maps.ask("domains", key)
        maps.ask("nonsense", "x")
        maps.send(netstring("nonsense"))
        maps.answer()
    with MilterClient(f"unix:{watched.folder}/milter") as milter:
        milter.connect()
        milter.mail("<sue@outside.example>")
        for recipient in ("bob", "adam.barr", "moving", "ring"):
            milter.rcpt(f"<{recipient}@acme.example>")
        milter.end()
        milter.mail("<sue@outside.example>")
        milter.rcpt("<bob@acme.example>")
        milter.end()
        milter.mail("<sue@outside.example>")
        milter.rcpt("<bob@acme.example>")
        assert milter.data().code == "accept"  # it is let go

        assert watched.series("milter")['coexist_connections{service="milter"}'] == 1
    wait_for(lambda: not any(value for name in ("milter", "policyd")
                             for key, value in watched.series(name).items()
                             if key.startswith("coexist_connections{")), "the connections to go")

    now = {name: watched.series(name) for name in DAEMONS}
    assert families(*now.values()) == families_of_manual()
    there = label_values(key for one in now.values() for key in one)
    told = label_values_of_manual()
    assert {key: there[key] for key in told} == told
    watched.write_directory(DIRECTORY + mailbox("new", "new@acme.example"))
    changes = 'coexist_sync_changes_total{directory="corp"}'
    wait_for(lambda: watched.series("syncd")[changes] == 12, "a change")
    now["syncd"] = watched.series("syncd")
    for name in DAEMONS:
        assert set(now[name]) == set(before[name]) == set(start[name])
    grown = {name: {key: value - before[name][key] for key, value in now[name].items()
                    if value != before[name][key] and "_seconds" not in key and
                    not key.startswith("coexist_connections{")} for name in DAEMONS}
    assert grown["policyd"] == {
        verdict("deliver"): 1, verdict("unknown"): 2, verdict("parked"): 1,
        'coexist_relay_decisions_total{verdict="not permitted"}': 1,
        'coexist_relay_decisions_total{verdict="permitted"}': 1,
        'coexist_policy_answers_total{action="ok"}': 1,
        'coexist_policy_answers_total{action="dunno"}': 2,
        'coexist_policy_answers_total{action="reject"}': 2,
        'coexist_policy_answers_total{action="defer"}': 1,
        'coexist_map_replies_total{result="found"}': 1,
        'coexist_map_replies_total{result="not_found"}': 1,
        'coexist_map_replies_total{result="no_such_map"}': 1,
        'coexist_map_replies_total{result="malformed"}': 1,
        'coexist_malformed_requests_total{service="policy"}': 1,
        'coexist_connections_total{service="policy"}': 1,
        'coexist_connections_total{service="map"}': 1}
    assert grown["milter"] == {
        verdict("deliver"): 4, verdict("parked"): 1, verdict("loop"): 1,
        'coexist_recipients_total{result="accepted"}': 4,
        'coexist_recipients_total{result="deferred"}': 1,
        'coexist_recipients_total{result="rejected"}': 1,
        'coexist_messages_total{result="changed"}': 1,
        'coexist_messages_total{result="unchanged"}': 2,
        'coexist_edits_total{kind="add"}': 1, 'coexist_edits_total{kind="delete"}': 1,
        'coexist_edits_total{kind="header"}': 1,
        'coexist_connections_total{service="milter"}': 1}
    assert now["policyd"]['coexist_request_seconds_count{service="policy"}'] == 6
    assert now["policyd"]['coexist_request_seconds_bucket{service="policy",le="+Inf"}'] == 6
    assert now["policyd"]['coexist_request_seconds_count{service="map"}'] == 4
    assert now["milter"]['coexist_request_seconds_count{service="rcpt"}'] == 6
    assert now["milter"]['coexist_request_seconds_count{service="end"}'] == 2


def test_status_shows_what_was_counted(crowded):
    with PolicyClient(f"unix:{crowded.folder}/policy") as policy:
        policy.ask(policy_context="recipient", recipient="nobody@acme.example")
    unknown = crowded.series("policyd")[verdict("unknown")]
    assert unknown >= 1
    status = json.loads(coexistctl(crowded.conf, "status", "--json").stdout)
    daemons = {row["program"]: row for row in status["daemons"]}
    assert {name: row["running"] for name, row in daemons.items()} == {
        "coexist-syncd": True, "coexist-milter": True, "coexist-policyd": True}
    policyd = daemons["coexist-policyd"]["series"]
    assert policyd[verdict("unknown")] == unknown and policyd[verdict("loop")] == 0
    assert not [name for name in policyd if "_bucket" in name]
    text = coexistctl(crowded.conf, "status").stdout
    assert f"\ncounted by coexist-policyd\n  {verdict('unknown')}: {unknown:.0f}\n" in text


def test_promtool_finds_nothing_to_say(crowded):
    for name in DAEMONS:
        done = subprocess.run([PROMTOOL, "check", "metrics"], text=True, capture_output=True,
                              input=crowded.get(name, "/metrics")[2], check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), name


MONITORING = f"{TOP}/packaging/monitoring"
SELECTOR = re.compile(r"\b(coexist_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


def expressions():
    """(where, PromQL) of the alerts and the dashboard."""
    with open(f"{MONITORING}/coexist-alerts.yml", encoding="utf-8") as rules:
        for expression in re.findall(r"^ +expr: (.*)$", rules.read(), re.M):
            yield "alerts", expression
    with open(f"{MONITORING}/coexist-dashboard.json", encoding="utf-8") as dashboard:
        page = json.load(dashboard)
    for panel in page["panels"]:
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in page["templating"]["list"]:
        yield "variables", variable["query"]["query"] if variable["type"] == "query" else ""


def test_alerts_and_dashboard_name_series_that_there_are(crowded):
    """With labels that they have, each alternative of a pattern too; and no family is left out."""
    there = {key for name in DAEMONS for key in crowded.series(name)}
    named = set()
    for where, expression in expressions():
        for family, labels in SELECTOR.findall(expression):
            series = [key for key in there if key.partition("{")[0] == family]
            assert series, f"{where}: there is no {family}"
            named.add(family)
            for label, _, pattern in MATCHER.findall(labels):
                if label == "instance":  # Prometheus adds it
                    continue
                for value in pattern.replace("$directory", "corp").split("|"):
                    assert any(f'{label}="{value}"' in key for key in series), \
                        f'{where}: no {family} has {label}="{value}"'
    assert families(named) == families_of_manual()


def test_alerts_ring_when_they_should():
    for what in (["check", "rules", "coexist-alerts.yml"],
                 ["test", "rules", "coexist-alerts-test.yml"]):
        done = subprocess.run([PROMTOOL, *what], cwd=MONITORING, text=True, capture_output=True,
                              check=False)
        assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr
    with open(f"{MONITORING}/coexist-alerts.yml", encoding="utf-8") as rules, \
            open(f"{MONITORING}/coexist-alerts-test.yml", encoding="utf-8") as tests:
        assert re.findall(r"- alert: (\w+)", rules.read()) == \
            re.findall(r'alertname="(\w+)"', tests.read())


def test_says_why_it_is_not_ready_and_when_it_is(watched):
    for name in ("milter", "policyd"):
        watched.daemons[name].start()
        assert watched.get(name, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        status, _, why = watched.get(name, "/readyz")
        assert status == 503 and why.startswith("replica: ") and why.endswith("\n"), why
        series = watched.series(name)
        assert series["coexist_replica_up"] == 0
        unknown = [number for key, number in series.items()
                   if key.startswith(("coexist_directory_", "coexist_replica_")) and
                   key != "coexist_replica_up"]
        assert len(unknown) == 9 and all(math.isnan(number) for number in unknown), series
    with hidden(watched, "directory.ldif"):
        watched.daemons["syncd"].start()
        assert watched.get("syncd", "/readyz")[0] == 503
        series = watched.series("policyd")
        assert series["coexist_replica_up"] == 1
        assert series['coexist_directory_loaded{directory="corp"}'] == 0
        assert series['coexist_directory_age_seconds{directory="corp"}'] == math.inf
        assert series['coexist_directory_entries{directory="corp",kind="domain"}'] == 0
    for name in DAEMONS:
        wait_for(lambda name=name: watched.get(name, "/readyz")[0] == 200, f"{name} to be ready")
        assert watched.get(name, "/readyz")[2] == "ready\n"
        assert watched.series(name)["coexist_replica_up"] == 1
    assert "\ncounted by coexist-milter\n  nothing yet\ncounted by " in coexistctl(watched.conf, "status").stdout
    watched.daemons["syncd"].stop()
    with open(watched.conf, "a", encoding="utf-8") as conf:
        conf.write('max_staleness = "1s"\n')
    for name in ("milter", "policyd"):
        watched.daemons[name].reload()
        old = (503, "text/plain; charset=utf-8", "directory corp: older than max_staleness\n")
        wait_for(lambda name=name, old=old: watched.get(name, "/readyz") == old, f"{name} to say so")
        assert 1 < watched.series(name)['coexist_directory_age_seconds{directory="corp"}'] < 600
    daemons = json.loads(coexistctl(watched.conf, "status", "--json").stdout)["daemons"]
    assert [row["running"] for row in daemons] == [None, True, True]
    assert daemons[0]["trouble"] == f"no metrics on inet:127.0.0.1:{watched.port['syncd']}"


def test_what_is_held_and_what_cannot_be_used_is_shown(watched):
    many = "".join(mailbox(f"user{n}", f"user{n}@acme.example") for n in range(40))
    watched.write_directory(DIRECTORY + many + "dn: uid=bad,ou=people,dc=acme,dc=example\n"
                            "objectClass: inetOrgPerson\nobjectClass: coexistMailbox\n"
                            "uid: bad\ncn: bad\nsn: bad\nmail: no address\n\n")
    watched.start("syncd", "policyd")
    skipped = 'coexist_directory_skipped_entries{directory="corp"}'
    assert watched.series("policyd")[skipped] == 1
    unusable = 'coexist_sync_unusable_entries_total{directory="corp"}'
    assert watched.series("syncd")[unusable] == 1
    watched.write_directory(DIRECTORY)
    held = 'coexist_directory_held_removals{directory="corp"}'
    wait_for(lambda: watched.series("policyd")[held] == 40, "removals kept back")
    assert watched.series("syncd")[held] == 40
    errors, rejected = 'coexist_sync_errors_total{directory="corp"}', \
        'coexist_sync_state{directory="corp",state="rejected"}'
    assert watched.series("syncd")[errors] == 0
    watched.write_directory("nonsense\n")
    wait_for(lambda: watched.series("syncd")[rejected] == 1, "the file to be rejected")
    assert watched.series("syncd")[errors] == 1


@pytest.fixture(scope="module")
def crowded():
    made = Watched(tempfile.mkdtemp(prefix="cx-")).start()
    yield made
    made.close()


def test_a_directory_that_only_the_configuration_has(watched):
    """And what was counted goes on when a section is another one."""
    watched.start("syncd", "policyd")
    changes = 'coexist_sync_changes_total{directory="corp"}'
    assert watched.series("syncd")[changes] == 11
    with open(watched.conf, encoding="utf-8") as conf:
        text = conf.read()
    corp = f'directory "corp" {{ ldif = "{watched.folder}/directory.ldif" '
    more = f'directory "a-b" {{ ldif = "{watched.folder}/none.ldif" }}\n'
    with open(watched.conf, "w", encoding="utf-8") as conf:
        conf.write(text.replace(corp, more + corp + "max_delete_percent = 20"))
    watched.daemons["policyd"].reload()
    new = 'coexist_directory_entries{directory="a-b",kind="recipient"}'
    series = wait_for(lambda: (now := watched.series("policyd")) and new in now and now, "a reload")
    assert series[new] == 0 and series['coexist_directory_loaded{directory="a-b"}'] == 0
    assert series['coexist_directory_age_seconds{directory="a-b"}'] == math.inf
    assert series['coexist_directory_entries{directory="corp",kind="recipient"}'] == 5
    watched.daemons["syncd"].reload()
    missing = 'coexist_sync_state{directory="a-b",state="missing"}'
    wait_for(lambda: watched.series("syncd").get(missing) == 1, "syncd to have it")
    assert watched.series("syncd")[changes] == 11
    keys = [line for line in watched.get("policyd", "/metrics")[2].splitlines() if "a-b" in line]
    assert len(keys) == 7 and len(keys) == len({line.rpartition(" ")[0] for line in keys}), keys


def test_a_port_that_is_taken_is_said(watched):
    for name, path in (("milter", "milter"), ("syncd", "syncd"), ("policyd", "policy")):
        with socket.create_server(("127.0.0.1", watched.port[name])):
            watched.daemons[name].start(wait=False)
            wait_for(lambda name=name: not watched.daemons[name].is_running(), "it to give up")
        assert re.search(rf"error: inet:127.0.0.1:{watched.port[name]} is in use",
                         watched.daemons[name].log_text())
        watched.daemons[name].child = None  # there is none to judge
        assert not os.path.exists(f"{watched.folder}/{path}")
