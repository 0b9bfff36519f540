// The values of options: from a word on the command line to a field of struct options.
#pragma once

#include "clients/spawnctl/options.h"

// Stores the value of one option; value is NULL where it takes none or none was given.
// Returns 0, -EINVAL with *ret_problem filled in, or -ENOMEM.
int option_values_store(struct options *options, const struct option_line *line, const char *value,
    struct usage_problem *ret_problem);

// Of the words of a table, the one nearest to a misspelt one; NULL where none is near.
// word(i) is asked for i from 0 until it returns NULL.
const char *option_values_nearest(
    const char *misspelt, const char *(*word)(const void *table, size_t i), const void *table);
