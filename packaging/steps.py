"""
What packaging/check-packages does with the packages on a server that has Postfix and slapd, step by
step. What takes a machine that has not is in fresh.py.
"""

import re
import time

import mailsite
from inside import CONF, NONINTERACTIVE, SERVICES, Inside

OLD = "0.0.9-0coexist1"  # the version that is upgraded
QUESTION = "modified configuration file"  # ucf's
ANSWERS = ("ldap://127.0.0.1", mailsite.SUFFIX, f"cn=coexist,ou=services,{mailsite.SUFFIX}", mailsite.PASSWORD)


class Check(Inside):
    """The steps, in order: each goes on from where the one before left the machine."""

    def __init__(self, machine):
        super().__init__(machine)
        self.main_cf = self.sh("cat /etc/postfix/main.cf").stdout

    def answer(self, command, *answers):
        """A command that asks on a terminal; what it showed there."""
        return self.sh(f"timeout 90 script -qec 'TERM=dumb DEBIAN_FRONTEND=teletype {command}' /dev/null",
                       input="".join(f"{line}\n" for line in answers)).stdout

    def upgrade_interactively(self):
        """To the version with another configuration, with somebody at the terminal."""
        said = self.answer("apt-get install -y /root/newer/coexist_*.deb")
        assert "Setting up coexist" in said and QUESTION not in said, said
        assert "9.9-1" in self.sh("dpkg-query -W -f '${Version}' coexist").stdout
        assert "ucf" not in self.sh("ls /etc/coexist").stdout
        self.assert_running()

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

    def first_mail(self):
        """From there to the first redirected mail: the schema, five lines, and what "coexistctl postfix" prints."""
        self.python("mailsite.set_up_directory()")
        self.python("""
            mailsite.configure_by_hand()
            for name in mailsite.SERVICES:
                run(name, "-t")
            run("systemctl", "start", *mailsite.SERVICES)
            wait_for(lambda: verdict("anna@acme.example") == 0, "the directory")
            mailsite.set_up_postfix()
            """)
        self.assert_running()
        template = self.sh("cat /usr/share/coexist/coexist.conf.template").stdout.splitlines()
        lines = [line.strip() for line in self.conf().splitlines() if line not in template]
        assert len(lines) == 5, lines
        self.mail()
        sent = self.sh("journalctl -o short-iso -u 'postfix*' -u coexist-milter --no-pager | grep 'to=<adam@pop.acme'").stdout
        assert "orig_to=<adam.barr@acme.example>, action=redirect" in sent, sent
        assert re.search(r"postfix/smtp\[.*relay=127\.0\.0\.1\[127\.0\.0\.1\]:2526, .*status=sent", sent), sent
        for line in (*lines, *sent.splitlines()):
            print(f"      {line}")

    def purged_at_once(self):
        """What was written by hand an upgrade does not ask about; purged while it runs, nothing is left."""
        conf = self.conf()
        self.upgrade_interactively()
        assert self.conf() == conf
        self.restore_postfix()
        self.sh("apt-get purge -y coexist 2>&1")
        self.nothing_is_left()

    def restore_postfix(self):
        """README.Debian, "Taking it away"."""
        self.sh("cat >/etc/postfix/main.cf && systemctl restart postfix", input=self.main_cf)

    def answered_later(self):
        """Installed without answers, then dpkg-reconfigure: it runs, and a newer version asks nothing."""
        self.sh("mv /usr/bin/base64 /usr/bin/base64.away && ln -s false /usr/bin/base64")
        said = self.sh(f"{NONINTERACTIVE} apt-get install -y /root/new/coexist_*.deb 2>&1", check=False)
        assert said.returncode != 0 and "could not make /etc/coexist/secret" in said.stdout, said.stdout
        assert self.sh("ls -A /etc/coexist").stdout == ""  # half a secret would be worse than none
        self.sh("mv -f /usr/bin/base64.away /usr/bin/base64 && dpkg --configure -a")
        assert self.sh("stat -c '%s %U %G %a' /etc/coexist/secret").stdout == "45 root coexist-sign 640\n"
        assert self.states("is-active") == ["inactive"] * 3
        self.answer("dpkg-reconfigure coexist", *ANSWERS)
        self.assert_running()
        self.wait_for_directory()
        assert self.sh("cat /etc/coexist/ldap.secret").stdout == mailsite.PASSWORD + "\n"
        conf = self.conf()
        self.upgrade_interactively()
        assert self.conf() == "# Of 9.9.\n" + conf
        self.sh("apt-get purge -y coexist 2>&1")
        self.nothing_is_left()

    def unattended(self):
        """Installed with answers: it runs at once; the password is where it belongs only."""
        self.python("mailsite.preseed()")
        said = self.install("new", "coexist")
        assert mailsite.PASSWORD not in said
        self.assert_running()
        self.wait_for_directory()
        assert self.sh("cat /etc/postfix/main.cf").stdout == self.main_cf
        assert self.sh("cat /etc/coexist/ldap.secret").stdout == mailsite.PASSWORD + "\n"
        assert self.sh("stat -c '%U %a' /etc/coexist/ldap.secret").stdout == "coexist-sync 600\n"
        holders = self.sh("grep -rlF 'S3cret' /var /etc /run /tmp", check=False).stdout.split()
        # slapd keeps what the test gave it.
        assert [h for h in holders if not h.startswith("/var/lib/ldap/")] == ["/etc/coexist/ldap.secret"], holders

    def older_mail(self):
        """Mail through the older version: main.cf as its "coexistctl postfix" prints it."""
        self.sh("apt-get purge -y coexist 2>&1")
        self.python("mailsite.preseed()")
        self.install("old", "coexist")
        # It cut a password at "\n", and did not reload without procps.
        self.python("""
            open("/etc/coexist/ldap.secret", "w").write(PASSWORD + "\\n")
            mailsite.set_mailbox_transport()
            run("systemctl", "restart", *mailsite.SERVICES)
            mailsite.set_up_postfix()
            """)
        self.mail()

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
        """Upgraded under load and with mail in the queue: answers are right or temporary, mail arrives once."""
        secrets = self.sh("cat /etc/coexist/secret /etc/coexist/ldap.secret").stdout
        conf = self.conf()
        traffic = self.machine.start("exec python3 -B /root/tests/traffic.py run")
        more = """
            import traffic
            before = traffic.accepted_so_far()
            wait_for(lambda: traffic.accepted_so_far() > before + 40, lambda: open(traffic.LOG).read()[-2000:])
            """
        try:
            self.python("""
            wait_for(lambda: os.path.exists("/root/traffic.log"), "traffic")""" + more)
            self.install("new", "coexist")
            self.python(more)
        finally:
            self.sh("touch /root/enough")
            traffic.wait(60)
        self.assert_running()
        assert OLD not in self.sh("dpkg-query -W -f '${Version}' coexist").stdout
        for line in self.sh("python3 -B /root/tests/traffic.py judge 2>&1").stdout.splitlines():
            print(f"      {line}")
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
        self.answer("dpkg-reconfigure coexist", "ldap://localhost", *ANSWERS[1:3], "")
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
        self.answer("dpkg-reconfigure coexist", "ldap://localhost", *ANSWERS[1:3], 'a\\n"$b')
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
        self.mail()

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
        """Purged: nothing is left but what an administrator put beside it."""
        own = "/etc/coexist/coexist.conf.bak"
        self.sh(f"cp {CONF} {own}")
        self.restore_postfix()
        self.sh("apt-get purge -y coexist 2>&1")
        assert self.sh("ls -A /etc/coexist").stdout.split() == ["coexist.conf.bak"]
        self.sh(f"rm {own} && rmdir /etc/coexist")
        self.nothing_is_left()
        self.sh("apt-get purge -y coexist-schema coexist-doc 2>&1")

    STEPS = (without_answers, first_mail, purged_at_once, answered_later, unattended, older_mail, upgrade, metrics,
             rights, reload, watchdog, newer_configuration, reconfigured, linked_configuration,
             another_queue_directory, told_to_stop, rebooted, removed, purged)
