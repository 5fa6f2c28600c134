#include "config.h"

#include "replica/index.h"

#include <stdlib.h>
#include <string.h>

#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "value/dn.h"

void index_put_id(uint8_t out[INDEX_ID_SIZE], const struct record_id *id)
{
	out[0] = id->source;
	memcpy(out + 1, id->uuid, sizeof(id->uuid));
}

void index_get_id(const uint8_t bytes[INDEX_ID_SIZE], struct record_id *out)
{
	out->source = bytes[0];
	memcpy(out->uuid, bytes + 1, sizeof(out->uuid));
}

struct span index_name_key(struct span name, char memory[INDEX_KEY_MAX])
{
	if (name.len > INDEX_KEY_MAX) {
		return (struct span){ NULL, 0 };
	}
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		memory[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	return (struct span){ memory, name.len };
}

void index_net_key(unsigned prefix_len, const struct ip *ip,
    uint8_t out[INDEX_NET_KEY_SIZE])
{
	out[0] = (uint8_t)prefix_len;
	memcpy(out + 1, ip->bytes, sizeof(ip->bytes));
}

void index_init(struct index_set *set)
{
	*set = (struct index_set){ 0 };
	buf_init(&set->bytes);
}

void index_release(struct index_set *set)
{
	free(set->entries);
	buf_release(&set->bytes);
	index_init(set);
}

struct span index_key(const struct index_set *set, const struct index_entry *entry)
{
	return (struct span){ set->bytes.data + entry->key_at, entry->key_len };
}

struct span index_shape(const struct index_set *set, const struct index_entry *entry)
{
	return (struct span){ set->bytes.data + entry->shape_at, entry->shape_len };
}

int index_compare(const struct index_set *a_set, const struct index_entry *a,
    const struct index_set *b_set, const struct index_entry *b)
{
	if (a->kind != b->kind) {
		return a->kind < b->kind ? -1 : 1;
	}
	int order = span_compare(index_key(a_set, a), index_key(b_set, b));

	/* Of one kind all values have one length. */
	return order ? order : memcmp(a->value, b->value, a->value_len);
}

/* What the functions below add to: the set, and whose entries these are. */
struct builder {
	struct index_set *set;
	uint8_t id[INDEX_ID_SIZE];
};

static struct index_entry *set_extend(struct index_set *set)
{
	if (set->count == set->room) {
		size_t room = set->room ? 2 * set->room : 16;
		struct index_entry *entries =
		    reallocarray(set->entries, room, sizeof(*entries));

		if (!entries) {
			set->failed = true;
			return NULL;
		}
		set->entries = entries;
		set->room = room;
	}
	return &set->entries[set->count++];
}

static struct index_entry *add_key(struct builder *builder, enum index_kind kind,
    struct span key)
{
	struct index_set *set = builder->set;

	if (key.len == 0 || key.len > INDEX_KEY_MAX) {
		return NULL;
	}
	struct index_entry *entry = set_extend(set);

	if (entry) {
		*entry = (struct index_entry){
			.kind = kind, .key_at = set->bytes.len, .key_len = key.len
		};
		buf_add_span(&set->bytes, key);
	}
	return entry;
}

static void add(struct builder *builder, enum index_kind kind, struct span key,
    uint8_t order)
{
	struct index_entry *entry = add_key(builder, kind, key);

	if (entry) {
		entry->value_len = INDEX_VALUE_SIZE;
		entry->value[0] = order;
		memcpy(entry->value + 1, builder->id, INDEX_ID_SIZE);
	}
}

static void add_values(struct builder *builder, enum index_kind kind,
    struct values values)
{
	struct span value;

	while (values_next(&values, &value)) {
		add(builder, kind, value, 0);
	}
}

/* What has no address has no key; without memory for it there is no index. */
static bool address_key_of(struct builder *builder, struct span text, struct key *out)
{
	struct address address;
	enum status status = address_parse_typed(text, &address);

	if (status == CX_OK) {
		address_key(&address, out);
	} else if (status == CX_ENOMEM) {
		builder->set->failed = true;
	}
	return status == CX_OK;
}

static void add_own_addresses(struct builder *builder, struct values values)
{
	struct span value;
	struct key key;

	while (values_next(&values, &value)) {
		if (address_key_of(builder, value, &key)) {
			add(builder, INDEX_ADDR, key_span(&key), RANK_OWN);
		}
	}
}

static bool has_address(const struct index_set *set, const struct key *key)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->entries[i].kind == INDEX_ADDR &&
		    span_equal(index_key(set, &set->entries[i]), key_span(key))) {
			return true;
		}
	}
	return false;
}

static void add_addresses(struct builder *builder, const struct recipient *recipient)
{
	struct key key;

	add_own_addresses(builder, recipient->primaries);
	add_own_addresses(builder, recipient->mails);
	add_own_addresses(builder, recipient->proxies);
	/* A target that is one of its own addresses is just that. */
	if (!span_is_empty(recipient->target) &&
	    !(recipient->flags & RECIPIENT_TARGET_NOT_OWN) &&
	    address_key_of(builder, recipient->target, &key) &&
	    !has_address(builder->set, &key)) {
		add(builder, INDEX_ADDR, key_span(&key), RANK_TARGET);
	}
}

static enum status add_recipient(struct builder *builder, const struct record *record)
{
	struct recipient recipient;
	enum status status = recipient_decode(record, &recipient);
	struct key key;

	if (status != CX_OK) {
		return status;
	}
	add_addresses(builder, &recipient);
	add_values(builder, INDEX_LOGIN, recipient.logins);
	if (!span_is_empty(recipient.dn)) {
		status = dn_key(recipient.dn, &key);
		if (status == CX_ENOMEM) {
			return status;
		}
		if (status == CX_OK) {
			add(builder, INDEX_DN, key_span(&key), 0);
		}
	}
	add_values(builder, INDEX_REF, recipient.alternates);
	add_values(builder, INDEX_REF, recipient.members);
	return CX_OK;
}

static enum status add_domain(struct builder *builder, const struct record *record)
{
	struct domain domain;
	enum status status = domain_decode(record, &domain);

	if (status == CX_OK) {
		add_values(builder, INDEX_DOMAIN, domain.patterns);
	}
	return status;
}

static void add_space(struct builder *builder, struct span text)
{
	struct index_set *set = builder->set;
	struct address_space space;

	enum status status = address_space_parse(text, &space);

	if (status == CX_ENOMEM) {
		set->failed = true;
	}
	if (status != CX_OK) {
		return;
	}
	struct index_entry *entry =
	    add_key(builder, INDEX_SPACE, key_span(&space.pattern));

	if (!entry) {
		return;
	}
	entry->shape_at = set->bytes.len;
	entry->shape_len = space.shape.len;
	buf_add_span(&set->bytes, key_span(&space.shape));
	entry->value_len = INDEX_SPACE_SIZE;
	for (int i = 0; i < 4; i++) {
		entry->value[i] = (uint8_t)(space.cost >> (24 - 8 * i));
	}
	entry->value[4] = (uint8_t)(space.literals >> 8);
	entry->value[5] = (uint8_t)space.literals;
	entry->value[6] = space.is_exact;
	memcpy(entry->value + 7, builder->id, INDEX_ID_SIZE);
}

static void add_net(struct builder *builder, const struct cidr *cidr,
    enum net_role role)
{
	uint8_t key[INDEX_NET_KEY_SIZE];

	index_net_key(cidr->prefix_len, &cidr->ip, key);
	/* The strongest first: what is denied, what is allowed, who is behind. */
	add(builder, INDEX_NET, (struct span){ (const char *)key, sizeof(key) },
	    (uint8_t)(NET_RELAY_DENY - role));
}

static void add_nets(struct builder *builder, const struct connector *connector)
{
	struct values peers = connector->peers;
	struct values clients = connector->relay_clients;
	struct span value;
	struct cidr cidr;

	while (values_next(&peers, &value)) {
		if (cidr_parse(value, &cidr) == CX_OK && !cidr.is_negated) {
			add_net(builder, &cidr, NET_PEER);
		}
	}
	while (values_next(&clients, &value)) {
		if (cidr_parse(value, &cidr) == CX_OK) {
			add_net(builder, &cidr,
			    cidr.is_negated ? NET_RELAY_DENY : NET_RELAY_ALLOW);
		}
	}
}

static enum status add_connector(struct builder *builder, const struct record *record)
{
	struct connector connector;
	enum status status = connector_decode(record, &connector);
	char memory[INDEX_KEY_MAX];
	struct values spaces;
	struct span value;

	if (status != CX_OK) {
		return status;
	}
	add(builder, INDEX_CONNECTOR, index_name_key(connector.name, memory), 0);
	/* A disabled one is known by name, and otherwise as if it were not there. */
	if (connector.flags & CONNECTOR_DISABLED) {
		return CX_OK;
	}
	spaces = connector.spaces;
	while (values_next(&spaces, &value)) {
		add_space(builder, value);
	}
	add_nets(builder, &connector);
	add_values(builder, INDEX_CERT, connector.relay_certificates);
	return CX_OK;
}

static int compare_entries(const void *a, const void *b, void *set)
{
	return index_compare(set, a, set, b);
}

static void sort_and_deduplicate(struct index_set *set)
{
	size_t kept = 0;

	if (set->count < 2) {
		return;
	}
	qsort_r(set->entries, set->count, sizeof(*set->entries), compare_entries, set);
	for (size_t i = 1; i < set->count; i++) {
		if (compare_entries(&set->entries[kept], &set->entries[i], set) != 0) {
			set->entries[++kept] = set->entries[i];
		}
	}
	set->count = kept + 1;
}

enum status index_build(const struct record_id *id, struct span stored,
    struct index_set *set)
{
	struct builder builder = { .set = set };
	struct record record;
	enum status status;

	set->count = 0;
	set->failed = false;
	buf_clear(&set->bytes);
	index_put_id(builder.id, id);
	if (record_open(stored, &record) != CX_OK) {
		return CX_EINVAL;
	}
	switch (record.kind) {
	case RECORD_RECIPIENT: status = add_recipient(&builder, &record); break;
	case RECORD_DOMAIN: status = add_domain(&builder, &record); break;
	case RECORD_CONNECTOR: status = add_connector(&builder, &record); break;
	case RECORD_CONTAINER: status = CX_OK; break;
	default: status = CX_EFORMAT; break;
	}
	if (status == CX_EFORMAT) {
		return CX_EINVAL;
	}
	if (status == CX_ENOMEM || set->failed || set->bytes.failed) {
		return CX_ENOMEM;
	}
	sort_and_deduplicate(set);
	return status;
}
