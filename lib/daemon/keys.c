#include "config.h"

#include "daemon/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct counted {
	struct keys keys; /* first: struct keys * is struct counted * */
	atomic_uint references;
};

static struct counted *counted_of(struct keys *keys)
{
	return (struct counted *)keys;
}

struct keys *keys_ref(struct keys *keys)
{
	atomic_fetch_add(&counted_of(keys)->references, 1);
	return keys;
}

void keys_unref(struct keys *keys)
{
	if (keys && atomic_fetch_sub(&counted_of(keys)->references, 1) == 1) {
		secrets_wipe(&keys->site);
		secrets_wipe(&keys->srs);
		free(counted_of(keys));
	}
}

/* What the file holds, one byte more than may be in it at most. */
static ssize_t read_all(int fd, char *out, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, out + len, size - len);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return n < 0 ? n : (ssize_t)len;
		}
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static enum status take(const char *path, char *text, size_t len, struct secrets *out,
    struct errbuf *err)
{
	if (len > 0 && text[len - 1] == '\n') {
		len--;
	}
	if (len == 0) {
		errbuf_set(err, "%s: the secret is empty (secret_file)", path);
	} else if (len > SECRET_LENGTH_MAX) {
		errbuf_set(err, "%s: the secret is longer than %d bytes (secret_file)",
		    path, SECRET_LENGTH_MAX);
	} else if (!secrets_add(out, (struct span){ text, len })) {
		errbuf_set(err, "%s: more than %d secrets (secret_file)", path,
		    SECRETS_MAX);
	} else {
		return CX_OK;
	}
	return CX_ECONF;
}

/* CX_NOTFOUND: there is no such file. */
static enum status read_secret(const char *path, struct secrets *out,
    struct errbuf *err)
{
	char text[SECRET_LENGTH_MAX + 2];
	enum status status = CX_ECONF;
	struct stat st;
	ssize_t len;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0) {
		status = errno == ENOENT ? CX_NOTFOUND : CX_ECONF;
		errbuf_set(err, "%s: %s (secret_file)", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		errbuf_set(err, "%s: a file is wanted (secret_file)", path);
	} else if ((st.st_mode & S_IROTH) != 0) {
		errbuf_set(err,
		    "%s: everybody can read it, say chmod o-rwx (secret_file)", path);
	} else if ((st.st_mode & S_IWOTH) != 0) {
		errbuf_set(err,
		    "%s: everybody can write it, say chmod o-rwx (secret_file)", path);
	} else if ((len = read_all(fd, text, sizeof(text))) < 0) {
		errbuf_set(err, "%s: %s (secret_file)", path, strerror(errno));
	} else {
		status = take(path, text, (size_t)len, out, err);
	}
	explicit_bzero(text, sizeof(text));
	if (fd >= 0) {
		close(fd);
	}
	return status;
}

static enum status read_secrets(const char *const *files, bool may_be_missing,
    struct secrets *out, struct errbuf *err)
{
	enum status status = CX_OK;

	for (; *files != NULL && status == CX_OK; files++) {
		status = read_secret(*files, out, err);
		if (status == CX_NOTFOUND) {
			status = may_be_missing ? CX_OK : CX_ECONF;
		}
	}
	return status;
}

static enum status load(const struct conf *conf, bool wants_site, struct keys **out,
    struct errbuf *err)
{
	struct counted *counted = calloc(1, sizeof(*counted));
	enum status status = CX_OK;

	if (counted == NULL) {
		errbuf_set(err, "%s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	atomic_init(&counted->references, 1);
	if (wants_site) {
		status = read_secrets(conf->secret_files, !conf->has_secret_files,
		    &counted->keys.site, err);
	}
	if (status == CX_OK && conf->srs.enable) {
		status = read_secrets(conf->srs.secret_files, false, &counted->keys.srs,
		    err);
	}
	if (status != CX_OK) {
		keys_unref(&counted->keys);
		return status;
	}
	*out = &counted->keys;
	return CX_OK;
}

enum status keys_load(const struct conf *conf, struct keys **out, struct errbuf *err)
{
	return load(conf, true, out, err);
}

enum status keys_load_srs(const struct conf *conf, struct keys **out,
    struct errbuf *err)
{
	return load(conf, false, out, err);
}
