"""
10,000 random RCPT strings through a real Postfix. The policy service sees the internal form
of each, the milter what was typed: both must name the same object, and the mail must come
to what that object says.
"""

import collections
import random
import re

from support.ldif import CONTAINERS, domain, mailbox, person_dn
from support.ledger import At

COUNT = 10000
RECIPIENTS_PER_MESSAGE = 50
SEED = 20251121

# Local parts as they stand in the directory: dots, specials, quotes, other scripts.
LOCAL_PARTS = [
    "adam", "adam.barr", "o'hara", "x+y", "a b", "a@b", "tab\\le", 'qu"ote', "per%cent", "bang!er",
    "under_score", "1234567890", "dash-ed", "eq=ual", "#hash", "{brace}", "ti~lde", "j\u00f6s\u00e9",
    "J\u00d6RG", "\u0438\u0432\u0430\u043d", "stra\u00dfe", "o\u0301dor", "\u4e2d\u6587", "imcea",
    "imceams-microsoft_po2_adam", "postmistress", "a.b.c.d", "(paren)", "comma,", "semi;colon",
    "co:lon", "<angle>", "[square]", "star*", "quest?", "dollar$", "amp&ersand", "pipe|", "caret^",
    "`tick",
]
DOMAINS = ["acme.example", "b\u00fccher.example", "any.sub.example", "old.example"]


def directory():
    return CONTAINERS + "".join([
        domain("acme.example", "authoritative"),
        domain("b\u00fccher.example", "authoritative").replace(
            "associatedDomain: b\u00fccher.example", "associatedDomain: xn--bcher-kva.example"),
        domain("*.sub.example", "authoritative"),
        domain("old.example", "rewrite", rewriteDomain="acme.example"),
        *(mailbox(f"o{n}", f"o{n}@acme.example", forwardingAddress=f"t{n}@target.example",
                  proxyAddress=[f"smtp:{printed(local)}@{name}"
                                for name in ("acme.example", "b\u00fccher.example",
                                             "any.sub.example")])
          for n, local in enumerate(LOCAL_PARTS)),
    ])


def is_dot_string(local):
    return bool(re.fullmatch(r"[^\s\"(),:;<>@\[\\\].]+(\.[^\s\"(),:;<>@\[\\\].]+)*", local))


def printed(local):
    """The local part as it is written in an address."""
    if is_dot_string(local):
        return local
    return '"' + re.sub(r'([\\"])', r"\\\1", local) + '"'


def any_case(rng, text):
    """Here and there another case, where that is the same letter again."""
    def flip(c):
        other = c.swapcase()
        return other if len(other) == 1 and other.lower() == c.lower() else c
    return "".join(flip(c) if rng.random() < 0.3 else c for c in text)


def spell_local(rng, local):
    if rng.random() < 0.5:
        local = any_case(rng, local)
    if rng.random() < 0.25:
        local += rng.choice(["+ext", "+a+b", "+", "+\u00e4", "+\"q", "-ext", "+1.2"])
    if rng.random() < 0.08:
        local = rng.choice([f".{local}", f"{local}.", local.replace(".", ".."), f" {local}",
                            f"{local} ", f"{local}%acme.example", f"{local}@acme.example",
                            f"acme.example!{local}", f"nobody-{local}"])
    if is_dot_string(local) and rng.random() < 0.8:
        return local
    if rng.random() < 0.05:
        return local  # what should have been quoted
    return '"' + "".join(f"\\{c}" if c in '\\"' or (c.isascii() and rng.random() < 0.1) else c
                         for c in local) + '"'


def spell_domain(rng):
    name = rng.choices(DOMAINS, (6, 2, 1, 1))[0]
    if rng.random() < 0.5:
        name = name.encode("idna").decode()
    if rng.random() < 0.4:
        name = any_case(rng, name)
    if rng.random() < 0.1:
        name += "."
    if rng.random() < 0.05:
        name = rng.choice(["elsewhere.example", "[192.0.2.77]", "sub.example", "acme..example",
                           "x.acme.example", "acme.example,", "deep.any.sub.example", "-"])
    return name


def spell(rng):
    address = f"{spell_local(rng, rng.choice(LOCAL_PARTS))}@{spell_domain(rng)}"
    roll = rng.random()
    if roll < 0.70:
        return f"<{address}>"
    if roll < 0.80:
        return address
    if roll < 0.88:
        return f"<@relay.example:{address}>"
    if roll < 0.92:
        return f"<@relay.example,@[192.0.2.1]:{address}>"
    if roll < 0.95:
        return f"< {address} >"
    if roll < 0.97:
        return f"<{address}> NOTIFY=NEVER"
    return f"<{address}(comment)>"


def traces(daemon):
    """[(to, verdict, object)] of what a daemon has decided, in order."""
    found = daemon.log_lines(r"\brcpt: to=<")
    form = re.compile(r'rcpt: to=<(.*)>, verdict=([a-z-]+)(?:, objects=\d+)?, object="(.*)"$')
    return [form.search(line).groups() for line in found]


def test_policy_and_milter_name_the_same_object(make_site):
    rng = random.Random(SEED)
    site = make_site(source="ldif", ldif=directory())
    ledger = site.ledger()
    messages = []  # (ledger id, [(spelling, accepted)])
    with site.connect() as client:
        for _ in range(COUNT // RECIPIENTS_PER_MESSAGE):
            spellings = [spell(rng) for _ in range(RECIPIENTS_PER_MESSAGE)]
            assert client.mail("sue@outside.example", rng.choice(["", "SMTPUTF8"])).ok
            replies = client.pipeline([f"RCPT TO:{s}" for s in spellings])
            ledger_id = ledger.new_id()
            if any(r.ok for r in replies):
                assert client.data(ledger.message(ledger_id, "sue@outside.example", [])).ok
            else:
                client.reset()
            messages.append((ledger_id, list(zip(spellings, replies))))

    # Each accepted RCPT was seen by both, in this order, and by both in the same way.
    accepted = [(ledger_id, spelling) for ledger_id, pairs in messages
                for spelling, reply in pairs if reply.ok]
    by_policy = [t for t in traces(site.policyd) if t[1] in ("deliver", "foreign")]
    by_milter = traces(site.milter)
    kinds = collections.Counter(reply.status for _, pairs in messages for _, reply in pairs)
    summary = f"{dict(kinds)}, policy {len(by_policy)}, milter {len(by_milter)}"
    refused_by_milter = [(s, r.text) for _, pairs in messages for s, r in pairs
                         if not r.ok and "Recipient address rejected" not in r.text
                         and r.status not in ("501 5.1.3", "554 5.7.1", "555 5.5.4")]
    assert not refused_by_milter, refused_by_milter[:20]
    assert len(accepted) == len(by_policy) == len(by_milter), summary
    objects = {person_dn(f"o{n}"): n for n in range(len(LOCAL_PARTS))}
    for (ledger_id, spelling), policy, milter in zip(accepted, by_policy, by_milter):
        assert policy[2] == milter[2] and policy[2] in objects, (spelling, policy, milter)
        assert milter[1] in ("same", policy[1]), (spelling, policy, milter)
        ledger.expected[ledger_id, At("outside", f"t{objects[policy[2]]}@target.example")
                        .deliveries[0]] = 1
    # The generator is worth its name: most of it exists, every object is met, some is refused.
    assert COUNT * 0.5 < len(accepted) < COUNT * 0.95, summary
    # Postfix takes %, ! and @ in a local part for a route, and lets no stranger use one.
    routes = {person_dn(f"o{n}") for n, local in enumerate(LOCAL_PARTS) if set("%!@") & set(local)}
    never_met = objects.keys() - routes - {policy[2] for policy in by_policy}
    assert not never_met, [LOCAL_PARTS[objects[dn]] for dn in never_met]
    assert kinds["550 5.1.1"] > 100, summary
    ledger.balance()
