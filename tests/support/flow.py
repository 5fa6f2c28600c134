"""
Mail that flows all the time: a client that tries MX after MX as an MTA does, another system that
sends back what is forwarded to it, and the books of what became of each attempt.

Each attempt to hand over a message has a number of its own. What was answered 250 must arrive at
each recipient once; what was refused or broke off, never; and of an attempt whose connection
broke off between the last dot and its answer, all or nothing (RFC 5321 4.2.5: the client must
try again, and there may be two).
"""

import collections
import os
import random
import re
import threading
from dataclasses import dataclass, field

from .comeback import TRACE, headers_of
from .smtp import Client
from .wait import FACTOR, wait_for

ATTEMPT, RETURN = "X-Flow-Attempt", "X-Flow-Return"
SENDER = "s@sender.example"
CONNECT_TIMEOUT = 1.5  # the kernel answers, however busy the server is; one SYN may be lost
PAUSE = 0.1  # of each client, between its messages: tests run beside others


@dataclass
class Attempt:
    node: str
    recipients: list = field(default_factory=list)  # those that were accepted
    state: str = "refused"  # or "taken", "under way", "in doubt"
    came_by: str = ""  # the node that a return went out by


@dataclass
class Job:
    """A message for these, and where they stand."""
    recipients: list
    headers: list
    body: str = "Hello.\r\n"
    came_by: str = ""  # of a return: the node that it went out by, which is tried last


class Flow:
    """
    fates: {recipient: set of (sink, address)}; refusals: {recipient: the one 5xx that it may
    get}. What is delivered to the sink "old" comes back to the same user at acme.example.
    """

    def __init__(self, nodes, sinks, fates, refusals, returned):
        self.nodes, self.sinks = nodes, sinks
        self.fates, self.refusals, self.returned = fates, refusals, returned
        self.attempts = {}
        self.violations = []
        self.answers = collections.Counter()  # (node, recipient, status)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pause = PAUSE
        self._threads = [threading.Thread(target=self._produce, daemon=True) for _ in range(4)]
        self._threads.append(threading.Thread(target=self._return, daemon=True))
        self._tours = {}  # of jobs that try node after node now
        self._seen = 0
        self._to_return = []  # of what was seen

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def taken(self):
        """How many attempts went well."""
        with self._lock:
            return sum(a.state == "taken" for a in self.attempts.values())

    def wait_more(self, number=10):
        """Until so many more messages have been handed over."""
        target = self.taken() + number
        wait_for(lambda: self.taken() >= target or self.violations,
                 lambda: f"mail to flow: {self.answers}")
        assert not self.violations, self.violations

    def strike(self, *kills):
        """Calls them while there is as much under way as the machine can do."""
        self._pause = 0
        self.wait_more()
        for kill in kills:
            kill()
        self._pause = PAUSE

    def doubts(self):
        """Of how many attempts the client does not know."""
        with self._lock:
            return sum(a.state == "in doubt" for a in self.attempts.values())

    def settle(self):
        """Until each tour of the nodes that has begun is over: it meets one dead part at most."""
        with self._lock:
            tours = set(self._tours)
        wait_for(lambda: not tours & self._tours.copy().keys(), "tours of the nodes to end")

    def is_on(self):
        return not self._stop.is_set()

    def halt(self):
        """Whatever becomes of it."""
        self._stop.set()

    def _produce(self):
        """Mail for some recipients; what is deferred, later once more."""
        names = [*self.fates, *self.refusals]
        waiting = []
        while not self._stop.is_set() or waiting:
            if waiting and (self._stop.is_set() or random.random() < 0.3):
                job = waiting.pop(0)
            else:
                recipients = random.sample(names, random.randint(1, 4))
                job = Job(recipients, [f"From: <{SENDER}>", "Subject: test",
                                       f"Message-ID: <{random.getrandbits(64):x}@sender.example>"])
            self._hand_over(job)
            if job.recipients:
                waiting.append(job)
            self._stop.wait(self._pause)

    def _return(self):
        """The other system: its user has forwarded mail to the old address."""
        waiting = self._to_return
        while True:
            is_over = self._stop.is_set() and not any(
                t.is_alive() for t in self._threads[:-1]) and self.is_drained()
            messages = self.sinks["old"].snapshot()[self._seen:]
            for message in messages:
                came_by = re.search(r"by (\S+)\.gateway\.example", message.header("Received")[0])[1]
                waiting += [Job([self.returned[r.address]], headers_of(message),
                                message.body.decode(), came_by)
                            for r in message.recipients]
            self._seen += len(messages)
            if not waiting:
                if is_over:
                    return
                self._stop.wait(0.02)
                continue
            self._hand_over(waiting[0])
            if waiting[0].recipients:
                waiting.append(waiting[0])
            del waiting[0]

    def _hand_over(self, job):
        """MX after MX, until each recipient is accepted or refused for good."""
        tour = object()
        with self._lock:
            self._tours[tour] = job
        try:
            self._tour(job)
        finally:
            with self._lock:
                del self._tours[tour]

    def _tour(self, job):
        order = random.sample(self.nodes, len(self.nodes))
        order.sort(key=lambda node: node.name == job.came_by)
        for node in order:
            number, attempt = self._begin(node, job)
            try:
                self._try(node, job, number, attempt)
            except OSError:
                if attempt.state == "under way":
                    attempt.state = "in doubt"
            if not job.recipients:
                return
        # One part is down at a time: somebody must take what can be delivered.
        if known := [r for r in job.recipients if r in self.fates]:
            self.violations.append(f"nobody takes mail for {known}: "
                                   f"{[k for k in self.answers if k[1] in known]}")

    def _begin(self, node, job):
        with self._lock:
            number = f"a{len(self.attempts)}"
            self.attempts[number] = attempt = Attempt(node.name, came_by=job.came_by)
        return number, attempt

    def send(self, node, recipient, sink):
        """One message by this node, which must take it; what arrives at the sink."""
        job = Job([recipient], [f"From: <{SENDER}>", "Subject: test",
                                f"Message-ID: <{random.getrandbits(64):x}@sender.example>"])
        number, attempt = self._begin(node, job)
        self._try(node, job, number, attempt)
        assert attempt.state == "taken", attempt
        found = []

        def is_there():
            found[:] = [m for m in self.sinks[sink].snapshot() if m.header(ATTEMPT) == [number]]
            return found
        wait_for(is_there, lambda: node.postfix.log_text()[-3000:])
        return found[0]

    def wait_returned(self):
        """Until what was taken so far has been delivered, and has come back where it does."""
        def all_queued():
            return {(node.name, os.path.basename(file))
                    for node in self.nodes for file in node.queued()}
        self.settle()
        old = all_queued()
        wait_for(lambda: self._flush() or not old & all_queued(),
                 "what was queued to be delivered")
        seen = self.sinks["old"].count()
        wait_for(lambda: self._seen >= seen, "the other system to look at its mail")
        jobs = {id(job): job for job in self._to_return.copy()}
        wait_for(lambda: not jobs.keys() & {id(job) for job in self._to_return.copy()},
                 "mail to come back")

    def _try(self, node, job, number, attempt):
        with Client(node.host.address, 25, connect_timeout=CONNECT_TIMEOUT) as client:
            client.socket.settimeout(5 * FACTOR)
            if not client.mail(SENDER).ok:
                return
            for recipient in list(job.recipients):
                reply = client.rcpt(recipient)
                self._note(node, recipient, reply)
                if reply.ok:
                    attempt.recipients.append(recipient)
                elif reply.code >= 500:
                    job.recipients.remove(recipient)
            if not attempt.recipients or client.command("DATA").code != 354:
                return
            attempt.state = "under way"
            client.send("\r\n".join([
                *job.headers, f"{RETURN if job.came_by else ATTEMPT}: {number}"])
                + f"\r\n\r\n{job.body}.\r\n")
            reply = client.read()
            attempt.state = "taken" if reply.ok else "refused"
            if reply.ok:
                job.recipients = [r for r in job.recipients if r not in attempt.recipients]
            elif reply.code >= 500:
                self.violations.append(f"{node.name} at the end of {job}: {reply}")
            client.quit()

    def _note(self, node, recipient, reply):
        self.answers[node.name, recipient, reply.status] += 1
        right = self.refusals.get(recipient)
        if reply.ok and right or reply.code >= 500 and reply.status != right:
            self.violations.append(f"{node.name}, {recipient}: {reply}")

    def _flush(self):
        """
        Whether the queues are empty. What qmgr once finds "still being delivered", by a
        process that is about to let go of it, would be left for a minute.
        """
        for node in self.nodes:
            if node.queued():
                node.postfix.flush()
        return self.is_drained()

    def is_drained(self):
        # Twice, as a message may move between two queues while one looks.
        return not any(node.queued() for node in [*self.nodes, *self.nodes])

    def stop(self):
        """No more mail; until all that waits has been delivered."""
        self.halt()
        wait_for(lambda: not any(t.is_alive() for t in self._threads[:-1]),
                 "the last mail to be handed over")
        wait_for(lambda: self._flush() and not self._threads[-1].is_alive() or self.violations,
                 lambda: "the queues to drain:\n" + "\n".join(
                     line for node in self.nodes for file in node.queued()
                     for line in node.history(file)))
        assert not self.violations, self.violations

    def found(self):
        """{number of an attempt: Counter of (sink, address)}"""
        found = collections.defaultdict(collections.Counter)
        for name, sink in self.sinks.items():
            for message in sink.snapshot():
                number = message.header(RETURN) or message.header(ATTEMPT)
                assert len(number) == 1, message.headers
                found[number[0]].update((name, address) for address in message.addresses)
                self._look_at_trace(message)
        return found

    def _look_at_trace(self, message):
        """One where something was forwarded, and none where nothing was, however far it came."""
        number = (message.header(RETURN) or message.header(ATTEMPT))[0]
        wanted = bool(message.header(RETURN)) or any(
            {sink for sink, _ in self.fates[r]} != {"mailboxes"}
            for r in self.attempts[number].recipients)
        traces = message.header(TRACE)
        assert len(traces) == wanted, (number, self.attempts[number], message.headers)

    def judge(self):
        """Of each attempt what its state demands, after stop()."""
        found = self.found()
        complaints = []
        for number, attempt in self.attempts.items():
            # What comes back is at home where it was forwarded.
            fates = [{("mailboxes", r)} if attempt.came_by else self.fates[r]
                     for r in attempt.recipients]
            whole = collections.Counter({each for fate in fates for each in fate})
            allowed = {"taken": [whole], "refused": [collections.Counter()],
                       "in doubt": [whole, collections.Counter()]}[attempt.state]
            if found[number] not in allowed:
                complaints.append(f"{number} {attempt}: {found[number]}")
        assert not complaints, "\n".join(complaints)
        assert not found.keys() - self.attempts.keys()
        forwarded = sum(sink == "old" for each in found.values() for sink, _ in each.elements())
        returned = [a for a in self.attempts.values() if a.came_by and a.state == "taken"]
        assert forwarded == len(returned)
