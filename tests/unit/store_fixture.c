#include "config.h"

#include "store_fixture.h"

#include <stdio.h>

#include "replica/store_lmdb.h"

struct fixture fx;

void fixture_open_writer(void)
{
	bool is_new;

	unit_assert_status(store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err),
	    CX_OK, fx.err.text);
}

void fixture_reopen_writer(bool expect_new)
{
	bool is_new;

	unit_assert_status(store_writer_open(fx.folder, &fx.writer, &is_new, &fx.err),
	    CX_OK, fx.err.text);
	ck_assert_int_eq(is_new, expect_new);
}

void fixture_open_store(void)
{
	unit_assert_status(store_open(fx.folder, &fx.store, &fx.err), CX_OK,
	    fx.err.text);
}

void fixture_close(void)
{
	store_close(fx.store);
	fx.store = NULL;
	store_writer_close(fx.writer);
	fx.writer = NULL;
}

void fixture_begin(void)
{
	unit_assert_status(store_begin(fx.writer, &fx.err), CX_OK, fx.err.text);
}

void fixture_commit(void)
{
	unit_assert_status(store_commit(fx.writer, &fx.err), CX_OK, fx.err.text);
}

struct store_load *fixture_load(struct store_writer *writer, uint8_t source, size_t run)
{
	struct store_load *load;

	unit_assert_status(store_load_new_sized(writer, source, run, &load, &fx.err),
	    CX_OK, fx.err.text);
	return load;
}

void fixture_build(void)
{
	unit_assert_status(store_writer_build(fx.writer, &fx.err), CX_OK, fx.err.text);
}

void fixture_publish(void)
{
	unit_assert_status(store_writer_publish(fx.writer, &fx.err), CX_OK,
	    fx.err.text);
}

struct snapshot *fixture_snapshot(void)
{
	struct snapshot *snapshot;

	unit_assert_status(snapshot_begin(fx.store, &snapshot, &fx.err), CX_OK,
	    fx.err.text);
	return snapshot;
}

uint64_t fixture_generation(void)
{
	struct snapshot *snapshot = fixture_snapshot();
	uint64_t generation = snapshot_generation(snapshot);

	snapshot_end(snapshot);
	return generation;
}

void fixture_name_source(size_t i, const char *name)
{
	fx.sources[i] = (struct source_info){ .provides_recipients = true,
		.provides_domains = true,
		.provides_connectors = true };
	snprintf(fx.sources[i].name, sizeof(fx.sources[i].name), "%s", name);
}

void fixture_set_up(void)
{
	buf_init(&fx.buf);
	fx.folder = unit_mkdir();
	fixture_open_writer();
	fixture_name_source(0, "corp");
	fixture_name_source(1, "old");
	fixture_begin();
	unit_assert_status(store_set_sources(fx.writer, fx.sources, 2), CX_OK,
	    "sources");
	fixture_commit();
	fixture_open_store();
}

void fixture_tear_down(void)
{
	fixture_close();
	unit_rmdir(fx.folder);
	buf_release(&fx.buf);
}

bool fixture_put(unsigned source, unsigned number, struct span record)
{
	struct record_id id = make_id(source, number);
	bool changed;

	unit_assert_status(store_put(fx.writer, &id, record, &changed), CX_OK, "put");
	return changed;
}

void fixture_put_mailbox(unsigned source, unsigned number, const char *mail)
{
	fixture_put(source, number,
	    make_record(&fx.buf, RECORD_RECIPIENT, 0, TAG_MAIL, mail, 0));
}

void fixture_commit_mailbox(const char *mail)
{
	fixture_begin();
	fixture_put_mailbox(1, 1, mail);
	fixture_commit();
}

void fixture_assert_owners(const char *address, const char *expected)
{
	struct snapshot *snapshot = fixture_snapshot();
	struct address_owner owners[8];
	struct address parsed;
	char text[256] = "";
	size_t count, used = 0;
	struct key key;

	unit_assert_status(address_parse_typed(span_of(address), &parsed), CX_OK,
	    address);
	address_key(&parsed, &key);
	unit_assert_status(snapshot_address_owners(snapshot, &key, owners, 8, &count),
	    expected[0] ? CX_OK : CX_NOTFOUND, address);
	for (size_t i = 0; i < count; i++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%u/%u%s ",
		    owners[i].id.source, owners[i].id.uuid[3],
		    owners[i].rank == RANK_TARGET ? "t" : "");
	}
	ck_assert_msg(strcmp(text, expected) == 0, "%s: \"%s\", not \"%s\"", address,
	    text, expected);
	snapshot_end(snapshot);
}

struct printing {
	struct snapshot *snapshot;
	struct buf *out;
};

static bool print_key(void *context, struct span key, size_t entries)
{
	struct printing *printing = context;
	struct address_owner owner;
	struct key copy = { .len = key.len };
	size_t count;

	memcpy(copy.bytes, key.ptr, key.len);
	buf_printf(printing->out, "%.*s=%zu", SPAN_ARGS(key), entries);
	if (snapshot_address_owners(printing->snapshot, &copy, &owner, 1, &count) ==
	    CX_OK) {
		buf_printf(printing->out, "/%zu", count);
	}
	buf_add_char(printing->out, ' ');
	return !span_starts_with_case(key, SPAN("smtp:z"));
}

enum status fixture_print_keys(struct snapshot *snapshot, enum snapshot_keys kind,
    struct buf *out)
{
	struct printing printing = { snapshot, out };

	return snapshot_each_key(snapshot, kind, print_key, &printing);
}
