// Climbing: feeds what happens to a process into its ladder and carries out what the ladder says.
// Clauses: docs/spec/06-ladder.md.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/link/messages.h"

struct broker;
struct process;

// The due function of a process's climb_due: the server climbs on.
void climb_due(void *process, uint64_t now_ms);

// The due function of a process's act_due: sends a rung again for which the root had no room.
void climb_again_due(void *process, uint64_t now_ms);

// A client's Cancel; rung and wait_ms have been checked.
void climb_cancel(
    struct process *process, uint64_t session_id, uint32_t rung, uint64_t wait_ms, bool delegate);

// The root has carried a rung out; a plain signal's answer goes to its call.
void climb_acted(struct process *process, const struct link_acted *message);

// The members that the root found after the last wait.
void climb_members(struct process *process, const struct link_members *message);

// The token that tells climb_answered which rung's answer has left.
uint64_t climb_token(const struct process *process, uint32_t rung);
void climb_answered(struct broker *broker, uint64_t token, uint64_t at_ms);

void climb_owner_lost(struct process *process);
void climb_climber_gone(struct process *process);
void climb_shutdown(struct process *process, bool impatient);

// The leader was reaped; members may be left.
void climb_leader_gone(struct process *process);
void climb_tree_empty(struct process *process);

// run_ms begins to count, where it was asked for.
void climb_start_run_time(struct process *process);

// Sends one signal outside the ladder; returns the serial that its answer will carry.
uint64_t climb_send_signal(struct process *process, uint32_t signal, uint32_t scope);
