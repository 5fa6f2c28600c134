"""Who fetches the metrics pages, or pretends to have one: nobody takes more than a share."""

import http.client
import json
import os
import socket
import tempfile
import threading
import time

import pytest

from support.daemons import coexistctl
from support.policyd import PolicyClient
from support.wait import wait_for
from support.watched import DAEMONS, Watched


@pytest.fixture(scope="module")
def crowded():
    made = Watched(tempfile.mkdtemp(prefix="cx-")).start()
    yield made
    made.close()


ENDLESS = b"Host: x\r\nContent-Length: 100000000000\r\n\r\n"


@pytest.mark.parametrize("request_line, status", [
    (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
    (b"DELETE /metrics HTTP/1.0\r\n\r\n", 405),
    (b"POST /metrics HTTP/1.1\r\n" + ENDLESS, 405),
    (b"GET /metrics HTTP/1.1\r\n" + ENDLESS, 413),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
    (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200),
    (b"HEAD /metrics HTTP/1.0\r\n\r\n", 200),
    (b"GET /metrics/../healthz HTTP/1.0\r\n\r\n", 404),
    (b"GET " + b"/" * 100000 + b" HTTP/1.0\r\n\r\n", 414),
    (b"GET / HTTP/1.0\r\nX: " + b"y" * 100000 + b"\r\n\r\n", 431),
])
def test_strange_requests(crowded, request_line, status):
    with crowded.connect("policyd") as client:
        try:
            client.sendall(request_line)
            answer = client.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
        may_be_reset = len(request_line) > 4096
        assert may_be_reset and not answer or int(answer.split()[1]) == status, answer
    assert crowded.get("policyd", "/healthz")[0] == 200


@pytest.mark.parametrize("name", DAEMONS)
def test_a_crowd_takes_no_more_than_its_share(crowded, name):
    """Sixteen are served at a time; the daemon's own files are not for them."""
    files = f"/proc/{crowded.daemons[name].pid}/fd"
    before = len(os.listdir(files))
    crowd = [crowded.connect(name) for _ in range(16)]
    crowd += [late for late in (try_to_connect(crowded, name) for _ in range(15)) if late]
    assert len(os.listdir(files)) <= before + 18
    if name == "policyd":
        with PolicyClient(f"unix:{crowded.folder}/policy") as policy:
            assert policy.ask(policy_context="recipient",
                              recipient="bob@acme.example") == "DUNNO"
    for client in crowd:
        client.close()
    wait_for(lambda: is_served(crowded, name), "the crowd to be over")


def is_served(watched, name):
    try:
        return watched.get(name, "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def try_to_connect(watched, name):
    try:
        client = watched.connect(name)
    except OSError:
        return None
    client.setblocking(False)
    return client


def test_the_oldest_makes_room(crowded):
    """Clients that dribble are never idle; whoever comes is served all the same."""
    crowd = [crowded.connect("policyd") for _ in range(16)]
    for client in crowd:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
    assert crowded.get("policyd", "/healthz")[0] == 200
    assert crowd[0].recv(100) == b""
    crowd[-1].sendall(b"x\r\n\r\n")
    assert crowd[-1].recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    for client in crowd:
        client.close()


FOREIGN = {  # who listens where the daemon does not: what it sends first, and for ever then
    "milter": (b"Content-Length: 999\r\n\r\n", b"x", 0.1),
    "syncd": (b"", b"X: " + b"y" * 60000 + b"\r\n", 0),
    "policyd": (b"Content-Length: 34\r\n\r\nx{a=\"\xff\x1b\"} 1\n" + b'x{a="\x1b"} 2\nx{b="c"} 3\n', b"", 1),
}


def pretend(server, first, then, pause):
    try:
        with server.accept()[0] as client:
            client.sendall(b"HTTP/1.1 200 OK\r\n" + first)
            while True:
                client.sendall(then)
                time.sleep(pause)
    except OSError:
        pass


def test_status_is_not_held_up_by_whoever_listens_there(crowded):
    conf = f"{crowded.folder}/foreign.conf"
    with open(crowded.conf, encoding="utf-8") as right:
        text = right.read()
    servers = {name: socket.create_server(("127.0.0.1", 0)) for name in FOREIGN}
    threads = [threading.Thread(target=pretend, args=(servers[name], *FOREIGN[name]), daemon=True)
               for name in FOREIGN]
    for name, server in servers.items():
        text = text.replace(f":{crowded.port[name]}", f":{server.getsockname()[1]}")
    with open(conf, "w", encoding="utf-8") as out:
        out.write(text)
    for thread in threads:
        thread.start()
    done = coexistctl(conf, "status", "--json")
    for server in servers.values():
        server.close()
    assert done.returncode == 0, done.stderr
    rows = {row["program"]: row for row in json.loads(done.stdout)["daemons"]}
    assert rows["coexist-policyd"]["series"] == {'x{a="\x1b"}': 2, 'x{b="c"}': 3}
    for name in ("coexist-milter", "coexist-syncd"):
        assert rows[name]["running"] is None and "no metrics on" in rows[name]["trouble"], rows
