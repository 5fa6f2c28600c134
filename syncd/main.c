#include "config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/process.h"
#include "metrics/http.h"
#include "syncd/loop.h"

/* coexist-syncd: keeps the replica in step with the directories. */

#define BACKLOG 128

/* As root, what is made before the change of user becomes that user's. */
static void give(const char *path, const char *user)
{
	const struct passwd *entry = geteuid() == 0 && *user ? getpwnam(user) : NULL;

	if (entry && lchown(path, entry->pw_uid, entry->pw_gid) < 0) {
		log_warn("%s", path);
	}
}

/* A folder that is not there is made: the packages and the service manager did not. */
static void make_folder(const char *path, mode_t mode, const char *user)
{
	if (mkdir(path, mode) == 0) {
		if (chmod(path, mode) < 0) { /* whatever the umask says */
			log_warn("%s", path);
		}
		give(path, user);
	} else if (errno != EEXIST) {
		log_debug("%s: %s", path, strerror(errno)); /* who needs it says more */
	}
}

static enum status open_control(const struct conf *conf, int *fd, struct errbuf *err)
{
	const char *spec = conf->syncd.control;
	char folder[256];

	*fd = -1;
	if (!*spec) {
		return CX_OK;
	}
	const char *path = strncmp(spec, "unix:", 5) == 0 ? spec + 5 : "";
	const char *slash = strrchr(path, '/');

	if (slash && slash != path && (size_t)(slash - path) < sizeof(folder)) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		make_folder(folder, 0755, conf->syncd.user);
	}
	/* Not for Postfix, as other sockets are. */
	enum status status =
	    listener_open_private(spec, conf->syncd.user, BACKLOG, fd, err);

	return status == CX_EINVAL ? CX_ECONF : status;
}

static int exit_code(enum status status)
{
	switch (status) {
	case CX_OK: return EX_OK;
	case CX_ECONF: return EX_CONFIG;
	case CX_ETEMP: return EX_TEMPFAIL;
	case CX_ENOMEM: return EX_OSERR;
	case CX_NOTFOUND:
	case CX_EINVAL:
	case CX_ETOOLONG:
	case CX_EEXIST:
	case CX_EFULL:
	case CX_EFORMAT: return EX_SOFTWARE;
	case CX_EIO: return EX_IOERR;
	}
	return EX_SOFTWARE;
}

int main(int argc, char **argv)
{
	struct process process;
	struct errbuf err = { "" };
	struct loop_sockets sockets = { -1, -1 };

	/* No ldap.conf and no LDAP* variable of whoever starts us may change what we do. */
	setenv("LDAPNOINIT", "1", 1);
	process_arguments(&process, "coexist-syncd", argc, argv);
	process_block_signals();
	struct conf *conf = process_load_conf(&process);
	enum status status = open_control(conf, &sockets.control, &err);

	if (status == CX_OK) {
		status = metrics_open(conf->syncd.metrics_listen, &sockets.metrics, &err);
	}

	if (status == CX_OK) {
		make_folder(conf->replica, 02750, conf->syncd.user);
		process_detach(&process);
		status = process_drop_user(conf->syncd.user, &err);
		if (status == CX_OK) {
			status = loop_run(&process, conf, sockets, &err);
		}
	}
	if (sockets.control >= 0) { /* it was ours */
		listener_remove(conf->syncd.control);
	}
	if (status != CX_OK) {
		log_error("%s", err.text);
	}
	conf_unref(conf);
	return exit_code(status);
}
