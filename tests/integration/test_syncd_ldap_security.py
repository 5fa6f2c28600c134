"""Who coexist-syncd believes to be the directory, who it says that it is, and what it lets others see."""

import os
import re

import pytest

from support.daemons import program
from support.follower import DOMAIN, Follower, Proxy, mailbox
from support.kerberos import Kdc
from support.slapd import Slapd
from support.tls import make_ca, make_certificate
from support.wait import free_port, run

SCHEMES = pytest.mark.parametrize("scheme", ["ldaps", "starttls"])
PASSWORD = "service secret"


class Server(Slapd):
    """slapd with StartTLS and ldaps, by default with a certificate that is right."""

    def __init__(self, folder):
        super().__init__(f"{folder}/slapd")
        self.add(DOMAIN + mailbox("adam"))
        self.certificates = folder
        self.ca = make_ca(folder, "ca")
        self.ldaps = f"ldaps://127.0.0.1:{free_port()}"
        self.listeners.append(self.ldaps)
        with open(f"{self.folder}/slapd.conf", encoding="utf-8") as conf:
            self.text = conf.read()

    def begin(self, certificate=None, extra=""):
        """(Re)starts with a certificate and key, and lines for the head of slapd.conf."""
        pem, key = certificate or make_certificate(self.certificates, self.ca, "slapd",
                                                   "IP:127.0.0.1")
        self.stop()
        with open(f"{self.folder}/slapd.conf", "w", encoding="utf-8") as conf:
            conf.write(f"TLSCACertificateFile {self.ca}\nTLSCertificateFile {pem}\n"
                       f"TLSCertificateKeyFile {key}\n{extra}\n{self.text}")
        self.start()

    def options(self, scheme):
        return {"uri": f'"{self.ldaps if scheme == "ldaps" else self.uri}"',
                "starttls": "true" if scheme == "starttls" else "false"}


@pytest.fixture
def server(folder):
    slapd = Server(folder)
    yield slapd
    slapd.close()


@pytest.fixture
def follow(folder, server):
    made = []

    def make(name="follower", syncd="coexist-syncd-fast", **keys):
        keys = {"uri": f'"{server.uri}"', "starttls": "false", "base": f'"{server.suffix}"',
                "bind_dn": f'"{server.service_dn}"',
                "bind_password_file": f'"{folder}/{name}/ldap.secret"', **keys}
        made.append(Follower(folder, "\n  ".join(f"{k} = {v}" for k, v in keys.items()
                                                 if v is not None), name=name, program=syncd))
        return made[-1]

    yield make
    for follower in made:
        follower.close()


def assert_refused(syncd):
    """By us, on grounds of the certificate; and no password was given away."""
    syncd.wait_log("error:.* the certificate is not accepted: not signed by tls_ca_file, expired")
    syncd.wait_log("next attempt in", 2)
    assert not syncd.dump()


# --- The server's certificate ---

def test_a_server_that_is_down_is_not_a_matter_of_certificates(server, follow):
    syncd = follow(uri='"ldap://127.0.0.1:1"', tls_ca_file=f'"{server.ca}"', starttls="true").start()
    syncd.wait_log(r"error: ldap://127\.0\.0\.1:1: connect: Can't contact LDAP server")


@SCHEMES
@pytest.mark.parametrize("fault", ["expired", "self-signed", "other name", "other authority"])
def test_a_certificate_must_be_right_by_default(folder, server, follow, scheme, fault):
    ca = server.ca
    if fault == "other authority":
        ca = make_ca(folder, "stranger")
    server.begin({
        "expired": lambda: make_certificate(folder, server.ca, "old", "IP:127.0.0.1",
                                            is_expired=True),
        "self-signed": lambda: make_certificate(folder, None, "self", "IP:127.0.0.1"),
        "other name": lambda: make_certificate(folder, server.ca, "other",
                                               "IP:127.0.0.2,DNS:other.example"),
        "other authority": lambda: None}[fault]())
    syncd = follow(tls_ca_file=f'"{ca}"', **server.options(scheme)).start()
    assert_refused(syncd)
    # Who mends it is noticed: here by trusting the right authority, or by a new certificate.
    server.begin()
    if fault == "other authority":
        with open(server.ca, encoding="ascii") as good, open(ca, "w", encoding="ascii") as out:
            out.write(good.read())
    syncd.wait_has("adam@acme.example")


def test_a_server_that_refuses_starttls_gets_no_password(server, follow):
    """It has no certificate, or somebody in between says so."""
    sent = []
    proxy = Proxy(server.port, lambda data: sent.append(data) or data)
    try:
        syncd = follow(uri=f'"{proxy.uri}"', starttls="true").start()
        syncd.wait_log("error:.*StartTLS")
        syncd.wait_log("next attempt in", 2)
        assert not syncd.dump()
        assert sent and PASSWORD.encode() not in b"".join(sent)
    finally:
        proxy.close()


@SCHEMES
def test_the_environment_changes_nothing(folder, server, follow, monkeypatch, scheme):
    """Neither LDAP*, ldap.conf nor .ldaprc can switch a check off, or add an authority."""
    server.begin()
    home = f"{folder}/home"
    os.makedirs(home)
    for path in (f"{home}/.ldaprc", f"{home}/ldaprc", f"{folder}/ldap.conf"):
        with open(path, "w", encoding="ascii") as out:
            out.write(f"TLS_REQCERT never\nTLS_CACERT {server.ca}\nDEREF always\nSIZELIMIT 1\n"
                      "KEEPALIVE_IDLE 5\nURI ldap://192.0.2.1\nBASE dc=nowhere\n")
    for name, value in {"HOME": home, "LDAPCONF": f"{folder}/ldap.conf", "LDAPRC": "ldaprc",
                        "LDAPTLS_REQCERT": "never", "LDAPTLS_CACERT": server.ca,
                        "LDAPDEREF": "always", "LDAPSIZELIMIT": "1",
                        "SSLKEYLOGFILE": f"{folder}/keys"}.items():
        monkeypatch.setenv(name, value)
    assert_refused(follow(name="strict", **server.options(scheme)).start())
    syncd = follow(tls_ca_file=f'"{server.ca}"', **server.options(scheme)).start()
    syncd.wait_has("adam@acme.example")
    assert not os.path.exists(f"{folder}/keys")


# --- Who we are ---

@pytest.fixture
def their_leaks(folder, monkeypatch):
    """
    Once for each connection libldap keeps the client certificate and key that it has parsed (tls_g.c),
    and Cyrus SASL the credentials inside TLS: some 20 KB, which are not ours to free.
    """
    with open(f"{folder}/leaks", "w", encoding="ascii") as out:
        out.write("leak:gnutls_x509_crt_init\nleak:gnutls_x509_privkey_init\n"
                  "leak:gss_acquire_cred_from\n")
    monkeypatch.setenv("LSAN_OPTIONS", f"suppressions={folder}/leaks:print_suppressions=0")


def authz(server, pattern):
    return f'authz-regexp "{pattern}" "{server.service_dn}"'


@pytest.mark.usefixtures("their_leaks")
@SCHEMES
def test_a_client_certificate_is_a_login(folder, server, follow, scheme):
    server.begin(extra="TLSVerifyClient demand\n" + authz(server, "cn=syncd"))
    pem, key = make_certificate(folder, server.ca, "syncd", "DNS:syncd.acme.example")
    os.chmod(key, 0o600)
    keys = {"tls_ca_file": f'"{server.ca}"', "bind_dn": None, "bind_password_file": None,
            "sasl_mech": '"EXTERNAL"', **server.options(scheme)}
    nobody = follow(name="nobody", **keys).start()
    nobody.wait_log("next attempt in", 2)
    assert not nobody.dump()
    syncd = follow(tls_cert_file=f'"{pem}"', tls_key_file=f'"{key}"', **keys).start()
    syncd.wait_has("adam@acme.example")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    syncd.assert_like_new(folder)


@pytest.mark.usefixtures("their_leaks")
@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_kerberos_is_a_login(folder, server, follow, monkeypatch, scheme):
    """With a keytab and no ticket; without TLS its own layer encrypts, in packets of many messages."""
    kdc = Kdc(folder)
    try:
        for name, value in {**kdc.env, "KRB5_KTNAME": kdc.add("ldap/127.0.0.1"),
                            "KRB5_CLIENT_KTNAME": kdc.add("coexist"),
                            "KRB5CCNAME": "MEMORY:"}.items():
            monkeypatch.setenv(name, value)
        server.begin(extra="sasl-host 127.0.0.1\nsasl-secprops noanonymous,noplain" +
                     (",minssf=56" if scheme == "ldap" else "") + "\n" +
                     authz(server, "uid=coexist,(cn=[^,]*,)?cn=gssapi,cn=auth"))
        server.add("".join(mailbox(f"user{i}") for i in range(200)))
        syncd = follow(tls_ca_file=f'"{server.ca}"', bind_dn=None, bind_password_file=None,
                       sasl_mech='"GSSAPI"', **server.options(scheme)).start()
        syncd.wait_has("user199@acme.example")
        server.add(mailbox("cain"))
        syncd.wait_has("cain@acme.example")
        syncd.assert_like_new(folder)
    finally:
        kdc.close()


# --- What others can see ---

def memory_of(pid):
    """Everything that a process has written or may write."""
    parts = []
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if not mode.startswith("rw") or line.rstrip().endswith("[vvar]"):
                continue
            left = int(end, 16) - int(start, 16)
            if left > 1 << 30:
                continue  # the shadow of a sanitizer, terabytes of it
            memory.seek(int(start, 16))
            try:
                while left > 0 and (piece := memory.read(min(left, 1 << 24))):
                    parts.append(piece)
                    left -= len(piece)
            except OSError:
                continue
    return b"".join(parts)


@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "starttls"])
def test_the_password_is_nowhere_once_it_was_used(server, follow, scheme):
    server.begin()
    syncd = follow(tls_ca_file=f'"{server.ca}"', **server.options(scheme)).start()
    syncd.wait_has("adam@acme.example")
    pid = syncd.daemon.pid
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            assert PASSWORD.encode() not in file.read()
    memory = memory_of(pid)
    assert server.service_dn.encode() in memory  # it is the right memory
    assert PASSWORD.encode() not in memory
    assert PASSWORD not in syncd.log() + syncd.ask("status")


def test_a_wrong_password_is_nowhere_to_be_read(server, follow):
    syncd = follow(tls_ca_file=f'"{server.ca}"')
    syncd.write_secret("guess what\n")
    syncd.start()
    syncd.wait_log("Invalid credentials")
    assert "guess what" not in syncd.log() + syncd.ask("status")
    assert b"guess what" not in memory_of(syncd.daemon.pid)


def test_nobody_but_root_can_look_into_it(folder, server, follow):
    """As another user: what the kernel lets that user see of it is root's, and there is no core."""
    syncd = follow()
    user = 65534
    for path in (syncd.folder, f"{syncd.folder}/replica", f"{syncd.folder}/ldap.secret",
                 f"{syncd.folder}/secret", syncd.conf):
        os.chown(path, user, user)
    syncd.daemon.prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
                           "--pdeathsig", "KILL"]
    syncd.start()
    syncd.wait_has("adam@acme.example")
    for name in ("mem", "environ", "maps"):
        assert os.stat(f"/proc/{syncd.daemon.pid}/{name}").st_uid == 0, name


# --- The password's file ---

def test_a_password_of_another_user_is_not_used_until_it_is_ours(server, follow):
    syncd = follow(syncd="coexist-syncd")
    path = f"{syncd.folder}/ldap.secret"
    os.chown(path, 12345, -1)
    checked = run([program("coexist-syncd"), "-t", "-c", syncd.conf], check=False)
    assert checked.returncode == 78 and "belongs to another user" in checked.stderr, checked
    syncd.start()
    syncd.wait_log("belongs to another user")
    os.chown(path, 0, -1)
    syncd.wait_has("adam@acme.example")


def test_a_password_that_is_put_right_is_noticed(server, follow):
    """Though the next attempt is minutes off, and nobody asks for it."""
    syncd = follow(syncd="coexist-syncd")
    syncd.write_secret("wrong\n")
    syncd.start()
    wait = float(re.search(r"in ([\d.]+) s", syncd.wait_log("next attempt")[0])[1])
    assert wait > 200
    syncd.write_secret(f"{PASSWORD}\n")
    syncd.wait_has("adam@acme.example")
    assert len(syncd.daemon.log_lines("Invalid credentials")) == 1, syncd.log()
