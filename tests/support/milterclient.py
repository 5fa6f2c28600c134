"""The MTA's side of the milter protocol, version 6: what Postfix or Sendmail would send."""

import socket
import struct
from dataclasses import dataclass, field

from .wait import PATIENCE

# Actions a filter may take, and steps that it may leave out or leave unanswered.
ADDHDRS, ADDRCPT, DELRCPT, SETSYMLIST, ADDRCPT_PAR = 0x01, 0x04, 0x08, 0x100, 0x80
CHGFROM = 0x40
ALL_ACTIONS = 0x1FF
NOCONNECT, NOHELO, NOMAIL, NORCPT, NOBODY, NOHDRS, NOEOH = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40
NOUNKNOWN, NODATA = 0x100, 0x200
NR_EOH = 0x40000
NR_HDR, NR_HELO, NR_MAIL, NR_RCPT, NR_DATA, NR_CONN = 0x80, 0x2000, 0x4000, 0x8000, 0x10000, 0x1000
ALL_STEPS = 0x1FFFFF
PLACES = {0: "connect", 1: "helo", 2: "mail", 3: "rcpt", 4: "data", 5: "end", 6: "eoh"}
STAGES = {"connect": b"C", "mail": b"M", "rcpt": b"R", "data": b"T", "end": b"E"}


@dataclass
class Reply:
    """code: "continue", "reject", "tempfail", "accept", "discard", or "550 5.1.1 text"."""

    code: str
    edits: list = field(default_factory=list)  # ("+", address, arguments) or ("-", address)

    @property
    def status(self):
        return " ".join(self.code.split()[:2])


class Gone(Exception):
    """The filter has closed the connection."""


def packet(command, data=b""):
    return struct.pack("!I", len(data) + 1) + command + data


def _strings(*texts):
    return b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)


class MilterClient:
    """
    One connection of an MTA. address: "unix:/path" or "inet:host:port". The filter's wishes
    are kept as Postfix keeps them: no reply is read where it said there will be none.
    """

    REPLIES = {b"c": "continue", b"r": "reject", b"t": "tempfail", b"a": "accept",
               b"d": "discard", b"f": "conn_fail", b"s": "skip"}

    def __init__(self, address, version="Postfix 3.7.11", negotiate=True,
                 actions=ALL_ACTIONS, steps=ALL_STEPS):
        kind, _, rest = address.partition(":")
        if kind == "unix":
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target = rest
        else:
            host, _, port = rest.rpartition(":")
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            target = (host, int(port))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(target)
        self.version = version
        self.symlists = {}
        self.actions = self.steps = 0
        if negotiate:
            self.negotiate(actions, steps)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _read(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                raise Gone()
            data += more
        return data

    def read(self):
        size, = struct.unpack("!I", self._read(4))
        data = self._read(size)
        return data[:1], data[1:]

    def negotiate(self, actions=ALL_ACTIONS, steps=ALL_STEPS):
        self.send(packet(b"O", struct.pack("!III", 6, actions, steps)))
        command, data = self.read()
        assert command == b"O", command
        _, self.actions, self.steps = struct.unpack("!III", data[:12])
        data = data[12:]
        while data:
            place, = struct.unpack("!I", data[:4])
            names, _, data = data[4:].partition(b"\0")
            self.symlists[PLACES[place]] = names.decode().split()

    def macros(self, stage, **values):
        """Those that were asked for; "_" stands for the braces: client_addr."""
        wanted = self.symlists.get(stage, [])
        pairs = []
        for name, value in values.items():
            name = name if len(name) == 1 else "{" + name + "}"
            if value is not None and name in wanted:
                pairs += [name, value]
        self.send(packet(b"D", STAGES[stage] + _strings(*pairs)))

    def _reply(self):
        edits = []
        while True:
            command, data = self.read()
            texts = data.decode("utf-8", "surrogateescape").split("\0")[:-1]
            if command == b"+":
                edits.append(("+", texts[0], ""))
            elif command == b"2":
                edits.append(("+", texts[0], texts[1] if len(texts) > 1 else ""))
            elif command == b"-":
                edits.append(("-", texts[0]))
            elif command == b"h":
                edits.append(("header", *texts))
            elif command == b"p":
                continue
            elif command == b"y":
                return Reply(texts[0].replace("%%", "%"), edits)
            else:
                return Reply(self.REPLIES[command], edits)

    def _command(self, command, data, leave_out, no_reply):
        if self.steps & leave_out:
            return None
        self.send(packet(command, data))
        return None if self.steps & no_reply else self._reply()

    def connect(self, host="client.example", ip="203.0.113.250", port=4242, **macros):
        family = b"6" if ":" in ip else b"4"
        self.macros("connect", v=self.version, client_addr=ip, **macros)
        return self._command(b"C", _strings(host) + family + struct.pack("!H", port) +
                             _strings(ip), NOCONNECT, NR_CONN)

    def mail(self, path="<probe@outside.example>", *arguments, login=None, mailer="smtp",
             queue_id=None, **macros):
        self.macros("mail", i=queue_id, auth_authen=login, mail_mailer=mailer, **macros)
        return self._command(b"M", _strings(path, *arguments), NOMAIL, NR_MAIL)

    def rcpt(self, path, *arguments, mailer="relay"):
        self.macros("rcpt", rcpt_mailer=mailer)
        return self._command(b"R", _strings(path, *arguments), NORCPT, NR_RCPT)

    def data(self):
        self.macros("data")
        return self._command(b"T", b"", NODATA, NR_DATA)

    def header(self, name, value):
        return self._command(b"L", _strings(name, value), NOHDRS, NR_HDR)

    def end(self, queue_id="4F1A2B3C4D"):
        """The reply to the end of message, with the edits before it."""
        self._command(b"N", b"", NOEOH, NR_EOH)
        self.macros("end", i=queue_id)
        self.send(packet(b"E"))
        return self._reply()

    def message(self, *recipients, mail=(), **options):
        """
        MAIL, RCPT for each, DATA, end; Reply of the end, or of DATA if that ended it, or None where
        no RCPT was taken.
        """
        self.mail(*mail, **options)
        taken = [self.rcpt(r).code for r in recipients].count("continue")
        if not taken:
            self.abort()
            return None
        reply = self.data()
        return reply if reply and reply.code == "accept" else self.end()

    def abort(self):
        self.send(packet(b"A"))

    def quit(self):
        self.send(packet(b"Q"))
        self.close()
