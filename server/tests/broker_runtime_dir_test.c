// Where the socket may lie, and the lock beside it.
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/broker/listen_lock.h"
#include "server/broker/runtime_dir.h"

static char folder[] = "/tmp/spawnd-dir-XXXXXX";
static char error[512];

static void make_folder(void)
{
	cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(runtime_dir, .init = make_folder, .fini = remove_folder);

static const char *in_folder(const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static const char *default_url(uid_t uid, const char *xdg)
{
	static char url[256];
	struct runtime_dir_places places = {uid, xdg, "/run", in_folder("users"), "/tmp"};
	cr_assert_eq(runtime_dir_default_url(&places, url, sizeof(url), error, sizeof(error)), 0);
	return url;
}

Test(runtime_dir, default_addresses)
{
	char expected[256];
	cr_expect_str_eq(default_url(0, "/xdg"), "ipc:///run/spawnd/spawnd.sock");
	cr_expect_str_eq(default_url(1000, "/xdg"), "ipc:///xdg/spawnd/spawnd.sock");
	cr_expect_str_eq(default_url(1000, NULL), "ipc:///tmp/spawnd-1000/spawnd.sock");
	cr_expect_str_eq(default_url(1000, ""), "ipc:///tmp/spawnd-1000/spawnd.sock");
	cr_expect_str_eq(default_url(1000, "relative"), "ipc:///tmp/spawnd-1000/spawnd.sock");
	mkdir(in_folder("users"), 0755);
	mkdir(in_folder("users/1000"), 0700);
	snprintf(expected, sizeof(expected), "ipc://%s/spawnd/spawnd.sock", in_folder("users/1000"));
	cr_expect_str_eq(default_url(1000, NULL), expected);
}

Test(runtime_dir, default_address_too_long)
{
	char url[256], xdg[128] = "/";
	memset(xdg + 1, 'x', 100);
	struct runtime_dir_places places = {1000, xdg, "/run", "/run/user", "/tmp"};
	cr_expect_eq(
	    runtime_dir_default_url(&places, url, sizeof(url), error, sizeof(error)), -ENAMETOOLONG);
	cr_expect(strstr(error, "--listen"));
}

Test(runtime_dir, makes_its_directory_for_itself)
{
	struct stat st;
	umask(0);
	const char *path = in_folder("own/s");
	cr_assert_eq(runtime_dir_make(path, geteuid(), error, sizeof(error)), 0, "%s", error);
	cr_assert_eq(stat(in_folder("own"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700);
	cr_expect_eq(runtime_dir_make(path, geteuid(), error, sizeof(error)), 0, "again");
	cr_expect_eq(runtime_dir_make(path, geteuid() + 1, error, sizeof(error)), -EPERM);
	cr_expect(strstr(error, "belongs to uid"));
}

Test(runtime_dir, refuses_a_default_directory_that_others_can_use)
{
	static const mode_t modes[] = {0701, 0710, 0704, 0720, 0755, 0777};
	umask(0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		mkdir(in_folder("d"), 0700);
		chmod(in_folder("d"), modes[i]);
		cr_expect_eq(runtime_dir_make(in_folder("d/s"), geteuid(), error, sizeof(error)), -EPERM);
		cr_expect(strstr(error, "chmod it to 0700"), "%s", error);
	}
}

Test(runtime_dir, refuses_what_is_no_directory)
{
	mkdir(in_folder("real"), 0700);
	cr_assert_eq(symlink(in_folder("real"), in_folder("link")), 0);
	cr_expect_eq(runtime_dir_make(in_folder("link/s"), geteuid(), error, sizeof(error)), -ENOTDIR);
	fclose(fopen(in_folder("file"), "w"));
	cr_expect_eq(runtime_dir_make(in_folder("file/s"), geteuid(), error, sizeof(error)), -ENOTDIR);
	cr_expect_eq(runtime_dir_make(in_folder("no/d/s"), geteuid(), error, sizeof(error)), -ENOENT);
}

Test(runtime_dir, given_directories)
{
	umask(0);
	cr_expect_eq(runtime_dir_check(in_folder("s"), geteuid(), error, sizeof(error)), 0);
	chmod(folder, 0777);
	cr_expect_eq(runtime_dir_check(in_folder("s"), geteuid(), error, sizeof(error)), -EPERM);
	cr_expect(strstr(error, "everybody may write"), "%s", error);
	chmod(folder, 01777);
	cr_expect_eq(runtime_dir_check(in_folder("s"), geteuid(), error, sizeof(error)), 0);
	cr_expect_eq(runtime_dir_check("/s", geteuid(), error, sizeof(error)), 0);
	cr_expect_eq(runtime_dir_check(in_folder("no/s"), geteuid(), error, sizeof(error)), -ENOENT);
}

Test(runtime_dir, urls)
{
	const char *path;
	static const char *const bad[] = {"", "tcp://1.2.3.4:5", "ipc:", "ipc://", "ipc:///", "ipc://x",
	    "ipc:///a/", "ipc:///a/../b", "ipc:///a/.", "ipc:///a b", "ipc:///a\nb", "IPC:///a",
	    "unix:///a", "abstract://a", "ws://a/b", "wss://a/b", "inproc://a"};
	cr_assert_eq(runtime_dir_url_path("ipc:///a/..b/c.", &path, error, sizeof(error)), 0);
	cr_expect_str_eq(path, "/a/..b/c.");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_lt(runtime_dir_url_path(bad[i], &path, error, sizeof(error)), 0, "%s", bad[i]);
}

Test(runtime_dir, what_lies_at_the_path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", in_folder("s"));
	cr_expect_eq(runtime_dir_check_socket(name.sun_path, error, sizeof(error)), 0, "nothing");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	cr_expect_eq(runtime_dir_check_socket(name.sun_path, error, sizeof(error)), -EADDRINUSE);
	close(fd);
	cr_expect_eq(runtime_dir_check_socket(name.sun_path, error, sizeof(error)), 0, "stale");
	cr_assert_eq(symlink("s", in_folder("link")), 0);
	cr_expect_eq(runtime_dir_check_socket(in_folder("link"), error, sizeof(error)), -EEXIST);
}

Test(runtime_dir, one_lock_one_holder)
{
	int first = -1, second = -1;
	const char *path = in_folder("s");
	cr_assert_eq(listen_lock_take(path, 4711, &first, error, sizeof(error)), 0, "%s", error);
	cr_expect_eq(listen_lock_take(path, 4712, &second, error, sizeof(error)), -EADDRINUSE);
	cr_expect(strstr(error, "process 4711"), "%s", error);
	cr_expect_eq(second, -1);
	listen_lock_release(path, &first);
	cr_expect_eq(first, -1);
	cr_expect_neq(access(in_folder("s.lock"), F_OK), 0);
	cr_expect_eq(listen_lock_take(path, 4712, &second, error, sizeof(error)), 0, "free again");
	listen_lock_release(path, &second);
}

Test(runtime_dir, lock_left_by_a_dead_holder)
{
	int fd = -1;
	FILE *file = fopen(in_folder("s.lock"), "w");
	fputs("1234567890123\n", file);
	fclose(file);
	cr_assert_eq(listen_lock_take(in_folder("s"), 5, &fd, error, sizeof(error)), 0, "%s", error);
	listen_lock_release(in_folder("s"), &fd);
}

Test(runtime_dir, lock_is_no_link_and_no_directory)
{
	int fd = -1;
	cr_assert_eq(symlink("/etc/passwd", in_folder("s.lock")), 0);
	cr_expect_eq(listen_lock_take(in_folder("s"), 5, &fd, error, sizeof(error)), -ELOOP);
	cr_assert_eq(mkdir(in_folder("t.lock"), 0700), 0);
	cr_expect_eq(listen_lock_take(in_folder("t"), 5, &fd, error, sizeof(error)), -EISDIR);
	cr_assert_eq(mkfifo(in_folder("u.lock"), 0600), 0);
	cr_expect_eq(listen_lock_take(in_folder("u"), 5, &fd, error, sizeof(error)), -EPERM);
	cr_expect_eq(fd, -1);
}
