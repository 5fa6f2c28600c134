#include "config.h"

#include <stdio.h>
#include <sysexits.h>

#include "replica/store_write.h"
#include "replica/sync_notes.h"

/*
 * coexist-cookie REPLICA [COOKIE]: prints the sync cookie that is stored for the first
 * directory, or puts another one in its place ("" removes it). No syncd may run.
 */
#define FIRST_ID 1

static int run(struct store_writer *store, const char *cookie)
{
	char key[SYNC_NOTES_KEY_MAX];
	struct errbuf err;
	struct span stored;
	enum status status = store_begin(store, &err);

	if (status != CX_OK) {
		fprintf(stderr, "%s\n", err.text);
		return EX_SOFTWARE;
	}
	sync_notes_key(key, FIRST_ID, SYNC_NOTES_COOKIE);
	if (cookie == NULL) {
		status = store_get_meta(store, key, &stored);
		if (status == CX_OK) {
			printf("%.*s\n", (int)stored.len, stored.ptr);
		} else if (status == CX_NOTFOUND) {
			status = CX_OK;
		}
		store_abort(store);
	} else {
		status = store_put_meta(store, key, span_of(cookie));
		if (status == CX_OK) {
			status = store_commit(store, &err);
		}
	}
	if (status != CX_OK) {
		fprintf(stderr, "%s\n", status_text(status));
	}
	return status == CX_OK ? EX_OK : EX_UNAVAILABLE;
}

int main(int argc, char **argv)
{
	struct store_writer *store;
	struct errbuf err;
	bool is_new;
	int code;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: coexist-cookie REPLICA [COOKIE]\n");
		return EX_USAGE;
	}
	if (store_writer_open(argv[1], &store, &is_new, &err) != CX_OK) {
		fprintf(stderr, "%s\n", err.text);
		return EX_TEMPFAIL;
	}
	code = run(store, argc == 3 ? argv[2] : NULL);
	store_writer_close(store);
	return code;
}
