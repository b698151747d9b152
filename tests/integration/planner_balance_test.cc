// Two planners behind one name: a second one that is started later takes its share, and takes all when the
// first one goes. The name is of a hosts file that this process and its children alone see.

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/env/registry.h"
#include "common/rpc/channel_factory.h"
#include "demorl/control/v1/control_service.grpc.pb.h"
#include "services/mpc_rollout/mpc_rollout_client.h"
#include "tests/integration/service_process.h"
#include "tests/unit/mpc_rollout/planning_fixture.h"

namespace demorl {
namespace {

using ::demorl::testing::kPatience;
using ::demorl::testing::ServiceProcess;

constexpr absl::Duration kBalanceWithin = absl::Seconds(60);
constexpr int kPlanStreams = 6;

// The hosts file; empty where a mount namespace is not to be had.
std::string hosts_file;

// Called while the process has one thread.
void EnterNamespace() {
  std::string path = ::testing::TempDir() + "/planner_hosts_XXXXXX";
  const int fd = mkstemp(path.data());
  close(fd);
  const int flags = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
  if (unshare(flags) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      mount(path.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0) {
    hosts_file = path;
  }
}

// In place, for the file is mounted.
void WriteHosts(const std::vector<std::string>& addresses) {
  FILE* file = fopen(hosts_file.c_str(), "w");
  ASSERT_NE(file, nullptr);
  for (const std::string& address : addresses) {
    fprintf(file, "%s planners.test\n", address.c_str());
  }
  fclose(file);
}

// What a planner has done so far.
struct Work {
  double plans = 0;
  double rows = 0;
};

class PlannerBalanceTest : public demorl::testing::PlanningComponentTest {
 protected:
  void SetUp() override {
    if (hosts_file.empty()) {
      GTEST_SKIP() << "no mount namespace: " << strerror(errno);
    }
    StartServices("127.0.0.1:0");
    replay_client_ = std::make_unique<ReplayClient>(context_.replay, "run");
    snapshot_client_ = std::make_unique<SnapshotClient>(context_.snapshot, "run");
    AppendRealRows(*replay_client_);
    PublishNetworks(*snapshot_client_);
    WriteConfig();
  }
  void TearDown() override { StopCallers(); }

  void StopCallers() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }

  void WriteConfig() {
    config_ = folder_ / "run.textproto";
    ASSERT_OK(WriteFileAtomically(
        config_, absl::StrCat("environment: '", kEnvironment, "' run_id: 'run' device: 'cpu'\n",
                              "planner { num_start_states: 40 population_size: 10 sink: PLAN_SINK_BOTH }\n",
                              "services { replay { address: '127.0.0.1:", replay_.runner->port(),
                              "' } snapshot { address: '127.0.0.1:", snapshot_.runner->port(),
                              "' } mpc_rollout { max_connection_age_s: 2 } }\n")));
  }

  std::unique_ptr<ServiceProcess> StartPlanner(const std::string& host, const std::string& instance,
                                               int port) {
    return std::make_unique<ServiceProcess>(
        DEMORL_MPC_ROLLOUT_BINARY,
        std::vector<std::string>{"--config", config_.string(), absl::StrCat("--port=", port),
                                 absl::StrCat("--override=services.mpc_rollout.address=", host, ":0"),
                                 absl::StrCat("--override=services.mpc_rollout.instance=", instance)});
  }

  // Each a caller with a stream of its own, that plans all the time.
  void StartCallers(int port) {
    for (int i = 0; i < kPlanStreams; ++i) {
      threads_.emplace_back([this, port] {
        MpcRolloutClient client(
            MakeChannel(absl::StrCat("dns:///planners.test:", port)),
            {.run_id = "run", .schema_hash = GetEnvironmentSpec(kEnvironment)->SchemaHash()});
        const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
        const std::vector<float> observation(kObservations, 0.5F);
        while (!stop_) {
          ASSERT_OK(planner->Plan({.observation = observation}));
          absl::SleepFor(absl::Milliseconds(20));
        }
      });
    }
  }

  // A new version, and so a round, every tenth of a second.
  void StartDynamics() {
    threads_.emplace_back([this] {
      for (float change = 0.1F; !stop_; change += 0.001F) {
        PublishDynamics(*snapshot_client_, change);
        absl::SleepFor(absl::Milliseconds(100));
      }
    });
  }

  static Work WorkOf(const std::string& host, int port) {
    namespace pb = ::demorl::control::v1;
    const auto stub = pb::ControlService::NewStub(MakeChannel(absl::StrCat(host, ":", port)));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    pb::GetStatusResponse response;
    const grpc::Status status = stub->GetStatus(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {.plans = response.figures().at("plans"), .rows = response.figures().at("rows")};
  }

  // Until then a planner has no models, and a name service would not list it.
  static void AwaitFirstRows(const std::string& host, int port) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (WorkOf(host, port).rows == 0 && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  // Whether the planner does more than a quarter of the work of both in some second before long.
  static bool TakesItsShare(const std::string& host, const std::string& other, int port) {
    const absl::Time deadline = absl::Now() + kBalanceWithin;
    while (absl::Now() < deadline) {
      const Work mine = WorkOf(host, port), others = WorkOf(other, port);
      absl::SleepFor(absl::Seconds(1));
      const Work my_more = WorkOf(host, port), others_more = WorkOf(other, port);
      const double plans = my_more.plans - mine.plans, rows = my_more.rows - mine.rows;
      const double all_plans = plans + others_more.plans - others.plans;
      const double all_rows = rows + others_more.rows - others.rows;
      if (plans > all_plans / 4 && rows > all_rows / 4) {
        return true;
      }
    }
    return false;
  }

  std::unique_ptr<ReplayClient> replay_client_;
  std::unique_ptr<SnapshotClient> snapshot_client_;
  std::filesystem::path config_;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

TEST_F(PlannerBalanceTest, ASecondPlannerTakesItsShareAndAllOfItWhenTheFirstGoes) {
  WriteHosts({"127.0.0.2"});
  auto first = StartPlanner("127.0.0.2", "a", 0);
  const int port = first->port();
  StartDynamics();
  AwaitFirstRows("127.0.0.2", port);
  StartCallers(port);
  ASSERT_TRUE(TakesItsShare("127.0.0.2", "127.0.0.2", port)) << "the first planner does nothing";

  const auto second = StartPlanner("127.0.0.3", "b", port);
  AwaitFirstRows("127.0.0.3", port);
  WriteHosts({"127.0.0.2", "127.0.0.3"});
  EXPECT_TRUE(TakesItsShare("127.0.0.3", "127.0.0.2", port)) << "the second planner does nearly nothing";
  EXPECT_TRUE(TakesItsShare("127.0.0.2", "127.0.0.3", port)) << "the first planner does nearly nothing";

  WriteHosts({"127.0.0.3"});
  EXPECT_EQ(first->Signal(SIGTERM), 0);
  const Work before = WorkOf("127.0.0.3", port);
  const absl::Time deadline = absl::Now() + kBalanceWithin;
  Work after = before;
  while (absl::Now() < deadline && after.plans < before.plans + 20 * kPlanStreams) {
    after = WorkOf("127.0.0.3", port);
  }
  EXPECT_GE(after.plans, before.plans + 20 * kPlanStreams);
  StopCallers();
  ASSERT_OK_AND_ASSIGN(const auto audit, replay_client_->Audit());
  EXPECT_EQ(audit.violations_size(), 0) << audit.DebugString();
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  demorl::EnterNamespace();
  return RUN_ALL_TESTS();
}
