#include "config.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica/store_lmdb.h"
#include "store_files.h"
#include "store_fixture.h"

/*
 * Readers that are root, in a folder of somebody else: its files are opened with his rights alone.
 * Who is not root opens as who he is, and keeps his rights all the more.
 */
enum {
	SOMEBODY = 65534
};
static const gid_t groups[] = { 0, 7 };
#define GROUPS 2
#define DATA   "data-1.mdb"
#define LOCK   DATA "-lock"

static void give_away(const char *name)
{
	char *path = files_path(name);

	ck_assert_int_eq(chown(path, SOMEBODY, SOMEBODY), 0);
	free(path);
}

/* Nothing is open in this process: LMDB would not open it again. */
static void set_up(void)
{
	fixture_set_up();
	fixture_commit_mailbox("x@acme.example");
	fixture_close();
	if (geteuid() == 0) {
		ck_assert_int_eq(setgroups(GROUPS, groups), 0);
		give_away("");
		give_away(DATA);
		give_away(LOCK);
	}
}

static void tear_down(void)
{
	fixture_open_writer();
	fixture_tear_down();
}

static void assert_rights_are_back(void)
{
	gid_t now[GROUPS + 1];

	ck_assert_int_eq(setfsuid((uid_t)-1), (int)geteuid());
	ck_assert_int_eq(setfsgid((gid_t)-1), (int)getegid());
	if (geteuid() == 0) {
		ck_assert_int_eq(getgroups(GROUPS + 1, now), GROUPS);
		ck_assert_mem_eq(now, groups, sizeof(groups));
	}
}

START_TEST(a_reader_has_its_own_rights_again)
{
	fixture_open_store();
	snapshot_end(fixture_snapshot());
	assert_rights_are_back();
}
END_TEST

/* The mode of a file of root, group root, that the lock file is a link to. */
static const mode_t victims[] = { 0600, 0660, 0644 };

START_TEST(a_link_leads_nowhere_where_the_owner_cannot_go)
{
	char *lock = files_path(LOCK), *aside = files_path("aside");
	char *victim = files_path("victim");
	struct snapshot *snapshot;
	struct stat info;

	files_make("victim", "precious");
	/* Nobody may write it who is not root, nor of its groups. */
	ck_assert_int_eq(chmod(victim, geteuid() == 0 ? victims[_i] : 0400), 0);
	ck_assert_int_eq(rename(lock, aside), 0);
	ck_assert_int_eq(symlink(victim, lock), 0);
	fixture_open_store();
	unit_assert_status(snapshot_begin(fx.store, &snapshot, &fx.err), CX_ETEMP,
	    "reader");
	ck_assert_msg(strstr(fx.err.text, "Permission denied") != NULL, "%s",
	    fx.err.text);
	ck_assert_int_eq(stat(victim, &info), 0);
	ck_assert_int_eq(info.st_size, strlen("precious"));
	assert_rights_are_back();
	ck_assert_int_eq(rename(aside, lock), 0);
	free(lock);
	free(aside);
	free(victim);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("store_owner");
	TCase *tcase = tcase_create("store_owner");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_reader_has_its_own_rights_again);
	tcase_add_loop_test(tcase, a_link_leads_nowhere_where_the_owner_cannot_go, 0,
	    sizeof(victims) / sizeof(victims[0]));
	suite_add_tcase(suite, tcase);
	return suite;
}
