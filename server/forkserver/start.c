// Starts processes without ever waiting.
#include "server/forkserver/start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/common/cleanup.h"
#include "server/common/clock.h"
#include "server/common/fd.h"
#include "server/common/log.h"
#include "server/common/os.h"
#include "server/forkserver/admit.h"
#include "server/forkserver/loop.h"
#include "server/forkserver/root.h"
#include "server/forkserver/stdin.h"

#define FIRST_LOW_FD 4 // 3 is where a child finds its cancel notice
#define STACK_BYTES  32768u
#define GUARD_BYTES  4096u
#define STATUS_PLACE 4 // in a staging set
#define CANCEL_PLACE 3

int start_open(struct starter *starter)
{
	memset(starter, 0, sizeof(*starter));
	TAILQ_INIT(&starter->running);
	TAILQ_INIT(&starter->waiting);
	CLEANUP_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -errno;
	starter->null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, FIRST_LOW_FD);
	if (starter->null_fd < 0)
		return -errno;
	starter->first_stray = (unsigned)starter->null_fd + 1;
	for (int set = 0; set < START_SETS; set++) {
		for (int place = 0; place < START_SET_FDS; place++) {
			int fd = fcntl(null_fd, F_DUPFD_CLOEXEC, FIRST_LOW_FD);
			if (fd < 0)
				return -errno;
			starter->sets[set][place] = fd;
			if ((unsigned)fd >= starter->first_stray)
				starter->first_stray = (unsigned)fd + 1;
		}
	}
	return 0;
}

static int check_order(struct root *root, const struct link_start *order)
{
	uint32_t number = (uint32_t)order->process_id;
	if (order->process_id >> 32 != root->epoch || number <= root->last_number)
		return -EINVAL;
	root->last_number = number; // also of a refused one: numbers are never used twice
	if (slots_has_key(&root->slots, order->key))
		return -EEXIST;
	if (slots_has_tombstone(&root->slots, order->key))
		return -ESTALE;
	if (stop_is_asked(root) || root->alive >= root->max_processes)
		return -EAGAIN;
	return 0;
}

static int take_rings(struct root *root, struct slot *slot)
{
	for (int i = 0; i < LINK_STREAMS; i++) {
		const struct launch_stdio *stdio = &slot->launch.launch->stdio[i + 1];
		struct stream *stream = &slot->streams[i];
		if (stdio->kind != LAUNCH_STDIO_PIPE)
			continue;
		int r = rings_take(&root->rings, stdio->ring_bytes, &stream->ring_offset);
		if (r < 0)
			return r;
		stream->ring_size = stdio->ring_bytes;
		stream->policy = stdio->policy;
	}
	return 0;
}

int start_order(struct root *root, const struct link_start *order, int fd)
{
	struct launch_map launch;
	int r = check_order(root, order);
	if (r < 0)
		return r;
	r = launch_map(fd, &launch);
	if (r < 0)
		return r == -EBADMSG ? -EINVAL : -EAGAIN;
	uint32_t fds = admit_count_fds(launch.launch);
	struct slot *slot = NULL;
	if (!admit_identity(root, launch.launch))
		r = -EPERM;
	else if (root->fds_used + fds > root->fds_max)
		r = -EAGAIN;
	else if (!(slot = slots_take(&root->slots, order->process_id, order->key)))
		r = -EAGAIN;
	if (r < 0) {
		launch_unmap(&launch);
		return r;
	}
	slot->state = SLOT_WAITING;
	slot->launch = launch;
	slot->fds = fds;
	root->fds_used += fds;
	root->alive++;
	slot_keep(slot, order->keepsake, order->keepsake_size);
	contain_prepare(root, slot);
	r = take_rings(root, slot);
	if (r < 0) {
		root_forget(root, slot);
		return r;
	}
	slot->started_ms = root_now_ms(root);
	TAILQ_INSERT_TAIL(&root->starter.waiting, slot, start_queue);
	return 0;
}

// --- the clone ----------------------------------------------------------------------------------

static int find_set(const struct starter *starter)
{
	for (int i = 0; i < START_SETS; i++)
		if (!starter->set_used[i])
			return i;
	return -1;
}

static int find_job(const struct starter *starter)
{
	for (int i = 0; i < START_JOBS_MAX; i++)
		if (!starter->jobs[i].slot)
			return i;
	return -1;
}

static int need_stack(struct start_job *job)
{
	if (job->stack)
		return 0;
	char *memory = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	mprotect(memory, GUARD_BYTES, PROT_NONE);
	job->stack = memory + GUARD_BYTES;
	return 0;
}

// A place in a set is never closed, only overwritten: its number must not be given to another.
static void release_set(struct starter *starter, struct start_job *job)
{
	if (job->set < 0)
		return;
	for (int i = 0; i < START_SET_FDS; i++)
		dup3(starter->null_fd, starter->sets[job->set][i], O_CLOEXEC);
	starter->set_used[job->set] = false;
	job->set = -1;
}

// Makes a pipe, puts the child's end at a place of the job's set and returns ours, non-blocking.
static int stage_pipe(struct starter *starter, struct start_job *job, int place, bool child_reads)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	CLEANUP_FD int child_end = ends[child_reads ? 0 : 1];
	CLEANUP_FD int our_end = ends[child_reads ? 1 : 0];
	int r = fd_set_nonblock(our_end);
	if (r < 0)
		return r;
	if (dup3(child_end, starter->sets[job->set][place], O_CLOEXEC) < 0)
		return -errno;
	return fd_steal(&our_end);
}

static int stage_stdio(struct root *root, struct start_job *job, int number)
{
	struct slot *slot = job->slot;
	uint32_t kind = slot->launch.launch->stdio[number].kind;
	job->child.sources[number] = kind == LAUNCH_STDIO_NULL ? root->starter.null_fd : -1;
	if (kind != LAUNCH_STDIO_PIPE)
		return 0;
	int fd = stage_pipe(&root->starter, job, number, number == 0);
	if (fd < 0)
		return fd;
	job->child.sources[number] = root->starter.sets[job->set][number];
	return number == 0 ? stdin_begin(root, slot, fd)
	                   : pipes_begin(root, slot, (uint32_t)number - 1, fd);
}

static int stage_all(struct root *root, struct start_job *job)
{
	struct slot *slot = job->slot;
	for (int i = 0; i < 3; i++) {
		int r = stage_stdio(root, job, i);
		if (r < 0)
			return r;
	}
	job->child.cancel_source = -1;
	if (slot->launch.launch->cancel_notice) {
		slot->cancel_fd = stage_pipe(&root->starter, job, CANCEL_PLACE, true);
		if (slot->cancel_fd < 0)
			return slot->cancel_fd;
		job->child.cancel_source = root->starter.sets[job->set][CANCEL_PLACE];
	}
	job->status_fd = stage_pipe(&root->starter, job, STATUS_PLACE, false);
	if (job->status_fd < 0)
		return job->status_fd;
	job->child.status_fd = root->starter.sets[job->set][STATUS_PLACE];
	return 0;
}

static void fill_child_job(struct root *root, struct start_job *job)
{
	struct slot *slot = job->slot;
	const struct launch *launch = slot->launch.launch;
	job->child.map = slot->launch;
	job->child.first_stray = root->starter.first_stray;
	job->child.parent_pid = root->pid;
	job->child.tag = slot->tag;
	job->child.nofile = root->setup->nofile;
	job->child.set_groups =
	    launch->has_identity && (geteuid() == 0 || !admit_has_own_groups(launch));
	job->child.stage = LAUNCH_CLONE;
	job->child.error = 0;
}

static int launch_child(struct root *root, struct start_job *job)
{
	struct slot *slot = job->slot;
	int r = need_stack(job);
	if (r == 0)
		r = stage_all(root, job);
	if (r < 0)
		return r;
	fill_child_job(root, job);
	uint32_t index = (uint32_t)(job - root->starter.jobs);
	r = loop_watch(root, job->status_fd, EPOLLIN, loop_tag(LOOP_STATUS, slot->generation, index));
	if (r < 0)
		return r;
	// All signals are blocked here, always, and so they are in the child until it executes.
	int pid = os_clone_sharing(job->stack, STACK_BYTES, child_run, &job->child, &slot->pidfd);
	if (pid < 0)
		return pid;
	slot->pid = pid;
	slot->job = (int)index;
	slot->state = SLOT_STARTING;
	reap_know_leader(root, slot);
	r = loop_watch(
	    root, slot->pidfd, EPOLLIN | EPOLLONESHOT, loop_slot_tag(root, LOOP_LEADER, slot));
	if (r < 0)
		log_error("cannot watch process %d: %s", pid, strerror(-r));
	return 0;
}

static void free_job(struct root *root, struct start_job *job)
{
	release_set(&root->starter, job);
	if (job->status_fd >= 0) {
		loop_unwatch(root, job->status_fd);
		fd_close(&job->status_fd);
	}
	if (job->slot)
		job->slot->job = -1;
	job->slot = NULL;
	root->starter.n_jobs--;
}

static void refuse(struct root *root, struct slot *slot, int error)
{
	struct link_refused m = {
	    .header = {.kind = LINK_REFUSED, .size = sizeof(m)},
	    .process_id = slot->process_id,
	    .key = slot->key,
	    .error = error == -ENOSPC ? ENOSPC : EAGAIN, // whatever lacked may come back
	};
	log_warning("cannot start a process now: %s", strerror(-error));
	outbox_answer(root, &m);
	root_forget(root, slot);
}

// Each start that is begun may be refused, and each refusal is an answer: the broker must not miss
// one, so while answers fill the outbox no start is begun.
static bool may_begin(const struct root *root)
{
	return outbox_has_spare_room(&root->outbox) && find_set(&root->starter) >= 0 &&
	       find_job(&root->starter) >= 0;
}

static void begin(struct root *root, struct slot *slot)
{
	struct starter *starter = &root->starter;
	int set = find_set(starter);
	struct start_job *job = &starter->jobs[find_job(starter)];
	TAILQ_REMOVE(&starter->waiting, slot, start_queue);
	job->slot = slot;
	job->set = set;
	job->status_fd = -1;
	job->gave_up = false;
	job->deadline_us = root->now_us + (uint64_t)root->config.start_timeout_ms * 1000;
	starter->set_used[set] = true;
	starter->n_jobs++;
	int r = launch_child(root, job);
	if (r < 0) {
		free_job(root, job);
		refuse(root, slot, r);
		return;
	}
	TAILQ_INSERT_TAIL(&starter->running, job, queue);
}

// --- the end of a start -------------------------------------------------------------------------

// A server that the operator gave a protection against the memory killer must not hand it down.
static void reset_oom_adj(const struct root *root, pid_t pid)
{
	char path[64];
	if (root->own_oom_adj == 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) < 0)
		log_warning("cannot reset oom_score_adj of process %d", (int)pid);
}

static void fail(struct root *root, struct slot *slot, uint32_t stage, int error)
{
	slot->state = SLOT_FAILED;
	slot->failed_stage = stage;
	slot->failed_error = error;
	slot->exited_ms = root_now_ms(root);
	root->alive--;
	root_close_fd(root, slot, &slot->stdin_fd);
	root_close_fd(root, slot, &slot->cancel_fd);
	pipes_release(root, slot);
	if (slot->pidfd < 0) { // it never began: what was set aside for it is free again
		root->fds_used -= slot->fds;
		slot->fds = 0;
	}
	outbox_mark(root, slot, UNSENT_START_FAILED);
	tree_on_started(root);
}

static void succeed(struct root *root, struct slot *slot)
{
	slot->state = SLOT_LIVE;
	slot->started_ms = root_now_ms(root);
	slot->started_unix_ms = now_unix_ms();
	reset_oom_adj(root, slot->pid);
	outbox_mark(root, slot, UNSENT_STARTED);
	tree_on_started(root);
}

// The child executes its program or is dead: either way nothing of this memory is its any more.
static void finish(struct root *root, struct start_job *job)
{
	struct slot *slot = job->slot;
	uint32_t stage = job->child.stage;
	int error = job->child.error;
	bool gave_up = job->gave_up;
	if (!gave_up)
		TAILQ_REMOVE(&root->starter.running, job, queue);
	free_job(root, job);
	launch_unmap(&slot->launch);
	if (gave_up)
		return;
	if (error != 0)
		fail(root, slot, stage, error);
	else if (stage < LAUNCH_EXEC)
		fail(root, slot, stage, EINTR); // killed by somebody else on its way
	else
		succeed(root, slot);
}

void start_on_status(struct root *root, uint32_t index, uint32_t generation)
{
	char byte;
	if (index >= START_JOBS_MAX)
		return;
	struct start_job *job = &root->starter.jobs[index];
	if (!job->slot || job->slot->generation != generation)
		return;
	ssize_t n = read(job->status_fd, &byte, 1);
	if (n == 1) // its table is its own: ours may go
		release_set(&root->starter, job);
	else if (n == 0)
		finish(root, job);
}

void start_on_death(struct root *root, struct slot *slot)
{
	if (slot->job >= 0)
		finish(root, &root->starter.jobs[slot->job]);
}

static void give_up(struct root *root, struct start_job *job)
{
	struct slot *slot = job->slot;
	uint32_t stage = job->child.stage;
	log_warning("the start of process %d takes too long at stage %u: killed", (int)slot->pid,
	    (unsigned)stage);
	os_pidfd_signal(slot->pidfd, SIGKILL);
	TAILQ_REMOVE(&root->starter.running, job, queue);
	job->gave_up = true;
	fail(root, slot, stage, ETIMEDOUT);
}

void start_tick(struct root *root)
{
	struct starter *starter = &root->starter;
	struct start_job *job;
	struct slot *slot;
	while ((job = TAILQ_FIRST(&starter->running)) && job->deadline_us <= root->now_us)
		give_up(root, job);
	while ((slot = TAILQ_FIRST(&starter->waiting))) {
		if (may_begin(root)) {
			begin(root, slot);
			continue;
		}
		if (slot->started_ms + root->config.start_timeout_ms > root_now_ms(root))
			return;
		TAILQ_REMOVE(&starter->waiting, slot, start_queue);
		launch_unmap(&slot->launch);
		fail(root, slot, LAUNCH_PREPARE, ETIMEDOUT);
	}
}

uint64_t start_next_us(const struct root *root)
{
	const struct start_job *job = TAILQ_FIRST(&root->starter.running);
	const struct slot *slot = TAILQ_FIRST(&root->starter.waiting);
	uint64_t next = job ? job->deadline_us : ROOT_NEVER;
	if (slot && may_begin(root))
		return 0; // the outbox has got room since
	if (slot) {
		uint64_t late = (slot->started_ms + root->config.start_timeout_ms) * 1000;
		next = late < next ? late : next;
	}
	return next;
}
