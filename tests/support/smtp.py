"""A raw SMTP client: what is given is sent, what is answered is returned."""

import base64
import re
import socket
from dataclasses import dataclass

from .wait import PATIENCE


@dataclass
class Reply:
    code: int
    lines: list

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def enhanced(self):
        """'5.1.1', or ''."""
        match = re.match(r"([245]\.\d+\.\d+)\b", self.lines[-1])
        return match.group(1) if match else ""

    @property
    def status(self):
        """'550 5.1.1', to compare with."""
        return f"{self.code} {self.enhanced}".strip()

    @property
    def ok(self):
        return 200 <= self.code < 400


def xtext(text):
    """RFC 3461 xtext."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


class Client:
    """
    source: the address that it comes from, on this machine. connect_timeout: seconds for the
    connection; its answers may take longer.
    """

    def __init__(self, address, port, helo="client.outside.example", xclient=None, greet=True,
                 source="", connect_timeout=PATIENCE * 2):
        self.helo = helo
        self.socket = socket.create_connection((address, port), timeout=connect_timeout,
                                               source_address=(source, 0) if source else None)
        self.socket.settimeout(PATIENCE * 2)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.banner = self.read()
        if greet:
            self.ehlo()
            if xclient:
                self.xclient(**xclient)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        """Bytes as they are; a str as UTF-8."""
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def read(self):
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError(f"server closed; so far: {lines}")
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            lines.append(text[4:])
            if text[3:4] != "-":
                return Reply(int(text[:3]), lines)

    def command(self, line):
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.read()

    def pipeline(self, lines, window=200):
        """Many commands; their replies in order."""
        replies = []
        for at in range(0, len(lines), window):
            part = lines[at:at + window]
            self.send(b"".join((p if isinstance(p, bytes) else p.encode()) + b"\r\n"
                               for p in part))
            replies += [self.read() for _ in part]
        return replies

    def ehlo(self):
        return self.command(f"EHLO {self.helo}")

    def xclient(self, **attributes):
        """addr="192.0.2.1", login="adam", name=...: who the server shall think we are."""
        words = " ".join(f"{k.upper()}={xtext(v)}" for k, v in attributes.items())
        reply = self.command(f"XCLIENT {words}")
        assert reply.ok, reply
        reply = self.ehlo()
        assert reply.ok, reply

    def auth(self, user, password):
        """SMTP AUTH PLAIN (RFC 4616)."""
        word = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.command(f"AUTH PLAIN {word}")

    def starttls(self, context):
        reply = self.command("STARTTLS")
        assert reply.ok, reply
        self.file.close()
        self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        reply = self.ehlo()
        assert reply.ok, reply

    def mail(self, sender, params=""):
        return self.command(f"MAIL FROM:<{sender}> {params}".rstrip())

    def rcpt(self, address, params=""):
        return self.command(f"RCPT TO:<{address}> {params}".rstrip())

    def data(self, message):
        """The message with CRLF or LF ends; dots are stuffed here."""
        if isinstance(message, str):
            message = message.encode()
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        message = re.sub(rb"\r?\n", b"\r\n", message)
        message = re.sub(rb"(?m)^\.", b"..", message)
        if not message.endswith(b"\r\n"):
            message += b"\r\n"
        self.send(message + b".\r\n")
        return self.read()

    def reset(self):
        return self.command("RSET")

    def quit(self):
        try:
            self.command("QUIT")
        except ConnectionError:
            pass
        self.close()
