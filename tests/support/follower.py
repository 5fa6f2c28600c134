"""coexist-syncd and its replica alone, behind any directory, with no Postfix."""

import difflib
import json
import os
import shutil
import socket
import threading

from .daemons import Daemon, coexistctl
from .slapd import EXAMPLE_SUFFIX
from .wait import FACTOR, free_port, wait_for

PEOPLE = f"ou=people,{EXAMPLE_SUFFIX}"


def mailbox(name, *lines, parent=PEOPLE):
    """LDIF of a mailbox; further lines as "attribute: value"."""
    return "\n".join([f"dn: uid={name},{parent}", "objectClass: inetOrgPerson",
                      "objectClass: coexistMailbox", f"uid: {name}", f"cn: {name}",
                      f"sn: {name}", f"mail: {name}@acme.example", *lines, "", ""])


DOMAIN = f"""\
dn: associatedDomain=acme.example,ou=mail,{EXAMPLE_SUFFIX}
objectClass: coexistDomain
associatedDomain: acme.example
coexistDomainType: authoritative

"""


class Follower:
    """
    One syncd over one directory section. `directory` is the body of that section; start()
    returns when the daemon is ready, whatever became of the directory. The program may also be
    coexist-syncd-fast, whose times are short.
    """

    def __init__(self, folder, directory, name="follower", program="coexist-syncd"):
        self.folder = f"{folder}/{name}"
        os.makedirs(f"{self.folder}/replica")
        self.conf = f"{self.folder}/coexist.conf"
        self.control = f"{self.folder}/control"
        self.write_conf(directory)
        self.daemon = Daemon(program, self.conf, self.folder)

    def write_conf(self, directory):
        for name in ("secret", "ldap.secret"):
            path = f"{self.folder}/{name}"
            if not os.path.exists(path):
                self.write_secret("service secret\n", name)
        self.directory = directory
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"""\
organization = "acme"
replica = "{self.folder}/replica"
secret_file = "{self.folder}/secret"
user = ""
directory "corp" {{
  {directory}
}}
syncd {{ control = "unix:{self.control}" }}
log {{ level = "debug" }}
""")

    def write_secret(self, text, name="ldap.secret", mode=0o600):
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)

    def start(self):
        self.daemon.start()
        return self

    def dump(self):
        """The replica as text; "" before a first load."""
        done = coexistctl(self.conf, "dump")
        return done.stdout if done.returncode == 0 else ""

    def has(self, text):
        return text in self.dump()

    def wait_has(self, text, deadline=None):
        wait_for(lambda: self.has(text), lambda: f"{text!r} in\n{self.dump()}\n{self.log()}",
                 **({"deadline": deadline * FACTOR} if deadline else {}))

    def wait_has_not(self, text):
        wait_for(lambda: (now := self.dump()) and text not in now,
                 lambda: f"{text!r} not in\n{self.dump()}\n{self.log()}")

    def log(self):
        return self.daemon.log_text()

    def wait_log(self, pattern, count=1):
        """The lines, as soon as there are so many."""
        return wait_for(lambda: (lines := self.daemon.log_lines(pattern))[count - 1:] and lines,
                        lambda: f"{count} times {pattern!r} in\n{self.log()}")

    def ask(self, line):
        """One line to the control socket; the answer."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10 * FACTOR)
            peer.connect(self.control)
            peer.sendall(line.encode() + b"\n")
            with peer.makefile() as answer:
                return answer.readline().strip()

    def status(self):
        return json.loads(self.ask("status"))

    def assert_like_new(self, folder, directory=None):
        """In the end the replica equals what a fresh one holds."""
        other = Follower(folder, directory or self.directory.replace(self.folder, f"{folder}/fresh"),
                         "fresh")
        other.start()
        try:
            wait_for(other.dump, other.log)
            wait_for(lambda: self.dump() == other.dump(),
                     lambda: f"its dump to equal a fresh one:\n"
                     f"{difference(self.dump(), other.dump())}\n{self.log()}")
        finally:
            other.daemon.close()
            shutil.rmtree(other.folder)

    def close(self):
        self.daemon.close()


def difference(one, other):
    """What differs of two texts, with some lines around it."""
    return "\n".join(difflib.unified_diff(one.splitlines(), other.splitlines(), "this", "fresh",
                                          lineterm=""))


class Proxy:
    """
    TCP between syncd and slapd that can change what passes: `edit(data)` sees each piece
    that the client sends. `silent`: connections are taken and nothing is ever said.
    """

    def __init__(self, port=None, edit=None, silent=False):
        self.port = free_port()
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.target, self.edit, self.silent = port, edit, silent
        self.accepted = 0
        self._sockets = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(client)
            if self.silent:
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self._sockets.append(server)
            for source, sink, edit in ((client, server, self.edit), (server, client, None)):
                threading.Thread(target=self._copy, args=(source, sink, edit),
                                 daemon=True).start()

    @staticmethod
    def _copy(source, sink, edit):
        try:
            while data := source.recv(65536):
                sink.sendall(edit(data) if edit else data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Every connection ends; new ones are taken."""
        for end in self._sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self._sockets.clear()

    def close(self):
        self._listener.close()
        self.cut()


__all__ = ["DOMAIN", "Follower", "PEOPLE", "Proxy", "mailbox"]
