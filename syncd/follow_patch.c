#include "config.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "syncd/follow_parts.h"
#include "syncd/mapping.h"

/* More than these are left as they are until they have been read again. */
#define PATCH_MAX 1000

/* --- The last word on each entry --- */

static bool is_telling(const struct change *change)
{
	return change->kind != CHANGE_PRESENT && change->kind != CHANGE_SPARED;
}

static int compare_positions(const void *a, const void *b, void *context)
{
	const struct batch *batch = context;
	size_t left = *(const size_t *)a, right = *(const size_t *)b;
	int order = memcmp(batch->changes[left].uuid, batch->changes[right].uuid,
	    SYNC_UUID_SIZE);

	return order ? order : (left > right) - (left < right);
}

enum status batch_latest_init(struct batch_latest *latest, const struct batch *batch)
{
	size_t count = 0, kept = 0;

	*latest = (struct batch_latest){ NULL, 0 };
	for (size_t i = 0; i < batch->count; i++) {
		count += is_telling(&batch->changes[i]);
	}
	if (count == 0) {
		return CX_OK;
	}
	latest->at = calloc(count, sizeof(latest->at[0]));
	if (latest->at == NULL) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < batch->count; i++) {
		if (is_telling(&batch->changes[i])) {
			latest->at[latest->count++] = i;
		}
	}
	/* The array is only read; qsort_r() has no const for what it hands on. */
	qsort_r(latest->at, count, sizeof(latest->at[0]), compare_positions,
	    (void *)(uintptr_t)batch);
	for (size_t i = 1; i < count; i++) {
		if (memcmp(batch->changes[latest->at[i]].uuid,
			batch->changes[latest->at[kept]].uuid, SYNC_UUID_SIZE) != 0) {
			kept++;
		}
		latest->at[kept] = latest->at[i];
	}
	latest->count = kept + 1;
	return CX_OK;
}

void batch_latest_release(struct batch_latest *latest)
{
	free(latest->at);
	*latest = (struct batch_latest){ NULL, 0 };
}

size_t batch_latest_find(const struct batch_latest *latest, const struct batch *batch,
    const uint8_t uuid[SYNC_UUID_SIZE])
{
	size_t low = 0, high = latest->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(batch->changes[latest->at[middle]].uuid, uuid,
		    SYNC_UUID_SIZE);

		if (order == 0) {
			return latest->at[middle];
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return FOLLOW_GONE;
}

bool batch_latest_is(const struct batch_latest *latest, const struct batch *batch,
    size_t at)
{
	return is_telling(&batch->changes[at]) &&
	       batch_latest_find(latest, batch, batch->changes[at].uuid) == at;
}

/* --- References of a record --- */

enum status follow_digest(struct span key, uint8_t out[SYNC_UUID_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (EVP_Digest(key.ptr, key.len, digest, NULL, EVP_sha256(), NULL) != 1) {
		return CX_ENOMEM;
	}
	memcpy(out, digest, SYNC_UUID_SIZE);
	return CX_OK;
}

/* Keys of alternate recipients, then of members. */
struct reference_walk {
	struct record record;
	struct values values;
};

static bool references_begin(struct reference_walk *walk, struct span record)
{
	if (record_open(record, &walk->record) != CX_OK) {
		return false;
	}
	walk->values = record_values(&walk->record, TAG_ALT_KEY);
	return true;
}

static bool references_next(struct reference_walk *walk, struct span *key)
{
	if (values_next(&walk->values, key)) {
		return true;
	}
	if (walk->values.tag == TAG_MEMBER_KEY) {
		return false;
	}
	walk->values = record_values(&walk->record, TAG_MEMBER_KEY);
	return values_next(&walk->values, key);
}

bool follow_names(const struct uuid_set *digests, struct span record)
{
	struct reference_walk walk;
	uint8_t digest[SYNC_UUID_SIZE];
	struct span key;

	if (digests->count == 0 || !references_begin(&walk, record)) {
		return false;
	}
	while (references_next(&walk, &key)) {
		if (follow_digest(key, digest) == CX_OK &&
		    uuid_set_has(digests, digest)) {
			return true;
		}
	}
	return false;
}

bool follow_dangles(struct store_writer *store, struct span record,
    const struct uuid_set *more)
{
	struct reference_walk walk;
	uint8_t digest[SYNC_UUID_SIZE];
	struct span key;

	if (!references_begin(&walk, record)) {
		return false;
	}
	while (references_next(&walk, &key)) {
		if (store_has_dn(store, key) == CX_NOTFOUND &&
		    (more == NULL || follow_digest(key, digest) != CX_OK ||
			!uuid_set_has(more, digest))) {
			return true;
		}
	}
	return false;
}

enum status follow_add_renames(const struct follow *follow, struct uuid_set *digests)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < follow->rename_count && status == CX_OK; i++) {
		if (follow->renames[i].change != FOLLOW_GONE) {
			status = uuid_set_add(digests, follow->renames[i].from);
		}
	}
	return status;
}

/* --- References to another name --- */

struct patch {
	const struct batch *batch;
	const struct follow *follow;
};

static int compare_renames(const void *a, const void *b)
{
	return memcmp(((const struct rename *)a)->from,
	    ((const struct rename *)b)->from, SYNC_UUID_SIZE);
}

static bool new_name(void *context, struct span key, struct span *dn)
{
	const struct patch *patch = context;
	const struct rename *found;
	struct rename wanted;
	struct record record;

	if (follow_digest(key, wanted.from) != CX_OK) {
		return false;
	}
	found = bsearch(&wanted, patch->follow->renames, patch->follow->rename_count,
	    sizeof(wanted), compare_renames);
	if (found == NULL || found->change == FOLLOW_GONE ||
	    record_open(batch_record(patch->batch,
			    &patch->batch->changes[found->change]),
		&record) != CX_OK) {
		return false;
	}
	*dn = record_first(&record, TAG_DN);
	return dn->len > 0;
}

/* The referrer as the batch has it, else as it is stored; CX_NOTFOUND: it goes. */
static enum status find_referrer(struct source *source, const struct batch *batch,
    const struct batch_latest *latest, const uint8_t uuid[SYNC_UUID_SIZE],
    struct span *out)
{
	struct record_id id = { .source = source->id };
	size_t at = batch_latest_find(latest, batch, uuid);

	if (at == FOLLOW_GONE || batch->changes[at].kind == CHANGE_SAME) {
		memcpy(id.uuid, uuid, sizeof(id.uuid));
		return store_get(source_store(source), &id, out);
	}
	*out = batch_record(batch, &batch->changes[at]);
	return batch->changes[at].kind == CHANGE_PUT ? CX_OK : CX_NOTFOUND;
}

static enum status patch_all(struct source *source, struct batch *batch,
    const struct batch_latest *latest, const struct follow *follow)
{
	struct patch patch = { batch, follow };
	enum status status = CX_OK;
	struct buf record;

	buf_init(&record);
	for (size_t i = 0; i < follow->referrers.count && status == CX_OK; i++) {
		const uint8_t *uuid = follow->referrers.list[i];
		bool is_changed = false;
		struct span found;

		status = find_referrer(source, batch, latest, uuid, &found);
		if (status == CX_OK) {
			status = mapping_retarget(found, new_name, &patch, &record,
			    &is_changed);
		}
		if (status == CX_NOTFOUND || status == CX_EFORMAT) {
			status = CX_OK;
		} else if (status == CX_OK && is_changed) {
			status = batch_put(batch, uuid, buf_span(&record));
		}
	}
	buf_release(&record);
	return status;
}

enum status follow_patch(struct source *source, struct batch *batch,
    const struct follow *follow)
{
	struct batch_latest latest;
	struct errbuf err;
	enum status status;

	if (follow->rename_count == 0 || follow->referrers.count == 0 ||
	    follow->referrers.count > PATCH_MAX) {
		return CX_OK;
	}
	/* By digest; nobody depends on the order in which they were found. */
	qsort(follow->renames, follow->rename_count, sizeof(follow->renames[0]),
	    compare_renames);
	status = batch_latest_init(&latest, batch);
	if (status == CX_OK) {
		status = store_begin(source_store(source), &err);
	}
	if (status == CX_OK) {
		status = patch_all(source, batch, &latest, follow);
		store_abort(source_store(source));
	}
	batch_latest_release(&latest);
	return status;
}
