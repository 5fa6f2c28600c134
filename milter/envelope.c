#include "config.h"

#include "milter/envelope.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* From here on it pays to look for an equal list before keeping another. */
#define LONG_LIST 8

void envelope_init(struct envelope *envelope)
{
	*envelope = (struct envelope){ 0 };
	pool_init(&envelope->pool);
	keytab_init(&envelope->expanded_ids);
	keytab_init(&envelope->by_key);
	keytab_init(&envelope->decided);
	keytab_init(&envelope->groups);
}

void envelope_release(struct envelope *envelope)
{
	pool_release(&envelope->pool);
	keytab_release(&envelope->expanded_ids);
	keytab_release(&envelope->by_key);
	keytab_release(&envelope->decided);
	keytab_release(&envelope->groups);
	free(envelope->recipients);
	free(envelope->addresses);
	free(envelope->expanded);
	envelope_init(envelope);
}

void envelope_begin(struct envelope *envelope, enum mta mta, bool is_local_submission)
{
	envelope_release(envelope);
	envelope->mta = mta;
	envelope->is_local_submission = is_local_submission;
}

/* Room for one more element in a growing array. */
static enum status reserve(void **array, size_t *size, size_t count, size_t element)
{
	size_t larger = *size ? *size * 2 : 8;
	void *memory;

	if (count < *size) {
		return CX_OK;
	}
	memory = reallocarray(*array, larger, element);
	if (memory == NULL) {
		return CX_ENOMEM;
	}
	*array = memory;
	*size = larger;
	return CX_OK;
}

static enum status intern(struct envelope *envelope, struct span key, struct span text,
    uint32_t *index)
{
	void *array = envelope->addresses;
	struct envelope_address address = { 0 };
	enum status status;

	*index = keytab_find(&envelope->by_key, key);
	if (*index != KEYTAB_NONE) {
		return CX_OK;
	}
	status = reserve(&array, &envelope->address_size, envelope->address_count,
	    sizeof(*envelope->addresses));
	if (status != CX_OK) {
		return status;
	}
	envelope->addresses = array;
	address.key = pool_copy(&envelope->pool, key);
	address.text = pool_copy(&envelope->pool, text);
	if (address.key.ptr == NULL || address.text.ptr == NULL) {
		return CX_ENOMEM;
	}
	*index = (uint32_t)envelope->address_count;
	status = keytab_add(&envelope->by_key, address.key, *index);
	if (status == CX_OK) {
		envelope->addresses[envelope->address_count++] = address;
	}
	return status;
}

/* The address of an entry; what did not parse, or is replaced, is an address of its own. */
static enum status intern_own(struct envelope *envelope,
    const struct envelope_entry *entry, uint32_t *index)
{
	char *key;

	if (entry->key.len > 0 && !entry->is_replaced) {
		return intern(envelope, entry->key, entry->text, index);
	}
	key = pool_get(&envelope->pool, entry->typed.len + 1);
	if (key == NULL) {
		return CX_ENOMEM;
	}
	key[0] = '?';
	if (entry->typed.len > 0) {
		memcpy(key + 1, entry->typed.ptr, entry->typed.len);
	}
	return intern(envelope, (struct span){ key, entry->typed.len + 1 },
	    entry->typed, index);
}

static enum status append(struct envelope *envelope, const struct envelope_entry *entry,
    struct envelope_recipient recipient)
{
	void *array = envelope->recipients;
	struct span key = envelope->addresses[recipient.address].key;
	uint32_t index = (uint32_t)envelope->recipient_count;
	enum status status = reserve(&array, &envelope->recipient_size,
	    envelope->recipient_count, sizeof(*envelope->recipients));

	if (status != CX_OK) {
		return status;
	}
	envelope->recipients = array;
	recipient.typed = pool_copy(&envelope->pool, entry->typed);
	recipient.dsn = *entry->dsn;
	recipient.dsn.orcpt = pool_copy(&envelope->pool, entry->dsn->orcpt);
	if (recipient.typed.ptr == NULL || recipient.dsn.orcpt.ptr == NULL) {
		return CX_ENOMEM;
	}
	if (keytab_find(&envelope->decided, key) == KEYTAB_NONE) {
		status = keytab_add(&envelope->decided, key, index);
	}
	if (status == CX_OK) {
		envelope->recipients[envelope->recipient_count++] = recipient;
	}
	return status;
}

/* Nothing can be refused in a local submission, which is no stranger's. */
static bool may_have_more(const struct envelope *envelope)
{
	return envelope->recipient_count < ENVELOPE_RECIPIENTS_MAX ||
	       envelope->is_local_submission;
}

const struct envelope_recipient *envelope_find(const struct envelope *envelope,
    struct span key)
{
	uint32_t index = keytab_find(&envelope->decided, key);

	return index == KEYTAB_NONE ? NULL : &envelope->recipients[index];
}

enum status envelope_add_untouched(struct envelope *envelope,
    const struct envelope_entry *entry)
{
	struct envelope_recipient recipient = { 0 };
	enum status status;

	if (!may_have_more(envelope)) {
		return CX_EFULL;
	}
	status = intern_own(envelope, entry, &recipient.address);
	return status == CX_OK ? append(envelope, entry, recipient) : status;
}

enum status envelope_add_same(struct envelope *envelope,
    const struct envelope_entry *entry, const struct envelope_recipient *other)
{
	struct envelope_recipient recipient = *other;
	enum status status = CX_OK;

	if (!may_have_more(envelope)) {
		return CX_EFULL;
	}
	if (entry->is_replaced) {
		status = intern_own(envelope, entry, &recipient.address);
	}
	return status == CX_OK ? append(envelope, entry, recipient) : status;
}

/* How many deliveries of the resolution no other recipient of the message has. */
static size_t count_new(const struct envelope *envelope,
    const struct resolution *resolution)
{
	size_t count = 0;

	for (size_t i = 0; i < resolution->delivery_count; i++) {
		uint32_t index =
		    keytab_find(&envelope->by_key, resolution->deliveries[i].key);

		if (index == KEYTAB_NONE || !envelope->addresses[index].is_target) {
			count++;
		}
	}
	return count;
}

/* `own`: what an unchanged delivery is; NULL: an address like others. */
static enum status make_paths(struct envelope *envelope, const uint32_t *own,
    const struct resolution *resolution, struct envelope_path *paths)
{
	for (size_t i = 0; i < resolution->delivery_count; i++) {
		const struct delivery *delivery = &resolution->deliveries[i];
		uint32_t index;

		if (delivery->is_unchanged && own != NULL) {
			index = *own;
		} else {
			enum status status =
			    intern(envelope, delivery->key, delivery->address, &index);

			if (status != CX_OK) {
				return status;
			}
		}
		if (!envelope->addresses[index].is_target) {
			envelope->addresses[index].is_target = true;
			envelope->delivery_count++;
		}
		if (delivery->is_foreign && !delivery->is_unchanged &&
		    span_is_empty(delivery->next_hop)) {
			envelope->addresses[index].is_leaving = true;
		}
		paths[i] = (struct envelope_path){ .address = index,
			.kind = (uint8_t)delivery->kind,
			.rule = (uint8_t)delivery->rule };
	}
	return CX_OK;
}

/* The same list of another recipient, or NULL. */
static const struct envelope_path *find_equal_list(const struct envelope *envelope,
    const struct envelope_path *paths, size_t count)
{
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct envelope_recipient *other = &envelope->recipients[i];
		size_t same = 0;

		if (other->path_count != count) {
			continue;
		}
		while (same < count &&
		       other->paths[same].address == paths[same].address &&
		       other->paths[same].kind == paths[same].kind) {
			same++;
		}
		if (same == count) {
			return other->paths;
		}
	}
	return NULL;
}

/* Keeps the list that was built in `paths` for as long as the message lives. */
static enum status keep_paths(struct envelope *envelope,
    const struct envelope_path *paths, size_t count, const struct envelope_path **out)
{
	struct envelope_path *copy;

	*out = count >= LONG_LIST ? find_equal_list(envelope, paths, count) : NULL;
	if (*out) {
		return CX_OK;
	}
	copy = pool_get(&envelope->pool, count * sizeof(*copy));
	if (copy == NULL) {
		return CX_ENOMEM;
	}
	memcpy(copy, paths, count * sizeof(*copy));
	envelope->path_total += count;
	*out = copy;
	return CX_OK;
}

static enum status note_expanded(struct envelope *envelope,
    const struct resolution *resolution)
{
	for (size_t i = 0; i < resolution->expanded_count; i++) {
		struct span id = { (const char *)resolution->expanded[i], 16 };
		void *array = envelope->expanded;

		if (envelope->expanded_count == ENVELOPE_EXPANDED_MAX) {
			break;
		}
		if (keytab_find(&envelope->expanded_ids, id) != KEYTAB_NONE) {
			continue;
		}
		id = pool_copy(&envelope->pool, id);
		if (id.ptr == NULL ||
		    reserve(&array, &envelope->expanded_size, envelope->expanded_count,
			sizeof(*envelope->expanded)) != CX_OK) {
			return CX_ENOMEM;
		}
		envelope->expanded = array;
		if (keytab_add(&envelope->expanded_ids, id,
			(uint32_t)envelope->expanded_count) != CX_OK) {
			return CX_ENOMEM;
		}
		memcpy(envelope->expanded[envelope->expanded_count++], id.ptr, 16);
	}
	return CX_OK;
}

#define GROUP_KEY_SIZE 19

/* `memory` backs it. */
static struct span group_key(const struct record_id *id, enum delivery_kind kind,
    bool wants_failures, char memory[GROUP_KEY_SIZE])
{
	memory[0] = (char)id->source;
	memcpy(memory + 1, id->uuid, sizeof(id->uuid));
	memory[1 + sizeof(id->uuid)] = (char)kind;
	memory[2 + sizeof(id->uuid)] = (char)wants_failures;
	return (struct span){ memory, GROUP_KEY_SIZE };
}

static bool was_expanded(const struct envelope *envelope, const struct record_id *group,
    enum delivery_kind kind, bool wants_failures)
{
	char memory[GROUP_KEY_SIZE];

	return keytab_find(&envelope->groups,
		   group_key(group, kind, wants_failures, memory)) != KEYTAB_NONE;
}

/* As the plan chooses between two that lead to one address. */
bool envelope_is_covered(void *context, const struct record_id *group,
    enum delivery_kind kind)
{
	const struct envelope_asker *asker = context;
	const struct envelope *envelope = asker->envelope;

	if (was_expanded(envelope, group, kind, true) ||
	    (!asker->wants_failures && was_expanded(envelope, group, kind, false))) {
		return true;
	}
	return kind > DELIVERY_GROUP &&
	       (was_expanded(envelope, group, DELIVERY_GROUP, true) ||
		   was_expanded(envelope, group, DELIVERY_GROUP, false));
}

/* For recipients to come. One that is not noted, for want of memory, is expanded again. */
static void note_groups(struct envelope *envelope, const struct resolution *resolution,
    bool wants_failures)
{
	for (size_t i = 0; i < resolution->group_count; i++) {
		const struct expanded_group *group = &resolution->groups[i];
		char memory[GROUP_KEY_SIZE];
		struct span key = group_key(&group->id, group->kind, wants_failures,
		    memory);

		if (keytab_find(&envelope->groups, key) != KEYTAB_NONE) {
			continue;
		}
		key = pool_copy(&envelope->pool, key);
		if (key.ptr == NULL || keytab_add(&envelope->groups, key, 0) != CX_OK) {
			return;
		}
	}
}

/* The paths of a resolution, kept for as long as the message lives. */
static enum status add_paths(struct envelope *envelope, const struct envelope_entry *entry,
    const struct resolution *resolution, struct envelope_recipient *recipient)
{
	struct envelope_path *paths;
	enum status status;

	if (recipient->path_count == 0) {
		return CX_OK;
	}
	paths = reallocarray(NULL, recipient->path_count, sizeof(*paths));
	if (paths == NULL) {
		return CX_ENOMEM;
	}
	status = make_paths(envelope, entry->is_replaced ? NULL : &recipient->address,
	    resolution, paths);
	if (status == CX_OK) {
		status = keep_paths(envelope, paths, recipient->path_count,
		    &recipient->paths);
	}
	free(paths);
	return status;
}

enum status envelope_add(struct envelope *envelope, const struct envelope_entry *entry,
    const struct resolution *resolution, unsigned max_deliveries)
{
	struct envelope_recipient recipient = { .path_count = resolution->delivery_count,
		.is_covered = resolution->is_covered,
		.was_here = resolution->was_here };
	enum status status;

	assert(resolution->delivery_count > 0 || resolution->is_covered);
	if (!may_have_more(envelope) ||
	    envelope->delivery_count + count_new(envelope, resolution) >
		max_deliveries ||
	    envelope->path_total + resolution->delivery_count >
		(size_t)max_deliveries * ENVELOPE_PATHS_PER_DELIVERY) {
		return CX_EFULL;
	}
	status = intern_own(envelope, entry, &recipient.address);
	if (status == CX_OK) {
		status = add_paths(envelope, entry, resolution, &recipient);
	}
	if (status == CX_OK) {
		status = note_expanded(envelope, resolution);
	}
	if (status == CX_OK) {
		recipient.object = pool_copy(&envelope->pool, resolution->object);
		status = recipient.object.ptr ? append(envelope, entry, recipient)
					      : CX_ENOMEM;
	}
	/* Only now is it sure that they are expanded. */
	if (status == CX_OK) {
		note_groups(envelope, resolution, dsn_wants_failures(entry->dsn));
	}
	return status;
}

struct span envelope_text(const struct envelope *envelope,
    const struct envelope_recipient *recipient)
{
	return envelope->addresses[recipient->address].text;
}

bool envelope_is_replaced(const struct envelope *envelope,
    const struct envelope_recipient *recipient)
{
	struct span key = envelope->addresses[recipient->address].key;

	return recipient->path_count > 0 && key.len > 0 && key.ptr[0] == '?';
}

bool envelope_keeps_itself(const struct envelope_recipient *recipient)
{
	for (size_t i = 0; i < recipient->path_count; i++) {
		if (recipient->paths[i].address == recipient->address) {
			return true;
		}
	}
	return envelope_is_untouched(recipient);
}

bool envelope_changes_nothing(const struct envelope *envelope)
{
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct envelope_recipient *recipient = &envelope->recipients[i];

		if (recipient->is_covered || recipient->path_count > 1 ||
		    !envelope_keeps_itself(recipient)) {
			return false;
		}
	}
	return envelope->expanded_count == 0;
}
