#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "syncd/ldif_parse.h"
#include "syncd/source.h"
#include "syncd/sync_times.h"

/*
 * source_ldif: a file, looked at twice a second (which also works where inotify
 * says nothing: network and overlay file systems, links that are replaced). It is
 * read when it has been still for one look, so that a file that is being written in place
 * is not taken half-done.
 */
#define FILE_SIZE_MAX    ((off_t)1 << 30)
/* A replica that cannot be written is not tried twice a second. */
#define RETRY_LOOKS 10

/* Which state of the file this is. */
struct file_state {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct ldif_backend {
	struct event *timer;
	bool has_looked, has_loaded, has_rejected, is_forced;
	struct file_state looked, loaded, rejected;
	unsigned wait; /* looks to let pass */
	struct batch batch;
};

static struct file_state state_of(const struct stat *st)
{
	return (struct file_state){ st->st_dev, st->st_ino, st->st_size, st->st_mtim,
		st->st_ctim };
}

static bool is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct file_state *a, const struct file_state *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       is_same_time(a->modified, b->modified) &&
	       is_same_time(a->changed, b->changed);
}

/* The whole file, if it stayed what it is meanwhile, and one byte. CX_ETEMP: it did not. */
static enum status read_whole(const char *path, const struct file_state *expected,
    struct spool *out, struct errbuf *err)
{
	size_t size = (size_t)expected->size, done = 0;
	enum status status = CX_EIO;
	struct file_state now;
	struct stat st;
	char *text;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		errbuf_set(err, "%s: %s", path, strerror(errno));
		goto out;
	}
	now = state_of(&st);
	if (!S_ISREG(st.st_mode) || !is_same(&now, expected)) {
		status = CX_ETEMP;
		goto out;
	}
	text = spool_extend(out, size + 1);
	if (!text) {
		status = spool_failure(out, err);
		goto out;
	}
	/* One byte more than there should be tells whether it has grown. */
	while (done <= size) {
		ssize_t got = read(fd, text + done, size + 1 - done);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got < 0) {
			errbuf_set(err, "%s: %s", path, strerror(errno));
			goto out;
		}
		if (got == 0) {
			break;
		}
		done += (size_t)got;
	}
	status = CX_ETEMP;
	if (done == size && fstat(fd, &st) == 0) {
		now = state_of(&st);
		if (is_same(&now, expected) && stat(path, &st) == 0) {
			now = state_of(&st);
			status = is_same(&now, expected) ? CX_OK : CX_ETEMP;
		}
	}
out:
	if (fd >= 0) {
		close(fd);
	}
	return status;
}

struct load {
	struct source *source;
	struct batch *batch;
};

static enum status visit_entry(void *context, const struct ldif_entry *entry)
{
	static const char partial[] =
	    "only part of an attribute is in the file (\";range=\")";
	struct load *load = context;

	if (entry->is_partial) {
		source_skipped(load->source, entry->entry.dn, partial);
		return batch_unusable(load->batch, entry->uuid, entry->entry.dn, partial);
	}
	return source_map(load->source, load->batch, entry->uuid, &entry->entry, NULL);
}

static enum status deliver_contact(struct source *source)
{
	struct ldif_backend *backend = source->backend;

	batch_clear(&backend->batch);
	backend->batch.has_contact = true;
	return source_deliver(source, &backend->batch);
}

static void reject(struct source *source, const struct file_state *state,
    const char *why)
{
	struct ldif_backend *backend = source->backend;

	backend->rejected = *state;
	backend->has_rejected = true;
	backend->is_forced = false;
	source->state = "rejected";
	source_error(source, "%s", why);
}

/* The content, as cookie: a file that says the same transfers nothing. */
static bool add_hash(struct buf *out, const char *text, size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;

	if (!EVP_Digest(text, len, digest, &digest_len, EVP_sha256(), NULL)) {
		return false;
	}
	buf_clear(out);
	buf_add(out, digest, digest_len);
	return !out->failed;
}

static bool is_loaded_already(struct source *source, const struct buf *hash)
{
	struct buf cookie;

	buf_init(&cookie);
	bool is_same_content = source_cookie(source, &cookie) == CX_OK &&
			       span_equal(buf_span(&cookie), buf_span(hash));
	buf_release(&cookie);
	return is_same_content;
}

static enum status load_text(struct source *source, char *text, size_t len,
    struct errbuf *err)
{
	struct ldif_backend *backend = source->backend;
	struct batch *batch = &backend->batch;
	struct load load = { source, batch };

	batch_clear(batch);
	if (!add_hash(&batch->cookie, text, len)) {
		errbuf_set(err, "%s: %s", source->conf->ldif, status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	if (!backend->is_forced && is_loaded_already(source, &batch->cookie)) {
		return deliver_contact(source);
	}
	/* What goes wrong there, and in delivering it, is reported there. */
	if (source_begin_refresh(source, batch, true) != CX_OK) {
		return CX_ETEMP;
	}
	enum status status =
	    ldif_parse(source->conf->ldif, source->scratch, text, len, visit_entry, &load,
		err);
	if (status != CX_OK) {
		return status;
	}
	batch->is_complete = true;
	batch->is_refresh = true;
	batch->has_contact = true;
	batch->has_cookie = true;
	source->refreshes++;
	return source_deliver(source, batch) == CX_OK ? CX_OK : CX_ETEMP;
}

static void load(struct source *source, const struct file_state *state)
{
	struct ldif_backend *backend = source->backend;
	struct errbuf err = { "" };
	struct spool text;

	spool_init(&text, source->scratch);
	enum status status = read_whole(source->conf->ldif, state, &text, &err);
	if (status == CX_OK) {
		status = load_text(source, text.data, text.len - 1, &err);
	} else if (status == CX_ETEMP) {
		spool_release(&text);
		source->state = "changing";
		return; /* it moved: the next look sees another state */
	}
	spool_release(&text);
	batch_clear(&backend->batch);
	if (status == CX_OK) {
		backend->loaded = *state;
		backend->has_loaded = true;
		backend->has_rejected = false;
		backend->is_forced = false;
		source->state = "loaded";
	} else if (status == CX_EINVAL) {
		reject(source, state, err.text);
	} else {
		backend->wait = RETRY_LOOKS;
		source->state = "error";
		if (err.text[0]) {
			source_error(source, "%s", err.text);
		}
	}
}

static void look(evutil_socket_t fd, short what, void *context)
{
	struct source *source = context;
	struct ldif_backend *backend = source->backend;
	struct file_state state;
	struct stat st;

	(void)fd;
	(void)what;
	if (backend->wait) {
		backend->wait--;
		return;
	}
	if (stat(source->conf->ldif, &st) < 0) {
		backend->has_looked = backend->has_rejected = false;
		source->state = "missing";
		source_error(source, "%s: %s", source->conf->ldif, strerror(errno));
		return;
	}
	state = state_of(&st);
	bool is_still = backend->has_looked && is_same(&state, &backend->looked);
	backend->looked = state;
	backend->has_looked = true;
	if (!backend->is_forced && backend->has_loaded &&
	    is_same(&state, &backend->loaded)) {
		source->state = "loaded";
		deliver_contact(source);
	} else if (!backend->is_forced && backend->has_rejected &&
		   is_same(&state, &backend->rejected)) {
		source->state = "rejected";
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
		char why[512];

		snprintf(why, sizeof(why), "%s: %s", source->conf->ldif,
		    S_ISREG(st.st_mode) ? "the file is too large"
					: "not a regular file");
		reject(source, &state, why);
	} else if (is_still || time(NULL) - st.st_ctime > 1) {
		load(source, &state);
	}
}

static enum status ldif_start(struct source *source)
{
	struct timeval interval = { sync_times.look / 1000, sync_times.look % 1000 * 1000 };
	struct ldif_backend *backend = calloc(1, sizeof(*backend));

	if (!backend) {
		return CX_ENOMEM;
	}
	backend->timer = event_new(source->base, -1, EV_PERSIST, look, source);
	if (!backend->timer || event_add(backend->timer, &interval) < 0) {
		if (backend->timer) {
			event_free(backend->timer);
		}
		free(backend);
		return CX_ENOMEM;
	}
	batch_init(&backend->batch, source->id, source->scratch);
	source->backend = backend;
	source->server = source->conf->ldif;
	source->state = "starting";
	look(-1, 0, source); /* a file that is there already need not wait */
	return CX_OK;
}

static void ldif_stop(struct source *source)
{
	struct ldif_backend *backend = source->backend;

	if (backend) {
		event_free(backend->timer);
		batch_release(&backend->batch);
		free(backend);
		source->backend = NULL;
	}
}

static void ldif_refresh(struct source *source)
{
	struct ldif_backend *backend = source->backend;

	backend->is_forced = true;
	backend->wait = 0;
	event_active(backend->timer, EV_TIMEOUT, 0);
}

const struct source_ops source_ldif = {
	.name = "ldif",
	.start = ldif_start,
	.stop = ldif_stop,
	.refresh = ldif_refresh,
};
