#!/usr/bin/python3
"""
The load of an upgrade, in the machine of check-packages: four clients that send mail, some of it to
several recipients, and four that ask the policy service and the maps, all at once.

    traffic.py run       until there is a file /root/enough; what came of each goes to /root/traffic.log
    traffic.py judge     what was accepted arrives once, where it should; nothing else does

A wrong answer ends "run" with 1: each must be right, or temporary. A connection that ends before its
answer is made anew and asked once more, as Postfix does; ending again, the question was dropped.
"""

import json
import os
import select
import smtplib
import socket
import sys
import threading
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mailsite import MAILBOXES, POP, Sink, run, wait_for  # noqa: E402

ENOUGH, LOG = "/root/enough", "/root/traffic.log"
SOCKETS = "/var/spool/postfix/coexist"
PACE = 0.02  # seconds between two questions of a client: load, not a flood

# Recipient, where it arrives, and what is right at RCPT.
PLACES = {
    "adam.barr@acme.example": ((POP, "adam@pop.acme.example"), 250),
    "anna@acme.example": ((MAILBOXES, "anna@acme.example"), 250),
    "nobody@acme.example": (None, 550),
}
ADAM, ANNA, NOBODY = PLACES
MESSAGES = ((ADAM,), (ANNA, ADAM), (ANNA,), (ADAM, NOBODY, ANNA))
PER_CONNECTION = 4  # Postfix hangs up on who makes many mistakes, and each refusal is one

POLICY = (  # context, recipient, the right answer
    ("recipient", ANNA, "DUNNO"),
    ("recipient", NOBODY, "550 5.1.1 User unknown"),
    ("relay", "x@elsewhere.example", "DUNNO"),
    ("recipient", ADAM, "DUNNO"),
)
MAPS = (
    ("domains acme.example", "OK shared"),
    ("transport anna@acme.example", f"OK smtp:[127.0.0.1]:{MAILBOXES}"),
    ("domains elsewhere.example", "NOTFOUND "),
    ("transport adam@pop.acme.example", f"OK smtp:[127.0.0.1]:{POP}"),
)


def is_temporary(code):
    return 400 <= code <= 499


class Ended(Exception):
    """The connection ended before the answer."""


class Service:
    """One of the sockets, by a connection that is kept."""

    def __init__(self, name):
        self.name = name
        self.socket = None
        self.asked_again = 0

    def ask(self, question, read_answer):
        """The answer, or None where nobody listens: Postfix then takes it as temporary."""
        if self.socket is not None and self._has_ended():
            self.close()
        for _ in range(2):
            try:
                if self.socket is None:
                    self.socket = socket.socket(socket.AF_UNIX)
                    self.socket.settimeout(30)
                    self.socket.connect(f"{SOCKETS}/{self.name}")
            except (FileNotFoundError, ConnectionRefusedError):
                self.close()
                return None
            try:
                self.socket.sendall(question)
                return read_answer(self._more)
            except (Ended, ConnectionError):
                self.close()
                self.asked_again += 1
        raise Ended(f"{self.name} dropped again: {question!r}")

    def _has_ended(self):
        """Whether the other side said so since the last answer, as a daemon does that stops."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def _more(self):
        data = self.socket.recv(4096)
        if not data:
            raise Ended
        return data

    def close(self):
        self.socket.close()
        self.socket = None


def policy_question(context, recipient):
    return (f"request=smtpd_access_policy\nprotocol_state=RCPT\npolicy_context={context}\n"
            f"client_address=203.0.113.9\nclient_name=unknown\nsender=sue@outside.example\n"
            f"recipient={recipient}\n\n").encode()


def read_policy_answer(more):
    text = b""
    while not text.endswith(b"\n\n"):
        text += more()
    return text.decode().strip().removeprefix("action=")


def read_map_answer(more):
    text = b""
    while b":" not in text or not text.endswith(b",") or len(text) < text.index(b":") + int(text.split(b":")[0]) + 2:
        text += more()
    return text[text.index(b":") + 1:-1].decode()


class Load:
    def __init__(self):
        self.wrong = []
        self.counts = Counter()
        self.lock = threading.Lock()
        self.log = open(LOG, "w", encoding="utf-8")
        self.number = 0

    def run(self):
        works = [self.send_mail] * 4 + [self.ask_policy, self.ask_maps] * 2
        threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.write(counts=self.counts, wrong=self.wrong)
        return 1 if self.wrong else 0

    def _guard(self, work):
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            self.note(f"{work.__name__}: {type(error).__name__}: {error}")

    def note(self, wrong):
        with self.lock:
            self.wrong.append(wrong)

    def write(self, **line):
        with self.lock:
            print(json.dumps(line), file=self.log, flush=True)

    def count(self, what, number=1):
        with self.lock:
            self.counts[what] += number

    @staticmethod
    def is_over():
        time.sleep(PACE)
        return os.path.exists(ENOUGH)

    def judge(self, kind, question, answer, right, is_temporary):
        if answer is None:
            self.count(f"{kind}: nobody listened")
        elif answer == right:
            self.count(f"{kind}: right")
        elif is_temporary(answer):
            self.count(f"{kind}: temporary")
        else:
            self.note(f"{kind} {question}: {answer!r}, right is {right!r}")

    def ask_policy(self):
        service = Service("policy")
        while not self.is_over():
            for context, recipient, right in POLICY:
                answer = service.ask(policy_question(context, recipient), read_policy_answer)
                self.judge("policy", (context, recipient), answer, right, lambda a: a.startswith("4"))
        self.count("policy: asked again", service.asked_again)

    def ask_maps(self):
        service = Service("map")
        while not self.is_over():
            for question, right in MAPS:
                answer = service.ask(f"{len(question)}:{question},".encode(), read_map_answer)
                self.judge("map", question, answer, right, lambda a: a.startswith("TEMP "))
        self.count("map: asked again", service.asked_again)

    def send_mail(self):
        while not self.is_over():
            try:
                with smtplib.SMTP("127.0.0.1", 25, timeout=60) as client:
                    client.ehlo("client.outside.example")
                    for _ in range(PER_CONNECTION):
                        self.send_message(client)
            except smtplib.SMTPConnectError as refused:
                self.judge("connect", "", refused.smtp_code, 220, is_temporary)

    def send_message(self, client):
        with self.lock:
            self.number += 1
            number = self.number
        accepted = []
        code, text = client.mail("sue@outside.example")
        if code == 250:
            for recipient in MESSAGES[number % len(MESSAGES)]:
                code, text = client.rcpt(recipient)
                self.judge("RCPT", recipient, code, PLACES[recipient][1], is_temporary)
                if code == 250:
                    accepted.append(recipient)
        if accepted:
            try:
                code, text = client.data(f"From: <sue@outside.example>\r\nSubject: traffic {number}\r\n"
                                         f"Message-ID: <{number}@outside.example>\r\n\r\nHello.\r\n")
            except smtplib.SMTPDataError as refused:
                code, text = refused.args
        if accepted or code != 550:
            self.judge("message", number, code, 250, is_temporary)
        if code != 250:
            client.rset()
        self.write(number=number, code=code, accepted=accepted, text=text.decode())


def read_log():
    with open(LOG, encoding="utf-8") as source:
        return [json.loads(line) for line in source]


def accepted_so_far():
    """How many messages; a line that is being written does not count."""
    with open(LOG, encoding="utf-8") as source:
        return source.read().count('"code": 250')


def judge():
    lines = read_log()
    summary = lines.pop()
    assert summary["wrong"] == [], summary["wrong"]
    expected = sorted((*PLACES[to][0], f"traffic {line['number']}")
                      for line in lines if line["code"] == 250 for to in line["accepted"])
    sinks = {port: Sink(port) for port in (MAILBOXES, POP)}

    def arrived():
        return sorted((port, to, subject) for port, sink in sinks.items()
                      for recipients, subject, _ in list(sink.messages) for to in recipients)

    def is_delivered():
        run("postqueue", "-f")
        time.sleep(0.5)  # it takes the whole queue on: not again at once
        return "Mail queue is empty" in run("postqueue", "-p").stdout

    wait_for(is_delivered, lambda: f"{len(arrived())} of {len(expected)}", 180)
    surplus, missing = Counter(arrived()) - Counter(expected), Counter(expected) - Counter(arrived())
    assert not surplus and not missing, (surplus, missing)
    messages = [line for line in lines if line["code"] == 250]
    print(f"{len(messages)} messages accepted during the upgrade for {len(expected)} recipients, each arrived once,"
          f" where it should; {len(lines) - len(messages)} deferred")
    print("; ".join(f"{what} {number}" for what, number in sorted(summary["counts"].items())))


if __name__ == "__main__":
    sys.exit(Load().run() if sys.argv[1:] == ["run"] else judge())
