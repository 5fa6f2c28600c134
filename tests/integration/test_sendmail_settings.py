"""
"coexistctl sendmail" about a configuration that is there: each thing that would open the relay, or
take the milter out, is told in sendmail.mc and in the sendmail.cf that m4 makes of it.
"""

import os
import re

import pytest

from support.daemons import program
from support.sendmail import CF, ROOT
from support.wait import run

CONF = """\
directory "d" {{ ldif = "{folder}/x.ldif" }}
replica = "{folder}/replica"
milter {{
  listen = "unix:{folder}/milter"
  enforce = true
}}
policyd {{
  map_listen = {{"inet:127.0.0.1:8894", "unix:{folder}/map"}}
  mailbox_transport = "lmtp:unix:/run/dovecot/lmtp"
}}
{more}
"""

MC = """\
divert(-1)
define(`_CF_DIR_', `{cf}/')
divert(0)dnl
include(`{cf}/m4/cf.m4')dnl
OSTYPE(`linux')dnl
dnl FEATURE(`promiscuous_relay')dnl
define(`confPRIVACY_FLAGS',dnl
`authwarnings,restrictqrun')dnl dnl FEATURE(`promiscuous_relay')
FEATURE(`access_db', `hash -T<TMPF> {folder}/access')dnl
{before}
include(`{folder}/coexist.m4')dnl
{after}
MAILER(`local')dnl
MAILER(`smtp')dnl
"""


class Setup:
    def __init__(self, folder):
        self.folder = folder
        self.conf = self.write("coexist.conf", CONF.format(folder=folder, more=""))
        self.write("access", "Connect:127\tRELAY\nTo:x@acme.example\tREJECT\n# y\tRELAY\n")
        done = self.ctl()
        assert done.returncode == 0, done
        self.printed = done.stdout
        self.write("coexist.m4", done.stdout)

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "wb" if isinstance(text, bytes) else "w") as out:
            out.write(text)
        return path

    def ctl(self, *arguments, prefix=()):
        return run([*prefix, program("coexistctl"), "-c", self.conf, "sendmail", *arguments],
                   check=False)

    def mc(self, before="", after="", text=MC):
        return self.write("sendmail.mc", text.format(cf=CF, folder=self.folder, before=before,
                                                     after=after))

    def cf(self, mc):
        return self.write("sendmail.cf", run(["m4", mc], check=False).stdout)


@pytest.fixture(name="setup")
def _setup(folder):
    return Setup(folder)


def test_what_is_printed_is_fine_with_itself(setup):
    mc = setup.mc()
    for path in (mc, setup.cf(mc)):
        done = setup.ctl(path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), path


# (lines before and behind what is printed, what is told of sendmail.mc, and of sendmail.cf: the
# same unless given)
RELAY = "lets these hosts relay"
FINDINGS = {
    "promiscuous": ("FEATURE(`promiscuous_relay')dnl", "", "promiscuous_relay lets everybody"),
    "by its define": ("define(`_PROMISCUOUS_RELAY_', 1)dnl", "", "promiscuous_relay lets everybody"),
    "entire domain": ("FEATURE(`relay_entire_domain')dnl", "", "relay_entire_domain lets"),
    "local from": ("FEATURE(`relay_local_from')dnl", "", "relay_local_from lets"),
    "mail from": ("FEATURE(`relay_mail_from', `domain')dnl", "", "relay_mail_from lets"),
    "MX": ("FEATURE(`relay_based_on_MX')dnl", "", "relay_based_on_MX relays"),
    "percent": ("FEATURE(`loose_relay_check')dnl", "", "loose_relay_check lets"),
    "class R": ("RELAY_DOMAIN(`a.example')dnl", "", f"RELAY_DOMAIN {RELAY}", f"class R {RELAY}"),
    "file of class R": ("RELAY_DOMAIN_FILE(`{folder}/relay')dnl", "", f"RELAY_DOMAIN_FILE {RELAY}",
                        "relay:3: class R opens"),
    "logins": ("TRUST_AUTH_MECH(`PLAIN LOGIN')dnl", "", "TRUST_AUTH_MECH lets every login",
               "TrustAuthMech lets every login"),
    "files": ("define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')dnl", "",
              "DontBlameSendmail trusts"),
    # "#" is no comment to m4, and it does not care for lines.
    "behind #": ("# FEATURE(`relay_entire_domain')", "", "relay_entire_domain lets"),
    "two in a line": ("FEATURE(`redirect')FEATURE(`relay_entire_domain')dnl", "",
                      "relay_entire_domain lets"),
    "over lines": ("FEATURE(\n  relay_entire_domain)dnl", "", "relay_entire_domain lets"),
    "within ifdef": ("ifdef(`_ACCESS_TABLE_', `FEATURE(`relay_entire_domain')')dnl", "",
                     "relay_entire_domain lets"),
    "diverted": ("divert(-1)\nFEATURE(`relay_entire_domain')\ndivert(0)dnl", "",
                 "relay_entire_domain lets"),
    # The filter.
    "a filter behind": ("", "INPUT_MAIL_FILTER(`late', `S=inet:1@127.0.0.1, F=T')dnl",
                        "coexist is not the last"),
    "a list of filters": ("MAIL_FILTER(`late', `S=inet:1@127.0.0.1, F=T')dnl",
                          "define(`confINPUT_MAIL_FILTERS', `coexist, late')dnl",
                          "coexist is not the last"),
    "no filter in use": ("", "define(`confINPUT_MAIL_FILTERS', `')dnl", "coexist is not the last"),
    "a daemon without": ("DAEMON_OPTIONS(`Port=2525, Name=X, InputMailFilters=')dnl", "",
                         "DaemonPortOptions has filters of its own"),
    "a daemon with others": ("DAEMON_OPTIONS(`Port=2525, I=coexist;late, Name=X')dnl", "",
                             "DaemonPortOptions has filters of its own"),
    "VRFY": ("", "define(`confPRIVACY_FLAGS', `authwarnings,noexpn')dnl", "novrfy and noexpn"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_each_danger_is_told(setup, name):
    before, after, in_mc, *in_cf = FINDINGS[name]
    setup.write("relay", "# none\n\na.example\n")
    mc = setup.mc(before.format(folder=setup.folder) if "{" in before else before, after)
    for path, words in ((mc, in_mc), (setup.cf(mc), *(in_cf or [in_mc]))):
        done = setup.ctl(path)
        assert done.returncode == 1 and words in done.stderr, (path, done)
        assert done.stderr.count("\n") == 1, done.stderr


FINE = {
    "comment": ("dnl RELAY_DOMAIN(`a.example')", ""),
    "its list": ("MAIL_FILTER(`first', `S=inet:1@127.0.0.1')dnl",
                 "define(`confINPUT_MAIL_FILTERS', `first, coexist')dnl"),
    "a filter before": ("INPUT_MAIL_FILTER(`first', `S=inet:1@127.0.0.1')dnl", ""),
    "goaway": ("", "define(`confPRIVACY_FLAGS', `goaway')dnl"),
    "a daemon with it": ("DAEMON_OPTIONS(`Port=2525, Name=X, InputMailFilters=late;coexist')dnl", ""),
    "delay_checks": ("FEATURE(`delay_checks', `friend')dnl", ""),
    "hosts only": ("FEATURE(`relay_hosts_only')dnl", ""),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_no_danger_is_not_told(setup, name):
    mc = setup.mc(*FINE[name])
    for path in (mc, setup.cf(mc)):
        done = setup.ctl(path)
        assert (done.returncode, done.stderr) == (0, ""), path


@pytest.mark.parametrize("old, new, complaint", [
    ("F=T, ", "", "coexist is without F=T"),
    ("F=T", "F=R", "coexist has F=R"),
    ("F=T", "F = 4", ""),
    ("/milter, F", "/other, F", "coexist has another socket"),
    ("inet:8894@", "inet:8895@", "domains asks another socket"),
    ("FEATURE(`nouucp', `reject')", "FEATURE(`nouucp')", "host!user is a route"),
    ("SRcpt_ok", "SLocal_check_rcpt", "no rules and maps"),
    ("Krelay ", "Kother ", "no rules and maps"),
])
def test_lines_that_were_changed(setup, old, new, complaint):
    assert old in setup.printed
    setup.write("coexist.m4", setup.printed.replace(old, new))
    mc = setup.mc()
    # The maps that are asked for are those of the rules: in sendmail.cf all is there.
    for path in [mc] if old in ("SRcpt_ok",) else [mc, setup.cf(mc)]:
        done = setup.ctl(path)
        assert (done.returncode, complaint in done.stderr) == (1 if complaint else 0, True), done


def test_the_hop_of_srs_is_no_port_for_mail(setup):
    """With a DAEMON_OPTIONS of its own, the one that Sendmail has by default is gone."""
    srs = 'srs { enable = true domain = "srs.example" hop = "h:[127.0.0.1]:10027" }'
    setup.conf = setup.write("srs.conf", CONF.format(folder=setup.folder, more=srs))
    setup.write("coexist.m4", setup.ctl().stdout)
    for before, count in (("", 1), ("DAEMON_OPTIONS(`Port=smtp, Name=MTA')dnl", 0)):
        mc = setup.mc(before)
        for path in (mc, setup.cf(mc)):
            done = setup.ctl(path)
            assert done.stderr.count("nobody listens on port 25") == count, done
            assert len(done.stderr.splitlines()) == count and done.returncode == count, done


def test_without_coexist_all_is_missing(setup):
    mc = setup.mc(text=MC.replace("include(`{folder}/coexist.m4')dnl\n", ""))
    for path in (mc, setup.cf(mc)):
        done = setup.ctl(path)
        assert done.returncode == 1
        for words in ("no INPUT_MAIL_FILTER", "nouucp", "novrfy", "no rules and maps"):
            assert words in done.stderr, (path, words)


def test_what_debian_installs(setup):
    done = setup.ctl(f"{ROOT}/usr/share/sendmail/cf/debian/sendmail.mc")
    assert done.returncode == 1
    assert "/etc/mail/m4/dialup.m4: No such file" in done.stderr
    assert "no INPUT_MAIL_FILTER" in done.stderr and "novrfy" in done.stderr
    assert "relay" not in done.stderr.lower().replace("without relay", "")


def test_who_may_relay_by_the_access_table(setup):
    setup.write("access", "Connect:127.0.0.1\tRELAY\nConnect:10\t  RELAY\nTo:b.example RELAY\n"
                "c.example\tOK\n")
    done = setup.ctl(setup.cf(setup.mc()))
    assert done.returncode == 1
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        f"{setup.folder}/access:2", f"{setup.folder}/access:3"]


def test_what_cannot_be_read_is_said(setup):
    folder = setup.folder
    paths = {
        f"{folder}/none": (66, "none: No such file or directory"),
        str(folder): (66, "Is a directory"),
        setup.write("binary", b"FEATURE(`x')\n\0\n"): (66, "binary: not a text"),
        setup.write("huge", b"dnl x\n" * 1_800_000): (66, "huge: larger than 1 MB"),
        setup.write("empty", ""): (65, "empty: neither a sendmail.mc nor a sendmail.cf"),
        setup.write("prose", "Dear Sir,\n"): (65, "neither"),
    }
    for path, (code, words) in paths.items():
        done = setup.ctl(path)
        assert done.returncode == code and words in done.stderr, done
    for wrong in (["a", "b"], ["--role"]):
        assert setup.ctl(*wrong).returncode == 64


@pytest.mark.parametrize("text", [
    "FEATURE(" * 50_000, "FEATURE(`" * 50_000, "include(`{path}')include(`{path}')\n",
    "define(`confPRIVACY_FLAGS'", "DAEMON_OPTIONS(`I", "INPUT_MAIL_FILTER(`coexist',`F",
    "V10\nX\nXcoexist\nO \nO I=\nK\nC\nC{\nC{R\nF{\nS\nR\n#####  $Id\n#####  $Id: \n",
    "V10\nFR\nFR-o\nFR-o \nKaccess\nKaccess \nO InputMailFilters\n \n\t\n",
], ids=range(8))
def test_malformed_files_do_no_harm(setup, text):
    path = f"{setup.folder}/bad.mc"
    setup.write("bad.mc", text.replace("{path}", path))
    assert setup.ctl(path).returncode == 1


def test_what_is_installed_is_judged_as_well(setup):
    """In /etc/mail; what is missing there is about to be added."""
    os.makedirs(f"{setup.folder}/etc/mail")
    prefix = ["unshare", "--mount", "sh", "-c",
              f'mount --bind {setup.folder}/etc /etc && exec "$@"', "sh"]
    done = setup.ctl(prefix=prefix)
    assert done.returncode == 0 and "/etc/mail" not in done.stderr
    cf = setup.cf(setup.mc("FEATURE(`relay_entire_domain')dnl",
                           text=MC.replace("include(`{folder}/coexist.m4')dnl\n", "")))
    os.rename(cf, f"{setup.folder}/etc/mail/sendmail.cf")
    done = setup.ctl(prefix=prefix)
    assert done.returncode == 0 and done.stdout == setup.printed
    assert "/etc/mail/sendmail.cf:" in done.stderr and "relay_entire_domain" in done.stderr
    assert "no INPUT_MAIL_FILTER" not in done.stderr


def test_what_a_configuration_lacks_is_said(setup):
    text = CONF.format(folder=setup.folder, more="observe = true")
    setup.conf = setup.write("other.conf", text.replace("enforce = true", ""))
    done = setup.ctl(setup.mc())
    assert done.returncode == 1
    assert "enforce of the section milter is false" in done.stderr
    assert "observe is true" in done.stderr
    setup.conf = setup.write("other.conf", re.sub("map_listen = {.*}", "map_listen = {}", text))
    assert setup.ctl().returncode == 78
