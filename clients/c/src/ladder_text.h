// Signals by name.
#pragma once

// "INT" for 2; NULL for a number without a name.
const char *ladder_text_signal_name(int number);

// 1 to 64 for "INT", "SIGINT", "int" or "2"; 0 where it is no signal.
int ladder_text_signal_number(const char *text);
