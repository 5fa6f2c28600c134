"""Somebody else's milter, and a link to ours that breaks."""

import socket
import socketserver
import struct
import threading

from .milterclient import (ADDHDRS, ADDRCPT, CHGFROM, DELRCPT, NOBODY, NOCONNECT, NODATA, NOEOH,
                           NOHDRS, NOHELO, NOUNKNOWN, packet)
from .wait import free_port

UNWANTED = NOCONNECT | NOHELO | NODATA | NOHDRS | NOEOH | NOBODY | NOUNKNOWN
QUARANTINE = 0x20


def _texts(*texts):
    return b"".join(text.encode() + b"\0" for text in texts)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _read_packet(file):
    """The bytes of a packet with its length; b"": closed."""
    size = file.read(4)
    if len(size) < 4:
        return b""
    return size + file.read(struct.unpack("!I", size)[0])


class _Session(socketserver.StreamRequestHandler):
    def handle(self):
        other = self.server.other
        while data := _read_packet(self.rfile):
            command, text = data[4:5], data[5:].split(b"\0")[0].decode()
            answer = b""
            if command == b"O":
                actions = ADDRCPT | DELRCPT | CHGFROM | ADDHDRS | QUARANTINE
                answer = packet(b"O", struct.pack("!III", 6, actions, UNWANTED))
            elif command in b"MR":
                refusal = other.refused.get(text.strip("<>"))
                answer = packet(b"y", _texts(refusal)) if refusal else packet(b"c")
            elif command == b"E":
                answer = other.end()
            elif command == b"Q":
                return
            self.wfile.write(answer)


class _Listener:
    def __init__(self, handler):
        self.port = free_port()
        self.server = _Server(("127.0.0.1", self.port), handler)
        self.server.other = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def setting(self):
        return f"inet:127.0.0.1:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class OtherMilter(_Listener):
    """
    refused: {sender or recipient: "550 5.7.1 no"}. What it does to every message: added and
    deleted addresses, headers {name: value}, a new sender, quarantine; verdict: "c" to go on,
    "d" to discard, "r", "t".
    """

    def __init__(self, refused=None, added=(), deleted=(), headers=None, sender="",
                 quarantine=False, verdict="c"):
        self.refused = refused or {}
        self.edits = b"".join(
            [packet(b"+", _texts(a)) for a in added]
            + [packet(b"-", _texts(a)) for a in deleted]
            + [packet(b"h", _texts(*header)) for header in (headers or {}).items()]
            + [packet(b"e", _texts(sender))] * bool(sender)
            + [packet(b"q", _texts("suspicious"))] * quarantine)
        self.verdict = verdict
        super().__init__(_Session)

    def end(self):
        return self.edits + packet(self.verdict.encode())


class _Link(socketserver.StreamRequestHandler):
    def handle(self):
        link = self.server.other
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as milter:
            milter.connect(link.path)
            back = threading.Thread(target=self.copy_back, args=(link, milter))
            back.start()
            while data := _read_packet(self.rfile):
                milter.sendall(data)
            milter.shutdown(socket.SHUT_WR)
            back.join()

    def copy_back(self, link, milter):
        with milter.makefile("rb") as file:
            while data := _read_packet(file):
                if data[4:5] in (b"+", b"2", b"-", b"h", b"e"):
                    if link.left == 0:
                        # At once, on both sides.
                        milter.shutdown(socket.SHUT_RDWR)
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    link.left -= 1
                    link.edits += 1
                try:
                    self.wfile.write(data)
                except OSError:
                    return


class Link(_Listener):
    """Between an MTA and the milter at a unix socket; it breaks when `left` edits have passed."""

    def __init__(self, path=""):
        self.path = path
        self.left = -1  # never
        self.edits = 0
        super().__init__(_Link)
