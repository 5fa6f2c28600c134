#include "config.h"

#include <stdio.h>

#include "syncd/batch.h"
#include "unit.h"

static const uint8_t A[16] = "aaaaaaaaaaaaaaa", B[16] = "bbbbbbbbbbbbbbb";

START_TEST(keeps_changes_in_order_of_arrival)
{
	struct batch batch;
	static const enum change_kind kinds[] = { CHANGE_PUT, CHANGE_REMOVE,
		CHANGE_PRESENT, CHANGE_PUT, CHANGE_UNUSABLE };

	batch_init(&batch, 3, "/tmp");
	ck_assert_uint_eq(batch.source, 3);
	ck_assert_int_eq(batch_put(&batch, A, SPAN("one")), CX_OK);
	ck_assert_int_eq(batch_remove(&batch, B), CX_OK);
	ck_assert_int_eq(batch_present(&batch, A), CX_OK);
	ck_assert_int_eq(batch_put(&batch, B, SPAN("two")), CX_OK);
	ck_assert_int_eq(batch_unusable(&batch, A, SPAN("dc=a\0b"), "why"), CX_OK);
	ck_assert_uint_eq(batch.count, 5);
	for (size_t i = 0; i < batch.count; i++) {
		ck_assert_int_eq(batch.changes[i].kind, kinds[i]);
	}
	unit_assert_span(batch_record(&batch, &batch.changes[0]), "one", "first");
	unit_assert_span(batch_record(&batch, &batch.changes[3]), "two", "second");
	/* A NUL in the DN does not end it early. */
	ck_assert(span_equal(batch_record(&batch, &batch.changes[4]),
	    SPAN("dc=ab\0why")));
	ck_assert_mem_eq(batch.changes[4].uuid, A, 16);
	batch_release(&batch);
}
END_TEST

START_TEST(is_empty_after_clear)
{
	struct batch batch;

	batch_init(&batch, 1, "/tmp");
	batch.is_complete = batch.is_refresh = batch.has_contact = batch.has_cookie =
	    true;
	buf_add_text(&batch.cookie, "c");
	ck_assert_int_eq(batch_put(&batch, A, SPAN("one")), CX_OK);
	batch_clear(&batch);
	ck_assert(!batch.is_complete && !batch.is_refresh && !batch.has_contact &&
		  !batch.has_cookie);
	ck_assert_uint_eq(batch.count, 0);
	ck_assert_uint_eq(batch.cookie.len, 0);
	ck_assert_uint_eq(batch.records.len, 0);
	ck_assert_uint_eq(batch.source, 1);
	batch_release(&batch);
}
END_TEST

START_TEST(holds_many_changes)
{
	struct batch batch;
	uint8_t uuid[16] = { 0 };

	batch_init(&batch, 1, "/tmp");
	for (unsigned i = 0; i < 10000; i++) {
		char text[16];

		memcpy(uuid, &i, sizeof(i));
		snprintf(text, sizeof(text), "%u", i);
		ck_assert_int_eq(batch_put(&batch, uuid, span_of(text)), CX_OK);
	}
	unit_assert_span(batch_record(&batch, &batch.changes[9999]), "9999", "last");
	unit_assert_span(batch_record(&batch, &batch.changes[0]), "0", "first");
	batch_release(&batch);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("batch");
	TCase *batch = tcase_create("batch");

	tcase_add_test(batch, keeps_changes_in_order_of_arrival);
	tcase_add_test(batch, is_empty_after_clear);
	tcase_add_test(batch, holds_many_changes);
	suite_add_tcase(suite, batch);
	return suite;
}
