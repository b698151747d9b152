#include "common/robot/safety/lease.h"

#include "gmock/gmock.h"
#include "tests/fakes/manual_clock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::IsOk;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(LeaseTest, IsOneHoldersUntilItExpires) {
  ManualClock clock;
  Lease lease(&clock, 1);
  ASSERT_OK(lease.Acquire("ann", absl::Seconds(1)));
  EXPECT_THAT(lease.Acquire("bob", absl::Seconds(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("held by ann")));
  EXPECT_EQ(lease.holder(), "ann");
  clock.now += absl::Seconds(1);
  EXPECT_EQ(lease.holder(), "");
  EXPECT_OK(lease.Acquire("bob", absl::Seconds(1)));
}

TEST(LeaseTest, AHeartbeatProlongsIt) {
  ManualClock clock;
  Lease lease(&clock, 1);
  ASSERT_OK_AND_ASSIGN(const Lease::Grant grant, lease.Acquire("ann", absl::Seconds(1)));
  clock.now += absl::Milliseconds(900);
  ASSERT_OK_AND_ASSIGN(const Lease::Grant renewed, lease.Renew(grant.lease_id, absl::Seconds(1)));
  EXPECT_EQ(renewed.expiry, clock.now + absl::Seconds(1));
  EXPECT_EQ(renewed.lease_id, grant.lease_id);
}

TEST(LeaseTest, WhatHasExpiredIsNotRenewed) {
  ManualClock clock;
  Lease lease(&clock, 1);
  ASSERT_OK_AND_ASSIGN(const Lease::Grant grant, lease.Acquire("ann", absl::Seconds(1)));
  clock.now += absl::Seconds(1);
  EXPECT_THAT(lease.Renew(grant.lease_id, absl::Seconds(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("arm again")));
}

TEST(LeaseTest, AnOldHolderCannotTouchANewLease) {
  ManualClock clock;
  Lease lease(&clock, 1);
  ASSERT_OK_AND_ASSIGN(const Lease::Grant old, lease.Acquire("ann", absl::Seconds(1)));
  clock.now += absl::Seconds(2);
  ASSERT_OK(lease.Acquire("bob", absl::Seconds(1)));
  EXPECT_THAT(lease.Renew(old.lease_id, absl::Seconds(1)), Not(IsOk()));
  EXPECT_THAT(lease.Release(old.lease_id),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("held by bob")));
  EXPECT_EQ(lease.holder(), "bob");
}

TEST(LeaseTest, AReleasedLeaseIsFree) {
  ManualClock clock;
  Lease lease(&clock, 1);
  ASSERT_OK_AND_ASSIGN(const Lease::Grant grant, lease.Acquire("ann", absl::Seconds(1)));
  ASSERT_OK(lease.Release(grant.lease_id));
  EXPECT_OK(lease.Acquire("bob", absl::Seconds(1)));
}

TEST(LeaseTest, RefusesANamelessHolderAndNoTime) {
  ManualClock clock;
  Lease lease(&clock, 1);
  EXPECT_THAT(lease.Acquire("", absl::Seconds(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name")));
  EXPECT_THAT(lease.Acquire("ann", absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("> 0")));
}

}  // namespace
}  // namespace demorl
