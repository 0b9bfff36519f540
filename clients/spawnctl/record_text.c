// An exit record in words, for people.
#include "clients/spawnctl/record_text.h"

#include <stdio.h>
#include <string.h>

#include "clients/spawnctl/duration.h"
#include "clients/spawnctl/signal_names.h"

static const char *scope_word(int scope)
{
	switch (scope) {
	case SPAWND_LEADER:
		return "leader";
	case SPAWND_GROUP:
		return "group";
	case SPAWND_TREE:
		return "tree";
	default:
		return "an unrecognised scope";
	}
}

void record_text_format_rung(int action, int signal, int scope, char *buffer, size_t size)
{
	char name[16];

	switch (action) {
	case SPAWND_SIGNAL:
		signal_names_format(signal, name, sizeof name);
		snprintf(buffer, size, "%s to %s", name, scope_word(scope));
		break;
	case SPAWND_CLOSE_STDIN:
		snprintf(buffer, size, "close stdin of %s", scope_word(scope));
		break;
	case SPAWND_CANCEL_NOTICE:
		snprintf(buffer, size, "notice to %s", scope_word(scope));
		break;
	default:
		snprintf(buffer, size, "an unrecognised action to %s", scope_word(scope));
		break;
	}
}

void record_text_format_start_failed(
    int stage, int errno_code, const char *subject, char *buffer, size_t size)
{
	char name[24];

	signal_names_format_errno(errno_code, name, sizeof name);
	snprintf(buffer, size, "could not start: %s: %s (%s)%s%s", spawnd_stage_name(stage),
	    strerrordesc_np(errno_code) ? strerrordesc_np(errno_code) : "an error without a name", name,
	    subject ? ": " : "", subject ? subject : "");
}

void record_text_format_end(const struct spawnd_exit *record, char *buffer, size_t size)
{
	char name[16];

	switch (record->kind) {
	case SPAWND_EXITED:
		snprintf(buffer, size, "exited %d", record->code);
		break;
	case SPAWND_SIGNALED:
		signal_names_format(record->signal, name, sizeof name);
		snprintf(buffer, size, "killed by signal %d (%s)%s", record->signal, name,
		    record->core_dumped ? " with a core dump" : "");
		break;
	case SPAWND_START_FAILED:
		record_text_format_start_failed(record->stage, record->sys_errno, NULL, buffer, size);
		break;
	case SPAWND_LOST:
		snprintf(buffer, size, "lost: its exit status could not be had%s%s",
		    *record->lost_reason ? ": " : "", record->lost_reason);
		break;
	default:
		snprintf(buffer, size, "ended in a way that this spawnctl does not know");
		break;
	}
}

// Why it ended, as words that follow how it ended; empty where there is nothing to add.
static void format_cause(const struct spawnd_exit *record, char *buffer, size_t size)
{
	const char *words = "";

	switch (record->cause) {
	case SPAWND_CAUSE_ITSELF:
		break;
	case SPAWND_CAUSE_CANCEL:
		words = "cancelled";
		break;
	case SPAWND_CAUSE_OWNER_LOST:
		words = "its owner was gone";
		break;
	case SPAWND_CAUSE_DEADLINE:
		words = "its run time was over";
		break;
	case SPAWND_CAUSE_SERVER_SHUTDOWN:
		words = "the server shut down";
		break;
	case SPAWND_CAUSE_LEADER_GONE:
		words = "what it left behind was stopped";
		break;
	case SPAWND_CAUSE_OUTSIDE_SIGNAL:
		words = "sent from outside";
		break;
	case SPAWND_CAUSE_OUT_OF_MEMORY:
		words = "the kernel was out of memory";
		break;
	case SPAWND_CAUSE_SIGNAL_CALL:
		words = "sent by a signal call";
		break;
	default:
		words = "for a reason that this spawnctl does not know";
		break;
	}
	if (*words && record->rung > 0)
		snprintf(buffer, size, ", %s at rung %u,", words, record->rung);
	else
		snprintf(buffer, size, "%s%s%s", *words ? ", " : "", words, *words ? "," : "");
}

void record_text_format(
    const struct spawnd_exit *record, const char *subject, char *buffer, size_t size)
{
	char end[256], cause[96], after[32];

	if (record->kind == SPAWND_START_FAILED) {
		record_text_format_start_failed(record->stage, record->sys_errno, subject, buffer, size);
		return;
	}
	record_text_format_end(record, end, sizeof end);
	if (record->kind != SPAWND_EXITED && record->kind != SPAWND_SIGNALED) {
		snprintf(buffer, size, "%s", end);
		return;
	}
	format_cause(record, cause, sizeof cause);
	duration_format_seconds(record->leader_exit_ms, after, sizeof after);
	snprintf(buffer, size, "%s%s after %s%s", end, cause, after,
	    record->tree_empty ? "" : "; its tree is not empty yet");
}
