"""Two slapds that replicate each other."""

import re

from .follower import DOMAIN
from .network import Gate
from .slapd import Slapd
from .wait import free_port, run, wait_for


class Mirror:
    """
    first and second, with server ids 1 and 2. What one gets from the other passes a gate:
    gates[first] is the one that first reads through; hold() makes it lag. Without a session
    log a server names in a refresh what it has, else what was deleted.
    """

    def __init__(self, folder, has_session_log=True):
        ports = [free_port(), free_port()]
        gates = [Gate(ports[1]), Gate(ports[0])]
        servers = []
        self.gates = {}
        for number, (port, gate) in enumerate(zip(ports, gates), 1):
            slapd = Slapd(f"{folder}/provider{number}", seed=False, extra=f"""
syncrepl rid={number:03} provider={gate.uri} type=refreshAndPersist
  retry="1 +" searchbase="dc=acme,dc=example" bindmethod=simple
  binddn="cn=admin,dc=acme,dc=example" credentials="manager secret"
multiprovider on
""")
            servers.append(slapd)
            self.gates[slapd] = gate
            slapd.stop()
            slapd.port, slapd.uri = port, f"ldap://127.0.0.1:{port}"
            slapd.listeners[0] = f"{slapd.uri}/"
            self._edit(f"{slapd.folder}/slapd.conf", number, has_session_log)
        self.first, self.second = servers
        self.both = {self.first: self.second, self.second: self.first}
        for slapd in servers:
            slapd.start()

    @staticmethod
    def _edit(path, number, has_session_log):
        with open(path, encoding="utf-8") as conf:
            text = conf.read()
        text, n = re.subn(r"(?m)^(pidfile.*)$", rf"\1\nserverID {number}", text)
        assert n == 1
        text = re.sub(r"(?m)^(overlay\s+(unique|refint)|unique_uri.*|refint_attributes.*)$", "",
                      text)
        if not has_session_log:
            text, n = re.subn(r"(?m)^syncprov-sessionlog.*$", "", text)
            assert n == 1
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(text)

    def fill(self, ldif=""):
        """
        A tree with a domain and `ldif`. Both have written: a provider whose first change comes
        later is new to a cookie, and sends everything.
        """
        first, second = self.first, self.second
        units = "".join(f"dn: ou={name},{first.suffix}\nobjectClass: organizationalUnit\nou: {name}\n\n"
                        for name in ("people", "services", "mail"))
        run(["ldapadd", "-x", "-H", first.uri, "-D", first.root_dn, "-w", first.root_password],
            stdin=f"dn: {first.suffix}\nobjectClass: dcObject\nobjectClass: organization\n"
            f"dc: acme\no: Acme\n\n{units}dn: {first.service_dn}\nobjectClass: applicationProcess\n"
            "objectClass: simpleSecurityObject\ncn: coexist\n"
            f"userPassword: {first.service_password}\n\n{DOMAIN}{ldif}")
        self.wait_in_step()
        second.modify(f"dn: {first.service_dn}\nchangetype: modify\nadd: description\n"
                      "description: read by coexist-syncd\n")
        self.wait_in_step(servers=2)

    @staticmethod
    def csns(server):
        found = server.search("(objectClass=*)", "contextCSN", scope="base")
        return sorted(found.get(server.suffix, {}).get("contextCSN", []))

    def wait_in_step(self, servers=1):
        wait_for(lambda: len(now := self.csns(self.first)) >= servers and
                 now == self.csns(self.second),
                 lambda: f"replication: {self.csns(self.first)}, {self.csns(self.second)}")

    def close(self):
        for gate in self.gates.values():
            gate.close()
        for slapd in self.both:
            slapd.close()
