// The roles x methods table: complete, as documented in docs/security.md, and enforced cell by cell over TLS.
// DEMORL_WRITE_DOCS=1 build/tests/roles_test brings the document up to date.

#include "common/rpc/security/roles.h"

#include <cstdlib>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "demorl/control/v1/control_service.pb.h"
#include "demorl/evaluation/v1/evaluation_service.grpc.pb.h"
#include "demorl/gateway/v1/gateway_service.grpc.pb.h"
#include "demorl/planning/v1/planning_service.grpc.pb.h"
#include "demorl/replay/v1/replay_service.grpc.pb.h"
#include "demorl/snapshot/v1/snapshot_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "tests/testing/secure_server.h"
#include "tests/unit/platform/health_probe.h"

namespace demorl {
namespace {

using ::demorl::testing::CallStatus;
using ::demorl::testing::SecureServerTest;
using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kBegin[] = "<!-- roles_test writes from here -->\n";
constexpr char kEnd[] = "<!-- to here -->\n";
constexpr auto kPermissionDenied = absl::StatusCode::kPermissionDenied;

std::set<std::string> MethodsOfOurs() {
  std::set<std::string> methods;
  for (const google::protobuf::FileDescriptor* file :
       {demorl::replay::v1::TableShare::descriptor()->file(),
        demorl::snapshot::v1::Lineage::descriptor()->file(),
        demorl::planning::v1::PlanRequest::descriptor()->file(),
        demorl::evaluation::v1::EvaluateRequest::descriptor()->file(),
        demorl::gateway::v1::ArmRequest::descriptor()->file(),
        demorl::control::v1::DrainRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.insert(absl::StrCat(file->service(s)->full_name(), "/", file->service(s)->method(m)->name()));
      }
    }
  }
  return methods;
}

const Grant* FindGrant(const MethodRule& rule, Role role) {
  for (const Grant& grant : rule.grants) {
    if (grant.role == role) {
      return &grant;
    }
  }
  return nullptr;
}

bool MayCall(const MethodRule& rule, Role role) {
  return role == Role::kOperator || FindGrant(rule, role) != nullptr;
}

std::string Cell(const MethodRule& rule, Role role) {
  const Grant* grant = FindGrant(rule, role);
  return !MayCall(rule, role)                         ? ""
         : grant == nullptr || grant->objects.empty() ? "yes"
                                                      : absl::StrJoin(grant->objects, ", ");
}

std::string Table() {
  std::string text = "| method |", line = "|---|";
  for (int role = 0; role < kNumRoles; ++role) {
    absl::StrAppend(&text, " ", RoleName(static_cast<Role>(role)), " |");
    absl::StrAppend(&line, "---|");
  }
  absl::StrAppend(&text, "\n", line, "\n");
  for (const MethodRule& rule : MethodRules()) {
    absl::StrAppend(&text, "| ", absl::StripPrefix(rule.method, "demorl."), " |");
    for (int role = 0; role < kNumRoles; ++role) {
      absl::StrAppend(&text, " ", Cell(rule, static_cast<Role>(role)), " |");
    }
    text += "\n";
  }
  return text;
}

TEST(RolesTest, TheTableHasEveryMethodOfOursAndNoneThatIsGone) {
  std::set<std::string> listed;
  for (const MethodRule& rule : MethodRules()) {
    if (rule.method.find("demorl.") == 0) {
      listed.insert(rule.method);
    }
  }
  EXPECT_EQ(listed, MethodsOfOurs());
}

TEST(RolesTest, TheDocumentIsWhatTheCodeSays) {
  ASSERT_OK_AND_ASSIGN(std::string document, ReadFile(DEMORL_SECURITY_DOCUMENT));
  const size_t begin = document.find(kBegin), end = document.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t table = begin + sizeof(kBegin) - 1;
  if (std::getenv("DEMORL_WRITE_DOCS") != nullptr) {
    document.replace(table, end - table, Table());
    ASSERT_OK(WriteFileAtomically(DEMORL_SECURITY_DOCUMENT, document));
    return;
  }
  EXPECT_EQ(document.substr(table, end - table), Table())
      << "docs/security.md is stale; DEMORL_WRITE_DOCS=1 writes it";
}

TEST(RolesTest, OnlyAnOperatorMovesARobotAndEverybodyMayStopIt) {
  for (int i = 0; i < kNumRoles; ++i) {
    const Peer peer = {.role = static_cast<Role>(i)};
    for (const char* method : {"Arm", "RenewLease", "Jog", "Intervene", "ClearFault", "Disarm"}) {
      EXPECT_EQ(CheckMayCall(peer, absl::StrCat("/demorl.gateway.v1.GatewayService/", method)).ok(),
                peer.role == Role::kOperator)
          << method << " by " << peer.Describe();
    }
    EXPECT_OK(CheckMayCall(peer, "/demorl.gateway.v1.GatewayService/EmergencyStop"));
  }
}

TEST(RolesTest, WhatIsNotInTheTableIsForOperatorsAlone) {
  EXPECT_THAT(CheckMayCall({.role = Role::kActor, .name = "a"}, "/other.Service/Method"),
              StatusIs(kPermissionDenied, "actor/a may not call other.Service/Method; allowed: operator"));
  EXPECT_THAT(CheckMayCall({.role = Role::kActor}, ""), StatusIs(kPermissionDenied, _));
  EXPECT_OK(CheckMayCall({.role = Role::kOperator}, "/other.Service/Method"));
}

TEST(RolesTest, AGrantMayBeForSomeObjectsOnly) {
  const std::string append = "demorl.replay.v1.ReplayService/Append";
  EXPECT_OK(CheckMayUse({.role = Role::kActor}, append, "env"));
  EXPECT_THAT(
      CheckMayUse({.role = Role::kActor, .name = "a"}, append, "mpc"),
      StatusIs(kPermissionDenied,
               "actor/a may not use demorl.replay.v1.ReplayService/Append on mpc; allowed: actor (env), "
               "gateway (env), mpc_rollout (mpc), operator"));
  EXPECT_OK(CheckMayUse({.role = Role::kMpcRollout}, append, "mpc"));
  EXPECT_OK(CheckMayUse({.role = Role::kOperator}, append, "anything"));
  EXPECT_OK(CheckMayUse({.role = Role::kSacLearner}, "demorl.replay.v1.ReplayService/Sample", "anything"));
  EXPECT_THAT(CheckMayUse({.role = Role::kViewer}, append, "env"), StatusIs(kPermissionDenied, _));
}

TEST(RolesTest, APeerIsARoleAndANameThatMayHaveSlashes) {
  ASSERT_OK_AND_ASSIGN(const Peer peer, ParsePeer("gateway/lab/leg"));
  EXPECT_EQ(peer.role, Role::kGateway);
  EXPECT_EQ(peer.name, "lab/leg");
  EXPECT_EQ(peer.Describe(), "gateway/lab/leg");
  for (int role = 0; role < kNumRoles; ++role) {
    ASSERT_OK_AND_ASSIGN(const Peer bare, ParsePeer(RoleName(static_cast<Role>(role))));
    EXPECT_EQ(bare.role, static_cast<Role>(role));
  }
  for (const char* text :
       {"actor/", "actor//a", "actor/a b", "actor/../operator", "actor/.", "actor/a\n", "actor/\x1b[2J"}) {
    EXPECT_THAT(ParsePeer(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(absl::CEscape(text)), HasSubstr("cannot be a name"))));
  }
  for (const char* text : {"", "/", "Operator", "operator ", "actors", "sac-learner"}) {
    EXPECT_THAT(ParsePeer(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("known are replay")));
  }
}

using RolesOverTlsTest = SecureServerTest;

// No handler is behind most methods here: who is let in hears UNIMPLEMENTED, or the handler's own answer.
struct AllServices {
  replay::v1::ReplayService::CallbackService replay;
  snapshot::v1::SnapshotService::CallbackService snapshot;
  planning::v1::PlanningService::CallbackService planning;
  evaluation::v1::EvaluationService::CallbackService evaluation;
  gateway::v1::GatewayService::CallbackService gateway;

  std::vector<grpc::Service*> List() { return {&replay, &snapshot, &planning, &evaluation, &gateway}; }
};

TEST_F(RolesOverTlsTest, EveryCellOfTheTableHolds) {
  // It would end the server; the others wait.
  const std::set<std::string> kNeverEnding = {"demorl.control.v1.ControlService/Drain",
                                              "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                              "grpc.health.v1.Health/Watch"};
  AllServices services;
  StartServer(services.List());
  for (int i = 0; i < kNumRoles; ++i) {
    const Role role = static_cast<Role>(i);
    const auto channel = Dial(ClientOfRole(absl::StrCat(RoleName(role), "/x")));
    for (const MethodRule& rule : MethodRules()) {
      if (MayCall(rule, role) && kNeverEnding.contains(rule.method)) {
        continue;
      }
      const absl::Status status = CallStatus(channel, "/" + rule.method);
      if (MayCall(rule, role)) {
        EXPECT_NE(status.code(), kPermissionDenied) << rule.method << " by " << RoleName(role);
        EXPECT_NE(status.code(), absl::StatusCode::kUnavailable) << rule.method << " by " << RoleName(role);
      } else {
        EXPECT_THAT(status,
                    StatusIs(kPermissionDenied, AllOf(HasSubstr(RoleName(role)), HasSubstr(rule.method))))
            << rule.method << " by " << RoleName(role);
      }
    }
  }
  runner_.reset();  // before the services
}

}  // namespace
}  // namespace demorl
