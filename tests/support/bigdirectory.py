"""
A directory of any size, the same each time: python3 -m tests.support.bigdirectory N > N.ldif

Mostly mailboxes of one address in fifty departments; every 20th person forwards to a neighbour,
every 25th is a custom recipient on another system, every 50th has two more addresses; one group
for a hundred people, a domain, a connector. `count` is that of the people.
"""

import hashlib
import sys

SUFFIX = "dc=acme,dc=example"
DEPARTMENTS = 50
GROUP_OF = 100

FIRST = ("adam", "barbara", "carl", "dora", "emil", "frieda", "gustav", "helga", "ines", "jakob",
         "karin", "ludwig", "maria", "niklas", "olga", "peter", "quirin", "rosa", "stefan", "tina")
LAST = ("abel", "berger", "christ", "dietz", "ebert", "fischer", "graf", "huber", "jung", "keller",
        "lang", "maier", "neumann", "otto", "pfeiffer", "richter", "schmidt", "thoma", "vogel")

BASE = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: acme
o: Acme

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups

dn: ou=mail,{SUFFIX}
objectClass: organizationalUnit
ou: mail

dn: associatedDomain=acme.example,ou=mail,{SUFFIX}
objectClass: coexistDomain
associatedDomain: acme.example
coexistDomainType: shared

dn: cn=pop,ou=mail,{SUFFIX}
objectClass: coexistConnector
cn: pop
coexistNextHop: relay:[pop.acme.example]
coexistAddressSpace: SMTP:pop.acme.example;10
"""


def uid(number):
    return f"{FIRST[number % len(FIRST)]}.{LAST[number // 7 % len(LAST)]}{number}"


def person_dn(number):
    return f"uid={uid(number)},ou=department {number % DEPARTMENTS},ou=people,{SUFFIX}"


def unit_dn(department):
    return f"ou=department {department},ou=people,{SUFFIX}"


def entry_uuid(dn):
    """Not in the order of DNs, as from a real server that has lived for a while."""
    digest = hashlib.md5(dn.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def person(number):
    name = uid(number)
    first, last = name.split(".")
    is_elsewhere = number % 25 == 24
    kind = "coexistCustomRecipient" if is_elsewhere else "coexistMailbox"
    lines = [f"dn: {person_dn(number)}", "objectClass: inetOrgPerson", f"objectClass: {kind}",
             f"uid: {name}", f"cn: {first.title()} {last.title()}", f"sn: {last.title()}",
             f"mail: {name}@acme.example"]
    if is_elsewhere:
        lines += [f"coexistTargetAddress: SMTP:{name}@pop.acme.example"]
    if number % 20 == 19:
        lines += [f"coexistAltRecipient: {person_dn(number - 1)}",
                  "coexistDeliverAndRedirect: TRUE"]
    if number % 50 == 49:
        lines += [f"coexistProxyAddress: smtp:{last}{number}@acme.example",
                  f"coexistProxyAddress: X400:c=de;a= ;p=acme;o=exchange;s={last}{number};"]
    return lines


def group(number, count):
    """The group of people from number * GROUP_OF on."""
    first = number * GROUP_OF
    lines = [f"dn: cn=team {number},ou=groups,{SUFFIX}", "objectClass: groupOfNames",
             "objectClass: coexistGroup", f"cn: team {number}", f"mail: team{number}@acme.example"]
    lines += [f"member: {person_dn(n)}" for n in range(first, min(first + GROUP_OF, count), 10)]
    return lines


def entries(count):
    """One after the other, each a list of lines that begins with the DN; parents first."""
    for block in BASE.split("\n\n"):
        yield block.strip().split("\n")
    for department in range(DEPARTMENTS):
        yield [f"dn: {unit_dn(department)}", "objectClass: organizationalUnit",
               f"ou: department {department}"]
    for number in range(count):
        yield person(number)
    for number in range((count + GROUP_OF - 1) // GROUP_OF):
        yield group(number, count)


def entry_count(count):
    return len(BASE.split("\n\n")) + DEPARTMENTS + count + (count + GROUP_OF - 1) // GROUP_OF


def write(count, out, has_uuid=True):
    """LDIF. With entryUUIDs two servers, or a file and a server, agree on who is who."""
    for lines in entries(count):
        text = "\n".join(lines)
        if has_uuid:
            text += f"\nentryUUID: {entry_uuid(lines[0][4:])}"
        out.write(text + "\n\n")


if __name__ == "__main__":
    write(int(sys.argv[1]), sys.stdout)
