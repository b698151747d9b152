#include "services/cli/local/local_services.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel_factory.h"
#include "services/actor/actor_component.h"
#include "services/cli/run/free_port.h"
#include "services/cli/run/python_actor.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/service_names.h"
#include "services/cli/run/task_lookup.h"
#include "services/model_trainer/model_trainer_component.h"
#include "services/mpc_rollout/mpc_rollout_component.h"
#include "services/replay/replay_component.h"
#include "services/sac_learner/sac_learner_component.h"
#include "services/snapshot/snapshot_component.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;

ComponentFactory FactoryOf(const std::string& service) {
  if (service == "replay") return MakeReplayComponent;
  if (service == "snapshot") return MakeSnapshotComponent;
  if (service == "sac_learner") return MakeSacLearnerComponent;
  if (service == "model_trainer") return MakeModelTrainerComponent;
  if (service == "mpc_rollout") return MakeMpcRolloutComponent;
  DEMORL_CHECK_MSG(service == "actor", service);
  return MakeActorComponent;
}

absl::Status Annotate(const std::string& service, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(service, ": ", status.message()));
}

std::shared_ptr<grpc::Channel> Find(const ServiceChannels& channels, const std::string& name) {
  const auto found = channels.find(name);
  return found == channels.end() ? nullptr : found->second;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalServices>> LocalServices::Start(const RunFolder& folder) {
  std::unique_ptr<LocalServices> services(new LocalServices());
  services->folder_ = folder.path();
  RunConfig config = folder.config();
  ASSIGN_OR_RETURN(services->security_, TransportSecurity::Create(OperatorSecurity(config)));
  for (const std::string& service : ServicesOf(config)) {
    const bool python = service == "actor" && !IsNativeTask(config.environment());
    RETURN_IF_ERROR(Annotate(
        service, python ? services->StartPythonActor(&config) : services->StartService(service, &config)));
  }
  RETURN_IF_ERROR(WriteServicesFile(folder.path(), config));
  return services;
}

absl::Status LocalServices::StartService(const std::string& service, RunConfig* config) {
  auto hosted = std::make_unique<Hosted>();
  hosted->name = service;
  const std::filesystem::path data_dir = folder_ / ServiceFolder(service);
  ASSIGN_OR_RETURN(hosted->context, MakeHostedContext(*config, service, data_dir.string(), metrics_.get(),
                                                      Find(channels_, "replay"), Find(channels_, "snapshot"),
                                                      Find(channels_, "mpc_rollout")));
  ASSIGN_OR_RETURN(hosted->component, FactoryOf(service)(hosted->context.context));
  ASSIGN_OR_RETURN(
      hosted->runner,
      ServerRunner::Start({.address = "127.0.0.1:0", .run_id = config->run_id(), .security = security_.get()},
                          hosted->component.get()));
  channels_[service] = hosted->runner->InProcessChannel();
  MutableServerConfig(service, config)->set_address(absl::StrCat("127.0.0.1:", hosted->runner->port()));
  hosted_.push_back(std::move(hosted));
  return absl::OkStatus();
}

absl::Status LocalServices::StartPythonActor(RunConfig* config) {
  ASSIGN_OR_RETURN(const int port, FindFreePort());
  const std::string address = absl::StrCat("127.0.0.1:", port);
  MutableServerConfig("actor", config)->set_address(address);
  ASSIGN_OR_RETURN(GymnasiumCommand command, MakePythonActorCommand(*config));
  RETURN_IF_ERROR(MakeFolders(folder_ / "logs"));
  std::vector<SupervisedProgram> programs = {{.name = "actor",
                                              .command = std::move(command.arguments),
                                              .environment = std::move(command.environment),
                                              .log_file = folder_ / "logs" / "actor.log"}};
  python_actor_ = std::make_unique<Supervisor>(
      std::move(programs), [](const std::string& text) { std::printf("\n%s\n", text.c_str()); });
  channels_["actor"] = MakeChannel(address, nullptr, security_.get());
  return python_actor_->StartAll();
}

absl::Status LocalServices::Tend() {
  return python_actor_ == nullptr ? absl::OkStatus() : python_actor_->Tend();
}

absl::Status LocalServices::Drain() {
  absl::Status first_error;
  if (python_actor_ != nullptr) {
    first_error.Update(python_actor_->StopAll(absl::Seconds(15)));
  }
  for (auto hosted = hosted_.rbegin(); hosted != hosted_.rend(); ++hosted) {
    first_error.Update(Annotate((*hosted)->name, (*hosted)->runner->Shutdown()));
  }
  RemoveServicesFile(folder_);
  channels_.clear();
  while (!hosted_.empty()) {
    hosted_.pop_back();  // in reverse order: a component's channels end before the server behind them
  }
  return first_error;
}

LocalServices::~LocalServices() { Drain().IgnoreError(); }

}  // namespace demorl
