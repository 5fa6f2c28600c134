#include "config.h"

#include <stdio.h>

#include "decide/authorize.h"
#include "decide/route.h"
#include "make_record.h"
#include "org.h"
#include "replica/recipient.h"
#include "unit.h"
#include "value/dn.h"

/*
 * Decisions at the edges, which tests/cases cannot set up: several directories, ages that
 * no clock gives, many connectors.
 */

static struct org org;
static uint8_t partner; /* a second directory, after `corp` */

static void open_org(void)
{
	struct source_info sources[] = {
		{ .name = "corp", .provides_recipients = true, .provides_domains = true,
		    .provides_connectors = true },
		{ .name = "partner", .provides_recipients = true },
	};

	org_open(&org);
	org_put_domain(&org);
	ck_assert_int_eq(store_set_sources(org.writer, sources, 2), CX_OK);
	partner = sources[1].id;
	ck_assert_int_eq(store_set_contact(org.writer, partner, ORG_NOW, true), CX_OK);
}

static void close_org(void)
{
	org_close(&org);
}

/* A record of the second directory. */
static void put_partner(unsigned number, uint32_t flags, const char *dn, const char *mail,
    const char *member_dn)
{
	struct record_id id = make_id(partner, number);
	struct key member;
	struct buf buf;

	buf_init(&buf);
	if (member_dn != NULL) {
		ck_assert_int_eq(dn_key(span_of(member_dn), &member), CX_OK);
		make_record(&buf, RECORD_RECIPIENT, flags, TAG_DN, dn, TAG_MAIL, mail,
		    TAG_MEMBER_KEY, member.bytes, 0);
	} else {
		make_record(&buf, RECORD_RECIPIENT, flags, TAG_DN, dn, TAG_MAIL, mail, 0);
	}
	ck_assert_int_eq(store_put(org.writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
}

/* Both directories know Adam. A group of the second has its own entry of him as member. */
START_TEST(delivers_a_reference_whose_address_another_directory_has_won_to_the_winner)
{
	struct resolution resolution;

	org_put_mailbox(&org, "adam");
	put_partner(1, 0, "uid=adam,dc=partner", "adam@acme.example", NULL);
	put_partner(2, RECIPIENT_IS_GROUP, "cn=team,dc=partner", "team@acme.example",
	    "uid=adam,dc=partner");
	org_look(&org);
	resolution = org_resolve(&org, "team@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_uint_eq(resolution.delivery_count, 1);
	unit_assert_span(resolution.deliveries[0].address, "adam@acme.example", "winner");
	unit_assert_span(resolution.deliveries[0].object, "uid=adam,dc=acme", "winner");
	ck_assert(resolution.missing_count == 0);
}
END_TEST

/* Leaving a member out because its address is in dispute would lose its mail. */
START_TEST(leaves_out_no_reference_because_its_address_is_ambiguous)
{
	struct resolution resolution;

	put_partner(1, 0, "uid=adam,dc=partner", "adam@acme.example", NULL);
	put_partner(2, 0, "uid=adam2,dc=partner", "adam@acme.example", NULL);
	put_partner(3, RECIPIENT_IS_GROUP, "cn=team,dc=partner", "team@acme.example",
	    "uid=adam,dc=partner");
	org_look(&org);
	resolution = org_resolve(&org, "team@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_BROKEN);
	ck_assert_int_eq(resolution.rule, RULE_AMBIGUOUS);
}
END_TEST

static const struct owners_row {
	const char *label;
	bool is_in_one_directory;
	int deleted; /* 0: nobody, 1: the first owner, 2: the second */
	enum verdict verdict;
	const char *object;
} owners_rows[] = {
	{ "one directory", true, 0, VERDICT_BROKEN, "" },
	{ "one directory, first deleted", true, 1, VERDICT_DELIVER, "uid=second,dc=partner" },
	{ "one directory, second deleted", true, 2, VERDICT_DELIVER, "uid=first,dc=partner" },
	{ "two directories", false, 0, VERDICT_DELIVER, "uid=adam,dc=acme" },
	{ "two directories, first deleted", false, 1, VERDICT_DELIVER, "uid=second,dc=partner" },
	{ "two directories, second deleted", false, 2, VERDICT_DELIVER, "uid=adam,dc=acme" },
};

START_TEST(gives_the_address_of_two_owners_to_the_one_that_is_left)
{
	const struct owners_row *row = &owners_rows[_i];
	struct record_id first = make_id(org.next / 1000000U, org.next % 1000000U);
	struct record_id second = make_id(partner, 2);
	struct resolution resolution;

	if (row->is_in_one_directory) {
		first = make_id(partner, 1);
		put_partner(1, 0, "uid=first,dc=partner", "adam@acme.example", NULL);
	} else {
		org_put_mailbox(&org, "adam");
	}
	put_partner(2, 0, "uid=second,dc=partner", "adam@acme.example", NULL);
	org_look(&org);
	if (row->deleted != 0) {
		ck_assert_int_eq(store_remove(org.writer, row->deleted == 1 ? &first : &second),
		    CX_OK);
		org_look(&org);
	}
	resolution = org_resolve(&org, "adam@acme.example", NULL);
	ck_assert_msg(resolution.verdict == row->verdict, "%s: %s", row->label,
	    verdict_text(resolution.verdict));
	if (row->verdict == VERDICT_DELIVER) {
		ck_assert_uint_eq(resolution.delivery_count, 1);
		unit_assert_span(resolution.deliveries[0].object, row->object, row->label);
	}
}
END_TEST

/* The winner leads back to the object that lost its address: it ends. */
START_TEST(ends_where_the_winner_refers_back_to_the_loser)
{
	struct key loser;

	ck_assert_int_eq(dn_key(SPAN("uid=adam,dc=partner"), &loser), CX_OK);
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "uid=adam,dc=acme", TAG_MAIL,
	    "adam@acme.example", TAG_ALT_KEY, loser.bytes, 0);
	put_partner(1, 0, "uid=adam,dc=partner", "adam@acme.example", NULL);
	org_look(&org);
	ck_assert_int_eq(org_resolve(&org, "adam@acme.example", NULL).verdict, VERDICT_LOOP);
}
END_TEST

static const struct contact_row {
	const char *label;
	int64_t when;
} contact_rows[] = {
	{ "never", 0 },
	{ "before the epoch", -1 },
	{ "as far back as can be written", INT64_MIN },
	{ "as far ahead", INT64_MAX },
};

START_TEST(trusts_no_directory_with_an_impossible_time_of_contact)
{
	const struct contact_row *row = &contact_rows[_i];

	org.settings.max_staleness_s = INT64_MAX;
	org_put_mailbox(&org, "adam");
	org_contact(&org, row->when, true);
	org_look(&org);
	ck_assert_msg(org_resolve(&org, "adam@acme.example", NULL).verdict ==
		VERDICT_UNAVAILABLE,
	    "%s", row->label);
}
END_TEST

static const struct forbidden_row {
	const char *label, *login, *ip;
	int64_t partner_age;
	enum relay_verdict verdict;
} forbidden_rows[] = {
	{ "network, fresh", "", "192.0.2.9", 0, RELAY_FORBIDDEN },
	{ "network, stale", "", "192.0.2.9", 3601, RELAY_UNAVAILABLE },
	{ "login, fresh", "kid", "203.0.113.1", 0, RELAY_FORBIDDEN },
	{ "login, stale", "kid", "203.0.113.1", 3601, RELAY_UNAVAILABLE },
	{ "permission, stale", "", "192.0.2.8", 3601, RELAY_PERMITTED },
};

/* 554 is for good: it takes all directories, as every other 5xx. */
START_TEST(forbids_relay_for_good_only_on_what_all_directories_say_now)
{
	const struct forbidden_row *row = &forbidden_rows[_i];
	struct relay_facts facts = { .has_ip = true, .login = span_of(row->login) };
	struct authorization authorization;

	org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, "cn=c,dc=acme", TAG_NAME, "c",
	    TAG_RELAY_CLIENT, "192.0.2.0/24", TAG_RELAY_CLIENT, "!192.0.2.9", 0);
	org_put(&org, RECORD_RECIPIENT, RECIPIENT_RELAY_FORBIDDEN, TAG_DN, "uid=kid,dc=acme",
	    TAG_MAIL, "kid@acme.example", TAG_LOGIN, "kid", 0);
	ck_assert_int_eq(
	    store_set_contact(org.writer, partner, ORG_NOW - row->partner_age, true), CX_OK);
	org_look(&org);
	ck_assert_int_eq(ip_parse(span_of(row->ip), &facts.ip), CX_OK);
	authorize(&org.view, &facts, &authorization);
	ck_assert_msg(authorization.verdict == row->verdict, "%s: %s", row->label,
	    relay_verdict_text(authorization.verdict));
}
END_TEST

/* Every site of a large organisation has a connector to the Internet. */
START_TEST(routes_with_many_connectors_of_one_address_space)
{
	char name[16], dn[32], memory[NEXT_HOP_MAX];
	struct address address;
	struct buf next_hop;

	for (int i = 200; i > 0; i--) {
		snprintf(name, sizeof(name), "site%03d", i);
		snprintf(dn, sizeof(dn), "cn=%s,dc=acme", name);
		org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, dn, TAG_NAME, name, TAG_NEXT_HOP, name,
		    TAG_SPACE, i == 1 ? "SMTP:*;2" : "SMTP:*", 0);
	}
	org_look(&org);
	ck_assert_int_eq(address_parse_internal(SPAN("joe@outside.example"), &address), CX_OK);
	buf_init_fixed(&next_hop, memory, sizeof(memory));
	unit_assert_status(route(&org.view, &address, &next_hop, NULL), CX_OK, "route");
	unit_assert_span(buf_span(&next_hop), "relay:[site002]", "lowest cost, then name");
}
END_TEST

/* Connectors for the parts of one system all name the host that it sends from. */
START_TEST(knows_a_client_that_many_connectors_name)
{
	struct client client = { .has_ip = true };
	struct relay_facts facts = { .has_ip = true };
	struct authorization authorization;
	char name[16], dn[32];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "part%03d", i);
		snprintf(dn, sizeof(dn), "cn=%s,dc=acme", name);
		org_put(&org, RECORD_CONNECTOR, 0, TAG_DN, dn, TAG_NAME, name, TAG_NEXT_HOP, name,
		    TAG_PEER, "192.0.2.1", TAG_RELAY_CLIENT, "192.0.2.1", 0);
	}
	org_put_mailbox(&org, "adam");
	org_look(&org);
	ck_assert_int_eq(ip_parse(SPAN("192.0.2.1"), &facts.ip), CX_OK);
	client.ip = facts.ip;
	authorize(&org.view, &facts, &authorization);
	ck_assert_int_eq(authorization.verdict, RELAY_PERMITTED);
	ck_assert_int_eq(org_resolve(&org, "adam@acme.example", &client).verdict,
	    VERDICT_DELIVER);
}
END_TEST

/* The postmaster is configured where a rewritten domain leads back to the one that asks. */
START_TEST(never_turns_the_postmaster_into_a_loop)
{
	struct resolution resolution;

	org.settings.postmaster = "postmaster@old.example";
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, "associatedDomain=old.example,dc=acme",
	    TAG_DOMAIN, "old.example", TAG_DOMAIN_TYPE, "4", TAG_REWRITE_DOMAIN,
	    "acme.example", 0);
	org_look(&org);
	resolution = org_resolve(&org, "postmaster@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_uint_eq(resolution.delivery_count, 1);
	unit_assert_span(resolution.deliveries[0].address, "postmaster", "the MTA's own");
}
END_TEST

static const struct absence_row {
	const char *label, *address;
	enum verdict unloaded, loaded;
} absence_rows[] = {
	{ "a mailbox that is there", "adam@acme.example", VERDICT_DELIVER, VERDICT_DELIVER },
	{ "a group of such", "team@acme.example", VERDICT_DELIVER, VERDICT_DELIVER },
	{ "a group with a missing member", "mixed@acme.example", VERDICT_UNAVAILABLE,
	    VERDICT_DELIVER },
	{ "a copy to nothing", "copy@acme.example", VERDICT_UNAVAILABLE, VERDICT_DELIVER },
	{ "forwarded as nobody's", "eve@fwd.example", VERDICT_UNAVAILABLE, VERDICT_DELIVER },
	{ "relayed as nobody's", "eve@relay.example", VERDICT_UNAVAILABLE, VERDICT_DELIVER },
	{ "let through as nobody's", "eve@new.example", VERDICT_UNAVAILABLE, VERDICT_DELIVER },
	{ "postmaster as nobody's", "postmaster@acme.example", VERDICT_UNAVAILABLE,
	    VERDICT_DELIVER },
};

#define ABSENCES ((int)(sizeof(absence_rows) / sizeof(absence_rows[0])))

static void put_domain(const char *name, const char *type, const char *unknown)
{
	char dn[64];

	snprintf(dn, sizeof(dn), "associatedDomain=%s,dc=acme", name);
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, dn, TAG_DOMAIN, name, TAG_DOMAIN_TYPE, type,
	    TAG_UNKNOWN, unknown, TAG_FORWARD_HOST, "legacy.example", 0);
}

/* What is not in the directories we have may be in the one that has not come up yet. */
START_TEST(takes_nobody_for_missing_while_a_directory_was_never_loaded)
{
	const struct absence_row *row = &absence_rows[_i % ABSENCES];
	bool is_loaded = _i >= ABSENCES;
	struct source_info late[] = {
		{ .name = "corp", .provides_recipients = true, .provides_domains = true,
		    .provides_connectors = true },
		{ .name = "partner", .provides_recipients = true },
		{ .name = "late", .provides_recipients = true },
	};
	struct key adam, gone;
	enum verdict verdict;

	ck_assert_int_eq(store_set_sources(org.writer, late, 3), CX_OK);
	if (is_loaded) {
		ck_assert_int_eq(store_set_contact(org.writer, late[2].id, ORG_NOW, true), CX_OK);
	}
	put_domain("fwd.example", "2", "2");
	put_domain("relay.example", "3", "1");
	put_domain("new.example", "1", "3");
	ck_assert_int_eq(dn_key(SPAN("uid=adam,dc=acme"), &adam), CX_OK);
	ck_assert_int_eq(dn_key(SPAN("uid=gone,dc=late"), &gone), CX_OK);
	org_put_mailbox(&org, "adam");
	org_put(&org, RECORD_RECIPIENT, RECIPIENT_IS_GROUP, TAG_DN, "cn=team,dc=acme", TAG_MAIL,
	    "team@acme.example", TAG_MEMBER_KEY, adam.bytes, 0);
	org_put(&org, RECORD_RECIPIENT, RECIPIENT_IS_GROUP, TAG_DN, "cn=mixed,dc=acme", TAG_MAIL,
	    "mixed@acme.example", TAG_MEMBER_KEY, adam.bytes, TAG_MEMBER_KEY, gone.bytes, 0);
	org_put(&org, RECORD_RECIPIENT, RECIPIENT_DELIVER_AND_REDIRECT, TAG_DN,
	    "uid=copy,dc=acme", TAG_MAIL, "copy@acme.example", TAG_ALT_KEY, gone.bytes, 0);
	org_look(&org);
	verdict = org_resolve(&org, row->address, NULL).verdict;
	ck_assert_msg(verdict == (is_loaded ? row->loaded : row->unloaded), "%s, %s: %s",
	    row->label, is_loaded ? "loaded" : "not loaded", verdict_text(verdict));
}
END_TEST

static const struct sender_row {
	const char *sender;
	enum status status;
} sender_rows[] = {
	{ "pop@acme.example", CX_OK },
	{ "alias@acme.example", CX_OK },
	{ "pop+list@acme.example", CX_OK },
	{ "unclaimed@acme.example", CX_OK }, /* his target: counts as his address */
	{ "adam@acme.example", CX_NOTFOUND },
	{ "nobody@acme.example", CX_NOTFOUND },
	{ "pop@gmail.example", CX_NOTFOUND },
};

START_TEST(lets_a_login_send_from_the_addresses_of_its_object)
{
	const struct sender_row *row = &sender_rows[_i];
	struct address sender;

	org_put_mailbox(&org, "adam");
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "cn=pop,dc=acme", TAG_MAIL,
	    "pop@acme.example", TAG_PROXY, "alias@acme.example", TAG_TARGET,
	    "unclaimed@acme.example", TAG_LOGIN, "pop", 0);
	org_put(&org, RECORD_RECIPIENT, 0, TAG_DN, "cn=other,dc=acme", TAG_TARGET,
	    "pop@gmail.example", 0);
	org_look(&org);
	ck_assert_int_eq(address_parse_internal(span_of(row->sender), &sender), CX_OK);
	unit_assert_status(authorize_sender(&org.view, SPAN("pop"), &sender), row->status,
	    row->sender);
	unit_assert_status(authorize_sender(&org.view, SPAN("pop"), NULL), CX_OK, "empty");
}
END_TEST

/* Who is `login` when these say so: an object of each directory, maybe one more of one. */
static const struct login_row {
	const char *label;
	const char *corp, *corp_mail, *corp_login; /* a second object, where there is one */
	const char *partner, *partner_mail, *partner_login;
	const char *dn; /* of the winner; NULL: nobody */
	enum status status;
} login_rows[] = {
	{ "ours alone", "uid=a,dc=acme", "a@acme.example", "eve", NULL, NULL, NULL,
	    "uid=a,dc=acme", CX_OK },
	{ "theirs alone", NULL, NULL, NULL, "uid=b,dc=partner", "b@acme.example", "eve",
	    "uid=b,dc=partner", CX_OK },
	{ "both by name", "uid=a,dc=acme", "a@acme.example", "eve", "uid=b,dc=partner",
	    "b@acme.example", "eve", "uid=a,dc=acme", CX_OK },
	{ "nobody", "uid=a,dc=acme", "a@acme.example", "adam", NULL, NULL, NULL, NULL,
	    CX_NOTFOUND },
};

static void put_login(uint8_t source, unsigned number, const char *dn, const char *mail,
    const char *login)
{
	struct record_id id = make_id(source, number);
	struct buf buf;

	buf_init(&buf);
	make_record(&buf, RECORD_RECIPIENT, 0, TAG_DN, dn, TAG_MAIL, mail, TAG_LOGIN, login, 0);
	ck_assert_int_eq(store_put(org.writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
}

static void assert_login(const char *login, enum status status, const char *dn,
    const char *label)
{
	struct recipient recipient;
	struct record_id id;

	unit_assert_status(lookup_login(&org.view, span_of(login), &id, &recipient), status,
	    label);
	if (status == CX_OK) {
		unit_assert_span(recipient.dn, dn, label);
	}
}

START_TEST(gives_a_login_to_the_directory_named_first)
{
	const struct login_row *row = &login_rows[_i];

	if (row->corp != NULL) {
		put_login(1, 50, row->corp, row->corp_mail, row->corp_login);
	}
	if (row->partner != NULL) {
		put_login(partner, 51, row->partner, row->partner_mail, row->partner_login);
	}
	org_look(&org);
	assert_login("Eve", row->status, row->dn, row->label);
}
END_TEST

/* A login name may be the address of another object: the same rule, whichever it is. */
START_TEST(compares_logins_that_are_addresses)
{
	put_login(1, 50, "uid=a,dc=acme", "a@acme.example", "b@acme.example");
	put_login(1, 51, "uid=c,dc=acme", "c@acme.example", "c@acme.example");
	put_login(1, 52, "uid=d,dc=acme", "d@acme.example", "two@acme.example");
	put_login(1, 53, "uid=e,dc=acme", "two@acme.example", "e");
	put_login(partner, 54, "uid=b,dc=partner", "b@acme.example", "a@acme.example");
	put_login(partner, 55, "uid=f,dc=partner", "f@acme.example", "two");
	put_login(partner, 56, "uid=g,dc=partner", "g@acme.example", "two");
	put_login(partner, 57, "uid=h,dc=partner", "c@acme.example", "h");
	org_look(&org);
	assert_login("a@acme.example", CX_OK, "uid=a,dc=acme", "our address, their name");
	assert_login("b@acme.example", CX_OK, "uid=a,dc=acme", "our name, their address");
	assert_login("C@ACME.example.", CX_OK, "uid=c,dc=acme", "name and address of one");
	assert_login("two@acme.example", CX_EEXIST, NULL, "name of one, address of another");
	assert_login("two", CX_EEXIST, NULL, "two of theirs");
	assert_login("f@acme.example", CX_OK, "uid=f,dc=partner", "their address");
}
END_TEST

/* What a directory may not say: that somebody is in a domain outside its own. */
static const struct target_row {
	const char *label, *target, *asked;
	enum verdict asked_verdict; /* of the target address */
	enum verdict verdict;	    /* of the custom recipient */
	const char *delivery, *next_hop;
} target_rows[] = {
	{ "nobody's, authoritative", "none@acme.example", "none@acme.example", VERDICT_UNKNOWN,
	    VERDICT_BROKEN, NULL, NULL },
	{ "nobody's, relay", "bob@relay.example", "bob@relay.example", VERDICT_DELIVER,
	    VERDICT_DELIVER, "bob@relay.example", "relay:[192.0.2.1]" },
	{ "somebody's", "adam@acme.example", "adam@acme.example", VERDICT_DELIVER,
	    VERDICT_DELIVER, "adam@acme.example", "" },
	{ "foreign", "x@outside.example", "x@outside.example", VERDICT_FOREIGN, VERDICT_DELIVER,
	    "x@outside.example", "" },
};

START_TEST(takes_no_target_for_an_address_where_the_directory_may_have_none)
{
	const struct target_row *row = &target_rows[_i];
	struct record_id id = make_id(partner, 60);
	struct resolution resolution;
	struct buf buf;

	org_put_mailbox(&org, "adam");
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, "cn=relay,dc=acme", TAG_DOMAIN, "relay.example",
	    TAG_DOMAIN_TYPE, "3", TAG_UNKNOWN, "1", TAG_FORWARD_HOST, "[192.0.2.1]", 0);
	buf_init(&buf);
	make_record(&buf, RECORD_RECIPIENT, RECIPIENT_TARGET_NOT_OWN, TAG_DN, "cn=x,dc=partner",
	    TAG_MAIL, "x@acme.example", TAG_TARGET, row->target, TAG_HOME_SERVER,
	    "[203.0.113.9]", 0);
	ck_assert_int_eq(store_put(org.writer, &id, buf_span(&buf), NULL), CX_OK);
	buf_release(&buf);
	org_look(&org);
	ck_assert_msg(org_resolve(&org, row->asked, NULL).verdict == row->asked_verdict, "%s",
	    row->label);
	resolution = org_resolve(&org, "x@acme.example", NULL);
	ck_assert_msg(resolution.verdict == row->verdict, "%s: %d", row->label,
	    resolution.verdict);
	if (row->delivery != NULL) {
		ck_assert_uint_eq(resolution.delivery_count, 1);
		unit_assert_span(resolution.deliveries[0].address, row->delivery, row->label);
		unit_assert_span(resolution.deliveries[0].next_hop, row->next_hop, row->label);
	}
}
END_TEST

/* --- Mail that comes back --- */

static struct record_id expanded_before;

static enum status was_expanded(void *context, const uint8_t id[16])
{
	enum status *answer = context;

	return *answer == CX_OK && memcmp(id, expanded_before.uuid, 16) != 0 ? CX_NOTFOUND
									      : *answer;
}

static struct resolution resolve_again(const char *text, enum status answer)
{
	static enum status kept;
	struct address address;
	struct resolution resolution;
	struct question question = { .address = &address, .want_deliveries = true,
		.was_expanded = was_expanded, .was_expanded_context = &kept };

	kept = answer;
	ck_assert_int_eq(address_parse_internal(span_of(text), &address), CX_OK);
	org.arena.used = 0;
	ck_assert_int_eq(resolve(&org.view, &question, &org.arena, &resolution), CX_OK);
	return resolution;
}

START_TEST(what_was_expanded_before_adds_nothing)
{
	struct resolution resolution;

	org_put_mailbox(&org, "adam");
	put_partner(1, RECIPIENT_IS_GROUP, "cn=team,dc=partner", "team@acme.example",
	    "uid=adam,dc=acme");
	put_partner(2, 0, "uid=bob,dc=partner", "bob@acme.example", NULL);
	expanded_before = make_id(partner, 1);
	org_look(&org);
	resolution = org_resolve(&org, "team@acme.example", NULL);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_uint_eq(resolution.expanded_count, 1);
	ck_assert_mem_eq(resolution.expanded[0], expanded_before.uuid, 16);
	resolution = resolve_again("team@acme.example", CX_OK);
	ck_assert_int_eq(resolution.verdict, VERDICT_LOOP);
	ck_assert(resolution.was_here);
	resolution = resolve_again("bob@acme.example", CX_OK);
	ck_assert_int_eq(resolution.verdict, VERDICT_DELIVER);
	ck_assert_uint_eq(resolution.expanded_count, 0);
	/* Not known whether it was: neither refused nor sent round. */
	resolution = resolve_again("team@acme.example", CX_ETEMP);
	ck_assert_int_eq(resolution.verdict, VERDICT_UNAVAILABLE);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("decide edges");
	TCase *tcase = tcase_create("edges");

	tcase_add_checked_fixture(tcase, open_org, close_org);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase,
	    delivers_a_reference_whose_address_another_directory_has_won_to_the_winner);
	tcase_add_test(tcase, leaves_out_no_reference_because_its_address_is_ambiguous);
	tcase_add_loop_test(tcase, gives_the_address_of_two_owners_to_the_one_that_is_left, 0,
	    sizeof(owners_rows) / sizeof(owners_rows[0]));
	tcase_add_test(tcase, ends_where_the_winner_refers_back_to_the_loser);
	tcase_add_loop_test(tcase, trusts_no_directory_with_an_impossible_time_of_contact, 0,
	    sizeof(contact_rows) / sizeof(contact_rows[0]));
	tcase_add_loop_test(tcase, forbids_relay_for_good_only_on_what_all_directories_say_now, 0,
	    sizeof(forbidden_rows) / sizeof(forbidden_rows[0]));
	tcase_add_test(tcase, routes_with_many_connectors_of_one_address_space);
	tcase_add_test(tcase, knows_a_client_that_many_connectors_name);
	tcase_add_loop_test(tcase, lets_a_login_send_from_the_addresses_of_its_object, 0,
	    sizeof(sender_rows) / sizeof(sender_rows[0]));
	tcase_add_loop_test(tcase, gives_a_login_to_the_directory_named_first, 0,
	    sizeof(login_rows) / sizeof(login_rows[0]));
	tcase_add_test(tcase, compares_logins_that_are_addresses);
	tcase_add_test(tcase, what_was_expanded_before_adds_nothing);
	tcase_add_loop_test(tcase,
	    takes_no_target_for_an_address_where_the_directory_may_have_none, 0,
	    sizeof(target_rows) / sizeof(target_rows[0]));
	tcase_add_test(tcase, never_turns_the_postmaster_into_a_loop);
	tcase_add_loop_test(tcase, takes_nobody_for_missing_while_a_directory_was_never_loaded, 0,
	    2 * ABSENCES);
	suite_add_tcase(suite, tcase);
	return suite;
}
