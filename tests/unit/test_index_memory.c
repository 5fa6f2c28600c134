/* The index of a record: whole, or none for want of memory. */
#include "config.h"

#include "make_record.h"
#include "replica/index.h"
#include "tests/support/no_memory.h"
#include "unit.h"

START_TEST(leaves_no_address_out_for_want_of_memory)
{
	struct record_id id = make_id(1, 1);
	struct index_set set;
	unsigned long count, failures = 0;
	size_t whole;
	struct buf record;

	buf_init(&record);
	(void)make_record(&record, RECORD_RECIPIENT, 0, TAG_DN, "cn=j\xc3\xb6rg",
	    TAG_MAIL, "j\xc3\xb6rg@acme.example", TAG_PROXY,
	    "r\xc3\xb6"
	    "b@acme.example",
	    TAG_TARGET, "\xc3\xb6@pop.example", 0);
	index_init(&set);
	ck_assert_int_eq(index_build(&id, buf_span(&record), &set), CX_OK);
	whole = set.count;
	ck_assert_uint_eq(whole, 4);
	index_release(&set);
	index_init(&set);
	no_memory_arm(0, false);
	(void)index_build(&id, buf_span(&record), &set);
	count = no_memory_disarm();
	for (unsigned long n = 1; n <= count; n++) {
		enum status status;

		index_release(&set);
		index_init(&set);
		no_memory_arm(n, false);
		status = index_build(&id, buf_span(&record), &set);
		(void)no_memory_disarm();
		failures += status == CX_ENOMEM;
		ck_assert_msg(status == CX_ENOMEM ||
				  (status == CX_OK && set.count == whole),
		    "%lu: %s, %zu entries", n, unit_status_name(status), set.count);
	}
	ck_assert_uint_gt(failures, 0);
	index_release(&set);
	buf_release(&record);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("index_memory");
	TCase *tcase = tcase_create("faults");

	tcase_add_test(tcase, leaves_no_address_out_for_want_of_memory);
	suite_add_tcase(suite, tcase);
	return suite;
}
