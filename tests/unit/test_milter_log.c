/*
 * What a session logs of recipients, refused or not.
 */
#include "config.h"

#include "daemon/log_limit.h"
#include "tests/unit/milter_fixture.h"

START_TEST(logs_what_became_of_a_recipient)
{
	start("", MTA_POSTFIX);
	mail("<s@else.example>", NULL);
	rcpt("<Redirect@acme.example>");
	rcpt("<copy@acme.example>");
	rcpt("<plain@acme.example>");
	rcpt("<group30@acme.example>");
	ck_assert_uint_eq(lines.len, 0);
	assert_end("+<x@pop.example> +<m0@acme.example> +<m1@acme.example> +<m2@acme.example> "
		   "+<m3@acme.example> +<m4@acme.example> +<m5@acme.example> +<m6@acme.example> "
		   "+<m7@acme.example> +<m8@acme.example> +<m9@acme.example> +<m10@acme.example> "
		   "+<m11@acme.example> +<m12@acme.example> +<m13@acme.example> "
		   "+<m14@acme.example> +<m15@acme.example> +<m16@acme.example> "
		   "+<m17@acme.example> +<m18@acme.example> +<m19@acme.example> "
		   "+<m20@acme.example> +<m21@acme.example> +<m22@acme.example> "
		   "+<m23@acme.example> +<m24@acme.example> +<m25@acme.example> "
		   "+<m26@acme.example> +<m27@acme.example> +<m28@acme.example> "
		   "+<m29@acme.example> -Redirect@acme.example -group30@acme.example",
	    "message");
	unit_assert_span(buf_span(&lines),
	    "4F1: to=<x@pop.example>, orig_to=<Redirect@acme.example>, action=redirect, "
	    "object=\"uid=adam,dc=acme\", rule=altRecipient\n"
	    "4F1: to=<x@pop.example>, orig_to=<copy@acme.example>, action=copy, "
	    "object=\"uid=adam,dc=acme\", rule=altRecipient\n"
	    "4F1: orig_to=<group30@acme.example>, action=expand, "
	    "object=\"uid=adam,dc=acme\", rule=member, count=30\n",
	    "log");
	stop();
}
END_TEST

START_TEST(logs_a_refusal_escaped)
{
	const char *arguments[] = { "<s@else.example>", NULL };

	start("", MTA_POSTFIX);
	session_mail(fixture.session,
	    &(struct session_sender){ .arguments = arguments,
		.login = SPAN("bob\n"),
		.client_address = SPAN("IPv6:2001:db8::1") });
	rcpt("<\"a\x01"
	     "b\"@b..c>");
	unit_assert_span(buf_span(&lines),
	    "NOQUEUE: reject: client=client.example[2001:db8::1], sasl_username=bob\\x0a, "
	    "from=<s@else.example>, to=<\"a\\x01b\"@b..c>, verdict=invalid, rule=syntax, "
	    "reply=\"501 5.1.3 Bad recipient address syntax\"\n",
	    "log");
	stop();
}
END_TEST

START_TEST(a_client_without_a_name_is_unknown_in_the_log)
{
	struct session_connection nameless = { .mta = MTA_POSTFIX,
		.host = SPAN("[192.0.2.7]"),
		.has_ip = true };

	start("", MTA_POSTFIX);
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.7"), &nameless.ip), CX_OK);
	session_connect(fixture.session, &nameless);
	mail("<>", NULL);
	rcpt("<loop@acme.example>");
	ck_assert(has_line("NOQUEUE: reject: client=unknown[192.0.2.7], "));
	stop();
}
END_TEST

START_TEST(observe_logs_what_would_have_been)
{
	start("observe = true", MTA_POSTFIX);
	mail("<>", NULL);
	rcpt("<loop@acme.example>");
	ck_assert(has_line("NOQUEUE: observe: client=client.example[192.0.2.7], "));
	ck_assert(has_line("verdict=loop, rule=loop, reply=\"550 5.4.6 "));
	stop();
}
END_TEST

/* The MTA does not log them, and ends no session for them. */
START_TEST(what_is_observed_does_not_fill_the_log)
{
	size_t count = 0;

	start("observe = true", MTA_POSTFIX);
	for (int i = 0; i < LOG_LIMIT_OBSERVED + 100; i++) {
		mail("<>", NULL);
		rcpt("<loop@acme.example>");
	}
	for (const char *line = lines.data; (line = strchr(line, '\n')) != NULL; line++) {
		count++;
	}
	ck_assert_uint_eq(count, LOG_LIMIT_OBSERVED);
	stop();
	start("", MTA_POSTFIX);
	mail("<>", NULL);
	rcpt("<loop@acme.example>");
	ck_assert(has_line("NOQUEUE: reject: ")); /* which the MTA does */
	stop();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("milter log");
	TCase *tcase = tcase_create("log");

	tcase_add_test(tcase, logs_what_became_of_a_recipient);
	tcase_add_test(tcase, logs_a_refusal_escaped);
	tcase_add_test(tcase, a_client_without_a_name_is_unknown_in_the_log);
	tcase_add_test(tcase, observe_logs_what_would_have_been);
	tcase_add_test(tcase, what_is_observed_does_not_fill_the_log);
	suite_add_tcase(suite, tcase);
	return suite;
}
