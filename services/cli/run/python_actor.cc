#include "services/cli/run/python_actor.h"

#include "absl/strings/str_cat.h"
#include "common/base/random.h"

namespace demorl {
namespace {

// NumPy's generators take 32 bits.
constexpr uint64_t kSeedBound = uint64_t{1} << 32;

}  // namespace

absl::StatusOr<GymnasiumCommand> MakePythonActorCommand(const demorl::config::v1::RunConfig& config) {
  if (config.security().has_tls_dir()) {
    return absl::UnimplementedError(
        "the actor for Gymnasium's environments speaks plain text only, and security.tls_dir is set; want an "
        "environment of demorl's own (Leg2R-v0, ...) or no tls_dir");
  }
  const auto& services = config.services();
  return MakeGymnasiumCommand({"--environment", config.environment(), "--run-id", config.run_id(), "--replay",
                               services.replay().address(), "--snapshot", services.snapshot().address(),
                               "--listen", services.actor().address(), "--seed",
                               absl::StrCat(SplitSeed(config.seed(), "actor") % kSeedBound), "--random-steps",
                               absl::StrCat(config.sac().learning_starts()), "--chunk-steps",
                               absl::StrCat(config.actor().chunk_steps())});
}

}  // namespace demorl
