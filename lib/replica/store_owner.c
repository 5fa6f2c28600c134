#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/store_lmdb.h"

/* The calls have no other way to tell that they failed. */
static bool set_fs_ids(uid_t user, gid_t group)
{
	(void)setfsgid(group);
	(void)setfsuid(user);
	return (uid_t)setfsuid((uid_t)-1) == user && (gid_t)setfsgid((gid_t)-1) == group;
}

/*
 * LMDB opens the lock file by its name, follows links, and writes: whose folder it is could have
 * root overwrite any file. Opened with the owner's rights (setfsuid(2): of this thread alone,
 * and for files alone) a link leads nowhere where he could not go himself.
 */
enum status store_acquire_as_owner(const char *directory, const char *path,
    struct store_env **out, struct errbuf *err)
{
	struct stat folder;

	if (geteuid() != 0) {
		return env_acquire(path, ENV_READ, 0, out, err);
	}
	if (stat(directory, &folder) < 0) {
		errbuf_set(err, "%s: %s", directory, strerror(errno));
		return CX_EIO;
	}
	enum status status = CX_EIO;

	if (set_fs_ids(folder.st_uid, folder.st_gid)) {
		status = env_acquire(path, ENV_READ, 0, out, err);
	} else {
		errbuf_set(err, "%s: cannot open files as its owner", directory);
	}
	(void)set_fs_ids(0, getegid());
	return status;
}
