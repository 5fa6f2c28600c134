"""
Samba's Active Directory as a directory: polled over ldaps, with users, contacts and groups that
come, change, move and go. Domains and connectors are in a file beside it.
"""

import os

import pytest

from support.directories import Directories
from support.ldif import CONTAINERS, connector, domain
from support.samba import SUFFIX, USERS, Samba
from support.wait import wait_for

MEMBERS = 1600  # Active Directory sends 1500 values of an attribute at once


def ours(name):
    return f"{name}@acme.example"


def dn_of(cn):
    return f"CN={cn},{USERS}"


def object_(cn, kind, **attributes):
    lines = [f"dn: {dn_of(cn)}", f"objectClass: {kind}", f"cn: {cn}"]
    for name, value in attributes.items():
        lines += [f"{name}: {v}" for v in (value if isinstance(value, list) else [value])]
    return "\n".join(lines) + "\n\n"


def user(cn, **attributes):
    return object_(cn, "user", sAMAccountName=cn, **{"mail": ours(cn.lower()), **attributes})


DIRECTORY = "".join([
    user("Adam", userAccountControl="544", proxyAddresses=[
        f"SMTP:{ours('adam.barr')}", f"smtp:{ours('adam')}", "X400:c=us;a= ;p=acme;o=sitea;s=adam",
        "X500:/o=Old/cn=adam", f"SIP:{ours('adam')}", "MS:ACME/PO1/ADAM"]),
    user("Bob", altRecipient=dn_of("Adam")),
    user("Ivan", userAccountControl="546"),
    object_("Eva", "contact", mail=ours("eva"), targetAddress="SMTP:eva@pop.example"),
    user("Carl", altRecipient=dn_of("Eva"), deliverAndRedirect="TRUE"),
    user("Dora", msExchGenericForwardingAddress="smtp:dora@outside.example"),
    user("Hal", msExchHideFromAddressLists="TRUE"),
    "".join(object_(f"C{n}", "contact", mail=ours(f"c{n}")) for n in range(MEMBERS)),
    object_("Big", "group", sAMAccountName="Big", mail=ours("big"),
            member=[dn_of(f"C{n}") for n in range(MEMBERS)]),
    object_("Board", "group", sAMAccountName="Board", mail=ours("board"),
            member=[dn_of("Adam"), dn_of("Ivan")], msExchRequireAuthToSendTo="TRUE"),
    object_("Printers", "group", sAMAccountName="Printers"),
])

FILE = CONTAINERS + "".join([
    domain("acme.example", "authoritative"), domain("pop.example", "relay", forwardHost="pop"),
    connector("pop", "smtp:[192.0.2.1]")])


@pytest.fixture(scope="module", name="ad")
def _ad(module_folder):
    server = Samba(f"{module_folder}/samba", DIRECTORY)
    yield server
    server.close()


@pytest.fixture(name="syncd", scope="module")
def _syncd(ad):
    with open(f"{ad.folder}/password", "w", encoding="utf-8") as out:
        out.write(ad.PASSWORD)
    os.chmod(f"{ad.folder}/password", 0o600)
    made = Directories({"ad": f"""uri = "{ad.uri}"
  base = "{SUFFIX}"
  bind_dn = "{ad.ADMIN}"
  bind_password_file = "{ad.folder}/password"
  tls_ca_file = "{ad.ca}"
  mapping = "exchange"
  poll_interval = "200ms"
  full_interval = "1s\"""", "mail": 'provides = {"domains", "connectors"}'})
    made.write(FILE, "mail")
    made.daemon.prefix = ad.prefix
    made.daemon.start()
    try:
        for name in ("ad", "mail"):
            wait_for(lambda: made.status(name)["loaded"],  # pylint: disable=W0640
                     lambda: made.daemon.log_text()[-4000:])
        yield made
    finally:
        made.close()


def fate(syncd, name, *arguments):
    verdict, *addresses = syncd.fate(name if "@" in name else ours(name), *arguments)
    return [verdict, *sorted(addresses)]


def test_it_is_polled_because_it_offers_no_syncrepl(syncd):
    syncd.wait_log("directory=ad the server offers no syncrepl here .*: polling")
    status = syncd.status("ad")
    assert status["recipients"] == MEMBERS + 9 and status["skipped"] == 0


def test_what_is_decided_of_it(syncd):
    adam = ["deliver", ours("adam.barr")]
    assert {name: fate(syncd, name) for name in (
        "adam", "adam.barr", "IMCEAMS-ACME_PO1_ADAM", "IMCEAX400-c=us+3Bp=acme+3Ba=+20+3Bs=adam+3Bo=sitea",
        "IMCEAEX-_o+3DOld_cn+3Dadam", "bob", "carl", "dora", "eva", "hal", "ivan", "board",
        "printers", "guest")} == {
            "adam": adam, "adam.barr": adam, "IMCEAMS-ACME_PO1_ADAM": adam, "bob": adam,
            "IMCEAX400-c=us+3Bp=acme+3Ba=+20+3Bs=adam+3Bo=sitea": adam,
            "IMCEAEX-_o+3DOld_cn+3Dadam": adam,
            "carl": ["deliver", ours("carl"), "eva@pop.example"],
            "dora": ["deliver", "dora@outside.example"], "eva": ["deliver", "eva@pop.example"],
            "hal": ["deliver", ours("hal")], "ivan": ["deliver", ours("ivan")],
            "board": ["denied"], "printers": ["unknown"], "guest": ["unknown"]}
    assert fate(syncd, "board", "--login", "IVAN") == sorted(
        ["deliver", ours("adam.barr"), ours("ivan")], key=lambda x: (x != "deliver", x))


def test_a_large_group_is_whole(syncd):
    members = fate(syncd, "big")
    assert members == ["deliver", *sorted(ours(f"c{n}") for n in range(MEMBERS))]


def follows(syncd, name, *wanted):
    wait_for(lambda: fate(syncd, name) == list(wanted),
             lambda: f"{name}: {wanted}, is {fate(syncd, name)}\n{syncd.daemon.log_text()[-3000:]}")


def test_changes_are_followed(ad, syncd):
    ad.modify(f"dn: {dn_of('Noah')}\nchangetype: add\nobjectClass: user\nsAMAccountName: noah\n"
              f"mail: {ours('noah')}\n\n")
    follows(syncd, "noah", "deliver", ours("noah"))
    ad.modify(f"dn: {dn_of('Noah')}\nchangetype: modify\nreplace: altRecipient\n"
              f"altRecipient: {dn_of('Ivan')}\n-\nadd: proxyAddresses\n"
              f"proxyAddresses: smtp:{ours('ark')}\n\n")
    follows(syncd, "ark", "deliver", ours("ivan"))
    # The server repairs references: linked attributes change with no change of the entry.
    ad.modify(f"dn: {dn_of('Ivan')}\nchangetype: modrdn\nnewrdn: CN=Ivan the Great\n"
              "deleteoldrdn: 1\n\n")
    wait_for(lambda: "CN=Ivan the Great," in syncd.dump(), syncd.daemon.log_text)
    follows(syncd, "ark", "deliver", ours("ivan"))
    assert fate(syncd, "board", "--login", "ivan")[0] == "deliver"
    ad.modify(f"dn: {dn_of('Noah')}\nchangetype: delete\n\n")
    follows(syncd, "noah", "unknown")
    assert not syncd.daemon.log_lines("kept back")


def test_the_replica_equals_a_new_one(ad, syncd):
    with open(syncd.conf, encoding="utf-8") as conf:
        text = conf.read().split('directory "ad" {\n')[1].split("}\n")[0]
    other = Directories({"ad": text, "mail": 'provides = {"domains", "connectors"}'})
    other.write(FILE, "mail")
    other.daemon.prefix = ad.prefix
    try:
        other.daemon.start()
        for name in ("ad", "mail"):
            wait_for(lambda: other.status(name)["loaded"],  # pylint: disable=W0640
                     lambda: other.daemon.log_text()[-4000:])
        wait_for(lambda: syncd.dump() == other.dump(), "both to be equal")
    finally:
        other.close()
