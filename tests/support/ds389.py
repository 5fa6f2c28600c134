"""A private 389 Directory Server, made without dscreate, which needs systemd."""

import base64
import hashlib
import os
import re
import shutil

from .slapd import EXAMPLE_SUFFIX, SCHEMA
from .wait import Child, can_connect, free_port, run, wait_for

SHARE = "/usr/share/dirsrv/data"
MANAGER = "cn=Directory Manager"
PASSWORD = "manager secret"

# Our schema has to be there before the data; what is written into "cn=schema" later is here too.
SCHEMA_HEAD = """\
dn: cn=schema
objectclass: top
objectclass: ldapSubentry
objectclass: subschema
cn: schema
"""

BACKEND = f"""\
dn: cn=userroot,cn=ldbm database,cn=plugins,cn=config
objectClass: extensibleObject
objectClass: nsBackendInstance
cn: userroot
nsslapd-suffix: {EXAMPLE_SUFFIX}

dn: cn="{EXAMPLE_SUFFIX}",cn=mapping tree,cn=config
objectClass: extensibleObject
objectClass: nsMappingTree
cn: {EXAMPLE_SUFFIX}
nsslapd-state: backend
nsslapd-backend: userroot

dn: {EXAMPLE_SUFFIX}
objectClass: domain
dc: acme
aci: (targetattr="*")(version 3.0; acl "all"; allow (read,search,compare) userdn="ldap:///anyone";)

dn: ou=people,{EXAMPLE_SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=mail,{EXAMPLE_SUFFIX}
objectClass: organizationalUnit
ou: mail

dn: cn=coexist,{EXAMPLE_SUFFIX}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: coexist
userPassword: service secret
"""


class Ds389:
    """`plugins`: names of plugins that are switched on, with further lines of configuration."""

    def __init__(self, folder, plugins=None):
        self.folder = str(folder)
        self.port = free_port()
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.suffix = EXAMPLE_SUFFIX
        for name in ("config/schema", "db", "log", "run", "tmp"):
            os.makedirs(f"{self.folder}/{name}")
        self._write_schema()
        self._write_configuration(plugins or {})
        shutil.copy("/etc/dirsrv/config/slapd-collations.conf", f"{self.folder}/config")
        self.start()
        self.add(BACKEND)

    def _write_schema(self):
        with open(f"{SCHEMA}/coexist.ldif", encoding="utf-8") as ours:
            lines = ours.read().replace("\n ", "").split("\n")
        with open(f"{self.folder}/config/schema/99user.ldif", "w", encoding="utf-8") as out:
            out.write(SCHEMA_HEAD)
            for line in lines:
                found = re.match(r"olc(AttributeTypes|ObjectClasses): (.*)", line)
                if found:
                    out.write(f"{found[1][0].lower()}{found[1][1:]}: {found[2]}\n")

    def _write_configuration(self, plugins):
        config, log, run_ = (f"{self.folder}/{name}" for name in ("config", "log", "run"))
        tmp = f"{self.folder}/tmp"
        salt = b"saltsalt"
        digest = hashlib.sha512(PASSWORD.encode() + salt).digest() + salt
        values = {
            "schema_dir": f"{config}/schema", "cert_dir": config, "config_dir": config,
            "log_dir": log, "run_dir": run_, "lock_dir": run_, "inst_dir": run_, "tmp_dir": tmp,
            "ldif_dir": tmp, "bak_dir": tmp, "db_dir": f"{self.folder}/db",
            "db_home_dir": f"{self.folder}/db", "db_lib": "bdb", "fqdn": "localhost",
            "ds_port": str(self.port), "ds_user": "root", "rootdn": MANAGER,
            "ds_passwd": "{SSHA512}" + base64.b64encode(digest).decode(),
            "ldapi_enabled": "off", "ldapi": f"{run_}/ldapi", "ldapi_autobind": "off",
            "ds_suffix": self.suffix, "ds_bename": "userroot"}
        with open(f"{SHARE}/template-dse.ldif", encoding="utf-8") as template:
            text = re.sub(r"%(\w+)%", lambda m: values[m[1]], template.read())
        text = text.replace("cn: config\n", "cn: config\nnsslapd-listenhost: 127.0.0.1\n", 1)
        for name, lines in plugins.items():
            text, n = re.subn(rf"(?s)(dn: cn={name},cn=plugins,cn=config\n.*?"
                              r"nsslapd-pluginEnabled: )off", rf"\1on{lines}", text, flags=re.I)
            assert n == 1, name
        with open(f"{config}/dse.ldif", "w", encoding="utf-8") as out:
            out.write(text)

    def start(self):
        self.child = Child(["/usr/sbin/ns-slapd", "-D", f"{self.folder}/config", "-i",
                            f"{self.folder}/run/pid", "-d", "0"], f"{self.folder}/output")
        wait_for(lambda: can_connect("127.0.0.1", self.port) or not self.child.is_running(),
                 "389 to listen")
        assert self.child.is_running(), self._errors()

    def _errors(self):
        with open(f"{self.folder}/log/errors", encoding="utf-8", errors="replace") as log:
            return self.child.log_text() + log.read()

    def _bind(self):
        return ["-x", "-H", self.uri, "-D", MANAGER, "-w", PASSWORD]

    def add(self, ldif):
        return run(["ldapadd", *self._bind()], stdin=ldif)

    def modify(self, ldif):
        return run(["ldapmodify", *self._bind()], stdin=ldif)

    def delete(self, *dns):
        return run(["ldapdelete", *self._bind(), *dns])

    def rename(self, dn, new_rdn):
        return run(["ldapmodrdn", *self._bind(), "-r", dn, new_rdn])

    def stop(self):
        self.child.terminate()

    def close(self):
        if self.child.is_running():
            self.stop()
