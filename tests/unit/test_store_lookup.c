#include "config.h"

#include "store_fixture.h"
#include "value/dn.h"

START_TEST(a_record_is_found_by_every_address_until_it_goes)
{
	struct record_id id = make_id(1, 7);

	fixture_begin();
	ck_assert(fixture_put(1, 7,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_PRIMARY, "Adam@acme.example",
		TAG_MAIL, "a.dam@acme.example", TAG_PROXY, "MS:ACME/PO/ADAM",
		TAG_TARGET, "adam@old.example", 0)));
	fixture_commit();
	fixture_assert_owners("adam@ACME.example", "1/7 ");
	fixture_assert_owners("a.dam@acme.example", "1/7 ");
	fixture_assert_owners("ms:acme/po/adam", "1/7 ");
	fixture_assert_owners("adam@old.example", "1/7t ");
	fixture_assert_owners("eve@acme.example", "");
	fixture_begin();
	ck_assert(fixture_put(1, 7,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "a.dam@acme.example",
		0)));
	fixture_commit();
	fixture_assert_owners("adam@acme.example", "");
	fixture_assert_owners("a.dam@acme.example", "1/7 ");
	fixture_assert_owners("adam@old.example", "");
	fixture_begin();
	unit_assert_status(store_remove(fx.writer, &id), CX_OK, "remove");
	unit_assert_status(store_remove(fx.writer, &id), CX_NOTFOUND, "remove again");
	fixture_commit();
	fixture_assert_owners("a.dam@acme.example", "");
}
END_TEST

START_TEST(a_target_that_is_its_own_address_is_listed_once)
{
	fixture_begin();
	fixture_put(1, 7,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "adam@acme.example",
		TAG_TARGET, "SMTP:ADAM@acme.example", 0));
	fixture_commit();
	fixture_assert_owners("adam@acme.example", "1/7 ");
}
END_TEST

START_TEST(owners_come_by_rank_then_precedence_then_id)
{
	fixture_begin();
	fixture_put_mailbox(2, 1, "x@acme.example");
	fixture_put_mailbox(1, 9, "x@acme.example");
	fixture_put_mailbox(1, 3, "x@acme.example");
	fixture_put(1, 2,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_TARGET, "x@acme.example", 0));
	fixture_put_mailbox(77, 1, "x@acme.example"); /* no such source */
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/3 1/9 2/1 1/2t ");
	fixture_name_source(0, "old");
	fixture_name_source(1, "corp");
	fixture_begin();
	unit_assert_status(store_set_sources(fx.writer, fx.sources, 2), CX_OK,
	    "reorder");
	fixture_commit();
	ck_assert_uint_eq(fx.sources[0].id, 2);
	ck_assert_uint_eq(fx.sources[1].id, 1);
	fixture_assert_owners("x@acme.example", "2/1 1/3 1/9 1/2t ");
}
END_TEST

START_TEST(more_owners_than_room_are_counted_and_the_best_kept)
{
	struct address_owner owners[2];
	struct address address;
	struct snapshot *snap;
	struct key key;
	size_t count;

	fixture_begin();
	for (unsigned n = 9; n > 0; n--) {
		fixture_put_mailbox(2, n, "x@acme.example");
	}
	fixture_put_mailbox(1, 200, "x@acme.example");
	fixture_commit();
	address_parse_typed(SPAN("x@acme.example"), &address);
	address_key(&address, &key);
	snap = fixture_snapshot();
	unit_assert_status(snapshot_address_owners(snap, &key, owners, 2, &count),
	    CX_OK, "owners");
	ck_assert_uint_eq(count, 10);
	ck_assert_uint_eq(owners[0].id.source, 1);
	ck_assert_uint_eq(owners[1].id.source, 2);
	ck_assert_uint_eq(owners[1].id.uuid[3], 1);
	snapshot_end(snap);
}
END_TEST

START_TEST(a_source_that_provides_no_recipients_owns_nothing)
{
	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_put_mailbox(2, 1, "x@acme.example");
	fx.sources[0].provides_recipients = false;
	unit_assert_status(store_set_sources(fx.writer, fx.sources, 2), CX_OK,
	    "sources");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "2/1 ");
}
END_TEST

START_TEST(removing_one_of_two_owners_leaves_the_other)
{
	struct record_id first = make_id(1, 1);
	struct snapshot *snap;
	struct record_id found;
	struct key key;

	unit_assert_status(dn_key(SPAN("cn=Adam,dc=acme"), &key), CX_OK, "dn");
	fixture_begin();
	for (unsigned n = 1; n <= 2; n++) {
		fixture_put(1, n,
		    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_DN, "cn=Adam,dc=acme",
			TAG_MAIL, "x@acme.example", TAG_LOGIN, "adam", 0));
	}
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/1 1/2 ");
	snap = fixture_snapshot();
	unit_assert_status(snapshot_by_dn(snap, key_span(&key), &found), CX_OK, "dn");
	ck_assert_uint_eq(found.uuid[3], 1);
	snapshot_end(snap);
	fixture_begin();
	unit_assert_status(store_remove(fx.writer, &first), CX_OK, "remove");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/2 ");
	snap = fixture_snapshot();
	unit_assert_status(snapshot_by_dn(snap, key_span(&key), &found), CX_OK, "dn");
	ck_assert_uint_eq(found.uuid[3], 2);
	snapshot_end(snap);
}
END_TEST

START_TEST(domains_are_found_by_pattern_and_precedence)
{
	struct snapshot *snap;
	struct record_id id;

	fixture_begin();
	fixture_put(2, 1,
	    make_record(&fx.buf, RECORD_DOMAIN, 0, TAG_DOMAIN, "acme.example",
		TAG_DOMAIN_TYPE, "1", 0));
	fixture_put(1, 5,
	    make_record(&fx.buf, RECORD_DOMAIN, 0, TAG_DOMAIN, "acme.example",
		TAG_DOMAIN, "*.acme.example", TAG_DOMAIN_TYPE, "1", 0));
	fixture_commit();
	snap = fixture_snapshot();
	unit_assert_status(snapshot_by_domain(snap, SPAN("acme.example"), &id), CX_OK,
	    "own");
	ck_assert_uint_eq(id.source, 1);
	unit_assert_status(snapshot_by_domain(snap, SPAN("*.acme.example"), &id), CX_OK,
	    "wild");
	unit_assert_status(snapshot_by_domain(snap, SPAN("x.example"), &id),
	    CX_NOTFOUND, "no");
	unit_assert_status(snapshot_by_domain(snap, SPAN(""), &id), CX_NOTFOUND,
	    "empty");
	snapshot_end(snap);
}
END_TEST

static void put_connector(uint32_t flags)
{
	fixture_put(1, 1,
	    make_record(&fx.buf, RECORD_CONNECTOR, flags, TAG_NAME, "SiteB", TAG_SPACE,
		"SMTP:pop.example.com;7", TAG_SPACE, "SMTP:*", TAG_PEER, "192.0.2.0/24",
		TAG_RELAY_CLIENT, "192.0.2.0/24", TAG_RELAY_CLIENT, "!192.0.2.9",
		TAG_RELAY_CERTIFICATE, "abcd", 0));
}

static struct address_space parse_space(const char *text)
{
	struct address_space space;

	unit_assert_status(address_space_parse(span_of(text), &space), CX_OK, text);
	return space;
}

START_TEST(a_connector_is_found_by_name_space_network_and_certificate)
{
	struct address_space space = parse_space("SMTP:pop.example.com");
	struct space_entry spaces[4];
	struct net_entry nets[4];
	struct span shapes[4];
	uint64_t lengths[3];
	struct record_id id;
	struct snapshot *snap;
	struct cidr cidr;
	size_t count;

	fixture_begin();
	put_connector(0);
	fixture_commit();
	snap = fixture_snapshot();
	unit_assert_status(snapshot_by_connector(snap, SPAN("sITEb"), &id), CX_OK,
	    "name");
	unit_assert_status(snapshot_certificate(snap, SPAN("abcd"), &id), CX_OK,
	    "cert");
	unit_assert_status(snapshot_spaces(snap, &space.pattern, spaces, 4, &count),
	    CX_OK, "space");
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(spaces[0].cost, 7);
	ck_assert_uint_eq(spaces[0].literals, space.literals);
	ck_assert_int_eq(spaces[0].is_exact, space.is_exact);
	unit_assert_status(snapshot_space_shapes(snap, "smtp", shapes, 4, &count),
	    CX_OK, "");
	ck_assert_uint_eq(count, 2);
	unit_assert_status(snapshot_space_shapes(snap, "ms", shapes, 4, &count),
	    CX_NOTFOUND, "ms");
	unit_assert_status(snapshot_net_lengths(snap, lengths), CX_OK, "lengths");
	ck_assert_uint_eq(lengths[0], 0);
	ck_assert_uint_eq(lengths[1], UINT64_C(1) << (120 - 64));
	ck_assert_uint_eq(lengths[2], 1);
	unit_assert_status(cidr_parse(SPAN("192.0.2.0/24"), &cidr), CX_OK, "cidr");
	unit_assert_status(snapshot_nets(snap, &cidr.ip, 120, nets, 4, &count), CX_OK,
	    "net");
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(nets[0].role, NET_RELAY_ALLOW);
	ck_assert_int_eq(nets[1].role, NET_PEER);
	unit_assert_status(cidr_parse(SPAN("192.0.2.9"), &cidr), CX_OK, "cidr");
	unit_assert_status(snapshot_nets(snap, &cidr.ip, 128, nets, 4, &count), CX_OK,
	    "host");
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(nets[0].role, NET_RELAY_DENY);
	snapshot_end(snap);
}
END_TEST

START_TEST(a_disabled_connector_is_known_by_name_only)
{
	struct address_space space = parse_space("SMTP:pop.example.com");
	struct space_entry spaces[4];
	struct span shapes[4];
	uint64_t lengths[3];
	struct record_id id;
	struct snapshot *snap;
	size_t count;

	fixture_begin();
	put_connector(0);
	put_connector(1);
	fixture_commit();
	snap = fixture_snapshot();
	unit_assert_status(snapshot_by_connector(snap, SPAN("siteb"), &id), CX_OK,
	    "name");
	unit_assert_status(snapshot_certificate(snap, SPAN("abcd"), &id), CX_NOTFOUND,
	    "cert");
	unit_assert_status(snapshot_spaces(snap, &space.pattern, spaces, 4, &count),
	    CX_NOTFOUND, "space");
	unit_assert_status(snapshot_space_shapes(snap, "smtp", shapes, 4, &count),
	    CX_NOTFOUND, "shapes");
	unit_assert_status(snapshot_net_lengths(snap, lengths), CX_OK, "lengths");
	ck_assert_uint_eq(lengths[0] | lengths[1] | lengths[2], 0);
	snapshot_end(snap);
}
END_TEST

static bool collect(void *context, const struct record_id *id, struct span record)
{
	ck_assert_uint_gt(record.len, 0);
	*(unsigned *)context = *(unsigned *)context * 10 + id->uuid[3];
	return true;
}

START_TEST(referrers_are_those_with_the_dn_as_alternate_or_member)
{
	unsigned seen = 0;

	fixture_begin();
	fixture_put(1, 1,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_ALT_KEY, "dn:cn=eve", 0));
	fixture_put(2, 2,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_ALT_KEY, "dn:cn=eve",
		TAG_MEMBER_KEY, "dn:cn=eve", TAG_MEMBER_KEY, "dn:cn=m", 0));
	fixture_put(1, 3,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_ALT_KEY, "dn:cn=m", 0));
	unit_assert_status(store_referrers(fx.writer, SPAN("dn:cn=eve"), collect,
			       &seen),
	    CX_OK, "referrers");
	ck_assert_uint_eq(seen, 12);
	fixture_commit();
}
END_TEST

START_TEST(records_are_counted_by_source_and_kind)
{
	struct record_id id = make_id(1, 2);
	unsigned seen = 0;

	fixture_begin();
	fixture_put_mailbox(1, 1, "a@x.example");
	fixture_put_mailbox(1, 2, "b@x.example");
	fixture_put_mailbox(2, 3, "c@x.example");
	fixture_put(1, 4, make_record(&fx.buf, RECORD_CONTAINER, 0, TAG_DN, "ou=x", 0));
	fixture_commit();
	fixture_begin();
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), 2);
	ck_assert_uint_eq(store_count(fx.writer, 2, RECORD_RECIPIENT), 1);
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_CONTAINER), 1);
	unit_assert_status(store_each(fx.writer, 1, collect, &seen), CX_OK, "each");
	ck_assert_uint_eq(seen, 124);
	unit_assert_status(store_remove(fx.writer, &id), CX_OK, "remove");
	fixture_put(1, 1, make_record(&fx.buf, RECORD_CONTAINER, 0, TAG_DN, "ou=y", 0));
	fixture_commit();
	fixture_begin();
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), 0);
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_CONTAINER), 2);
	fixture_commit();
}
END_TEST

START_TEST(keys_come_in_order_with_the_number_of_their_entries)
{
	struct snapshot *snapshot;
	char text[256];
	struct buf seen;

	fixture_begin();
	fixture_put_mailbox(1, 1, "m@acme.example");
	fixture_put_mailbox(1, 2, "z@acme.example");
	fixture_put_mailbox(2, 3, "m@acme.example");
	fixture_put_mailbox(2, 4, "a@acme.example");
	fixture_put_mailbox(2, 5, "zz@acme.example");
	fixture_put(1, 6,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "own@acme.example",
		TAG_TARGET, "m@acme.example", TAG_LOGIN, "joe", 0));
	fixture_commit();
	snapshot = fixture_snapshot();
	buf_init_fixed(&seen, text, sizeof(text));
	unit_assert_status(fixture_print_keys(snapshot, KEYS_ADDRESS, &seen), CX_OK,
	    "addresses");
	unit_assert_span(buf_span(&seen),
	    "smtp:a@acme.example=1/1 smtp:m@acme.example=3/3 smtp:own@acme.example=1/1 "
	    "smtp:z@acme.example=1/1 ",
	    "addresses, until told to stop");
	buf_clear(&seen);
	unit_assert_status(fixture_print_keys(snapshot, KEYS_LOGIN, &seen), CX_OK,
	    "logins");
	unit_assert_span(buf_span(&seen), "joe=1 ", "logins");
	buf_clear(&seen);
	unit_assert_status(fixture_print_keys(snapshot, KEYS_DOMAIN, &seen), CX_OK,
	    "domains");
	unit_assert_span(buf_span(&seen), "", "domains");
	snapshot_end(snapshot);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store lookup");
	TCase *tcase = tcase_create("store lookup");

	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, a_record_is_found_by_every_address_until_it_goes);
	tcase_add_test(tcase, a_target_that_is_its_own_address_is_listed_once);
	tcase_add_test(tcase, owners_come_by_rank_then_precedence_then_id);
	tcase_add_test(tcase, more_owners_than_room_are_counted_and_the_best_kept);
	tcase_add_test(tcase, a_source_that_provides_no_recipients_owns_nothing);
	tcase_add_test(tcase, removing_one_of_two_owners_leaves_the_other);
	tcase_add_test(tcase, domains_are_found_by_pattern_and_precedence);
	tcase_add_test(tcase,
	    a_connector_is_found_by_name_space_network_and_certificate);
	tcase_add_test(tcase, a_disabled_connector_is_known_by_name_only);
	tcase_add_test(tcase, referrers_are_those_with_the_dn_as_alternate_or_member);
	tcase_add_test(tcase, records_are_counted_by_source_and_kind);
	tcase_add_test(tcase, keys_come_in_order_with_the_number_of_their_entries);
	suite_add_tcase(suite, tcase);
	return suite;
}
