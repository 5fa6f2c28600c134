#include "config.h"

#include <string.h>
#include <unistd.h>

#include "replica/recipient.h"
#include "replica/store_lmdb.h"
#include "store_fixture.h"
#include "value/dn.h"

START_TEST(there_is_no_snapshot_before_there_is_a_replica)
{
	char *empty = unit_mkdir();
	struct store *other;
	struct snapshot *snap;

	unit_assert_status(store_open(empty, &other, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_ETEMP,
	    "no replica");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "no replica yet"));
	unit_assert_status(snapshot_begin(other, &snap, NULL), CX_ETEMP,
	    "without errbuf");
	store_close(other);
	unit_rmdir(empty);
}
END_TEST

START_TEST(the_first_replica_is_seen_at_once)
{
	char *empty = unit_mkdir();
	struct store_writer *first;
	struct store *other;
	struct snapshot *snap;
	bool is_new;

	unit_assert_status(store_open(empty, &other, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, NULL), CX_ETEMP, "before");
	unit_assert_status(store_writer_open(empty, &first, &is_new, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert(is_new);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_OK, fx.err.text);
	ck_assert_uint_eq(snapshot_generation(snap), 0);
	snapshot_end(snap);
	store_close(other);
	store_writer_close(first);
	unit_rmdir(empty);
}
END_TEST

START_TEST(the_writer_makes_the_folder_for_readers_that_were_there_first)
{
	char *empty = unit_mkdir();
	struct store_writer *first;
	struct store *other;
	struct snapshot *snap;
	bool is_new;

	ck_assert_int_eq(rmdir(empty), 0);
	unit_assert_status(store_open(empty, &other, &fx.err), CX_OK, fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_ETEMP, "before");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "no replica yet"));
	unit_assert_status(store_writer_open(empty, &first, &is_new, &fx.err), CX_OK,
	    fx.err.text);
	unit_assert_status(snapshot_begin(other, &snap, &fx.err), CX_OK, fx.err.text);
	snapshot_end(snap);
	store_close(other);
	store_writer_close(first);
	unit_rmdir(empty);
}
END_TEST

START_TEST(a_folder_that_is_none_is_a_wrong_configuration)
{
	struct store *other;

	unit_assert_status(store_open("/nonexistent/x", &other, &fx.err), CX_ECONF,
	    "missing");
	unit_assert_status(store_open("/dev/null", &other, &fx.err), CX_ECONF,
	    "a device");
}
END_TEST

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

START_TEST(the_same_bytes_change_nothing)
{
	struct snapshot *snap;
	uint64_t generation;

	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_commit();
	snap = fixture_snapshot();
	generation = snapshot_generation(snap);
	snapshot_end(snap);
	fixture_begin();
	ck_assert(!fixture_put(1, 1,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "x@acme.example", 0)));
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("c")), CX_OK,
	    "meta");
	unit_assert_status(store_set_contact(fx.writer, 1, 99, false), CX_OK,
	    "contact");
	fixture_commit();
	snap = fixture_snapshot();
	ck_assert_uint_eq(snapshot_generation(snap), generation);
	snapshot_end(snap);
}
END_TEST

START_TEST(an_aborted_transaction_leaves_no_trace)
{
	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), 1);
	store_abort(fx.writer);
	fixture_assert_owners("x@acme.example", "");
	fixture_begin();
	ck_assert_uint_eq(store_count(fx.writer, 1, RECORD_RECIPIENT), 0);
	fixture_commit();
}
END_TEST

START_TEST(what_is_no_record_is_refused_and_the_rest_goes_on)
{
	struct record_id id = make_id(1, 1);
	struct span record;

	fixture_begin();
	unit_assert_status(store_put(fx.writer, &id, SPAN("junk"), NULL), CX_EINVAL,
	    "junk");
	record = make_record(&fx.buf, RECORD_DOMAIN, 0, TAG_DOMAIN, "x",
	    TAG_DOMAIN_TYPE, "9", 0);
	unit_assert_status(store_put(fx.writer, &id, record, NULL), CX_EINVAL,
	    "no type");
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/1 ");
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

static bool count_records(void *context, const struct record_id *id,
    const struct record *record)
{
	ck_assert_uint_eq(id->source, 1);
	ck_assert_int_eq(record->kind, RECORD_RECIPIENT);
	++*(unsigned *)context;
	return true;
}

START_TEST(a_source_that_is_no_longer_named_goes_with_all_it_had)
{
	struct snapshot *snap;
	struct span value;
	unsigned seen = 0;
	size_t count;

	fixture_begin();
	fixture_put_mailbox(1, 1, "a@x.example");
	fixture_put_mailbox(2, 1, "a@x.example");
	fixture_put_mailbox(2, 2, "b@x.example");
	store_put_meta(fx.writer, "src/1/cookie", SPAN("one"));
	store_put_meta(fx.writer, "src/2/cookie", SPAN("two"));
	store_put_meta(fx.writer, "src/2/confhash", SPAN("two"));
	store_put_meta(fx.writer, "src/22/cookie", SPAN("another"));
	store_set_contact(fx.writer, 1, 1234, true);
	fixture_commit();
	fixture_name_source(1, "third");
	fixture_begin();
	unit_assert_status(store_set_sources(fx.writer, fx.sources, 2), CX_OK,
	    "sources");
	ck_assert_uint_eq(fx.sources[0].id, 1);
	ck_assert(fx.sources[0].is_loaded);
	ck_assert_int_eq(fx.sources[0].last_contact, 1234);
	ck_assert_uint_eq(fx.sources[1].id, 3);
	ck_assert(!fx.sources[1].is_loaded);
	fixture_commit();
	fixture_assert_owners("b@x.example", "");
	fixture_assert_owners("a@x.example", "1/1 ");
	snap = fixture_snapshot();
	unit_assert_status(snapshot_meta(snap, "src/2/cookie", &value), CX_NOTFOUND,
	    "cookie");
	unit_assert_status(snapshot_meta(snap, "src/2/confhash", &value), CX_NOTFOUND,
	    "hash");
	unit_assert_status(snapshot_meta(snap, "src/1/cookie", &value), CX_OK,
	    "other's");
	unit_assert_span(value, "one", "cookie");
	unit_assert_status(snapshot_meta(snap, "src/22/cookie", &value), CX_OK, "like");
	unit_assert_status(snapshot_each(snap, count_records, &seen), CX_OK, "each");
	ck_assert_uint_eq(seen, 1);
	ck_assert_str_eq(snapshot_sources(snap, &count)[1].name, "third");
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(snapshot_precedence(snap, 3), 1);
	ck_assert_uint_eq(snapshot_precedence(snap, 2), STORE_SOURCES_MAX);
	snapshot_end(snap);
}
END_TEST

START_TEST(contact_is_noted_and_loaded_never_falls_back)
{
	const struct source_info *info;
	struct snapshot *snap;
	size_t count;

	fixture_begin();
	unit_assert_status(store_set_contact(fx.writer, 2, 100, true), CX_OK, "first");
	unit_assert_status(store_set_contact(fx.writer, 2, 200, false), CX_OK,
	    "second");
	unit_assert_status(store_set_contact(fx.writer, 9, 200, false), CX_NOTFOUND,
	    "none");
	fixture_commit();
	snap = fixture_snapshot();
	info = snapshot_sources(snap, &count);
	ck_assert_int_eq(info[0].last_contact, 0);
	ck_assert(!info[0].is_loaded);
	ck_assert_int_eq(info[1].last_contact, 200);
	ck_assert(info[1].is_loaded);
	snapshot_end(snap);
}
END_TEST

START_TEST(values_beside_the_data_are_kept_and_removed)
{
	struct span value;

	fixture_begin();
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("a")), CX_OK,
	    "put");
	unit_assert_status(store_get_meta(fx.writer, "src/1/cookie", &value), CX_OK,
	    "get");
	unit_assert_span(value, "a", "value");
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("")), CX_OK,
	    "remove");
	unit_assert_status(store_put_meta(fx.writer, "src/1/cookie", SPAN("")), CX_OK,
	    "again");
	unit_assert_status(store_get_meta(fx.writer, "src/1/cookie", &value),
	    CX_NOTFOUND, "gone");
	unit_assert_status(store_put_meta(fx.writer, "head", SPAN("x")), CX_EINVAL,
	    "ours");
	unit_assert_status(store_put_meta(fx.writer, "format", SPAN("x")), CX_EINVAL,
	    "ours");
	unit_assert_status(store_put_meta(fx.writer, "", SPAN("x")), CX_EINVAL,
	    "no name");
	fixture_commit();
}
END_TEST

START_TEST(a_second_writer_is_refused)
{
	struct store_writer *other;
	bool is_new;

	unit_assert_status(store_writer_open(fx.folder, &other, &is_new, &fx.err),
	    CX_ETEMP, "second");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "another process"));
}
END_TEST

START_TEST(what_was_written_is_there_after_a_restart)
{
	bool is_new;

	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/1 ");
	store_writer_close(fx.writer);
	fixture_assert_owners("x@acme.example", "1/1 ");
	unit_assert_status(store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err),
	    CX_OK, fx.err.text);
	ck_assert(!is_new);
	fixture_begin();
	fixture_put_mailbox(1, 1, "y@acme.example");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "");
	fixture_assert_owners("y@acme.example", "1/1 ");
}
END_TEST

START_TEST(a_snapshot_is_not_moved_by_later_commits)
{
	struct record_id id = make_id(1, 1);
	struct recipient recipient;
	struct record record;
	struct snapshot *old, *new;
	struct span value;

	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_commit();
	old = fixture_snapshot();
	fixture_begin();
	fixture_put_mailbox(1, 1, "y@acme.example");
	fixture_commit();
	new = fixture_snapshot();
	unit_assert_status(snapshot_record(old, &id, &record), CX_OK, "old");
	recipient_decode(&record, &recipient);
	ck_assert(values_next(&recipient.mails, &value));
	unit_assert_span(value, "x@acme.example", "old");
	unit_assert_status(snapshot_record(new, &id, &record), CX_OK, "new");
	recipient_decode(&record, &recipient);
	ck_assert(values_next(&recipient.mails, &value));
	unit_assert_span(value, "y@acme.example", "new");
	snapshot_end(new);
	snapshot_end(old);
}
END_TEST

static struct snapshot *note_snapshot;

static bool note_key(void *context, struct span key, size_t entries)
{
	struct address_owner owner;
	struct key copy = { .len = key.len };
	size_t count;

	memcpy(copy.bytes, key.ptr, key.len);
	buf_printf(context, "%.*s=%zu", SPAN_ARGS(key), entries);
	/* Looking up in the same index does not lose the place. */
	if (snapshot_address_owners(note_snapshot, &copy, &owner, 1, &count) == CX_OK) {
		buf_printf(context, "/%zu", count);
	}
	buf_add_char(context, ' ');
	return !span_starts_with_case(key, SPAN("smtp:z"));
}

START_TEST(keys_come_in_order_with_the_number_of_their_entries)
{
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
	note_snapshot = fixture_snapshot();
	buf_init_fixed(&seen, text, sizeof(text));
	unit_assert_status(snapshot_each_key(note_snapshot, KEYS_ADDRESS, note_key, &seen),
	    CX_OK, "addresses");
	unit_assert_span(buf_span(&seen),
	    "smtp:a@acme.example=1/1 smtp:m@acme.example=3/3 smtp:own@acme.example=1/1 "
	    "smtp:z@acme.example=1/1 ",
	    "addresses, until told to stop");
	buf_clear(&seen);
	unit_assert_status(snapshot_each_key(note_snapshot, KEYS_LOGIN, note_key, &seen),
	    CX_OK, "logins");
	unit_assert_span(buf_span(&seen), "joe=1 ", "logins");
	buf_clear(&seen);
	unit_assert_status(snapshot_each_key(note_snapshot, KEYS_DOMAIN, note_key, &seen),
	    CX_OK, "domains");
	unit_assert_span(buf_span(&seen), "", "domains");
	snapshot_end(note_snapshot);
}
END_TEST

/* Writes past the store what a failing disk might. */
static void damage(unsigned db, struct span key_text, struct span bytes)
{
	MDB_val key = val_of(key_text), value = val_of(bytes);

	fixture_begin();
	ck_assert_int_eq(mdb_put(fx.writer->txn, writer_dbi(fx.writer, db), &key,
			     &value, 0),
	    0);
	fixture_commit();
}

static bool visit_any(void *context, const struct record_id *id,
    const struct record *record)
{
	(void)context;
	(void)id;
	return record->kind == RECORD_RECIPIENT;
}

START_TEST(a_damaged_record_is_told_from_a_missing_one)
{
	struct record_id id = make_id(1, 1), none = make_id(1, 9);
	uint8_t key[INDEX_ID_SIZE];
	struct snapshot *snapshot;
	struct record record;

	fixture_begin();
	fixture_put_mailbox(1, 1, "x@acme.example");
	fixture_commit();
	index_put_id(key, &id);
	damage(DB_REC, (struct span){ (const char *)key, sizeof(key) },
	    SPAN("\2\1\5junk"));
	snapshot = fixture_snapshot();
	unit_assert_status(snapshot_record(snapshot, &id, &record), CX_EFORMAT,
	    "damaged");
	unit_assert_status(snapshot_record(snapshot, &none, &record), CX_NOTFOUND,
	    "missing");
	unit_assert_status(snapshot_each(snapshot, visit_any, NULL), CX_EFORMAT,
	    "each");
	snapshot_end(snapshot);
}
END_TEST

/* What the directories hold, for comparing replicas: ids, counts, keys with their owners. */
static void describe(struct buf *out)
{
	static const char *const addresses[] = { "x@acme.example", "y@acme.example",
		"z@acme.example", "t@pop.example" };
	struct snapshot *snapshot = fixture_snapshot();
	struct space_entry spaces[4];
	struct address_space space;
	struct record_id id;
	size_t count;

	buf_clear(out);
	note_snapshot = snapshot;
	unit_assert_status(snapshot_each_key(snapshot, KEYS_ADDRESS, note_key, out), CX_OK,
	    "addresses");
	unit_assert_status(snapshot_each_key(snapshot, KEYS_LOGIN, note_key, out), CX_OK,
	    "logins");
	unit_assert_status(snapshot_each_key(snapshot, KEYS_CONNECTOR, note_key, out),
	    CX_OK, "connectors");
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct address_owner owner;
		struct address address;
		struct key key;

		unit_assert_status(address_parse_typed(span_of(addresses[i]), &address),
		    CX_OK, addresses[i]);
		address_key(&address, &key);
		(void)snapshot_address_owners(snapshot, &key, &owner, 1, &count);
		buf_printf(out, "%s:%zu ", addresses[i], count);
	}
	unit_assert_status(address_space_parse(SPAN("MS:NET/PO"), &space), CX_OK, "space");
	(void)snapshot_spaces(snapshot, &space.pattern, spaces, 4, &count);
	buf_printf(out, "space:%zu by-dn:%d ", count,
	    snapshot_by_dn(snapshot, SPAN("dn:cn=x"), &id));
	snapshot_end(snapshot);
	fixture_begin();
	for (unsigned kind = RECORD_RECIPIENT; kind <= RECORD_CONTAINER; kind++) {
		buf_printf(out, "%zu/%zu ", store_count(fx.writer, 1, kind),
		    store_count(fx.writer, 2, kind));
	}
	store_abort(fx.writer);
}

enum repairing {
	REPLACE,
	REPLACE_BY_OTHER,
	REMOVE,
};

static void put_people(enum repairing how, bool is_anew)
{
	const char *mail = is_anew && how == REPLACE_BY_OTHER ? "y@acme.example"
							      : "x@acme.example";
	struct record_id id = make_id(1, 1);

	if (is_anew && how == REMOVE) {
		enum status status = store_remove(fx.writer, &id);

		ck_assert(status == CX_OK || status == CX_NOTFOUND);
	} else {
		fixture_put(1, 1,
		    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_DN, "cn=x", TAG_MAIL,
			mail, TAG_TARGET, "t@pop.example", TAG_ALT_KEY, "dn:cn=y",
			TAG_LOGIN, "joe", 0));
	}
	fixture_put_mailbox(2, 2, "z@acme.example");
	fixture_put_mailbox(2, 3, "x@acme.example");
}

static void put_a_connector(enum repairing how, bool is_anew)
{
	struct record_id id = make_id(1, 4);

	if (is_anew && how == REMOVE) {
		enum status status = store_remove(fx.writer, &id);

		ck_assert(status == CX_OK || status == CX_NOTFOUND);
	} else {
		fixture_put(1, 4,
		    make_record(&fx.buf, RECORD_CONNECTOR, 0, TAG_DN, "cn=c", TAG_NAME, "c",
			TAG_SPACE,
			is_anew && how == REPLACE_BY_OTHER ? "MS:OTHER" : "MS:NET/PO", 0));
	}
}

/* Bytes that are no record, and records that are others. */
static const char *const damages[] = { "no record", "nothing", "another recipient",
	"another kind" };
enum {
	DAMAGES = sizeof(damages) / sizeof(damages[0])
};

static struct span damaged_bytes(int which)
{
	switch (which) {
	case 0: return SPAN("\377\1\5junk");
	case 1: return SPAN("");
	case 2:
		return make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, "q@acme.example",
		    0);
	default: return make_record(&fx.buf, RECORD_CONTAINER, 0, TAG_DN, "cn=q", 0);
	}
}

START_TEST(a_damaged_record_is_replaced_without_a_trace)
{
	enum repairing how = (enum repairing)(_i % 3);
	const char *label = damages[_i / 3];
	struct record_id person = make_id(1, 1), connector = make_id(1, 4);
	uint8_t keys[2][INDEX_ID_SIZE];
	struct buf repaired, fresh;

	buf_init(&repaired);
	buf_init(&fresh);
	fixture_begin();
	put_people(how, false);
	put_a_connector(how, false);
	fixture_commit();
	ck_assert_uint_eq(store_repaired(fx.writer), 0);
	index_put_id(keys[0], &person);
	index_put_id(keys[1], &connector);
	for (size_t i = 0; i < 2; i++) {
		damage(DB_REC, (struct span){ (const char *)keys[i], INDEX_ID_SIZE },
		    damaged_bytes(_i / 3));
	}
	fixture_begin();
	put_people(how, true);
	put_a_connector(how, true);
	fixture_commit();
	ck_assert_uint_eq(store_repaired(fx.writer), 2);
	describe(&repaired);

	fixture_tear_down();
	fixture_set_up();
	fixture_begin();
	put_people(how, true);
	put_a_connector(how, true);
	fixture_commit();
	describe(&fresh);
	ck_assert_msg(span_equal(buf_span(&repaired), buf_span(&fresh)), "%s, %d: %s\n%s",
	    label, how, repaired.data, fresh.data);
	buf_release(&repaired);
	buf_release(&fresh);
}
END_TEST

/* What nothing is said of stays as it is: temporary for readers, not gone. */
START_TEST(a_damaged_record_that_is_not_replaced_stays_known)
{
	struct record_id id = make_id(1, 1), other = make_id(2, 3);
	uint8_t keys[2][INDEX_ID_SIZE];
	struct snapshot *snapshot;
	struct record record;

	fixture_begin();
	put_people(REPLACE, false);
	fixture_commit();
	index_put_id(keys[0], &id);
	index_put_id(keys[1], &other);
	for (size_t i = 0; i < 2; i++) {
		damage(DB_REC, (struct span){ (const char *)keys[i], INDEX_ID_SIZE },
		    SPAN("\1\1\5junk"));
	}
	fixture_begin();
	fixture_put_mailbox(2, 3, "y@acme.example");
	fixture_commit();
	fixture_assert_owners("x@acme.example", "1/1 ");
	fixture_assert_owners("y@acme.example", "2/3 ");
	snapshot = fixture_snapshot();
	unit_assert_status(snapshot_record(snapshot, &id, &record), CX_EFORMAT, "still");
	snapshot_end(snapshot);
}
END_TEST

START_TEST(a_damaged_index_is_told_from_an_empty_one)
{
	struct address_owner owners[2];
	struct snapshot *snapshot;
	struct address address;
	struct key key;
	size_t count;

	unit_assert_status(address_parse_typed(SPAN("x@acme.example"), &address), CX_OK,
	    "address");
	address_key(&address, &key);
	damage(INDEX_ADDR, key_span(&key), SPAN("\377\1uuid"));
	snapshot = fixture_snapshot();
	unit_assert_status(snapshot_address_owners(snapshot, &key, owners, 2, &count),
	    CX_EFORMAT, "owners");
	snapshot_end(snapshot);
}
END_TEST

START_TEST(a_damaged_head_gives_no_snapshot)
{
	struct snapshot *snapshot;

	damage(DB_META, SPAN(META_HEAD), SPAN("\1"));
	unit_assert_status(snapshot_begin(fx.store, &snapshot, &fx.err), CX_EFORMAT,
	    "reader");
	ck_assert_ptr_nonnull(strstr(fx.err.text, "damaged"));
	unit_assert_status(store_begin(fx.writer, &fx.err), CX_EFORMAT, "writer");
}
END_TEST

START_TEST(a_replica_with_a_damaged_head_is_put_aside_at_the_next_start)
{
	bool is_new = false;

	damage(DB_META, SPAN(META_HEAD), SPAN("\1"));
	store_writer_close(fx.writer);
	unit_assert_status(store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err),
	    CX_OK, fx.err.text);
	ck_assert(is_new);
	fixture_begin();
	fixture_commit();
	snapshot_end(fixture_snapshot());
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store");
	TCase *tcase = tcase_create("store");

	tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
	tcase_add_test(tcase, there_is_no_snapshot_before_there_is_a_replica);
	tcase_add_test(tcase, the_first_replica_is_seen_at_once);
	tcase_add_test(tcase, the_writer_makes_the_folder_for_readers_that_were_there_first);
	tcase_add_test(tcase, a_folder_that_is_none_is_a_wrong_configuration);
	tcase_add_test(tcase, a_record_is_found_by_every_address_until_it_goes);
	tcase_add_test(tcase, a_target_that_is_its_own_address_is_listed_once);
	tcase_add_test(tcase, owners_come_by_rank_then_precedence_then_id);
	tcase_add_test(tcase, more_owners_than_room_are_counted_and_the_best_kept);
	tcase_add_test(tcase, a_source_that_provides_no_recipients_owns_nothing);
	tcase_add_test(tcase, removing_one_of_two_owners_leaves_the_other);
	tcase_add_test(tcase, the_same_bytes_change_nothing);
	tcase_add_test(tcase, an_aborted_transaction_leaves_no_trace);
	tcase_add_test(tcase, what_is_no_record_is_refused_and_the_rest_goes_on);
	tcase_add_test(tcase, domains_are_found_by_pattern_and_precedence);
	tcase_add_test(tcase,
	    a_connector_is_found_by_name_space_network_and_certificate);
	tcase_add_test(tcase, a_disabled_connector_is_known_by_name_only);
	tcase_add_test(tcase, referrers_are_those_with_the_dn_as_alternate_or_member);
	tcase_add_test(tcase, records_are_counted_by_source_and_kind);
	tcase_add_test(tcase, a_source_that_is_no_longer_named_goes_with_all_it_had);
	tcase_add_test(tcase, contact_is_noted_and_loaded_never_falls_back);
	tcase_add_test(tcase, values_beside_the_data_are_kept_and_removed);
	tcase_add_test(tcase, a_second_writer_is_refused);
	tcase_add_test(tcase, what_was_written_is_there_after_a_restart);
	tcase_add_test(tcase, a_snapshot_is_not_moved_by_later_commits);
	tcase_add_test(tcase, keys_come_in_order_with_the_number_of_their_entries);
	tcase_add_test(tcase, a_damaged_record_is_told_from_a_missing_one);
	/* Nothing tells that what has no index entries had some, once it goes: not the last. */
	tcase_add_loop_test(tcase, a_damaged_record_is_replaced_without_a_trace, 0,
	    3 * DAMAGES - 1);
	tcase_add_test(tcase, a_damaged_record_that_is_not_replaced_stays_known);
	tcase_add_test(tcase, a_damaged_index_is_told_from_an_empty_one);
	tcase_add_test(tcase, a_damaged_head_gives_no_snapshot);
	tcase_add_test(tcase,
	    a_replica_with_a_damaged_head_is_put_aside_at_the_next_start);
	suite_add_tcase(suite, tcase);
	return suite;
}
