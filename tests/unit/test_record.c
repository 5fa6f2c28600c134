#include "config.h"

#include <stdlib.h>

#include "make_record.h"
#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "unit.h"

static struct buf buf;

static void set_up(void)
{
	buf_init(&buf);
}

static void tear_down(void)
{
	buf_release(&buf);
}

static struct span sample(void)
{
	return make_record(&buf, RECORD_RECIPIENT, RECIPIENT_PARKED | RECIPIENT_HIDDEN,
	    TAG_DN, "cn=Adam,dc=acme", TAG_NAME, "Adam", TAG_PRIMARY,
	    "adam@acme.example", TAG_MAIL, "adam@acme.example", TAG_MAIL,
	    "a@acme.example", TAG_PROXY, "ad@acme.example", TAG_PROXY, "MS:A/B/C",
	    TAG_TARGET, "adam@old.example", TAG_ALT_KEY, "dn:cn=eve", TAG_ALT_DN,
	    "cn=Eve", TAG_FORWARDING, "f@acme.example", TAG_HOME_SERVER, "siteb",
	    TAG_LOGIN, "adam", TAG_LOGIN, "a", TAG_MEMBER_KEY, "dn:cn=m", TAG_MEMBER_DN,
	    "cn=M", TAG_MEMBER_ADDRESS, "m@acme.example", 0);
}

static void open_exact(struct span stored, struct record *record, char **copy)
{
	*copy = unit_copy(stored.ptr, stored.len);
	ck_assert_int_eq(record_open((struct span){ *copy, stored.len }, record),
	    CX_OK);
}

START_TEST(a_recipient_comes_back_as_it_was_written)
{
	struct recipient r;
	struct record record;
	struct span value;
	char *copy;

	open_exact(sample(), &record, &copy);
	unit_assert_status(recipient_decode(&record, &r), CX_OK, "decode");
	ck_assert_int_eq(r.kind, RECIPIENT_CUSTOM);
	ck_assert_uint_eq(r.flags, RECIPIENT_PARKED | RECIPIENT_HIDDEN);
	unit_assert_span(r.dn, "cn=Adam,dc=acme", "dn");
	unit_assert_span(r.name, "Adam", "name");
	unit_assert_span(r.target, "adam@old.example", "target");
	unit_assert_span(r.forwarding_address, "f@acme.example", "forwarding");
	unit_assert_span(r.home_server, "siteb", "home server");
	ck_assert_uint_eq(values_count(r.primaries), 1);
	ck_assert_uint_eq(values_count(r.mails), 2);
	ck_assert_uint_eq(values_count(r.proxies), 2);
	ck_assert_uint_eq(values_count(r.alternates), 1);
	ck_assert_uint_eq(values_count(r.alternate_dns), 1);
	ck_assert_uint_eq(values_count(r.logins), 2);
	ck_assert_uint_eq(values_count(r.members), 1);
	ck_assert_uint_eq(values_count(r.member_dns), 1);
	ck_assert_uint_eq(values_count(r.member_addresses), 1);
	ck_assert(values_next(&r.proxies, &value));
	unit_assert_span(value, "ad@acme.example", "first proxy");
	ck_assert(values_next(&r.proxies, &value));
	unit_assert_span(value, "MS:A/B/C", "second proxy");
	ck_assert(!values_next(&r.proxies, &value));
	ck_assert(values_next(&r.member_addresses, &value));
	unit_assert_span(value, "m@acme.example", "last field");
	ck_assert(!values_next(&r.member_addresses, &value));
	free(copy);
}
END_TEST

START_TEST(what_a_recipient_lacks_is_empty)
{
	struct recipient r;
	struct record record;
	char *copy;

	open_exact(make_record(&buf, RECORD_RECIPIENT, RECIPIENT_IS_GROUP, TAG_MAIL,
		       "g@x", 0),
	    &record, &copy);
	unit_assert_status(recipient_decode(&record, &r), CX_OK, "decode");
	ck_assert_int_eq(r.kind, RECIPIENT_GROUP);
	ck_assert(span_is_empty(r.dn) && span_is_empty(r.target) &&
		  span_is_empty(r.name));
	ck_assert_uint_eq(values_count(r.primaries), 0);
	ck_assert_uint_eq(values_count(r.mails), 1);
	ck_assert_uint_eq(values_count(r.members), 0);
	ck_assert_uint_eq(values_count(r.logins), 0);
	free(copy);
}
END_TEST

START_TEST(a_record_without_fields_is_a_mailbox_without_anything)
{
	struct recipient r;
	struct record record;
	char *copy;

	record_begin(&buf, RECORD_RECIPIENT);
	open_exact(buf_span(&buf), &record, &copy);
	unit_assert_status(recipient_decode(&record, &r), CX_OK, "decode");
	ck_assert_int_eq(r.kind, RECIPIENT_MAILBOX);
	ck_assert_uint_eq(r.flags, 0);
	ck_assert_uint_eq(values_count(r.mails), 0);
	free(copy);
}
END_TEST

START_TEST(a_domain_comes_back_as_it_was_written)
{
	struct record record;
	struct domain d;
	char *copy;

	open_exact(make_record(&buf, RECORD_DOMAIN, DOMAIN_DISABLED, TAG_DN, "cn=d",
		       TAG_DOMAIN, "acme.example", TAG_DOMAIN, "*.acme.example",
		       TAG_DOMAIN_TYPE, "2", TAG_UNKNOWN, "2", TAG_REWRITE_DOMAIN,
		       "new.example", TAG_FORWARD_HOST, "relay:[x]", 0),
	    &record, &copy);
	unit_assert_status(domain_decode(&record, &d), CX_OK, "decode");
	ck_assert_int_eq(d.type, DOMAIN_SHARED);
	ck_assert_int_eq(d.unknown, DOMAIN_UNKNOWN_FORWARD);
	ck_assert_uint_eq(d.flags, DOMAIN_DISABLED);
	ck_assert_uint_eq(values_count(d.patterns), 2);
	unit_assert_span(d.rewrite_domain, "new.example", "rewrite");
	unit_assert_span(d.forward_host, "relay:[x]", "forward host");
	ck_assert_str_eq(domain_type_text(d.type), "shared");
	free(copy);
}
END_TEST

START_TEST(a_connector_comes_back_as_it_was_written)
{
	struct record record;
	struct connector c;
	char *copy;

	open_exact(make_record(&buf, RECORD_CONNECTOR, 0, TAG_DN, "cn=c", TAG_NAME,
		       "SiteB", TAG_NEXT_HOP, "relay:[b]", TAG_SPACE, "SMTP:*",
		       TAG_SPACE, "MS:A/B", TAG_PEER, "192.0.2.0/24", TAG_RELAY_CLIENT,
		       "!192.0.2.9", TAG_RELAY_CERTIFICATE, "ab", 0),
	    &record, &copy);
	unit_assert_status(connector_decode(&record, &c), CX_OK, "decode");
	unit_assert_span(c.name, "SiteB", "name");
	unit_assert_span(c.next_hop, "relay:[b]", "next hop");
	ck_assert_uint_eq(values_count(c.spaces), 2);
	ck_assert_uint_eq(values_count(c.peers), 1);
	ck_assert_uint_eq(values_count(c.relay_clients), 1);
	ck_assert_uint_eq(values_count(c.relay_certificates), 1);
	free(copy);
}
END_TEST

START_TEST(a_decoder_refuses_records_of_another_kind)
{
	struct recipient r;
	struct connector c;
	struct domain d;
	struct record record;
	char *copy;

	open_exact(make_record(&buf, RECORD_CONTAINER, 0, TAG_DN, "ou=x", 0), &record,
	    &copy);
	unit_assert_status(recipient_decode(&record, &r), CX_EFORMAT, "recipient");
	unit_assert_status(connector_decode(&record, &c), CX_EFORMAT, "connector");
	unit_assert_status(domain_decode(&record, &d), CX_EFORMAT, "domain");
	free(copy);
}
END_TEST

/* clang-format off */
static const struct {
	const char *label;
	const char *bytes;
	size_t len;
	enum status expected;
} frames[] = {
#define FRAME(label, bytes, expected) { (label), (bytes), sizeof(bytes) - 1, (expected) }
	FRAME("empty",			"",					CX_EFORMAT),
	FRAME("half a header",		"\2\1",					CX_EFORMAT),
	FRAME("header only",		"\2\1\0",				CX_OK),
	FRAME("version 0",		"\0\1\0",				CX_EFORMAT),
	FRAME("version 1",		"\1\1\0",				CX_EFORMAT),
	FRAME("version 3",		"\3\1\0",				CX_EFORMAT),
	FRAME("kind 0",			"\2\0\0",				CX_EFORMAT),
	FRAME("kind 5",			"\2\5\0",				CX_EFORMAT),
	FRAME("kind 255",		"\2\377\0",				CX_EFORMAT),
	FRAME("one field",		"\2\1\1\1\1x",				CX_OK),
	FRAME("an empty field",		"\2\1\1\1\0",				CX_OK),
	FRAME("a tag alone",		"\2\1\1\1",				CX_EFORMAT),
	FRAME("field cut in its length", "\2\1\1\1\201",			CX_EFORMAT),
	FRAME("field cut in its value",	"\2\1\1\1\2x",				CX_EFORMAT),
	FRAME("length over the limit",	"\2\1\1\1\377\377\177x",		CX_EFORMAT),
	FRAME("length without end",	"\2\1\1\1\377\377\377\377\177x",		CX_EFORMAT),
	FRAME("length longer than need be", "\2\1\1\1\201\0x",			CX_EFORMAT),
	FRAME("trailing byte",		"\2\1\1\1\1xy",			CX_EFORMAT),
	FRAME("tag 0",			"\2\1\0\0\0",				CX_EFORMAT),
	FRAME("tag over the last",	"\2\1\33\33\0",				CX_EFORMAT),
	FRAME("tags descending",	"\2\1\1\3\0\1\0",			CX_EFORMAT),
	FRAME("same tag twice",		"\2\1\1\1\0\1\0",			CX_OK),
	FRAME("lost its tail",		"\2\1\3\1\0",				CX_EFORMAT),
	FRAME("flags too short",	"\2\1\2\2\3abc",			CX_EFORMAT),
	FRAME("flags",			"\2\1\2\2\4abcd",			CX_OK),
	FRAME("flags that say nothing",	"\2\1\2\2\4\0\0\0\0",			CX_EFORMAT),
	FRAME("domain type too long",	"\2\2\21\21\2ab",			CX_EFORMAT),
	FRAME("mail as primary",	"\2\1\5\4\1a\205",			CX_OK),
	FRAME("mails as primary",	"\2\1\5\1\0\4\1a\4\1b\205\205\5\1b",	CX_OK),
	FRAME("mail as no primary",	"\2\1\5\1\1a\205",			CX_EFORMAT),
	FRAME("mail first, then primary", "\2\1\4\205\4\1a",			CX_EFORMAT),
	FRAME("mail as primary, in full", "\2\1\5\4\1a\5\1a",			CX_EFORMAT),
	FRAME("another tag as primary",	"\2\1\6\4\1a\206",			CX_EFORMAT),
#undef FRAME
};
/* clang-format on */

START_TEST(a_damaged_frame_is_refused)
{
	char *copy = unit_copy(frames[_i].bytes, frames[_i].len);
	struct record record;

	unit_assert_status(record_open((struct span){ copy, frames[_i].len }, &record),
	    frames[_i].expected, frames[_i].label);
	free(copy);
}
END_TEST

/* What the decoders lend must lie in the record, whatever they were given. */
static void read_all(struct span stored)
{
	struct record record;
	struct recipient r;
	struct connector c;
	struct domain d;
	struct span value;
	size_t sum = 0;

	if (record_open(stored, &record) != CX_OK) {
		return;
	}
	for (int tag = 1; tag <= TAG_MAX; tag++) {
		struct values values = record_values(&record, (enum record_tag)tag);

		while (values_next(&values, &value)) {
			for (size_t i = 0; i < value.len; i++) {
				sum += (unsigned char)value.ptr[i];
			}
		}
	}
	/* Each byte once, or again where a mail is the same as the first primary. */
	ck_assert_uint_le(sum, 255 * stored.len * (1 + stored.len));
	if (recipient_decode(&record, &r) == CX_OK) {
		ck_assert_uint_le(values_count(r.members), stored.len);
	}
	if (connector_decode(&record, &c) == CX_OK) {
		ck_assert_uint_le(values_count(c.spaces), stored.len);
	}
	if (domain_decode(&record, &d) == CX_OK) {
		ck_assert_ptr_nonnull(domain_type_text(d.type));
	}
}

START_TEST(no_single_damaged_byte_and_no_cut_crashes_the_decoders)
{
	static const unsigned char damage[] = { 0, 1, 2, 5, 26, 127, 128, 0x85, 255 };
	struct span stored = sample();

	for (size_t at = 0; at < stored.len; at++) {
		char *cut = unit_copy(stored.ptr, at);

		read_all((struct span){ cut, at });
		free(cut);
		for (size_t i = 0; i < sizeof(damage); i++) {
			char *copy = unit_copy(stored.ptr, stored.len);

			copy[at] = (char)damage[i];
			read_all((struct span){ copy, stored.len });
			free(copy);
		}
	}
}
END_TEST

START_TEST(lengths_of_any_size_come_back)
{
	static const size_t lens[] = { 0, 1, 127, 128, 16383, 16384, RECORD_VALUE_MAX };
	char *value = calloc(1, RECORD_VALUE_MAX);
	struct record record;
	char *copy;

	ck_assert_ptr_nonnull(value);
	memset(value, 'v', RECORD_VALUE_MAX);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct span wanted = { value, lens[i] };

		record_begin(&buf, RECORD_RECIPIENT);
		record_put(&buf, TAG_DN, wanted);
		record_put(&buf, TAG_LOGIN, SPAN("behind"));
		open_exact(buf_span(&buf), &record, &copy);
		ck_assert(span_equal(record_first(&record, TAG_DN), wanted));
		unit_assert_span(record_first(&record, TAG_LOGIN), "behind", "behind");
		free(copy);
	}
	free(value);
}
END_TEST

START_TEST(a_mail_that_is_the_first_primary_takes_a_byte)
{
	struct record record;
	struct values mails;
	struct span value;
	size_t before;
	char *copy;

	make_record(&buf, RECORD_RECIPIENT, 0, TAG_PRIMARY, "a@acme.example", TAG_PRIMARY,
	    "b@acme.example", 0);
	before = buf.len;
	record_put(&buf, TAG_MAIL, SPAN("a@acme.example"));
	ck_assert_uint_eq(buf.len, before + 1);
	record_put(&buf, TAG_MAIL, SPAN("b@acme.example"));
	open_exact(buf_span(&buf), &record, &copy);
	mails = record_values(&record, TAG_MAIL);
	ck_assert(values_next(&mails, &value));
	unit_assert_span(value, "a@acme.example", "the same");
	ck_assert(values_next(&mails, &value));
	unit_assert_span(value, "b@acme.example", "another");
	ck_assert(!values_next(&mails, &value));
	free(copy);
}
END_TEST

START_TEST(too_long_a_value_fails_the_buffer)
{
	char *value = calloc(1, RECORD_VALUE_MAX + 1);

	ck_assert_ptr_nonnull(value);
	record_begin(&buf, RECORD_RECIPIENT);
	record_put(&buf, TAG_NAME, (struct span){ value, RECORD_VALUE_MAX });
	ck_assert(!buf.failed);
	record_put(&buf, TAG_NAME, (struct span){ value, RECORD_VALUE_MAX + 1 });
	ck_assert(buf.failed);
	free(value);
}
END_TEST

START_TEST(ids_are_equal_when_source_and_uuid_are)
{
	struct record_id a = make_id(1, 7), b = make_id(2, 7), c = make_id(1, 8);
	struct record_id same = make_id(1, 7);

	ck_assert(record_id_equal(&a, &same));
	ck_assert(!record_id_equal(&a, &b));
	ck_assert(!record_id_equal(&a, &c));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("record");
	TCase *tcase = tcase_create("record");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_recipient_comes_back_as_it_was_written);
	tcase_add_test(tcase, what_a_recipient_lacks_is_empty);
	tcase_add_test(tcase, a_record_without_fields_is_a_mailbox_without_anything);
	tcase_add_test(tcase, a_domain_comes_back_as_it_was_written);
	tcase_add_test(tcase, a_connector_comes_back_as_it_was_written);
	tcase_add_test(tcase, a_decoder_refuses_records_of_another_kind);
	tcase_add_loop_test(tcase, a_damaged_frame_is_refused, 0,
	    sizeof(frames) / sizeof(frames[0]));
	tcase_add_test(tcase, no_single_damaged_byte_and_no_cut_crashes_the_decoders);
	tcase_add_test(tcase, lengths_of_any_size_come_back);
	tcase_add_test(tcase, a_mail_that_is_the_first_primary_takes_a_byte);
	tcase_add_test(tcase, too_long_a_value_fails_the_buffer);
	tcase_add_test(tcase, ids_are_equal_when_source_and_uuid_are);
	suite_add_tcase(suite, tcase);
	return suite;
}
