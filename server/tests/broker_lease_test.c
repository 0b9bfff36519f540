// The lease with its real times.
#include <criterion/criterion.h>

#include "server/broker/lease.h"

#define T0 5000u

Test(lease, no_time_given_means_ten_seconds)
{
	struct lease lease;
	lease_open(&lease, T0, 0, true);
	cr_expect_eq(lease.lease_ms, 10000);
	cr_expect_eq(lease.due_ms, T0 + 10000);
}

Test(lease, a_local_one_is_held_by_connections)
{
	struct lease lease;
	lease_open(&lease, T0, 1000, true);
	lease_connection_joined(&lease);
	lease_connection_joined(&lease);
	cr_expect_eq(lease_tick(&lease, T0 + 99999), LEASE_HELD);
	lease_connection_left(&lease, T0 + 100);
	cr_expect_eq(lease.due_ms, LEASE_NEVER);
	lease_connection_left(&lease, T0 + 200);
	cr_expect_eq(lease_tick(&lease, T0 + 1199), LEASE_HELD);
	cr_expect_eq(lease_tick(&lease, T0 + 1200), LEASE_RAN_OUT);
	cr_expect_eq(lease_tick(&lease, T0 + 1300), LEASE_HELD, "said once");
	cr_expect_eq(lease_closed(&lease), LEASE_HELD);
}

Test(lease, a_new_connection_holds_it_again)
{
	struct lease lease;
	lease_open(&lease, T0, 1000, true);
	lease_connection_joined(&lease);
	lease_connection_left(&lease, T0);
	lease_connection_joined(&lease);
	cr_expect_eq(lease_tick(&lease, T0 + 5000), LEASE_HELD);
}

Test(lease, a_remote_one_is_renewed_by_requests_alone)
{
	struct lease lease;
	lease_open(&lease, T0, 1000, false);
	lease_connection_joined(&lease);
	cr_expect_eq(lease.due_ms, T0 + 1000);
	lease_renewed(&lease, T0 + 900);
	lease_connection_left(&lease, T0 + 950);
	cr_expect_eq(lease.due_ms, T0 + 1900);
	cr_expect_eq(lease_owner_died(&lease), LEASE_HELD, "nobody can see it");
	cr_expect_eq(lease_tick(&lease, T0 + 1900), LEASE_RAN_OUT);
}

Test(lease, the_owner_ends_it_whoever_is_connected)
{
	struct lease lease;
	lease_open(&lease, T0, 1000, true);
	lease_connection_joined(&lease);
	cr_expect_eq(lease_owner_died(&lease), LEASE_OWNER_DIED);
	lease_connection_left(&lease, T0);
	lease_renewed(&lease, T0);
	cr_expect_eq(lease.due_ms, LEASE_NEVER, "an ended lease has no deadline");
}

Test(lease, the_end_of_time_does_not_wrap)
{
	struct lease lease;
	lease_open(&lease, UINT64_MAX - 10, LEASE_MAX_MS, false);
	cr_expect_eq(lease.due_ms, LEASE_NEVER);
}
