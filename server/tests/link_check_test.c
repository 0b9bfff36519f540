// Unit tests: the check of link messages.
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include "server/link/check.h"
#include "server/link/messages.h"

#define KINDS 128u

static int check(const void *message, enum link_direction direction)
{
	const struct link_header *header = message;
	return link_check(message, header->size, direction);
}

static struct link_act an_act(void)
{
	return (struct link_act){.header = {LINK_ACT, sizeof(struct link_act)},
	    .process_id = 5,
	    .rung = 1,
	    .action = LINK_ACTION_SIGNAL,
	    .signal = 15,
	    .scope = LINK_SCOPE_TREE};
}

Test(link_check, a_kind_goes_one_way)
{
	struct link_ping ping = {.header = {LINK_PING, sizeof(ping)}};
	struct link_pong pong = {.header = {LINK_PONG, sizeof(pong)}};
	cr_assert(eq(int, check(&ping, LINK_TO_BROKER), 0));
	cr_assert(eq(int, check(&ping, LINK_TO_ROOT), -EBADMSG));
	cr_assert(eq(int, check(&pong, LINK_TO_ROOT), 0));
	cr_assert(eq(int, check(&pong, LINK_TO_BROKER), -EBADMSG));
}

Test(link_check, no_kind_is_accepted_at_a_wrong_size)
{
	static _Alignas(uint64_t) unsigned char message[LINK_MESSAGE_MAX + 8];
	struct link_header *header = (void *)message;
	for (uint32_t kind = 0; kind < KINDS; kind++) {
		header->kind = kind;
		uint32_t size = link_message_size(message);
		for (uint32_t wrong = 0; wrong < size; wrong++) {
			header->size = wrong;
			for (int d = LINK_TO_ROOT; d <= LINK_TO_BROKER; d++) {
				cr_assert(eq(int, link_check(message, wrong, d), -EBADMSG));
				cr_assert(eq(int, link_check(message, size, d), -EBADMSG), "the header lies");
			}
		}
	}
	header->kind = LINK_PONG;
	header->size = LINK_MESSAGE_MAX + 8;
	cr_assert(eq(int, check(message, LINK_TO_ROOT), -EBADMSG));
}

Test(link_check, a_tail_may_be_cut_after_what_is_used)
{
	struct link_keepsake m = {.header = {.kind = LINK_KEEPSAKE}, .process_id = 5};
	const uint32_t fixed = offsetof(struct link_keepsake, keepsake);
	const uint32_t used[] = {0, 1, LINK_KEEPSAKE_MAX};
	for (size_t i = 0; i < 3; i++) {
		m.keepsake_size = used[i];
		cr_assert(eq(u32, link_message_size(&m), fixed + used[i]));
		m.header.size = fixed + used[i];
		cr_assert(eq(int, check(&m, LINK_TO_ROOT), 0));
		m.header.size = sizeof(m);
		cr_assert(eq(int, check(&m, LINK_TO_ROOT), 0), "or be whole");
		m.header.size = fixed + used[i] - 1;
		cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG));
	}
	m.keepsake_size = LINK_KEEPSAKE_MAX + 1;
	m.header.size = sizeof(m);
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG));
	m.keepsake_size = UINT32_MAX;
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG));
}

Test(link_check, acts_are_in_range)
{
	struct link_act good = an_act(), bad;
	cr_assert(eq(int, check(&good, LINK_TO_ROOT), 0));
#define REFUSED(field, value)                                                                      \
	do {                                                                                           \
		bad = good;                                                                                \
		bad.field = (value);                                                                       \
		cr_assert(eq(int, check(&bad, LINK_TO_ROOT), -EBADMSG));                                   \
	} while (0)
	REFUSED(process_id, 0);
	REFUSED(signal, 0);
	REFUSED(signal, 65);
	REFUSED(scope, 0);
	REFUSED(scope, LINK_SCOPE_TREE + 1);
	REFUSED(action, 0);
	REFUSED(action, LINK_ACTION_CANCEL_NOTICE + 1);
	REFUSED(rung, 255);
	REFUSED(keepsake_size, LINK_KEEPSAKE_MAX + 1);
	good.action = LINK_ACTION_CLOSE_STDIN;
	good.signal = 0;
	good.scope = LINK_SCOPE_LEADER;
	cr_assert(eq(int, check(&good, LINK_TO_ROOT), 0));
	REFUSED(signal, 9);
	REFUSED(scope, LINK_SCOPE_TREE);
#undef REFUSED
}

Test(link_check, what_becomes_a_line_of_output_is_a_line)
{
	struct link_ready m = {.header = {LINK_READY, sizeof(m)}, .url = "ipc:///run/x"};
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), 0));
	strcpy(m.url, "ipc:///a\nspawnd ready b");
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG));
	strcpy(m.url, "");
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG));
	memset(m.url, 'x', sizeof(m.url));
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG), "it never ends");
}

Test(link_check, counts_of_a_configuration)
{
	struct link_config m = {.header = {LINK_CONFIG, sizeof(m)}, .version = LINK_VERSION};
	m.n_uids = LINK_IDENTITIES_MAX;
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), 0));
	m.n_uids++;
	cr_assert(eq(int, check(&m, LINK_TO_ROOT), -EBADMSG));
}

Test(link_check, members_end_their_texts)
{
	struct link_acted m = {.header = {LINK_ACTED, sizeof(m)}, .process_id = 5, .n_alive = 2};
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), 0));
	memset(m.members[1].comm, 'x', sizeof(m.members[1].comm));
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), -EBADMSG));
	m.n_alive = 1;
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), 0), "what is not named is not read");
	m.n_alive = 100000;
	memset(m.members, 0, sizeof(m.members));
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), 0), "more may live than are named");
}

Test(link_check, an_exit_is_an_exit)
{
	struct link_leader_exited m = {.header = {LINK_LEADER_EXITED, sizeof(m)},
	    .process_id = 5,
	    .code_kind = CLD_DUMPED,
	    .status = 11};
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), 0));
	m.code_kind = CLD_EXITED;
	m.status = 256;
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), -EBADMSG));
	m.code_kind = LINK_STATUS_LOST;
	m.status = 0;
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), 0), "a lost status is told as lost");
	m.code_kind = CLD_STOPPED;
	cr_assert(eq(int, check(&m, LINK_TO_BROKER), -EBADMSG));
}

Test(link_check, two_kinds_carry_a_descriptor)
{
	for (uint32_t kind = 0; kind < KINDS; kind++)
		cr_assert(eq(int, link_carries_fd(kind), kind == LINK_START || kind == LINK_HELLO));
}
