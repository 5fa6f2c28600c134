"""
What packaging/check-packages does with the packages, step by step.
"""

import re
import subprocess
import textwrap
import time

import mailsite

OLD = "0.0.9-0coexist1"  # the version that is upgraded
SERVICES = mailsite.SERVICES
CONF = mailsite.CONF
NONINTERACTIVE = "DEBIAN_FRONTEND=noninteractive"


class Check:
    """The steps, in order: each goes on from where the one before left the machine."""

    def __init__(self, machine):
        self.machine = machine
        self.sh = machine.sh
        self.main_cf = self.sh("cat /etc/postfix/main.cf").stdout

    def install(self, which, *names):
        debs = " ".join(f"/root/{which}/{name}_*.deb" for name in names)
        return self.sh(f"{NONINTERACTIVE} apt-get install -y {debs} 2>&1").stdout

    def python(self, text, check=True):
        """In the machine, with mailsite at hand."""
        script = "import sys, os, time\nsys.path.insert(0, '/root/tests')\nimport mailsite\n" \
                 "from mailsite import *\n" + textwrap.dedent(text)
        return self.sh("python3 -B -", input=script, check=check).stdout

    def states(self, what):
        return [self.sh(f"systemctl {what} {name}", check=False).stdout.strip() for name in SERVICES]

    def assert_running(self):
        assert self.states("is-active") == ["active"] * 3, self.log()
        assert self.sh("systemctl --failed --no-legend").stdout.strip() == "", self.log()

    def log(self):
        return self.sh("journalctl -u 'coexist-*' --no-pager | tail -40").stdout

    def show(self, unit, key):
        return self.sh(f"systemctl show -P {key} {unit}").stdout.strip()

    def conf(self):
        return self.sh(f"cat {CONF}").stdout

    # --- steps ---

    def without_answers(self):
        """Installed without answers: nothing runs, nothing fails, nothing of Postfix is changed."""
        said = self.install("new", "coexist", "coexist-schema", "coexist-doc")
        assert "coexist.conf" not in said, said
        assert self.states("is-enabled") == ["enabled"] * 3
        assert self.states("is-active") == ["inactive"] * 3
        assert self.sh("systemctl --failed --no-legend").stdout.strip() == ""
        assert self.sh(f"test ! -e {CONF} && stat -c '%U %G %a' /etc/coexist/secret").stdout == "root coexist-sign 640\n"
        assert self.sh("cat /etc/postfix/main.cf").stdout == self.main_cf

    def by_hand(self):
        """The schema is loaded when somebody asks for it; five lines in the example, and it runs."""
        self.python("mailsite.set_up_directory()")
        self.python("""
            mailsite.configure_by_hand()
            for name in mailsite.SERVICES:
                run(name, "-t")
            run("systemctl", "start", *mailsite.SERVICES)
            wait_for(lambda: verdict("anna@acme.example") == 0, "the directory")
            """)
        self.assert_running()

    def purged_at_once(self):
        """Purged while it runs: nothing is left."""
        self.sh("apt-get purge -y coexist 2>&1")
        self.nothing_is_left()

    def nothing_is_left(self):
        names = self.sh("find / -xdev -name '*coexist*' -not -path '/root/*' -not -path '/proc/*'"
                        " -not -path '/sys/*' -not -path '/tmp/*'").stdout.splitlines()
        rest = [n for n in names if not re.match(
            r"/usr/sbin/coexist-load-schema|/var/lib/dpkg/info/coexist-(schema|doc)\.|/usr/share/(doc|man)/"
            r"|/usr/share/coexist(/schema/.*)?$|/etc/ldap/slapd.d/", n)]
        assert rest == [], rest
        assert self.sh("find / -xdev \\( -nouser -o -nogroup \\) -not -path '/proc/*'").stdout == ""
        assert self.sh("getent passwd; getent group").stdout.count("coexist") == 0
        # (ucf remembers the name of the file that it asked about last.)
        assert "Name: coexist/" not in self.sh("cat /var/cache/debconf/config.dat /var/cache/debconf/passwords.dat").stdout
        assert "coexist" not in self.sh("cat /var/lib/ucf/hashfile /var/lib/ucf/registry").stdout
        assert "coexist" not in self.sh("ls -R /etc/systemd /var/lib/systemd").stdout
        assert self.sh("grep -l coexist /proc/[0-9]*/comm", check=False).stdout == ""

    def unattended(self):
        """An older version with answers: it runs at once; the password is where it belongs only."""
        self.python("mailsite.preseed()")
        said = self.install("old", "coexist")
        assert mailsite.PASSWORD not in said
        self.assert_running()
        self.python("""wait_for(lambda: verdict("anna@acme.example") == 0, "the directory")""")
        assert self.sh("cat /etc/postfix/main.cf").stdout == self.main_cf
        assert self.sh("cat /etc/coexist/ldap.secret").stdout == mailsite.PASSWORD + "\n"
        assert self.sh("stat -c '%U %a' /etc/coexist/ldap.secret").stdout == "coexist-sync 600\n"
        holders = self.sh("grep -rlF 'S3cret' /var /etc /run /tmp", check=False).stdout.split()
        # slapd keeps what the test gave it.
        assert [h for h in holders if not h.startswith("/var/lib/ldap/")] == ["/etc/coexist/ldap.secret"], holders

    def mail(self):
        """The autopkgtest: main.cf as "coexistctl postfix" prints it, and mail is redirected."""
        self.python("""
            mailsite.set_mailbox_transport()
            run("systemctl", "reload", *mailsite.SERVICES)
            mailsite.set_up_postfix()
            """)
        print("      " + self.sh("/root/tests/redirect 2>&1").stdout.strip())

    def metrics(self):
        """Metrics over HTTP, from inside the units' confinement."""
        self.sh(f"cp -p {CONF} /root/conf")
        self.python(r"""
            import re, urllib.request
            text = open(mailsite.CONF).read()
            for number, section in enumerate(("syncd", "milter", "policyd")):
                text = re.sub(r'(?s)(^%s \{.*?)#metrics_listen = ""' % section,
                              r'\1metrics_listen = "inet:127.0.0.1:%d"' % (9643 + number), text, 1, re.MULTILINE)
            open(mailsite.CONF, "w").write(text)
            run("systemctl", "restart", *mailsite.SERVICES)
            for port in (9643, 9644, 9645):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                    assert answer.status == 200 and b"coexist_" in answer.read(), port
            """)
        self.sh(f"cp -p /root/conf {CONF}; systemctl restart " + " ".join(SERVICES))
        self.assert_running()

    def rights(self):
        """Each account may do its work and no more; strangers reach no socket."""
        replica = "/var/lib/coexist"
        sockets = "/var/spool/postfix/coexist"
        connect = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"%s\")'"
        table = (
            # user, command, whether it may
            ("coexist-sync", "cat /etc/coexist/ldap.secret", True),
            ("coexist-milter", "cat /etc/coexist/ldap.secret", False),
            ("coexist-policy", "cat /etc/coexist/ldap.secret", False),
            ("coexist-sync", "cat /etc/coexist/secret", False),
            ("coexist-milter", "cat /etc/coexist/secret", True),
            ("coexist-policy", "cat /etc/coexist/secret", True),
            ("nobody", "cat /etc/coexist/secret", False),
            *((user, f"cmp -n 64 {replica}/$(readlink {replica}/current) {replica}/current", True)
              for user in ("coexist-milter", "coexist-policy")),
            *((user, f"test -w {replica}/$(readlink {replica}/current)-lock", True)
              for user in ("coexist-milter", "coexist-policy")),
            *((user, f"test -w {replica}/$(readlink {replica}/current)", False)
              for user in ("coexist-milter", "coexist-policy")),
            *((user, f"touch {replica}/x", False) for user in ("coexist-milter", "coexist-policy", "nobody")),
            ("nobody", f"ls {replica}", False),
            *(("postfix", connect % f"{sockets}/{name}", True) for name in ("milter", "policy", "map")),
            *((user, connect % f"{sockets}/{name}", False) for name in ("milter", "policy", "map")
              for user in ("nobody", "coexist-sync")),
            ("coexist-milter", f"rm {sockets}/policy", False),
            ("coexist-policy", f"rm {sockets}/milter", False),
            ("postfix", f"touch {sockets}/x", False),
            ("nobody", connect % "/run/coexist/syncd", False),
            ("coexist-milter", connect % "/run/coexist/syncd", False),
        )
        wrong = [row for row in table if (self.sh(
            f"runuser -u {row[0]} -- sh -c '{row[1].replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'",
            check=False).returncode == 0) is not row[2]]
        assert wrong == [], wrong
        groups = self.sh("id -nG coexist-milter; id -nG coexist-policy; id -nG coexist-sync").stdout
        assert "postfix" not in groups, groups
        for name, user in zip(SERVICES, ("coexist-sync", "coexist-milter", "coexist-policy")):
            pid = self.show(name, "MainPID")
            assert self.sh(f"stat -c %U /proc/{pid}").stdout.strip() == user
            assert re.search(r"^CapPrm:\s0+$", self.sh(f"cat /proc/{pid}/status").stdout, re.MULTILINE)

    def reload(self):
        """systemctl reload: a wrong file is refused with its line, and the old one stays."""
        pids = [self.show(name, "MainPID") for name in SERVICES]
        self.sh(f"cp -p {CONF} /root/conf && sed -i 's/^organization\\|^#organization/orgnization/' {CONF}")
        for name in SERVICES:
            failed = self.sh(f"systemctl reload {name}", check=False)
            assert failed.returncode != 0, name
        assert f"{CONF}:" in self.log()
        self.assert_running()
        self.sh(f"cp -p /root/conf {CONF}")
        self.sh("systemctl reload " + " ".join(SERVICES))
        self.assert_running()
        assert [self.show(name, "MainPID") for name in SERVICES] == pids
        self.python("""assert verdict("nobody@acme.example") == 67""")

    def watchdog(self):
        """The daemons report to systemd; one that hangs is started again."""
        for name in SERVICES:
            self.sh(f"mkdir -p /run/systemd/system/{name}.service.d && printf '[Service]\\nWatchdogSec=3s\\n'"
                    f" >/run/systemd/system/{name}.service.d/fast.conf")
        self.sh("systemctl daemon-reload && systemctl restart " + " ".join(SERVICES))
        time.sleep(8)  # what must not happen has no sign to wait for
        self.assert_running()
        assert [self.show(name, "NRestarts") for name in SERVICES] == ["0"] * 3
        for name in SERVICES:
            self.sh(f"kill -STOP {self.show(name, 'MainPID')}")
        until = time.monotonic() + 60
        while [self.show(name, "NRestarts") for name in SERVICES] != ["1"] * 3 or \
                self.states("is-active") != ["active"] * 3:
            assert time.monotonic() < until, self.log()
            time.sleep(0.5)
        self.sh("rm -r /run/systemd/system/coexist-*.service.d; systemctl daemon-reload; systemctl restart "
                + " ".join(SERVICES))
        self.assert_running()

    def upgrade(self):
        """Upgraded under load and with mail in the queue: all that was accepted arrives once."""
        secrets = self.sh("cat /etc/coexist/secret /etc/coexist/ldap.secret").stdout
        conf = self.conf()
        traffic = self.machine.start("python3 -B - >/root/traffic.log 2>&1", stdin=subprocess.PIPE)
        traffic.stdin.write(textwrap.dedent("""
            import os, sys
            sys.path.insert(0, "/root/tests")
            from mailsite import send
            number = 0
            while not os.path.exists("/root/enough"):
                number += 1
                to = "adam.barr@acme.example" if number % 2 else "anna@acme.example"
                try:
                    code, text = send(to, subject=f"traffic {number}")
                except OSError as error:
                    code, text = 0, repr(error)
                print(number, code, text.replace(chr(10), " "), flush=True)
            """))
        traffic.stdin.close()
        try:
            self.python("""wait_for(lambda: open("/root/traffic.log").read().count(" 250 ") > 20, "traffic")""")
            self.install("new", "coexist")
            self.python("""
                before = open("/root/traffic.log").read().count(" 250 ")
                wait_for(lambda: open("/root/traffic.log").read().count(" 250 ") > before + 20, "traffic")
                """)
        finally:
            self.sh("touch /root/enough")
            traffic.wait(60)
        self.assert_running()
        assert OLD not in self.sh("dpkg-query -W -f '${Version}' coexist").stdout
        log = self.sh("cat /root/traffic.log").stdout
        codes = [int(line.split()[1]) for line in log.splitlines() if line[:1].isdigit()]
        assert set(codes) <= {250, 450, 451, 421}, log[-3000:]
        said = self.python(r"""
            import collections, re
            lines = [l.split() for l in open("/root/traffic.log").read().splitlines()]
            accepted = {int(l[0]) for l in lines if l[1] == "250"}
            sinks = {MAILBOXES: Sink(MAILBOXES), POP: Sink(POP)}
            run("postqueue", "-f")
            def arrived():
                return [(port, to, int(subject.split()[1])) for port, sink in sinks.items()
                        for recipients, subject, _ in list(sink.messages) for to in recipients]
            def flushed():
                run("postqueue", "-f")
                time.sleep(1)
                return len(arrived()) >= len(accepted)
            wait_for(flushed, lambda: f"{len(arrived())} of {len(accepted)}", 120)
            wait_for(lambda: "Mail queue is empty" in run("postqueue", "-p").stdout, "an empty queue")
            expected = sorted((POP, "adam@pop.acme.example", n) if n % 2 else (MAILBOXES, "anna@acme.example", n)
                              for n in accepted)
            assert sorted(arrived()) == expected, (arrived(), expected)
            print(len(accepted), "messages accepted during the upgrade, each arrived once, where it should;",
                  len(lines) - len(accepted), "deferred")
            """)
        print("      " + said.strip())
        assert self.sh("cat /etc/coexist/secret /etc/coexist/ldap.secret").stdout == secrets
        assert self.conf() == conf

    def newer_configuration(self):
        """A version with another configuration keeps the one that was changed by hand."""
        conf = self.conf()
        self.install("newer", "coexist")
        self.assert_running()
        assert self.conf() == conf
        self.sh(f"{NONINTERACTIVE} apt-get install -y --allow-downgrades /root/new/coexist_*.deb")
        assert self.conf() == conf

    def reconfigured(self):
        """dpkg-reconfigure changes only what was answered, and goes by what the file says."""
        # An administrator's own password file, and rights of his own.
        self.sh("cp -p /etc/coexist/ldap.secret /etc/coexist/own.secret"
                f" && sed -i 's,/etc/coexist/ldap.secret,/etc/coexist/own.secret,' {CONF}"
                f" && chgrp coexist {CONF} && chmod 640 {CONF}")
        conf = self.conf()
        self.sh(f"printf '%s\\n' ldap://localhost {mailsite.SUFFIX} cn=coexist,ou=services,{mailsite.SUFFIX} ''"
                       " | script -qec 'TERM=dumb DEBIAN_FRONTEND=teletype dpkg-reconfigure coexist' /dev/null")
        assert self.conf() == conf.replace('uri = "ldap://127.0.0.1"', 'uri = "ldap://localhost"') != conf, self.conf()
        assert self.sh("cat /etc/coexist/ldap.secret").stdout == mailsite.PASSWORD + "\n"
        self.assert_running()
        self.sh(f"sed -i 's,ldap://localhost,ldap://127.0.0.1 ldap://localhost,' {CONF}")
        conf = self.conf()
        self.sh("dpkg-reconfigure -fnoninteractive coexist")
        assert self.conf() == conf and "own.secret" in conf
        assert self.sh(f"stat -c '%a %U %G' {CONF}").stdout == "640 root coexist\n"
        self.sh(f"sed -i 's,/etc/coexist/own.secret,/etc/coexist/ldap.secret,' {CONF} && rm /etc/coexist/own.secret"
                " && systemctl reload coexist-syncd")
        self.assert_running()

    def linked_configuration(self):
        """A configuration that is a link: what it leads to is changed, keeps its rights, and gets a new password."""
        self.sh(f"cp -p /etc/coexist/ldap.secret /etc/coexist/own.secret && mkdir /srv/site && mv {CONF} /srv/site/"
                f" && ln -s /srv/site/coexist.conf {CONF} && chgrp coexist /srv/site/coexist.conf"
                " && sed -i 's,/etc/coexist/ldap.secret,/etc/coexist/own.secret,' /srv/site/coexist.conf")
        rights = self.sh("stat -c '%a %U %G' /srv/site/coexist.conf").stdout
        conf = self.conf()
        self.sh("printf '%s\\n' ldap://localhost " + mailsite.SUFFIX + f" cn=coexist,ou=services,{mailsite.SUFFIX} 'a\\n\"$b'"
                " | script -qec 'TERM=dumb DEBIAN_FRONTEND=teletype dpkg-reconfigure coexist' /dev/null")
        assert self.conf() == conf.replace("ldap://127.0.0.1 ldap://localhost", "ldap://localhost").replace(
            "own.secret", "ldap.secret") != conf, self.conf()
        assert self.sh("stat -c '%a %U %G' /srv/site/coexist.conf").stdout == rights
        assert self.sh(f"readlink {CONF}").stdout == "/srv/site/coexist.conf\n"
        assert self.sh("cat /etc/coexist/ldap.secret").stdout == 'a\\n"$b\n'
        # (ucf follows the link, and would remember where it led to.)
        self.sh(f"mv /etc/coexist/own.secret /etc/coexist/ldap.secret && ucf --purge {CONF} && ucfr --purge coexist {CONF}"
                f" && rm {CONF} && mv /srv/site/coexist.conf {CONF}"
                " && rm -r /srv/site && systemctl restart " + " ".join(SERVICES))
        self.assert_running()

    def another_queue_directory(self):
        """The sockets' folder elsewhere, as README.Debian says it: Postfix connects, strangers do not."""
        self.sh(f"cp -p {CONF} /root/conf && mkdir /srv/spool"
                " && sed s,/var/spool/postfix,/srv/spool, /usr/lib/tmpfiles.d/coexist.conf >/etc/tmpfiles.d/coexist.conf"
                " && systemd-tmpfiles --create coexist.conf"
                " && for name in coexist-milter coexist-policyd; do mkdir /run/systemd/system/$name.service.d"
                " && printf '[Service]\\nReadWritePaths=/srv/spool/coexist\\n'"
                " >/run/systemd/system/$name.service.d/override.conf; done; systemctl daemon-reload"
                f" && sed -i 's,^\t#\\([a-z]*_*listen = .*\\)/var/spool/postfix/,\t\\1/srv/spool/,' {CONF}"
                " && systemctl restart coexist-milter coexist-policyd")
        self.assert_running()
        assert self.sh("stat -c '%n %G %a' /srv/spool/coexist/* | sort").stdout == "".join(
            f"/srv/spool/coexist/{name} postfix 660\n" for name in ("map", "milter", "policy"))
        self.sh("! runuser -u nobody -- ls /srv/spool/coexist")
        self.sh(f"mv /root/conf {CONF}; rm -r /etc/tmpfiles.d/coexist.conf /run/systemd/system/coexist-*.service.d;"
                " systemctl daemon-reload; systemctl restart coexist-milter coexist-policyd; rm -r /srv/spool")
        self.assert_running()

    def told_to_stop(self):
        """The milter comes back when something but systemd stops it: libmilter takes a SIGHUP so."""
        pid = self.show("coexist-milter", "MainPID")
        self.sh(f"kill -HUP {pid}")
        self.python(f"""
            def came_back():
                shown = run("systemctl", "show", "-P", "ActiveState", "-P", "MainPID", "coexist-milter").stdout.split()
                return "active" in shown and "{pid}" not in shown
            wait_for(came_back, "another process")
            """)
        self.assert_running()

    def rebooted(self):
        """All of it starts with the machine, before Postfix does."""
        self.machine.close()
        self.machine.boot()
        self.assert_running()
        for name in SERVICES:
            assert name in self.show("postfix@-.service", "After")
            assert int(self.show(name, "ActiveEnterTimestampMonotonic")) <= \
                int(self.show("postfix@-.service", "ActiveEnterTimestampMonotonic"))
        print("      " + self.sh("/root/tests/redirect 2>&1").stdout.strip())

    def removed(self):
        """Removed: says what Postfix does then; keeps what purge removes; comes back as it was."""
        conf = self.conf()
        said = self.sh("apt-get remove -y coexist 2>&1").stdout
        assert "main.cf still asks Coexist" in said, said
        assert self.python("""print(send("anna@acme.example")[0])""").strip() == "451"
        assert self.conf() == conf
        self.sh("test -e /etc/coexist/secret && test -e /var/lib/coexist/current")
        self.install("new", "coexist")
        self.assert_running()
        assert self.conf() == conf

    def purged(self):
        """Purged: nothing is left."""
        self.sh("apt-get purge -y coexist 2>&1")
        self.nothing_is_left()
        self.sh("apt-get purge -y coexist-schema coexist-doc 2>&1")

    STEPS = (without_answers, by_hand, purged_at_once, unattended, mail, metrics, rights, reload, watchdog, upgrade,
             newer_configuration, reconfigured, linked_configuration, another_queue_directory,
             told_to_stop, rebooted, removed, purged)
