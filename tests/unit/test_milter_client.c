/*
 * Who the client is taken for, and what that allows: a login, an address, a certificate, a
 * local submission; and what `enforce` asks of it.
 */
#include "config.h"

#include <string.h>

#include "tests/unit/milter_fixture.h"

START_TEST(reads_the_login_that_sendmail_writes_in_xtext)
{
	static const struct {
		enum mta mta;
		const char *given, *login;
	} logins[] = {
		{ MTA_SENDMAIL, "bob+2Bx+40acme.example", "bob+x@acme.example" },
		{ MTA_SENDMAIL, "bob+", "bob+" },
		{ MTA_POSTFIX, "bob+2Bx", "bob+2Bx" },
	};
	const char *arguments[] = { "<>", NULL };

	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		start("", logins[i].mta);
		session_mail(fixture.session,
		    &(struct session_sender){ .arguments = arguments,
			.login = span_of(logins[i].given) });
		rcpt("<plain@acme.example>");
		ck_assert_str_eq(asked.login, logins[i].login);
		stop();
	}
}
END_TEST

START_TEST(tells_who_the_client_is)
{
	const char *arguments[] = { "<>", NULL };
	struct session_sender sender = { .arguments = arguments,
		.login = SPAN("bob"),
		.certificate = SPAN("AA:BB") };
	struct ip ip;

	start("", MTA_SENDMAIL);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &ip), CX_OK);
	ck_assert(asked.has_ip && memcmp(&asked.ip, &ip, sizeof(ip)) == 0);
	ck_assert_str_eq(asked.login, "bob");
	ck_assert_str_eq(asked.certificate, "AA:BB");
	ck_assert(!asked.is_trusted);

	/* What the macro says counts, where it says an address. */
	sender.client_address = SPAN("198.51.100.9");
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert_int_eq(ip_parse(SPAN("198.51.100.9"), &ip), CX_OK);
	ck_assert(asked.has_ip && memcmp(&asked.ip, &ip, sizeof(ip)) == 0);
	sender.client_address = SPAN("unknown");
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &ip), CX_OK);
	ck_assert(asked.has_ip && memcmp(&asked.ip, &ip, sizeof(ip)) == 0);
	stop();
}
END_TEST

/* Postfix does not tell the fingerprint; its policy service knows it and was there before. */
START_TEST(leaves_clients_that_may_have_a_certificate_to_the_policy_service)
{
	const char *arguments[] = { "<>", NULL };
	struct session_sender sender = { .arguments = arguments, .is_encrypted = true };

	start("", MTA_POSTFIX);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert(asked.is_trusted);
	stop();
	start("milter { enforce = true }", MTA_POSTFIX);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert(!asked.is_trusted);
	stop();
	start("", MTA_SENDMAIL);
	session_mail(fixture.session, &sender);
	rcpt("<plain@acme.example>");
	ck_assert(!asked.is_trusted);
	stop();
}
END_TEST

START_TEST(enforce_permits_relaying_as_the_directory_does)
{
	start("milter { enforce = true }", MTA_SENDMAIL);
	mail("<>", NULL);
	fixture.relay = RELAY_PERMITTED;
	assert_answer(rcpt("<a@else.example>"), "continue", "permitted");
	fixture.relay = RELAY_FORBIDDEN;
	assert_answer(rcpt("<b@else.example>"), "554 5.7.1", "forbidden");
	fixture.relay = RELAY_UNAVAILABLE;
	assert_answer(rcpt("<c@else.example>"), "451 4.3.0", "unavailable");
	stop();
}
END_TEST

START_TEST(enforce_spares_what_the_mta_is_final_for)
{
	const char *arguments[] = { "<unknown@acme.example>", NULL };
	struct answer answer;

	start("milter { enforce = true }", MTA_SENDMAIL);
	mail("<>", NULL);
	answer = session_rcpt(fixture.session, arguments, SPAN("local"));
	assert_answer(answer, "continue", "local");
	stop();
}
END_TEST

START_TEST(enforce_checks_the_sender_of_an_authenticated_client)
{
	const char *foreign[] = { "<s@else.example>", NULL };
	const char *own[] = { "<bob@acme.example>", NULL };
	const char *empty[] = { "<>", NULL };
	/* Sendmail may make an address of them all the same. */
	const char *odd[][2] = { { "<bob@acme.example ceo@acme.example>", NULL },
		{ "<ceo@acme..example>", NULL } };
	struct session_sender sender = { .arguments = foreign, .login = SPAN("bob") };

	start("enforce_sender = true milter { enforce = true }", MTA_SENDMAIL);
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "553 5.7.1", "foreign");
	sender.arguments = own;
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "own");
	ck_assert(asked.has_sender);
	sender.arguments = empty;
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "empty");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		sender.arguments = odd[i];
		session_mail(fixture.session, &sender);
		assert_answer(rcpt("<plain@acme.example>"), "553 5.7.1", odd[i][0]);
	}
	sender.arguments = foreign;
	sender.login = (struct span){ NULL, 0 };
	session_mail(fixture.session, &sender);
	assert_answer(rcpt("<plain@acme.example>"), "continue", "stranger");
	stop();
}
END_TEST

/* Mail of sendmail(1): no brackets, and the sender was not resolved. */
static void mail_locally(void)
{
	const char *arguments[] = { "root@acme.example", NULL };

	session_mail(fixture.session, &(struct session_sender){ .arguments = arguments });
}

START_TEST(refuses_nothing_in_a_local_submission)
{
	const struct plan *plan;

	start("", MTA_POSTFIX);
	mail_locally();
	assert_answer(rcpt("redirect@acme.example"), "continue", "redirect");
	assert_answer(rcpt("unknown@acme.example"), "continue", "unknown");
	assert_answer(rcpt("a@b..c"), "continue", "not an address");
	ck_assert(!asked.has_ip);
	ck_assert(asked.is_trusted);
	/* As the MTA shows it, and as it may have been written. */
	assert_end("+<x@pop.example> -redirect@acme.example -redirect -redirect@acme "
		   "-redirect@acme.example. -redirect%acme.example "
		   "-acme.example!redirect",
	    "message");
	mail_locally();
	assert_answer(rcpt("plain@acme.example"), "continue", "plain");
	assert_answer(rcpt("loop@acme.example"), "continue", "loop");
	ck_assert(has_line("verdict=loop"));
	/* It stays in the queue. */
	assert_answer(session_end(fixture.session, SPAN("4F1A2B3C4D"), &plan), "451 4.4.6", "loop at the end");
	mail_locally();
	assert_answer(rcpt("broken@acme.example"), "continue", "broken");
	assert_answer(session_end(fixture.session, SPAN("4F1A2B3C4D"), &plan), "451 4.3.5", "broken at the end");
	/* The MTA would follow it, past the decision about where it leads. */
	mail_locally();
	assert_answer(rcpt("route@acme.example"), "continue", "route");
	assert_answer(session_end(fixture.session, SPAN("4F1A2B3C4D"), &plan), "451 4.1.3", "route at the end");
	/* And the next message is none of it. */
	mail_locally();
	assert_answer(rcpt("plain@acme.example"), "continue", "plain");
	assert_end("", "next message");
	stop();
}
END_TEST

START_TEST(a_client_that_leaves_out_brackets_is_no_local_submission)
{
	start("", MTA_POSTFIX);
	mail("s@else.example", NULL);
	assert_answer(rcpt("loop@acme.example"), "550 5.4.6", "loop");
	ck_assert(asked.has_ip);
	stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter client");
	TCase *tcase = tcase_create("client");

	tcase_add_test(tcase, reads_the_login_that_sendmail_writes_in_xtext);
	tcase_add_test(tcase, tells_who_the_client_is);
	tcase_add_test(tcase, leaves_clients_that_may_have_a_certificate_to_the_policy_service);
	tcase_add_test(tcase, enforce_permits_relaying_as_the_directory_does);
	tcase_add_test(tcase, enforce_spares_what_the_mta_is_final_for);
	tcase_add_test(tcase, enforce_checks_the_sender_of_an_authenticated_client);
	tcase_add_test(tcase, refuses_nothing_in_a_local_submission);
	tcase_add_test(tcase, a_client_that_leaves_out_brackets_is_no_local_submission);
	suite_add_tcase(suite, tcase);
	return suite;
}
