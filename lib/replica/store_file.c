#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/store_lmdb.h"

/*
 * The writer's files. A data file gets a number that was never used before, and its lock
 * file the same, so that no reader of an old file ever shares the lock table of a new
 * one (LMDB would then hand out wrong pages). What is in force is what the link
 * `current` names; everything else of these names is left over from a writer that
 * was killed, and goes at the next start.
 */
#define LOCK_SUFFIX   "-lock"
#define WRITER_LOCK   "writer.lock"
#define CURRENT_DRAFT "current.new"

#define DATA_MODE 0640
#define LOCK_MODE 0660

/*
 * LMDB's table of readers, whole: a slot is a cache line of 64 bytes, and two lines come before.
 * It is mapped, so that space that is only found missing when a slot is used is SIGBUS.
 */
#define LOCK_SIZE (128 + 64 * STORE_MAX_READERS)

/* `name` is of a file in the writer's directory; NULL: the directory itself. */
static enum status system_error(const struct store_writer *writer, struct errbuf *err,
    const char *name)
{
	enum status status = errno == ENOMEM ? CX_ENOMEM : CX_EIO;

	/* That is where somebody pointed us. */
	if (!name && (errno == ENOTDIR || errno == ENOENT)) {
		status = CX_ECONF;
	}
	const char *slash = name ? "/" : "", *text = strerror(errno);

	name = name ? name : "";
	if (errno == EACCES || errno == EPERM) {
		const struct passwd *user = getpwuid(geteuid());

		errbuf_set(err, "%s%s%s: %s for %s: %s and all in it must be its own",
		    writer->directory, slash, name, text,
		    user ? user->pw_name : "this user", writer->directory);
	} else {
		errbuf_set(err, "%s%s%s: %s", writer->directory, slash, name, text);
	}
	return status;
}

static enum status acquire(struct store_writer *writer, const char *name,
    enum env_mode mode, struct store_env **out, struct errbuf *err)
{
	char *path = store_path(writer->directory, name);

	if (!path) {
		return CX_ENOMEM;
	}
	enum status status = env_acquire(path, mode, writer->map_size, out, err);

	free(path);
	return status;
}

static void remove_file(struct store_writer *writer, const char *name)
{
	char lock[STORE_NAME_MAX + sizeof(LOCK_SUFFIX)];

	snprintf(lock, sizeof(lock), "%s" LOCK_SUFFIX, name);
	unlinkat(writer->directory_fd, name, 0);
	unlinkat(writer->directory_fd, lock, 0);
}

/* The highest number in use; and, if asked to, removes all files but those of `kept`. */
static enum status scan_files(struct store_writer *writer, const char *kept,
    bool is_removing, unsigned long *highest, struct errbuf *err)
{
	DIR *dir = opendir(writer->directory);
	unsigned long kept_number = store_file_number(kept, "");
	struct dirent *entry;

	if (!dir) {
		return system_error(writer, err, NULL);
	}
	*highest = kept_number;
	while ((entry = readdir(dir))) {
		unsigned long number = store_file_number(entry->d_name, "");

		if (number == 0) {
			number = store_file_number(entry->d_name, LOCK_SUFFIX);
		}
		if (number > *highest) {
			*highest = number;
		}
		if (is_removing && number != 0 && number != kept_number) {
			unlinkat(writer->directory_fd, entry->d_name, 0);
		}
	}
	closedir(dir);
	return CX_OK;
}

static enum status new_name(struct store_writer *writer, char out[STORE_NAME_MAX],
    struct errbuf *err)
{
	unsigned long highest;
	enum status status =
	    scan_files(writer, writer->live_name, false, &highest, err);

	if (status == CX_OK) {
		snprintf(out, STORE_NAME_MAX, "data-%lu.mdb", highest + 1);
	}
	return status;
}

static int make_file(struct store_writer *writer, const char *name, mode_t mode)
{
	int fd = openat(writer->directory_fd, name,
	    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	/* Whatever the umask is: readers are in the group. */
	if (fd >= 0 && fchmod(fd, mode) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/*
 * Makes the two files with the permissions that readers need: they write the lock file and
 * only read the data. LMDB itself would give both the same.
 */
static enum status make_pair(struct store_writer *writer, const char *name,
    int *data_fd, struct errbuf *err)
{
	char lock[STORE_NAME_MAX + sizeof(LOCK_SUFFIX)];
	int lock_fd;

	snprintf(lock, sizeof(lock), "%s" LOCK_SUFFIX, name);
	*data_fd = make_file(writer, name, DATA_MODE);
	if (*data_fd < 0) {
		return system_error(writer, err, name);
	}
	lock_fd = make_file(writer, lock, LOCK_MODE);
	if (lock_fd >= 0) {
		do {
			errno = posix_fallocate(lock_fd, 0, LOCK_SIZE);
		} while (errno == EINTR);
	}
	if (lock_fd < 0 || errno != 0) {
		enum status status = system_error(writer, err, lock);

		if (lock_fd >= 0) {
			close(lock_fd);
		}
		close(*data_fd);
		remove_file(writer, name);
		return status;
	}
	close(lock_fd);
	return CX_OK;
}

/*
 * Replaces the link; the file and its name are on disk before. Once it is replaced it is in
 * force: should the last fsync() fail and the machine too, the link may name a file that
 * is gone, which is the same as no replica.
 */
static enum status set_current(struct store_writer *writer, const char *name,
    struct errbuf *err)
{
	int fd = writer->directory_fd;

	unlinkat(fd, CURRENT_DRAFT, 0);
	if (fsync(fd) < 0 || symlinkat(name, fd, CURRENT_DRAFT) < 0 ||
	    renameat(fd, CURRENT_DRAFT, fd, STORE_CURRENT) < 0) {
		return system_error(writer, err, STORE_CURRENT);
	}
	fsync(fd);
	return CX_OK;
}

/* An empty replica, in force at once. */
static enum status make_new(struct store_writer *writer, struct errbuf *err)
{
	char name[STORE_NAME_MAX];
	struct store_env *env;
	int fd;
	enum status status = new_name(writer, name, err);

	if (status != CX_OK) {
		return status;
	}
	status = make_pair(writer, name, &fd, err);
	if (status != CX_OK) {
		return status;
	}
	close(fd);
	status = acquire(writer, name, ENV_CREATE, &env, err);
	if (status == CX_OK) {
		status = set_current(writer, name, err);
		if (status == CX_OK) {
			writer->live = env;
			memcpy(writer->live_name, name, sizeof(name));
			return CX_OK;
		}
		env_release(env);
	}
	remove_file(writer, name);
	return status;
}

static enum status lock_writer(struct store_writer *writer, struct errbuf *err)
{
	writer->directory_fd =
	    open(writer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (writer->directory_fd < 0) {
		return system_error(writer, err, NULL);
	}
	writer->lock_fd = openat(writer->directory_fd, WRITER_LOCK,
	    O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (writer->lock_fd < 0) {
		return system_error(writer, err, WRITER_LOCK);
	}
	if (flock(writer->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK) {
			return system_error(writer, err, WRITER_LOCK);
		}
		errbuf_set(err, "%s: another process writes this replica",
		    writer->directory);
		return CX_ETEMP;
	}
	return CX_OK;
}

/* Opens it, if all of it can be read. */
static enum status open_sound(struct store_writer *writer, struct errbuf *err)
{
	enum status status = writer_check_file(writer, err);

	if (status == CX_OK) {
		status =
		    acquire(writer, writer->live_name, ENV_WRITE, &writer->live, err);
	}
	if (status != CX_OK) {
		return status;
	}
	status = store_begin(writer, err);
	store_abort(writer);
	if (status != CX_OK) {
		env_release(writer->live);
		writer->live = NULL;
	}
	return status;
}

/*
 * Permissions that somebody changed, or that LMDB gave a lock file that had been removed: put
 * right where we may; by name, because closing a lock file would lose our locks.
 */
static void restore_modes(struct store_writer *writer)
{
	char lock[STORE_NAME_MAX + sizeof(LOCK_SUFFIX)];
	const struct {
		const char *name;
		mode_t mode;
	} rows[] = { { writer->live_name, DATA_MODE }, { lock, LOCK_MODE } };

	snprintf(lock, sizeof(lock), "%s" LOCK_SUFFIX, writer->live_name);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stat info;

		if (fstatat(writer->directory_fd, rows[i].name, &info,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(info.st_mode) && (info.st_mode & 07777) != rows[i].mode) {
			fchmodat(writer->directory_fd, rows[i].name, rows[i].mode, 0);
		}
	}
}

/* The replica in force, or a new one where there is none that can be used. */
static enum status open_live(struct store_writer *writer, bool *is_new,
    struct errbuf *err)
{
	unsigned long highest;
	enum status status = store_read_current(writer->directory, writer->live_name);

	*is_new = false;
	if (status == CX_OK) {
		status = open_sound(writer, err);
	} else {
		writer->live_name[0] = '\0';
	}
	if (status == CX_NOTFOUND || status == CX_EFORMAT) {
		*is_new = true;
		status = make_new(writer, err);
	}
	if (status == CX_OK) {
		restore_modes(writer);
		unlinkat(writer->directory_fd, CURRENT_DRAFT, 0);
		status = scan_files(writer, writer->live_name, true, &highest, err);
	}
	return status;
}

enum status store_writer_open_sized(const char *directory, size_t map_size,
    struct store_writer **out, bool *is_new, struct errbuf *err)
{
	struct store_writer *writer = calloc(1, sizeof(*writer));

	errbuf_set(err, "%s: %s", directory, status_text(CX_ENOMEM));
	if (!writer) {
		return CX_ENOMEM;
	}
	writer->directory_fd = -1;
	writer->lock_fd = -1;
	writer->map_size = map_size;
	index_init(&writer->before);
	index_init(&writer->after);
	writer->directory = strdup(directory);
	enum status status = writer->directory ? CX_OK : CX_ENOMEM;

	if (status == CX_OK && mkdir(directory, 0750) < 0 && errno != EEXIST) {
		status = system_error(writer, err, NULL);
	}
	if (status == CX_OK) {
		status = lock_writer(writer, err);
	}
	if (status == CX_OK) {
		status = open_live(writer, is_new, err);
	}
	if (status != CX_OK) {
		store_writer_close(writer);
		return status;
	}
	store_check_readers(writer);
	*out = writer;
	return CX_OK;
}

enum status store_writer_open(const char *directory, struct store_writer **out,
    bool *is_new, struct errbuf *err)
{
	return store_writer_open_sized(directory, STORE_MAP_SIZE, out, is_new, err);
}

void store_writer_close(struct store_writer *writer)
{
	if (!writer) {
		return;
	}
	store_writer_discard(writer);
	env_release(writer->live);
	index_release(&writer->before);
	index_release(&writer->after);
	free(writer->suspects);
	free(writer->held);
	if (writer->lock_fd >= 0) {
		close(writer->lock_fd);
	}
	if (writer->directory_fd >= 0) {
		close(writer->directory_fd);
	}
	free(writer->directory);
	free(writer);
}

enum status writer_make_build(struct store_writer *writer, size_t map_size,
    struct errbuf *err)
{
	size_t usual = writer->map_size;
	int fd;

	store_abort(writer);
	store_writer_discard(writer);
	enum status status = new_name(writer, writer->build_name, err);

	if (status == CX_OK) {
		status = make_pair(writer, writer->build_name, &fd, err);
	}
	if (status != CX_OK) {
		return status;
	}
	close(fd);
	writer->map_size = map_size;
	status = acquire(writer, writer->build_name, ENV_CREATE, &writer->build, err);
	writer->map_size = usual;
	if (status != CX_OK) {
		writer->build = NULL;
		remove_file(writer, writer->build_name);
		return status == CX_NOTFOUND ? CX_EIO : status;
	}
	/* Nobody depends on it before it is published, and that writes it out. */
	mdb_env_set_flags(writer->build->mdb, MDB_NOSYNC, 1);
	return CX_OK;
}

/* So much is written out at a time, so that whoever watches us hears of it. */
#define WRITE_OUT_BYTES ((off_t)16 << 20)

/* Has the build written to disk, for the most part; what fails here fails again behind it. */
static void write_out(struct store_writer *writer)
{
	mdb_filehandle_t fd;
	struct stat info;

	if (mdb_env_get_fd(writer->build->mdb, &fd) != MDB_SUCCESS ||
	    fstat(fd, &info) < 0) {
		return;
	}
	for (off_t at = 0; at < info.st_size; at += WRITE_OUT_BYTES) {
		(void)sync_file_range(fd, at, WRITE_OUT_BYTES,
		    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			SYNC_FILE_RANGE_WAIT_AFTER);
		store_lives(writer);
	}
}

enum status store_writer_publish(struct store_writer *writer, struct errbuf *err)
{
	if (!writer->build) {
		errbuf_set(err, "nothing to publish");
		return CX_EINVAL;
	}
	store_abort(writer);
	write_out(writer);
	mdb_env_set_flags(writer->build->mdb, MDB_NOSYNC, 0);
	enum status status =
	    lmdb_status(mdb_env_sync(writer->build->mdb, 1), err, writer->build_name);

	if (status == CX_OK) {
		status = set_current(writer, writer->build_name, err);
	}
	if (status != CX_OK) {
		return status;
	}
	/* Readers that still have the old file keep it until they look at the link. */
	env_release(writer->live);
	remove_file(writer, writer->live_name);
	writer->live = writer->build;
	writer->build = NULL;
	memcpy(writer->live_name, writer->build_name, sizeof(writer->live_name));
	return CX_OK;
}

void store_writer_discard(struct store_writer *writer)
{
	store_abort(writer);
	if (writer->build) {
		env_release(writer->build);
		writer->build = NULL;
		writer->is_build_changed = false;
		remove_file(writer, writer->build_name);
	}
}

void store_check_readers(struct store_writer *writer)
{
	int dead;

	if (!writer->must_reopen) {
		mdb_reader_check(writer->live->mdb, &dead);
	}
}
