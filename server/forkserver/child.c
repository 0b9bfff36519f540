// What a new process does between clone and exec.
#include "server/forkserver/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <stddef.h>

#include "server/common/os_raw.h"

#define CLOSE_UNSHARE 2u // CLOSE_RANGE_UNSHARE
#define FILE_MODE     0666
#define SIGSET_BYTES  8

static void die(struct child_job *job, long error) __attribute__((noreturn));

static void die(struct child_job *job, long error)
{
	job->error = (int32_t)-error;
	for (;;)
		OS_RAW(SYS_exit_group, 127, 0, 0, 0);
}

static void check(struct child_job *job, long result)
{
	if (result < 0)
		die(job, result);
}

// Before the table is this process's own, any dup2 would overwrite the parent's: so unsharing comes
// first and its failure is final. It does not copy what lies above first_stray.
static void take_own_table(struct child_job *job)
{
	job->stage = LAUNCH_DESCRIPTORS;
	check(job, OS_RAW(SYS_close_range, job->first_stray, ~0U, CLOSE_UNSHARE, 0));
	check(job, OS_RAW(SYS_write, job->status_fd, "u", 1, 0));
}

static void place_descriptors(struct child_job *job)
{
	unsigned first_unwanted = 3;
	for (int i = 0; i < 3; i++)
		if (job->sources[i] >= 0)
			check(job, OS_RAW(SYS_dup3, job->sources[i], i, 0, 0));
	if (job->cancel_source >= 0) {
		check(job, OS_RAW(SYS_dup3, job->cancel_source, 3, 0, 0));
		first_unwanted = 4;
	}
	unsigned status = (unsigned)job->status_fd;
	if (status > first_unwanted)
		check(job, OS_RAW(SYS_close_range, first_unwanted, status - 1, 0, 0));
	check(job, OS_RAW(SYS_close_range, status + 1, ~0U, 0, 0));
}

static void set_limit(struct child_job *job, uint32_t resource, uint64_t soft, uint64_t hard)
{
	uint64_t limit[2] = {soft, hard};
	check(job, OS_RAW(SYS_prlimit64, 0, resource, limit, 0));
}

static void set_limits(struct child_job *job)
{
	const struct launch *launch = job->map.launch;
	job->stage = LAUNCH_RLIMIT;
	set_limit(job, RLIMIT_NOFILE, job->nofile.rlim_cur, job->nofile.rlim_max);
	if (job->tag != 0)
		set_limit(job, RLIMIT_LOCKS, job->tag, job->tag);
	for (uint32_t i = 0; i < launch->n_rlimits; i++)
		set_limit(
		    job, launch->rlimits[i].resource, launch->rlimits[i].soft, launch->rlimits[i].hard);
}

static void switch_identity(struct child_job *job)
{
	const struct launch *launch = job->map.launch;
	uint32_t real, effective, saved;
	job->stage = LAUNCH_IDENTITY;
	// What the server was given for itself does not go down to children; a change between two
	// ordinary uids would not take it away.
	check(job, OS_RAW(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0));
	if (!launch->has_identity)
		return;
	if (job->set_groups)
		check(job, OS_RAW(SYS_setgroups, launch->n_groups, launch->groups, 0, 0));
	check(job, OS_RAW(SYS_setresgid, launch->gid, launch->gid, launch->gid, 0));
	check(job, OS_RAW(SYS_setresuid, launch->uid, launch->uid, launch->uid, 0));
	check(job, OS_RAW(SYS_getresuid, &real, &effective, &saved, 0));
	if (real != launch->uid || effective != launch->uid || saved != launch->uid)
		die(job, -EPERM);
}

// Only now: the change of uid would have cleared it. The parent may have died before it was set.
static void follow_parent(struct child_job *job)
{
	check(job, OS_RAW(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0));
	if (OS_RAW(SYS_getppid, 0, 0, 0, 0) != job->parent_pid)
		die(job, -ESRCH);
}

// Closing first gives the new file the right number, even under a limit of 3 descriptors.
static void open_file(struct child_job *job, int number)
{
	const struct launch_stdio *stdio = &job->map.launch->stdio[number];
	int flags = O_RDONLY | O_NOCTTY;
	if (number != 0)
		flags = O_WRONLY | O_CREAT | O_NOCTTY | (stdio->truncate ? O_TRUNC : O_APPEND);
	OS_RAW(SYS_close, number, 0, 0, 0);
	long fd = OS_RAW(SYS_openat, AT_FDCWD, job->map.paths[number], flags, FILE_MODE);
	check(job, fd);
	if (fd != number)
		die(job, -EBADF);
}

static void open_files(struct child_job *job)
{
	for (int i = 0; i < 3; i++) {
		job->stage = LAUNCH_STDIN + (uint32_t)i;
		if (job->map.paths[i])
			open_file(job, i);
		else if (job->map.launch->stdio[i].kind == LAUNCH_STDIO_STDOUT)
			check(job, OS_RAW(SYS_dup3, 1, i, 0, 0));
	}
}

// Clone has reset handlers; nothing is ignored, since the server began with none (main.c).
static void unblock_signals(struct child_job *job)
{
	uint64_t none = 0;
	check(job, OS_RAW(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGSET_BYTES));
}

// As execvp does: a path that is not there is passed over; one that may not be executed is passed
// over, but is the answer if no other does better.
static void execute(struct child_job *job)
{
	long result = -ENOENT, denied = 0;
	job->stage = LAUNCH_EXEC;
	for (uint32_t i = 0; i < job->map.launch->n_candidates; i++) {
		result = OS_RAW(SYS_execve, job->map.candidates[i], job->map.argv, job->map.env, 0);
		if (result == -EACCES)
			denied = result;
		else if (result != -ENOENT && result != -ENOTDIR)
			die(job, result);
	}
	if (job->map.launch->looked_up && result == -ENOTDIR)
		result = -ENOENT;
	die(job, denied ? denied : result);
}

void child_run(void *argument)
{
	struct child_job *job = argument;
	take_own_table(job);
	job->stage = LAUNCH_SESSION;
	check(job, OS_RAW(SYS_setsid, 0, 0, 0, 0));
	job->stage = LAUNCH_DESCRIPTORS;
	place_descriptors(job);
	set_limits(job);
	switch_identity(job);
	follow_parent(job);
	OS_RAW(SYS_umask, job->map.launch->umask, 0, 0, 0);
	job->stage = LAUNCH_CWD;
	check(job, OS_RAW(SYS_chdir, job->map.cwd, 0, 0, 0));
	open_files(job);
	job->stage = LAUNCH_PROCESS_STATE;
	if (!job->map.launch->allow_new_privileges)
		check(job, OS_RAW(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0));
	unblock_signals(job);
	execute(job);
	die(job, -ENOEXEC);
}
