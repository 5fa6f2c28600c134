#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "decide/age.h"
#include "decide/authorize.h"
#include "decide/next_hop.h"
#include "make_record.h"
#include "org.h"
#include "replica/recipient.h"
#include "unit.h"
#include "value/dn.h"

/*
 * What tests/cases (which goes through the programs) cannot show: limits, memory, age, damage.
 */

static struct org org;

static void open_org(void)
{
	org_open(&org);
	org_put_domain(&org);
}

static void close_org(void)
{
	org_close(&org);
}

/* A group of its members' addresses, `count` of them outside. */
static void put_group(unsigned count)
{
	struct record_id id = make_id(org.next / 1000000U, 900000U);
	struct buf buf;
	char text[64];

	buf_init(&buf);
	record_begin(&buf, RECORD_RECIPIENT);
	record_put(&buf, TAG_DN, SPAN("cn=all,dc=acme"));
	record_put_flags(&buf, RECIPIENT_IS_GROUP);
	record_put(&buf, TAG_MAIL, SPAN("all@acme.example"));
	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "m%06u@outside.example", i);
		record_put(&buf, TAG_MEMBER_ADDRESS, span_of(text));
	}
	ck_assert(!buf.failed);
	ck_assert_int_eq(store_put(org.writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
}

START_TEST(expands_ten_thousand_members_and_refuses_one_more)
{
	struct resolution resolution;

	put_group(10000);
	org_look(&org);
	resolution = org_resolve(&org, "all@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_uint_eq(resolution.delivery_count, 10000);
	put_group(10001);
	org_look(&org);
	resolution = org_resolve(&org, "all@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_TOO_MANY);
	ck_assert_uint_eq(resolution.delivery_count, 0);
}
END_TEST

/* Two groups on each level, each with both of the next as members: 2^14 paths to two mailboxes. */
START_TEST(expands_an_object_once_however_many_paths_lead_to_it)
{
	char dn[64], mail[64], next[64];
	struct key first, second;
	struct resolution resolution;

	org_put_mailbox(&org, "a");
	org_put_mailbox(&org, "b");
	for (int level = 0; level < 15; level++) {
		for (int side = 0; side < 2; side++) {
			snprintf(dn, sizeof(dn), "uid=%c%d,dc=acme", 'p' + side, level);
			snprintf(mail, sizeof(mail), "%c%d@acme.example", 'p' + side, level);
			snprintf(next, sizeof(next), level < 14 ? "uid=p%d,dc=acme" : "uid=a,dc=acme",
			    level + 1);
			ck_assert_int_eq(dn_key(span_of(next), &first), CX_OK);
			snprintf(next, sizeof(next), level < 14 ? "uid=q%d,dc=acme" : "uid=b,dc=acme",
			    level + 1);
			ck_assert_int_eq(dn_key(span_of(next), &second), CX_OK);
			org_put(&org, RECORD_RECIPIENT, RECIPIENT_IS_GROUP, TAG_DN, dn, TAG_MAIL, mail,
			    TAG_MEMBER_KEY, first.bytes, TAG_MEMBER_KEY, second.bytes, 0);
		}
	}
	org_look(&org);
	resolution = org_resolve(&org, "p0@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_uint_eq(resolution.delivery_count, 2);
	ck_assert_uint_lt(resolution.step_count, 200);
}
END_TEST

START_TEST(says_when_the_memory_is_too_small_and_answers_with_more)
{
	struct question question = { .want_deliveries = true };
	struct resolution resolution;
	struct address address;
	struct arena arena = { .size = 4096 };
	unsigned grown = 0;
	enum status status;

	put_group(500);
	org_look(&org);
	ck_assert_int_eq(address_parse_internal(SPAN("all@acme.example"), &address), CX_OK);
	question.address = &address;
	do {
		arena.memory = malloc(arena.size);
		arena.used = 0;
		status = resolve(&org.view, &question, &arena, &resolution);
		if (status == CX_EFULL) {
			free(arena.memory);
			arena.size *= 2;
			grown++;
		}
	} while (status == CX_EFULL);
	ck_assert_int_eq(status, CX_OK);
	ck_assert_uint_eq(resolution.delivery_count, 500);
	ck_assert_uint_gt(grown, 0);
	free(arena.memory);
}
END_TEST

#define HOUR 3600
#define DAY  (24 * HOUR)

static const struct age_row {
	const char *label;
	int64_t age;
	bool is_loaded;
	enum verdict known, unknown, foreign;
} age_rows[] = {
	{ "fresh", 0, true, VERDICT_DELIVER, VERDICT_UNKNOWN, VERDICT_FOREIGN },
	{ "an hour", HOUR, true, VERDICT_DELIVER, VERDICT_UNKNOWN, VERDICT_FOREIGN },
	{ "over an hour", HOUR + 1, true, VERDICT_DELIVER, VERDICT_UNAVAILABLE, VERDICT_FOREIGN },
	{ "seven days", 7 * DAY, true, VERDICT_DELIVER, VERDICT_UNAVAILABLE, VERDICT_FOREIGN },
	{ "over seven days", 7 * DAY + 1, true, VERDICT_UNAVAILABLE, VERDICT_UNAVAILABLE,
	    VERDICT_FOREIGN },
	{ "four minutes in the future", -240, true, VERDICT_DELIVER, VERDICT_UNKNOWN,
	    VERDICT_FOREIGN },
	{ "six minutes in the future", -360, true, VERDICT_UNAVAILABLE, VERDICT_UNAVAILABLE,
	    VERDICT_FOREIGN },
};

START_TEST(trusts_a_directory_by_its_age)
{
	const struct age_row *row = &age_rows[_i];

	org_put_mailbox(&org, "adam");
	org_contact(&org, ORG_NOW - row->age, row->is_loaded);
	org_look(&org);
	ck_assert_msg(org_resolve(&org, "adam@acme.example", NULL).verdict == row->known, "%s",
	    row->label);
	ck_assert_msg(org_resolve(&org, "eve@acme.example", NULL).verdict == row->unknown, "%s",
	    row->label);
	ck_assert_msg(org_resolve(&org, "x@outside.example", NULL).verdict == row->foreign, "%s",
	    row->label);
}
END_TEST

/* A second directory that has never come up may know what the first does not. */
START_TEST(refuses_nothing_for_good_while_a_directory_was_never_loaded)
{
	struct source_info sources[] = {
		{ .name = "corp", .provides_recipients = true, .provides_domains = true,
		    .provides_connectors = true },
		{ .name = "partner", .provides_recipients = true },
	};
	struct relay_facts stranger = { .login = SPAN("nobody") };
	struct authorization authorization;

	org_put_mailbox(&org, "adam");
	ck_assert_int_eq(store_set_sources(org.writer, sources, 2), CX_OK);
	org_look(&org);
	ck_assert_int_eq(org_resolve(&org, "adam@acme.example", NULL).verdict, VERDICT_DELIVER);
	ck_assert_int_eq(org_resolve(&org, "eve@acme.example", NULL).verdict,
	    VERDICT_UNAVAILABLE);
	authorize(&org.view, &stranger, &authorization);
	ck_assert_int_eq(authorization.verdict, RELAY_UNAVAILABLE);
	stranger.login = SPAN("adam");
	authorize(&org.view, &stranger, &authorization);
	ck_assert_int_eq(authorization.verdict, RELAY_PERMITTED);
}
END_TEST

/* The primary address is nobody else's: that of another directory's object is passed over. */
START_TEST(delivers_under_no_address_that_another_object_owns)
{
	struct source_info sources[] = {
		{ .name = "corp", .provides_recipients = true, .provides_domains = true,
		    .provides_connectors = true },
		{ .name = "partner", .provides_recipients = true },
	};
	struct record_id id;
	struct resolution resolution;
	struct buf buf;

	org_put_mailbox(&org, "adam");
	ck_assert_int_eq(store_set_sources(org.writer, sources, 2), CX_OK);
	ck_assert_int_eq(store_set_contact(org.writer, sources[1].id, ORG_NOW, true), CX_OK);
	buf_init(&buf);
	id = make_id(sources[1].id, 7);
	make_record(&buf, RECORD_RECIPIENT, 0, TAG_DN, "uid=thief,dc=partner", TAG_MAIL,
	    "adam@acme.example", TAG_PROXY, "thief@acme.example", 0);
	ck_assert_int_eq(store_put(org.writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
	org_look(&org);
	resolution = org_resolve(&org, "thief@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	unit_assert_span(resolution.deliveries[0].address, "thief@acme.example", "thief");
	resolution = org_resolve(&org, "adam@acme.example", NULL);
	unit_assert_span(resolution.object, "uid=adam,dc=acme", "adam");
}
END_TEST

static const struct hop_row {
	const char *text, *printed; /* NULL: CX_EINVAL */
	bool is_host;
} hop_rows[] = {
	{ "mail.example.com", "relay:[mail.example.com]", true },
	{ "mailhost", "relay:[mailhost]", false },
	{ "192.0.2.1", "relay:[192.0.2.1]", true },
	{ "2001:db8::1", "relay:[2001:db8::1]", true },
	{ "[mail.example.com]", "relay:[mail.example.com]", true },
	{ "[2001:db8::1]:26", "relay:[2001:db8::1]:26", true },
	{ "mail.example.com:2525", "relay:[mail.example.com]:2525", true },
	{ "smtp:[mail.example.com]:25", "smtp:[mail.example.com]:25", true },
	{ "lmtp:unix:private/dovecot-lmtp", "lmtp:unix:private/dovecot-lmtp", true },
	{ "relay:example.com", "relay:example.com", true },
	{ "a.b:c", "a.b:c", true },
	{ "", NULL, false },
	{ "two words", NULL, false },
	{ "line\nbreak.example", NULL, false },
	{ "error:5.1.1 gone", NULL, false },
	{ "ERROR:gone", NULL, true },
	{ "retry:later", NULL, true },
};

START_TEST(prints_next_hops_as_postfix_takes_them)
{
	const struct hop_row *row = &hop_rows[_i];
	struct span text = unit_text(row->text);
	char memory[128];
	struct buf out;

	buf_init_fixed(&out, memory, sizeof(memory));
	unit_assert_status(next_hop_print(text, &out), row->printed != NULL ? CX_OK : CX_EINVAL,
	    row->text);
	if (row->printed != NULL) {
		unit_assert_span(buf_span(&out), row->printed, row->text);
	}
	ck_assert_msg(next_hop_is_host(text) == row->is_host, "%s", row->text);
}
END_TEST

/* What the longest prefix says, found by looking at every block. */
#define BLOCKS	 200
#define PROBES	 5000
struct block {
	struct cidr cidr;
	bool is_deny;
};

static enum relay_verdict scan(const struct block *blocks, const struct ip *ip)
{
	const struct block *best = NULL;

	for (int i = 0; i < BLOCKS; i++) {
		if (!cidr_contains(&blocks[i].cidr, ip)) {
			continue;
		}
		if (best == NULL || blocks[i].cidr.prefix_len > best->cidr.prefix_len ||
		    (blocks[i].cidr.prefix_len == best->cidr.prefix_len && blocks[i].is_deny)) {
			best = &blocks[i];
		}
	}
	if (best == NULL) {
		return RELAY_NOT_PERMITTED;
	}
	return best->is_deny ? RELAY_FORBIDDEN : RELAY_PERMITTED;
}

/* Few different bytes, so that blocks lie in each other and addresses in blocks. */
static struct ip random_ip(void)
{
	struct ip ip = { .bytes = { 0 } };

	if (rand() % 2 == 0) {
		ip.bytes[10] = ip.bytes[11] = 0xff;
		for (int i = 12; i < 16; i++) {
			ip.bytes[i] = (uint8_t)(rand() % 4);
		}
	} else {
		for (int i = 0; i < 16; i++) {
			ip.bytes[i] = (uint8_t)(rand() % 2);
		}
	}
	return ip;
}

static void put_block(struct block *block, int number)
{
	char name[32], text[64];
	const uint8_t *b;

	block->cidr.ip = random_ip();
	b = block->cidr.ip.bytes;
	block->cidr.prefix_len = (uint8_t)(b[10] == 0xff ? 96 + rand() % 33 : rand() % 129);
	block->cidr.ip = ip_mask(&block->cidr.ip, block->cidr.prefix_len);
	block->is_deny = rand() % 3 == 0;
	b = block->cidr.ip.bytes;
	if (b[10] == 0xff && block->cidr.prefix_len >= 96) {
		snprintf(text, sizeof(text), "%s%d.%d.%d.%d/%d", block->is_deny ? "!" : "", b[12],
		    b[13], b[14], b[15], block->cidr.prefix_len - 96);
	} else {
		snprintf(text, sizeof(text), "%s%x:%x:%x:%x:%x:%x:%x:%x/%d",
		    block->is_deny ? "!" : "", b[0] << 8 | b[1], b[2] << 8 | b[3],
		    b[4] << 8 | b[5], b[6] << 8 | b[7], b[8] << 8 | b[9], b[10] << 8 | b[11],
		    b[12] << 8 | b[13], b[14] << 8 | b[15], block->cidr.prefix_len);
	}
	snprintf(name, sizeof(name), "cn=c%d,dc=acme", number);
	org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, name, TAG_NAME, name + 3, TAG_RELAY_CLIENT,
	    text, 0);
}

START_TEST(finds_client_networks_as_a_linear_scan_does)
{
	static struct block blocks[BLOCKS];
	struct relay_facts facts = { .has_ip = true };
	struct authorization authorization;

	srand(20261121);
	for (int i = 0; i < BLOCKS; i++) {
		put_block(&blocks[i], i);
	}
	org_look(&org);
	for (int i = 0; i < PROBES; i++) {
		facts.ip = random_ip();
		authorize(&org.view, &facts, &authorization);
		ck_assert_msg(authorization.verdict == scan(blocks, &facts.ip), "probe %d: %s", i,
		    relay_verdict_text(authorization.verdict));
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("resolve");
	TCase *tcase = tcase_create("limits");

	tcase_add_checked_fixture(tcase, open_org, close_org);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, expands_ten_thousand_members_and_refuses_one_more);
	tcase_add_test(tcase, expands_an_object_once_however_many_paths_lead_to_it);
	tcase_add_test(tcase, says_when_the_memory_is_too_small_and_answers_with_more);
	tcase_add_loop_test(tcase, trusts_a_directory_by_its_age, 0,
	    sizeof(age_rows) / sizeof(age_rows[0]));
	tcase_add_test(tcase, refuses_nothing_for_good_while_a_directory_was_never_loaded);
	tcase_add_test(tcase, delivers_under_no_address_that_another_object_owns);
	tcase_add_test(tcase, finds_client_networks_as_a_linear_scan_does);
	suite_add_tcase(suite, tcase);
	tcase = tcase_create("next hop");
	tcase_add_loop_test(tcase, prints_next_hops_as_postfix_takes_them, 0,
	    sizeof(hop_rows) / sizeof(hop_rows[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
