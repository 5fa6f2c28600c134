"""The secret of several nodes is changed while mail flows, as doc/several-servers.md says."""

from .comeback import headers_of
from .smtp import Client


class Secrets:
    """Which of the nodes know what another one forwarded, and its SRS address."""

    def __init__(self, estate, flow):
        self._estate, self._flow = estate, flow
        self._parts = estate.page.part("Change the secret")

    def node(self, host):
        return next(node for node in self._estate.nodes if node.host is host)

    def forward(self, node):
        message = self._flow.send(node, "carol@acme.example", "outside")
        assert message.sender.startswith("SRS0=")
        return message

    @staticmethod
    def is_known(node, message):
        """By its trace, and by its sender; nobody knows it by halves."""
        with Client(node.host.address, 25) as client:
            assert client.mail("s@sender.example").ok and client.rcpt("carol@acme.example").ok
            trace = client.data("\r\n".join(headers_of(message)) + "\r\n\r\nHello.\r\n")
            assert client.mail("").ok
            srs = client.rcpt(message.sender)
        answers = trace.status, srs.status
        assert answers in (("554 5.4.6", "250 2.1.5"), ("250 2.0.0", "550 5.1.1")), answers
        return srs.ok

    def change(self):
        """As the manual says; at each moment all that was forwarded is known to all."""
        make, one, look, two, three = self._parts
        sent = []

        def all_is_known(host):
            node = self.node(host)
            sent.append(self.forward(node))
            for each in [sent[0], *sent[-len(self._estate.nodes):]]:
                assert self.is_known(node, each), (node.name, len(sent))
            for other in self._estate.nodes:
                assert self.is_known(other, sent[-1]), (other.name, len(sent))

        self._estate.page.play_block(make, all_is_known)
        self._estate.page.play_block(one, all_is_known)
        self._estate.page.play_block(look)
        self._estate.page.play_block(two, all_is_known)
        # Seven days pass.
        self._flow.wait_returned()
        old = sent[0]
        sent = sent[-len(self._estate.nodes):]
        self._estate.page.play_block(three, all_is_known)
        for node in self._estate.nodes:
            with Client(node.host.address, 25) as client:
                assert client.mail("").ok and client.rcpt(old.sender).status == "550 5.1.1"

    def change_in_the_wrong_order(self):
        """Each step before the one that it needs; and then that one, which mends it."""
        _, one, _, two, three = self._parts
        mx1, mx2, _ = self._estate.nodes
        play = self._estate.page.play
        for node in (mx1, mx2):
            node.host.do("install -g coexist-sign -m 640 /dev/stdin /etc/coexist/secret <<<older\n"
                         "sed -i 's|^secret_file .*|secret_file = \"/etc/coexist/secret\"|' "
                         "/etc/coexist/coexist.conf\n"
                         "systemctl reload coexist-policyd coexist-milter")
        old = self.forward(mx2)
        assert self.is_known(mx1, old)
        play(two, mx1.host)
        new = self.forward(mx1)
        assert not self.is_known(mx2, new)
        play(one, mx2.host)
        assert self.is_known(mx2, new) and self.is_known(mx1, self.forward(mx2))
        play(three, mx1.host)
        assert not self.is_known(mx1, self.forward(mx2))
        play(two, mx2.host)
        assert self.is_known(mx1, self.forward(mx2))
