"""
Every command of doc/guide.md and of the pages in doc/articles, as it stands there, on a host with
a Postfix and an OpenLDAP of its own (support/machine.py). apt, systemctl and journalctl are
stand-ins; the packages' own tests use the real ones.
"""

import glob
import os
import re
import shlex
from functools import partial

import pytest

from support.daemons import TOP
from support.guide import blocks, type_in
from support.machine import Machine

GUIDE = f"{TOP}/doc/guide.md"
PAGES = sorted(glob.glob(f"{TOP}/doc/articles/*.md"))
ELSEWHERE = {f"{TOP}/doc/several-servers.md"}  # test_nodes.py types that one
ADMIN_PASSWORD = "admin secret"


def play(machine, path, wanted):
    """Does what the blocks say; the entries that were added."""
    added = []
    for block in wanted:
        where = f"{os.path.relpath(path, TOP)}:{block.line}"
        if "anew" in block.options:
            forget(machine, added)
        if "file" in block.options:
            block.write(machine.home, machine.folder)
            added += entries(block.text)
        elif block.language == "sh":
            type_in(block, where, partial(machine.run, source=block.options.get("on", "")))
    return added


def entries(text):
    """DNs of what an LDIF adds."""
    return [re.match("dn: (.*)", entry)[1] for entry in text.split("\n\n")
            if entry.startswith("dn: ") and "changetype: " not in entry.replace("changetype: add", "")]


def forget(machine, added):
    """What comes next is another site, which has none of it."""
    names = " ".join(shlex.quote(dn) for dn in reversed(added))
    machine.run(f"ldapdelete -c -x -y admin.pw {names}")
    added.clear()


@pytest.fixture(scope="module", name="machine")
def _machine():
    machine = Machine()
    with open(f"{machine.home}/admin.pw", "w", encoding="ascii",
              opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(ADMIN_PASSWORD)
    try:
        yield machine
        log = machine.log_text()
    finally:
        machine.close()
    assert not re.findall(r".*(?:panic:|fatal:|Sanitizer|runtime error:).*", log), log


def parts():
    """The guide, and its undoing, which comes last."""
    all_of_it = blocks(GUIDE)
    return ([b for b in all_of_it if b.heading != "Undo"],
            [b for b in all_of_it if b.heading == "Undo"])


@pytest.fixture(scope="module", name="site")
def _site(machine):
    play(machine, GUIDE, parts()[0])
    return machine


def test_the_guide(site):
    """Played by then; the daemons that it started stay."""
    assert site.run("coexistctl status").returncode == 0


def test_each_page_with_commands_is_typed():
    pages = [f"{TOP}/README.md", *glob.glob(f"{TOP}/doc/**/*.md", recursive=True)]

    def has_commands(path):
        with open(path, encoding="utf-8") as page:
            return re.search(r"(?m)^ *```sh", page.read())
    assert set(filter(has_commands, pages)) == {GUIDE, *PAGES, *ELSEWHERE}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: os.path.basename(path))
def test_a_page(site, path):
    forget(site, play(site, path, blocks(path)))


def test_undoing_it(site):
    """Last: mail flows as before."""
    assert parts()[1]
    play(site, GUIDE, parts()[1])
