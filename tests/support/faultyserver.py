"""
A directory server with a change log and cookies like OpenLDAP's, which answers a sync search in any of
the ways that RFC 4533 allows, and at moments drawn from a seed does what servers and networks do when
they fail: a connection that ends in the middle of a message, answers for nobody, notices, results instead
of entries.
"""

import random
import socket
import uuid

from .ldapserver import (LdapServer, SYNC_INFO, SYNC_STATE, elements, integer, octets, tlv)

UNSOLICITED = "1.2.3.4.5"


def csn(serial):
    return f"20260102030405.{serial:06}Z#000000#000#000000"


class FaultyServer(LdapServer):
    """`faults`: of so many messages one goes wrong; 0: none does."""

    def __init__(self, seed):
        super().__init__()
        self.offers_sync = True
        self.random = random.Random(seed)
        self.faults = 0
        self.done = {}  # kinds of faults, and how many there were
        self.gone = []  # (serial, uuid)

    # --- Content ---

    def stamps(self):
        return {"entryCSN": csn(self.serial)}

    def cookie(self):
        return f"rid=000,csn={csn(self.serial)}"

    def _uuid(self, dn):
        return uuid.UUID(self.entries[dn].get("entryUUID")[0].decode()).bytes

    def remove(self, dn):
        with self._lock:
            ident = self._uuid(dn)
            super().remove(dn)
            self.gone.append((self.serial, ident))
            for send, message in list(self._persisting):
                self._tell(send, message, dn, ident)

    def put(self, dn, stamps=None, **attributes):
        with self._lock:
            super().put(dn, stamps, **attributes)
            base = min(self.entries, key=len)
            self.entries[base].attributes["contextCSN"] = [csn(self.serial).encode()]

    def _tell(self, send, message, dn, ident):
        state = tlv(0x30, integer(3, 0x0a), octets(ident), octets(self.cookie()))
        try:
            send(message, tlv(0x64, octets(dn), tlv(0x30)),
                 tlv(0xa0, tlv(0x30, octets(SYNC_STATE), octets(state))))
        except OSError:
            pass

    def _send_entry(self, send, message, dn, wanted, sync_state=None):
        if sync_state is None or not dn:
            super()._send_entry(send, message, dn, wanted, sync_state)
            return
        entry = self.entries[dn]
        attributes = b"".join(tlv(0x30, octets(name), tlv(0x31, *map(octets, values)))
                              for name, values in entry.attributes.items())
        parts = [integer(sync_state, 0x0a), octets(self._uuid(dn))]
        if (send, message) in self._persisting:
            parts.append(octets(self.cookie()))
        try:
            send(message, tlv(0x64, octets(dn), tlv(0x30, attributes)),
                 tlv(0xa0, tlv(0x30, octets(SYNC_STATE), octets(tlv(0x30, *parts)))))
        except OSError:
            if not parts[2:]:
                raise

    # --- The refresh ---

    def _info(self, send, message, value):
        send(message, tlv(0x79, octets(SYNC_INFO, 0x80), octets(value, 0x81)))

    def _ids(self, send, message, idents, are_deleted):
        idents = list(idents)
        self.random.shuffle(idents)
        while idents:
            some, idents = idents[:7], idents[7:]
            flag = tlv(0x01, b"\xff") if are_deleted else b""
            self._info(send, message, tlv(0xa3, flag, tlv(0x31, *map(octets, some))))

    def _sync(self, send, message, found, wanted, request):
        parts = elements(elements(request)[0][1])
        sent = parts[1][1].decode() if len(parts) > 1 and parts[1][0] == 4 else ""
        known = int(sent.partition("csn=")[2][15:21]) if sent else -1
        stamp = {dn: int(self.entries[dn].get("entryCSN")[0][15:21]) for dn in found}
        new = [dn for dn in found if stamp[dn] > known]
        self.random.shuffle(new)
        names_present = known >= 0 and self.random.random() < 0.5
        if names_present:
            self._ids(send, message, [self._uuid(dn) for dn in found if stamp[dn] <= known], False)
            if self.random.random() < 0.3:  # a delete phase behind it
                self._info(send, message, tlv(0xa2, tlv(0x01, b"\0")))
                names_present = False
        elif known >= 0:
            self._ids(send, message, [ident for serial, ident in self.gone if serial > known], True)
        for dn in new:
            self._send_entry(send, message, dn, wanted, 1)
        self._info(send, message, tlv(0xa2 if names_present else 0xa1, octets(self.cookie())))
        self._persisting.append((send, message))

    # --- Faults ---

    def deliver(self, stream, data):
        if self.faults and self.random.randrange(self.faults) == 0:
            # libldap 2.5 leaks a notice that comes in place of the answer to a bind.
            is_bind = self._message(data)[1] == 0x61
            kinds = [self._cut, self._cut_inside, self._for_nobody, self._unknown, self._notice,
                     self._bye, self._result_instead, self._twice, self._referral, self._garbage,
                     self._short_ids]
            fault = self.random.choice([k for k in kinds if not is_bind or
                                        k not in (self._notice, self._bye)])
            self.done[fault.__name__] = self.done.get(fault.__name__, 0) + 1
            data = fault(stream, data)
        stream.write(data)

    @staticmethod
    def _message(data):
        parts = elements(elements(data)[0][1])
        return int.from_bytes(parts[0][1], "big"), parts[1][0]

    @staticmethod
    def _end(stream):
        stream._sock.shutdown(socket.SHUT_RDWR)

    def _cut(self, stream, _):
        self._end(stream)
        return b""

    def _cut_inside(self, stream, data):
        stream.write(data[:self.random.randrange(1, len(data))])
        self._end(stream)
        return b""

    def _for_nobody(self, _, data):
        return tlv(0x30, integer(self.random.randrange(100000, 200000)), self._result(0x65)) * 3 + data

    def _unknown(self, _, data):
        number, kind = self._message(data)
        if kind not in (0x64, 0x79):
            return data
        return tlv(0x30, integer(number), tlv(0x79, octets(UNSOLICITED, 0x80),
                                              octets("nothing", 0x81))) + data

    def _notice(self, _, data):
        return tlv(0x30, integer(0), tlv(0x78, integer(0, 0x0a), octets(""), octets(""),
                                         octets(UNSOLICITED, 0x8a))) + data

    def _bye(self, stream, _):
        stream.write(tlv(0x30, integer(0), tlv(0x78, integer(52, 0x0a), octets(""), octets(""),
                                               octets("1.3.6.1.4.1.1466.20036", 0x8a))))
        self._end(stream)
        return b""

    def _result_instead(self, stream, data):
        """The end of the search; after it the server must not go on with it."""
        number, kind = self._message(data)
        if kind not in (0x64, 0x79):
            return data
        code = self.random.choice([1, 3, 4, 11, 32, 51, 52, 53, 80, 4096])
        stream.write(tlv(0x30, integer(number), self._result(0x65, code, "no more")))
        self._end(stream)
        return b""

    def _twice(self, _, data):
        _, kind = self._message(data)
        return data * 2 if kind in (0x64, 0x61) else data

    def _referral(self, _, data):
        number, kind = self._message(data)
        if kind not in (0x64,):
            return data
        return tlv(0x30, integer(number), tlv(0x73, octets("ldap://127.0.0.1:1/dc=a"))) + data

    def _garbage(self, stream, data):
        stream.write(self.random.choice([b"\x30\x80\x00\x00", b"\x00" * 40, b"\x30\x84\xff\xff\xff\xff",
                                         b"\x30\x03\x02\x01\x05", b"GET / HTTP/1.0\r\n\r\n",
                                         b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff"]))
        self._end(stream)
        return b""

    def _short_ids(self, _, data):
        """Ids that are none, in the search of the message, if it is one."""
        number, kind = self._message(data)
        if kind != 0x79:
            return data
        bad = tlv(0xa3, tlv(0x01, b"\xff"), tlv(0x31, octets(b"\1" * 16), octets(b"\1" * 15)))
        return tlv(0x30, integer(number), tlv(0x79, octets(SYNC_INFO, 0x80), octets(bad, 0x81)))
