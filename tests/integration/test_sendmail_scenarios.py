"""
Scenarios A and F, and mail that comes back, with Sendmail and `enforce = true` in the place of Postfix: the same tests as
with Postfix, on sites of their own. What a policy service refuses there the milter refuses
here, with the same replies.
"""

import re

import pytest
import test_scenario_a as a
import test_scenario_f as f
import test_trace as trace

# pylint: disable=unused-import
from test_scenario_a import (  # noqa: F401
    test_a_mailbox_on_its_way_is_parked,
    test_a_user_migrates_and_no_mail_is_refused_or_lost,
    test_alternate_recipients_of_one_another_do_not_loop,
    test_an_alternate_recipient_that_is_not_there,
    test_deliver_to_both_copies,
    test_hiding_has_no_effect_on_routing,
    test_mail_to_both_addresses_goes_to_the_pop3_mailbox,
    test_nobody_gets_a_message_twice,
    test_the_headers_are_the_senders,
    test_what_restricts_the_alternate_holds_for_mail_by_way_of_the_mailbox,
)
from test_scenario_f import (  # noqa: F401
    test_a_domain_is_shared_with_another_server,
    test_a_system_reaches_the_others_but_is_not_sent_its_own_mail_back,
    test_a_user_moves_from_one_system_to_another,
    test_each_address_alone,
    test_removing_a_custom_recipient_makes_its_address_unknown,
    test_the_other_system_down_delays_its_mail_and_nobody_elses,
    test_three_systems_share_a_domain,
    test_unknown_recipients_are_passed_on_where_the_domain_says_so,
)
from test_trace import (  # noqa: F401
    test_a_new_secret_ends_no_trace,
    test_a_redirected_mailbox_takes_what_comes_back,
    test_a_trace_says_nothing_of_another_message,
    test_only_what_is_expanded_or_handed_on_is_traced,
    test_two_paths_that_meet_are_no_loop,
)

from support.ledger import At


def pytest_generate_tests(metafunc):
    """The other server of scenario F, as a name and as an address."""
    if metafunc.function.__module__ == f.__name__ and "site" in metafunc.fixturenames:
        metafunc.parametrize("site", [f.NAME, f.ADDRESS], indirect=True,
                             ids=["by-name", "by-address"])


@pytest.fixture
def site(make_sendmail_site, request):
    if hasattr(request, "param"):
        return f.shared_with_another(make_sendmail_site, request.param)
    return a.with_sinks(make_sendmail_site)


@pytest.fixture
def three(make_sendmail_site):
    return f.three_systems(make_sendmail_site)


def is_short(forgery):
    """Sendmail takes 32 kB of headers."""
    pattern, replacement = forgery
    return len(re.sub(pattern, replacement, "acme; t=1; o=A")) < 32768


@pytest.mark.parametrize("pattern, replacement", filter(is_short, trace.FORGERIES))
def test_a_forged_trace_does_nothing(gw, pattern, replacement):
    trace.test_a_forged_one_does_nothing(gw, pattern, replacement)


@pytest.fixture(scope="module")
def gw(make_module_sendmail_site):
    return make_module_sendmail_site(source="ldif", sinks=("old",), ldif=trace.directory)


@pytest.mark.parametrize("recipient, sink", [
    ("carol@acme.example", "outside"), ("moved@acme.example", "old"),
    ("nobody@acme.example", "old"), ("all@acme.example", "mailboxes")])
def test_mail_with_a_recipient_that_has_nothing_left_is_refused(gw, recipient, sink):
    """Sendmail has no transport that bounces one alone: it is the message that is refused."""
    ledger_id, message = trace.send_first(gw, recipient, sink)
    for recipients in ([recipient], [recipient, "bob@acme.example"]):
        reply = trace.send_back(gw, ledger_id, {r: At() for r in recipients},
                                trace.headers_of(message))
        assert reply.status == "554 5.4.6"
    # An innocent one alone gets it.
    assert trace.send_back(gw, ledger_id, {"bob@acme.example": trace.HERE["bob"]},
                           trace.headers_of(message)).ok
