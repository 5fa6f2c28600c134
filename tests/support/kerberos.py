"""A private Kerberos realm."""

import os

from .wait import Child, can_connect, free_port, run, wait_for

REALM = "ACME.EXAMPLE"


class Kdc:
    """
    A KDC on a port of its own. `env` makes a program use it; add(principal) returns a keytab.
    """

    def __init__(self, folder):
        self.folder = f"{folder}/kdc"
        os.makedirs(self.folder)
        self.port = free_port()
        self.env = {"KRB5_CONFIG": f"{self.folder}/krb5.conf",
                    "KRB5_KDC_PROFILE": f"{self.folder}/kdc.conf"}
        # Names as they are written: the tests have addresses, and ask no name server.
        self._write("krb5.conf", f"""[libdefaults]
  default_realm = {REALM}
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  qualify_shortname = ""
[realms]
  {REALM} = {{
    kdc = 127.0.0.1:{self.port}
  }}
""")
        self._write("kdc.conf", f"""[realms]
  {REALM} = {{
    database_name = {self.folder}/principal
    key_stash_file = {self.folder}/stash
    acl_file = {self.folder}/acl
    kdc_listen = 127.0.0.1:{self.port}
    kdc_tcp_listen = 127.0.0.1:{self.port}
  }}
[logging]
  kdc = STDERR
""")
        self._run("/usr/sbin/kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        self.child = Child(["/usr/sbin/krb5kdc", "-n", "-P", f"{self.folder}/pid"],
                           f"{self.folder}/kdc.log", env={**os.environ, **self.env})
        wait_for(lambda: can_connect("127.0.0.1", self.port) or not self.child.is_running(),
                 lambda: f"the KDC\n{self.child.log_text()}")
        assert self.child.is_running(), self.child.log_text()

    def _write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="ascii") as out:
            out.write(text)

    def _run(self, *argv):
        run(argv, env={**os.environ, **self.env})

    def add(self, principal):
        keytab = f"{self.folder}/{principal.replace('/', '-')}.keytab"
        self._run("/usr/sbin/kadmin.local", "addprinc", "-randkey", principal)
        self._run("/usr/sbin/kadmin.local", "ktadd", "-k", keytab, principal)
        return keytab

    def close(self):
        self.child.terminate()
