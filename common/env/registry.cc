#include "common/env/registry.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/nearest_names.h"
#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

using TaskMap = std::map<std::string, NativeTask, std::less<>>;

TaskMap CollectTasks() {
  TaskMap tasks;
  for (const auto& family :
       {InvertedPendulumTasks, InvertedDoublePendulumTasks, HopperTasks, HalfCheetahTasks, Walker2dTasks,
        AntTasks, HumanoidTasks, HumanoidStandupTasks, SwimmerTasks, ReacherTasks, PusherTasks,
        CartpoleSwingUpTasks, Leg2RTasks, StochLiteTasks, Stoch2Tasks}) {
    for (NativeTask& task : family()) {
      const std::string id = task.spec.environment_id;
      DEMORL_CHECK_MSG(tasks.emplace(id, std::move(task)).second, id);
    }
  }
  return tasks;
}

const TaskMap& Tasks() {
  static const TaskMap& tasks = *new TaskMap(CollectTasks());
  return tasks;
}

absl::StatusOr<const NativeTask*> FindTask(absl::string_view environment_id) {
  const auto found = Tasks().find(std::string(environment_id));
  if (found != Tasks().end()) {
    return &found->second;
  }
  const std::vector<std::string> known = NativeEnvironmentIds();
  const std::vector<std::string> nearest = NearestNames(environment_id, known);
  return absl::NotFoundError(absl::StrCat("no native environment '", environment_id, "'; ",
                                          nearest.empty() ? "known are " : "nearest known: ",
                                          absl::StrJoin(nearest.empty() ? known : nearest, ", ")));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(absl::string_view environment_id,
                                                             uint64_t seed) {
  ASSIGN_OR_RETURN(const NativeTask* task, FindTask(environment_id));
  return task->make(seed);
}

absl::StatusOr<EnvironmentSpec> GetEnvironmentSpec(absl::string_view environment_id) {
  ASSIGN_OR_RETURN(const NativeTask* task, FindTask(environment_id));
  return task->spec;
}

absl::StatusOr<TerminationRule> GetTerminationRule(absl::string_view environment_id) {
  ASSIGN_OR_RETURN(const NativeTask* task, FindTask(environment_id));
  return task->termination_rule;
}

std::vector<std::string> NativeEnvironmentIds() {
  std::vector<std::string> ids;
  for (const auto& [id, task] : Tasks()) {
    ids.push_back(id);
  }
  return ids;
}

}  // namespace demorl
