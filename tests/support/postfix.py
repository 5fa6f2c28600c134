"""A private Postfix instance: own configuration, queue, data and log."""

import grp
import os
import pwd
import re
import shutil
import signal
import socket

from .smtp import Client
from .wait import free_port, run, wait_for

LIBEXEC = "/usr/lib/postfix/sbin"

MASTER_CF = """\
{listen} inet n - {chroot} - - smtpd
{extra}
pickup    unix  n       -       {chroot}       60      1       pickup
cleanup   unix  n       -       {chroot}       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       {chroot}       -       -       trivial-rewrite
bounce    unix  -       -       {chroot}       -       0       bounce
defer     unix  -       -       {chroot}       -       0       bounce
trace     unix  -       -       {chroot}       -       0       bounce
verify    unix  -       -       {chroot}       -       1       verify
flush     unix  n       -       {chroot}       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
lmtp      unix  -       -       y       -       -       lmtp
showq     unix  n       -       {chroot}       -       -       showq
error     unix  -       -       {chroot}       -       -       error
retry     unix  -       -       {chroot}       -       -       error
discard   unix  -       -       {chroot}       -       -       discard
anvil     unix  -       -       {chroot}       -       1       anvil
scache    unix  -       -       {chroot}       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


def coexist_settings(policy="unix:coexist/policy", maps="unix:coexist/map",
                     milter="unix:coexist/milter"):
    """The Postfix side of SPEC section 11, for these sockets."""
    service = ("check_policy_service {{ {policy}, policy_context={context}, timeout=10s, "
               "{{ default_action = 451 4.3.5 Directory policy unavailable }} }}")
    return {
        "smtpd_milters": f"{{ {milter}, connect_timeout=5s, default_action=tempfail }}",
        "non_smtpd_milters": "$smtpd_milters",
        "internal_mail_filter_classes": "bounce, notify",
        "smtpd_relay_restrictions":
            service.format(policy=policy, context="relay")
            + ", permit_mynetworks, reject_unauth_destination",
        "smtpd_recipient_restrictions": service.format(policy=policy, context="recipient"),
        "smtpd_relay_before_recipient_restrictions": "yes",
        "relay_domains": f"socketmap:{maps}:domains",
        "relay_recipient_maps": "",
        "transport_maps": f"socketmap:{maps}:transport",
        "disable_vrfy_command": "yes",
    }


def local_settings(maps="unix:coexist/map"):
    """What differs where Postfix has the mailboxes itself."""
    return {"relay_domains": f"socketmap:{maps}:relay_domains",
            "virtual_mailbox_domains": f"socketmap:{maps}:mailbox_domains",
            "virtual_mailbox_maps": f"socketmap:{maps}:recipients"}


class Postfix:
    """
    settings override main.cf; services are further lines of master.cf. What has no other
    next hop goes to `outside` (a relayhost). hosts: {name: address} that its smtp clients
    resolve; a host with no port ("relay:[mail.example]") is reached on smtp_port, not on 25,
    which somebody may have.
    Loopback is not in mynetworks: a test says by XCLIENT who it is. A command `prefix` runs it
    elsewhere, where it listens on `address`, port 25 if that is not here.
    """

    def __init__(self, folder, name="gw", outside="[127.0.0.1]:9", settings=None, services=(),
                 chroot=False, hosts=None, address="127.0.0.1", prefix=()):
        self.folder = str(folder)
        self.name = name
        self.config = f"{self.folder}/etc"
        self.queue = f"{self.folder}/spool"
        self.log_path = f"{self.folder}/mail.log"
        self.address = address
        self.prefix = list(prefix)
        self.port = 25 if prefix else free_port()
        self.smtp_port = free_port()
        self.chroot = "y" if chroot else "n"
        self._make_folders()
        self._write_chroot(hosts or {})
        self.settings = {
            "compatibility_level": "3.6",
            "myhostname": f"{name}.gateway.example",
            "mydomain": "gateway.example",
            "myorigin": "$myhostname",
            "mydestination": "",
            "mynetworks": "192.0.2.250/32",
            "inet_interfaces": address,
            "inet_protocols": "all",
            "relayhost": outside,
            "queue_directory": self.queue,
            "data_directory": f"{self.folder}/data",
            "maillog_file": self.log_path,
            "maillog_file_prefixes": self.folder,
            "smtp_tcp_port": str(self.smtp_port),
            "smtp_host_lookup": "native",
            "smtp_dns_support_level": "disabled",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "local_transport": "error:5.1.1 nobody lives here",
            "biff": "no",
            "append_dot_mydomain": "no",
            "notify_classes": "",
            "smtpd_peername_lookup": "no",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            # Tests make mistakes on purpose, many and fast.
            "smtpd_error_sleep_time": "0",
            "smtpd_soft_error_limit": "100000",
            "smtpd_hard_error_limit": "100000",
            "smtpd_junk_command_limit": "100000",
            "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
            "smtpd_recipient_limit": "20000",
            "in_flow_delay": "0",
            "queue_run_delay": "2s",
            "minimal_backoff_time": "2s",
            "maximal_backoff_time": "4s",
            "smtp_connection_cache_on_demand": "no",
            **(settings or {}),
        }
        with open(f"{self.config}/master.cf", "w", encoding="utf-8") as master:
            master.write(MASTER_CF.format(listen=f"{address}:{self.port}", chroot=self.chroot,
                                          extra="\n".join(services)))
        self.write_settings()

    def _make_folders(self):
        """
        What "postfix start" would make (postfix-files(5)): its script takes seconds, the
        master alone milliseconds, and tests start many.
        """
        postfix = pwd.getpwnam("postfix")
        postdrop = grp.getgrnam("postdrop").gr_gid
        os.makedirs(self.config)

        def make(name, mode, uid=postfix.pw_uid, gid=0):
            os.makedirs(f"{self.folder}/{name}")
            os.chown(f"{self.folder}/{name}", uid, gid)
            os.chmod(f"{self.folder}/{name}", mode)

        make("data", 0o700)
        make("spool", 0o755, 0)
        make("spool/pid", 0o755, 0)
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
                     "incoming", "private", "saved", "trace"):
            make(f"spool/{name}", 0o700)
        make("spool/maildrop", 0o1730, gid=postdrop)
        make("spool/public", 0o2710, gid=postdrop)
        # Where the daemons put their sockets: Postfix reaches them chrooted or not.
        make("spool/coexist", 0o2750, 0, postfix.pw_gid)
        os.chmod(self.folder, 0o755)

    def write_settings(self):
        """main.cf; who changes `settings` before the start calls this."""
        with open(f"{self.config}/main.cf", "w", encoding="utf-8") as main:
            for key, value in self.settings.items():
                main.write(f"{key} = {value}\n")
        # Postfix waits until a configuration file is no longer brand new.
        os.utime(f"{self.config}/main.cf", (1, 1))

    def _write_chroot(self, hosts):
        """What Debian's start script copies into the queue folder, with our hosts file."""
        etc = f"{self.queue}/etc"
        os.makedirs(etc)
        for name in ("services", "resolv.conf", "localtime"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copyfile(f"/etc/{name}", f"{etc}/{name}")
        with open(f"{etc}/hosts", "w", encoding="utf-8") as out:
            out.write("127.0.0.1 localhost\n")
            out.writelines(f"{address} {name}\n" for name, address in hosts.items())
        with open(f"{etc}/nsswitch.conf", "w", encoding="utf-8") as out:
            out.write("passwd: files\ngroup: files\nhosts: files\nservices: files\n")

    def set(self, **settings):
        """Changes main.cf and reloads."""
        self.settings.update(settings)
        self.write_settings()
        run([*self.prefix, "postfix", "-c", self.config, "reload"])

    def master_pid(self):
        """The pid of the running master, or 0."""
        try:
            with open(f"{self.queue}/pid/master.pid", encoding="ascii") as file:
                pid = int(file.read())
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                state = file.read().rpartition(")")[2].split()[0]
            return 0 if state == "Z" else pid  # nobody's child may be reaped late
        except (OSError, ValueError):
            return 0

    def start(self):
        run([*self.prefix, f"{LIBEXEC}/master", "-c", self.config, "-w"])
        wait_for(self._greets, lambda: f"Postfix {self.name} to greet:\n{self.log_text()}")

    def _greets(self):
        try:
            with socket.create_connection((self.address, self.port), timeout=30) as connection:
                return connection.recv(4).startswith(b"220")
        except OSError:
            return False

    def stop(self):
        if self.master_pid():
            run([*self.prefix, "postfix", "-c", self.config, "stop"], check=False)
            wait_for(lambda: not self.master_pid(), f"Postfix {self.name} to stop")

    def restart(self):
        self.stop()
        self.start()

    def flush(self):
        """Delivery attempts for what is deferred, now."""
        run([*self.prefix, "postqueue", "-c", self.config, "-f"])

    def connect(self, **options):
        return Client(self.address, self.port, **options)

    def sendmail(self, arguments, message):
        """Local submission, as /usr/sbin/sendmail does it."""
        return run(["/usr/sbin/sendmail", "-C", self.config, *arguments], stdin=message)

    def postmap(self, key, map_name, check=True):
        """(exit code, value) of postmap -q against a map of the policy service."""
        done = run(["postmap", "-c", self.config, "-q", key,
                    f"socketmap:unix:{self.queue}/coexist/map:{map_name}"], check=False)
        if check:
            assert done.returncode in (0, 1), done
        return done.returncode, done.stdout.rstrip("\n")

    def queued(self):
        """Queue files that are there, by queue ("deferred", ...)."""
        found = {}
        for queue in ("maildrop", "incoming", "active", "deferred", "hold", "corrupt"):
            for _, _, names in os.walk(f"{self.queue}/{queue}"):
                if names:
                    found.setdefault(queue, []).extend(names)
        return found

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, pattern):
        return [line for line in self.log_text().splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, count=1):
        """The lines, as soon as there are so many: postlogd(8) writes after the others."""
        return wait_for(lambda: (lines := self.log_lines(pattern))[count - 1:] and lines,
                        lambda: f"{count} times {pattern!r} in\n{self.log_text()[-4000:]}")

    def complaints(self):
        """What a healthy run does not log."""
        return self.log_lines(r": (fatal|panic|error): |: warning: (process|milter .* bad|"
                              r"ignoring ESMTP|Ignoring bad|unexpected|malformed|read .* map)")

    def close(self):
        """Ends it at once; what it does at a proper stop is of no interest here."""
        if pid := self.master_pid():
            os.killpg(pid, signal.SIGKILL)
            wait_for(lambda: not self.master_pid(), f"Postfix {self.name} to end")
