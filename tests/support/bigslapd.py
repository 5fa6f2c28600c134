"""A private slapd that holds a large directory: filled by slapadd, with nothing that slows it."""

import os

from . import bigdirectory
from .slapd import SCHEMA
from .wait import PATIENCE, Child, can_connect, free_port, run, wait_for

CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {schema}/coexist.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
sizelimit unlimited
timelimit unlimited
database mdb
suffix "{suffix}"
rootdn "{root_dn}"
rootpw secret
directory {folder}/db
maxsize {maxsize}
dbnosync
index objectClass,entryCSN,entryUUID eq
access to * by dn.exact="{service_dn}" read by * auth
limits dn.exact="{service_dn}" size=unlimited time=unlimited
overlay syncprov
syncprov-checkpoint 1000 5
syncprov-sessionlog 100000
"""


class BigSlapd:
    """`count` people of bigdirectory; listens on TCP and ldapi."""

    def __init__(self, folder, count):
        self.folder = str(folder)
        self.count = count
        self.suffix = bigdirectory.SUFFIX
        self.root_dn = f"cn=admin,{self.suffix}"
        self.service_dn = f"cn=coexist,{self.suffix}"
        self.port = free_port()
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.ldapi = "ldapi://" + f"{self.folder}/ldapi".replace("/", "%2F")
        self.password = "secret"
        self.password_file = f"{self.folder}/secret"
        self.child = None
        os.makedirs(f"{self.folder}/db")
        with open(self.password_file, "w", encoding="utf-8") as out:
            os.chmod(self.password_file, 0o600)
            out.write(self.password)
        with open(f"{self.folder}/slapd.conf", "w", encoding="utf-8") as out:
            out.write(CONF.format(folder=self.folder, schema=SCHEMA, suffix=self.suffix,
                                  root_dn=self.root_dn, service_dn=self.service_dn,
                                  maxsize=max(1 << 28, count * 8192)))
        self._fill()
        self.start()

    def _fill(self):
        path = f"{self.folder}/all.ldif"
        with open(path, "w", encoding="utf-8") as out:
            bigdirectory.write(self.count, out)
            out.write(f"dn: {self.service_dn}\nobjectClass: applicationProcess\n"
                      "objectClass: simpleSecurityObject\ncn: coexist\nuserPassword: secret\n")
        run(["/usr/sbin/slapadd", "-q", "-f", f"{self.folder}/slapd.conf", "-l", path],
            timeout=PATIENCE * 60)
        os.unlink(path)

    def start(self):
        self.child = Child(["/usr/sbin/slapd", "-d", "0", "-h", f"{self.uri}/ {self.ldapi}",
                            "-f", f"{self.folder}/slapd.conf"], f"{self.folder}/slapd.log")
        wait_for(lambda: can_connect("127.0.0.1", self.port) or not self.child.is_running(),
                 "slapd to listen")
        assert self.child.is_running(), self.child.log_text()

    def section_body(self):
        """What a directory section of coexist.conf says of it."""
        return (f'uri = "{self.uri}"\n  base = "{self.suffix}"\n'
                f'  bind_dn = "{self.service_dn}"\n'
                f'  bind_password_file = "{self.password_file}"')

    def close(self):
        if self.child and self.child.is_running():
            self.child.terminate()
