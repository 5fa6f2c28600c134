/* Addresses of the re-injection hop: what is wrapped comes out as it was, and nothing else does. */
#include "config.h"

#include <string.h>

#include "forward/hop.h"
#include "forward/srs.h"
#include "tests/unit/signing.h"
#include "tests/unit/unit.h"

#define ROWS(array) (sizeof(array) / sizeof((array)[0]))

#define DAY ((int64_t)86400)
#define NOW (20000 * DAY + 5)
#define OURS SPAN("srs.acme.example")

static void print(const struct address *address, char out[ADDRESS_PRINT_MAX])
{
	struct buf text;

	buf_init_fixed(&text, out, ADDRESS_PRINT_MAX);
	address_print(address, &text);
	ck_assert(!text.failed);
}

static const char *const targets[] = {
	"adam@outside.example",
	"Adam.Barr+x=y=z@outside.example",
	"O dd\"\\@ %!x@outside.example",
	"=@outside.example",
	"J\xc3\xb6s\xc3\xa9@outside.example",
	"adam@[192.0.2.1]",
	"HOP0=x@outside.example",
};

/* Through the text that travels, as the wire has it. */
START_TEST(what_is_wrapped_comes_out_as_it_was)
{
	struct address target = signing_address(targets[_i]), wrapped, again, out;
	char before[ADDRESS_PRINT_MAX], text[ADDRESS_PRINT_MAX], after[ADDRESS_PRINT_MAX];

	unit_assert_status(hop_wrap(signing_secrets, &target, OURS, NOW, &wrapped), CX_OK, targets[_i]);
	print(&wrapped, text);
	ck_assert_str_eq(wrapped.domain, "srs.acme.example");
	unit_assert_status(address_parse_path(unit_text(text), &again), CX_OK, text);
	ck_assert(hop_is_tagged(&again));
	ck_assert(!srs_is_tagged(&again));
	unit_assert_status(hop_unwrap(signing_secrets, &again, NOW, &out), CX_OK, text);
	print(&target, before);
	print(&out, after);
	ck_assert_str_eq(before, after);
}
END_TEST

/* Maps are asked in small letters. */
START_TEST(case_is_no_matter)
{
	struct address target = signing_address("Adam@outside.example"), wrapped, lower, out;
	char text[ADDRESS_PRINT_MAX];

	ck_assert_int_eq(hop_wrap(signing_secrets, &target, OURS, NOW, &wrapped), CX_OK);
	print(&wrapped, text);
	for (char *c = text; *c; c++) {
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
	}
	lower = signing_address(text);
	ck_assert_int_eq(hop_unwrap(signing_secrets, &lower, NOW, &out), CX_OK);
}
END_TEST

START_TEST(a_change_of_any_character_is_noticed)
{
	struct address target = signing_address("adam@outside.example"), wrapped, changed, out;

	ck_assert_int_eq(hop_wrap(signing_secrets, &target, OURS, NOW, &wrapped), CX_OK);
	for (size_t i = 0; i < wrapped.local_len; i++) {
		enum status status;

		changed = wrapped;
		changed.local[i] = changed.local[i] == '1' ? '2' : '1';
		status = hop_unwrap(signing_secrets, &changed, NOW, &out);
		ck_assert_msg(status == CX_EINVAL || (i < 5 && status == CX_NOTFOUND),
		    "at %zu: %s", i, status_text(status));
		changed = wrapped;
		changed.local_len = i;
		ck_assert_int_ne(hop_unwrap(signing_secrets, &changed, NOW, &out), CX_OK);
	}
}
END_TEST

START_TEST(it_is_good_for_as_long_as_a_queue_may_keep_it)
{
	struct address target = signing_address("adam@outside.example"), wrapped, out;

	ck_assert_int_eq(hop_wrap(signing_secrets, &target, OURS, NOW, &wrapped), CX_OK);
	ck_assert_int_eq(hop_unwrap(signing_secrets, &wrapped, NOW - DAY, &out), CX_OK);
	ck_assert_int_eq(hop_unwrap(signing_secrets, &wrapped, NOW - 2 * DAY, &out), CX_EINVAL);
	ck_assert_int_eq(hop_unwrap(signing_secrets, &wrapped, NOW + HOP_MAX_AGE_S, &out), CX_OK);
	ck_assert_int_eq(hop_unwrap(signing_secrets, &wrapped, NOW + HOP_MAX_AGE_S + DAY, &out), CX_EINVAL);
}
END_TEST

START_TEST(the_first_secret_signs_and_all_verify)
{
	struct address target = signing_address("adam@outside.example"), wrapped, out;

	ck_assert_int_eq(hop_wrap(signing_secrets, &target, OURS, NOW, &wrapped), CX_OK);
	ck_assert_int_eq(
	    hop_unwrap(signing_other_secrets(NULL, NULL), &wrapped, NOW, &out), CX_ETEMP);
	ck_assert_int_eq(
	    hop_unwrap(signing_other_secrets("new", NULL), &wrapped, NOW, &out), CX_EINVAL);
	ck_assert_int_eq(
	    hop_unwrap(signing_other_secrets("new", "tops3cret"), &wrapped, NOW, &out), CX_OK);
}
END_TEST

START_TEST(what_grows_too_long_is_said)
{
	char text[ADDRESS_LOCAL_MAX + 20];
	struct address target, wrapped;

	memset(text, 'a', sizeof(text));
	strcpy(text + ADDRESS_LOCAL_MAX, "@x.example");
	target = signing_address(text);
	ck_assert_int_eq(hop_wrap(signing_secrets, &target, OURS, NOW, &wrapped), CX_ETOOLONG);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("hop");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, signing_setup, signing_teardown);
	tcase_add_loop_test(tcase, what_is_wrapped_comes_out_as_it_was, 0, ROWS(targets));
	tcase_add_test(tcase, case_is_no_matter);
	tcase_add_test(tcase, a_change_of_any_character_is_noticed);
	tcase_add_test(tcase, it_is_good_for_as_long_as_a_queue_may_keep_it);
	tcase_add_test(tcase, the_first_secret_signs_and_all_verify);
	tcase_add_test(tcase, what_grows_too_long_is_said);
	suite_add_tcase(suite, tcase);
	return suite;
}
