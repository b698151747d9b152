#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// What a peer is, as its certificate or its token says.
enum class Role {
  kReplay,
  kSnapshot,
  kModelTrainer,
  kMpcRollout,
  kSacLearner,
  kActor,
  kGateway,
  kEvaluator,
  kViewer,
  kOperator,
};
constexpr int kNumRoles = 10;

absl::string_view RoleName(Role role);

// A peer whose role has been proven.
struct Peer {
  Role role = Role::kViewer;
  // Which one of its role; may be empty.
  std::string name;

  // "actor/actor-0".
  std::string Describe() const;
};

// From "<role>[/<name>]", of letters, digits, ".", "_", "-" and "/" as SPIFFE wants them. INVALID_ARGUMENT
// naming the roles that there are, or what a name may be.
absl::StatusOr<Peer> ParsePeer(absl::string_view text);

// A role that may call a method; where `objects` is not empty, for these alone (tables of replay, kinds of
// snapshots), which the handler checks.
struct Grant {
  Role role;
  std::vector<std::string> objects;
};

// Who may call one method, "package.Service/Method". Operators may call every method, listed or not.
struct MethodRule {
  std::string method;
  std::vector<Grant> grants;
};

// Every method of demorl's services, of gRPC's health and of its reflection. What is not here, or not
// granted, is refused.
const std::vector<MethodRule>& MethodRules();

// PERMISSION_DENIED saying who asked for what and who may. `method` as gRPC's ":path", with or without the
// leading slash.
absl::Status CheckMayCall(const Peer& peer, absl::string_view method);

// The same for what the method is to act upon.
absl::Status CheckMayUse(const Peer& peer, absl::string_view method, absl::string_view object);

}  // namespace demorl
