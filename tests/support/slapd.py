"""A private slapd, set up with what schema/ ships, in either configuration style."""

import os
import re
import shutil
import subprocess

from .wait import Child, can_connect, free_port, run, wait_for

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SCHEMA = os.path.join(TOP, "schema")
EXAMPLE_SUFFIX = "dc=acme,dc=example"

BASE_LDIF = """\
dn: {suffix}
objectClass: dcObject
objectClass: organization
dc: {dc}
o: Acme

dn: ou=people,{suffix}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{suffix}
objectClass: organizationalUnit
ou: groups

dn: ou=services,{suffix}
objectClass: organizationalUnit
ou: services

dn: ou=mail,{suffix}
objectClass: organizationalUnit
ou: mail

dn: cn=coexist,ou=services,{suffix}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: coexist
userPassword: {service_password}

dn: cn=postmaster,ou=services,{suffix}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: postmaster
userPassword: {service_password}

dn: cn=mail administrators,ou=groups,{suffix}
objectClass: groupOfNames
cn: mail administrators
member: cn=postmaster,ou=services,{suffix}
"""

CONFIG_LDIF = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {folder}/slapd.pid
olcArgsFile: {folder}/slapd.args

dn: cn=module{{0}},cn=config
objectClass: olcModuleList
cn: module{{0}}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

include: file:///etc/ldap/schema/cosine.ldif

include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend

dn: olcDatabase={{0}}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {{0}}config
olcAccess: to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth
  manage by * none

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {suffix}
olcRootDN: {root_dn}
olcRootPW: {root_password}
olcDbDirectory: {folder}/db
olcDbMaxSize: 268435456
"""


class Slapd:
    """
    style: "slapd.conf" or "cn=config". `extra` goes behind the database of slapd.conf, `head`
    before everything. The tools run as the manager (root_dn) unless bind=(dn, password) says
    otherwise. `database` goes into the database, before its rules. A command `prefix` runs it
    elsewhere, where it listens on `address`, or on `listeners`, which hold that. is_ours=False:
    a cn=config that knows nothing of us yet.
    """

    def __init__(self, folder, style="slapd.conf", suffix=EXAMPLE_SUFFIX, extra="", seed=True,
                 head="", port=0, database="", address="127.0.0.1", prefix=(), listeners=(),
                 is_ours=True):
        self.folder = str(folder)
        self.style = style
        self.suffix = suffix
        self.root_dn = f"cn=admin,{suffix}"
        self.root_password = "manager secret"
        self.service_dn = f"cn=coexist,ou=services,{suffix}"
        self.admin_dn = f"cn=postmaster,ou=services,{suffix}"
        self.service_password = "service secret"
        self.address = address
        self.prefix = list(prefix)
        self.port = port or free_port()
        self.uri = f"ldap://{address}:{self.port}"
        self.ldapi = "ldapi://" + f"{self.folder}/ldapi".replace("/", "%2F")
        self.listeners = [*(listeners or [f"{self.uri}/"]), self.ldapi]
        self.log = f"{self.folder}/slapd.log"
        self.child = None
        os.makedirs(f"{self.folder}/db")
        if style == "slapd.conf":
            self._write_slapd_conf(head, extra, database)
        else:
            self._write_cn_config()
        self.start()
        if style != "slapd.conf" and is_ours:
            self._load_cn_config()
        if seed:
            self.add(BASE_LDIF.format(suffix=suffix, service_password=self.service_password,
                                      dc=suffix.split(",")[0].split("=")[1]))

    def _for_us(self, text):
        return text.replace(EXAMPLE_SUFFIX, self.suffix)

    def _write_slapd_conf(self, head, extra, database):
        with open(f"{SCHEMA}/slapd.conf.example", encoding="utf-8") as example:
            text = self._for_us(example.read())
        for ours, theirs in ((f"{SCHEMA}/", "/usr/share/coexist/schema/"),
                             (f"{self.folder}/slapd.", "/run/slapd/slapd."),
                             (f"{self.folder}/db", "/var/lib/ldap")):
            assert theirs in text, theirs
            text = text.replace(theirs, ours)
        text, n = re.subn(r"(?m)^(rootdn.*)$", rf'\1\nrootpw "{self.root_password}"', text)
        assert n == 1
        text, n = re.subn(r"(?m)^maxsize.*$", lambda _: f"maxsize 268435456\n{database}", text)
        assert n == 1
        with open(f"{self.folder}/slapd.conf", "w", encoding="utf-8") as conf:
            conf.write(f"{head}\n{text}{extra}\n")
        self.config = ["-f", f"{self.folder}/slapd.conf"]

    def _write_cn_config(self):
        os.makedirs(f"{self.folder}/slapd.d")
        self.config = ["-F", f"{self.folder}/slapd.d"]
        run(["/usr/sbin/slapadd", "-n", "0", "-F", f"{self.folder}/slapd.d"],
            stdin=CONFIG_LDIF.format(folder=self.folder, suffix=self.suffix,
                                     root_dn=self.root_dn, root_password=self.root_password))

    def _load_cn_config(self):
        with open(f"{SCHEMA}/coexist.ldif", encoding="utf-8") as ldif:
            self.configure(ldif.read(), "-a")
        with open(f"{SCHEMA}/cn-config.ldif", encoding="utf-8") as ldif:
            self.configure(self._for_us(ldif.read()))

    def configure(self, ldif, *options):
        """Changes of cn=config, as root."""
        run(["ldapmodify", *options, "-Q", "-Y", "EXTERNAL", "-H", self.ldapi], stdin=ldif)

    def start(self):
        assert self.child is None or not self.child.is_running()
        self.child = Child([*self.prefix, "/usr/sbin/slapd", "-d", "0", "-h", " ".join(self.listeners),
                            *self.config], self.log)
        wait_for(lambda: can_connect(self.address, self.port) or not self.child.is_running(),
                 "slapd to listen")
        assert self.child.is_running(), self.child.log_text()

    def stop(self):
        self.child.terminate()

    def kill(self):
        self.child.kill()

    def restart(self):
        self.stop()
        self.start()

    def is_running(self):
        return self.child.is_running()

    def _bind(self, bind):
        dn, password = bind or (self.root_dn, self.root_password)
        return ["-x", "-H", self.uri, "-D", dn, "-w", password]

    def add(self, ldif, bind=None, check=True):
        return run(["ldapadd", *self._bind(bind)], stdin=ldif, check=check)

    def modify(self, ldif, bind=None, check=True, options=()):
        return run(["ldapmodify", *options, *self._bind(bind)], stdin=ldif, check=check)

    def delete(self, *dns, bind=None, check=True):
        return run(["ldapdelete", *self._bind(bind), *dns], check=check)

    def rename(self, dn, new_rdn, new_superior=None, bind=None, check=True):
        """modrdn; the old RDN's value goes."""
        where = ["-s", new_superior] if new_superior else []
        return run(["ldapmodrdn", *self._bind(bind), "-r", *where, dn, new_rdn], check=check)

    def search(self, filter_="(objectClass=*)", *attributes, base=None, scope="sub", bind=None,
               anonymous=False):
        """{dn: {attribute: [values]}}"""
        who = ["-x", "-H", self.uri] if anonymous else self._bind(bind)
        done = run(["ldapsearch", "-LLL", "-o", "ldif-wrap=no", *who, "-b",
                    self.suffix if base is None else base, "-s", scope, filter_, *attributes],
                   check=False)
        if done.returncode not in (0, 32):
            raise AssertionError(f"ldapsearch: exit {done.returncode}\n{done.stderr}")
        found = {}
        for block in done.stdout.split("\n\n"):
            entry = {}
            for line in filter(None, block.split("\n")):
                name, _, value = line.partition(": ")
                entry.setdefault(name, []).append(value)
            if "dn" in entry:
                found[entry.pop("dn")[0]] = entry
        return found

    def configuration(self):
        """The configuration as LDIF, whatever its style."""
        folder = f"{self.folder}/slapd.d"
        if self.style == "slapd.conf":
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
            subprocess.run(["/usr/sbin/slaptest", *self.config, "-F", folder], check=True,
                           capture_output=True)
        return run(["/usr/sbin/slapcat", "-n", "0", "-o", "ldif-wrap=no", "-F", folder]).stdout

    def close(self):
        if self.child and self.child.is_running():
            self.stop()
