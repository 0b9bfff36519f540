// Reads a configuration file: one YAML mapping of known keys to scalars or lists of scalars.
#pragma once

#include <stddef.h>

#include "server/common/options.h"

// Called for each scalar in order, with the text of a list's items one by one. line counts from 1.
// is_text: it was quoted, so it is text whatever it looks like. 0, or negative with a sentence
// (without file and line) in ret_error.
typedef int config_yaml_take(void *user, enum option_id id, const char *text, bool is_text,
    char *ret_error, size_t error_size);

// 0; -ENOENT and other errors of opening; -EINVAL: ret_error gets "file:line: sentence".
int config_yaml_read(
    const char *path, config_yaml_take *take, void *user, char *ret_error, size_t error_size);
