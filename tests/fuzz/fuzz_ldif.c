#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "replica/index.h"
#include "syncd/ldif_parse.h"
#include "syncd/mapping.h"

/*
 * An LDIF file, from its bytes to what the replica would store: what is read maps to a
 * sound record or to a reason, in every mapping.
 */

enum {
	MAPPINGS = 3
};
static struct mapping *mappings[MAPPINGS];

static struct mapping *make_mapping(const char *name)
{
	struct conf_directory directory = { .name = "fuzz",
		.mapping = name,
		.filter = "",
		.provides_recipients = true,
		.provides_domains = true,
		.provides_connectors = true };
	struct mapping *mapping;
	struct errbuf err;

	FUZZ_CHECK(mapping_new(&directory, &mapping, &err) == CX_OK);
	return mapping;
}

static void check_text(void *context, const char *text)
{
	(void)context;
	FUZZ_CHECK(*text);
	for (; *text; text++) {
		FUZZ_CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
	}
}

static void check_record(struct span bytes)
{
	struct record_id id = { .source = 1 };
	struct record record;
	struct index_set set;

	FUZZ_CHECK(record_open(bytes, &record) == CX_OK);
	FUZZ_CHECK(!span_is_empty(record_first(&record, TAG_DN)));
	index_init(&set);
	FUZZ_CHECK(index_build(&id, bytes, &set) == CX_OK);
	index_release(&set);
}

static enum status visit(void *context, const struct ldif_entry *entry)
{
	struct errbuf why = { "" };
	struct buf record;

	FUZZ_CHECK(entry->line > *(unsigned long *)context);
	*(unsigned long *)context = entry->line;
	buf_init(&record);
	for (size_t i = 0; i < MAPPINGS; i++) {
		buf_clear(&record);
		enum status status = mapping_apply(mappings[i], &entry->entry, &record,
		    &why, check_text, NULL);

		FUZZ_CHECK(status == CX_OK || status == CX_NOTFOUND ||
			   status == CX_EINVAL);
		if (status == CX_OK) {
			check_record(buf_span(&record));
		} else if (status == CX_EINVAL) {
			check_text(NULL, why.text);
		}
	}
	buf_release(&record);
	return CX_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errbuf err = { "" };
	unsigned long line = 0;
	char *text = malloc(size + 1);

	FUZZ_CHECK(text != NULL);
	if (!mappings[0]) {
		mappings[0] = make_mapping("coexist");
		mappings[1] = make_mapping("exchange");
		mappings[2] = make_mapping("laser");
	}
	if (size > 0) {
		memcpy(text, data, size);
	}
	if (ldif_parse("f", "/tmp", text, size, visit, &line, &err) != CX_OK) {
		FUZZ_CHECK(strncmp(err.text, "f:", 2) == 0);
		check_text(NULL, err.text);
	}
	free(text);
	return 0;
}
