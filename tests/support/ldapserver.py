"""
An LDAP server that does what a test tells it: values in ranges, counters like Active Directory's,
pages, a sync search, and nonsense where a test asks for it. It holds everything in a dictionary and
binds anybody.
"""

import socket
import socketserver
import ssl
import threading
import uuid

from .wait import free_port

PAGED = b"1.2.840.113556.1.4.319"
SYNC = b"1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = b"1.3.6.1.4.1.4203.1.9.1.2"
SYNC_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"

# --- BER ---


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def octets(value, tag=0x04):
    return tlv(tag, value if isinstance(value, bytes) else value.encode())


def integer(value, tag=0x02):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def elements(data):
    """[(tag, contents)]"""
    found, at = [], 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7f
            size = int.from_bytes(data[at:at + count], "big")
            at += count
        found.append((tag, data[at:at + size]))
        at += size
    return found


def number(data):
    return int.from_bytes(data, "big", signed=True)


def read_message(stream):
    head = stream.read(2)
    if len(head) < 2:
        return None
    size = head[1]
    if size & 0x80:
        size = int.from_bytes(stream.read(size & 0x7f), "big")
    data = stream.read(size)
    return elements(data) if len(data) == size else None


# --- Entries ---


def raw(value):
    return value if isinstance(value, bytes) else str(value).encode()


class Entry:
    """Attributes by name, with values as bytes; the name may be asked for in any case."""

    def __init__(self, attributes):
        self.attributes = {name: [raw(v) for v in (values if isinstance(values, list) else [values])]
                           for name, values in attributes.items()}

    def get(self, name):
        for own, values in self.attributes.items():
            if own.lower() == name.lower():
                return values
        return []

    def matches(self, tag, data):
        if tag in (0xa0, 0xa1):
            test = all if tag == 0xa0 else any
            return test(self.matches(*part) for part in elements(data))
        if tag == 0xa2:
            return not self.matches(*elements(data)[0])
        if tag == 0x87:
            return data.lower() == b"objectclass" or bool(self.get(data.decode()))
        name, wanted = (part for _, part in elements(data)[:2])
        values = self.get(name.decode())
        if tag == 0xa3:
            return any(v.lower() == wanted.lower() for v in values)
        if tag == 0xa5:
            return any((v.zfill(20) if v.isdigit() else v) >=
                       (wanted.zfill(20) if wanted.isdigit() else wanted) for v in values)
        return False


class LdapServer:
    """
    entries: DN -> Entry. `ranges`: the most values of an attribute that are sent in one go.
    `answer_range(dn, attribute, first)` may give (description, values) of its own, or None.
    `tls`: (certificate, key), then it takes ldaps only.
    """

    def __init__(self, root=None, ranges=0, tls=None):
        self.entries = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if tls:
            context.load_cert_chain(*tls)
        self.root = Entry(root or {"namingContexts": "dc=acme,dc=example"})
        self.ranges = ranges
        self.answer_range = lambda dn, attribute, first: None
        self.offers_sync = False
        self.cookie = lambda: f"cookie {self.serial}"
        # answer_cookie() -> (names, cookie): what a sync search with any cookie gets, as all that
        # has changed since.
        self.answer_cookie = None
        # answer_sync(send, message, found, cookie) may take over a sync search: True.
        self.answer_sync = None
        self.searches = []  # (base, scope, attributes, filter), as they come
        self.raw_answer = None  # raw_answer(send, message): called for the next search
        self._lock = threading.RLock()
        self._persisting = []
        self._sockets = []
        self.serial = 0
        self.port = free_port()
        self.uri = f"{'ldaps' if tls else 'ldap'}://127.0.0.1:{self.port}"
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def setup(self):
                if context:
                    self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self):
                outer._serve(self)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, dn, stamps=None, **attributes):
        """Adds or changes an entry; its id stays, its stamps are new. Those who wait are told."""
        with self._lock:
            self.serial += 1
            old = self.entries.get(dn)
            known = {n: v for n, v in (old.attributes if old else {}).items()
                     if n in ("entryUUID", "objectGUID")}
            if not known:
                known = ({"objectGUID": uuid.uuid4().bytes} if self.root.get("highestCommittedUSN")
                         else {"entryUUID": str(uuid.uuid4())})
            self.entries[dn] = Entry({**attributes, **known, **(stamps or self.stamps())})
            if self.root.get("highestCommittedUSN"):
                self.root.attributes["highestCommittedUSN"] = [raw(self.serial)]
            self._tell_all(lambda *to: self._send_entry(*to, dn, [], sync_state=2 if old else 1))

    def stamps(self):
        if self.root.get("highestCommittedUSN"):
            return {"uSNChanged": self.serial}
        return {"modifyTimestamp": f"2026010203{self.serial // 60 % 60:02}{self.serial % 60:02}Z",
                "entryCSN": f"20260102030405.{self.serial:06}Z#000000#000#000000"}

    def remove(self, dn):
        with self._lock:
            self.serial += 1
            if self.root.get("highestCommittedUSN"):
                self.root.attributes["highestCommittedUSN"] = [raw(self.serial)]
            self._tell_all(lambda *to: self._send_entry(*to, dn, [], sync_state=3))
            del self.entries[dn]

    def _tell_all(self, tell):
        """Those who wait; one may be gone, and its thread not know it yet."""
        for send, message in list(self._persisting):
            try:
                tell(send, message)
            except OSError:
                pass

    # --- The protocol ---

    def _serve(self, handler):
        self._sockets.append(handler.connection)

        def send(message, *parts):
            with self._lock:
                self.deliver(handler.wfile, tlv(0x30, integer(message), *parts))

        try:
            while message := read_message(handler.rfile):
                number_of = number(message[0][1])
                tag, body = message[1]
                controls = {}
                for _, control in elements(message[2][1]) if len(message) > 2 else ():
                    parts = elements(control)
                    controls[parts[0][1]] = parts[-1][1]
                if tag == 0x60:
                    self.bind(send, number_of)
                elif tag == 0x63:
                    self._search(send, number_of, elements(body), controls)
                elif tag == 0x50:
                    self._persisting = [p for p in self._persisting if p[1] != number(body)]
                elif tag == 0x42:
                    break
        except OSError:
            pass
        with self._lock:
            self._persisting = [p for p in self._persisting if p[0] is not send]

    def deliver(self, stream, data):
        """Every message goes out here, one at a time."""
        stream.write(data)

    def bind(self, send, message):
        send(message, self._result(0x61))

    @staticmethod
    def _result(tag, code=0, text=""):
        return tlv(tag, integer(code, 0x0a), octets(""), octets(text))

    def _search(self, send, message, request, controls):
        base, scope = request[0][1].decode(), number(request[1][1])
        wanted = [a.decode() for _, a in elements(request[7][1])]
        with self._lock:
            self.searches.append((base, scope, wanted, request[6]))
            if self.raw_answer is not None:
                answer, self.raw_answer = self.raw_answer, None
                answer(send, message)
                return
            found = self._find(base, scope, request[6])
            if found is None:
                send(message, self._result(0x65, 32))
                return
            if SYNC in controls and self.offers_sync:
                self._sync(send, message, found, wanted, controls[SYNC])
                return
            if SYNC in controls:
                send(message, self._result(0x65, 12, "critical extension unavailable"))
                return
            control = b""
            if PAGED in controls:
                size, cookie = (part for _, part in elements(elements(controls[PAGED])[0][1]))
                start = int(cookie or b"0")
                end = start + number(size)
                rest = str(end).encode() if end < len(found) else b""
                found = found[start:end]
                control = tlv(0xa0, tlv(0x30, octets(PAGED),
                                        octets(tlv(0x30, integer(0), octets(rest)))))
            for dn in found:
                self._send_entry(send, message, dn, wanted)
            send(message, self._result(0x65), control)

    def _find(self, base, scope, filter_):
        if base == "":
            return [""]
        if base not in self.entries:
            return None
        names = [dn for dn in self.entries
                 if dn == base or (scope == 2 and dn.endswith("," + base))]
        return [dn for dn in names if self.entries[dn].matches(*filter_)]

    def _values(self, dn, entry, wanted):
        """(description, values) of what was asked for."""
        ranges = {}
        for name in wanted:
            attribute, _, option = name.partition(";range=")
            if option:
                ranges[attribute.lower()] = int(option.split("-")[0])
        names = {name.partition(";")[0].lower() for name in wanted}
        for name, values in entry.attributes.items():
            if wanted and "*" not in wanted and name.lower() not in names:
                continue
            first = ranges.get(name.lower(), 0)
            special = self.answer_range(dn, name, first)
            if special is not None:
                yield special[0], [raw(v) for v in special[1]]
            elif self.ranges and (first or len(values) > self.ranges):
                end = first + self.ranges
                last = "*" if end >= len(values) else end - 1
                yield name, []
                yield f"{name};range={first}-{last}", values[first:end]
            else:
                yield name, values

    def _send_entry(self, send, message, dn, wanted, sync_state=None):
        entry = self.entries[dn] if dn else self.root
        attributes = b"".join(tlv(0x30, octets(name), tlv(0x31, *map(octets, values)))
                              for name, values in self._values(dn, entry, wanted))
        control = b""
        if sync_state is not None:
            state = tlv(0x30, integer(sync_state, 0x0a),
                        octets(uuid.UUID(entry.get("entryUUID")[0].decode()).bytes),
                        octets(self.cookie()))
            control = tlv(0xa0, tlv(0x30, octets(SYNC_STATE), octets(state)))
        send(message, tlv(0x64, octets(dn), tlv(0x30, attributes)), control)

    def _sync(self, send, message, found, wanted, request):
        parts = elements(elements(request)[0][1])
        cookie = parts[1][1] if len(parts) > 1 and parts[1][0] == 4 else b""
        if self.answer_sync and self.answer_sync(send, message, found, cookie):
            return
        new, phase = self.cookie(), 0xa2  # refreshPresent: what did not come is gone
        if cookie and self.answer_cookie:
            (found, new), phase = self.answer_cookie(), 0xa1  # refreshDelete
        elif cookie == new.encode():
            found, phase = [], 0xa1
        for dn in found:
            self._send_entry(send, message, dn, wanted, sync_state=1)
        self.end_refresh(send, message, tlv(phase, octets(new)))

    def name_present(self, send, message, names):
        """These are there, and what they are is known already."""
        ids = [uuid.UUID(self.entries[dn].get("entryUUID")[0].decode()).bytes for dn in names]
        info = tlv(0xa3, tlv(0x31, *map(octets, ids)))
        send(message, tlv(0x79, octets(SYNC_INFO, 0x80), octets(info, 0x81)))

    def end_sync(self, code):
        """Every search that persists ends with this result."""
        with self._lock:
            self._tell_all(lambda send, message: send(message, self._result(0x65, code)))
            self._persisting.clear()

    def end_refresh(self, send, message, done):
        """From now on it persists."""
        send(message, tlv(0x79, octets(SYNC_INFO, 0x80), octets(done, 0x81)))
        self._persisting.append((send, message))

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self.close_all()

    def close_all(self):
        """Every connection; new ones are taken."""
        for end in self._sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
