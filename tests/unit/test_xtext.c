#include "config.h"

#include "unit.h"
#include "value/xtext.h"

/* clang-format off */
static const struct {
	const char *text;
	const char *plain; /* NULL: CX_EINVAL */
} rows[] = {
	{ "",                       "" },
	{ "adam",                   "adam" },
	{ "adam+2Bx",               "adam+x" },
	{ "+3Cadam+40acme+3e",      "<adam@acme>" },
	{ "a+20b",                  "a b" },
	{ "a=b",                    "a=b" },
	{ "j+C3+B6",                "j\xc3\xb6" },
	{ "+",                      NULL },
	{ "a+2",                    NULL },
	{ "a+2G",                   NULL },
	{ "a+G2",                   NULL },
	{ "a++2B",                  NULL },
};
/* clang-format on */

START_TEST(undoes_xtext)
{
	struct buf plain;
	enum status status;

	buf_init(&plain);
	status = xtext_decode(unit_text(rows[_i].text), &plain);
	ck_assert_msg((status == CX_OK) == (rows[_i].plain != NULL), "%s", rows[_i].text);
	if (status == CX_OK) {
		unit_assert_span(buf_span(&plain), rows[_i].plain, rows[_i].text);
	} else {
		ck_assert_int_eq(status, CX_EINVAL);
	}
	buf_release(&plain);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("xtext");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, undoes_xtext, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
