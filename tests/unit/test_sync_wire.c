#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "syncd/sync_wire.h"
#include "unit.h"

/* BER by hand: tag, length, contents. */
#define UUID_A \
 "\x04\x10"    \
 "AAAAAAAAAAAAAAAA"
#define UUID_B \
 "\x04\x10"    \
 "BBBBBBBBBBBBBBBB"

/* clang-format off */
static const struct {
	const char *label;
	struct span value;
	enum status status;
	enum sync_entry_state state;
	const char *cookie; /* NULL: none */
} states[] = {
	{ "add", SPAN("\x30\x15\x0a\x01\x01" UUID_A), CX_OK, SYNC_ENTRY_ADD, NULL },
	{ "delete with a cookie", SPAN("\x30\x1a\x0a\x01\x03" UUID_A "\x04\x03xyz"), CX_OK, SYNC_ENTRY_DELETE, "xyz" },
	{ "present, empty cookie", SPAN("\x30\x17\x0a\x01\x00" UUID_A "\x04\x00"), CX_OK, SYNC_ENTRY_PRESENT, "" },
	{ "unknown state", SPAN("\x30\x15\x0a\x01\x04" UUID_A), CX_EINVAL, 0, NULL },
	{ "negative state", SPAN("\x30\x15\x0a\x01\xff" UUID_A), CX_EINVAL, 0, NULL },
	{ "UUID too short", SPAN("\x30\x14\x0a\x01\x01\x04\x0f" "AAAAAAAAAAAAAAA"), CX_EINVAL, 0, NULL },
	{ "no UUID", SPAN("\x30\x03\x0a\x01\x01"), CX_EINVAL, 0, NULL },
	{ "something behind", SPAN("\x30\x16\x0a\x01\x01" UUID_A "\x05\x00"), CX_EINVAL, 0, NULL },
	{ "cookie cut off", SPAN("\x30\x18\x0a\x01\x01" UUID_A "\x04\x03x"), CX_EINVAL, 0, NULL },
	{ "length over the end", SPAN("\x30\x55\x0a\x01\x01" UUID_A), CX_EINVAL, 0, NULL },
	{ "empty", { NULL, 0 }, CX_EINVAL, 0, NULL },
	{ "only a tag", SPAN("\x30"), CX_EINVAL, 0, NULL },
	{ "endless length", SPAN("\x30\x84\xff\xff\xff\xff"), CX_EINVAL, 0, NULL },
};

static const struct {
	const char *label;
	struct span value;
	enum status status;
	enum sync_info_kind kind;
	const char *cookie;
	bool is_done, are_deleted;
	size_t uuids;
} infos[] = {
	{ "new cookie", SPAN("\x80\x03" "abc"), CX_OK, SYNC_INFO_NEW_COOKIE, "abc", false, false, 0 },
	{ "refreshDelete, done by default", SPAN("\xa1\x00"), CX_OK, SYNC_INFO_REFRESH_DELETE, NULL, true, false, 0 },
	{ "refreshDelete with a cookie", SPAN("\xa1\x05\x04\x03" "abc"), CX_OK, SYNC_INFO_REFRESH_DELETE, "abc", true, false, 0 },
	{ "refreshDelete with an empty cookie", SPAN("\xa1\x02\x04\x00"), CX_OK, SYNC_INFO_REFRESH_DELETE, "", true, false, 0 },
	{ "refreshPresent, more to come", SPAN("\xa2\x03\x01\x01\x00"), CX_OK, SYNC_INFO_REFRESH_PRESENT, NULL, false, false, 0 },
	{ "refreshPresent, cookie, done", SPAN("\xa2\x06\x04\x01" "c\x01\x01\xff"), CX_OK, SYNC_INFO_REFRESH_PRESENT, "c", true, false, 0 },
	{ "id set, present", SPAN("\xa3\x26\x31\x24" UUID_A UUID_B), CX_OK, SYNC_INFO_ID_SET, NULL, false, false, 2 },
	{ "id set, deleted (TRUE is any byte but 0)", SPAN("\xa3\x17\x01\x01\x01\x31\x12" UUID_A), CX_OK, SYNC_INFO_ID_SET, NULL, false, true, 1 },
	{ "id set, cookie, deleted", SPAN("\xa3\x1a\x04\x01" "c\x01\x01\xff\x31\x12" UUID_A), CX_OK, SYNC_INFO_ID_SET, "c", false, true, 1 },
	{ "id set with none", SPAN("\xa3\x02\x31\x00"), CX_OK, SYNC_INFO_ID_SET, NULL, false, false, 0 },
	{ "id set without a set", SPAN("\xa3\x03\x01\x01\xff"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "id set with a short UUID", SPAN("\xa3\x05\x31\x03\x04\x01x"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "id set with half a UUID", SPAN("\xa3\x0c\x31\x0a\x04\x10" "AAAAAAAA"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "id set with something else", SPAN("\xa3\x16\x31\x14\x02\x10" "AAAAAAAAAAAAAAAA\x05\x00"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "unknown choice", SPAN("\xa4\x00"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "something behind", SPAN("\xa1\x00\x05\x00"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "cut off", SPAN("\xa1\x05\x04\x03" "a"), CX_EINVAL, 0, NULL, false, false, 0 },
	{ "empty", { NULL, 0 }, CX_EINVAL, 0, NULL, false, false, 0 },
};

static const struct {
	const char *label;
	struct span value;
	enum status status;
	const char *cookie;
	bool is_delete_phase;
} dones[] = {
	{ "present phase by default", SPAN("\x30\x00"), CX_OK, NULL, false },
	{ "delete phase", SPAN("\x30\x03\x01\x01\xff"), CX_OK, NULL, true },
	{ "cookie and phase", SPAN("\x30\x06\x04\x01" "c\x01\x01\x00"), CX_OK, "c", false },
	{ "not a sequence's end", SPAN("\x30\x02\x05\x00"), CX_EINVAL, NULL, false },
	{ "empty", { NULL, 0 }, CX_EINVAL, NULL, false },
};

static const struct {
	const char *text;
	bool is_good;
} uuids[] = {
	{ "00112233-4455-6677-8899-aabbccddeeff", true },
	{ "00112233-4455-6677-8899-AABBCCDDEEFF", true },
	{ "00112233-4455-6677-8899-aabbccddeef", false },
	{ "00112233-4455-6677-8899-aabbccddeeff0", false },
	{ "00112233x4455-6677-8899-aabbccddeeff", false },
	{ "00112233-4455-6677-8899-aabbccddeefg", false },
	{ "", false },
};
/* clang-format on */

static struct span copy(struct span s)
{
	return (struct span){ unit_copy(s.ptr, s.len), s.len };
}

static void drop(struct span s)
{
	free((void *)(uintptr_t)s.ptr);
}

static void check_cookie(const char *label, const char *expected, bool has,
    struct span cookie)
{
	ck_assert_msg(has == (expected != NULL), "%s", label);
	if (expected != NULL) {
		ck_assert_msg(span_equal(cookie, span_of(expected)), "%s", label);
	}
}

START_TEST(reads_the_state_of_an_entry)
{
	struct span value = copy(states[_i].value);
	struct sync_state state;

	ck_assert_msg(sync_state_parse(value, &state) == states[_i].status, "%s",
	    states[_i].label);
	if (states[_i].status == CX_OK) {
		ck_assert(state.state == states[_i].state);
		ck_assert_mem_eq(state.uuid, "AAAAAAAAAAAAAAAA", 16);
		check_cookie(states[_i].label, states[_i].cookie, state.has_cookie,
		    state.cookie);
	}
	drop(value);
}
END_TEST

START_TEST(reads_an_intermediate_message)
{
	struct span value = copy(infos[_i].value);
	struct sync_info info;
	const uint8_t *uuid;
	size_t count = 0;

	ck_assert_msg(sync_info_parse(value, &info) == infos[_i].status, "%s",
	    infos[_i].label);
	if (infos[_i].status == CX_OK) {
		ck_assert_msg(info.kind == infos[_i].kind, "%s", infos[_i].label);
		ck_assert_msg(info.is_done == infos[_i].is_done, "%s", infos[_i].label);
		ck_assert_msg(info.are_deleted == infos[_i].are_deleted, "%s",
		    infos[_i].label);
		check_cookie(infos[_i].label, infos[_i].cookie, info.has_cookie,
		    info.cookie);
		while (sync_info_next(&info, &uuid)) {
			ck_assert_mem_eq(uuid,
			    count ? "BBBBBBBBBBBBBBBB" : "AAAAAAAAAAAAAAAA", 16);
			count++;
		}
		ck_assert_uint_eq(count, infos[_i].uuids);
	}
	drop(value);
}
END_TEST

START_TEST(reads_the_end_of_a_refresh)
{
	struct span value = copy(dones[_i].value);
	struct sync_done done;

	ck_assert_msg(sync_done_parse(value, &done) == dones[_i].status, "%s",
	    dones[_i].label);
	if (dones[_i].status == CX_OK) {
		ck_assert(done.is_delete_phase == dones[_i].is_delete_phase);
		check_cookie(dones[_i].label, dones[_i].cookie, done.has_cookie,
		    done.cookie);
	}
	drop(value);
}
END_TEST

/* Every prefix of every good value: refused, and nothing is read beyond its end. */
START_TEST(refuses_whatever_is_cut_short)
{
	for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
		for (size_t len = 0;
		     infos[i].status == CX_OK && len < infos[i].value.len; len++) {
			struct span value =
			    copy((struct span){ infos[i].value.ptr, len });
			struct sync_info info;

			ck_assert_msg(sync_info_parse(value, &info) == CX_EINVAL,
			    "%s, %zu", infos[i].label, len);
			drop(value);
		}
	}
}
END_TEST

START_TEST(asks_for_refresh_and_persist)
{
	struct buf out;

	buf_init(&out);
	ck_assert(sync_request_print((struct span){ NULL, 0 }, &out) == CX_OK);
	ck_assert(span_equal(buf_span(&out), SPAN("\x30\x03\x0a\x01\x03")));
	buf_clear(&out);
	ck_assert(sync_request_print(SPAN("abc"), &out) == CX_OK);
	ck_assert(span_equal(buf_span(&out), SPAN("\x30\x08\x0a\x01\x03\x04\x03"
						  "abc")));
	buf_release(&out);
}
END_TEST

START_TEST(reads_and_prints_uuids)
{
	struct span text = copy(span_of(uuids[_i].text));
	char printed[SYNC_UUID_TEXT];
	uint8_t uuid[SYNC_UUID_SIZE];

	ck_assert(sync_uuid_parse(text, uuid) == uuids[_i].is_good);
	if (uuids[_i].is_good) {
		sync_uuid_print(uuid, printed);
		ck_assert(span_equal_case(span_of(printed), text));
	}
	drop(text);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sync_wire");
	TCase *tc = tcase_create("sync_wire");

	tcase_add_loop_test(tc, reads_the_state_of_an_entry, 0,
	    sizeof(states) / sizeof(states[0]));
	tcase_add_loop_test(tc, reads_an_intermediate_message, 0,
	    sizeof(infos) / sizeof(infos[0]));
	tcase_add_loop_test(tc, reads_the_end_of_a_refresh, 0,
	    sizeof(dones) / sizeof(dones[0]));
	tcase_add_test(tc, refuses_whatever_is_cut_short);
	tcase_add_test(tc, asks_for_refresh_and_persist);
	tcase_add_loop_test(tc, reads_and_prints_uuids, 0,
	    sizeof(uuids) / sizeof(uuids[0]));
	suite_add_tcase(suite, tc);
	return suite;
}
