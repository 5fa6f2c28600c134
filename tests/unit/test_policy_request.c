#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "policyd/request.h"
#include "unit.h"

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

#define R "request=smtpd_access_policy\n"

/* clang-format off */
static const struct {
	const char *label;
	const char *input;
	enum frame_status status;
	size_t len; /* of the frame */
	const char *why;
} frames[] = {
	{ "whole",                R "a=b\n\n",       FRAME_WHOLE,   33, NULL },
	{ "whole, more follows",  R "a=b\n\n" R,     FRAME_WHOLE,   33, NULL },
	{ "only an empty line",   "\n",              FRAME_WHOLE,    1, NULL },
	{ "nothing",              "",                FRAME_PARTIAL,  0, NULL },
	{ "half a line",          "request=smt",     FRAME_PARTIAL,  0, NULL },
	{ "half a request",       R "a=b\n",         FRAME_PARTIAL,  0, NULL },
	{ "an empty value",       "a=\nb=\n\n",      FRAME_WHOLE,    7, NULL },
	{ "CR LF",                "a=b\r\n\r\n",     FRAME_BAD,      0, "lines end in CR LF" },
	{ "CR LF alone",          "\r\n",            FRAME_BAD,      0, "lines end in CR LF" },
	{ "CR in a value",        "a=b\r\nc=d\n\n",  FRAME_WHOLE,   10, NULL },
};

static const struct {
	const char *label;
	const char *body;
	enum status status;
	const char *why;
} bodies[] = {
	{ "least",             R,                      CX_OK,     NULL },
	{ "unknown attribute", R "mail_version=3.8\n", CX_OK,     NULL },
	{ "= in a value",      R "sender=a=b@c\n",     CX_OK,     NULL },
	{ "empty value",       R "sender=\n",          CX_OK,     NULL },
	{ "any order",         "sender=a@b\n" R,       CX_OK,     NULL },
	{ "unknown one twice", R "x=1\nx=2\n",         CX_OK,     NULL },
	{ "nothing",           "",                     CX_EINVAL, "not request=smtpd_access_policy" },
	{ "no request",        "sender=a@b\n",         CX_EINVAL, "not request=smtpd_access_policy" },
	{ "another request",   "request=junk\n",       CX_EINVAL, "not request=smtpd_access_policy" },
	{ "no =",              R "sender\n",           CX_EINVAL, "a line is not name=value" },
	{ "no name",           R "=x\n",               CX_EINVAL, "a line is not name=value" },
	{ "known one twice",   R "sender=a\nsender=b\n", CX_EINVAL, "an attribute is there twice" },
	{ "request twice",     R R,                    CX_EINVAL, "an attribute is there twice" },
};
/* clang-format on */

START_TEST(finds_the_end_of_a_request)
{
	struct span input = unit_text(frames[_i].input);
	struct frame frame = { 0, { NULL, 0 } };
	const char *why = NULL;
	size_t scanned = 0;
	enum frame_status status = policy_frame(input, &scanned, &frame, &why);

	ck_assert_msg(status == frames[_i].status, "%s: %d", frames[_i].label, (int)status);
	ck_assert_uint_eq(frame.len, frames[_i].len);
	if (status == FRAME_WHOLE) {
		ck_assert_uint_eq(frame.body.len, frame.len - 1);
	}
	ck_assert_pstr_eq(why, frames[_i].why);
}
END_TEST

START_TEST(finds_the_same_end_byte_by_byte)
{
	size_t scanned = 0;

	for (size_t len = 1; len <= strlen(frames[_i].input); len++) {
		struct span input = unit_span(frames[_i].input, len);
		struct frame frame = { 0, { NULL, 0 } };
		const char *why = NULL;
		enum frame_status status = policy_frame(input, &scanned, &frame, &why);

		if (status == FRAME_PARTIAL) {
			continue;
		}
		ck_assert_msg(status == frames[_i].status, "%s", frames[_i].label);
		ck_assert_uint_eq(frame.len, frames[_i].len);
		return;
	}
	ck_assert_int_eq(frames[_i].status, FRAME_PARTIAL);
}
END_TEST

START_TEST(parses_or_says_why_not)
{
	struct policy_request request;
	const char *why = NULL;

	unit_assert_status(
	    policy_request_parse(unit_text(bodies[_i].body), &request, &why),
	    bodies[_i].status, bodies[_i].label);
	ck_assert_pstr_eq(why, bodies[_i].why);
}
END_TEST

START_TEST(takes_values_as_they_are)
{
	struct policy_request request;
	const char *why = NULL;
	struct span body = unit_text(R
	    "protocol_state=RCPT\nclient_address=2001:db8::25\nclient_name=unknown\n"
	    "sender=we ird=@d\nrecipient=a@b@shared.test.\nsasl_username=bob\n"
	    "ccert_fingerprint=AA:BB\nccert_pubkey_fingerprint=CC\n"
	    "policy_context=relay"); /* the last line without its end */

	ck_assert_int_eq(policy_request_parse(body, &request, &why), CX_OK);
	unit_assert_span(request.protocol_state, "RCPT", "protocol_state");
	unit_assert_span(request.client_address, "2001:db8::25", "client_address");
	unit_assert_span(request.client_name, "unknown", "client_name");
	unit_assert_span(request.sender, "we ird=@d", "sender");
	unit_assert_span(request.recipient, "a@b@shared.test.", "recipient");
	unit_assert_span(request.sasl_username, "bob", "sasl_username");
	unit_assert_span(request.ccert_fingerprint, "AA:BB", "ccert_fingerprint");
	unit_assert_span(request.ccert_pubkey_fingerprint, "CC", "ccert_pubkey");
	unit_assert_span(request.policy_context, "relay", "policy_context");
}
END_TEST

START_TEST(refuses_nul_in_a_value)
{
	static const char body[] = R "recipient=a\0@b\n";
	struct policy_request request;
	const char *why = NULL;

	ck_assert_int_eq(
	    policy_request_parse(unit_span(body, sizeof(body) - 1), &request, &why),
	    CX_EINVAL);
	ck_assert_str_eq(why, "NUL in it");
}
END_TEST

static enum status parse_with_attributes(size_t count)
{
	struct policy_request request;
	const char *why = NULL;
	struct buf body;
	enum status status;

	buf_init(&body);
	buf_add_text(&body, R);
	for (size_t i = 1; i < count; i++) {
		buf_printf(&body, "x%zu=\n", i);
	}
	status = policy_request_parse(unit_span(body.data, body.len), &request, &why);
	buf_release(&body);
	return status;
}

START_TEST(limits_the_number_of_attributes)
{
	ck_assert_int_eq(parse_with_attributes(POLICY_ATTRIBUTES_MAX), CX_OK);
	ck_assert_int_eq(parse_with_attributes(POLICY_ATTRIBUTES_MAX + 1), CX_ETOOLONG);
}
END_TEST

static enum frame_status frame_of_size(size_t size, bool has_end)
{
	char *text = malloc(size);
	struct frame frame;
	const char *why = NULL;
	size_t scanned = 0;
	enum frame_status status;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', size);
	if (has_end) {
		text[size - 1] = text[size - 2] = '\n';
	}
	status = policy_frame((struct span){ text, size }, &scanned, &frame, &why);
	free(text);
	return status;
}

START_TEST(limits_the_length_of_a_request)
{
	ck_assert_int_eq(frame_of_size(POLICY_REQUEST_MAX, true), FRAME_WHOLE);
	ck_assert_int_eq(frame_of_size(POLICY_REQUEST_MAX + 1, true), FRAME_BAD);
	ck_assert_int_eq(frame_of_size(POLICY_REQUEST_MAX - 1, false), FRAME_PARTIAL);
	ck_assert_int_eq(frame_of_size(POLICY_REQUEST_MAX, false), FRAME_BAD);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("policy_request");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, finds_the_end_of_a_request, 0, ROWS(frames));
	tcase_add_loop_test(tcase, finds_the_same_end_byte_by_byte, 0, ROWS(frames));
	tcase_add_loop_test(tcase, parses_or_says_why_not, 0, ROWS(bodies));
	tcase_add_test(tcase, takes_values_as_they_are);
	tcase_add_test(tcase, refuses_nul_in_a_value);
	tcase_add_test(tcase, limits_the_number_of_attributes);
	tcase_add_test(tcase, limits_the_length_of_a_request);
	suite_add_tcase(suite, tcase);
	return suite;
}
