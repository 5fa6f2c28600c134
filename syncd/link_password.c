#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "syncd/link.h"

static enum status read_all(int fd, char *out, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, out + *len, size - *len);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return CX_EIO;
		}
		if (n == 0) {
			return CX_OK;
		}
		*len += (size_t)n;
	}
	return CX_OK;
}

static enum status check_password(const char *path, char *text, size_t *len,
    struct errbuf *err)
{
	if (*len > 0 && text[*len - 1] == '\n') {
		--*len;
	}
	if (*len > LINK_PASSWORD_MAX) {
		errbuf_set(err, "%s: the password is too long", path);
		return CX_EINVAL;
	}
	if (*len == 0 || memchr(text, '\0', *len) != NULL) {
		/* An empty one would be an anonymous bind that looks like success. */
		errbuf_set(err, "%s: %s", path,
		    *len == 0 ? "the password is empty"
			      : "there is a NUL in the password");
		return CX_EINVAL;
	}
	text[*len] = '\0';
	return CX_OK;
}

/* Whoever else may read the file has the password, and whoever may write it can lock us out. */
static bool is_private(const char *path, const struct stat *st, struct errbuf *err)
{
	if ((st->st_mode & (S_IROTH | S_IWOTH)) != 0) {
		errbuf_set(err,
		    "%s: others can read or change the password (chmod o-rwx)", path);
		return false;
	}
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		errbuf_set(err, "%s: the password belongs to another user (uid %lu)",
		    path, (unsigned long)st->st_uid);
		return false;
	}
	return true;
}

enum status link_read_password(const char *path, char out[LINK_PASSWORD_MAX + 1],
    size_t *len, struct errbuf *err)
{
	char text[LINK_PASSWORD_MAX + 2];
	struct stat st;
	enum status status = CX_EINVAL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) != 0) {
		errbuf_set(err, "%s: %s", path, strerror(errno));
		status = CX_EIO;
	} else if (is_private(path, &st, err)) {
		status = read_all(fd, text, sizeof(text), len);
		if (status != CX_OK) {
			errbuf_set(err, "%s: %s", path, strerror(errno));
		} else {
			status = check_password(path, text, len, err);
		}
		if (status == CX_OK) {
			memcpy(out, text, *len + 1);
		}
		explicit_bzero(text, sizeof(text));
	}
	if (fd >= 0) {
		close(fd);
	}
	return status;
}

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void link_mark_files(const struct conf_directory *conf, struct link_marks *out)
{
	const char *const paths[LINK_FILES] = { conf->bind_password_file,
		conf->tls_ca_file, conf->tls_cert_file, conf->tls_key_file };

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < LINK_FILES; i++) {
		int64_t *mark = out->files[i];
		struct stat st;

		if (*paths[i] != '\0' && stat(paths[i], &st) == 0) {
			mark[0] = (int64_t)st.st_dev;
			mark[1] = (int64_t)st.st_ino;
			mark[2] = (int64_t)st.st_size;
			mark[3] = nanoseconds(st.st_mtim);
			mark[4] = nanoseconds(st.st_ctim);
		}
	}
}
