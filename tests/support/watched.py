"""All three daemons, and what they show to who watches them."""

import http.client
import os
import socket

from .daemons import Daemon
from .ldif import CONTAINERS, connector, custom, domain, mailbox, person_dn
from .site import leave_to_end
from .wait import free_port, wait_for

DIRECTORY = CONTAINERS + "".join([
    domain("acme.example", "authoritative"),
    domain("pop.acme.example", "relay", forwardHost="192.0.2.25"),
    mailbox("bob", "bob@acme.example"),
    mailbox("adam.barr", "adam.barr@acme.example", altRecipient=person_dn("adam")),
    custom("adam", "SMTP:adam@pop.acme.example", mail="adam@pop.acme.example"),
    mailbox("moving", "moving@acme.example", parked="TRUE"),
    mailbox("ring", "ring@acme.example", altRecipient=person_dn("ring")),
    connector("branch", relayClient="198.51.100.0/24"),
])
DAEMONS = ("syncd", "milter", "policyd")


class Watched:
    """All three daemons with metrics; get(daemon, path) -> (status, type, text)."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.conf = f"{folder}/coexist.conf"
        self.port = {name: free_port() for name in DAEMONS}
        os.makedirs(f"{folder}/replica", exist_ok=True)
        self.write_directory(DIRECTORY)
        with open(f"{folder}/secret", "w", encoding="ascii") as out:
            out.write("secret\n")
        os.chmod(f"{folder}/secret", 0o600)
        with open(self.conf, "w", encoding="utf-8") as out:
            out.write(f"""organization = "acme"
replica = "{folder}/replica"
secret_file = "{folder}/secret"
user = ""
directory "corp" {{ ldif = "{folder}/directory.ldif" }}
syncd {{
  control = "unix:{folder}/syncd"
  metrics_listen = "inet:127.0.0.1:{self.port['syncd']}"
}}
milter {{
  listen = "unix:{folder}/milter"
  metrics_listen = "inet:127.0.0.1:{self.port['milter']}"
}}
policyd {{
  policy_listen = {{"unix:{folder}/policy"}}
  map_listen = {{"unix:{folder}/map"}}
  metrics_listen = "inet:127.0.0.1:{self.port['policyd']}"
}}
""")
        self.daemons = {name: Daemon(f"coexist-{name}", self.conf, folder) for name in DAEMONS}

    def write_directory(self, text):
        with open(f"{self.folder}/new.ldif", "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(f"{self.folder}/new.ldif", f"{self.folder}/directory.ldif")

    def start(self, *names):
        for name in names or DAEMONS:
            self.daemons[name].start()
        for name in names or DAEMONS:
            wait_for(lambda name=name: self.get(name, "/readyz")[0] == 200, f"{name} to be ready")
        state = 'coexist_sync_state{directory="corp",state="loaded"}'
        wait_for(lambda: self.series("syncd")[state] == 1, "syncd to say so")
        return self

    def close(self):
        self.daemons["syncd"].close()
        self.daemons["policyd"].close()
        leave_to_end(self.daemons["milter"], self.folder)

    def connect(self, name):
        return socket.create_connection(("127.0.0.1", self.port[name]), 20)

    def get(self, name, path, method="GET"):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect(name)
        connection.request(method, path)
        answer = connection.getresponse()
        result = answer.status, answer.getheader("Content-Type"), answer.read().decode()
        connection.close()
        return result

    def series(self, name):
        """{"family{labels}": value}"""
        status, kind, text = self.get(name, "/metrics")
        assert status == 200 and kind == "text/plain; version=0.0.4; charset=utf-8"
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
