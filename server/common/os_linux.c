// What the operating system alone can do: Linux, by raw system calls where libc has none.
#include "server/common/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#define WAIT_PIDFD 3 // P_PIDFD, which older headers lack

int os_pidfd_open(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : (int)fd;
}

int os_pidfd_of_peer(int socket_fd)
{
	int pidfd = -1;
	socklen_t size = sizeof(pidfd);
	if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
		return -errno;
	return pidfd;
}

int os_pidfd_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

// The raw call has a fifth argument that libc hides: the child's usage.
static int reap(int type, int id, int options, struct os_exit *ret_exit)
{
	siginfo_t info;
	struct rusage usage;
	memset(&info, 0, sizeof(info));
	memset(&usage, 0, sizeof(usage));
	if (syscall(SYS_waitid, type, id, &info, WEXITED | WNOHANG | __WALL | options, &usage) < 0)
		return -errno;
	ret_exit->pid = info.si_pid;
	ret_exit->code_kind = info.si_code;
	ret_exit->status = info.si_status;
	ret_exit->usage = usage;
	return 0;
}

int os_reap_pidfd(int pidfd, struct os_exit *ret_exit)
{
	return reap(WAIT_PIDFD, pidfd, 0, ret_exit);
}

int os_reap_any(struct os_exit *ret_exit)
{
	return reap(P_ALL, 0, 0, ret_exit);
}

int os_reap_pid(pid_t pid, struct os_exit *ret_exit)
{
	return reap(P_PID, pid, 0, ret_exit);
}

int os_peek_any(pid_t *ret_pid)
{
	struct os_exit seen;
	int r = reap(P_ALL, 0, WNOWAIT, &seen);
	if (r == 0)
		*ret_pid = seen.pid;
	return r;
}

int os_close_from(unsigned int first, int unshare)
{
	unsigned int flags = unshare ? CLOSE_RANGE_UNSHARE : 0;
	return syscall(SYS_close_range, first, ~0U, flags) < 0 ? -errno : 0;
}

int os_memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

int os_become_subreaper(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int os_signal_on_parent_death(int signal, pid_t expected_parent)
{
	if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0)
		return -errno;
	return getppid() == expected_parent ? 0 : -ESRCH;
}

int os_hard_limit(pid_t pid, int resource, uint64_t *ret_limit)
{
	struct rlimit limit;
	if (prlimit(pid, (enum __rlimit_resource)resource, NULL, &limit) < 0)
		return -errno;
	*ret_limit = limit.rlim_max;
	return 0;
}

// The flag may only be taken back with the capability; leaving it set does no harm.
int os_realtime(int on)
{
	struct sched_param parameter = {.sched_priority = on ? 1 : 0};
	int policy = on ? SCHED_RR : SCHED_OTHER;
	if (!on && sched_setscheduler(0, policy, &parameter) == 0)
		return 0;
	return sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &parameter) < 0 ? -errno : 0;
}

// The kernel returns twice from clone3, the second time on the new stack, where nothing of this
// function's frame exists: so the call and the jump into run are one piece of assembly.
static long clone3_run(struct clone_args *args, void (*run)(void *), void *argument)
{
#if defined(__x86_64__)
	register void (*entry)(void *) __asm__("r12") = run;
	register void *value __asm__("r13") = argument;
	long result;
	__asm__ volatile("syscall\n\t"
	                 "testq %%rax, %%rax\n\t"
	                 "jnz 1f\n\t"
	                 "xorl %%ebp, %%ebp\n\t"
	                 "movq %%r13, %%rdi\n\t"
	                 "callq *%%r12\n\t"
	                 "ud2\n"
	                 "1:"
	                 : "=a"(result)
	                 : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(entry), "r"(value)
	                 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = (long)sizeof(*args);
	register void (*entry)(void *) __asm__("x9") = run;
	register void *value __asm__("x10") = argument;
	__asm__ volatile("svc 0\n\t"
	                 "cbnz x0, 1f\n\t"
	                 "mov x29, xzr\n\t"
	                 "mov x0, x10\n\t"
	                 "blr x9\n\t"
	                 "brk 1\n"
	                 "1:"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(entry), "r"(value)
	                 : "memory", "x30");
	return x0;
#else
#error "written for x86_64 and aarch64 only"
#endif
}

int os_clone_sharing(
    void *stack, size_t stack_size, void (*run)(void *), void *argument, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args args = {
	    .flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
	    .pidfd = (uintptr_t)&pidfd,
	    .exit_signal = SIGCHLD,
	    .stack = (uintptr_t)stack,
	    .stack_size = stack_size,
	};
	long pid = clone3_run(&args, run, argument);
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (int)pid;
}

int os_random(void *buffer, size_t size)
{
	unsigned char *bytes = buffer;
	while (size > 0) {
		ssize_t n = getrandom(bytes, size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}
