#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replica/store_lmdb.h"

/* Where groups once had 16 bits the call of that name still has. */
#ifdef SYS_setgroups32
# define SET_GROUPS SYS_setgroups32
#else
# define SET_GROUPS SYS_setgroups
#endif

/* The further groups of a thread, which open files for it as well. */
struct groups {
	int count;
	gid_t *list;
};

/* The calls have no other way to tell that they failed. */
static bool set_fs_ids(uid_t user, gid_t group)
{
	(void)setfsgid(group);
	(void)setfsuid(user);
	return (uid_t)setfsuid((uid_t)-1) == user &&
	       (gid_t)setfsgid((gid_t)-1) == group;
}

/*
 * By the system call: the C library's changes the groups of all threads. Who has none asks for
 * nothing, which may be forbidden (user_namespaces(7)).
 */
static bool drop_groups(struct groups *out)
{
	int count = getgroups(0, NULL);

	*out = (struct groups){ 0, NULL };
	if (count <= 0) {
		return count == 0;
	}
	out->list = calloc((size_t)count, sizeof(*out->list));
	if (out->list == NULL || getgroups(count, out->list) != count ||
	    syscall(SET_GROUPS, (size_t)0, NULL) != 0) {
		return false;
	}
	out->count = count;
	return true;
}

/* Without them, if that fails, root lacks nothing. */
static void restore_groups(struct groups *groups)
{
	if (groups->count > 0) {
		(void)syscall(SET_GROUPS, (size_t)groups->count, groups->list);
	}
	free(groups->list);
}

/*
 * LMDB opens the lock file by its name, follows links, and writes: whose folder it is could have
 * root overwrite any file. Opened with the owner's rights (setfsuid(2): of this thread alone,
 * and for files alone) a link leads nowhere where he could not go himself.
 */
enum status store_acquire_as_owner(const char *directory, const char *path,
    struct store_env **out, struct errbuf *err)
{
	struct groups groups = { 0, NULL };
	struct stat folder;

	if (geteuid() != 0) {
		return env_acquire(path, ENV_READ, 0, out, err);
	}
	if (stat(directory, &folder) < 0) {
		errbuf_set(err, "%s: %s", directory, strerror(errno));
		return CX_EIO;
	}
	enum status status = CX_EIO;

	/* What is root's own is opened with root's rights: groups give it no more. */
	if ((folder.st_uid == 0 || drop_groups(&groups)) &&
	    set_fs_ids(folder.st_uid, folder.st_gid)) {
		status = env_acquire(path, ENV_READ, 0, out, err);
	} else {
		errbuf_set(err, "%s: cannot open files as its owner", directory);
	}
	(void)set_fs_ids(0, getegid());
	restore_groups(&groups);
	return status;
}
