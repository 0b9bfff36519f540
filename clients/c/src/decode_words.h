// Single values of the wire: enums of the protocol to the library's, 0 (or what is named here) for
// what is not known; text made safe to print.
#pragma once

#include <stddef.h>

int decode_action(int action);               // enum spawnd_action, 0 unknown
int decode_scope(int scope);                 // enum spawnd_scope, 0 unknown
int decode_stage(int stage);                 // StartStage, 0 unknown
int decode_exit_kind(int kind);              // enum spawnd_exit_kind
int decode_exit_cause(int cause);            // enum spawnd_exit_cause
int decode_tree_proof(int proof);            // enum spawnd_tree_proof, -1 unknown
int decode_climber(int climber);             // enum spawnd_climber
int decode_state(int state);                 // enum spawnd_process_state
int decode_blocked(int blocked);             // enum spawnd_blocked, OTHER for the unknown
int decode_on_owner_lost(int on_owner_lost); // enum spawnd_on_owner_lost, -1 unknown
int decode_eof(int eof);                     // enum spawnd_eof, -1 unknown

// Copies what fits, NUL-terminated; control characters become '?'.
void decode_text(char *buffer, size_t size, const char *text, size_t length);
