#include "common/rpc/security/roles.h"

#include <array>
#include <map>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr std::array<absl::string_view, kNumRoles> kRoleNames = {
    "replay", "snapshot", "model_trainer", "mpc_rollout", "sac_learner",
    "actor",  "gateway",  "evaluator",     "viewer",      "operator"};

std::vector<Grant> All() {
  std::vector<Grant> grants;
  for (int role = 0; role < kNumRoles; ++role) {
    grants.push_back({static_cast<Role>(role), {}});
  }
  return grants;
}

// The few lines that say who may do what. Operators are not repeated: they may do everything, and only they
// may do what has no other grant.
std::vector<MethodRule> MakeRules() {
  constexpr Role kTrainer = Role::kModelTrainer, kPlanner = Role::kMpcRollout, kLearner = Role::kSacLearner,
                 kActor = Role::kActor, kGateway = Role::kGateway, kEvaluator = Role::kEvaluator,
                 kViewer = Role::kViewer;
  return {
      {"demorl.replay.v1.ReplayService/Append",
       {{kActor, {"env"}}, {kGateway, {"env"}}, {kPlanner, {"mpc"}}}},
      {"demorl.replay.v1.ReplayService/Sample", {{kLearner}, {kPlanner, {"env"}}}},
      {"demorl.replay.v1.ReplayService/Tail", {{kTrainer, {"env"}}, {kViewer}}},
      {"demorl.replay.v1.ReplayService/UpdatePriorities", {}},
      {"demorl.replay.v1.ReplayService/Purge", {}},
      {"demorl.replay.v1.ReplayService/ClaimRound", {{kPlanner}}},
      {"demorl.replay.v1.ReplayService/ListTables", {{kViewer}}},
      {"demorl.replay.v1.ReplayService/GetTable",
       {{kTrainer}, {kPlanner}, {kLearner}, {kEvaluator}, {kViewer}}},
      {"demorl.replay.v1.ReplayService/Audit", {{kViewer}}},
      {"demorl.replay.v1.ReplayService/CreateCheckpoint", {}},
      {"demorl.snapshot.v1.SnapshotService/Publish",
       {{kLearner, {"policy", "value"}}, {kTrainer, {"dynamics"}}}},
      {"demorl.snapshot.v1.SnapshotService/Watch",
       {{kPlanner}, {kActor, {"policy"}}, {kGateway, {"policy"}}, {kViewer}}},
      {"demorl.snapshot.v1.SnapshotService/Get", {{kPlanner}, {kActor, {"policy"}}, {kViewer}}},
      // Who publishes asks whether a publication came about whose answer was lost.
      {"demorl.snapshot.v1.SnapshotService/List", {{kLearner}, {kTrainer}, {kViewer}}},
      {"demorl.snapshot.v1.SnapshotService/Pin", {}},
      {"demorl.snapshot.v1.SnapshotService/Unpin", {}},
      {"demorl.planning.v1.PlanningService/Plan", {{kActor}}},
      {"demorl.evaluation.v1.EvaluationService/Evaluate", {{kEvaluator}}},
      {"demorl.gateway.v1.GatewayService/Arm", {}},
      {"demorl.gateway.v1.GatewayService/RenewLease", {}},
      {"demorl.gateway.v1.GatewayService/Disarm", {}},
      // Whoever sees a robot do wrong stops it: a stop too many costs minutes, one too few a robot.
      {"demorl.gateway.v1.GatewayService/EmergencyStop", All()},
      {"demorl.gateway.v1.GatewayService/ClearFault", {}},
      {"demorl.gateway.v1.GatewayService/Jog", {}},
      {"demorl.gateway.v1.GatewayService/Intervene", {}},
      {"demorl.gateway.v1.GatewayService/WatchState", {{kViewer}}},
      {"demorl.control.v1.ControlService/GetStatus", {{kEvaluator}, {kViewer}}},
      {"demorl.control.v1.ControlService/Pause", {}},
      {"demorl.control.v1.ControlService/Resume", {}},
      {"demorl.control.v1.ControlService/Checkpoint", {}},
      {"demorl.control.v1.ControlService/Drain", {}},
      {"grpc.health.v1.Health/Check", All()},
      {"grpc.health.v1.Health/Watch", All()},
      // Newer tools ask for v1 first, which gRPC 1.51 does not have, and then for this one.
      {"grpc.reflection.v1.ServerReflection/ServerReflectionInfo", {{kViewer}}},
      {"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", {{kViewer}}},
  };
}

// Null where only operators may.
const std::vector<Grant>* FindGrants(absl::string_view method) {
  static const auto* const by_method = [] {
    auto* grants = new std::map<std::string, const std::vector<Grant>*, std::less<>>();
    for (const MethodRule& rule : MethodRules()) {
      DEMORL_CHECK_MSG(grants->emplace(rule.method, &rule.grants).second, rule.method);
    }
    return grants;
  }();
  const auto found = by_method->find(method);
  return found == by_method->end() ? nullptr : found->second;
}

const Grant* FindGrant(const std::vector<Grant>* grants, Role role) {
  if (grants == nullptr) {
    return nullptr;
  }
  const auto found = absl::c_find_if(*grants, [role](const Grant& grant) { return grant.role == role; });
  return found == grants->end() ? nullptr : &*found;
}

// As SPIFFE has them.
bool ArePathSegments(absl::string_view path) {
  const std::vector<absl::string_view> segments = absl::StrSplit(path, '/');
  return absl::c_all_of(segments, [](absl::string_view segment) {
    return !segment.empty() && segment != "." && segment != ".." && absl::c_all_of(segment, [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
    });
  });
}

// Roles that may, with their objects: "actor (env), operator".
std::string Allowed(const std::vector<Grant>* grants) {
  std::string text;
  for (const Grant& grant : grants == nullptr ? std::vector<Grant>() : *grants) {
    if (grant.role != Role::kOperator) {
      absl::StrAppend(
          &text, RoleName(grant.role),
          grant.objects.empty() ? "" : absl::StrCat(" (", absl::StrJoin(grant.objects, ", "), ")"), ", ");
    }
  }
  return absl::StrCat(text, RoleName(Role::kOperator));
}

}  // namespace

absl::string_view RoleName(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

std::string Peer::Describe() const { return absl::StrCat(RoleName(role), name.empty() ? "" : "/", name); }

absl::StatusOr<Peer> ParsePeer(absl::string_view text) {
  const size_t slash = text.find('/');
  const absl::string_view role = text.substr(0, slash);
  const auto found = absl::c_find(kRoleNames, role);
  if (found == kRoleNames.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no role \"", absl::CEscape(role), "\"; known are ", absl::StrJoin(kRoleNames, ", ")));
  }
  if (!ArePathSegments(text)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", absl::CEscape(text), "\" cannot be a name; want <role>[/<name>] of letters, digits, . _ - /"));
  }
  return Peer{.role = static_cast<Role>(found - kRoleNames.begin()),
              .name = slash == absl::string_view::npos ? "" : std::string(text.substr(slash + 1))};
}

const std::vector<MethodRule>& MethodRules() {
  static const auto* const rules = new std::vector<MethodRule>(MakeRules());
  return *rules;
}

absl::Status CheckMayCall(const Peer& peer, absl::string_view method) {
  method = absl::StripPrefix(method, "/");
  const std::vector<Grant>* grants = FindGrants(method);
  if (peer.role == Role::kOperator || FindGrant(grants, peer.role) != nullptr) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      absl::StrCat(peer.Describe(), " may not call ", absl::CEscape(method), "; allowed: ", Allowed(grants)));
}

absl::Status CheckMayUse(const Peer& peer, absl::string_view method, absl::string_view object) {
  RETURN_IF_ERROR(CheckMayCall(peer, method));
  const std::vector<Grant>* grants = FindGrants(method);
  const Grant* grant = FindGrant(grants, peer.role);
  if (peer.role == Role::kOperator || grant->objects.empty() ||
      absl::c_linear_search(grant->objects, object)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(peer.Describe(), " may not use ", method, " on ",
                                                  absl::CEscape(object), "; allowed: ", Allowed(grants)));
}

}  // namespace demorl
