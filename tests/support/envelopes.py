"""Whole envelopes as text: one line for each recipient that a sink has of a message."""

from .wait import wait_for


def envelopes(ledger, ledger_id, usual_sender="s@outside.example"):
    """
    Sorted lines "SINK ADDRESS NOTIFY=... ORCPT=... RET=... ENVID=...", with what the sink was
    told and no more; a sender other than the usual one follows as FROM=<...>.
    """
    lines = []
    for sink in ledger.sinks:
        for message in ledger.messages(ledger_id, sink):
            common = [f"{k}={message.args[k]}" for k in ("RET", "ENVID") if k in message.args]
            if message.sender != usual_sender:
                common.append(f"FROM=<{message.sender}>")
            for recipient in message.recipients:
                own = [f"{k}={v}" for k, v in sorted(recipient.args.items())]
                lines.append(" ".join([sink, recipient.address, *own, *common]))
    return sorted(lines)


def compare(ledger, expected):
    """expected: {ledger id: (what it was, lines)}. Waits until all is delivered."""
    def found():
        return {i: (what, envelopes(ledger, i)) for i, (what, _) in expected.items()}

    expected = {i: (what, sorted(lines)) for i, (what, lines) in expected.items()}
    wait_for(lambda: ledger.queues_are_empty() and all(
        len(lines) >= len(expected[i][1]) for i, (_, lines) in found().items()),
             lambda: f"{[p.queued() for p in ledger.postfixes]}, {found()}: "
             + ledger.postfixes[0].log_text()[-4000:])
    for ledger_id, (what, lines) in found().items():
        assert lines == expected[ledger_id][1], \
            f"{what}: {lines}, and not {expected[ledger_id][1]}"
