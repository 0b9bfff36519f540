// The climb of one ladder as a pure step function.
#include "clients/c/src/stop_machine.h"

#include <string.h>

static uint64_t add(uint64_t time_us, uint64_t span_us)
{
	return span_us >= STOP_NEVER - time_us ? STOP_NEVER : time_us + span_us;
}

void stop_machine_init(struct stop_machine *machine, uint8_t n_rungs, const uint64_t *wait_us)
{
	memset(machine, 0, sizeof *machine);
	machine->window_us = STOP_WINDOW_US;
	machine->next_us = STOP_NEVER;
	stop_machine_set_ladder(machine, n_rungs, wait_us);
}

void stop_machine_set_ladder(struct stop_machine *machine, uint8_t n_rungs, const uint64_t *wait_us)
{
	if (n_rungs < machine->rung)
		return;
	machine->n_rungs = n_rungs;
	// The rung that is asked for keeps the wait that was asked for.
	for (uint8_t rung = machine->rung; rung < n_rungs; rung++)
		machine->wait_us[rung] = wait_us[rung];
}

static void bring_nearer(struct stop_machine *machine, uint64_t time_us)
{
	if (time_us < machine->next_us)
		machine->next_us = time_us;
}

static uint64_t wait_of(const struct stop_machine *machine)
{
	return machine->wait_us[machine->rung - 1];
}

static void climb_to(struct stop_machine *machine, uint8_t rung)
{
	machine->rung = rung;
	machine->sent = machine->answered = false;
	machine->next_us = STOP_NEVER;
}

// Where no answer comes, the wait begins when the window is over. (LAD-9)
static void rung_left(struct stop_machine *machine, uint64_t at_us)
{
	if (machine->sent)
		return;
	machine->sent = true;
	if (!machine->answered)
		bring_nearer(machine, add(add(at_us, machine->window_us), wait_of(machine)));
}

// The first answer begins the wait; one after the window changes nothing, for then the wait runs
// already. (LAD-2, LAD-9)
static void rung_taken(struct stop_machine *machine, const struct stop_event *event)
{
	machine->sent = true;
	if (event->reached > machine->rung) {
		// Somebody else has climbed higher: that rung acts, its wait is still to come.
		uint8_t reached = event->reached < machine->n_rungs ? event->reached : machine->n_rungs;
		if (reached > machine->rung) {
			climb_to(machine, reached);
			machine->sent = true;
		}
	}
	if (machine->answered)
		return;
	machine->answered = true;
	bring_nearer(machine, add(event->at_us, wait_of(machine)));
}

static void take(struct stop_machine *machine, const struct stop_event *event)
{
	bool own = machine->rung && event->rung == machine->rung;
	switch (event->kind) {
	case STOP_TIME:
		break;
	case STOP_RUNG_LEFT:
		if (own)
			rung_left(machine, event->at_us);
		break;
	case STOP_RUNG_TAKEN:
		if (own)
			rung_taken(machine, event);
		break;
	case STOP_RUNG_DECLINED:
		if (own && !machine->answered) {
			machine->sent = machine->answered = true;
			bring_nearer(machine, add(event->at_us, wait_of(machine)));
		}
		break;
	case STOP_RUNG_NEARER:
		if (own) {
			machine->sent = true;
			bring_nearer(machine, add(event->at_us, event->wait_us));
		}
		break;
	case STOP_HURRY:
		if (machine->n_hurries < STOP_RUNGS_MAX)
			machine->n_hurries++;
		break;
	case STOP_EXIT_SEEN:
		machine->outcome = STOP_EXITED;
		break;
	case STOP_GIVE_UP:
		machine->outcome = STOP_ENDED;
		break;
	}
}

// Whether the next rung is due. None is before the one below it has left: Kill never comes without
// Cancel, however much somebody hurries. (LAD-1, INT-3)
static bool is_due(struct stop_machine *machine, uint64_t now_us)
{
	if (!machine->rung)
		return true;
	if (!machine->sent)
		return false;
	if (now_us >= machine->next_us)
		return true;
	if (machine->rung == machine->n_rungs)
		machine->n_hurries = 0; // there is nothing above
	if (!machine->n_hurries)
		return false;
	machine->n_hurries--;
	return true;
}

struct stop_actions stop_step(
    struct stop_machine *machine, const struct stop_event *event, uint64_t now_us)
{
	struct stop_actions actions = {0};
	if (machine->outcome == STOP_CLIMBING)
		take(machine, event);
	if (machine->outcome == STOP_CLIMBING && is_due(machine, now_us)) {
		if (machine->rung == machine->n_rungs) {
			machine->outcome = STOP_UNREAPED;
		} else {
			climb_to(machine, machine->rung + 1);
			actions.send_rung = machine->rung;
		}
	}
	actions.over = machine->outcome != STOP_CLIMBING;
	return actions;
}
