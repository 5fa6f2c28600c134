"""Mail servers that swallow everything and remember it: SMTP and LMTP."""

import re
import socket
import socketserver
import threading
from dataclasses import dataclass, field


@dataclass
class Recipient:
    address: str  # without <>
    args: dict    # {"NOTIFY": "NEVER", "ORCPT": "rfc822;..."}


@dataclass
class Message:
    sender: str
    args: dict    # {"SIZE": ..., "RET": ..., "ENVID": ..., "SMTPUTF8": ""}
    recipients: list = field(default_factory=list)
    data: bytes = b""

    @property
    def addresses(self):
        return [r.address for r in self.recipients]

    @property
    def headers(self):
        """[(name, value)] in order, unfolded."""
        head = self.data.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")
        lines = re.sub(r"\r\n([ \t])", r"\1", head).split("\r\n")
        return [tuple(s.strip() for s in line.split(":", 1)) for line in lines if ":" in line]

    def header(self, name):
        """All values of a header."""
        return [v for n, v in self.headers if n.lower() == name.lower()]

    @property
    def body(self):
        parts = self.data.split(b"\r\n\r\n", 1)
        return parts[1] if len(parts) > 1 else b""


def parse_path(text):
    """'<a@b> NOTIFY=NEVER' -> ('a@b', {...}); quoted local parts may hold '>' and blanks."""
    text = text.strip()
    quoted = False
    escaped = False
    for at, c in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and c == "\\":
            escaped = True
        elif c == '"':
            quoted = not quoted
        elif c == ">" and not quoted:
            break
    else:
        return None
    if not text.startswith("<"):
        return None
    args = {}
    for word in text[at + 1:].split():
        name, _, value = word.partition("=")
        args[name.upper()] = value
    return text[1:at], args


# What a server offers, unless it is told to be an older one.
KEYWORDS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN")


class _Session(socketserver.StreamRequestHandler):
    timeout = 600

    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        sink = self.server.sink
        with sink.lock:
            sink.sessions.add(self.connection)
        try:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(sink)
        except (ConnectionError, TimeoutError, ValueError):
            pass
        finally:
            with sink.lock:
                sink.sessions.discard(self.connection)

    def serve(self, sink):
        message = None
        self.reply(sink.ask("CONNECT", "", None) or f"220 {sink.name}.sink ready")
        while line := self.rfile.readline(65536):
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb = text[:4].upper()
            if verb in ("EHLO", "LHLO"):
                offers = [k for k in KEYWORDS if k not in sink.without]
                self.wfile.write("".join(f"250-{line}\r\n" for line in (
                    f"{sink.name}.sink", *offers)).encode())
                self.reply("250 ENHANCEDSTATUSCODES")
            elif verb == "HELO":
                self.reply("250 hello")
            elif verb == "MAIL" and (path := parse_path(text[10:])):
                refusal = sink.ask("MAIL", path[0], None)
                if not refusal:
                    message = Message(path[0], path[1])
                self.reply(refusal or "250 2.1.0 Ok")
            elif verb == "RCPT" and message and (path := parse_path(text[8:])):
                refusal = sink.ask("RCPT", path[0], message)
                if not refusal:
                    message.recipients.append(Recipient(*path))
                self.reply(refusal or "250 2.1.5 Ok")
            elif verb == "DATA" and message:
                if not message.recipients:
                    self.reply("554 5.5.1 no valid recipients")
                    continue
                self.reply("354 go ahead")
                self.data(sink, message)
                message = None
            elif verb == "RSET":
                message = None
                self.reply("250 2.0.0 Ok")
            elif verb == "NOOP":
                self.reply("250 2.0.0 Ok")
            elif verb == "QUIT":
                self.reply("221 2.0.0 Bye")
                return
            else:
                self.reply(f"500 5.5.2 what? {verb}")

    def data(self, sink, message):
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise ConnectionError("closed within DATA")
            lines.append(line[1:] if line.startswith(b".") else line)
        message.data = b"".join(lines)
        if not sink.lmtp:
            refusal = sink.ask("DATA", "", message)
            if not refusal:
                sink.take(message)
            self.reply(refusal or "250 2.0.0 taken")
            return
        # LMTP answers for each recipient on its own.
        verdicts = [sink.ask("DATA", r.address, message) for r in message.recipients]
        taken = [r for r, refusal in zip(message.recipients, verdicts) if not refusal]
        if taken:
            sink.take(Message(message.sender, message.args, taken, message.data))
        for refusal in verdicts:
            self.reply(refusal or "250 2.0.0 taken")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class Sink:
    """
    A server that takes all mail, but what a rule refuses. rule(stage, address, message)
    returns a reply ("550 5.1.1 no") or None; stages are CONNECT, MAIL, RCPT, DATA. without:
    which of KEYWORDS it does not offer.
    """

    def __init__(self, name, lmtp=False, address="127.0.0.1", port=0, without=()):
        self.name = name
        self.lmtp = lmtp
        self.without = without
        self.lock = threading.Lock()
        self.messages = []
        self.rules = []
        self.sessions = set()
        self.server = _Server((address, port), _Session)
        self.server.sink = self
        self.address, self.port = self.server.server_address
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.1,),
                                       daemon=True)
        self.thread.start()

    @property
    def hop(self):
        """As a next hop in Postfix's syntax."""
        if self.lmtp:
            return f"lmtp:inet:{self.address}:{self.port}"
        return f"smtp:[{self.address}]:{self.port}"

    def ask(self, stage, address, message):
        for rule in list(self.rules):
            refusal = rule(stage, address, message)
            if refusal:
                return refusal
        return None

    def refuse(self, address, reply="550 5.1.1 no such user here"):
        """Refuses RCPTs of one address; undo by rules.remove(the returned rule)."""
        def rule(stage, rcpt, message):
            return reply if stage == "RCPT" and rcpt.lower() == address.lower() else None
        self.rules.append(rule)
        return rule

    def take(self, message):
        with self.lock:
            self.messages.append(message)

    def snapshot(self):
        with self.lock:
            return list(self.messages)

    def count(self):
        return len(self.messages)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for connection in self.sessions:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.thread.join()
