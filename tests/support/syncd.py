"""coexist-syncd alone, with LDIF directories."""

import json
import os
import shutil
import socket
import tempfile

from .daemons import Daemon, coexistctl
from .wait import PATIENCE, wait_for

DOMAIN = """\
dn: cn=acme,dc=acme,dc=example
objectClass: coexistDomain
cn: acme
associatedDomain: acme.example
coexistDomainType: shared
"""


def mailbox(number, **attributes):
    """A record; more attributes by name, None leaves one out."""
    values = {"dn": f"uid=u{number},ou=people,dc=acme,dc=example",
              "objectClass": "coexistMailbox", "uid": f"u{number}",
              "mail": f"u{number}@acme.example", **attributes}
    return "".join(f"{name}: {value}\n" for name, value in values.items() if value is not None)


def mailboxes(first, count):
    return "\n".join([DOMAIN] + [mailbox(n) for n in range(first, first + count)])


class Syncd:
    """
    A folder with a configuration of LDIF directories (name -> options), and the daemon.
    ldif(name) is the file of a directory.
    """

    def __init__(self, directories=None, options=""):
        self.folder = tempfile.mkdtemp(prefix="cx-")
        os.chmod(self.folder, 0o755)
        self.conf = f"{self.folder}/coexist.conf"
        self.socket = f"{self.folder}/syncd.sock"
        self.configure(directories or {"corp": ""}, options)
        self.daemon = Daemon("coexist-syncd", self.conf, self.folder)

    def configure(self, directories, options=""):
        sections = "".join(f'directory "{name}" {{\n  ldif = "{self.ldif(name)}"\n  {text}\n}}\n'
                           for name, text in directories.items())
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f'replica = "{self.folder}/replica"\nuser = ""\n{options}\n{sections}'
                      f'syncd {{ control = "unix:{self.socket}" }}\nlog {{ level = "debug" }}\n')

    def ldif(self, name="corp"):
        return f"{self.folder}/{name}.ldif"

    def write(self, text, name="corp"):
        """Replaces the file at once."""
        mode = "wb" if isinstance(text, bytes) else "w"
        encoding = None if isinstance(text, bytes) else "utf-8"
        with open(self.ldif(name) + ".new", mode, encoding=encoding) as out:
            out.write(text)
        os.rename(self.ldif(name) + ".new", self.ldif(name))

    def ask(self, *lines):
        """The answers to lines of the control protocol."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(self.socket)
            client.sendall("".join(line + "\n" for line in lines).encode())
            client.shutdown(socket.SHUT_WR)
            with client.makefile(encoding="utf-8") as answers:
                return answers.read().splitlines()

    def status(self, name="corp"):
        """What syncd says of a directory."""
        answer = json.loads(self.ask("status")[0])
        return {d["name"]: d for d in answer["directories"]}[name]

    def wait_status(self, name="corp", deadline=PATIENCE, **wanted):
        """Until the status has these values."""
        last = {}

        def is_there():
            last.update(self.status(name))
            return all(last[key] == value for key, value in wanted.items())

        wait_for(is_there, lambda: f"{wanted}, is {last}\n{self.daemon.log_text()[-2000:]}",
                 deadline)
        return last

    def dump(self):
        return coexistctl(self.conf, "dump", check=True).stdout

    def close(self):
        try:
            self.daemon.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def fresh_dump(texts):
    """The dump of a replica that was made from nothing of these files (name -> text)."""
    syncd = Syncd({name: "" for name in texts})
    try:
        for name, text in texts.items():
            syncd.write(text, name)
        syncd.daemon.start()
        for name in texts:
            syncd.wait_status(name, state="loaded")
        return syncd.dump()
    finally:
        syncd.close()
