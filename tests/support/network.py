"""Bad weather between syncd and a directory: what stalls, breaks, joins or drops what passes."""

import itertools
import os
import random
import select
import socket
import ssl
import struct
import threading

from .wait import free_port, run

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """What a process has used so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Gate:
    """
    TCP to a server that can be closed half-way: after hold(n), n more bytes of what the server
    sends pass, and then nothing until release(). `held` tells when it has happened.
    """

    def __init__(self, target, scheme="ldap"):
        self.port = free_port()
        self.uri = f"{scheme}://127.0.0.1:{self.port}"
        self.target = target
        self.accepted = 0
        self.held = threading.Event()
        self._room = None
        self._open = threading.Condition()
        self._pairs = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, after=0):
        with self._open:
            self.held.clear()
            self._room = after

    def release(self):
        with self._open:
            self._room = None
            self._open.notify_all()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            for source, sink, is_held in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._copy, args=(source, sink, is_held),
                                 daemon=True).start()

    def _pass(self, data, sink):
        while data:
            with self._open:
                if self._room == 0:
                    self.held.set()
                    self._open.wait_for(lambda: self._room != 0)
                n = len(data) if self._room is None else min(self._room, len(data))
                if self._room is not None:
                    self._room -= n
            sink.sendall(data[:n])
            data = data[n:]

    def _copy(self, source, sink, is_held):
        try:
            while data := source.recv(65536):
                if is_held:
                    self._pass(data, sink)
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def reset(self):
        """Every client gets a RST."""
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            server.close()

    def cut(self):
        """Every connection ends."""
        pairs, self._pairs = self._pairs, []
        for end in itertools.chain(*pairs):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def close(self):
        self._listener.close()
        self.cut()
        self.release()


RECORD = 16384  # the largest that TLS has


class Coalescer:
    """
    A TLS terminator before an LDAP server that fills its records: each holds as many messages
    as there are, and breaks off in the middle of the last.
    """

    def __init__(self, target, certificate, key):
        self.port = free_port()
        self.uri = f"ldaps://127.0.0.1:{self.port}"
        self.target = target
        self.full_records = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain):
        try:
            with self._context.wrap_socket(plain, server_side=True) as client, \
                    socket.create_connection(("127.0.0.1", self.target)) as server:
                self._relay(client, server)
        except OSError:
            pass

    def _relay(self, client, server):
        gathered = b""
        while True:
            # What came is held back a moment for more to come.
            readable = ([client] if client.pending() else
                        select.select([client, server], [], [], 0.02 if gathered else None)[0])
            if client in readable:
                data = client.recv(65536)
                if not data:
                    return
                server.sendall(data)
            if server in readable:
                data = server.recv(65536)
                if not data:
                    client.sendall(gathered)
                    return
                gathered += data
            while len(gathered) >= RECORD or (gathered and not readable):
                client.sendall(gathered[:RECORD])
                self.full_records += len(gathered) >= RECORD
                gathered = gathered[RECORD:]

    def close(self):
        self._listener.close()


_numbers = itertools.count()


class Namespace:
    """
    A network namespace on a wire of its own, for a client (prefix) of servers that listen on the
    addresses here[0] and here[1]. lose(address) and find(address): what the client sends to it
    vanishes on the way, without an error. lose_all() and find_all(): so does everything, both ways.
    """

    def __init__(self):
        tag = f"cx{os.getpid()}n{next(_numbers)}"
        self.name, self._outer, self._inner = tag, f"{tag}o", f"{tag}i"
        net = f"198.{random.choice((18, 19))}.{random.randrange(256)}."
        base = 8 * random.randrange(32)
        self.here = (f"{net}{base + 1}", f"{net}{base + 2}")
        self.there = f"{net}{base + 3}"
        self.prefix = ["ip", "netns", "exec", self.name]
        run(["ip", "netns", "add", self.name])
        try:
            run(["ip", "link", "add", self._outer, "type", "veth", "peer", "name", self._inner,
                 "netns", self.name])
            for address in self.here:
                run(["ip", "address", "add", f"{address}/29", "dev", self._outer])
            run(["ip", "link", "set", self._outer, "up"])
            self._inside("address", "add", f"{self.there}/29", "dev", self._inner)
            self._inside("link", "set", self._inner, "up")
            self._inside("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def _inside(self, *arguments):
        run(["ip", "-n", self.name, *arguments])

    def lose(self, address):
        # Frames to a station that there is not.
        self._inside("neighbour", "replace", address, "lladdr", "02:00:00:00:00:99", "dev",
                     self._inner, "nud", "permanent")

    def find(self, address):
        self._inside("neighbour", "delete", address, "dev", self._inner)

    def lose_all(self):
        for address in self.here:
            self.lose(address)
        run(["ip", "neighbour", "replace", self.there, "lladdr", "02:00:00:00:00:99", "dev",
             self._outer, "nud", "permanent"])

    def find_all(self):
        for address in self.here:
            self.find(address)
        run(["ip", "neighbour", "delete", self.there, "dev", self._outer])

    def close(self):
        run(["ip", "netns", "delete", self.name])
        # Its end of the wire goes with it, and ours with that, a moment later.
        run(["ip", "link", "delete", self._outer], check=False)


__all__ = ["Coalescer", "Gate", "Namespace", "RECORD", "cpu_seconds"]
