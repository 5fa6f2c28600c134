"""coexist-policyd with no replica: its protocols, and what clients may do to each other."""

import os
import signal
import socket
import threading
import time

import pytest

from support.policyd import (Client, MapClient, Policyd, PolicyClient, connect, netstring,
                             request)
from support.wait import FACTOR, wait_for

UNAVAILABLE = "451 4.3.0 "
TRANSPORTS = ("unix", "inet")

# The server's time for one that stays in the middle of a request, and some.
PARTIAL_SECONDS = 30


@pytest.fixture(name="policyd", scope="module")
def fixture_policyd(tmp_path_factory):
    daemon = Policyd(tmp_path_factory.mktemp("p"))
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture(name="dawdler", scope="module", autouse=True)
def fixture_dawdler(policyd):
    """Begins a request before all other tests, and an idle connection beside it."""
    partial = Client(policyd.policy["unix"])
    partial.send(request()[:50])
    idle = PolicyClient(policyd.policy["unix"])
    return partial, idle, time.monotonic()


@pytest.fixture(name="own_policyd")
def fixture_own_policyd(folder):
    daemon = Policyd(folder)
    yield daemon
    daemon.close()


def ask_recipient(client):
    return client.ask(policy_context="recipient", recipient="adam@acme.example")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("context", ["relay", "recipient", ""])
def test_says_temporary_failure_without_replica(policyd, transport, context):
    with PolicyClient(policyd.policy[transport]) as client:
        action = client.ask(policy_context=context, recipient="adam@acme.example")
        assert action.startswith(UNAVAILABLE), action


@pytest.mark.parametrize("attributes, action", [
    ({"protocol_state": "CONNECT"}, "DUNNO"),
    ({"protocol_state": "VRFY"}, "DUNNO"),
    ({"protocol_state": "DATA"}, "DUNNO"),
    ({"protocol_state": "END-OF-MESSAGE"}, "DUNNO"),
    ({"protocol_state": None}, "DUNNO"),
    ({"recipient": ""}, "DUNNO"),
    ({"recipient": None}, "DUNNO"),
    ({"recipient": "postmaster"}, "DUNNO"),
    ({"recipient": "outside!user"}, UNAVAILABLE),
    ({"recipient": "user%outside.example"}, UNAVAILABLE),
    ({"recipient": "adam@"}, "501 5.1.3 "),
    ({"recipient": "adam@acme..example"}, "501 5.1.3 "),
    ({"policy_context": "recipients"}, "451 4.3.5 "),
    ({"policy_context": "RELAY"}, "451 4.3.5 "),
    ({"client_address": "unknown"}, UNAVAILABLE),
    ({"sasl_username": "bob"}, UNAVAILABLE),
])
def test_answers_what_needs_no_replica(policyd, attributes, action):
    with PolicyClient(policyd.policy["unix"]) as client:
        answer = client.ask(**{"recipient": "adam@acme.example", **attributes})
        assert answer.startswith(action), answer
        # A code without a text would mean "permit".
        assert answer == "DUNNO" or len(answer.split(" ", 2)[2]) > 3, answer


@pytest.mark.parametrize("name, key, answer", [
    ("transport", "*", "NOTFOUND "),
    ("transport", "postmaster", "NOTFOUND "),
    ("transport", "", "NOTFOUND "),
    ("transport", "adam@acme.example", "TEMP "),
    ("transport", '"adam barr"@acme.example', "TEMP "),
    ("domains", "acme.example", "TEMP "),
    ("domains", "[192.0.2.1]", "NOTFOUND "),
    ("mailbox_domains", "acme.example", "TEMP "),
    ("relay_domains", "acme.example", "TEMP "),
    ("recipients", "adam@acme.example", "TEMP "),
    ("login", "adam@acme.example", "TEMP "),
    ("primary", "adam@acme.example", "TEMP "),
    ("domains", "*", "NOTFOUND "),
    ("nonsense", "adam@acme.example", "PERM "),
    ("Transport", "*", "PERM "),
])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_maps_without_replica(policyd, transport, name, key, answer):
    with MapClient(policyd.map[transport]) as client:
        reply = client.ask(name, key)
        assert reply.startswith(answer), reply
        assert (reply == answer) == (answer == "NOTFOUND "), reply
        assert client.ask("transport", "*") == "NOTFOUND "


MALFORMED = {
    "truncated": request()[:100],
    "no request": request(request=None),
    "another request": request(request="junk"),
    "no equals sign": b"request=smtpd_access_policy\nrecipient\n\n",
    "no name": b"request=smtpd_access_policy\n=x\n\n",
    "NUL": request(recipient="a\0b@acme.example"),
    "only NULs": b"\0" * 1000,
    "an empty line": b"\n",
    "CR LF": request().replace(b"\n", b"\r\n"),
    "thousands of attributes": request()[:-1] + b"".join(
        b"x%d=1\n" % i for i in range(5000)) + b"\n",
    "201 attributes": b"request=smtpd_access_policy\n" + b"".join(
        b"x%d=1\n" % i for i in range(200)) + b"\n",
    "5 MB": b"request=smtpd_access_policy\nrecipient=" + b"x" * (5 << 20),
    "5 MB of lines": request()[:-1] + b"x=y\n" * (5 << 18) + b"\n",
    "recipient twice": request()[:-1] + b"recipient=a@b\n\n",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a netstring": netstring("transport *"),
}

MALFORMED_QUERIES = {
    "truncated": b"100:transport a",
    "no digits": b"hello world\n",
    "a policy request": request(),
    "a negative length": b"-1:,",
    "leading zeros": b"0011:transport *,",
    "no comma": b"11:transport *;",
    "5 MB": b"5242880:transport " + b"x" * (5 << 20) + b",",
    "a length over any number": b"9" * 5000 + b":",
    "5 MB of digits": b"1" * (5 << 20),
    "NULs": b"\0" * 1000,
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("what", MALFORMED)
def test_closes_malformed_requests_without_answer(policyd, transport, what):
    """And neither the request before on the same connection nor other connections suffer."""
    spec = policyd.policy[transport]
    with PolicyClient(spec) as bystander, PolicyClient(spec) as client:
        whole = request(recipient="postmaster")
        bystander.send(whole[:100])
        client.send(whole)
        assert client.answer() == "DUNNO"
        client.try_send(MALFORMED[what])
        try:
            client.half_close()
        except OSError:
            pass
        assert client.read_to_end() == b""
        bystander.send(whole[100:])
        assert bystander.answer() == "DUNNO"
        assert ask_recipient(bystander).startswith(UNAVAILABLE)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("what", MALFORMED_QUERIES)
def test_closes_malformed_queries(policyd, transport, what):
    spec = policyd.map[transport]
    with MapClient(spec) as bystander, MapClient(spec) as client:
        bystander.send(netstring("transport *")[:5])
        assert client.ask("transport", "*") == "NOTFOUND "
        client.try_send(MALFORMED_QUERIES[what])
        try:
            client.half_close()
        except OSError:
            pass
        assert client.read_to_end() in (b"", netstring("PERM malformed request"))
        bystander.send(netstring("transport *")[5:])
        assert bystander.answer() == "NOTFOUND "


@pytest.mark.parametrize("query", [b"", b"transport", b" key", b"\0 \0"])
def test_a_malformed_query_in_a_netstring_is_perm_and_the_next_is_answered(policyd, query):
    with MapClient(policyd.map["unix"]) as client:
        client.send(netstring(query) + netstring("transport *"))
        assert client.answer().startswith("PERM ")
        assert client.answer() == "NOTFOUND "


def test_malformed_requests_are_logged_escaped_and_not_without_end(own_policyd):
    own_policyd.start()
    for _ in range(200):
        with Client(own_policyd.policy["unix"]) as client:
            client.send(b"\x1b[2Jevil\xff\n\n")
            assert client.read_to_end() == b""
    lines = own_policyd.log_lines("malformed request")
    assert 1 <= len(lines) <= 10 * 16, len(lines)
    assert all("\\x1b[2Jevil\\xff" in line for line in lines), lines[0]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_answers_pipelined_requests_in_order_after_half_close(policyd, transport):
    with PolicyClient(policyd.policy[transport]) as client:
        kinds = [("postmaster", "DUNNO"), ("a@b..c", "501 5.1.3"),
                 ("adam@acme.example", "451 4.3.0")]
        data = b"".join(request(recipient=kinds[i * i % 3][0]) for i in range(3000))
        sender = threading.Thread(target=lambda: (client.send(data), client.half_close()))
        sender.start()
        for i in range(3000):
            assert client.answer().startswith(kinds[i * i % 3][1])
        sender.join()
        assert client.read_to_end() == b""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_answers_pipelined_queries_after_half_close(policyd, transport):
    with MapClient(policyd.map[transport]) as client:
        client.send(netstring("transport *") * 500 + netstring("domains acme.example"))
        client.half_close()
        for _ in range(500):
            assert client.answer() == "NOTFOUND "
        assert client.answer().startswith("TEMP ")
        assert client.read_to_end() == b""


def test_a_request_may_come_byte_by_byte(policyd):
    with PolicyClient(policyd.policy["inet"]) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(recipient="postmaster"):
            client.send(bytes([byte]))
        assert client.answer() == "DUNNO"


def test_a_request_answered_before_a_malformed_one_keeps_its_answer(policyd):
    with PolicyClient(policyd.policy["inet"]) as client:
        client.try_send(request(recipient="postmaster") * 3 + MALFORMED["5 MB"])
        for _ in range(3):
            assert client.answer() == "DUNNO"
        assert client.read_to_end() == b""


def test_a_thousand_idle_connections_disturb_nobody(policyd):
    idle = []
    try:
        for i in range(1000):
            idle.append(connect((policyd.policy if i % 2 else policyd.map)["unix"]))
            if i % 3 == 0:
                idle[-1].sendall(b"1")
        for transport in TRANSPORTS:
            with PolicyClient(policyd.policy[transport]) as client:
                start = time.monotonic()
                for _ in range(100):
                    assert ask_recipient(client).startswith(UNAVAILABLE)
                assert time.monotonic() - start < 10 * FACTOR
            with MapClient(policyd.map[transport]) as client:
                assert client.ask("transport", "*") == "NOTFOUND "
    finally:
        for sock in idle:
            sock.close()


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_a_client_that_does_not_read_is_not_read_from(policyd):
    """Its requests wait in its own socket; what the server keeps stays small."""
    one = request(recipient="a@b..c")
    with PolicyClient(policyd.policy["unix"]) as client, \
            PolicyClient(policyd.policy["unix"]) as other:
        before = resident_kib(policyd.pid)
        client.sock.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += client.sock.send((one * 200)[sent % len(one):])
        client.sock.settimeout(60)
        assert ask_recipient(other).startswith(UNAVAILABLE)
        assert resident_kib(policyd.pid) - before < 8192
        for _ in range(sent // len(one)):
            assert client.answer().startswith("501 5.1.3")


def test_new_sockets_are_opened_and_old_ones_closed_on_reload(own_policyd):
    own_policyd.start()
    new = f"unix:{own_policyd.folder}/policy2"
    with PolicyClient(own_policyd.policy["inet"]) as old, \
            PolicyClient(own_policyd.policy["unix"]) as kept:
        old.send(request(recipient="postmaster")[:60])
        own_policyd.write_conf(policy=[own_policyd.policy["unix"], new],
                               options="observe = true")
        own_policyd.reload()
        wait_for(lambda: own_policyd.log_lines("configuration reloaded"), "the reload")
        with PolicyClient(new) as client:
            wait_for(lambda: ask_recipient(client) == "DUNNO", "observe")
        # Connections made through a socket that is gone live on.
        old.send(request(recipient="postmaster")[60:])
        assert old.answer() == "DUNNO"
        wait_for(lambda: ask_recipient(kept) == "DUNNO", "observe on the old connection")
        wait_for(lambda: own_policyd.log_lines("no longer listening"), "the old socket to go")
        with pytest.raises(ConnectionRefusedError):
            connect(own_policyd.policy["inet"])
        assert own_policyd.log_lines('NOQUEUE: observe: .*reply="451 4.3.0')
        # Postfix does not log what it is told to let through, nor end a session for it.
        kept.send(2500 * request(policy_context="recipient", recipient="flood@acme.example"))
        assert {kept.answer() for _ in range(2500)} == {"DUNNO"}
        # A thousand in ten seconds, which may have begun anew.
        assert 900 < len(own_policyd.log_lines("observe: .*to=<flood@acme.example>")) <= 2000


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGHUP])
def test_a_wrong_configuration_changes_nothing(own_policyd, signum):
    own_policyd.start()
    with PolicyClient(own_policyd.policy["unix"]) as client:
        own_policyd.write_conf(options="nonsense = 1")
        os.kill(own_policyd.pid, signum)
        wait_for(lambda: own_policyd.log_lines("configuration not reloaded: .*nonsense"),
                 "the complaint")
        assert ask_recipient(client).startswith(UNAVAILABLE)
        # A socket that cannot be had is wrong too, and the others are not touched.
        own_policyd.write_conf(policy=["unix:/nonexistent/policy"])
        os.kill(own_policyd.pid, signum)
        wait_for(lambda: own_policyd.log_lines("not reloaded: .*/nonexistent/policy"),
                 "the complaint")
        assert ask_recipient(client).startswith(UNAVAILABLE)
    with PolicyClient(own_policyd.policy["inet"]) as client:
        assert ask_recipient(client).startswith(UNAVAILABLE)


def test_many_reloads_under_load_drop_nothing(own_policyd):
    own_policyd.start()
    done = threading.Event()
    counts = []

    def load(spec):
        count = 0
        with PolicyClient(spec) as client:
            while not done.is_set():
                assert client.ask(recipient="postmaster") == "DUNNO"
                count += 1
        counts.append(count)

    threads = [threading.Thread(target=load, args=(spec,))
               for spec in own_policyd.policy.values()]
    for thread in threads:
        thread.start()
    lines = own_policyd.new_lines()  # there are many: each is read once
    for i in range(100):
        extra = [f"unix:{own_policyd.folder}/extra"] if i % 2 == 0 else []
        own_policyd.write_conf(policy=[*own_policyd.policy.values(), *extra])
        own_policyd.reload()
        wait_for(lambda: any("configuration reloaded" in line
                             for line in iter(lambda: next(lines), None)), "the reload")
    done.set()
    for thread in threads:
        thread.join()
    assert len(counts) == 2 and min(counts) > 0


def test_sigterm_answers_what_has_arrived_and_exits_0(own_policyd):
    own_policyd.start()
    clients = [PolicyClient(spec) for spec in own_policyd.policy.values()]
    maps = [MapClient(spec) for spec in own_policyd.map.values()]
    idle = PolicyClient(own_policyd.policy["unix"])
    for client in clients:
        client.send(request(recipient="postmaster"))
        assert client.answer() == "DUNNO"
    for client in maps:
        assert client.ask("transport", "*") == "NOTFOUND "
    # While it is stopped requests pile up, one on a connection not yet accepted.
    os.kill(own_policyd.pid, signal.SIGSTOP)
    for client in clients:
        client.send(request(recipient="postmaster") * 100)
    for client in maps:
        client.send(netstring("transport *") * 100)
    late = PolicyClient(own_policyd.policy["unix"])
    late.send(request(recipient="postmaster"))
    slow = PolicyClient(own_policyd.policy["unix"])
    slow.send(request(recipient="postmaster")[:70])
    os.kill(own_policyd.pid, signal.SIGTERM)
    os.kill(own_policyd.pid, signal.SIGCONT)
    for client in clients:
        for _ in range(100):
            assert client.answer() == "DUNNO"
        assert client.read_to_end() == b""
    for client in maps:
        for _ in range(100):
            assert client.answer() == "NOTFOUND "
        assert client.read_to_end() == b""
    assert late.answer() == "DUNNO"
    assert idle.read_to_end() == b""
    slow.send(request(recipient="postmaster")[70:])
    assert slow.answer() == "DUNNO"
    for client in (*clients, *maps, idle, late, slow):
        client.sock.close()
    own_policyd.stop()
    assert not os.path.exists(f"{own_policyd.folder}/policy")


def test_waits_for_descriptors_and_goes_on(folder):
    """With all connections taken by idle clients the next waits until one is closed."""
    daemon = Policyd(folder, files=128)
    idle = []
    try:
        daemon.start()
        with PolicyClient(daemon.policy["unix"]) as client:
            for _ in range(200):
                idle.append(connect(daemon.policy["unix"]))
            wait_for(lambda: daemon.log_lines("cannot take more connections"), "the limit")
            assert ask_recipient(client).startswith(UNAVAILABLE)
            for sock in idle:
                sock.close()
            with PolicyClient(daemon.policy["unix"]) as late:
                assert ask_recipient(late).startswith(UNAVAILABLE)
    finally:
        for sock in idle:
            sock.close()
        daemon.close()


def test_idle_connections_make_room_for_new_ones(folder):
    """
    64 of 192 descriptors are for other things, 16 for the map service alone; with the rest
    taken the one that has been idle the longest is closed, after 10 s.
    """
    daemon = Policyd(folder, files_at_start=192)
    idle = []
    try:
        daemon.start()
        idle += [connect(daemon.policy["unix"]) for _ in range(150)]
        wait_for(lambda: daemon.log_lines("more connections: the limit on open files"),
                 "the limit")
        with MapClient(daemon.map["unix"]) as client:
            start = time.monotonic()
            assert client.ask("transport", "*") == "NOTFOUND "
            assert time.monotonic() - start < 5
        with PolicyClient(daemon.policy["unix"]) as late:
            assert ask_recipient(late).startswith(UNAVAILABLE)
    finally:
        for sock in idle:
            sock.close()
        daemon.close()


def test_closes_one_that_stays_in_the_middle_of_a_request(policyd, dawdler):
    """The last test: it began before the first one. The idle connection is still there."""
    partial, idle, began = dawdler
    assert partial.read_to_end() == b""
    assert time.monotonic() - began > PARTIAL_SECONDS - 1
    assert ask_recipient(idle).startswith(UNAVAILABLE)
    partial.sock.close()
    idle.sock.close()
    assert policyd.is_running()
