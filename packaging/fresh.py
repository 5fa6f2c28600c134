"""
What packaging/check-packages does on a server that has no mail system and no directory yet: the
autopkgtest as autopkgtest runs it, and Coexist with Sendmail.
"""

import os
import re
import textwrap

import mailsite
from inside import CONF, NONINTERACTIVE, Inside
from machine import POLICY, in_root, write

# Sendmail looks domains up before it takes mail for them; there is no DNS here.
HOSTS = "192.0.2.1 outside.example\n192.0.2.2 acme.example\n192.0.2.3 pop.acme.example\n"


def prepare(root):
    """Takes Postfix and slapd away, and brings autopkgtest; all else comes from apt's cache later."""
    policy = f"{root}/usr/sbin/policy-rc.d"
    write(policy, POLICY, 0o755)
    in_root(root, "apt-get", "purge", "-y", "postfix", "slapd")
    in_root(root, "apt-get", "install", "-y", "--no-install-recommends", "autopkgtest", "dpkg-dev")
    debs = [f"/root/new/{name}" for name in os.listdir(f"{root}/root/new") if name.endswith(".deb")]
    in_root(root, "apt-get", "install", "-y", "-d", "slapd", "postfix", *debs)
    in_root(root, "apt-get", "install", "-y", "-d", "sendmail-bin")
    os.unlink(policy)


class Fresh(Inside):
    def autopkgtest(self):
        """autopkgtest itself: it installs everything unanswered, the test sets it up, and mail is redirected."""
        done = self.sh("autopkgtest --ignore-restrictions=isolation-machine,breaks-testbed -B"
                       " /root/new/coexist_*.deb /root/new/coexist-schema_*.deb /root/new/coexist_*.dsc -- null 2>&1",
                       check=False)
        assert done.returncode == 0 and re.search(r"^redirect +PASS$", done.stdout, re.MULTILINE), done.stdout[-5000:]
        self.assert_running()

    def sendmail(self):
        """Sendmail and no Postfix: README.Debian, "With Sendmail", line by line, and mail is redirected."""
        # Stopped first, as its instance is taken for failed when its unit goes while it runs.
        self.sh("systemctl stop postfix postfix@-; apt-get purge -y coexist postfix 2>&1")
        self.sh("systemctl reset-failed")
        self.sh("cat >>/etc/hosts", input=HOSTS)
        self.sh(f"{NONINTERACTIVE} apt-get install -y --no-install-recommends sendmail-bin 2>&1")
        self.python("mailsite.preseed()")
        self.install("new", "coexist")
        assert self.sh("getent group postfix", check=False).stdout == "" and "postfix" not in self.sh("ls /var/spool").stdout
        settings, commands, taken_away = self.read_me()
        conf = self.conf()
        for section, lines in re.findall(r"^(\w+) \{\n(.*?)^\}", settings, re.MULTILINE | re.DOTALL):
            for key, value in re.findall(r"(\w+) += (.*)", lines):
                conf, count = re.subn(rf"(?ms)(^{section} \{{.*?)^\t#{key} = .*?$", rf"\g<1>\t{key} = {value}", conf, 1)
                assert count == 1, (section, key)
        self.sh(f"cat >{CONF}", input=conf)
        self.python("mailsite.set_mailbox_transport()")
        said = self.sh(f"set -e\n{commands}").stdout
        print("      " + "\n      ".join(line for line in said.splitlines() if line.startswith("coexistctl: ")))
        self.assert_running()
        self.mail()
        said = self.sh("apt-get remove -y coexist 2>&1").stdout
        assert "sendmail.cf still asks Coexist" in said and "main.cf" not in said, said
        assert self.python("""print(send("anna@acme.example")[0])""").strip() == "451"
        self.sh(f"set -e\n{taken_away}\nmake -C /etc/mail")
        assert self.python("""print(send("anna@acme.example")[0])""").strip() == "250"
        self.sh("apt-get purge -y coexist 2>&1")
        self.nothing_is_left()

    def read_me(self):
        """What to do with Sendmail: lines of coexist.conf, commands; commands to take it away."""
        text = self.sh("cat /usr/share/doc/coexist/README.Debian").stdout
        sections = dict(zip(*[iter(re.split(r"^(\S.*)\n-{4,}\n", text, flags=re.MULTILINE)[1:])] * 2))
        blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", sections["With Sendmail"],
                                                                 re.MULTILINE)]
        away = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", sections["Taking it away"],
                                                               re.MULTILINE)]
        assert (len(blocks), len(away)) == (2, 1), (blocks, away)
        return (*blocks, *away)

    STEPS = (autopkgtest, sendmail)
