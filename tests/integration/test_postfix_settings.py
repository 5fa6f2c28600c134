"""
What "coexistctl postfix" prints is what all other tests run Postfix with (SPEC section 11).
"""

import os
import re

import pytest

from support.daemons import program
from support.postfix import coexist_settings, local_settings
from support.srs import HOP_SETTINGS, hop_service
from support.wait import run

CONF = """\
directory "d" {{ ldif = "{folder}/x.ldif" }}
milter {{ listen = "{milter}" {milter_more} }}
policyd {{
  policy_listen = {{"{policy}"}}
  map_listen = {{"{map}"}}
  mailbox_transport = "{transport}"
}}
{more}
"""


@pytest.fixture(name="ctl")
def _ctl(folder):
    def call(*arguments, at="{queue}/coexist/", transport="lmtp:inet:127.0.0.1:24", more="",
             milter=None, milter_more=""):
        queue = f"{folder}/spool"
        os.makedirs(queue, exist_ok=True)
        with open(f"{folder}/main.cf", "w", encoding="utf-8") as out:
            out.write(f"queue_directory = {queue}\n")
        with open(f"{folder}/master.cf", "w", encoding="utf-8"):
            pass
        os.utime(f"{folder}/main.cf", (1, 1))  # Postfix waits while it is brand new
        at = "unix:" + at.format(queue=queue)
        with open(f"{folder}/secret", "w", encoding="utf-8", opener=lambda path, flags:
                  os.open(path, flags, 0o600)) as out:
            out.write("secret\n")
        with open(f"{folder}/coexist.conf", "w", encoding="utf-8") as out:
            out.write(CONF.format(folder=folder, milter=milter or at + "milter",
                                  milter_more=milter_more,
                                  policy=at + "policy", map=at + "map", transport=transport,
                                  more=more.format(folder=folder)))
        return run([program("coexistctl"), "-c", f"{folder}/coexist.conf", "postfix", *arguments],
                   env={**os.environ, "MAIL_CONFIG": str(folder)}, check=False)
    return call


def parse(text):
    """The settings of main.cf, with runs of blanks as one."""
    main = text.partition("\n# master.cf\n")[0]
    joined = re.sub(r"\n[ \t]+", " ", main)
    return {name.strip(): value.strip() for name, value in
            (line.split("=", 1) for line in joined.splitlines() if not line.startswith("#"))}


def test_a_gateway_is_what_the_tests_run(ctl):
    done = ctl("--role", "gateway")
    assert (done.returncode, done.stderr) == (0, "")
    assert parse(done.stdout) == coexist_settings()
    assert "master.cf" not in done.stdout


def test_who_logs_in_may_relay_while_it_is_observed(ctl):
    """As before Coexist came: the policy service permits nobody then."""
    done = ctl(more="observe = true")
    usual = coexist_settings()
    assert parse(done.stdout) == {**usual, "smtpd_relay_restrictions": usual["smtpd_relay_restrictions"].replace(
        "permit_mynetworks, ", "permit_mynetworks, permit_sasl_authenticated, ")}
    assert "permit_sasl_authenticated" in done.stderr
    assert "permit_sasl_authenticated" not in ctl().stdout


def test_where_postfix_has_the_mailboxes(ctl):
    done = ctl(transport="")
    assert (done.returncode, done.stderr) == (0, "")
    assert parse(done.stdout) == {**coexist_settings(), **local_settings()}
    assert ctl("--role", "local", transport="").stdout == done.stdout


def test_the_hop_is_what_the_tests_run(ctl):
    srs = 'srs {{ enable = true domain = "srs.example" secret_file = "{folder}/secret" %s }}'
    done = ctl(more=srs % 'hop = "coexist-srs:[127.0.0.1]:10027"')
    assert (done.returncode, done.stderr) == (0, "")
    assert parse(done.stdout) == {**coexist_settings(), **HOP_SETTINGS}
    assert done.stdout.partition("\n# master.cf\n")[2] == hop_service(10027, "srs.example")
    done = ctl(more=srs % 'hop = "smtp:[::1]:10027"')
    services = [line.split()[0] for line in done.stdout.partition("\n# master.cf\n")[2].splitlines()
                if line[0] != " "]
    assert services == ["coexist-srs-cleanup", "[::1]:10027"]
    assert "srs has no hop" in ctl(more=srs % "").stderr
    done = ctl(more=srs % 'hop = "smtp:[192.0.2.1]:10027"')
    assert done.returncode == 78 and "hop: 'smtp:[192.0.2.1]:10027' is not" in done.stderr


def test_what_does_not_fit_is_said(ctl):
    assert "mailbox_transport is empty" in ctl("--role", "gateway", transport="").stderr
    assert "mailbox_transport is lmtp" in ctl("--role", "local").stderr
    done = ctl(at="/elsewhere/")
    assert done.stderr.count("is not below") == 3
    assert "unix:/elsewhere/policy" in done.stdout
    assert "{ inet:127.0.0.1:8899, connect" in ctl(milter="inet:127.0.0.1:8899").stdout
    assert ctl("--role", "both").returncode == 64
    assert ctl("more").returncode == 64
    assert "enforce of the section milter" in ctl(milter_more="enforce = true").stderr
    assert "observe is true" in ctl(more="observe = true").stderr


@pytest.mark.parametrize("transport", ["lmtp:inet:127.0.0.1:24", ""])
@pytest.mark.parametrize("hop", ["coexist-srs:[127.0.0.1]:10027", "coexist-srs:[::1]:10027"])
def test_postfix_knows_each_line(ctl, folder, transport, hop):
    """Misspelt names postconf tells on standard error, and services that it cannot read."""
    done = ctl(transport=transport, more='srs {{ enable = true domain = "srs.example" '
               'secret_file = "{folder}/secret" hop = "%s" }}' % hop)
    main, _, master = done.stdout.partition("\n# master.cf\n")
    for name, text in (("main.cf", main), ("master.cf", master)):
        with open(f"{folder}/{name}", "w", encoding="utf-8") as out:
            out.write(text)
        os.utime(f"{folder}/{name}", (1, 1))
    for option, count in (("-n", len(parse(main)) + 1), ("-M", 3), ("-P", master.count("  -o "))):
        shown = run(["postconf", "-c", str(folder), option], check=False)
        assert (shown.returncode, shown.stderr) == (0, ""), shown
        assert len(shown.stdout.splitlines()) == count, shown.stdout
