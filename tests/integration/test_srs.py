"""
Senders of forwarded mail (SPEC section 9): each recipient keeps or changes its own, bounces find
their way back, and nobody else gets anywhere.
"""

import re

import pytest

from support.ledger import At, identify
from support.smtp import xtext
from support.srs import PostSrsd, write_secret
from support.srs_site import (CAROL, FAR, HERE, ODD, OF_CAROL, OUT, SRS, directory, envelopes, jump,
                              make_srs_site, notify, reconfigure, rewrite, rewritten, row, send)
from support.wait import free_port, wait_for


@pytest.fixture(name="gw", scope="module")
def _gw(make_module_site):
    return make_srs_site(make_module_site)


def test_a_forwarded_message_gets_a_sender_of_ours(gw):
    _, rows = send(gw, CAROL, {"adam@acme.example": OUT["adam"]}, rcpt_params=notify("adam"))
    assert rewritten(rows) == [row("outside", "SRS", "adam@outside.example", "adam")]
    lines = gw.milter.log_lines(r": from=<SRS0=.*>, orig_from=<carol@partner.example>, "
                                r"action=rewrite, rule=srs$")
    assert lines and not lines[0].startswith("NOQUEUE")


def test_who_stays_keeps_the_sender(gw):
    """To each its own, in one message: local, forwarded, copied, by a connector, foreign as typed."""
    fates = {"bob@acme.example": HERE["bob"], "adam@acme.example": OUT["adam"],
             "eve@acme.example": HERE["eve"] + OUT["eve"], "far@acme.example": FAR}
    _, rows = send(gw, CAROL, fates, rcpt_params=notify("bob", "adam", "eve", "far"))
    assert rewritten(rows) == sorted([
        row("mailboxes", CAROL, "bob@acme.example", "bob"),
        row("mailboxes", CAROL, "eve@acme.example", "eve"),
        row("outside", "SRS", "adam@outside.example", "adam"),
        row("outside", "SRS", "eve@outside.example", "eve", "NEVER"),
        row("old", CAROL, "far@old.example", "far"),
    ])


def test_members_of_a_group(gw):
    _, rows = send(gw, CAROL, {"all@acme.example": HERE["bob"] + OUT["adam"] + FAR},
                   rcpt_params=notify("all"))
    assert rewritten(rows) == sorted([
        row("mailboxes", CAROL, "bob@acme.example", "all", "FAILURE"),
        row("outside", "SRS", "adam@outside.example", "all", "FAILURE"),
        row("old", CAROL, "far@old.example", "all", "FAILURE"),
    ])


def test_where_all_leave_the_message_is_one(gw):
    """Members abroad, and a domain that is now another: one change of the sender, no hop."""
    fates = {"abroad@acme.example": OUT["adam"] + ODD,
             "joe@moved.example": At("outside", "joe@outside.example")}
    ledger_id, rows = send(gw, CAROL, fates, rcpt_params=notify("abroad"))
    assert rewritten(rows) == sorted([
        row("outside", "SRS", "adam@outside.example", "abroad", "FAILURE"),
        row("outside", "SRS", ODD.deliveries[0].address, "abroad", "FAILURE"),
        ("outside", "SRS", "HDRS", "e+2B1", "joe@outside.example", "", "rfc822;joe@moved.example"),
    ])
    message, = [m for m in gw.sinks["outside"].snapshot() if identify(m)[0] == ledger_id]
    assert len(message.header("Received")) == 1


def test_who_was_named_by_a_client_of_ours_keeps_the_sender(gw):
    """Beside one that is forwarded; and where a forward leads to one that was named."""
    ledger = gw.ledger()
    named = At("outside", "x@foreign.example"), At("outside", "eve@outside.example")
    with gw.connect(xclient={"ADDR": "192.0.2.250"}) as client:
        ledger_id, _ = ledger.send(client, CAROL, {
            "adam@acme.example": OUT["adam"], "x@foreign.example": named[0],
            "eve@acme.example": HERE["eve"] + OUT["eve"], "eve@outside.example": named[1]})
    ledger.balance()
    assert [(r[4], r[1]) for r in rewritten(envelopes(gw, ledger_id))] == [
        ("eve@acme.example", CAROL), ("adam@outside.example", "SRS"),
        ("eve@outside.example", CAROL), ("x@foreign.example", CAROL)]


# As typed in MAIL; what is behind the day of the rewritten one; where its bounce arrives.
STRANGE = [
    ('"ca r\\"ol"@partner.example', r'"SRS0=?=partner.example=ca r\"ol"', None),
    ("a=b+c-d@partner.example", "SRS0=?=partner.example=a=b+c-d", None),
    ("jösé@partner.example", "SRS0=?=partner.example=jösé", None),
    ("carol@bücher.example", "SRS0=?=xn--bcher-kva.example=carol", "carol@xn--bcher-kva.example"),
    ("@relay.example:carol@partner.example", "SRS0=?=partner.example=carol", CAROL),
    ("carol%partner.example", "SRS0=?=partner.example=carol", CAROL),
    ("partner.example!carol", "SRS0=?=partner.example=carol", CAROL),
    ("carol@[192.0.2.77]", '"SRS0=?=[192.0.2.77]=carol"', None),
    ("c" * 64 + "@" + "p" * 63 + ".example", "SRS0=?=" + "p" * 63 + ".example=" + "c" * 64, None),
]


@pytest.mark.parametrize("sender, made, back", STRANGE, ids=[row[0][:40] for row in STRANGE])
def test_strange_senders_find_their_way_back(gw, sender, made, back):
    params = "SMTPUTF8" if not sender.isascii() else ""
    _, rows = send(gw, sender, {"adam@acme.example": OUT["adam"]}, params)
    srs = rows[0][1]
    assert re.sub("SRS0=[^=]{4}=[^=]{2}=", "SRS0=?=", srs) == f"{made}@{SRS}"
    send(gw, "", {srs: At("outside", back or sender)}, params)


def test_what_postfix_takes_for_a_route_has_no_way_back_from_outside(gw):
    """As of any address in a domain that it relays for."""
    for sender in ("carol%acme.example@partner.example", "acme!carol@partner.example"):
        srs = rewrite(gw, sender)
        assert srs.startswith("SRS0=")
        assert gw.rcpt_status(srs, sender="") == "554 5.7.1"
        assert gw.resolve(srs, "--sender", "<>")[1]["deliveries"][0]["address"] == sender


@pytest.mark.parametrize("name, target, params", [
    ("odd", ODD.deliveries[0].address, ""),
    ("accent", "Jösé@outside.example", "SMTPUTF8"),
])
def test_strange_recipients_survive_the_hop(gw, name, target, params):
    _, rows = send(gw, CAROL, {"bob@acme.example": HERE["bob"],
                               f"{name}@acme.example": At("outside", target)},
                   mail_params=params)
    assert [r[1:2] + r[4:5] for r in rewritten(rows)] == [
        (CAROL, "bob@acme.example"), ("SRS", target)]


@pytest.mark.parametrize("sender", ["bob@acme.example", "nobody@ACME.example", "",
                                    f"SRS0=abcd=AB=x.example=y@{SRS}"])
def test_own_and_empty_senders_stay(gw, sender):
    for fates in ({"adam@acme.example": OUT["adam"]},
                  {"adam@acme.example": OUT["adam"], "bob@acme.example": HERE["bob"]}):
        _, rows = send(gw, sender, fates)
        assert {r[1] for r in rows} == {sender}


def test_what_we_do_not_forward_keeps_its_sender(gw):
    _, rows = send(gw, CAROL, {"far@acme.example": FAR})
    assert {r[1] for r in rows} == {CAROL}
    _, rows = send(gw, CAROL, {"bob@acme.example": HERE["bob"]})
    assert {r[1] for r in rows} == {CAROL}
    ledger = gw.ledger()
    with gw.connect(xclient={"ADDR": "192.0.2.250"}) as client:
        ledger_id, _ = ledger.send(client, CAROL, {"x@foreign.example": At("outside", "x@foreign.example")})
    ledger.balance()
    assert [r[1] for r in envelopes(gw, ledger_id)] == [CAROL]


def test_local_submission_is_forwarded_alike(gw):
    ledger = gw.ledger()
    ledger_id = ledger.new_id()
    names = ["adam@acme.example", "bob@acme.example"]
    ledger.expect(ledger_id, OUT["adam"], HERE["bob"])
    gw.postfix.sendmail(["-f", CAROL, *names], ledger.message(ledger_id, CAROL, names))
    ledger.balance()
    assert [r[1] for r in rewritten(envelopes(gw, ledger_id))] == [CAROL, "SRS"]


def test_a_bounce_of_another_system_comes_back(gw):
    srs = rewrite(gw)
    _, rows = send(gw, "", {srs: At("outside", CAROL)})
    assert [(r[1], r[4], r[6]) for r in rows] == [("", CAROL, "rfc822;" + xtext(srs))]
    # Systems on the way may have changed the case.
    send(gw, "", {srs.lower(): At("outside", CAROL)})
    send(gw, "", {srs.upper(): At("outside", "CAROL@partner.example")})


@pytest.mark.parametrize("names", [("adam",), ("adam", "bob")])
def test_our_own_bounce_comes_back(gw, names):
    """The next system refuses it: alone, and by the hop."""
    rule = gw.sinks["outside"].refuse("adam@outside.example")
    try:
        ledger = gw.ledger()
        with gw.connect() as client:
            ledger_id, _ = ledger.send(client, CAROL, {
                f"{name}@acme.example": HERE.get(name, At("outside", CAROL, kind="bounce"))
                for name in names})
        ledger.balance()
    finally:
        gw.sinks["outside"].rules.remove(rule)
    bounce, = [m for m in gw.sinks["outside"].snapshot() if identify(m) == (ledger_id, "bounce")]
    assert b"Original-Recipient: rfc822;adam@acme.example" in bounce.body


def test_a_bounce_that_no_milter_has_seen_goes_by_the_hop(gw):
    before = gw.postfix.settings["internal_mail_filter_classes"]
    gw.postfix.set(internal_mail_filter_classes="")
    try:
        test_our_own_bounce_comes_back(gw, ("adam",))
    finally:
        gw.postfix.set(internal_mail_filter_classes=before)
    gw.postfix.wait_log("to=<SRS0=.*relay=127.0.0.1.*status=sent")


def test_only_the_empty_sender_gets_back(gw):
    srs = rewrite(gw)
    assert gw.rcpt_status(srs, sender="") == "250 2.1.5"
    assert gw.rcpt_status(srs, sender="spam@x.example") == "550 5.1.1"
    forged = srs.replace("carol", "dave")
    short = re.sub("(SRS0=.)[^=]+", r"\1", srs)  # of which each 64th would be right
    for address in (forged, short, f"SRS0=@{SRS}", f"somebody@{SRS}", f"SRS1=abcd=x.example==a@{SRS}"):
        assert gw.rcpt_status(address, sender="") == "550 5.1.1"
    assert gw.postfix.postmap(srs, "recipients") == (0, "OK")
    assert gw.postfix.postmap(forged, "recipients")[0] == 1
    assert gw.postfix.postmap(SRS, "domains")[0] == 0
    code, answer = gw.resolve(srs, "--sender", "<>")
    assert code == 0
    assert (answer["verdict"], answer["rule"]) == ("deliver", "srs")
    assert [d["address"] for d in answer["deliveries"]] == [CAROL]
    assert gw.resolve(srs, "--sender", "spam@x.example")[1]["verdict"] == "unknown"
    assert gw.resolve(forged, "--sender", "<>")[0] == 67


def test_nobody_else_uses_the_hop(gw):
    gw.sinks["outside"].rules.append(
        hold := lambda stage, address, _: "451 4.3.0 later" if stage == "RCPT" else None)
    ledger = gw.ledger()
    try:
        with gw.connect() as client:
            ledger.send(client, CAROL, {"adam@acme.example": OUT["adam"],
                                        "bob@acme.example": HERE["bob"]})
        wait_for(lambda: gw.postfix.log_lines("to=<HOP0=.*status=sent"), "the hop to be passed")
    finally:
        gw.sinks["outside"].rules.remove(hold)
    gw.postfix.flush()
    ledger.balance()
    line = gw.postfix.log_lines("to=<HOP0=.*status=sent")[-1]
    wrapped = re.search(r"to=<(HOP0=[^>]+)>", line)[1]
    stranger = {"ADDR": "203.0.113.9"}
    assert gw.rcpt_status(wrapped, xclient=stranger) == "550 5.1.1"
    assert gw.rcpt_status(wrapped, sender="", xclient=stranger) == "550 5.1.1"
    for forged in (wrapped.replace("adam", "eve"), wrapped.replace("HOP0=", "HOP0=0")):
        assert gw.rcpt_status(forged) == "550 5.1.1"
    assert gw.postfix.postmap(wrapped, "transport")[1].startswith("coexist-srs:")
    # No queue keeps mail for so long.
    try:
        for days, status in ((99, "250 2.1.5"), (102, "550 5.1.1")):
            jump(gw, days * 86400)
            assert gw.rcpt_status(wrapped) == status
    finally:
        jump(gw, 0)
    # If the secret was lost, what waits in the queue goes nowhere else.
    assert gw.postfix.postmap(wrapped.replace("adam", "eve"), "transport") == (0, "coexist-no-route:")


def test_a_later_forwarder(gw):
    """Mail that comes with another forwarder's address gets one that leads to that."""
    first = "SRS0=abcd=AB=other.example=user@forwarder.example"
    srs = rewrite(gw, first)
    assert re.fullmatch(rf"SRS1=[A-Za-z0-9+/]{{4}}=forwarder\.example==abcd=AB=other\.example="
                        rf"user@{re.escape(SRS)}", srs)
    send(gw, "", {srs: At("outside", first)})


def test_postsrsd_reads_ours_and_we_read_its(gw):
    other = PostSrsd(f"{gw.folder}/srs.secret", SRS)
    try:
        for sender in (CAROL, "Anne.O'Hara@partner.example", "a=b+c@x.example", "jösé@x.example",
                       "c" * 64 + "@" + "p" * 63 + ".example",
                       "SRS0=abcd=AB=other.example=user@forwarder.example",
                       "SRS1=abcd=first.example==abcd=AB=other.example=user@forwarder.example"):
            params = "" if sender.isascii() else "SMTPUTF8"
            ours, its = rewrite(gw, sender, params), other.forward(sender)
            assert its == ours
            # Of a later one the first forwarder's address comes back.
            original = other.reverse(ours)
            assert original == (sender if not sender.startswith("SRS1") else
                                "SRS0=abcd=AB=other.example=user@first.example")
            send(gw, "", {its: At("outside", original)}, params)
        # Told to write it otherwise, it reads ours, and we read its.
        other.close()
        other = PostSrsd(f"{gw.folder}/srs.secret", SRS, "-a", "+", "-n", "9")
        assert other.reverse(rewrite(gw)) == CAROL
        its = other.forward(CAROL)
        assert re.fullmatch(r"SRS0\+.{9}=..=partner\.example=carol@srs\.acme\.example", its)
        send(gw, "", {its: At("outside", CAROL)})
        wrong = "0" if its[13] != "0" else "1"
        assert gw.rcpt_status(its[:13] + wrong + its[14:], sender="") == "550 5.1.1"
        other.close()
        write_secret(f"{gw.folder}/other.secret", "another secret")
        other = PostSrsd(f"{gw.folder}/other.secret", SRS)
        assert other.reverse(rewrite(gw)) is None
        assert gw.rcpt_status(other.forward(CAROL), sender="") == "550 5.1.1"
    finally:
        other.close()


def test_addresses_expire(gw):
    srs = rewrite(gw)
    try:
        jump(gw, 20 * 86400)
        assert gw.rcpt_status(srs, sender="") == "250 2.1.5"
        jump(gw, 23 * 86400)
        assert gw.rcpt_status(srs, sender="") == "550 5.1.1"
    finally:
        jump(gw, 0)
    assert gw.rcpt_status(srs, sender="") == "250 2.1.5"


def test_a_new_secret_ends_no_way_back(gw):
    old = rewrite(gw)
    write_secret(f"{gw.folder}/new.secret", "new secret")
    with open(gw.conf, encoding="utf-8") as file:
        conf = file.read()
    mine = f'"{gw.folder}/srs.secret"'
    try:
        reconfigure(gw, conf.replace(mine, f'"{gw.folder}/new.secret", {mine}'))
        new = rewrite(gw)
        assert new != old
        for address in (old, new):
            send(gw, "", {address: At("outside", CAROL)})
        reconfigure(gw, conf.replace(mine, f'"{gw.folder}/new.secret"'))
        assert gw.rcpt_status(old, sender="") == "550 5.1.1"
        assert gw.rcpt_status(new, sender="") == "250 2.1.5"
    finally:
        reconfigure(gw, conf)


def test_without_a_hop_nobody_gets_what_another_needs(gw, make_site):
    site = make_srs_site(make_site, has_hop=False)
    _, rows = send(site, CAROL, {"adam@acme.example": OUT["adam"], "bob@acme.example": HERE["bob"]})
    assert {r[1] for r in rows} == {CAROL}
    assert site.milter.log_lines(r"from=<carol@partner.example>, action=keep, rule=srsNoHop$")
    srs = rewrite(site)
    assert OF_CAROL.fullmatch(srs)
    send(site, "", {srs: At("outside", CAROL)})
    # Nodes that share the secret and the domain are one.
    send(site, "", {rewrite(gw): At("outside", CAROL)})
    send(gw, "", {srs: At("outside", CAROL)})


def test_a_sendmail_changes_senders_too(make_sendmail_site):
    """Its hop is another port of itself."""
    port = free_port()

    def sections(site):
        write_secret(f"{site.folder}/srs.secret", "one secret")
        return (f'srs {{ enable = true domain = "{SRS}" hop = "coexist-srs:[127.0.0.1]:{port}" '
                f'secret_file = "{site.folder}/srs.secret" }}')

    site = make_sendmail_site(source="ldif", ldif=directory, sinks=("old",), sections=sections)
    _, rows = send(site, CAROL, {"adam@acme.example": OUT["adam"]}, rcpt_params=notify("adam"))
    assert rewritten(rows) == [row("outside", "SRS", "adam@outside.example", "adam")]
    srs = rows[0][1]
    send(site, "", {srs: At("outside", CAROL)})
    done = site.ctl("sendmail", f"{site.postfix.folder}/sendmail.cf")
    assert (done.returncode, done.stderr) == (0, "")
    stranger = {"addr": "192.0.2.7"}
    assert site.rcpt_status(srs, xclient=stranger) == "550 5.1.1"
    assert site.rcpt_status(srs.replace("carol", "dave"), sender="",
                            xclient=stranger) == "550 5.1.1"
    fates = {"bob@acme.example": HERE["bob"], "adam@acme.example": OUT["adam"],
             "eve@acme.example": HERE["eve"] + OUT["eve"], "far@acme.example": FAR,
             "odd@acme.example": ODD}
    _, rows = send(site, CAROL, fates, rcpt_params=notify("bob", "adam", "eve", "far"))
    as_typed = [("mailboxes", CAROL, "HDRS", "e+2B1", f"{name}@acme.example", "SUCCESS,FAILURE", "")
                for name in ("bob", "eve")]
    assert rewritten(rows) == sorted(as_typed + [
        row("outside", "SRS", "adam@outside.example", "adam"),
        row("outside", "SRS", "eve@outside.example", "eve", "NEVER"),
        row("old", CAROL, "far@old.example", "far"),
        row("outside", "SRS", ODD.deliveries[0].address, "odd", ""),
    ])
    wrapped = re.search("<(HOP0=[^>]*=adam@[^>]*)>", site.postfix.log_text())[1]
    for address in (wrapped, wrapped.replace("adam", "eve")):
        assert site.rcpt_status(address, xclient=stranger) == "550 5.1.1"
    # Its own bounce, which no milter sees.
    site.sinks["outside"].refuse("adam@outside.example")
    ledger = site.ledger()
    with site.connect() as client:
        ledger.send(client, CAROL, {"bob@acme.example": HERE["bob"], "adam@acme.example":
                                    At("outside", CAROL, kind="bounce")})
    ledger.balance()
