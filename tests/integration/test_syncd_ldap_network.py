"""
Networks that fail without saying so. In each case coexist-syncd must notice, wait without working,
serve what it has, and be in step again when it is over.
"""

import os
import re
import signal
import time

import pytest

from support.follower import PEOPLE, Follower, Proxy, mailbox
from support.network import Coalescer, Gate, Namespace, cpu_seconds
from support.slapd import EXAMPLE_SUFFIX
from support.tls import make_ca, make_certificate
from support.wait import FACTOR, free_port, run, wait_for

IDLE = 0.25  # of one processor is far more than it takes to wait


@pytest.fixture
def certificate(folder):
    """(CA, certificate, key) for 127.0.0.1."""
    ca = make_ca(folder, "ca")
    return ca, *make_certificate(folder, ca, "slapd", "IP:127.0.0.1")


@pytest.fixture
def ldaps(server, certificate):
    """The server with ldaps and StartTLS; the port of ldaps."""
    ca, pem, key = certificate
    port = free_port()
    server.stop()
    with open(f"{server.folder}/slapd.conf", encoding="utf-8") as conf:
        text = conf.read()
    with open(f"{server.folder}/slapd.conf", "w", encoding="utf-8") as conf:
        conf.write(f"TLSCACertificateFile {ca}\nTLSCertificateFile {pem}\n"
                   f"TLSCertificateKeyFile {key}\n{text}")
    server.listeners.append(f"ldaps://127.0.0.1:{port}/")
    server.start()
    return port


@pytest.fixture
def namespace():
    net = Namespace()
    yield net
    net.close()


@pytest.fixture
def follow(folder):
    made = []

    def make(*uris, extra="", program="coexist-syncd-fast", prefix=()):
        made.append(Follower(folder, f"""uri = "{' '.join(uris)}"
  base = "{EXAMPLE_SUFFIX}"
  bind_dn = "cn=coexist,ou=services,{EXAMPLE_SUFFIX}"
  bind_password_file = "{folder}/follower/ldap.secret"
  timeout = "1s"
  {extra}""", program=program))
        made[-1].daemon.prefix = list(prefix)
        return made[-1]

    yield make
    for follower in made:
        follower.close()


class Outage:
    """What syncd does from here to over(): little, and no contact that there is not."""

    def __init__(self, syncd):
        self.syncd = syncd
        self.pid = syncd.daemon.pid
        self.begun, self.cpu, self.clock = time.monotonic(), cpu_seconds(self.pid), time.time()
        self.attempts = self._attempts()

    def _attempts(self):
        return len(self.syncd.daemon.log_lines("next attempt in"))

    def wait_attempts(self, number):
        wait_for(lambda: self._attempts() >= self.attempts + number, self.syncd.log)

    def over(self):
        status = self.syncd.status()["directories"][0]
        assert status["state"] != "persist", status
        assert status["lastContact"] is None or status["lastContact"] <= self.clock, status
        elapsed = time.monotonic() - self.begun
        assert cpu_seconds(self.pid) - self.cpu <= IDLE * elapsed, (elapsed, self.syncd.log())
        assert elapsed >= 0.5, "too short to tell"


def is_after(syncd, moment):
    return syncd.status()["directories"][0]["lastContact"] >= int(moment)


def listen_at(server, *addresses):
    """The URIs of a server that listens there as well."""
    server.stop()
    uris = [f"ldap://{address}:{server.port}" for address in addresses]
    server.listeners += [f"{uri}/" for uri in uris]
    server.start()
    return uris


def test_a_network_that_swallows_everything(folder, server, namespace, follow):
    """Half-open while it persists, then a black hole for every SYN, and slapd another when it is over."""
    uri = listen_at(server, namespace.here[0])[0]
    syncd = follow(uri, prefix=namespace.prefix).start()
    syncd.wait_has("adam@acme.example")
    namespace.lose_all()
    outage = Outage(syncd)
    server.add(mailbox("cain"))
    syncd.wait_log("the server does not answer")
    outage.wait_attempts(3)
    outage.over()
    assert syncd.has("adam@acme.example") and not syncd.has("cain@acme.example")
    server.kill()  # nobody is told
    server.start()
    namespace.find_all()
    healed = time.time()
    syncd.wait_has("cain@acme.example")
    wait_for(lambda: is_after(syncd, healed), syncd.log)
    # To compare, without the namespace.
    syncd.assert_like_new(folder, syncd.directory.replace(uri, server.uri)
                          .replace(syncd.folder, f"{folder}/fresh"))


def test_from_a_dead_peer_to_the_next_within_ten_seconds(folder, server, namespace, follow):
    uris = listen_at(server, *namespace.here)
    syncd = follow(*uris, prefix=namespace.prefix).start()
    syncd.wait_has("adam@acme.example")
    namespace.lose(namespace.here[0])
    syncd.wait_log("the server does not answer")
    noticed = time.monotonic()
    wait_for(lambda: (status := syncd.status()["directories"][0])["server"] == uris[1]
             and status["state"] == "persist", syncd.log)
    assert time.monotonic() - noticed < 10 * FACTOR
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    assert len(syncd.daemon.log_lines("full refresh finished")) == 1, syncd.log()
    syncd.assert_like_new(folder, syncd.directory.replace(" ".join(uris), server.uri)
                          .replace(syncd.folder, f"{folder}/fresh"))


def test_the_kernel_watches_the_connection_too(server, follow):
    """By its own default it would for two hours not, and then for ever (ldap-sync.md 5.7)."""
    syncd = follow(server.uri).start()
    syncd.wait_has("adam@acme.example")

    def timer():
        said = run(["ss", "-tnoH", "state", "established", "dport", "=", f":{server.port}"]).stdout
        return re.search(r"timer:\(keepalive,(\d+)sec,0\)", said)

    assert int(wait_for(timer, syncd.log)[1]) <= 60


@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "starttls"])
def test_a_server_that_takes_connections_and_says_nothing(folder, server, ldaps, certificate, follow,
                                                          scheme):
    """Waiting for it costs nothing, least of all inside TLS (T11); and it may recover."""
    silent = Proxy(silent=True)
    try:
        uri = silent.uri.replace("ldap:", "ldaps:") if scheme == "ldaps" else silent.uri
        syncd = follow(uri, extra=f'tls_ca_file = "{certificate[0]}"\n  starttls = '
                       f'{"true" if scheme == "starttls" else "false"}').start()
        outage = Outage(syncd)
        outage.wait_attempts(2)
        outage.over()
        assert silent.accepted >= 2
        silent.target, silent.silent = ldaps if scheme == "ldaps" else server.port, False
        syncd.wait_has("adam@acme.example")
        syncd.assert_like_new(folder)
    finally:
        silent.close()


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
@pytest.mark.parametrize("stage", ["refresh", "persist"])
def test_a_stall_in_the_middle_of_a_record(folder, server, ldaps, certificate, follow, scheme, stage):
    """Half of a message, or of a TLS record, must hold up nothing: neither the loop nor the way back."""
    server.add("".join(mailbox(f"user{i}") for i in range(200)))
    gate = Gate(ldaps if scheme == "ldaps" else server.port, scheme)
    try:
        syncd = follow(gate.uri, extra=f'tls_ca_file = "{certificate[0]}"')
        if stage == "refresh":
            gate.hold(after=20000)
            syncd.start()
        else:
            syncd.start()
            syncd.wait_has("user199@acme.example")
            gate.hold(after=33)  # inside the next message, or its record
            server.add(mailbox("cain"))
        wait_for(gate.held.is_set, syncd.log)
        outage = Outage(syncd)
        asked = time.monotonic()
        assert syncd.status()["running"]
        assert time.monotonic() - asked < 2 * FACTOR
        syncd.wait_log("no message for too long|the server does not answer")
        outage.wait_attempts(1)
        outage.over()
        gate.release()
        server.add(mailbox("abel"))
        syncd.wait_has("abel@acme.example")
        syncd.assert_like_new(folder)
    finally:
        gate.close()


@pytest.mark.parametrize("how", ["starttls", "ldaps"])
@pytest.mark.parametrize("after", [60, 1200])  # bytes: in the ServerHello, and in the certificate
def test_a_stall_in_the_middle_of_the_handshake(server, ldaps, certificate, follow, how, after):
    """There is no other server to go to: the attempt must end by itself."""
    gate = Gate(*((ldaps, "ldaps") if how == "ldaps" else (server.port, "ldap")))
    try:
        syncd = follow(gate.uri, extra=f'tls_ca_file = "{certificate[0]}"')
        gate.hold(after=after)
        syncd.start()
        wait_for(gate.held.is_set, syncd.log)
        outage = Outage(syncd)
        outage.wait_attempts(2)
        outage.over()
        gate.release()
        syncd.wait_has("adam@acme.example")
    finally:
        gate.close()


def test_a_reset_connection(folder, server, follow):
    gate = Gate(server.port)
    try:
        syncd = follow(gate.uri).start()
        for name in ("cain", "abel", "seth"):
            lost = len(syncd.daemon.log_lines("lost the connection"))
            syncd.wait_has("adam@acme.example")
            wait_for(lambda: syncd.status()["directories"][0]["state"] == "persist", syncd.log)
            gate.reset()
            server.add(mailbox(name))
            syncd.wait_has(f"{name}@acme.example")
            syncd.wait_log("lost the connection", lost + 1)
        assert len(syncd.daemon.log_lines("full refresh finished")) == 1, syncd.log()
        syncd.assert_like_new(folder)
    finally:
        gate.close()


def test_records_that_hold_many_messages_lose_none(folder, server, certificate, follow):
    """What libldap has read already does not show at the descriptor any more (T1)."""
    ca, pem, key = certificate
    server.stop()
    run(["/usr/sbin/slapadd", "-q", "-w", *server.config],
        stdin="".join(mailbox(f"user{i}") for i in range(2000)))
    server.start()
    joined = Coalescer(server.port, pem, key)
    try:
        syncd = follow(joined.uri, extra=f'tls_ca_file = "{ca}"').start()
        syncd.wait_has("user1999@acme.example")
        assert joined.full_records > 20
        server.modify("".join(
            f"dn: uid=user{i},{PEOPLE}\nchangetype: modify\nreplace: mail\n"
            f"mail: new{i}@acme.example\n\n" for i in range(0, 2000, 10)))
        server.delete(*(f"uid=user{i},{PEOPLE}" for i in (1, 11, 21)))
        syncd.wait_has("new1990@acme.example")
        syncd.wait_has_not("user11@acme.example")
        assert len(syncd.daemon.log_lines("full refresh finished")) == 1, syncd.log()
        other = syncd.directory.replace(joined.uri, server.uri).replace(syncd.folder,
                                                                        f"{folder}/fresh")
        syncd.assert_like_new(folder, other)
    finally:
        joined.close()


def test_a_storm_of_signals_drops_no_connection(folder, server, follow):
    """A signal in the middle of a read looks like a dead server to libldap (1.13)."""
    syncd = follow(server.uri).start()
    syncd.wait_has("adam@acme.example")
    for number in range(300):
        os.kill(syncd.daemon.pid, (signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH)[number % 3])
        if number % 30 == 0:
            server.add(mailbox(f"user{number}"))
    syncd.wait_log("configuration reloaded")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.wait_has("user270@acme.example")
    assert len(syncd.daemon.log_lines("connected to")) == 1, syncd.log()
    assert not syncd.daemon.log_lines("lost the connection"), syncd.log()
    syncd.assert_like_new(folder)
