"""A client of the socketmap protocol (socketmap_table(5))."""

import socket

from .wait import PATIENCE


class MapClient:
    """query(map, key) -> "OK value", over one connection. `where`: a path, or (address, port)."""

    def __init__(self, where):
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(where)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def query(self, name, key):
        text = f"{name} {key}".encode()
        self.socket.sendall(f"{len(text)}:".encode() + text + b",")
        return self.read()

    def read(self):
        """The next reply, or None where the server has closed."""
        digits = b""
        while (c := self.file.read(1)) != b":":
            if not c:
                assert not digits, digits
                return None
            assert c.isdigit(), c
            digits += c
        reply = self.file.read(int(digits))
        assert self.file.read(1) == b","
        return reply.decode()
