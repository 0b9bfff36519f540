// Receives the broker's messages and has them carried out. Everything in them is taken for hostile:
// a message that breaks the rules ends the broker.
#pragma once

struct root;

// Reads what the link holds, at most a turn's worth.
void orders_receive(struct root *root);
