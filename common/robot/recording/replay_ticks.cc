#include "common/robot/recording/replay_ticks.h"

#include <array>
#include <bit>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/policy/mlp_policy.h"
#include "common/robot/safety/safety_envelope.h"

namespace demorl {
namespace {

class Replayer {
 public:
  Replayer(TickLogReader& log, const TickRequest& request)
      : log_(log),
        request_(request),
        header_(log.header()),
        envelope_(header_.limits, header_.control_period) {}

  TickReplay Run() {
    while (const std::optional<TickRecord> record = log_.Next()) {
      differs_ = false;
      index_ = record->index;
      ++result_.num_ticks;
      ReplayAction(*record);
      ReplayRequest(*record);
      ReplayEnvelope(*record);
      result_.num_different += differs_ ? 1 : 0;
    }
    return std::move(result_);
  }

 private:
  // Fields are compared by their bits: NaN equals itself, and 0 differs from -0.
  template <typename T>
  void Compare(const std::string& field, T recorded, T replayed) {
    if (std::bit_cast<std::array<char, sizeof(T)>>(recorded) ==
        std::bit_cast<std::array<char, sizeof(T)>>(replayed)) {
      return;
    }
    differs_ = true;
    if (!result_.first_difference.has_value()) {
      result_.first_difference = {index_, field, static_cast<double>(recorded),
                                  static_cast<double>(replayed)};
    }
  }

  void CompareCommands(const char* name, std::span<const JointCommand> recorded,
                       std::span<const JointCommand> replayed) {
    for (int i = 0; i < header_.num_joints; ++i) {
      const std::string joint = absl::StrCat(name, "[", i, "].");
      const JointCommand &a = recorded[i], &b = replayed[i];
      Compare(joint + "mode", static_cast<int>(a.mode), static_cast<int>(b.mode));
      Compare(joint + "position_rad", a.position_rad, b.position_rad);
      Compare(joint + "velocity_rad_s", a.velocity_rad_s, b.velocity_rad_s);
      Compare(joint + "torque_nm", a.torque_nm, b.torque_nm);
      Compare(joint + "stiffness_nm_rad", a.stiffness_nm_rad, b.stiffness_nm_rad);
      Compare(joint + "damping_nm_s_rad", a.damping_nm_s_rad, b.damping_nm_s_rad);
      Compare(joint + "max_torque_nm", a.max_torque_nm, b.max_torque_nm);
    }
  }

  void ReplayAction(const TickRecord& record) {
    const bool acts = record.step == TickStep::kFirst || record.step == TickStep::kMid;
    if (!acts || (record.source != ActionSource::kPolicy && record.source != ActionSource::kRandom)) {
      return;
    }
    std::array<float, kMaxActionSize> action{};
    const std::span<float> replayed(action.data(), header_.action_size);
    random_.RestoreState(record.random);
    if (record.source == ActionSource::kRandom) {
      for (float& value : replayed) {
        value = static_cast<float>(random_.Uniform(-1, 1));
      }
    } else if (!Act(record, replayed)) {
      return;
    }
    ++result_.num_actions;
    for (int i = 0; i < header_.action_size; ++i) {
      Compare(absl::StrCat("action[", i, "]"), record.action[i], replayed[i]);
    }
  }

  bool Act(const TickRecord& record, std::span<float> action) {
    if (policy_ == nullptr || policy_version_ != record.policy_version) {
      policy_version_ = record.policy_version;
      absl::StatusOr<std::unique_ptr<MlpPolicy>> policy = LoadPolicy(policy_version_);
      policy_ = policy.ok() ? *std::move(policy) : nullptr;
      policy_trouble_ = absl::StrCat("policy ", policy_version_, ": ", policy.status().message());
    }
    if (policy_ == nullptr) {
      ++result_.skipped[policy_trouble_];
      return false;
    }
    const std::span<const float> observation(record.observation.data(), header_.observation_size);
    if (header_.acts_by_mean) {
      policy_->Mean(observation, action);
    } else {
      policy_->Sample(observation, random_, action);
    }
    return true;
  }

  absl::StatusOr<std::unique_ptr<MlpPolicy>> LoadPolicy(uint64_t version) const {
    ASSIGN_OR_RETURN(const std::string payload, log_.ReadPolicy(version));
    return MlpPolicy::Create(payload, header_.observation_size, header_.action_size);
  }

  void ReplayRequest(const TickRecord& record) {
    const bool acts = record.step == TickStep::kFirst || record.step == TickStep::kMid;
    if (!request_ || !acts) {
      return;
    }
    std::array<JointCommand, kMaxJoints> requested{};
    if (!request_(record, {requested.data(), static_cast<size_t>(header_.num_joints)})) {
      ++result_.skipped["requests that depend on more than the record"];
      return;
    }
    ++result_.num_requests;
    CompareCommands("requested", record.requested, requested);
  }

  void ReplayEnvelope(const TickRecord& record) {
    const auto joints = static_cast<size_t>(header_.num_joints);
    std::array<JointCommand, kMaxJoints> commanded = record.requested;
    envelope_.RestoreState(record.envelope);
    const SafetyEnvelope::Clamps clamps =
        envelope_.Apply({record.measured.data(), joints}, record.torque_share, {commanded.data(), joints});
    ++result_.num_commands;
    CompareCommands("commanded", record.commanded, commanded);
    for (int i = 0; i < kNumClamps; ++i) {
      Compare(absl::StrCat("clamps[", std::string(Name(static_cast<Clamp>(i))), "]"), record.clamps[i],
              clamps[i]);
    }
  }

  TickLogReader& log_;
  const TickRequest& request_;
  const TickLogHeader& header_;
  SafetyEnvelope envelope_;
  Random random_{0};
  uint64_t policy_version_ = 0;
  std::unique_ptr<MlpPolicy> policy_;
  std::string policy_trouble_;
  TickReplay result_;
  uint64_t index_ = 0;
  bool differs_ = false;
};

}  // namespace

TickReplay ReplayTicks(TickLogReader& log, const TickRequest& request) {
  return Replayer(log, request).Run();
}

}  // namespace demorl
