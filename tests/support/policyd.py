"""Clients of the policy and map services, and a coexist-policyd of its own."""

import os
import resource
import socket

from .daemons import Daemon
from .wait import PATIENCE, free_port


def request(**attributes):
    """A policy request; None leaves an attribute out."""
    values = {
        "request": "smtpd_access_policy", "protocol_state": "RCPT", "protocol_name": "ESMTP",
        "client_address": "192.0.2.7", "client_name": "mx.example.net",
        "reverse_client_name": "mx.example.net", "helo_name": "mx.example.net",
        "sender": "joe@example.net", "recipient": "", "recipient_count": "0", "queue_id": "",
        "instance": "1.2.3", "size": "0", "sasl_method": "", "sasl_username": "",
        "sasl_sender": "", "ccert_fingerprint": "", "ccert_pubkey_fingerprint": "",
        "policy_context": "", **attributes}
    lines = [f"{name}={value}\n" for name, value in values.items() if value is not None]
    return ("".join(lines) + "\n").encode("utf-8", "surrogateescape")


def netstring(text):
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    return b"%d:%s," % (len(data), data)


def connect(spec):
    """A socket to "unix:/path" or "inet:host:port"."""
    kind, rest = spec.split(":", 1)
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX)
        address = rest
    else:
        host, port = rest.rsplit(":", 1)
        sock = socket.socket()
        address = (host, int(port))
    sock.settimeout(PATIENCE)
    sock.connect(address)
    return sock


class Client:
    """One connection; use as a context."""

    def __init__(self, spec):
        self.sock = connect(spec)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def try_send(self, data):
        """Garbage, to a server that may close in the middle of it."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def _more(self):
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def read_to_end(self):
        """What comes until the server closes."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        data, self.buffer = self.buffer, b""
        return data


class PolicyClient(Client):
    def answer(self):
        """The next action."""
        while b"\n\n" not in self.buffer:
            assert self._more(), f"closed after {self.buffer!r}"
        line, self.buffer = self.buffer.split(b"\n\n", 1)
        assert line.startswith(b"action=") and b"\n" not in line, line
        return line[len(b"action="):].decode()

    def ask(self, **attributes):
        self.send(request(**attributes))
        return self.answer()


class MapClient(Client):
    def answer(self):
        while b":" not in self.buffer:
            assert self._more(), f"closed after {self.buffer!r}"
        length, self.buffer = self.buffer.split(b":", 1)
        while len(self.buffer) <= int(length):
            assert self._more(), f"closed after {self.buffer!r}"
        text, end = self.buffer[:int(length)], self.buffer[int(length):int(length) + 1]
        self.buffer = self.buffer[int(length) + 1:]
        assert end == b",", end
        return text.decode()

    def ask(self, name, key):
        self.send(netstring(f"{name} {key}"))
        return self.answer()


class Policyd(Daemon):
    """
    A policy daemon in a folder of its own, on a unix and a TCP socket for each service.
    There is no replica but for what somebody puts into `replica`. `files`: a limit on open
    files that it learns of when it is reached; `files_at_start`: one that it knows.
    """

    def __init__(self, folder, files=None, files_at_start=None):
        super().__init__("coexist-policyd", f"{folder}/coexist.conf", folder)
        self.files = files
        if files_at_start:
            self.prefix = ["prlimit", f"--nofile={files_at_start}"]
        self.replica = f"{folder}/replica"
        self.ldif = f"{folder}/directory.ldif"
        self.policy = {"unix": f"unix:{folder}/policy",
                       "inet": f"inet:127.0.0.1:{free_port()}"}
        self.map = {"unix": f"unix:{folder}/map", "inet": f"inet:127.0.0.1:{free_port()}"}
        os.makedirs(self.replica, exist_ok=True)
        self.write_conf()

    def start(self, wait=True):
        super().start(wait)
        if self.files:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (self.files, self.files))

    def write_conf(self, policy=None, options="", policyd=""):
        def listing(specs):
            return ", ".join(f'"{spec}"' for spec in specs)
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"""\
organization = "acme"
replica = "{self.replica}"
user = ""
{options}
directory "corp" {{
  ldif = "{self.ldif}"
}}
syncd {{
  control = "unix:{self.folder}/syncd.sock"
}}
policyd {{
  policy_listen = {{{listing(policy or self.policy.values())}}}
  map_listen = {{{listing(self.map.values())}}}
  mailbox_transport = "lmtp:unix:private/dovecot-lmtp"
  {policyd}
}}
log {{ level = "debug" }}
""")
