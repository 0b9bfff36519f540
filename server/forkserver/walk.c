// Reads process trees from /proc.
#include "server/forkserver/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/os.h"

#define PATH_BYTES      64
#define SINGLE_THREADED 3 // links of /proc/PID/task with one thread in it

static int read_proc(pid_t pid, const char *name, char *ret_text, size_t size)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, ret_text, size - 1);
	if (n < 0)
		return -errno;
	ret_text[n] = '\0';
	return 0;
}

int walk_read_stat(pid_t pid, struct walk_stat *ret_stat)
{
	char text[1024];
	struct walk_stat stat = {.threads = 0};
	if (read_proc(pid, "stat", text, sizeof(text)) < 0)
		return -ESRCH;
	char *begin = strchr(text, '('), *end = strrchr(text, ')');
	int parent, group;
	unsigned long long start;
	if (!begin || !end)
		return -ESRCH;
	// Fields 3, 4, 5, then 20 (threads) and 22 (start) of proc(5).
	if (sscanf(end + 1,
	        " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu",
	        &stat.state, &parent, &group, &stat.threads, &start) != 5)
		return -ESRCH;
	stat.parent = parent;
	stat.group = group;
	stat.start_ticks = start;
	snprintf(stat.comm, sizeof(stat.comm), "%.*s", (int)(end - begin - 1), begin + 1);
	*ret_stat = stat;
	return 0;
}

bool walk_is_alive(const struct walk_stat *stat)
{
	return (stat->state != 'Z' && stat->state != 'X') || stat->threads > 1;
}

void walk_read_wchan(pid_t pid, char *ret_name, size_t size)
{
	char text[128];
	ret_name[0] = '\0';
	if (read_proc(pid, "wchan", text, sizeof(text)) == 0 && strcmp(text, "0") != 0)
		snprintf(ret_name, size, "%s", text);
}

bool walk_is_traced(pid_t pid)
{
	char text[4096];
	if (read_proc(pid, "status", text, sizeof(text)) < 0)
		return false;
	const char *line = strstr(text, "\nTracerPid:");
	return line && atoi(line + strlen("\nTracerPid:")) != 0;
}

static int parse_locks_limit(const char *text, uint64_t *ret_tag)
{
	const char *line = strstr(text, "\nMax file locks");
	char soft[32], hard[32];
	if (!line || sscanf(line + strlen("\nMax file locks"), " %31s %31s", soft, hard) != 2)
		return -ENODATA;
	*ret_tag = strcmp(hard, "unlimited") == 0 ? UINT64_MAX : strtoull(hard, NULL, 10);
	return 0;
}

// Under another uid and without the capability, only the world-readable file tells.
int walk_read_tag(pid_t pid, uint64_t *ret_tag)
{
	char text[4096];
	int r = os_hard_limit(pid, RLIMIT_LOCKS, ret_tag);
	if (r != -EPERM)
		return r;
	r = read_proc(pid, "limits", text, sizeof(text));
	return r < 0 ? r : parse_locks_limit(text, ret_tag);
}

int walk_open(struct walk *walk)
{
	void *memory = mmap(NULL, WALK_PID_MAX * sizeof(struct walk_entry), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*walk = (struct walk){.entries = memory};
	return 0;
}

void walk_close(struct walk *walk)
{
	if (walk->entries)
		munmap(walk->entries, WALK_PID_MAX * sizeof(struct walk_entry));
	walk->entries = NULL;
}

void walk_begin(struct walk *walk)
{
	walk->n = walk->next = 0;
}

void walk_add(struct walk *walk, pid_t pid, pid_t parent)
{
	if (walk->n < WALK_PID_MAX)
		walk->entries[walk->n++] = (struct walk_entry){.pid = pid, .parent = parent};
}

// Reads a list of pids, in pieces, a number may lie across two of them.
static int add_listed(struct walk *walk, int fd, pid_t parent)
{
	char text[16384];
	pid_t pid = 0;
	for (;;) {
		ssize_t n = read(fd, text, sizeof(text));
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
			} else if (pid > 0) {
				walk_add(walk, pid, parent);
				pid = 0;
			}
		}
	}
	if (pid > 0)
		walk_add(walk, pid, parent);
	return 0;
}

static void add_children_of_thread(struct walk *walk, pid_t pid, pid_t thread)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)thread);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		add_listed(walk, fd, pid);
}

static void add_children_of_threads(struct walk *walk, pid_t pid)
{
	char path[PATH_BYTES];
	_Alignas(struct dirent64) char entries[4096];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;
	while (fd >= 0 && (n = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			pid_t thread = (pid_t)atoi(entry->d_name);
			if (thread > 0)
				add_children_of_thread(walk, pid, thread);
			at += entry->d_reclen;
		}
	}
}

// Each thread has a list of children of its own; most processes have one thread.
static void add_children(struct walk *walk, pid_t pid)
{
	char path[PATH_BYTES];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if (stat(path, &st) == 0 && st.st_nlink == SINGLE_THREADED)
		add_children_of_thread(walk, pid, pid);
	else
		add_children_of_threads(walk, pid);
}

bool walk_next(struct walk *walk, struct walk_entry *ret_entry)
{
	if (walk->next == walk->n)
		return false;
	*ret_entry = walk->entries[walk->next++];
	add_children(walk, ret_entry->pid);
	return true;
}

int walk_open_own_children(void)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int walk_add_own_children(struct walk *walk, int fd)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return add_listed(walk, fd, 0);
}
