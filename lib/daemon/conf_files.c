#include "config.h"

#include "daemon/conf_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/keys.h"

/* Who may not: the daemon's user, which need not be whoever runs -t. */
static const char *own_name(void)
{
	const struct passwd *entry = getpwuid(geteuid());

	return entry != NULL ? entry->pw_name : "this user";
}

enum privacy {
	PRIVACY_NONE,
	PRIVACY_OTHERS, /* may not read it; those of its group may */
	PRIVACY_OWN,    /* nor may it be another user's */
};

/* `key` needs `path`; "": it names none. */
static enum status check_file(const char *key, const char *path, enum privacy privacy,
    struct errbuf *err)
{
	enum status status = CX_ECONF;
	struct stat st;
	int fd;

	if (path[0] == '\0') {
		return CX_OK;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EACCES) {
		errbuf_set(err, "%s: %s for %s (%s)", path, strerror(EACCES), own_name(),
		    key);
	} else if (fd < 0 || fstat(fd, &st) != 0) {
		errbuf_set(err, "%s: %s (%s)", path, strerror(errno), key);
	} else if (S_ISDIR(st.st_mode)) {
		errbuf_set(err, "%s: a file is wanted (%s)", path, key);
	} else if (privacy != PRIVACY_NONE && (st.st_mode & S_IROTH) != 0) {
		errbuf_set(err, "%s: everybody can read it, say chmod o-rwx (%s)", path,
		    key);
	} else if (privacy == PRIVACY_OWN && st.st_uid != 0 && st.st_uid != geteuid()) {
		errbuf_set(err, "%s: it belongs to another user than %s and root (%s)",
		    path, own_name(), key);
	} else {
		status = CX_OK;
	}
	if (fd >= 0) {
		close(fd);
	}
	return status;
}

static enum status check_directory(const struct conf_directory *d, struct errbuf *err)
{
	const struct {
		const char *key;
		const char *path;
		enum privacy privacy;
	} files[] = {
		{ "ldif", d->ldif, PRIVACY_NONE },
		{ "bind_password_file", d->bind_password_file, PRIVACY_OWN },
		{ "tls_ca_file", d->tls_ca_file, PRIVACY_NONE },
		{ "tls_cert_file", d->tls_cert_file, PRIVACY_NONE },
		{ "tls_key_file", d->tls_key_file, PRIVACY_OTHERS },
	};
	enum status status = CX_OK;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && status == CX_OK;
	     i++) {
		status =
		    check_file(files[i].key, files[i].path, files[i].privacy, err);
	}
	return status;
}

static enum status check_secrets(const char *const *files, struct errbuf *err)
{
	enum status status = CX_OK;

	for (; *files != NULL && status == CX_OK; files++) {
		status = check_file("secret_file", *files, PRIVACY_OTHERS, err);
	}
	return status;
}

/* What is in them, of those that the program reads. */
static enum status check_keys(const struct conf *conf, const char *program,
    struct errbuf *err)
{
	struct keys *keys = NULL;
	enum status status = strcmp(program, "coexist-milter") == 0
				 ? keys_load(conf, &keys, err)
				 : keys_load_srs(conf, &keys, err);

	keys_unref(keys);
	return status;
}

enum status conf_files_check(const struct conf *conf, const char *program,
    struct errbuf *err)
{
	enum status status = check_file("-c", conf->path, PRIVACY_NONE, err);

	if (strcmp(program, "coexist-syncd") == 0) {
		for (size_t i = 0; i < conf->directory_count && status == CX_OK; i++) {
			status = check_directory(&conf->directories[i], err);
		}
		return status;
	}
	if (status == CX_OK && conf->has_secret_files) {
		status = check_secrets(conf->secret_files, err);
	}
	if (status == CX_OK && conf->srs.enable) {
		status = check_secrets(conf->srs.secret_files, err);
	}
	return status == CX_OK ? check_keys(conf, program, err) : status;
}
