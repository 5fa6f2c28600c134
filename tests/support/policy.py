"""A client of the policy protocol (Postfix's SMTPD_POLICY_README)."""

import socket

from .wait import PATIENCE


class PolicyClient:
    """ask({...}) -> the action, over one connection. `where`: a path, or (address, port)."""

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

    def ask(self, attributes):
        everything = {"request": "smtpd_access_policy", "protocol_state": "RCPT",
                      "protocol_name": "ESMTP", **attributes}
        self.socket.sendall(b"".join(f"{k}={v}\n".encode() for k, v in everything.items()) +
                            b"\n")
        line = self.file.readline()
        assert line.startswith(b"action=") and self.file.readline() == b"\n", line
        return line[len(b"action="):].rstrip(b"\n").decode()
