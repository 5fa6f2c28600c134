"""
Relaying by TLS client certificate, through a real Postfix: by the fingerprint of a certificate or
of its key. All clients come from an address that may not relay, which a certificate outdoes.
"""

import ssl
from dataclasses import dataclass

import pytest

from support.ldif import CONTAINERS, connector, domain, mailbox
from support.ledger import At, Refused
from support.wait import run

ELSEWHERE = "x@elsewhere.example"
RELAYED = At("outside", ELSEWHERE)
DENIED = Refused("554 5.7.1")


@dataclass
class Authority:
    """Makes certificates in a folder with openssl."""
    folder: str

    def path(self, name, end):
        return f"{self.folder}/{name}.{end}"

    def make_key(self, name):
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-out", self.path(name, "key")])
        return self.path(name, "key")

    def make_root(self, name):
        run(["openssl", "req", "-x509", "-key", self.make_key(name), "-days", "2",
             "-subj", f"/CN={name}", "-out", self.path(name, "pem")])

    def make(self, name, key=None):
        """Signed by the root "ca"; with a key of its own unless one is given."""
        key = key or self.make_key(name)
        run(["openssl", "req", "-new", "-key", key, "-subj", f"/CN={name}",
             "-out", self.path(name, "csr")])
        run(["openssl", "x509", "-req", "-in", self.path(name, "csr"), "-days", "2",
             "-CA", self.path("ca", "pem"), "-CAkey", self.path("ca", "key"),
             "-CAcreateserial", "-out", self.path(name, "pem")])
        return self.context(name, key)

    def context(self, name, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.path(name, "pem"), key)
        return context

    def fingerprint(self, name):
        """AA:BB:..., as openssl and Postfix write it."""
        done = run(["openssl", "x509", "-in", self.path(name, "pem"), "-noout", "-fingerprint",
                    "-sha256"])
        return done.stdout.strip().partition("=")[2]

    def key_fingerprint(self, name):
        """Without colons."""
        run(["openssl", "pkey", "-in", self.path(name, "key"), "-pubout", "-outform", "DER",
             "-out", self.path(name, "der")])
        done = run(["openssl", "dgst", "-sha256", "-r", self.path(name, "der")])
        return done.stdout.split()[0]


@pytest.fixture(scope="module", name="authority")
def fixture_authority(tmp_path_factory):
    authority = Authority(str(tmp_path_factory.mktemp("tls")))
    authority.make_root("ca")
    authority.make_root("selfmade")
    return authority


@pytest.fixture(scope="module", name="clients")
def fixture_clients(authority):
    """By name: what each presents. "renewed" has the key of "keyed", another certificate."""
    contexts = {name: authority.make(name) for name in ("server", "known", "keyed", "other")}
    contexts["renewed"] = authority.make("renewed", authority.path("keyed", "key"))
    contexts["recertified"] = authority.make("recertified", authority.path("known", "key"))
    contexts["selfmade"] = authority.context("selfmade", authority.path("selfmade", "key"))
    contexts["off"] = authority.make("off")
    contexts["none"] = ssl._create_unverified_context()
    return contexts


@pytest.fixture(scope="module", name="site")
def fixture_site(make_module_site, authority, clients):
    assert clients
    return make_module_site(source="ldif", services=[
        "tlsmgr unix - - n 1000? 1 tlsmgr",
    ], settings={
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": authority.path("server", "pem"),
        "smtpd_tls_key_file": authority.path("server", "key"),
        "smtpd_tls_CAfile": authority.path("ca", "pem"),
        "smtpd_tls_ask_ccert": "yes",
        "smtpd_tls_fingerprint_digest": "sha256",
        "smtpd_tls_session_cache_database": "",
    }, ldif=CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        connector("branch", relayClient="!127.0.0.1", relayCertificate=[
            authority.fingerprint("known"), authority.key_fingerprint("keyed"),
            authority.fingerprint("selfmade")]),
        connector("closed", relayCertificate=authority.fingerprint("off"), enabled="FALSE"),
        mailbox("adam", "adam@acme.example"),
        mailbox("eve", "eve@acme.example", relayAllowed="FALSE"),
        mailbox("board", "board@acme.example", requireAuth="TRUE"),
    ]))


@pytest.mark.parametrize("name,fate", [
    ("known", RELAYED),
    ("keyed", RELAYED),
    ("renewed", RELAYED),
    ("recertified", DENIED),  # the same key, but it was the certificate that is known
    ("selfmade", RELAYED),    # a fingerprint needs no authority
    ("other", DENIED),        # an authority is no permission
    ("off", DENIED),
    ("none", DENIED),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_certificate_relays(site, clients, name, fate):
    ledger = site.ledger()
    with site.connect() as client:
        client.starttls(clients[name])
        ledger.send(client, "sue@outside.example", {
            ELSEWHERE: fate, "adam@acme.example": At("mailboxes", "adam@acme.example"),
            "nobody@acme.example": Refused("550 5.1.1")})
        to_board = Refused("550 5.7.1") if fate is DENIED else At("mailboxes",
                                                                  "board@acme.example")
        ledger.send(client, "sue@outside.example", {"board@acme.example": to_board})
    ledger.balance()


def test_without_tls_it_is_refused(site):
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, "sue@outside.example", {ELSEWHERE: DENIED})
    ledger.balance()
