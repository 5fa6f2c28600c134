#include "config.h"

#include "syncd/entry.h"

const struct attribute *entry_find(const struct entry *entry, const char *name)
{
	struct span wanted = span_of(name);

	for (size_t i = 0; i < entry->count; i++) {
		if (span_equal_case(entry->attributes[i].name, wanted)) {
			return &entry->attributes[i];
		}
	}
	return NULL;
}
