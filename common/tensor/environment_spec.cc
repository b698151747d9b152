#include "common/tensor/environment_spec.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/random.h"

namespace demorl {

std::string EnvironmentSpec::SchemaHash() const {
  const auto exact = [](std::string* out, double value) { absl::StrAppendFormat(out, "%a", value); };
  const std::string canonical =
      absl::StrFormat("%s|%d|%d|%s|%s|%d", environment_id, observation_size, action_size,
                      absl::StrJoin(command_minimum, ",", exact), absl::StrJoin(command_maximum, ",", exact),
                      max_episode_steps);
  return absl::StrFormat("%016x", SplitSeed(0, canonical));
}

}  // namespace demorl
