"""tests/cases through every door: the same rows, the same decision."""

import json
import os

import pytest

from support import cases
from support.daemons import Daemon, coexistctl
from support.milterclient import MilterClient
from support.policyd import PolicyClient
from support.wait import wait_for

EXIT_CODES = {"deliver": 0, "foreign": 0, "unknown": 67, "invalid": 65, "denied": 77, "loop": 65,
              "horizon": 75, "broken": 75, "disabled": 75, "parked": 75, "unavailable": 75}
REPLIES = {"deliver": None, "foreign": None, "unknown": "550 5.1.1", "invalid": "501 5.1.3",
           "denied": "550 5.7.1", "loop": "550 5.4.6", "horizon": "451 4.4.6",
           "broken": "451 4.3.5", "disabled": "451 4.3.2", "parked": "450 4.2.1",
           "unavailable": "451 4.3.0"}
RELAY = {"permitted": "OK", "forbidden": "554 5.7.1", "not permitted": "DUNNO"}


class Organisation:
    """The replica of one folder, and a policy service on it."""

    def __init__(self, name, folder):
        self.rows = cases.load(name)
        self.conf = f"{folder}/coexist.conf"
        with open(f"{folder}/directory.ldif", "w", encoding="utf-8") as out:
            out.write(cases.read(name, "directory.ldif"))
        os.mkdir(f"{folder}/replica")
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"""organization = "acme"
replica = "{folder}/replica"
user = ""
directory "cases" {{ ldif = "{folder}/directory.ldif" }}
syncd {{ control = "unix:{folder}/syncd" }}
milter {{ listen = "unix:{folder}/milter" }}
{self.settings(name, folder)}
log {{ level = "debug" }}
""")
        self.policy_socket = f"unix:{folder}/policy"
        self.milter_address = f"unix:{folder}/milter"
        self.syncd = Daemon("coexist-syncd", self.conf, folder)
        self.policyd = Daemon("coexist-policyd", self.conf, folder)
        self.milter = Daemon("coexist-milter", self.conf, folder)
        self.syncd.start()
        wait_for(lambda: coexistctl(self.conf, "dump").stdout,
                 lambda: self.syncd.log_text()[-4000:])
        self.policyd.start()
        self.milter.start()

    @staticmethod
    def settings(name, folder):
        listen = (f'policyd {{ policy_listen = {{"unix:{folder}/policy"}} '
                  f'map_listen = {{"unix:{folder}/map"}} ')
        return cases.read(name, "settings").replace("policyd {", listen)

    def close(self):
        try:
            self.milter.close()
        finally:
            self.policyd.close()
            self.syncd.close()


@pytest.fixture(params=cases.folders())
def organisation(request, folder):
    made = Organisation(request.param, folder)
    yield made
    made.close()


def options(case):
    words = []
    if case.ip:
        words += ["--client", case.ip]
    if case.login:
        words += ["--login", case.login]
    return words


def expected_reply(case):
    return case.extra if case.extra[:1].isdigit() else REPLIES[case.verdict]


def differences_of_resolve(organisation, case):
    done = coexistctl(organisation.conf, "resolve", "--json", *options(case), "--", case.address)
    answer = json.loads(done.stdout)
    found = (answer["verdict"], answer["rule"], frozenset(
        (d["address"], d["kind"], d["nexthop"]) for d in answer["deliveries"]))
    # Delivered addresses differ in case where the client's spelling is kept: keys are compared.
    lower = frozenset((a.lower(), k, h) for a, k, h in found[2])
    if found[:2] != (case.verdict, case.rule) or \
            lower != frozenset((a.lower(), k, h) for a, k, h in case.deliveries):
        return f"{case}: {found}"
    code = EXIT_CODES[case.verdict]
    if case.verdict == "foreign" and case.extra in ("forbidden", "not permitted"):
        code = 77
    if expected_reply(case) == "550 5.1.1":
        code = 67
    if done.returncode != code:
        return f"{case}: exit code {done.returncode}, not {code}"
    if case.extra in RELAY and answer["relay"]["why"].split(":")[0] != case.extra:
        return f"{case}: relay {answer['relay']}"
    return None


def differences_of_policy(client, case):
    local, at, domain = case.address.rpartition("@")
    if local.startswith('"'):  # the policy protocol carries the internal form
        local = local[1:-1]
    request = {"recipient": local + at + domain, "sender": "probe@outside.example",
               "client_address": case.ip or "203.0.113.250", "sasl_username": case.login}
    answer = client.ask(**request, policy_context="recipient")
    reply = expected_reply(case)
    if answer[:9] != (reply or "DUNNO"):
        return f"{case}: policy says {answer}"
    if case.extra in RELAY:
        answer = client.ask(**request, policy_context="relay")
        if answer[:9] != RELAY[case.extra]:
            return f"{case}: policy, relay, says {answer}"
    return None


def differences_of_milter(organisation, case):
    with MilterClient(organisation.milter_address) as client:
        client.connect(ip=case.ip or "203.0.113.250")
        client.mail("<probe@outside.example>", "SMTPUTF8", login=case.login or None)
        reply = client.rcpt(f"<{case.address}>")
        expected = expected_reply(case)
        if case.verdict in ("unknown", "foreign"):  # the policy service's
            expected = None
        if (reply.status if reply.code != "continue" else None) != expected:
            return f"{case}: milter says {reply.code}"
        if expected:
            return None
        edits = client.end().edits
    itself = case.address.lower()  # in Unicode it is not what the directory has
    deliveries = {a.lower() for a, _, _ in case.deliveries} or {itself}
    added = {edit[1].strip("<>").lower() for edit in edits if edit[0] == "+"}
    deleted = {edit[1].lower() for edit in edits if edit[0] == "-"}
    if added != deliveries - {itself} or \
            deleted != (set() if itself in deliveries else {itself}):
        return f"{case}: milter edits {edits}"
    return None


def test_resolve_gives_every_case_its_decision(organisation):
    found = [differences_of_resolve(organisation, case) for case in organisation.rows]
    assert not list(filter(None, found)), "\n".join(filter(None, found))


def test_the_policy_service_gives_every_case_its_reply(organisation):
    with PolicyClient(organisation.policy_socket) as client:
        found = [differences_of_policy(client, case) for case in organisation.rows]
    assert not list(filter(None, found)), "\n".join(filter(None, found))


def test_the_milter_gives_every_case_its_edits(organisation):
    found = [differences_of_milter(organisation, case) for case in organisation.rows]
    assert not list(filter(None, found)), "\n".join(filter(None, found))
