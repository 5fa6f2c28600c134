#include "config.h"

#include <stdio.h>

#include "replica/store_lmdb.h"
#include "store_fixture.h"
#include "store_random.h"

/* A load, or a build without some records, against the same with store_put() and store_remove(). */

struct world {
	char *folder;
	struct store_writer *writer;
};

static struct world worlds[2]; /* the first is loaded, the second is put */

static void name_source(struct source_info *source, const char *name)
{
	*source = (struct source_info){ .provides_recipients = true };
	snprintf(source->name, sizeof(source->name), "%s", name);
}

static void begin(struct world *world)
{
	unit_assert_status(store_begin(world->writer, &fx.err), CX_OK, fx.err.text);
}

static void commit(struct world *world)
{
	unit_assert_status(store_commit(world->writer, &fx.err), CX_OK, fx.err.text);
}

static void open_worlds(void)
{
	struct source_info sources[3];
	bool is_new;

	for (unsigned i = 0; i < 2; i++) {
		worlds[i].folder = unit_mkdir();
		unit_assert_status(store_writer_open(worlds[i].folder,
				       &worlds[i].writer, &is_new, &fx.err),
		    CX_OK, fx.err.text);
		name_source(&sources[0], "a");
		name_source(&sources[1], "b");
		name_source(&sources[2], "c");
		begin(&worlds[i]);
		unit_assert_status(store_set_sources(worlds[i].writer, sources, 3),
		    CX_OK, "sources");
		unit_assert_status(store_put_meta(worlds[i].writer, "src/2/cookie",
				       SPAN("old")),
		    CX_OK, "meta");
		commit(&worlds[i]);
	}
}

static void close_worlds(void)
{
	for (unsigned i = 0; i < 2; i++) {
		store_writer_close(worlds[i].writer);
		unit_rmdir(worlds[i].folder);
	}
}

static void put_both(const struct record_id *id, struct span record)
{
	for (unsigned i = 0; i < 2; i++) {
		unit_assert_status(store_put(worlds[i].writer, id, record, NULL), CX_OK,
		    "put");
	}
}

/* What there is before: of every source, the one that will be loaded too. */
static void fill_both(unsigned count)
{
	begin(&worlds[0]);
	begin(&worlds[1]);
	for (unsigned n = 0; n < count; n++) {
		struct record_id id = make_id(1 + random_below(3), random_below(40));

		put_both(&id, random_record(&fx.buf));
	}
	commit(&worlds[0]);
	commit(&worlds[1]);
}

static bool note_id(void *context, const struct record_id *id, struct span record)
{
	(void)record;
	*(struct record_id *)context = *id;
	return false;
}

static void remove_all(struct store_writer *writer, uint8_t source)
{
	for (;;) {
		struct record_id id = { .source = 0 };

		unit_assert_status(store_each(writer, source, note_id, &id), CX_OK,
		    "each");
		if (id.source == 0) {
			return;
		}
		unit_assert_status(store_remove(writer, &id), CX_OK, "remove");
	}
}

static uint64_t generation_of(const struct world *world)
{
	struct snapshot *snapshot;
	struct store *store;

	unit_assert_status(store_open(world->folder, &store, &fx.err), CX_OK,
	    fx.err.text);
	unit_assert_status(snapshot_begin(store, &snapshot, &fx.err), CX_OK,
	    fx.err.text);
	uint64_t generation = snapshot_generation(snapshot);

	snapshot_end(snapshot);
	store_close(store);
	return generation;
}

static void assert_equal_worlds(void)
{
	struct buf texts[2];

	for (unsigned i = 0; i < 2; i++) {
		buf_init(&texts[i]);
		begin(&worlds[i]);
		random_dump(worlds[i].writer, &texts[i]);
		store_abort(worlds[i].writer);
	}
	random_assert_equal(texts[0].data, texts[1].data);
	buf_release(&texts[0]);
	buf_release(&texts[1]);
}

static size_t count_in(struct world *world, unsigned source, unsigned kind)
{
	begin(world);
	size_t count =
	    store_count(world->writer, (uint8_t)source, (enum record_kind)kind);

	store_abort(world->writer);
	return count;
}

static void assert_equal_counts(void)
{
	for (unsigned source = 1; source <= 3; source++) {
		for (unsigned kind = 1; kind <= RECORD_CONTAINER; kind++) {
			ck_assert_uint_eq(count_in(&worlds[0], source, kind),
			    count_in(&worlds[1], source, kind));
		}
	}
}

START_TEST(a_load_gives_what_putting_one_by_one_gives)
{
	static const size_t runs[] = { 1, 2, 7, 50, 1000 };
	struct store_load *loaded;

	random_seed((unsigned)_i);
	open_worlds();
	fill_both(_i % 4 == 0 ? 0 : 60);
	loaded = fixture_load(worlds[0].writer, 2, runs[_i % 5]);
	begin(&worlds[1]);
	remove_all(worlds[1].writer, 2);
	unsigned count = random_below(_i % 3 == 0 ? 4 : 200);

	/* Few uuids: most of them come more than once. */
	for (unsigned n = 0; n < count; n++) {
		struct record_id id = make_id(2, random_below(_i % 2 ? 50 : 5000));
		struct span record = random_record(&fx.buf);

		unit_assert_status(store_load_put(loaded, id.uuid, record), CX_OK,
		    "load");
		unit_assert_status(store_put(worlds[1].writer, &id, record, NULL),
		    CX_OK, "put");
	}
	commit(&worlds[1]);
	ck_assert_uint_eq(store_load_count(loaded), count);
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	uint64_t before = generation_of(&worlds[0]);

	for (unsigned i = 0; i < 2; i++) {
		begin(&worlds[i]);
		unit_assert_status(store_put_meta(worlds[i].writer, "src/2/cookie",
				       SPAN("new")),
		    CX_OK, "meta");
		commit(&worlds[i]);
	}
	ck_assert_uint_eq(generation_of(&worlds[0]), before);
	unit_assert_status(store_writer_publish(worlds[0].writer, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert_uint_eq(generation_of(&worlds[0]), before + 1);
	assert_equal_worlds();
	assert_equal_counts();
	/* And goes on as any other. */
	fill_both(30);
	assert_equal_worlds();
	close_worlds();
}
END_TEST

static void put_cookie_both(const char *key, const char *cookie)
{
	for (unsigned i = 0; i < 2; i++) {
		begin(&worlds[i]);
		unit_assert_status(
		    store_put_meta(worlds[i].writer, key, span_of(cookie)), CX_OK, key);
		unit_assert_status(store_set_contact(worlds[i].writer, 1, 1000, true),
		    CX_OK, "contact");
		commit(&worlds[i]);
	}
}

static void load_some_both(struct store_load *loaded, unsigned source)
{
	begin(&worlds[1]);
	for (unsigned n = random_below(60); n > 0; n--) {
		struct record_id id = make_id(source, random_below(40));
		struct span record = random_record(&fx.buf);

		unit_assert_status(store_load_put(loaded, id.uuid, record), CX_OK,
		    "load");
		unit_assert_status(store_put(worlds[1].writer, &id, record, NULL),
		    CX_OK, "put");
	}
	commit(&worlds[1]);
}

static void publish_load(struct store_load *loaded)
{
	unit_assert_status(store_load_build(loaded, &fx.err), CX_OK, fx.err.text);
	store_load_free(loaded);
	begin(&worlds[0]);
	commit(&worlds[0]);
	unit_assert_status(store_writer_publish(worlds[0].writer, &fx.err), CX_OK,
	    fx.err.text);
}

static void put_some_both(unsigned source)
{
	begin(&worlds[0]);
	begin(&worlds[1]);
	for (unsigned n = 0; n < 10; n++) {
		struct record_id id = make_id(source, random_below(40));

		put_both(&id, random_record(&fx.buf));
	}
	commit(&worlds[0]);
	commit(&worlds[1]);
}

/* Two directories are loaded at the same time while a third changes. */
START_TEST(loads_at_the_same_time_lose_nothing_of_anybody)
{
	struct store_load *loads[2];

	random_seed((unsigned)_i);
	open_worlds();
	put_some_both(1);
	loads[0] = fixture_load(worlds[0].writer, 2, 5);
	loads[1] = fixture_load(worlds[0].writer, 3, 7);
	load_some_both(loads[0], 2);
	put_some_both(1);
	put_cookie_both("src/1/cookie", "first");
	load_some_both(loads[1], 3);
	publish_load(loads[0]);
	put_some_both(1);
	put_some_both(2);
	put_cookie_both("src/1/cookie", "second");
	put_cookie_both("src/2/cookie", "third");
	load_some_both(loads[1], 3);
	publish_load(loads[1]);
	put_some_both(3);
	assert_equal_worlds();
	assert_equal_counts();

	size_t count;
	begin(&worlds[0]);
	const struct source_info *sources = store_sources(worlds[0].writer, &count);

	ck_assert_uint_eq(count, 3);
	ck_assert_int_eq(sources[0].last_contact, 1000);
	ck_assert(sources[0].is_loaded);
	store_abort(worlds[0].writer);
	close_worlds();
}
END_TEST

/* What is left out of a build is what store_remove() would have removed. */
struct removal {
	struct store_left_out left_out;
	struct record_id ids[200];
	size_t count;
};

static bool note_left_out(void *context, const struct record_id *id, struct span bytes)
{
	struct removal *removal = context;
	struct record record;

	unit_assert_status(record_open(bytes, &record), CX_OK, "record");
	if (removal->left_out.kinds[id->source] >> record.kind & 1) {
		removal->ids[removal->count++] = *id;
	}
	return true;
}

START_TEST(a_build_without_some_is_what_removing_one_by_one_gives)
{
	struct removal removal = { .count = 0 };

	random_seed((unsigned)_i);
	open_worlds();
	fill_both(_i % 4 == 0 ? 5 : 100);
	begin(&worlds[1]);
	for (uint8_t source = 1; source <= 3; source++) {
		removal.left_out.kinds[source] = random_below(3)
						     ? (uint8_t)(random_below(16) << 1)
						     : STORE_EVERYTHING;
		unit_assert_status(store_each(worlds[1].writer, source, note_left_out,
				       &removal),
		    CX_OK, "each");
	}
	for (size_t i = 0; i < removal.count; i++) {
		unit_assert_status(
		    store_remove(worlds[1].writer, &removal.ids[i]), CX_OK, "remove");
	}
	commit(&worlds[1]);
	uint64_t before = generation_of(&worlds[0]);

	unit_assert_status(store_writer_build_without(worlds[0].writer,
			       &removal.left_out, &fx.err),
	    CX_OK, fx.err.text);
	begin(&worlds[0]);
	commit(&worlds[0]);
	unit_assert_status(store_writer_publish(worlds[0].writer, &fx.err), CX_OK,
	    fx.err.text);
	ck_assert_uint_eq(generation_of(&worlds[0]), before + 1);
	assert_equal_worlds();
	assert_equal_counts();
	fill_both(30);
	assert_equal_worlds();
	close_worlds();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_load_model");
	TCase *tcase = tcase_create("store_load_model");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_load_gives_what_putting_one_by_one_gives, 0, 40);
	tcase_add_loop_test(tcase, loads_at_the_same_time_lose_nothing_of_anybody, 0, 20);
	tcase_add_loop_test(tcase, a_build_without_some_is_what_removing_one_by_one_gives, 0, 40);
	suite_add_tcase(suite, tcase);
	return suite;
}
