"""Fixtures of the integration tests; what they are made of lies in tests/support."""

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from support.faults import FastFollower, make_server, section  # noqa: E402
from support.follower import mailbox  # noqa: E402
from support.sendmail import SendmailSite  # noqa: E402
from support.site import Site, judge_milters  # noqa: E402
from support.slapd import Slapd  # noqa: E402


def folders():
    """A short path (unix sockets), gone afterwards."""
    path = tempfile.mkdtemp(prefix="cx-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


make_folder = pytest.fixture(folders, name="folder")
make_module_folder = pytest.fixture(folders, scope="module", name="module_folder")


@pytest.fixture(params=["slapd.conf", "cn=config"])
def slapd(request, folder):
    server = Slapd(f"{folder}/slapd", request.param)
    yield server
    server.close()


@pytest.fixture
def server(folder):
    """A slapd with a domain and adam."""
    made = make_server(folder, mailbox("adam"))
    yield made
    made.close()


@pytest.fixture
def directory(folder):
    """A slapd with a domain, adam and eve; directory.follow(...) -> a loaded FastFollower."""
    server = make_server(folder)
    made = []

    def follow(*servers, has="adam@acme.example", name="follower", **options):
        follower = FastFollower(folder, section(folder, *(servers or [server]), name=name, **options),
                                name)
        made.append(follower)
        follower.start()
        if has:
            follower.wait_has(has)
        return follower

    server.follow = follow
    yield server
    for follower in made:
        follower.close()
    server.close()


@pytest.fixture(scope="session", autouse=True)
def _milters_end_well():
    yield
    judge_milters()


def sites(kind=Site):
    """make(...) -> a started Site; closed, and its logs judged, in the end."""
    made = []

    def make(start=True, **options):
        site = kind(**options)
        made.append(site)
        return site.start() if start else site

    yield make
    failures = []
    for site in reversed(made):
        try:
            site.close(wait=False)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
    if failures:
        raise failures[0]


make_site = pytest.fixture(sites, name="make_site")
make_module_site = pytest.fixture(sites, scope="module", name="make_module_site")


def sendmail_sites():
    """The same with Sendmail."""
    yield from sites(SendmailSite)


make_sendmail_site = pytest.fixture(sendmail_sites, name="make_sendmail_site")
make_module_sendmail_site = pytest.fixture(sendmail_sites, scope="module",
                                           name="make_module_sendmail_site")
