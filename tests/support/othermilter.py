"""Somebody else's milter: refuses some recipients, adds and deletes others."""

import socketserver
import struct
import threading

from .milterclient import (ADDRCPT, DELRCPT, NOBODY, NOCONNECT, NODATA, NOEOH, NOHDRS, NOHELO,
                           NOMAIL, NOUNKNOWN, packet)
from .wait import free_port

UNWANTED = (NOCONNECT | NOHELO | NOMAIL | NODATA | NOHDRS | NOEOH | NOBODY | NOUNKNOWN)


class _Session(socketserver.StreamRequestHandler):
    def handle(self):
        other = self.server.other
        while len(size := self.rfile.read(4)) == 4:
            data = self.rfile.read(struct.unpack("!I", size)[0])
            command, text = data[:1], data[1:].split(b"\0")[0].decode()
            answer = b""
            if command == b"O":
                answer = packet(b"O", struct.pack("!III", 6, ADDRCPT | DELRCPT, UNWANTED))
            elif command == b"R":
                refusal = other.refused.get(text.strip("<>"))
                answer = packet(b"y", refusal.encode() + b"\0") if refusal else packet(b"c")
            elif command == b"E":
                edits = [packet(b"+", a.encode() + b"\0") for a in other.added]
                edits += [packet(b"-", a.encode() + b"\0") for a in other.deleted]
                answer = b"".join(edits) + packet(b"c")
            elif command == b"Q":
                return
            self.wfile.write(answer)


class OtherMilter:
    """refused: {address: "550 5.7.1 no"}; added, deleted: addresses, in every message."""

    def __init__(self, refused=None, added=(), deleted=()):
        self.refused = refused or {}
        self.added = list(added)
        self.deleted = list(deleted)
        self.port = free_port()
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), _Session)
        self.server.daemon_threads = True
        self.server.other = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def setting(self):
        return f"inet:127.0.0.1:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
