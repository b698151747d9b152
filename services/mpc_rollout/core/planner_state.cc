#include "services/mpc_rollout/core/planner_state.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"

namespace demorl {
namespace {

struct Header {
  char magic[8];
  int64_t num_rounds;
  int64_t num_plans;
};

constexpr char kMagic[8] = {'D', 'M', 'P', 'L', 'A', 'N', '0', '1'};

}  // namespace

std::string EncodePlannerState(const PlannerState& state) {
  Header header{.num_rounds = state.num_rounds, .num_plans = state.num_plans};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(state.previous_plan.data()),
               state.previous_plan.size() * sizeof(float));
  const uint32_t crc = Crc32c(bytes);
  bytes.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return bytes;
}

absl::StatusOr<PlannerState> DecodePlannerState(absl::string_view bytes) {
  Header header;
  uint32_t crc = 0;
  const size_t least = sizeof(header) + sizeof(crc);
  if (bytes.size() < least || (bytes.size() - least) % sizeof(float) != 0) {
    return absl::DataLossError(absl::StrCat("planner state of ", bytes.size(), " bytes; want ", least,
                                            " and a plan of 4-byte values"));
  }
  const absl::string_view body = bytes.substr(0, bytes.size() - sizeof(crc));
  std::memcpy(&crc, bytes.data() + body.size(), sizeof(crc));
  std::memcpy(&header, body.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || crc != Crc32c(body)) {
    return absl::DataLossError("planner state is damaged: its mark or its CRC-32C does not fit");
  }
  PlannerState state{.num_rounds = header.num_rounds, .num_plans = header.num_plans};
  state.previous_plan.resize((bytes.size() - least) / sizeof(float));
  if (!state.previous_plan.empty()) {
    std::memcpy(state.previous_plan.data(), body.data() + sizeof(header), body.size() - sizeof(header));
  }
  return state;
}

}  // namespace demorl
