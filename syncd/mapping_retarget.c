#include "config.h"

#include "syncd/mapping_build.h"
#include "value/dn.h"

/* Pairs of key and DN, those that have another name under that. */
static enum status read_references(const struct record *record,
    enum record_tag keys_tag, enum record_tag dns_tag, mapping_renamed *renamed,
    void *context, struct value_list *list, bool *changed)
{
	struct values keys = record_values(record, keys_tag);
	struct values dns = record_values(record, dns_tag);
	enum status status = CX_OK;
	struct span text, dn, other;

	while (status == CX_OK && values_next(&keys, &text) && values_next(&dns, &dn)) {
		struct key key;

		if (renamed(context, text, &other) && dn_key(other, &key) == CX_OK) {
			*changed = true;
			status = value_list_add(list, key_span(&key), other);
		} else {
			status = value_list_add(list, text, dn);
		}
	}
	value_list_sort(list);
	return status;
}

static void copy_values(const struct record *record, struct buf *out,
    enum record_tag tag)
{
	struct values values = record_values(record, tag);
	struct span value;

	while (values_next(&values, &value)) {
		record_put(out, tag, value);
	}
}

static void write_record(const struct record *record,
    const struct value_list *alternates, const struct value_list *members,
    struct buf *out)
{
	record_begin(out, record->kind);
	for (int i = 1; i <= TAG_MAX; i++) {
		enum record_tag tag = (enum record_tag)i;

		if (tag == TAG_ALT_KEY) {
			value_list_put(alternates, out, tag);
		} else if (tag == TAG_ALT_DN) {
			value_list_put_raw(alternates, out, tag);
		} else if (tag == TAG_MEMBER_KEY) {
			value_list_put(members, out, tag);
		} else if (tag == TAG_MEMBER_DN) {
			value_list_put_raw(members, out, tag);
		} else {
			copy_values(record, out, tag);
		}
	}
}

enum status mapping_retarget(struct span stored, mapping_renamed *renamed,
    void *context, struct buf *out, bool *changed)
{
	struct value_list alternates, members;
	struct record record;
	enum status status = record_open(stored, &record);

	*changed = false;
	if (status != CX_OK) {
		return status;
	}
	value_list_init(&alternates);
	value_list_init(&members);
	if ((status = read_references(&record, TAG_ALT_KEY, TAG_ALT_DN, renamed,
		 context, &alternates, changed)) == CX_OK &&
	    (status = read_references(&record, TAG_MEMBER_KEY, TAG_MEMBER_DN, renamed,
		 context, &members, changed)) == CX_OK) {
		write_record(&record, &alternates, &members, out);
		status = out->failed ? CX_ENOMEM : CX_OK;
	}
	value_list_release(&alternates);
	value_list_release(&members);
	return status;
}
