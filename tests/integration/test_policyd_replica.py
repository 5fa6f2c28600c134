"""coexist-policyd on a replica that coexist-syncd makes of an LDIF file."""

import os
import threading
import time

import pytest

from support.daemons import Daemon
from support.policyd import MapClient, Policyd, PolicyClient, netstring, request
from support.wait import FACTOR, run, wait_for

DOMAINS = """\
dn: associatedDomain=acme.example,dc=acme,dc=example
objectClass: coexistDomain
associatedDomain: acme.example
coexistDomainType: shared

dn: associatedDomain=\\2A.wild.example,dc=acme,dc=example
objectClass: coexistDomain
associatedDomain: *.wild.example
coexistDomainType: authoritative

dn: associatedDomain=relay.example,dc=acme,dc=example
objectClass: coexistDomain
associatedDomain: relay.example
coexistDomainType: relay
coexistForwardHost: mx.relay.example

dn: cn=partner,dc=acme,dc=example
objectClass: coexistConnector
cn: partner
coexistNextHop: smtp:[192.0.2.200]:2525
coexistAddressSpace: SMTP:pop.partner.example
coexistRelayClient: 192.0.2.0/24
coexistRelayClient: !192.0.2.9
"""

MAILBOX = """
dn: uid={uid},dc=acme,dc=example
objectClass: account
objectClass: coexistMailbox
uid: {uid}
mail: {mail}
"""

CUSTOM = """
dn: uid=eve,dc=acme,dc=example
objectClass: account
objectClass: coexistCustomRecipient
uid: eve
mail: eve@acme.example
coexistTargetAddress: SMTP:eve@pop.partner.example
"""


def mailbox(uid, mail=None, **more):
    text = MAILBOX.format(uid=uid, mail=mail or f"{uid}@acme.example")
    return text + "".join(f"{name}: {value}\n" for name, value in more.items())


USUAL = DOMAINS + mailbox("adam", coexistProxyAddress="smtp:a.barr@acme.example") + CUSTOM


class Pair:
    """coexist-syncd and coexist-policyd on one configuration."""

    def __init__(self, folder):
        self.policyd = Policyd(folder)
        self.syncd = Daemon("coexist-syncd", self.policyd.conf, folder)

    def write(self, ldif):
        with open(self.policyd.ldif + ".new", "w", encoding="utf-8") as out:
            out.write(ldif)
        os.rename(self.policyd.ldif + ".new", self.policyd.ldif)

    def start(self, ldif=USUAL):
        self.write(ldif)
        self.syncd.start()
        self.policyd.start()
        self.wait_for("acme.example")
        return self

    def ask(self, **attributes):
        with PolicyClient(self.policyd.policy["unix"]) as client:
            return client.ask(**{"policy_context": "recipient", **attributes})

    def query(self, name, key):
        with MapClient(self.policyd.map["unix"]) as client:
            return client.ask(name, key)

    def wait_for(self, domain, reply="OK "):
        wait_for(lambda: self.query("domains", domain).startswith(reply),
                 lambda: f"{domain} to be {reply}:\n{self.syncd.log_text()[-3000:]}")

    def close(self):
        try:
            self.policyd.close()
        finally:
            self.syncd.close()


@pytest.fixture(name="pair")
def fixture_pair(folder):
    pair = Pair(folder)
    yield pair
    pair.close()


def test_refuses_and_routes_as_the_directory_says(pair):
    pair.start()
    for context, client, recipient, action in (
            ("recipient", "198.51.100.1", "adam@acme.example", "DUNNO"),
            ("recipient", "198.51.100.1", "A.Barr+x@acme.example", "DUNNO"),
            ("recipient", "198.51.100.1", "nobody@acme.example", "550 5.1.1 "),
            ("recipient", "192.0.2.7", "nobody@acme.example", "550 5.1.1 "),
            ("relay", "192.0.2.7", "joe@out.example", "OK"),
            ("relay", "192.0.2.7", "adam@acme.example", "DUNNO"),
            ("relay", "192.0.2.9", "joe@out.example", "554 5.7.1 "),
            ("relay", "198.51.100.1", "joe@out.example", "DUNNO"),
            ("", "192.0.2.7", "joe@out.example", "OK"),
            ("", "192.0.2.7", "nobody@acme.example", "550 5.1.1 ")):
        answer = pair.ask(policy_context=context, client_address=client, recipient=recipient)
        assert answer.startswith(action), (context, client, recipient, answer)
    lines = pair.policyd.log_lines("NOQUEUE: reject: .*to=<nobody@acme.example>")
    assert len(lines) == 3
    assert 'verdict=unknown, rule=unknown, reply="550 5.1.1 User unknown"' in lines[0]
    for name, key, reply in (
            ("transport", "adam@acme.example", "OK lmtp:unix:private/dovecot-lmtp"),
            ("transport", "eve@pop.partner.example", "OK smtp:[192.0.2.200]:2525"),
            ("transport", "x@relay.example", "OK relay:[mx.relay.example]"),
            ("domains", "a.b.wild.example", "OK authoritative"),
            ("mailbox_domains", "acme.example", "OK shared"),
            ("relay_domains", "relay.example", "OK relay"),
            ("recipients", "adam+x@acme.example", "OK OK"),
            ("recipients", "nobody@acme.example", "NOTFOUND "),
            ("login", "a.barr@acme.example",
             "OK adam, adam@acme.example, a.barr@acme.example"),
            ("primary", "eve@pop.partner.example", "OK eve@acme.example")):
        assert pair.query(name, key) == reply, (name, key)


def test_postmap_reads_every_map(pair):
    pair.start()
    os.chmod(pair.policyd.folder, 0o755)
    os.chmod(f"{pair.policyd.folder}/map", 0o666)
    for name, key, value in (
            ("transport", "adam@acme.example", "lmtp:unix:private/dovecot-lmtp"),
            ("domains", "acme.example", "shared"),
            ("mailbox_domains", "acme.example", "shared"),
            ("relay_domains", "relay.example", "relay"),
            ("recipients", "adam@acme.example", "OK"),
            ("login", "eve@acme.example", "eve, eve@acme.example"),
            ("primary", "a.barr@acme.example", "adam@acme.example")):
        for spec in pair.policyd.map.values():
            done = run(["/usr/sbin/postmap", "-q", key, f"socketmap:{spec}:{name}"])
            assert done.stdout == value + "\n", (name, done)
    done = run(["/usr/sbin/postmap", "-q", "x@out.example",
                f"socketmap:unix:{pair.policyd.folder}/map:transport"], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_follows_the_directory_on_the_same_connection(pair):
    pair.start()
    with PolicyClient(pair.policyd.policy["inet"]) as client:
        def ask(name):
            return client.ask(policy_context="recipient", recipient=f"{name}@acme.example")
        assert ask("new").startswith("550 5.1.1")
        pair.write(USUAL + mailbox("new"))
        wait_for(lambda: ask("new") == "DUNNO", "the new mailbox")
        pair.write(USUAL)
        wait_for(lambda: ask("new").startswith("550 5.1.1"), "it to go again")


def test_goes_on_without_syncd_and_finds_a_replica_that_comes_later(pair):
    pair.policyd.start()
    with PolicyClient(pair.policyd.policy["unix"]) as client:
        def ask(name):
            return client.ask(policy_context="recipient", recipient=f"{name}@acme.example")
        assert ask("adam").startswith("451 4.3.0")
        pair.write(USUAL)
        pair.syncd.start()
        wait_for(lambda: ask("adam") == "DUNNO", "the first load")
        pair.syncd.kill()
        assert ask("adam") == "DUNNO"
        assert ask("nobody").startswith("550 5.1.1")
        pair.policyd.kill()
        pair.policyd.start()
    assert pair.ask(recipient="adam@acme.example") == "DUNNO"


def test_reload_follows_another_replica(pair, tmp_path):
    """`replica` may move; connections stay."""
    pair.start()
    with PolicyClient(pair.policyd.policy["unix"]) as client:
        asked = {"policy_context": "recipient", "recipient": "adam@acme.example"}
        assert client.ask(**asked) == "DUNNO"
        full, pair.policyd.replica = pair.policyd.replica, str(tmp_path)
        pair.policyd.write_conf()
        pair.policyd.reload()
        wait_for(lambda: client.ask(**asked).startswith("451 4.3.0"), "the empty replica")
        pair.policyd.replica = full
        pair.policyd.write_conf()
        pair.policyd.reload()
        wait_for(lambda: client.ask(**asked) == "DUNNO", "the full replica")


def test_many_clients_while_the_directory_changes(pair):
    """Every answer is one that the directory gave at some time; nobody is forgotten."""
    pair.start()
    done = threading.Event()
    failures = []
    counts = []

    def check(condition, what):
        if not condition:
            failures.append(what)

    def load_policy(spec):
        with PolicyClient(spec) as client:
            count = 0
            while not done.is_set():
                client.send(b"".join(
                    request(policy_context="recipient", recipient=f"{name}@acme.example")
                    for name in ("adam", "new", "nobody", "eve")))
                adam, new, nobody, eve = (client.answer() for _ in range(4))
                check(adam == "DUNNO" and eve == "DUNNO", adam + eve)
                check(new == "DUNNO" or new.startswith("550 5.1.1"), new)
                check(nobody.startswith("550 5.1.1"), nobody)
                count += 1
            counts.append(count)

    def load_map(spec):
        with MapClient(spec) as client:
            count = 0
            while not done.is_set():
                client.send(netstring("domains acme.example") + netstring("transport *")
                            + netstring("primary eve@pop.partner.example"))
                domain, star, primary = (client.answer() for _ in range(3))
                check(domain == "OK shared" and star == "NOTFOUND ", domain + star)
                check(primary == "OK eve@acme.example", primary)
                count += 1
            counts.append(count)

    specs = [(load_policy, spec) for spec in pair.policyd.policy.values()] * 3
    specs += [(load_map, spec) for spec in pair.policyd.map.values()]
    threads = [threading.Thread(target=load, args=(spec,)) for load, spec in specs]
    for thread in threads:
        thread.start()
    for i in range(6):
        pair.write(USUAL + (mailbox("new") if i % 2 == 0 else ""))
        expected = "OK " if i % 2 == 0 else "NOTFOUND "
        wait_for(lambda e=expected: pair.query("recipients", "new@acme.example").startswith(e),
                 "the change")
        if i == 3:
            pair.policyd.reload()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]
    assert len(counts) == len(threads) and min(counts) > 0


def test_answers_of_the_map_service_do_not_wait_for_the_policy_service(pair):
    """It has a worker of its own: a flood of policy requests does not delay it."""
    pair.start()
    flood = [PolicyClient(pair.policyd.policy["unix"]) for _ in range(8)]
    data = request(policy_context="recipient", recipient="nobody@acme.example") * 400
    threads = [threading.Thread(target=client.send, args=(data,)) for client in flood]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    with MapClient(pair.policyd.map["unix"]) as client:
        for _ in range(100):
            assert client.ask("domains", "acme.example") == "OK shared"
    assert time.monotonic() - start < 5 * FACTOR
    for client in flood:
        for _ in range(400):
            assert client.answer().startswith("550 5.1.1")
        client.sock.close()
    for thread in threads:
        thread.join()
