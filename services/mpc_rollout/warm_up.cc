#include "services/mpc_rollout/warm_up.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS;
using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;
using ::demorl::snapshot::v1::SNAPSHOT_KIND_VALUE;

// For a version that the snapshot service is known to have.
constexpr absl::Duration kTransferTime = absl::Seconds(1);

}  // namespace

WarmUp::WarmUp(IsPublished is_published, SnapshotFeed& feed)
    : is_published_(std::move(is_published)), feed_(feed) {}

absl::Status WarmUp::AwaitPublished() {
  for (const auto kind : {SNAPSHOT_KIND_POLICY, SNAPSHOT_KIND_VALUE, SNAPSHOT_KIND_DYNAMICS}) {
    if (feed_.WaitForFirst(kind, absl::InfinitePast()).ok()) {
      continue;  // without asking for megabytes that are here
    }
    ASSIGN_OR_RETURN(const bool is_published, is_published_(kind));
    if (is_published) {
      RETURN_IF_ERROR(feed_.WaitForFirst(kind, absl::Now() + kTransferTime));
    }
  }
  return absl::OkStatus();
}

absl::Status WarmUp::Try(const demorl::config::v1::RunConfig& config,
                         const PlanningEnvironment& environment) {
  RETURN_IF_ERROR(AwaitPublished());
  if (planner_ == nullptr) {
    ASSIGN_OR_RETURN(
        planner_, RolloutPlanner::Create(MakePlannerOptions(config, environment, "mpc_rollout.warm_up", 0)));
  }
  feed_.Update(environment.spec.SchemaHash(), &offered_, planner_.get());
  if (!planner_->ready()) {
    return offered_.any_refused()
               ? absl::UnavailableError(
                     "the newest dynamics, policy or value cannot be planned with, as the log says")
               : absl::OkStatus();
  }
  if (config.planner().model_draw() == demorl::config::v1::MODEL_DRAW_SIMULATOR) {
    return absl::OkStatus();  // plans from states that only its callers have
  }
  const std::vector<float> origin(environment.spec.observation_size);
  const auto plan =
      planner_->Plan(origin, /*first_step=*/true, feed_.EnvironmentRows(), absl::InfiniteDuration());
  if (!plan.ok()) {
    spdlog::warn("the first plan, from an observation of zeros, failed: {}",
                 std::string(plan.status().message()));
  }
  return absl::OkStatus();
}

}  // namespace demorl
