#include "config.h"

#include "decide/lookup.h"

#include "decide/resolve.h"
#include "decide/wrapped.h"
#include "value/imcea.h"
#include "value/utf8.h"

/* Enough to see that there are two; more make no difference. */
#define OWNERS_MAX 4

void lookup_note_source(const struct view *view, uint8_t source, uint32_t *sources)
{
	unsigned precedence = snapshot_precedence(view->snapshot, source);

	if (sources != NULL && precedence < STORE_SOURCES_MAX) {
		*sources |= UINT32_C(1) << precedence;
	}
}

static enum status read_domain(const struct view *view, struct span pattern,
    struct domain *out, struct record_id *id)
{
	struct record record;
	enum status status = snapshot_by_domain(view->snapshot, pattern, id);

	if (status == CX_OK) {
		status = snapshot_record(view->snapshot, id, &record);
		/* An index that names no record is damage, not absence. */
		if (status == CX_NOTFOUND) {
			status = CX_EFORMAT;
		}
	}
	return status == CX_OK ? domain_decode(&record, out) : status;
}

static enum status search_domain(const struct view *view, struct span domain,
    struct domain *out, struct record_id *id)
{
	char pattern[ADDRESS_DOMAIN_MAX + 3];
	struct buf buf;
	struct span parent = domain;
	enum status status;
	const char *dot;

	status = read_domain(view, domain, out, id);
	while (status == CX_NOTFOUND && (dot = memchr(parent.ptr, '.', parent.len)) != NULL) {
		parent.len -= (size_t)(dot + 1 - parent.ptr);
		parent.ptr = dot + 1;
		buf_init_fixed(&buf, pattern, sizeof(pattern));
		buf_add_text(&buf, "*.");
		buf_add_span(&buf, parent);
		status = read_domain(view, buf_span(&buf), out, id);
	}
	return status;
}

struct view lookup_with_memo(const struct view *view, struct domain_memo *memo)
{
	struct view result = *view;

	if (result.memo == NULL) {
		memo->name_len = 0;
		result.memo = memo;
	}
	return result;
}

/* What is not known is not kept. */
static void memo_put(struct domain_memo *memo, struct span name, enum status status,
    const struct domain *domain, const struct record_id *id)
{
	if (name.len > sizeof(memo->name) || (status != CX_OK && status != CX_NOTFOUND)) {
		return;
	}
	memcpy(memo->name, name.ptr, name.len);
	memo->name_len = name.len;
	memo->status = status;
	if (status == CX_OK) {
		memo->domain = *domain;
		memo->id = *id;
	}
}

enum status find_domain(const struct view *view, struct span domain, struct domain *out,
    struct record_id *id)
{
	const struct domain_memo *memo = view->memo;
	enum status status;

	if (span_is_empty(domain) || domain.ptr[0] == '[') {
		return CX_NOTFOUND;
	}
	if (memo != NULL && memo->name_len == domain.len &&
	    memcmp(memo->name, domain.ptr, domain.len) == 0) {
		if (memo->status == CX_OK) {
			*out = memo->domain;
			*id = memo->id;
		}
		return memo->status;
	}
	status = search_domain(view, domain, out, id);
	if (status == CX_NOTFOUND && span_equal(domain, wrapped_domain(view->settings))) {
		*out = (struct domain){ .type = DOMAIN_RELAY,
			.unknown = DOMAIN_UNKNOWN_REJECT,
			.flags = DOMAIN_OF_SRS };
		*id = (struct record_id){ .source = UINT8_MAX };
		status = CX_OK;
	}
	if (memo != NULL) {
		memo_put(view->memo, domain, status, out, id);
	}
	return status;
}

static enum status read_recipient(const struct view *view, const struct record_id *id,
    struct recipient *out)
{
	struct record record;
	enum status status = snapshot_record(view->snapshot, id, &record);

	if (status == CX_OK) {
		status = record.kind == RECORD_RECIPIENT ? recipient_decode(&record, out)
							 : CX_NOTFOUND;
	} else if (status == CX_NOTFOUND) {
		status = CX_EFORMAT;
	}
	return status;
}

/*
 * The winner among the owners of a key at one rank: the directory named first; two in
 * one directory are ambiguous (*out is one of them). That somebody's target is the address
 * claims nothing, so among targets the first is as good as any.
 */
static enum status choose_owner(const struct address_owner *owners, size_t count,
    enum address_rank rank, struct record_id *out)
{
	size_t i, first = count;

	for (i = 0; i < count; i++) {
		if (owners[i].rank != rank) {
			continue;
		}
		if (first == count) {
			first = i;
		} else if (rank == RANK_OWN &&
		    owners[i].id.source == owners[first].id.source &&
		    !record_id_equal(&owners[i].id, &owners[first].id)) {
			*out = owners[first].id;
			return CX_EEXIST;
		}
	}
	if (first == count) {
		return CX_NOTFOUND;
	}
	*out = owners[first].id;
	return CX_OK;
}

static enum status owner_of_key(const struct view *view, const struct key *key,
    enum address_rank rank, struct record_id *out)
{
	struct address_owner owners[OWNERS_MAX];
	size_t count;
	enum status status =
	    snapshot_address_owners(view->snapshot, key, owners, OWNERS_MAX, &count);

	if (status != CX_OK) {
		return status;
	}
	return choose_owner(owners, count < OWNERS_MAX ? count : OWNERS_MAX, rank, out);
}

/* The inner address under which an encapsulated one is looked up. */
static enum status inner_for_lookup(const struct address *outer, struct address *inner)
{
	struct address decoded;
	enum status status = imcea_decode(outer, &decoded);

	if (status != CX_OK) {
		return status;
	}
	if (strcmp(decoded.type, "smtp") == 0 || strcmp(decoded.type, "x500") == 0) {
		return CX_NOTFOUND;
	}
	if (strcmp(decoded.type, "ex") == 0) {
		return address_make("x500",
		    (struct span){ decoded.local, decoded.local_len }, SPAN(""), inner);
	}
	*inner = decoded;
	return CX_OK;
}

/*
 * One key of an address: CX_NOTFOUND when nobody owns it. A custom recipient that only
 * has it as its target is remembered in `fallback` the first time.
 */
static enum status try_key(const struct view *view, const struct key *key,
    const struct found *how, struct found *out, struct found *fallback)
{
	struct address_owner owners[OWNERS_MAX];
	size_t count;
	enum status status =
	    snapshot_address_owners(view->snapshot, key, owners, OWNERS_MAX, &count);

	if (status != CX_OK) {
		return status;
	}
	if (count > OWNERS_MAX) {
		count = OWNERS_MAX;
	}
	*out = *how;
	out->rank = RANK_OWN;
	status = choose_owner(owners, count, RANK_OWN, &out->id);
	if (status == CX_NOTFOUND && fallback->rank != RANK_TARGET) {
		*fallback = *how;
		if (choose_owner(owners, count, RANK_TARGET, &fallback->id) == CX_OK) {
			fallback->rank = RANK_TARGET;
		}
	}
	return status;
}

/* The keys of an address in the order of SPEC section 4, until somebody owns one. */
static enum status try_keys(const struct view *view, const struct address *address,
    const struct address *inner, struct found *out)
{
	const char *delimiters = view->settings->recipient_delimiter;
	struct found how = { .by = FOUND_LITERALLY, .base_len = address->folded_len };
	struct found fallback = { .rank = RANK_OWN };
	struct key key;
	enum status status;

	address_key(address, &key);
	status = try_key(view, &key, &how, out, &fallback);
	if (status == CX_NOTFOUND && wrapped_is(view, address)) {
		return CX_NOTFOUND; /* nobody's: it stands for another */
	}
	if (status == CX_NOTFOUND && inner != NULL) {
		how.by = FOUND_ENCAPSULATED;
		address_key(inner, &key);
		status = try_key(view, &key, &how, out, &fallback);
	}
	how.by = FOUND_BY_BASE;
	while (status == CX_NOTFOUND && address_is_smtp(address) &&
	    address_next_base(address, delimiters, &how.base_len)) {
		address_key_base(address, how.base_len, &key);
		status = try_key(view, &key, &how, out, &fallback);
	}
	if (status == CX_NOTFOUND && fallback.rank == RANK_TARGET) {
		*out = fallback;
		status = CX_OK;
	}
	return status;
}

enum status lookup_address(const struct view *view, const struct address *address,
    struct found *out, uint32_t *sources)
{
	struct address inner;
	enum status decoded = CX_NOTFOUND;
	enum status status;

	if (address_is_smtp(address)) {
		decoded = inner_for_lookup(address, &inner);
	}
	if (decoded == CX_ENOMEM) {
		return CX_ETEMP;
	}
	status = try_keys(view, address, decoded == CX_OK ? &inner : NULL, out);
	if (status == CX_NOTFOUND && (decoded == CX_EINVAL || decoded == CX_ETOOLONG)) {
		return CX_EINVAL;
	}
	if (status == CX_OK) {
		lookup_note_source(view, out->id.source, sources);
		status = read_recipient(view, &out->id, &out->recipient);
		if (status == CX_NOTFOUND) {
			status = CX_EFORMAT;
		}
	}
	return status;
}

enum status lookup_dn(const struct view *view, struct span dn_key, struct found *out,
    uint32_t *sources)
{
	enum status status = snapshot_by_dn(view->snapshot, dn_key, &out->id);

	if (status != CX_OK) {
		return status;
	}
	out->by = FOUND_LITERALLY;
	out->rank = RANK_OWN;
	out->base_len = 0;
	lookup_note_source(view, out->id.source, sources);
	return read_recipient(view, &out->id, &out->recipient);
}

/* CX_EEXIST: two objects of the directory that wins; *out is one of them. */
static enum status owner_of_login(const struct view *view, struct span login,
    struct record_id *out)
{
	char memory[3 * ADDRESS_VALUE_MAX + 1];
	struct address_owner owners[OWNERS_MAX];
	struct buf folded;
	size_t count;
	enum status status;

	buf_init_fixed(&folded, memory, sizeof(memory));
	status = utf8_fold(login, &folded);
	if (status != CX_OK || folded.failed) {
		return status == CX_ENOMEM ? CX_ETEMP : CX_NOTFOUND;
	}
	status = snapshot_login_owners(view->snapshot, buf_span(&folded), owners, OWNERS_MAX,
	    &count);
	if (status != CX_OK) {
		return status;
	}
	return choose_owner(owners, count < OWNERS_MAX ? count : OWNERS_MAX, RANK_OWN, out);
}

static enum status owner_of_address_login(const struct view *view, struct span login,
    struct record_id *out)
{
	struct address address;
	struct key key;

	enum status status;

	if (memchr(login.len ? login.ptr : "", '@', login.len) == NULL) {
		return CX_NOTFOUND;
	}
	status = address_parse_internal(login, &address);
	if (status != CX_OK) {
		return status == CX_ENOMEM ? CX_ETEMP : CX_NOTFOUND;
	}
	address_key(&address, &key);
	return owner_of_key(view, &key, RANK_OWN, out);
}

static bool is_owned(enum status status)
{
	return status == CX_OK || status == CX_EEXIST;
}

/*
 * Who has it as a login name and who has it as an address: the same object, or the
 * directory named first wins, as it does with addresses; two in one are nobody.
 */
static enum status choose_login(const struct view *view, enum status by_name,
    struct record_id *id, enum status by_address, const struct record_id *other)
{
	unsigned mine, others;

	if (!is_owned(by_name) || !is_owned(by_address)) {
		if (by_name != CX_NOTFOUND) {
			return by_name;
		}
		*id = *other;
		return by_address;
	}
	mine = snapshot_precedence(view->snapshot, id->source);
	others = snapshot_precedence(view->snapshot, other->source);
	if (mine != others) {
		if (others < mine) {
			*id = *other;
		}
		return others < mine ? by_address : by_name;
	}
	return by_name == CX_OK && by_address == CX_OK && record_id_equal(id, other)
		   ? CX_OK
		   : CX_EEXIST;
}

enum status lookup_login(const struct view *view, struct span login, struct record_id *id,
    struct recipient *out)
{
	struct record_id other;
	enum status by_name = owner_of_login(view, login, id);
	enum status by_address = owner_of_address_login(view, login, &other);
	enum status status = choose_login(view, by_name, id, by_address, &other);

	return status == CX_OK ? read_recipient(view, id, out) : status;
}

/* CX_NOTFOUND: it is not encapsulated, or does not decode. CX_ETEMP. */
static enum status decode_any(const struct address *outer, struct address *inner)
{
	enum status status = imcea_decode(outer, inner);

	if (status == CX_OK) {
		return CX_OK;
	}
	return status == CX_ENOMEM ? CX_ETEMP : CX_NOTFOUND;
}

static bool is_trick(const struct address *inner)
{
	return strcmp(inner->type, "smtp") == 0 || strcmp(inner->type, "x500") == 0;
}

enum status lookup_inner(const struct address *outer, struct address *inner)
{
	enum status status = decode_any(outer, inner);

	return status == CX_OK &&
		(is_trick(inner) || strcmp(inner->type, "ex") == 0) ? CX_NOTFOUND : status;
}

enum status lookup_trick(const struct address *address)
{
	struct address inner;
	enum status status = decode_any(address, &inner);

	return status == CX_OK && !is_trick(&inner) ? CX_NOTFOUND : status;
}

/* The first address of `values` that lies in a domain of ours; only `owner`'s if there is one. */
static enum status first_of_ours(const struct view *view, const struct record_id *owner,
    struct values values, struct address *out)
{
	struct domain domain;
	struct record_id id;
	struct span text;
	struct key key;
	enum status status;

	while (values_next(&values, &text)) {
		status = address_parse_typed(text, out);
		if (status == CX_ENOMEM) {
			return CX_ETEMP;
		}
		if (status != CX_OK || !address_is_smtp(out)) {
			continue;
		}
		status = find_domain(view, (struct span){ out->domain, out->domain_len },
		    &domain, &id);
		if (status == CX_OK && owner == NULL) {
			return CX_OK;
		}
		if (status == CX_OK) {
			address_key(out, &key);
			status = owner_of_key(view, &key, RANK_OWN, &id);
			if (status == CX_OK && record_id_equal(&id, owner)) {
				return CX_OK;
			}
		}
		if (status == CX_ETEMP || status == CX_EFORMAT) {
			return status;
		}
	}
	return CX_NOTFOUND;
}

static enum status find_primary(const struct view *view, const struct recipient *r,
    const struct record_id *owner, struct address *out)
{
	enum status status = first_of_ours(view, owner, r->primaries, out);

	if (status == CX_NOTFOUND) {
		status = first_of_ours(view, owner, r->mails, out);
	}
	if (status == CX_NOTFOUND) {
		status = first_of_ours(view, owner, r->proxies, out);
	}
	return status;
}

enum status lookup_primary(const struct view *view, const struct found *found,
    struct address *out)
{
	return find_primary(view, &found->recipient, &found->id, out);
}

enum status lookup_claimed(const struct view *view, const struct recipient *recipient,
    struct address *out)
{
	return find_primary(view, recipient, NULL, out);
}
