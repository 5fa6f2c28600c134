"""coexist-load-schema, in a real slapd with cn=config that has nothing of ours yet."""

import os

import pytest

from support.daemons import BUILD
from support.slapd import SCHEMA, Slapd
from support.wait import run

# What means something in LDIF, in a filter, in a URL, to sed or to the shell.
SUFFIX = "o=North & Sons (50% off?)/$1,c=DE"
PERSON = """\
dn: cn={cn},{suffix}
objectClass: person
objectClass: coexistMailbox
cn: {cn}
sn: {cn}
mail: {mail}
"""


class FreshSlapd(Slapd):
    def _load_cn_config(self):
        pass


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory):
    server = FreshSlapd(tmp_path_factory.mktemp("slapd"), "cn=config", suffix=SUFFIX, seed=False)
    server.add(f"dn: {SUFFIX}\nobjectClass: organization\no: North & Sons (50% off?)/$1\n")
    yield server
    server.close()


@pytest.fixture(scope="module", name="load")
def _load(server):
    """The program as it is installed, but for the folder of the schema."""
    with open(f"{BUILD}/schema/coexist-load-schema", encoding="utf-8") as file:
        text = "".join(f"schema={SCHEMA}\n" if line.startswith("schema=") else line for line in file)
    program = f"{server.folder}/load"
    with open(program, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o755)) as out:
        out.write(text)
    return lambda *arguments: run([program, "-H", server.ldapi, *arguments], check=False)


def test_a_suffix_with_blanks_and_signs_is_set_up(server, load):
    before = server.configuration()
    done = load("--suffix", SUFFIX)
    assert done.returncode == 0 and done.stdout.endswith("Nothing was changed; --yes does what is to do.\n"), done
    assert server.configuration() == before
    steps = done.stdout.count("to do: ")
    done = load("--suffix", SUFFIX, "--yes")
    assert (done.returncode, done.stderr, done.stdout.count("done: ")) == (0, "", steps), done
    settings = server.configuration()
    assert f'by dn.exact="cn=coexist,ou=services,{SUFFIX}" read' in settings
    assert settings.count("olcUniqueURI: ldap:///o=North%20&%20Sons%20(50%25%20off%3F)/$1,c=DE?") == 4
    # The overlay works for this suffix, and a second run finds all that there is.
    server.add(PERSON.format(cn="Adam", suffix=SUFFIX, mail="adam@acme.example"))
    assert server.add(PERSON.format(cn="Eve", suffix=SUFFIX, mail="adam@acme.example"), check=False).returncode == 19
    done = load("--suffix", SUFFIX)
    assert (done.returncode, done.stdout.count("to do: ")) == (0, 0), done


def test_a_suffix_that_no_database_has_is_told_with_those_there_are(load):
    done = load("--suffix", "dc=elsewhere,dc=example")
    assert done.returncode == 1
    assert f"no database has the suffix dc=elsewhere,dc=example; there are:\n  {SUFFIX}\n" in done.stderr
