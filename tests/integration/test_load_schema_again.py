"""coexist-load-schema on servers that have something already, or less than a fresh Debian slapd."""

import pathlib
import tempfile

import pytest

from support import slapd as support
from support.daemons import TOP
from support.slapd import SCHEMA, Slapd
from support.wait import run

# Blanks, brackets, letters beyond ASCII: each means something to a filter, a URI or a shell.
ODD = "o=Gr\u00f6\u00dfe & Co (50% $HOME)"
DATABASE = """\
dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: {suffix}
olcDbDirectory: {folder}
"""


class Fresh(Slapd):
    """Without our schema and settings."""

    def _load_cn_config(self):
        pass

    def load(self, *arguments, check=True):
        script = pathlib.Path(self.folder, "coexist-load-schema")
        text = pathlib.Path(TOP, "schema/coexist-load-schema.in").read_text(encoding="utf-8")
        script.write_text(text.replace("@schemadir@", SCHEMA), encoding="utf-8")
        done = run(["sh", str(script), "-H", self.ldapi, *arguments], check=False)
        assert (done.returncode == 0) is check, done
        return done.stdout + done.stderr

    def add_database(self, suffix):
        folder = tempfile.mkdtemp(dir=self.folder)
        self.configure(DATABASE.format(suffix=suffix, folder=folder), "-a")

    def entry(self, base, *attributes):
        done = run(["ldapsearch", "-Q", "-LLL", "-o", "ldif-wrap=no", "-Y", "EXTERNAL", "-H", self.ldapi, "-b", base,
                    "-s", "base", *attributes])
        return done.stdout.splitlines()[1:]


def of_schema(server, name):
    dn = run(["ldapsearch", "-Q", "-LLL", "-Y", "EXTERNAL", "-H", server.ldapi, "-b", "cn=schema,cn=config",
              "(cn={*}coexist)", "dn"]).stdout.split()[1]
    found = [line for line in server.entry(dn) if f"NAME '{name}'" in line]
    assert len(found) == 1
    return dn, *found[0].split(": ", 1)


def exchange(server, name, old, new):
    dn, kind, value = of_schema(server, name)
    value = value.partition("}")[2]
    assert old in value
    server.configure(f"dn: {dn}\nchangetype: modify\ndelete: {kind}\n{kind}: {value}\n-\n"
                     f"add: {kind}\n{kind}: {value.replace(old, new)}\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Fresh(tmp_path_factory.mktemp("slapd"), style="cn=config", seed=False)
    made.load("--yes")
    yield made
    made.close()


def test_classes_of_an_older_version_are_brought_up_to_date(server):
    before = of_schema(server, "coexistMailbox")[2].split("}")[1]
    for name in ("coexistMailbox", "coexistGroup"):
        exchange(server, name, " $ coexistRequireAuth", "")
    assert "to do: bring the classes" in server.load()
    said = server.load("--yes")
    assert "done:  bring the classes" in said and "there:" not in said, said
    assert of_schema(server, "coexistMailbox")[2].split("}")[1] == before
    assert "there: the schema" in server.load("--yes")


def test_what_is_new_is_added_for_the_classes_that_use_it(server):
    name = "coexistParked"
    for owner in ("coexistMailbox", "coexistCustomRecipient"):
        exchange(server, owner, f" $ {name}", "")
    dn, kind, value = of_schema(server, name)
    server.configure(f"dn: {dn}\nchangetype: modify\ndelete: {kind}\n{kind}: {value}\n")
    assert server.load("--yes").count("done:") == 2
    assert "there: the schema" in server.load("--yes")


def test_an_attribute_that_is_otherwise_is_told(server):
    exchange(server, "coexistHomeServer", " SINGLE-VALUE", "")
    said = server.load("--yes")
    assert "left so" in said and "'coexistHomeServer'" in said and "there:" not in said, said
    exchange(server, "coexistHomeServer", " )", " SINGLE-VALUE )")
    assert "there: the schema" in server.load()


def test_a_database_of_another_number_and_an_odd_suffix(server):
    for suffix, new in (ODD, 7), (f"{server.suffix},dc=org", 4):
        server.add_database(suffix)
        said = server.load("--suffix", suffix, "--yes")
        assert said.count("done:") == new, said
        assert server.load("--suffix", suffix, "--yes").count("there:") == 8
    text = server.configuration()
    assert "ldap:///o=Gr%C3%B6%C3%9Fe%20&%20Co%20(50%25%20$HOME)?mail?sub" in text
    assert f"ldap:///{server.suffix},dc=org?mail?sub" in text
    rules = server.entry("olcDatabase={2}mdb,cn=config", "olcAccess")
    assert len([line for line in rules if line.startswith("olcAccess:")]) == 6


def test_a_suffix_that_is_none_of_its_databases(server):
    assert "no database has the suffix" in server.load("--suffix", "dc=*", "--yes", check=False)


def test_what_somebody_made_is_left(server):
    suffix, dn = "dc=made", "olcDatabase={4}mdb,cn=config"
    server.add_database(suffix)
    for made in ("olcLimits: users size=7", "olcAccess: to * by users read", "olcDbIndex: mail eq"):
        key = made.split(":", maxsplit=1)[0]
        server.configure(f"dn: {dn}\nchangetype: modify\nreplace: {key}\n{made}\n")
        before = server.entry(dn)
        assert "somebody made" in server.load("--suffix", suffix, "--yes", check=False), made
        assert server.entry(dn) == before
        server.configure(f"dn: {dn}\nchangetype: modify\nreplace: {key}\n")
    server.configure(f"dn: {dn}\nchangetype: modify\nreplace: {key}\n{made}\n")
    assert "done:  access rules" in server.load("--suffix", suffix, "--replace", "--yes")
    assert any("coexistProxyAddress" in line for line in server.entry(dn, "olcAccess"))


def test_a_server_without_modules(tmp_path, monkeypatch):
    """As those of other distributions are at first."""
    text = support.CONFIG_LDIF
    modules = text[text.index("dn: cn=module"):text.index("dn: cn=schema")]
    database = text[text.index("dn: olcDatabase={{1}}"):]
    ldif = "dn: olcDatabase={{1}}ldif,cn=config\nobjectClass: olcDatabaseConfig\nobjectClass: olcLdifConfig\n" \
        "olcDatabase: {{1}}ldif\nolcSuffix: {suffix}\nolcDbDirectory: {folder}/db\n"
    monkeypatch.setattr(support, "CONFIG_LDIF", text.replace(modules, "").replace(database, ldif))
    made = Fresh(tmp_path, style="cn=config", seed=False)
    try:
        said = made.load("--suffix", made.suffix, "--yes", check=False)  # this kind of database has no indexes
        assert said.count("done:  load the module") == 3 and "overlay unique" in said, said
        assert made.load("--suffix", made.suffix, "--yes", check=False).count("there: module") == 3
        made.stop()
        assert "is slapd running" in made.load(check=False)
    finally:
        made.close()


def test_a_server_with_a_slapd_conf(tmp_path):
    made = Fresh(tmp_path, seed=False)
    try:
        assert "slapd.conf.example" in made.load("--yes", check=False)
    finally:
        made.close()
