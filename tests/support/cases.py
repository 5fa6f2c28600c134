"""The organisations of tests/cases, and what must become of their addresses."""

import os
from dataclasses import dataclass

TOP = os.path.join(os.path.dirname(__file__), "..", "cases")


@dataclass(frozen=True)
class Case:
    folder: str
    address: str
    ip: str
    login: str
    verdict: str
    rule: str
    deliveries: frozenset  # of (address, kind, nexthop or None)
    extra: str             # start of the reply, or what is said of relaying

    def __str__(self):
        client = " ".join(filter(None, (self.ip, self.login)))
        return f"{self.folder}: {self.address} {client}".rstrip()


def folders():
    return sorted(name for name in os.listdir(TOP)
                  if os.path.exists(os.path.join(TOP, name, "cases")))


def read(folder, name):
    path = os.path.join(TOP, folder, name)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as text:
        return text.read()


def parse_delivery(text):
    address, kind, hop = text.rsplit(" ", 2)
    return address.strip(), kind, None if hop == "-" else hop


def parse(folder, line):
    columns = [column.strip() for column in line.split("|")]
    assert len(columns) in (5, 6), f"{folder}: {line}"
    client = dict(word.split("=", 1) for word in columns[1].split())
    assert set(client) <= {"ip", "login"}, f"{folder}: {line}"
    deliveries = [] if columns[4] == "=" else columns[4].split(", ")
    return Case(folder, columns[0], client.get("ip", ""), client.get("login", ""), columns[2],
                columns[3], frozenset(map(parse_delivery, deliveries)),
                columns[5] if len(columns) == 6 else "")


def load(folder):
    lines = read(folder, "cases").split("\n")
    return [parse(folder, line) for line in lines if line.strip() and not line.startswith("#")]
