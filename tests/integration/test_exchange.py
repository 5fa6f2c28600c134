"""
The mappings `exchange` and `laser` on a real slapd with the attributes of Microsoft and of
inetLocalMailRecipient, and what is decided of them; overrides of single names on top.
"""

import os

import pytest

from support.daemons import program
from support.directories import Directories
from support.exchange import ExchangeSlapd, guid_of, object_
from support.ldif import SUFFIX, connector, domain, entry
from support.wait import run, wait_for

USERS = f"ou=people,{SUFFIX}"


def ours(name):
    return f"{name}@acme.example"


def dn_of(cn):
    return f"CN={cn},{USERS}"


def user(cn, login=None, **attributes):
    return object_(dn_of(cn), ["user"], f"cn: {cn}", f"sn: {cn}",
                   f"sAMAccountName: {login or cn.split()[0]}", **attributes)


def contact(cn, **attributes):
    return object_(dn_of(cn), ["contact"], f"cn: {cn}", f"sn: {cn}", **attributes)


def group(cn, *members, **attributes):
    return object_(dn_of(cn), ["group"], f"cn: {cn}", "groupType: -2147483646",
                   *(f"member: {dn_of(m)}" for m in members), **attributes)


SERVER = "CN=Microsoft MTA,CN=MAIL2,CN=Servers,CN=First Administrative Group,CN=Acme,CN=Services"

DIRECTORY = "".join([
    domain("acme.example", "authoritative"), domain("pop.example", "relay", forwardHost="pop"),
    connector("pop", "smtp:[192.0.2.1]"), connector("mail2", "smtp:[192.0.2.2]"),
    connector("x400", "smtp:[192.0.2.3]", addressSpace="X400:c=us;a= ;p=acme;o=siteb"),
    connector("notes", "smtp:[192.0.2.4]", addressSpace="NOTES:*"),
    user("Adam Barr", "ABarr", mail=ours("adam"), userAccountControl="512", mailNickname="adam",
         legacyExchangeDN="/o=Acme/ou=HQ/cn=Recipients/cn=adam", proxyAddresses=[
             f"SMTP:{ours('adam')}", f"smtp:{ours('Adam.Barr')}", f"{ours('no.type')}",
             "X400:c=US;a= ;p=Acme;o=SiteA;s=Barr;g=Adam;", "x500:/o=Old/ou=HQ/cn=Recipients/cn=adam",
             f"SIP:{ours('adam')}", "MS:ACME/PO1/ADAM", "NOTES:Adam Barr/Acme@Acme",
             "EUM:4711;phone-context=uc.acme.example", "not an address@@"]),
    user("Bob", mail=ours("bob"), altRecipient=dn_of("Adam Barr")),
    user("Carl", mail=ours("carl"), altRecipient=dn_of("Eva"), deliverAndRedirect="TRUE"),
    user("Dora", mail=ours("dora"), msExchGenericForwardingAddress="smtp:dora@outside.example"),
    user("Dirk", mail=ours("dirk"), msExchGenericForwardingAddress="smtp:dirk@outside.example",
         altRecipient=dn_of("Adam Barr"), deliverAndRedirect="FALSE"),
    contact("Eva", mail=ours("eva"), targetAddress="SMTP:eva@pop.example",
            proxyAddresses=[f"SMTP:{ours('eva')}", "smtp:eva@pop.example"]),
    contact("Fred", targetAddress="SMTP:fred@outside.example"),
    contact("Xaver", mail=ours("xaver"), targetAddress="X400:c=us;a= ;p=acme;o=siteb;s=Xaver"),
    contact("Nora", mail=ours("nora"), targetAddress="NOTES:Nora/Sales@Acme"),
    user("Gil", mail=ours("gil"), targetAddress="SMTP:gil@outside.example"),
    user("Hal", mail=ours("hal"), msExchHideFromAddressLists="TRUE"),
    user("Ivan", mail=ours("ivan"), userAccountControl="514"),
    user("Jan", mail=ours("jan"), homeMTA=SERVER),
    user("Kim", mail=ours("kim"), homeMTA=f"CN=MAIL9,{SUFFIX}"),
    user("Nick", mailNickname="nick"),
    group("Staff", "Adam Barr", "Eva", "Inner", "Nick", mail=ours("staff"),
          msExchRequireAuthToSendTo="TRUE"),
    group("Inner", "Ivan", "Adam Barr", "Staff", mail=ours("inner")),
    group("Security"),
    object_(f"cn=Folder,{USERS}", ["publicFolder"], "cn: Folder", mail=ours("folder")),
    entry(f"cn=printer,{USERS}", "objectClass: device", "cn: printer"),
])


def ldap(server, extra):
    return f"""uri = "{server.uri}"
  base = "{server.suffix}"
  bind_dn = "{server.root_dn}"
  bind_password_file = "{server.folder}/password"
  {extra}"""


def make(server, extra, options=""):
    """A syncd over this server, loaded."""
    with open(f"{server.folder}/password", "w", encoding="utf-8") as out:
        out.write(server.root_password)
    os.chmod(f"{server.folder}/password", 0o600)
    syncd = Directories({"ad": ldap(server, extra)}, options)
    syncd.daemon.start()
    wait_for(lambda: syncd.status("ad")["loaded"], lambda: syncd.daemon.log_text()[-4000:])
    return syncd


@pytest.fixture(scope="module", name="exchange")
def _exchange(module_folder):
    server = ExchangeSlapd(f"{module_folder}/ad")
    syncd = None
    try:
        server.add(DIRECTORY)
        syncd = make(server, 'mapping = "exchange"')
        yield syncd
    finally:
        if syncd:
            syncd.close()
        server.close()


SELF = "deliver"
FATES = {
    "a mailbox": ("adam", [SELF, ours("adam")]),
    "its proxy": ("ADAM.BARR", [SELF, ours("adam")]),
    "a proxy with no type": ("no.type", [SELF, ours("adam")]),
    "an X.400 proxy": ("IMCEAX400-S=Barr+3BG=Adam+3BO=SiteA+3BP=Acme+3BA=+20+3BC=US",
                       [SELF, ours("adam")]),
    "an X.500 proxy": ("IMCEAEX-_o+3DOld_ou+3DHQ_cn+3DRecipients_cn+3Dadam", [SELF, ours("adam")]),
    "legacyExchangeDN is none": ("IMCEAEX-_o+3DAcme_ou+3DHQ_cn+3DRecipients_cn+3Dadam", ["unknown"]),
    "an MS Mail proxy": ("IMCEAMS-ACME_PO1_ADAM", [SELF, ours("adam")]),
    "a proxy of any type": ("IMCEANOTES-Adam+20Barr_Acme+40Acme", [SELF, ours("adam")]),
    "mailNickname is none": ("nick", ["unknown"]),
    "a login name is none": ("abarr", ["unknown"]),
    "redirected": ("bob", [SELF, ours("adam")]),
    "copied": ("carl", [SELF, ours("carl"), "eva@pop.example"]),
    "forwarded": ("dora", [SELF, "dora@outside.example"]),
    "redirected, not forwarded": ("dirk", [SELF, ours("adam")]),
    "a contact": ("eva", [SELF, "eva@pop.example"]),
    "a contact with no address of ours": ("fred", ["unknown"]),
    "a contact on X.400": ("xaver", [SELF, ours("IMCEAX400-c=us+3Ba=+20+3Bp=acme+3Bo=siteb+3Bs=Xaver")]),
    "a contact of another type": ("nora", [SELF, ours("IMCEANOTES-Nora_Sales+40Acme")]),
    "a user with a target": ("gil", [SELF, "gil@outside.example"]),
    "hidden": ("hal", [SELF, ours("hal")]),
    "disabled": ("ivan", [SELF, ours("ivan")]),
    "on another server": ("jan", [SELF, ours("jan")]),
    "on a server that nobody knows": ("kim", ["broken"]),
    "a group for members only": ("staff", ["denied"]),
    "a group with one in it": ("inner", [SELF, ours("adam"), ours("ivan")]),
    "a public folder": ("folder", [SELF, ours("folder")]),
}


@pytest.mark.parametrize("case", FATES)
def test_exchange_decides(exchange, case):
    name, fate = FATES[case]
    is_ = exchange.fate(ours(name))
    assert [is_[0], *sorted(is_[1:])] == [fate[0], *sorted(fate[1:])]


def test_exchange_routes_and_permits(exchange):
    answers = exchange.resolve(*(ours(n) for n in ("jan", "xaver", "nora", "eva")))
    assert [a["deliveries"][0]["nexthop"] for a in answers.values()] == [
        "smtp:[192.0.2.2]", "smtp:[192.0.2.3]", "smtp:[192.0.2.4]", "smtp:[192.0.2.1]"]
    staff = exchange.fate(ours("staff"), "--login", "ivan")
    assert sorted(staff) == sorted(["deliver", ours("adam"), ours("ivan"), "eva@pop.example"])
    for login, allowed in (("ABARR", True), ("abarr", True), ("adam", False), (ours("adam"), True),
                           ("nobody", False)):
        relay = exchange.resolve("x@outside.example", arguments=["--login", login])
        assert relay["x@outside.example"]["relay"]["allowed"] is allowed, login
    exchange.wait_log('value left out: proxyAddresses: "not an address@@": not an address '
                      'dn="[cC][nN]=Adam Barr,')
    assert "cn=Security" not in exchange.dump().replace("CN=", "cn=")


def test_objects_without_entryuuid_are_known_by_objectguid(folder):
    """Active Directory has no entryUUID. Renamed and moved, an object stays the one it was."""
    server = ExchangeSlapd(f"{folder}/ad")
    path = f"{server.folder}/slapd.conf"
    with open(path, encoding="utf-8") as conf:
        text = conf.read()
    with open(path, "w", encoding="utf-8") as conf:
        conf.write(text.replace("access to attrs=userPassword", "access to attrs=entryUUID\n"
                                "\tby * none\n\naccess to attrs=userPassword"))
    server.restart()
    syncd = None
    try:
        server.add(domain("acme.example", "authoritative")
                   + "".join(user(f"U{n}", mail=ours(f"u{n}")) for n in range(30))
                   + user("Ref", mail=ours("ref"), altRecipient=dn_of("U1")))
        # Its own account: what hides entryUUID does not bind the manager.
        with open(f"{server.folder}/service", "w", encoding="utf-8") as out:
            out.write(server.service_password)
        os.chmod(f"{server.folder}/service", 0o600)
        section = ldap(server, 'mapping = "exchange"\n  sync = poll\n  poll_interval = "100ms"')
        section = section.replace(server.root_dn, server.service_dn).replace(
            f"{server.folder}/password", f"{server.folder}/service")
        syncd = Directories({"ad": section})
        syncd.daemon.start()
        wait_for(lambda: syncd.status("ad")["loaded"], lambda: syncd.daemon.log_text()[-4000:])
        seen, = server.search("(cn=U1)", "entryUUID", "objectGUID", bind=(
            server.service_dn, server.service_password)).values()
        assert list(seen.values()) == [[guid_of(dn_of("U1"))]]
        for n in range(25):
            server.rename(dn_of(f"U{n}"), f"CN=V{n}")
        wait_for(lambda: "CN=V24," in syncd.dump() or "cn=V24," in syncd.dump(),
                 lambda: f"{syncd.dump()}\n{syncd.daemon.log_text()[-3000:]}")
        # 25 of 31 vanished and came anew, if they were not known: the valve would have shut.
        wait_for(lambda: syncd.status("ad")["recipients"] == 31, lambda: syncd.status("ad"))
        assert not syncd.daemon.log_lines("kept back")
        assert syncd.daemon.log_lines("refreshed: changed=[0-9]+ removed=0")
        assert not syncd.daemon.log_lines("refreshed: .*removed=[1-9]")
    finally:
        if syncd:
            syncd.close()
        server.close()


# --- laser ---


def laser(name, **attributes):
    lines = [f"uid: {name}", f"cn: {name}", f"sn: {name}"]
    for key, value in attributes.items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{key}: {v}" for v in values]
    return entry(f"uid={name},{USERS}", "objectClass: inetOrgPerson",
                 "objectClass: inetLocalMailRecipient", *lines)


LASER = "".join([
    domain("acme.example", "authoritative"), connector("mail2.acme.example", "smtp:[192.0.2.2]"),
    laser("adam", mail=ours("adam"), mailLocalAddress=[ours("adam"), ours("a.barr")],
          mailHost="here.acme.example"),
    laser("bob", mailLocalAddress=ours("bob"), mailHost="mail2.acme.example"),
    laser("carl", mailLocalAddress=ours("carl"), mailRoutingAddress="carl@pop.example"),
    laser("dora", mailLocalAddress=ours("dora"), mailRoutingAddress=ours("dora"),
          mailHost="mail2.acme.example"),
    laser("eve", mailLocalAddress=ours("eve"), mailHost="gone.acme.example"),
    laser("fay", mail=ours("fay")),
    entry(f"cn=staff,{USERS}", "objectClass: groupOfNames", "objectClass: inetLocalMailRecipient",
          "cn: staff", f"mailLocalAddress: {ours('staff')}",
          *(f"member: uid={m},{USERS}" for m in ("adam", "carl"))),
    entry(f"uid=plain,{USERS}", "objectClass: inetOrgPerson", "uid: plain", "cn: plain",
          "sn: plain", f"mail: {ours('plain')}"),
])


def test_laser_decides(folder):
    server = ExchangeSlapd(f"{folder}/laser")
    syncd = None
    try:
        server.add(LASER)
        syncd = make(server, 'mapping = "laser"', 'local_servers = {"here.acme.example"}')
        answers = {a.split("@")[0]: [x["verdict"], *((d["address"], d["nexthop"])
                                                     for d in x["deliveries"])]
                   for a, x in syncd.resolve(*(ours(n) for n in (
                       "adam", "a.barr", "bob", "carl", "dora", "eve", "fay", "plain"))).items()}
        assert answers == {
            "adam": ["deliver", (ours("adam"), None)], "a.barr": ["deliver", (ours("adam"), None)],
            "bob": ["deliver", (ours("bob"), "smtp:[192.0.2.2]")],
            "carl": ["deliver", ("carl@pop.example", None)],
            "dora": ["deliver", (ours("dora"), "smtp:[192.0.2.2]")],
            "eve": ["deliver", (ours("eve"), "relay:[gone.acme.example]")],
            "fay": ["deliver", (ours("fay"), None)], "plain": ["unknown"]}
        assert sorted(syncd.fate(ours("staff"))) == sorted(["deliver", ours("adam"),
                                                            "carl@pop.example"])
        server.modify(f"dn: uid=carl,{USERS}\nchangetype: modify\ndelete: mailRoutingAddress\n")
        wait_for(lambda: syncd.fate(ours("carl")) == ["deliver", ours("carl")], "the change")
    finally:
        if syncd:
            syncd.close()
        server.close()


# --- Overrides ---


PERSON = "".join([
    domain("acme.example", "authoritative"),
    connector("mail2", "smtp:[192.0.2.2]"),
    user("Adam", mail=ours("adam"), proxyAddresses=f"smtp:{ours('adam2')}",
         userPrincipalName="adam@login.example", info="SMTP:adam@outside.example",
         msExchHomeServerName="/o=Acme/ou=HQ/cn=Configuration/cn=Servers/cn=MAIL2",
         manager=dn_of("Boss"), title="TRUE"),
    user("Boss", mail=ours("boss"), title="FALSE"),
    group("Team", "Adam", mail=ours("team"), managedBy=dn_of("Boss"), info=ours("boss")),
])

# option -> (attribute, question, the answer with it and not without)
OVERRIDES = {
    "mail": ("info", ours("adam"), "mail: adam@outside.example"),
    "proxy_address": ("info", ours("adam2"), ["unknown"]),
    "target_address": ("info", ours("adam"), ["deliver", "adam@outside.example"]),
    "forwarding_address": ("info", ours("adam"), ["deliver", "adam@outside.example"]),
    "alt_recipient": ("manager", ours("adam"), ["deliver", ours("boss")]),
    "home_server": ("msExchHomeServerName", ours("adam"), "smtp:[192.0.2.2]"),
    "login": ("userPrincipalName", "adam@login.example", True),
    "member": ("managedBy", ours("team"), ["deliver", ours("boss")]),
    "require_auth": ("title", ours("adam"), ["denied"]),
    "member_address": ("info", ours("team"), ["deliver", ours("adam"), ours("boss")]),
}


@pytest.fixture(scope="module", name="overridden")
def _overridden(module_folder):
    """(slapd, a syncd that reads it with no override)"""
    server = ExchangeSlapd(f"{module_folder}/override")
    syncd = None
    try:
        server.add(PERSON)
        syncd = make(server, 'mapping = "exchange"')
        yield server, syncd
    finally:
        if syncd:
            syncd.close()
        server.close()


@pytest.mark.parametrize("option", OVERRIDES)
def test_one_name_is_overridden(overridden, option):
    server, syncd = overridden
    attribute, question, wanted = OVERRIDES[option]
    before = syncd.dump()

    def answer():
        if option == "mail":
            return wanted in syncd.dump()
        if option == "login":
            return syncd.resolve("x@outside.example", arguments=["--login", question])[
                "x@outside.example"]["relay"]["allowed"]
        deliveries = syncd.resolve(question)[question]["deliveries"]
        return deliveries[0]["nexthop"] if option == "home_server" else syncd.fate(question)

    expected = True if option == "mail" else wanted
    assert answer() != expected
    syncd.configure({"ad": ldap(server, f'mapping = "exchange"\n'
                                        f'  attributes {{ {option} = "{attribute}" }}')})
    syncd.reload()
    wait_for(lambda: answer() == expected, lambda: f"{option}: {expected}, is {answer()}\n{syncd.dump()}\n{syncd.daemon.log_text()}")
    # Taken back, everything is as it was.
    syncd.configure({"ad": ldap(server, 'mapping = "exchange"')})
    syncd.reload()
    wait_for(lambda: syncd.dump() == before, lambda: f"{before}\n{syncd.dump()}\n{syncd.daemon.log_text()}")


@pytest.mark.parametrize("text, said", [
    ('mapping = "exchnage"', ":{line}: mapping: 'exchnage' is none of: coexist, exchange, laser"),
    ('attributes { targetaddress = "x" }', ":{line}: unknown option 'targetaddress', did you mean 'target_address'?"),
    ('attributes { login = "uid=adam" }', ":{line}: login: 'uid=adam' is not the name of an attribute"),
    ('attributes { mail = "mail, info" }', ":{line}: mail: 'mail, info' is not the name of an attribute"),
    ('attributes { mail = "rfc822;lang-de" }', "is not the name of an attribute"),
    ('attributes = { "mail" }', ":{line}:"),
    ('target_address = "x"', ":{line}: option 'target_address' does not belong here"),
])
def test_a_wrong_override_is_refused_with_its_line(folder, text, said):
    conf = f"{folder}/coexist.conf"
    with open(conf, "w", encoding="utf-8") as out:
        out.write(f'replica = "{folder}"\nuser = ""\n\ndirectory "ad" {{\n  ldif = "x"\n  {text}\n}}\n')
    done = run([program("coexist-syncd"), "-t", "-c", conf], check=False)
    assert done.returncode == 78
    assert conf + said.format(line=6) in done.stderr or (
        said[0] != ":" and said in done.stderr), done.stderr


