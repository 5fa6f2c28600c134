#include "config.h"

#include <stdio.h>
#include <string.h>

#include "replica/store_lmdb.h"

/* --- Look-ups in the indexes --- */

/* A cursor that belongs to this snapshot; memory is taken at the first use ever. */
static enum status cursor_of(struct snapshot *snapshot, unsigned db, MDB_cursor **out)
{
	MDB_cursor **cursor = &snapshot->cursors[db];
	uint32_t bit = UINT32_C(1) << db;
	int rc = MDB_SUCCESS;

	if (!*cursor) {
		rc = mdb_cursor_open(snapshot->txn, snapshot->env->dbi[db], cursor);
		if (rc != MDB_SUCCESS) {
			*cursor = NULL;
		}
	} else if (!(snapshot->ready & bit)) {
		rc = mdb_cursor_renew(snapshot->txn, *cursor);
	}
	if (rc != MDB_SUCCESS) {
		return reader_status(lmdb_status(rc, NULL, ""));
	}
	snapshot->ready |= bit;
	*out = *cursor;
	return CX_OK;
}

static bool provides(const struct snapshot *snapshot, uint8_t source,
    enum record_kind kind)
{
	unsigned precedence = snapshot->precedence[source];

	if (precedence >= snapshot->head.source_count) {
		return false;
	}
	const struct source_info *info = &snapshot->head.sources[precedence];

	switch (kind) {
	case RECORD_RECIPIENT: return info->provides_recipients;
	case RECORD_DOMAIN: return info->provides_domains;
	case RECORD_CONNECTOR: return info->provides_connectors;
	case RECORD_CONTAINER: break;
	}
	return true;
}

/* Called with each value of a key; false: it is not one (damage). */
typedef bool value_visit(const struct snapshot *, const uint8_t *value, void *context);

static enum status each_value(struct snapshot *snapshot, enum index_kind index,
    struct span key_text, size_t value_size, value_visit *visit, void *context)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	enum status status;
	int rc;

	if (key_text.len == 0 || key_text.len > INDEX_KEY_MAX) {
		return CX_NOTFOUND;
	}
	status = cursor_of(snapshot, index, &cursor);
	if (status != CX_OK) {
		return status;
	}
	key = val_of(key_text);
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY); rc == MDB_SUCCESS;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT_DUP)) {
		if (value.mv_size != value_size ||
		    !visit(snapshot, value.mv_data, context)) {
			return CX_EFORMAT;
		}
	}
	return rc == MDB_NOTFOUND ? CX_OK : reader_status(lmdb_status(rc, NULL, ""));
}

/* The best `max` owners of a key, in order. */
struct owners {
	enum record_kind kind;
	struct address_owner *out;
	size_t max, count;
};

static int compare_owners(const struct snapshot *snapshot,
    const struct address_owner *a, const struct address_owner *b)
{
	unsigned a_precedence = snapshot->precedence[a->id.source];
	unsigned b_precedence = snapshot->precedence[b->id.source];

	if (a->rank != b->rank) {
		return a->rank < b->rank ? -1 : 1;
	}
	if (a_precedence != b_precedence) {
		return a_precedence < b_precedence ? -1 : 1;
	}
	return memcmp(a->id.uuid, b->id.uuid, sizeof(a->id.uuid));
}

static bool visit_owner(const struct snapshot *snapshot, const uint8_t *value,
    void *context)
{
	struct owners *owners = context;
	struct address_owner owner;

	if (value[0] > RANK_TARGET) {
		return false;
	}
	owner.rank = (enum address_rank)value[0];
	index_get_id(value + 1, &owner.id);
	if (!provides(snapshot, owner.id.source, owners->kind)) {
		return true;
	}
	size_t held = owners->count < owners->max ? owners->count : owners->max;
	size_t at = held;

	owners->count++;
	while (at > 0 && compare_owners(snapshot, &owner, &owners->out[at - 1]) < 0) {
		at--;
	}
	if (at < owners->max) {
		size_t moved = held < owners->max ? held - at : held - at - 1;

		memmove(&owners->out[at + 1], &owners->out[at], moved * sizeof(owner));
		owners->out[at] = owner;
	}
	return true;
}

static enum status find_owners(struct snapshot *snapshot, enum index_kind index,
    struct span key, struct owners *owners)
{
	enum status status =
	    each_value(snapshot, index, key, INDEX_VALUE_SIZE, visit_owner, owners);

	return status == CX_OK && owners->count == 0 ? CX_NOTFOUND : status;
}

/* The one that counts: of the source with precedence, with the lowest uuid. */
static enum status find_first(struct snapshot *snapshot, enum index_kind index,
    struct span key, enum record_kind kind, struct record_id *out)
{
	struct address_owner best = { 0 };
	struct owners owners = { kind, &best, 1, 0 };
	enum status status = find_owners(snapshot, index, key, &owners);

	if (status == CX_OK) {
		*out = best.id;
	}
	return status;
}

enum status snapshot_address_owners(struct snapshot *snapshot, const struct key *key,
    struct address_owner *out, size_t max, size_t *count)
{
	struct owners owners = { RECORD_RECIPIENT, out, max, 0 };
	enum status status = find_owners(snapshot, INDEX_ADDR, key_span(key), &owners);

	*count = owners.count;
	return status;
}

enum status snapshot_login_owners(struct snapshot *snapshot, struct span login,
    struct address_owner *out, size_t max, size_t *count)
{
	struct owners owners = { RECORD_RECIPIENT, out, max, 0 };
	enum status status = find_owners(snapshot, INDEX_LOGIN, login, &owners);

	*count = owners.count;
	return status;
}

enum status snapshot_by_dn(struct snapshot *snapshot, struct span dn_key,
    struct record_id *out)
{
	return find_first(snapshot, INDEX_DN, dn_key, RECORD_RECIPIENT, out);
}

enum status snapshot_by_domain(struct snapshot *snapshot, struct span pattern,
    struct record_id *out)
{
	return find_first(snapshot, INDEX_DOMAIN, pattern, RECORD_DOMAIN, out);
}

enum status snapshot_by_connector(struct snapshot *snapshot, struct span name,
    struct record_id *out)
{
	char memory[INDEX_KEY_MAX];

	return find_first(snapshot, INDEX_CONNECTOR, index_name_key(name, memory),
	    RECORD_CONNECTOR, out);
}

enum status snapshot_certificate(struct snapshot *snapshot, struct span fingerprint,
    struct record_id *out)
{
	return find_first(snapshot, INDEX_CERT, fingerprint, RECORD_CONNECTOR, out);
}

enum status snapshot_space_shapes(struct snapshot *snapshot, const char *type,
    struct span *out, size_t max, size_t *count)
{
	char prefix[ADDRESS_TYPE_MAX + 2];
	int len = snprintf(prefix, sizeof(prefix), "%s:", type);
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc;

	*count = 0;
	if (len < 0 || (size_t)len >= sizeof(prefix)) {
		return CX_NOTFOUND;
	}
	enum status status = cursor_of(snapshot, DB_SHAPE, &cursor);

	if (status != CX_OK) {
		return status;
	}
	key = (MDB_val){ (size_t)len, prefix };
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	     rc == MDB_SUCCESS; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		if (key.mv_size < (size_t)len ||
		    memcmp(key.mv_data, prefix, (size_t)len) != 0) {
			break;
		}
		if (*count < max) {
			out[*count] = span_of_val(key);
		}
		++*count;
	}
	if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) {
		return reader_status(lmdb_status(rc, NULL, ""));
	}
	return *count > 0 ? CX_OK : CX_NOTFOUND;
}

struct spaces {
	struct space_entry *out;
	size_t max, count;
};

static bool visit_space(const struct snapshot *snapshot, const uint8_t *value,
    void *context)
{
	struct spaces *spaces = context;
	struct space_entry entry = { .is_exact = value[6] };

	entry.cost = (uint32_t)value[0] << 24 | (uint32_t)value[1] << 16 |
		     (uint32_t)value[2] << 8 | (uint32_t)value[3];
	entry.literals = (uint16_t)(value[4] << 8 | value[5]);
	index_get_id(value + 7, &entry.connector);
	if (provides(snapshot, entry.connector.source, RECORD_CONNECTOR)) {
		if (spaces->count < spaces->max) {
			spaces->out[spaces->count] = entry;
		}
		spaces->count++;
	}
	return true;
}

enum status snapshot_spaces(struct snapshot *snapshot, const struct key *pattern,
    struct space_entry *out, size_t max, size_t *count)
{
	struct spaces spaces = { out, max, 0 };
	enum status status = each_value(snapshot, INDEX_SPACE, key_span(pattern),
	    INDEX_SPACE_SIZE, visit_space, &spaces);

	*count = spaces.count;
	return status == CX_OK && spaces.count == 0 ? CX_NOTFOUND : status;
}

struct nets {
	struct net_entry *out;
	size_t max, count;
};

static bool visit_net(const struct snapshot *snapshot, const uint8_t *value,
    void *context)
{
	struct nets *nets = context;
	struct net_entry entry;

	if (value[0] > NET_RELAY_DENY - NET_PEER) {
		return false;
	}
	entry.role = (enum net_role)(NET_RELAY_DENY - value[0]);
	index_get_id(value + 1, &entry.connector);
	if (provides(snapshot, entry.connector.source, RECORD_CONNECTOR)) {
		if (nets->count < nets->max) {
			nets->out[nets->count] = entry;
		}
		nets->count++;
	}
	return true;
}

enum status snapshot_nets(struct snapshot *snapshot, const struct ip *masked,
    unsigned prefix_len, struct net_entry *out, size_t max, size_t *count)
{
	struct nets nets = { out, max, 0 };
	uint8_t key[INDEX_NET_KEY_SIZE];

	index_net_key(prefix_len, masked, key);
	enum status status = each_value(snapshot, INDEX_NET,
	    (struct span){ (const char *)key, sizeof(key) }, INDEX_VALUE_SIZE,
	    visit_net, &nets);

	*count = nets.count;
	return status == CX_OK && nets.count == 0 ? CX_NOTFOUND : status;
}

/* Keys begin with the prefix length: from each to the next, one seek for each in use. */
enum status snapshot_net_lengths(struct snapshot *snapshot, uint64_t lengths[3])
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint8_t wanted = 0;
	int rc;
	enum status status = cursor_of(snapshot, INDEX_NET, &cursor);

	memset(lengths, 0, 3 * sizeof(*lengths));
	if (status != CX_OK) {
		return status;
	}
	for (;;) {
		key = (MDB_val){ sizeof(wanted), &wanted };
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (rc != MDB_SUCCESS) {
			break;
		}
		uint8_t found = *(const uint8_t *)key.mv_data;

		if (key.mv_size != INDEX_NET_KEY_SIZE || found > 128) {
			return CX_EFORMAT;
		}
		lengths[found / 64] |= UINT64_C(1) << (found % 64);
		wanted = (uint8_t)(found + 1);
	}
	return rc == MDB_NOTFOUND ? CX_OK : reader_status(lmdb_status(rc, NULL, ""));
}

/* --- Records --- */

enum status snapshot_record(struct snapshot *snapshot, const struct record_id *id,
    struct record *out)
{
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key = { sizeof(bytes), bytes };
	MDB_val value;

	index_put_id(bytes, id);
	int rc = mdb_get(snapshot->txn, snapshot->env->dbi[DB_REC], &key, &value);

	if (rc != MDB_SUCCESS) {
		return reader_status(lmdb_status(rc, NULL, ""));
	}
	return record_open(span_of_val(value), out);
}

enum status snapshot_each(struct snapshot *snapshot, snapshot_visit *visit,
    void *context)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	enum status status = cursor_of(snapshot, DB_REC, &cursor);
	int rc;

	if (status != CX_OK) {
		return status;
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == MDB_SUCCESS;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		struct record_id id;
		struct record record;

		if (key.mv_size != INDEX_ID_SIZE ||
		    record_open(span_of_val(value), &record) != CX_OK) {
			return CX_EFORMAT;
		}
		index_get_id(key.mv_data, &id);
		if (!visit(context, &id, &record)) {
			return CX_OK;
		}
	}
	return rc == MDB_NOTFOUND ? CX_OK : reader_status(lmdb_status(rc, NULL, ""));
}

/* With a cursor of its own, so that the callback may look up in the same index. */
enum status snapshot_each_key(struct snapshot *snapshot, enum snapshot_keys keys,
    snapshot_key_visit *visit, void *context)
{
	static const enum index_kind kinds[] = {
		[KEYS_ADDRESS] = INDEX_ADDR,
		[KEYS_LOGIN] = INDEX_LOGIN,
		[KEYS_DOMAIN] = INDEX_DOMAIN,
		[KEYS_CONNECTOR] = INDEX_CONNECTOR,
	};
	MDB_cursor *cursor;
	MDB_val key, value;
	size_t count;
	int rc = mdb_cursor_open(snapshot->txn, snapshot->env->dbi[kinds[keys]], &cursor);

	if (rc != MDB_SUCCESS) {
		return reader_status(lmdb_status(rc, NULL, ""));
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); rc == MDB_SUCCESS;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT_NODUP)) {
		rc = mdb_cursor_count(cursor, &count);
		if (rc != MDB_SUCCESS || !visit(context, span_of_val(key), count)) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_SUCCESS || rc == MDB_NOTFOUND
		   ? CX_OK
		   : reader_status(lmdb_status(rc, NULL, ""));
}

enum status snapshot_meta(struct snapshot *snapshot, const char *name, struct span *out)
{
	MDB_val key = val_of(span_of(name));
	MDB_val value;

	if (key.mv_size == 0 || key.mv_size > INDEX_KEY_MAX) {
		return CX_NOTFOUND;
	}
	int rc = mdb_get(snapshot->txn, snapshot->env->dbi[DB_META], &key, &value);

	if (rc != MDB_SUCCESS) {
		return reader_status(lmdb_status(rc, NULL, ""));
	}
	*out = span_of_val(value);
	return CX_OK;
}
