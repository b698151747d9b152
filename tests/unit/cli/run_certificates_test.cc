#include "services/cli/run/run_certificates.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;
using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunConfig MakeConfig() {
  RunConfig config;
  config.set_model_based(true);
  auto* services = config.mutable_services();
  services->mutable_replay()->set_address("dns:///replay:50051");
  services->mutable_snapshot()->set_address("10.0.0.2:50051");
  services->mutable_sac_learner()->set_address("127.0.0.1:0");
  services->mutable_model_trainer()->set_address("trainer.lab:50051");
  services->mutable_mpc_rollout()->set_address("dns:///planners:50051");
  services->mutable_actor()->set_address("actor:50051");
  config.mutable_security()->set_tls_dir("/tls/${SERVICE}");
  return config;
}

std::map<std::string, CertificateRequest> ByPeer(const std::vector<CertificateRequest>& requests) {
  std::map<std::string, CertificateRequest> by_peer;
  for (const CertificateRequest& request : requests) {
    by_peer[request.peer] = request;
  }
  return by_peer;
}

TEST(RunCertificatesTest, EachServiceGetsOneWhereItReadsItForTheNamesAtWhichItIsDialled) {
  ASSERT_OK_AND_ASSIGN(const auto requests, CertificatesOfRun(MakeConfig(), ""));
  auto by_peer = ByPeer(requests);
  EXPECT_EQ(by_peer.size(), 8);
  EXPECT_EQ(by_peer["replay"].out, "/tls/replay");
  EXPECT_THAT(by_peer["replay"].dns_names, ElementsAre("replay"));
  EXPECT_THAT(by_peer["replay"].addresses, IsEmpty());
  EXPECT_THAT(by_peer["snapshot"].addresses, ElementsAre("10.0.0.2"));
  EXPECT_THAT(by_peer["sac_learner"].dns_names, ElementsAre("localhost"));
  EXPECT_THAT(by_peer["mpc_rollout"].dns_names, ElementsAre("planners"));
  EXPECT_EQ(by_peer["model_trainer"].out, "/tls/model_trainer");
  EXPECT_EQ(by_peer["operator"].out, "/tls/operator");
  for (const char* client : {"evaluator", "operator"}) {
    ASSERT_EQ(by_peer.count(client), 1) << client;
    EXPECT_THAT(by_peer[client].dns_names, IsEmpty());
    EXPECT_THAT(by_peer[client].addresses, IsEmpty());
  }
}

TEST(RunCertificatesTest, AFolderOfTheCallersTakesThemAllWhateverTheConfigurationSays) {
  RunConfig config = MakeConfig();
  config.clear_security();
  ASSERT_OK_AND_ASSIGN(const auto requests, CertificatesOfRun(config, "certs"));
  EXPECT_EQ(ByPeer(requests)["actor"].out, "certs/actor");
}

TEST(RunCertificatesTest, ARobotsGatewayHasItsRoleAndStandsForTheActor) {
  RunConfig config = MakeConfig();
  config.mutable_robot();
  config.mutable_services()->mutable_leg_gateway()->set_address("192.168.7.2:50051");
  ASSERT_OK_AND_ASSIGN(const auto requests, CertificatesOfRun(config, ""));
  auto by_peer = ByPeer(requests);
  EXPECT_EQ(by_peer.count("actor"), 0);
  ASSERT_EQ(by_peer.count("gateway/leg"), 1);
  EXPECT_EQ(by_peer["gateway/leg"].out, "/tls/leg_gateway");
  EXPECT_THAT(by_peer["gateway/leg"].addresses, ElementsAre("192.168.7.2"));
}

TEST(RunCertificatesTest, AFolderThatWouldBeEverybodysIsRefused) {
  RunConfig config = MakeConfig();
  config.mutable_security()->set_tls_dir("/etc/demorl/tls");
  EXPECT_THAT(CertificatesOfRun(config, ""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"/etc/demorl/tls\""), HasSubstr("${SERVICE}"), HasSubstr("--out"))));
}

TEST(RunCertificatesTest, AnAddressThatIsNoneIsNamedWithItsService) {
  RunConfig config = MakeConfig();
  config.mutable_services()->mutable_actor()->set_address("actor");
  EXPECT_THAT(CertificatesOfRun(config, ""), StatusIs(absl::StatusCode::kInvalidArgument,
                                                      AllOf(HasSubstr("services.actor.address"),
                                                            HasSubstr("\"actor\""), HasSubstr("host:port"))));
}

}  // namespace
}  // namespace demorl
