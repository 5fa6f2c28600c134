"""coexist-syncd with several directories at once, LDAP servers and LDIF files, and what it decides."""

import json
import os

from .daemons import Daemon, coexistctl
from .syncd import Syncd
from .wait import wait_for


class Directories(Syncd):
    """
    Like Syncd; a section whose text has a `uri` is an LDAP directory. The program is the one
    with short times.
    """

    def __init__(self, directories, options=""):
        super().__init__(directories, options)
        self.daemon = Daemon("coexist-syncd-fast", self.conf, self.folder)

    def configure(self, directories, options=""):
        sections = "".join(
            f'directory "{name}" {{\n  {text}\n'
            + ("" if "uri =" in text or "ldif =" in text else f'  ldif = "{self.ldif(name)}"\n')
            + "}\n" for name, text in directories.items())
        with open(self.conf + ".new", "w", encoding="utf-8") as out:
            out.write(f'replica = "{self.folder}/replica"\nuser = ""\n{options}\n{sections}'
                      f'syncd {{ control = "unix:{self.socket}" }}\nlog {{ level = "debug" }}\n')
        os.rename(self.conf + ".new", self.conf)

    def reload(self):
        """Returns when the new configuration is in force."""
        count = len(self.daemon.log_lines("configuration reloaded"))
        self.daemon.reload()
        self.wait_log("configuration reloaded", count + 1)

    def wait_log(self, pattern, count=1):
        """The lines, as soon as there are so many."""
        return wait_for(lambda: (lines := self.daemon.log_lines(pattern))[count - 1:] and lines,
                        lambda: f"{count} times {pattern!r} in\n{self.daemon.log_text()[-4000:]}")

    def resolve(self, *addresses, arguments=()):
        """{address: the JSON object}, of one snapshot each."""
        done = coexistctl(self.conf, "resolve", "-", "--json", *arguments,
                          stdin="".join(a + "\n" for a in addresses))
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(addresses), done.stdout + done.stderr
        return dict(zip(addresses, answers))

    def fate(self, address, *arguments):
        """["deliver", where it goes ...], or [verdict]."""
        answer = self.resolve(address, arguments=arguments)[address]
        return [answer["verdict"], *(d["address"] for d in answer["deliveries"])]
