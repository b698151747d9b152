#include "common/config/complete_run.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "common/config/run_modes.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::LinearSchedule;
using ::demorl::config::v1::RunConfig;
using ::demorl::config::v1::TableConfig;

TableConfig* FindOrAddTable(const std::string& name, RunConfig* config) {
  for (TableConfig& table : *config->mutable_replay()->mutable_tables()) {
    if (table.name() == name) {
      return &table;
    }
  }
  TableConfig* table = config->mutable_replay()->add_tables();
  table->set_name(name);
  return table;
}

// The learner's schedule is what the limiter of D_ENV enforces; without a learner there is no limit.
void CompleteEnvironmentTable(RunConfig* config) {
  auto* limiter = FindOrAddTable("env", config)->mutable_rate_limiter();
  if (!limiter->has_updates_per_row() && LearnsPolicy(*config)) {
    limiter->set_updates_per_row(config->sac().updates_per_step());
  }
  if (!limiter->has_min_rows()) {
    limiter->set_min_rows(config->sac().learning_starts());
  }
  if (!limiter->has_max_rows_ahead()) {
    limiter->set_max_rows_ahead(config->actor().max_run_ahead_steps());
  }
}

void CompletePlannedTable(RunConfig* config) {
  TableConfig* table = FindOrAddTable("mpc", config);
  if (!table->has_retained_rounds()) {
    table->set_retained_rounds(4 * config->planner().rounds_per_model());  // one epoch of 250-step intervals
  }
}

void CompleteRealRatio(RunConfig* config) {
  LinearSchedule* ratio = config->mutable_sac()->mutable_real_ratio();
  if (!FillsPlannedTable(*config)) {
    ratio->set_start_value(1);
    ratio->set_end_value(1);
  } else if (!ratio->has_start_value() && !ratio->has_end_value()) {
    ratio->set_start_value(0.05);  // MBPO
    ratio->set_end_value(0.05);
  }
}

// For `demorl check-run` to write to and draw from, apart from what is learned from.
void AddCheckTable(RunConfig* config) {
  TableConfig* table = FindOrAddTable("check", config);
  if (!table->has_max_rows()) {
    table->set_max_rows(64);
    table->set_durability(demorl::config::v1::DURABILITY_NONE);
  }
}

// A folder that Kubernetes mounts has links and hidden folders in it too.
std::vector<fs::path> LayersOf(const fs::path& folder) {
  std::vector<fs::path> layers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".textproto" && entry.is_regular_file(error)) {
      layers.push_back(entry.path());
    }
  }
  std::sort(layers.begin(), layers.end());
  return layers;
}

}  // namespace

void CompleteRunConfig(RunConfig* config) {
  CompleteEnvironmentTable(config);
  if (FillsPlannedTable(*config)) {
    CompletePlannedTable(config);
  }
  CompleteRealRatio(config);
  FillDefaults(config);
}

absl::StatusOr<RunConfig> LoadRunConfig(const fs::path& path, const std::vector<std::string>& overrides) {
  const bool layered = fs::is_directory(path);
  const std::vector<fs::path> files = layered ? LayersOf(path) : std::vector<fs::path>{path};
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat("configuration folder ", path.string(), " holds no *.textproto; want at least one"));
  }
  RunConfig config;
  for (const fs::path& file : files) {
    RETURN_IF_ERROR(MergeTextProtoFile(file, &config));
  }
  for (const std::string& assignment : overrides) {
    RETURN_IF_ERROR(ApplyOverride(assignment, &config));
  }
  if (layered) {
    CompleteRunConfig(&config);
    AddCheckTable(&config);
    FillDefaults(&config);
  } else {
    FillDefaults(&config);
  }
  RETURN_IF_ERROR(ValidateRanges(config));
  return config;
}

}  // namespace demorl
