#ifndef CX_SMALL_SITE_H
#define CX_SMALL_SITE_H

#include "decide/view.h"

/*
 * A replica of a small organisation, in a folder of its own, and a view of it: what the tests of
 * policy and map service ask about. small_site.c is the list of what is in it.
 */
#define SMALL_SITE_NOW 1700000000

/* Of a certificate that may relay. */
#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct small_site {
	char *folder;
	struct store *store;
	struct settings settings;
	struct view view;
};

struct small_site_age {
	bool is_loaded;
	int64_t seconds; /* since the last proof of contact */
};

/* `age` NULL: loaded and up to date. The view is for one snapshot, until small_site_free(). */
void small_site_init(struct small_site *, const struct small_site_age *age);
/* No replica: view.snapshot is NULL. */
void small_site_init_empty(struct small_site *);
void small_site_free(struct small_site *);

#endif
