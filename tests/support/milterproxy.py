"""What an MTA and a milter say to each other, packet by packet."""

import os
import socket
import struct
import threading


class MilterProxy:
    """Listens on a unix socket for the MTA, and passes all on to the milter's."""

    def __init__(self, listen, milter):
        self.milter = milter
        self.packets = []  # (is of the MTA, command, data)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(listen)
        os.chmod(listen, 0o666)
        self.server.listen(50)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                mta, _ = self.server.accept()
            except OSError:
                return
            milter = socket.socket(socket.AF_UNIX)
            milter.connect(self.milter)
            for pair in (mta, milter, True), (milter, mta, False):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source, sink, is_mta):
        try:
            with source.makefile("rb") as stream:
                while len(head := stream.read(4)) == 4:
                    data = stream.read(struct.unpack("!I", head)[0])
                    self.packets.append((is_mta, data[:1].decode(), data[1:]))
                    sink.sendall(head + data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def commands(self):
        """What the MTA sent, but macros, and what was answered."""
        return "".join(command for is_mta, command, _ in self.packets if not is_mta or command != "D")

    def macros(self):
        """{stage: {names}}"""
        found = {}
        for is_mta, command, data in self.packets:
            if is_mta and command == "D":
                names = data[1:].decode("utf-8", "replace").split("\0")[:-1:2]
                found.setdefault(chr(data[0]), set()).update(names)
        return found

    def close(self):
        self.server.close()
