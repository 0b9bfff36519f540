# The broker's pure tables: no clock, no system call. The same code runs in the broker, under the
# explorers and under the fuzzers.
add_library(spawnd_broker_tables STATIC ladder.c requests.c lease.c deadlines.c)
spawnd_defaults(spawnd_broker_tables)
