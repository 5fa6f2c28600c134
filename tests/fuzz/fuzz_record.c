#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/index.h"
#include "replica/recipient.h"

/* Stored records: an input is the bytes of one, as a damaged replica might hold them. */

static bool is_within(struct span part, struct span whole)
{
	return part.len == 0 ||
	       (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_values(struct values values, struct span whole)
{
	size_t count = values_count(values);
	struct span value;

	FUZZ_CHECK(is_within(values.rest, whole));
	while (values_next(&values, &value)) {
		FUZZ_CHECK(is_within(value, whole));
		FUZZ_CHECK(value.len <= RECORD_VALUE_MAX);
		count--;
	}
	FUZZ_CHECK(count == 0);
}

/* Writing what was read gives the same bytes: there is one form only. */
static void check_written_again(const struct record *record, struct span stored)
{
	struct buf buf;

	buf_init(&buf);
	record_begin(&buf, record->kind);
	for (int tag = 1; tag <= TAG_MAX; tag++) {
		struct values values = record_values(record, (enum record_tag)tag);
		struct span value;

		while (values_next(&values, &value)) {
			record_put(&buf, (enum record_tag)tag, value);
		}
	}
	FUZZ_CHECK(!buf.failed);
	FUZZ_CHECK(span_equal(buf_span(&buf), stored));
	buf_release(&buf);
}

static void check_decoders(const struct record *record, struct span stored)
{
	struct recipient recipient;
	struct connector connector;
	struct domain domain;

	if (recipient_decode(record, &recipient) == CX_OK) {
		FUZZ_CHECK(record->kind == RECORD_RECIPIENT);
		FUZZ_CHECK(is_within(recipient.target, stored));
		check_values(recipient.primaries, stored);
		check_values(recipient.mails, stored);
		check_values(recipient.proxies, stored);
		check_values(recipient.members, stored);
		check_values(recipient.member_addresses, stored);
	}
	if (domain_decode(record, &domain) == CX_OK) {
		FUZZ_CHECK(record->kind == RECORD_DOMAIN);
		FUZZ_CHECK(strcmp(domain_type_text(domain.type), "unknown") != 0);
		check_values(domain.patterns, stored);
	}
	if (connector_decode(record, &connector) == CX_OK) {
		FUZZ_CHECK(record->kind == RECORD_CONNECTOR);
		FUZZ_CHECK(is_within(connector.name, stored));
		check_values(connector.spaces, stored);
		check_values(connector.relay_certificates, stored);
	}
}

/* Keys that LMDB takes, in order, each entry once. */
static void check_index(const struct index_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct span key = index_key(set, &set->entries[i]);

		FUZZ_CHECK(key.len > 0 && key.len <= INDEX_KEY_MAX);
		FUZZ_CHECK(i == 0 || index_compare(set, &set->entries[i - 1], set,
					 &set->entries[i]) < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span stored = { (const char *)data, size };
	struct record_id id = { .source = 1 };
	struct index_set set;
	struct record record;

	index_init(&set);
	if (record_open(stored, &record) == CX_OK) {
		check_decoders(&record, stored);
		check_written_again(&record, stored);
		if (index_build(&id, stored, &set) == CX_OK) {
			check_index(&set);
		}
	} else {
		FUZZ_CHECK(index_build(&id, stored, &set) == CX_EINVAL);
	}
	index_release(&set);
	return 0;
}
