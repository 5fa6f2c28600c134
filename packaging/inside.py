"""
What the steps of check-packages have in common: commands, scripts and questions to systemd in a
machine (machine.py).
"""

import re
import textwrap

import mailsite

SERVICES = mailsite.SERVICES
CONF = mailsite.CONF
NONINTERACTIVE = "DEBIAN_FRONTEND=noninteractive"


class Inside:
    def __init__(self, machine):
        self.machine = machine
        self.sh = machine.sh

    def install(self, which, *names, check=True):
        """Packages of /root/WHICH, as apt says it."""
        debs = " ".join(f"/root/{which}/{name}_*.deb" for name in names)
        return self.sh(f"{NONINTERACTIVE} apt-get install -y {debs} 2>&1", check=check).stdout

    def python(self, text, check=True):
        """In the machine, with mailsite at hand."""
        script = "import sys, os, time\nsys.path.insert(0, '/root/tests')\nimport mailsite\n" \
                 "from mailsite import *\n" + textwrap.dedent(text)
        return self.sh("python3 -B -", input=script, check=check).stdout

    def wait_for_directory(self):
        self.python("""wait_for(lambda: verdict("anna@acme.example") == 0, "the directory")""")

    def states(self, what):
        return [self.sh(f"systemctl {what} {name}", check=False).stdout.strip() for name in SERVICES]

    def assert_running(self):
        assert self.states("is-active") == ["active"] * 3, self.log()
        failed = self.sh("systemctl --failed --no-legend").stdout.strip()
        assert failed == "", f"{failed}\n{self.log()}"

    def log(self):
        return self.sh("journalctl -u 'coexist-*' --no-pager | tail -40").stdout

    def show(self, unit, key):
        return self.sh(f"systemctl show -P {key} {unit}").stdout.strip()

    def conf(self):
        return self.sh(f"cat {CONF}").stdout

    def mail(self):
        """What the autopkgtest sends."""
        print("      " + self.sh("/root/tests/redirect 2>&1").stdout.strip())

    def nothing_is_left(self):
        """After a purge of the package coexist, with coexist-schema and coexist-doc still there."""
        elsewhere = "find / \\( -path /proc -o -path /sys -o -path /root \\) -prune -o"
        names = self.sh(f"{elsewhere} -name '*coexist*' -print").stdout.splitlines()
        rest = [n for n in names if not re.match(
            r"/usr/sbin/coexist-load-schema|/var/lib/dpkg/info/coexist-(schema|doc)\.|/usr/share/(doc|man)/"
            r"|/usr/share/coexist(/schema/.*)?$|/etc/ldap/slapd.d/", n)]
        assert rest == [], rest
        assert self.sh(f"{elsewhere} \\( -nouser -o -nogroup \\) -print").stdout == ""
        assert self.sh("getent passwd; getent group").stdout.count("coexist") == 0
        # (ucf remembers the name of the file that it asked about last.)
        assert "Name: coexist/" not in self.sh("cat /var/cache/debconf/config.dat /var/cache/debconf/passwords.dat").stdout
        assert "coexist" not in self.sh("cat /var/lib/ucf/hashfile /var/lib/ucf/registry").stdout
        assert "coexist" not in self.sh("ls -R /etc/systemd /var/lib/systemd").stdout
        assert self.sh("grep -l coexist /proc/[0-9]*/comm", check=False).stdout == ""
