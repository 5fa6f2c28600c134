"""
A private Active Directory: Samba's domain controller with its LDAP service alone, in a network
namespace of its own (its port 389 cannot be moved), with the attributes of Exchange.
"""

import os
import sys

from .exchange import samba_schema
from .tls import make_certificate
from .wait import Child, run, wait_for

SUFFIX = "DC=acme,DC=example"
USERS = f"CN=Users,{SUFFIX}"

# Straight into the database, while the server is down: the schema cannot be changed by LDAP alone.
LOAD = """\
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
lp = LoadParm()
lp.load(sys.argv[1])
lp.set("dsdb:schema update allowed", "true")
lp.set("ldb:nosync", "true")
db = SamDB(url=sys.argv[2], session_info=system_session(), lp=lp)
for path in sys.argv[3:]:
    with open(path, encoding="utf-8") as ldif:
        text = ldif.read()
    db.transaction_start()
    (db.modify_ldif if "changetype: " in text else db.add_ldif)(text)
    db.transaction_commit()
"""


class Samba:
    """`entries`: LDIF that it has from the start. Bind as ADMIN with PASSWORD."""

    ADMIN = f"CN=Administrator,{USERS}"
    PASSWORD = "Passw0rd.x"
    uri = "ldaps://127.0.0.1"
    suffix = SUFFIX

    def __init__(self, folder, entries=""):
        self.folder = str(folder)
        os.makedirs(f"{self.folder}/logs")
        self.child = None
        self.ca, self.key = make_certificate(self.folder, None, "dc1", "IP:127.0.0.1")
        os.chmod(self.key, 0o600)
        run(["samba-tool", "domain", "provision", f"--targetdir={self.folder}",
             "--realm=ACME.EXAMPLE", "--domain=ACME", "--server-role=dc", "--dns-backend=NONE",
             f"--adminpass={self.PASSWORD}", "--host-name=dc1", "--host-ip=127.0.0.1",
             # File systems without extended attributes do as well.
             f"--option=posix:eadb={self.folder}/eadb.tdb", "--option=ldb:nosync=yes"])
        self.conf = f"{self.folder}/etc/smb.conf"
        attributes, classes = samba_schema(f"CN=Schema,CN=Configuration,{SUFFIX}")
        self.load(attributes, "dn:\nchangetype: modify\nadd: schemaUpdateNow\n"
                  "schemaUpdateNow: 1\n\n" + classes, entries)
        self.start()

    def load(self, *texts):
        """LDIF into the database of a server that does not run."""
        paths = []
        for number, text in enumerate(texts):
            if text:
                paths.append(f"{self.folder}/load{number}.ldif")
                with open(paths[-1], "w", encoding="utf-8") as out:
                    out.write(text)
        run([sys.executable, "-c", LOAD, self.conf, f"{self.folder}/private/sam.ldb", *paths])

    def start(self):
        options = {"server services": "ldap", "bind interfaces only": "yes", "interfaces": "lo",
                   "tls keyfile": self.key, "tls certfile": self.ca, "tls cafile": self.ca,
                   "log file": f"{self.folder}/logs/%m", "pid directory": self.folder}
        self.child = Child(
            ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", "samba", "-i",
             "-M", "single", "-s", self.conf, "--debug-stdout",
             *(f"--option={name}={value}" for name, value in options.items())],
            f"{self.folder}/samba.log")
        wait_for(self._answers, lambda: f"Samba to answer:\n{self.child.log_text()}")

    def _answers(self):
        assert self.child.is_running(), self.child.log_text()
        return run([*self.prefix, "ldapsearch", "-x", "-H", "ldap://127.0.0.1", "-s", "base", "-b",
                    "", "dsServiceName"], check=False).returncode == 0

    @property
    def prefix(self):
        """In front of a command that is to reach it."""
        return ["nsenter", f"--net=/proc/{self.child.pid}/ns/net"]

    def modify(self, ldif):
        """By LDAP, as an administrator of Active Directory would."""
        return run([*self.prefix, "ldapmodify", "-x", "-H", self.uri, "-D", self.ADMIN, "-w",
                    self.PASSWORD], stdin=ldif, env={**os.environ, "LDAPTLS_CACERT": self.ca})

    def close(self):
        if self.child and self.child.is_running():
            self.child.terminate()
