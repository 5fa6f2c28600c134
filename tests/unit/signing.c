#include "config.h"

#include "tests/unit/signing.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

struct secrets *signing_secrets;

void signing_setup(void)
{
	signing_secrets = signing_other_secrets("tops3cret", NULL);
}

void signing_teardown(void)
{
	secrets_wipe(signing_secrets);
}

struct secrets *signing_other_secrets(const char *first, const char *second)
{
	/* Of an exact size, so that what is read behind it is noticed; unit_span() frees it. */
	static const struct secrets none = { 0 };
	struct secrets *out =
	    (struct secrets *)(uintptr_t)unit_span(&none, sizeof(none)).ptr;

	if (first) {
		ck_assert(secrets_add(out, span_of(first)));
	}
	if (second) {
		ck_assert(secrets_add(out, span_of(second)));
	}
	return out;
}

struct address signing_address(const char *text)
{
	struct address address;

	unit_assert_status(address_parse_internal(unit_text(text), &address), CX_OK, text);
	return address;
}
