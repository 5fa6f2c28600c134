"""
A private Sendmail: the programs of Debian's packages, unpacked beside Postfix with which they
conflict (packaging/install-deps does it), with a configuration, queue and log of its own. What
concerns Coexist is what `coexistctl sendmail` prints.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

from .daemons import TOP, coexistctl
from .site import Site
from .smtp import Client
from .wait import Child, free_port, run, wait_for

ROOT = os.environ.get("COEXIST_SENDMAIL", "/var/cache/coexist-tests/sendmail")
CF = f"{ROOT}/usr/share/sendmail/cf"
HOST = "gw.gateway.example"
# Addresses that a client is to have, and what sendmail_preload.c takes for them.
PLACES = (("192.0.2.", "127.192.2."), ("198.51.100.", "127.198.100."))

SENDMAIL_MC = """\
divert(-1)
define(`_CF_DIR_', `{cf}/')
divert(0)dnl
include(`{cf}/m4/cf.m4')dnl
VERSIONID(`test')dnl
OSTYPE(`linux')dnl
undefine(`LOCAL_MAILER_PATH')define(`LOCAL_MAILER_PATH', `/bin/false')dnl
define(`confDOMAIN_NAME', `{host}')dnl
define(`confCW_FILE', `{folder}/local-host-names')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/service.switch')dnl
define(`QUEUE_DIR', `{queue}')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`confPID_FILE', `{folder}/sendmail.pid')dnl
define(`HELP_FILE', `-o {folder}/helpfile')dnl
define(`ALIAS_FILE', `{folder}/aliases')dnl
define(`confTRUSTED_USER', `root')dnl
dnl All of it lies in /tmp, which is sticky.
define(`confDONT_BLAME_SENDMAIL', `MapInUnsafeDirPath,TrustStickyBit')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `10')dnl
define(`confDELIVERY_MODE', `b')dnl
define(`confREFUSE_LA', `0')dnl
define(`confQUEUE_LA', `10000')dnl
define(`confMAX_RCPTS_PER_MESSAGE', `2000')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confPRIVACY_FLAGS', `authwarnings')dnl
define(`confAUTH_MECHANISMS', `PLAIN')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {smtp_port}')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {smtp_port}')dnl
define(`SMART_HOST', `testout:[127.0.0.1]')dnl
define(`COEXIST_PORT', `{port}')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`nocanonify')dnl
DAEMON_OPTIONS(`Port={port}, Addr=127.0.0.1, Name=MTA')dnl
{extra}
{coexist}
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_CONFIG
ESASL_CONF_PATH={folder}/sasl2
MAILER_DEFINITIONS
Mtestout,	P=[IPC], F=mDFMuXa, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=990,
		T=DNS/RFC822/SMTP,
		A=TCP $h {outside}
"""

SUBMIT_MC = """\
divert(-1)
define(`_CF_DIR_', `{cf}/')
divert(0)dnl
include(`{cf}/m4/cf.m4')dnl
VERSIONID(`test submission')dnl
define(`confCF_VERSION', `Submit')dnl
define(`__OSTYPE__', `')dnl
define(`confDOMAIN_NAME', `{host}')dnl
define(`_USE_DECNET_SYNTAX_', `1')dnl
define(`confTIME_ZONE', `USE_TZ')dnl
define(`confRUN_AS_USER', `nobody')dnl
define(`confDONT_BLAME_SENDMAIL', `MapInUnsafeDirPath,TrustStickyBit')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/service.switch')dnl
define(`confPID_FILE', `{folder}/submit.pid')dnl
define(`confDELIVERY_MODE', `i')dnl
define(`MSP_QUEUE_DIR', `{folder}/clientmqueue')dnl
define(`STATUS_FILE', `{folder}/submit-statistics')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {port}')dnl
FEATURE(`msp', `[127.0.0.1]')dnl
"""


class Saslauthd:
    """
    What saslauthd says to those who log in, without PAM: users are {name: password}. (The
    protocol: four counted strings there, one back.)
    """

    def __init__(self, path, users):
        self.users = users
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                words = [file.read(int.from_bytes(file.read(2), "big")).decode()
                         for _ in range(4)]
                name = "@".join(filter(None, (words[0], words[3])))
                known = self.users.get(name) == words[1] and words[2] == "smtp"
                reply = b"OK" if known else b"NO no such user"
                connection.sendall(len(reply).to_bytes(2, "big") + reply)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


class Sendmail:
    """
    hosts: {name: address} that it can resolve. Hosts without a port are reached on smtp_port;
    what has no other next hop goes to the port `outside`. extra: further lines of sendmail.mc;
    local: domains that it is final for; users: {login: password}; aliases: lines; access: lines
    of the access table. Clients come from the address that they bind to: loopback alone is a
    local one.
    """

    def __init__(self, folder, name, outside, hosts=None, extra="", local=(), users=None,
                 aliases="", access=""):
        self.folder = str(folder)
        self.name = name
        self.queue = f"{self.folder}/spool"  # where the daemons have their sockets
        self.mqueue = f"{self.folder}/mqueue"
        self.log_path = f"{self.folder}/mail.log"
        self.port = free_port()
        self.smtp_port = free_port()
        self.outside = outside
        self.extra = extra
        if access:
            self.extra = f"FEATURE(`access_db', `text -T<TMPF> {self.folder}/access')dnl\n{extra}"
        self.child = None
        self.expected = r"(?!)"  # nothing
        assert os.path.isfile(f"{ROOT}/usr/libexec/sendmail/sendmail"), \
            f"no Sendmail in {ROOT}: packaging/install-deps test"
        for part in ("", "/spool", "/spool/coexist", "/sasl2"):
            os.makedirs(self.folder + part)
        for part in ("mqueue", "clientmqueue"):
            os.makedirs(f"{self.folder}/{part}", mode=0o700)
        shutil.chown(f"{self.folder}/clientmqueue", "nobody", "nogroup")
        self._write("hosts", "".join(f"{a} {n}\n" for n, a in (hosts or {}).items()))
        self._write("service.switch", "hosts files\naliases files\n")
        self._write("local-host-names", "".join(f"{domain}\n" for domain in local))
        self._write("access", access)
        self._write("aliases", f"postmaster: pm@outside.example\nMAILER-DAEMON: postmaster\n{aliases}")
        self._write("sasl2/Sendmail.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN\n"
                    f"saslauthd_path: {self.folder}/saslauthd\n")
        self.saslauthd = Saslauthd(f"{self.folder}/saslauthd", users or {})
        # A copy without the setgid bit, which would forbid the preload.
        shutil.copyfile(f"{ROOT}/usr/libexec/sendmail/sendmail", f"{self.folder}/sendmail")
        os.chmod(f"{self.folder}/sendmail", 0o755)
        run(["cc", "-O1", "-shared", "-fPIC", f'-DCX_NAME="{HOST}"',
             f'-DCX_HOSTS="{self.folder}/hosts"', f'-DCX_LOG="{self.log_path}"',
             "-o", f"{self.folder}/preload.so", f"{TOP}/tests/support/sendmail_preload.c"])

    def _write(self, name, text):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as out:
            out.write(text)

    def configure(self, coexist):
        """sendmail.cf, with the lines that coexistctl sendmail prints."""
        for name, text in (("sendmail", SENDMAIL_MC), ("submit", SUBMIT_MC)):
            self._write(f"{name}.mc", text.format(
                cf=CF, host=HOST, folder=self.folder, queue=self.mqueue, port=self.port,
                smtp_port=self.smtp_port, outside=self.outside, extra=self.extra,
                coexist=coexist))
            done = run(["m4", f"{self.folder}/{name}.mc"])
            assert not done.stderr, done.stderr
            self._write(f"{name}.cf", done.stdout)
        done = self.run(["-bi"])
        assert done.returncode == 0, done

    def _argv(self, arguments, name="sendmail"):
        return [f"{self.folder}/sendmail", "-C", f"{self.folder}/{name}.cf", *arguments]

    @property
    def _env(self):
        return {**os.environ, "LD_PRELOAD": f"{self.folder}/preload.so"}

    def run(self, arguments, stdin=None):
        return run(self._argv(arguments), stdin=stdin, env=self._env, check=False)

    def sendmail(self, arguments, message, exit_code=0):
        """Local submission, as sendmail(1) does it: by SMTP to the daemon, whose filter sees it."""
        done = run(self._argv(arguments, "submit"), stdin=message, env=self._env, check=False)
        assert done.returncode == exit_code, done

    def run_client_queue(self):
        """What the client queue holds is tried once more, as its own daemon would."""
        done = run(self._argv(["-q"], "submit"), env=self._env, check=False)
        assert done.returncode == 0, done

    def converse(self, arguments, name, commands):
        """The replies of "sendmail -bs" to commands that are typed one after the other."""
        replies = []
        with subprocess.Popen(self._argv(["-bs", *arguments], name), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=self._env) as process:
            for command in [None, *commands]:
                if command is not None:
                    process.stdin.write(f"{command}\r\n".encode())
                    process.stdin.flush()
                while (line := process.stdout.readline().decode())[3:4] == "-":
                    pass
                replies.append(line.rstrip())
        return replies[1:]

    def start(self):
        self.child = Child(self._argv(["-bD", "-q2s"]), f"{self.folder}/output", env=self._env)
        wait_for(self._greets, lambda: f"Sendmail to greet:\n{self.log_text()}\n"
                 f"{self.child.log_text()}")

    def _greets(self):
        assert self.child.is_running(), f"{self.child.log_text()}\n{self.log_text()}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                return connection.recv(4).startswith(b"220")
        except OSError:
            return False

    def connect(self, xclient=None, **options):
        """
        xclient as for Postfix: a client that has this address (192.0.2.0/24, 198.51.100.0/24)
        and has logged in.
        """
        xclient = dict(xclient or {})
        source, login = "", xclient.pop("login", None)
        if address := xclient.pop("addr", None):
            for there, here in PLACES:
                source = source or address.startswith(there) and address.replace(there, here, 1)
            assert source, address
        assert not xclient
        client = Client("127.0.0.1", self.port, source=source, **options)
        if login is not None:
            reply = client.auth(login, self.saslauthd.users.setdefault(login, "secret"))
            assert reply.ok, reply
        return client

    def flush(self):
        """What is deferred is tried every two seconds anyway."""

    def queued(self):
        """Messages in the queue, also in the middle of a delivery."""
        found = {}
        for queue in ("mqueue", "clientmqueue"):
            names = os.listdir(f"{self.folder}/{queue}")
            if names := [n for n in names if n[:2] in ("qf", "df", "tf", "xf", "hf")]:
                found[queue] = names
        return found

    def empty_queue(self):
        """Throws away what waits in it, when nobody works on it any more."""
        while controls := [f for f in os.listdir(self.mqueue) if f[:2] == "qf"]:
            path = f"{self.mqueue}/{controls[0]}"
            with open(path, "rb") as control:
                fcntl.flock(control, fcntl.LOCK_EX)  # as Sendmail itself does
                # Who had it may have put another file in its place.
                if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(control.fileno())):
                    os.unlink(path.replace("/qf", "/df"))
                    os.unlink(path)

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, pattern):
        return [line for line in self.log_text().splitlines() if re.search(pattern, line)]

    def complaints(self):
        """What a healthy run does not log, but for what matches `expected`."""
        lines = self.log_lines(r"SYSERR|NOQUEUE: .*(unsafe|syserr)|Milter.*(error|protocol|"
                              r"read|timeout|bad)|unknown mailer|panic|savemail|"
                               r"socket map|rewrite: excessive")
        return [line for line in lines if not re.search(self.expected, line)]

    def close(self):
        """Ends it and what it has forked, by the id of the session that is its own."""
        try:
            if self.child is not None:
                try:
                    os.killpg(self.child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                self.child.wait()
        finally:
            self.saslauthd.close()


class SendmailSite(Site):
    """
    As Site, with Sendmail in the place of Postfix and `enforce = true`. mta: options of
    Sendmail(). The sink "outside" is where mail goes that the directory has no hop for.
    complaint: the next hop of which coexistctl must say that Sendmail cannot use it.
    """

    def __init__(self, mta=None, milter="", complaint="", **options):
        self._mta = mta or {}
        self._complaint = complaint
        super().__init__(milter=f"enforce = true\n{milter}", **options)

    def _make_mta(self, settings, services, chroot, hosts):
        assert not (settings or services or chroot)
        return Sendmail(f"{self.folder}/sendmail", self.name, self.sinks["outside"].port,
                        hosts, **self._mta)

    def _start_mta(self):
        done = coexistctl(self.conf, "sendmail")
        assert done.returncode == 0, done
        assert self._complaint in done.stderr if self._complaint else not done.stderr, done
        self.postfix.configure(done.stdout)
        self.postfix.start()
