"""What systemd's journal would be told: its socket, in a mount namespace of the daemon's own."""

import contextlib
import os
import queue
import socket
import struct
import threading

from .wait import PATIENCE

# The log of the daemon is taken for the journal's stream, and FOLDER for its sockets.
ENTER = """set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
mount --bind "$1" /run/systemd/journal
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
export JOURNAL_STREAM
shift
exec "$@"
"""


def parse(data):
    """An entry of the native protocol (JOURNAL_NATIVE_PROTOCOL of systemd): {name: value}."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size, = struct.unpack("<Q", rest[:8])
            value, rest = rest[8:8 + size], rest[8 + size + 1:]
        assert name.decode() not in fields, f"{name} is there twice"
        fields[name.decode()] = value.decode()
        data = rest
    return fields


class Journal:
    """entries(): what came since the last call. A thread reads them, but in `with hung()`."""

    def __init__(self, folder, has_socket=True):
        self.folder = f"{folder}/journal"
        os.makedirs(self.folder)
        self.found = queue.SimpleQueue()
        self.reads = threading.Event()
        self.reads.set()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.thread = threading.Thread(target=self._read)
        if has_socket:
            self.socket.bind(f"{self.folder}/socket")
            os.chmod(f"{self.folder}/socket", 0o666)
            self.thread.start()

    def _read(self):
        while data := self.socket.recv(1 << 20):
            self.found.put(parse(data))
            self.reads.wait()

    @contextlib.contextmanager
    def hung(self):
        """Takes one entry yet, and as many as its socket holds: how many it is told."""
        self.reads.clear()
        try:
            with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as number:
                yield int(number.read()) + 2
        finally:
            self.reads.set()

    @property
    def prefix(self):
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", ENTER, "sh", self.folder]

    def entries(self):
        return [self.found.get() for _ in range(self.found.qsize())]

    def wait_for(self, count):
        return [self.found.get(timeout=PATIENCE) for _ in range(count)]

    def close(self):
        self.reads.set()
        if self.thread.is_alive():
            self.socket.shutdown(socket.SHUT_RDWR)
            self.thread.join()
        self.socket.close()
