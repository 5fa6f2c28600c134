"""How coexist-syncd gets to a directory, and what it does where that does not work."""

import os
import re
import time

import pytest

from support.faults import edit_and_restart
from support.follower import PEOPLE, Follower, Proxy, mailbox
from support.slapd import Slapd
from support.tls import make_ca, make_certificate
from support.wait import FACTOR, free_port, run, wait_for


@pytest.fixture
def follow(folder, server):
    """follow(key=value...) -> a started Follower; None leaves a key out."""
    made = []

    def make(extra="", **keys):
        keys = {"uri": f'"{server.uri}"', "starttls": "false", "base": f'"{server.suffix}"',
                "bind_dn": f'"{server.service_dn}"',
                "bind_password_file": f'"{folder}/follower/ldap.secret"', **keys}
        text = "\n  ".join(f"{k} = {v}" for k, v in keys.items() if v is not None)
        follower = Follower(folder, f"{text}\n  {extra}")
        made.append(follower)
        return follower

    yield make
    for follower in made:
        follower.close()


# --- Polling ---

def without_syncprov(server):
    edit_and_restart(server, (r"(?m)^(overlay\s+syncprov|syncprov-.*)$", ""))


def test_polls_where_there_is_no_syncprov(folder, server, follow):
    without_syncprov(server)
    syncd = follow('poll_interval = "200ms" full_interval = "500ms"').start()
    syncd.wait_has("adam@acme.example")
    assert syncd.daemon.log_lines("no syncrepl here.*polling")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")
    server.rename(f"uid=cain,{PEOPLE}", "uid=seth")
    syncd.wait_has(f"uid=seth,{PEOPLE}")
    server.delete(f"uid=seth,{PEOPLE}")
    syncd.wait_has_not("cain@acme.example")
    syncd.assert_like_new(folder)


def test_a_polled_directory_goes_on_after_an_outage(folder, server, follow):
    without_syncprov(server)
    server.add("".join(mailbox(f"user{i}") for i in range(1100)))  # three pages
    syncd = follow('poll_interval = "200ms" full_interval = "500ms" sync = "poll"').start()
    syncd.wait_has("user1099@acme.example")
    server.kill()
    syncd.wait_log("lost the connection")
    assert syncd.has("user1099@acme.example")
    server.start()
    server.delete(f"uid=user1099,{PEOPLE}")
    syncd.wait_has_not("user1099@acme.example")
    syncd.assert_like_new(folder)


def test_persist_only_says_what_is_missing(server, follow):
    without_syncprov(server)
    syncd = follow('sync = "persist"').start()
    syncd.wait_log("no syncprov overlay for this database")
    assert not syncd.dump()


# --- Limits and rights: nothing is taken for a deletion ---

def test_a_size_limit_removes_nothing_and_is_said(server, follow):
    server.add("".join(mailbox(f"user{i}") for i in range(10)))
    syncd = follow().start()
    syncd.wait_has("user9@acme.example")
    before = syncd.dump()
    edit_and_restart(server, (r"size=unlimited", "size=3"))
    syncd.ask("refresh corp")
    syncd.wait_log("limits our searches|full refresh ended with result 4")
    syncd.daemon.stop()
    server.delete(f"uid=user9,{PEOPLE}", f"uid=user8,{PEOPLE}")
    server.add("".join(mailbox(f"more{i}") for i in range(10)))
    syncd.start()
    syncd.wait_log("result 4, .*limits our searches")
    assert syncd.dump() == before
    edit_and_restart(server, (r"size=3", "size=unlimited"))
    syncd.ask("refresh corp")
    syncd.wait_has("more9@acme.example")
    syncd.wait_has_not("user9@acme.example")


def test_a_base_that_is_hidden_or_missing_removes_nothing(server, follow):
    syncd = follow().start()
    syncd.wait_has("adam@acme.example")
    before = syncd.dump()
    syncd.daemon.stop()
    edit_and_restart(server, (r"(?m)^# Passwords\..*$",
                          f'access to * by dn.exact="{server.service_dn}" auth by * break\n\\g<0>'))
    server.add(mailbox("cain"))
    syncd.start()
    syncd.wait_log("the base does not exist, or bind_dn may not read it")
    assert syncd.dump() == before


def test_referrals_are_counted_and_not_followed(server, follow):
    server.add(f"dn: ou=elsewhere,{server.suffix}\nobjectClass: referral\n"
               "objectClass: extensibleObject\nou: elsewhere\n"
               "ref: ldap://192.0.2.1/ou=elsewhere,dc=acme,dc=example\n")
    syncd = follow().start()
    syncd.wait_has("adam@acme.example")
    syncd.wait_log("1 referrals? to other servers are not followed")


# --- Who we are ---

def test_a_wrong_password_is_refused_and_a_right_one_taken_on_request(server, follow):
    syncd = follow()
    syncd.write_secret("wrong\n")
    syncd.start()
    line = syncd.wait_log("Invalid credentials")[0]
    assert "wrong" not in line
    wait = float(re.search(r"in ([\d.]+) s", syncd.wait_log("next attempt")[0])[1])
    assert wait > 60  # accounts must not be locked by us
    syncd.write_secret("service secret")  # with no newline at its end
    assert syncd.ask("refresh corp") == "ok"
    syncd.wait_has("adam@acme.example")


def test_a_password_that_others_can_read_is_not_used(server, follow):
    syncd = follow()
    syncd.write_secret("service secret\n", mode=0o644)
    syncd.start()
    syncd.wait_log("others can read or change the password")
    assert not syncd.dump()
    os.chmod(f"{syncd.folder}/ldap.secret", 0o640)
    syncd.wait_has("adam@acme.example")  # read again at the next attempt


def test_external_over_ldapi(server, follow):
    edit_and_restart(server, (r'(?m)^(rootpw.*)$',
                          r'\1\nauthz-regexp "gidNumber=0\\+uidNumber=0,cn=peercred,.*" '
                          f'"{server.service_dn}"'))
    syncd = follow(uri=f'"{server.ldapi}"', sasl_mech='"EXTERNAL"', bind_dn=None,
                   bind_password_file=None).start()
    syncd.wait_has("adam@acme.example")
    server.add(mailbox("cain"))
    syncd.wait_has("cain@acme.example")


# --- TLS ---

@pytest.fixture
def tls(folder, server):
    """slapd with a certificate for 127.0.0.1 of a private authority, StartTLS and ldaps."""
    ca = make_ca(folder, "ca")
    certificate, key = make_certificate(folder, ca, "slapd", "IP:127.0.0.1")
    server.ldaps_port = free_port()
    server.ldaps = f"ldaps://127.0.0.1:{server.ldaps_port}"
    server.listeners.append(server.ldaps)
    edit_and_restart(server, (r"(?m)^(pidfile.*)$", rf"\1\nTLSCACertificateFile {ca}\n"
                          f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n"))
    return ca


@pytest.mark.parametrize("scheme", ["starttls", "ldaps"])
def test_tls_with_a_private_authority(folder, server, tls, follow, scheme):
    how = ({"starttls": "true"} if scheme == "starttls" else
           {"uri": f'"{server.ldaps}"'})
    server.add("".join(mailbox(f"user{i}") for i in range(1500)))
    syncd = follow(tls_ca_file=f'"{tls}"', **how).start()
    syncd.wait_has("user1499@acme.example")
    # TLS records that hold several messages lose none (T1).
    server.modify("".join(
        f"dn: uid=user{i},{PEOPLE}\nchangetype: modify\nreplace: mail\nmail: new{i}@acme.example\n\n"
        for i in range(200)))
    syncd.wait_has("new199@acme.example")
    syncd.assert_like_new(folder)


@pytest.mark.parametrize("scheme", ["starttls", "ldaps"])
@pytest.mark.parametrize("fault", ["unknown authority", "other name"])
def test_tls_that_proves_nothing_is_refused(folder, server, tls, follow, scheme, fault):
    ca = tls
    if fault == "unknown authority":
        ca = make_ca(folder, "stranger")
    else:
        certificate, key = make_certificate(folder, tls, "other", "IP:127.0.0.2,DNS:other.example")
        edit_and_restart(server, (r"slapd\.pem", "other.pem"), (r"(?m)^(TLS.*/)slapd\.key", r"\1other.key"))
    how = ({"starttls": "true"} if scheme == "starttls" else {"uri": f'"{server.ldaps}"'})
    syncd = follow(tls_ca_file=f'"{ca}"', **how).start()
    syncd.wait_log("error:.*certificate")
    assert not syncd.dump()
    syncd.write_conf(syncd.directory + "\n  tls_verify = false")
    syncd.daemon.reload()
    syncd.wait_has("adam@acme.example")


def test_a_missing_ca_file_is_named(folder, tls, follow):
    assert tls
    syncd = follow(tls_ca_file=f'"{folder}/ca.pem"', starttls="true")
    os.rename(f"{folder}/ca.pem", f"{folder}/hidden.pem")
    syncd.daemon.start(wait=False)
    wait_for(lambda: "ca.pem" in syncd.log(), syncd.log)
    os.rename(f"{folder}/hidden.pem", f"{folder}/ca.pem")


# --- Failing over ---

def test_moves_to_the_next_uri_and_stays_there(folder, server, follow):
    other = Slapd(f"{folder}/other", seed=False)
    try:
        other.stop()
        run(["/usr/sbin/slapadd", *other.config],
            stdin=run(["/usr/sbin/slapcat", *server.config]).stdout)
        other.start()
        nobody = f"ldap://127.0.0.1:{free_port()}"
        syncd = follow(uri=f'"{nobody} {server.uri} {other.uri}"').start()
        syncd.wait_has("adam@acme.example")
        assert syncd.status()["directories"][0]["server"] == server.uri
        server.kill()
        syncd.wait_log(f"connected to {other.uri}")
        other.add(mailbox("cain"))
        syncd.wait_has("cain@acme.example")
        # The same data: the cookie of the one is good for the other.
        assert len(syncd.daemon.log_lines("full refresh finished")) == 1
    finally:
        other.close()


@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "starttls"])
def test_a_silent_server_costs_less_than_ten_seconds(server, tls, follow, scheme):
    silent = Proxy(silent=True)
    try:
        uri = silent.uri.replace("ldap:", "ldaps:") if scheme == "ldaps" else silent.uri
        good = server.uri if scheme == "starttls" else server.ldaps
        syncd = follow(uri=f'"{uri} {good}"', tls_ca_file=f'"{tls}"',
                       starttls="true" if scheme == "starttls" else "false")
        begun = time.monotonic()
        syncd.start()
        syncd.wait_has("adam@acme.example")
        assert time.monotonic() - begun < 10 * FACTOR
        assert silent.accepted > 0
    finally:
        silent.close()


def test_a_silent_server_holds_up_neither_control_nor_stop(follow):
    silent = Proxy(silent=True)
    try:
        syncd = follow(uri=f'"{silent.uri}"').start()
        wait_for(lambda: silent.accepted > 0, "a connection")
        begun = time.monotonic()
        assert syncd.status()["directories"][0]["state"] == "connecting"
        syncd.daemon.stop()
        assert time.monotonic() - begun < 3 * FACTOR
    finally:
        silent.close()
