#include "services/cli/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "common/rpc/revision.h"
#include "common/rpc/service_context.h"
#include "nlohmann/json.hpp"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

constexpr char kEvaluationHeader[] =
    "environment_steps,mean_return,stddev_return,mean_length,episodes,policy_version,wall_s\n";
constexpr char kProgressHeader[] =
    "environment_steps,updates,episode_return,critic_loss,policy_loss,entropy_temperature,real_ratio,"
    "training_loss,"
    "holdout_error,model_trainings,planned_rows,horizon_steps,base_return,plan_return,updates_per_second,"
    "wall_s\n";

std::string NewRunId() {
  std::random_device device;
  return absl::StrFormat("%08x%08x", device(), device());
}

std::string FormatEvaluation(const EvaluationRow& row) {
  return absl::StrFormat("%d,%.6g,%.6g,%.6g,%d,%d,%.3f\n", row.environment_steps, row.mean_return,
                         row.stddev_return, row.mean_length, row.episodes, row.policy_version, row.wall_s);
}

std::string FormatProgress(const ProgressRow& row) {
  return absl::StrFormat("%d,%d,%.9g,%.9g,%.9g,%.9g,%.6g,%.9g,%.9g,%d,%d,%.6g,%.9g,%.9g,%.2f,%.3f\n",
                         row.environment_steps, row.updates, row.episode_return, row.critic_loss,
                         row.policy_loss, row.entropy_temperature, row.real_ratio, row.training_loss,
                         row.holdout_error, row.model_trainings, row.planned_rows, row.horizon_steps,
                         row.base_return, row.plan_return, row.updates_per_second, row.wall_s);
}

absl::StatusOr<EvaluationRow> ParseEvaluation(absl::string_view line) {
  const std::vector<std::string> fields = absl::StrSplit(line, ',');
  EvaluationRow row;
  if (fields.size() != 7 || !absl::SimpleAtoi(fields[0], &row.environment_steps) ||
      !absl::SimpleAtod(fields[1], &row.mean_return) || !absl::SimpleAtod(fields[2], &row.stddev_return) ||
      !absl::SimpleAtod(fields[3], &row.mean_length) || !absl::SimpleAtoi(fields[4], &row.episodes) ||
      !absl::SimpleAtoi(fields[5], &row.policy_version) || !absl::SimpleAtod(fields[6], &row.wall_s)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", line, "'; want 7 numbers: ", absl::string_view(kEvaluationHeader)));
  }
  return row;
}

// Complete lines after the header; a line that a crash cut off is left out.
std::vector<std::string> CompleteLines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  lines.pop_back();
  if (!lines.empty()) {
    lines.erase(lines.begin());
  }
  return lines;
}

// A file with a header line, created if missing; a torn last line is cut.
absl::Status RepairTable(const fs::path& file, const char* header) {
  if (!fs::exists(file)) {
    return WriteFileAtomically(file, header);
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const size_t end = text.rfind('\n');
  if (end == std::string::npos) {
    return WriteFileAtomically(file, header);
  }
  return end + 1 == text.size() ? absl::OkStatus() : WriteFileAtomically(file, text.substr(0, end + 1));
}

absl::Status TruncateTable(const fs::path& file, const char* header, int64_t environment_steps) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  std::string kept = header;
  for (const std::string& line : CompleteLines(text)) {
    int64_t steps = 0;
    if (absl::SimpleAtoi(line.substr(0, line.find(',')), &steps) && steps <= environment_steps) {
      absl::StrAppend(&kept, line, "\n");
    }
  }
  return WriteFileAtomically(file, kept);
}

}  // namespace

absl::StatusOr<std::vector<EvaluationRow>> ReadEvaluations(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  std::vector<EvaluationRow> rows;
  int line_number = 1;
  for (const std::string& line : CompleteLines(text)) {
    ++line_number;
    absl::StatusOr<EvaluationRow> row = ParseEvaluation(line);
    if (!row.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file.string(), ":", line_number, ": ", row.status().message()));
    }
    rows.push_back(*row);
  }
  return rows;
}

absl::StatusOr<std::unique_ptr<RunFolder>> RunFolder::Open(const fs::path& path, RunConfig config,
                                                           ChangedConfig changed) {
  const bool exists = fs::exists(path) && !fs::is_empty(path);
  if (exists && !fs::exists(path / "config.textproto") && !fs::exists(path / ".lock")) {
    return absl::FailedPreconditionError(absl::StrCat(
        path.string(), " is not empty and holds no config.textproto; want a new folder or that of a run"));
  }
  RETURN_IF_ERROR(MakeFolders(path));
  std::unique_ptr<RunFolder> folder(new RunFolder());
  folder->path_ = path;
  RETURN_IF_ERROR(folder->Lock());
  RETURN_IF_ERROR(folder->LoadOrCreate(std::move(config), changed));
  RETURN_IF_ERROR(folder->LoadTables());
  return folder;
}

RunFolder::~RunFolder() {
  if (lock_fd_ >= 0) {
    ::close(lock_fd_);
  }
}

absl::Status RunFolder::Lock() {
  const fs::path file = path_ / ".lock";
  lock_fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd_ < 0) {
    return ErrnoToStatus(errno, "create", file);
  }
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::AbortedError(absl::StrCat("another process is running in ", path_.string(),
                                           "; want one at a time, or another --out"));
  }
  return absl::OkStatus();
}

// Gives `config` the run_id of the folder, and its environment_steps where they are more.
absl::Status RunFolder::CheckUnchanged(RunConfig* config, ChangedConfig changed) const {
  RunConfig existing;
  RETURN_IF_ERROR(MergeTextProtoFile(path_ / "config.textproto", &existing));
  if (config->has_run_id() && config->run_id() != existing.run_id()) {
    return absl::FailedPreconditionError(absl::StrCat(path_.string(), " holds run '", existing.run_id(),
                                                      "'; asked is run '", config->run_id(),
                                                      "'; want its own folder for each run"));
  }
  config->set_run_id(existing.run_id());
  if (changed == ChangedConfig::kAdopt) {
    return absl::OkStatus();
  }
  existing.set_environment_steps(std::max(existing.environment_steps(), config->environment_steps()));
  config->set_environment_steps(existing.environment_steps());
  const std::vector<std::string> differences = Differences(existing, *config);
  if (!differences.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_.string(), " holds a run with another configuration (found != asked): ",
                     absl::StrJoin(differences, "; "), "; want the same, or another --out"));
  }
  return absl::OkStatus();
}

absl::Status RunFolder::LoadOrCreate(RunConfig config, ChangedConfig changed) {
  const fs::path file = path_ / "config.textproto";
  if (fs::exists(file)) {
    RETURN_IF_ERROR(CheckUnchanged(&config, changed));
    resumed_ = true;
  } else if (!config.has_run_id()) {
    config.set_run_id(NewRunId());
  }
  RETURN_IF_ERROR(WriteFileAtomically(file, ToTextProto(config)));
  config_ = std::move(config);
  config_hash_ = RunConfigHash(config_);
  return absl::OkStatus();
}

absl::Status RunFolder::LoadTables() {
  RETURN_IF_ERROR(RepairTable(path_ / "progress.csv", kProgressHeader));
  RETURN_IF_ERROR(RepairTable(path_ / "eval.csv", kEvaluationHeader));
  ASSIGN_OR_RETURN(evaluations_, ReadEvaluations(path_ / "eval.csv"));
  if (absl::StatusOr<std::string> text = ReadFile(path_ / "summary.json"); text.ok()) {
    const nlohmann::json summary = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    earlier_wall_s_ = summary.is_object() ? summary.value("wall_s", 0.0) : 0.0;
  }
  return absl::OkStatus();
}

absl::Status RunFolder::AppendProgress(const ProgressRow& row) {
  return AppendToFile(path_ / "progress.csv", FormatProgress(row));
}

absl::Status RunFolder::AppendEvaluation(const EvaluationRow& row) {
  RETURN_IF_ERROR(AppendToFile(path_ / "eval.csv", FormatEvaluation(row)));
  evaluations_.push_back(row);
  return absl::OkStatus();
}

absl::Status RunFolder::TruncateAfter(int64_t environment_steps) {
  RETURN_IF_ERROR(TruncateTable(path_ / "progress.csv", kProgressHeader, environment_steps));
  RETURN_IF_ERROR(TruncateTable(path_ / "eval.csv", kEvaluationHeader, environment_steps));
  ASSIGN_OR_RETURN(evaluations_, ReadEvaluations(path_ / "eval.csv"));
  return absl::OkStatus();
}

absl::Status RunFolder::WriteSummary(const RunSummary& summary) {
  nlohmann::ordered_json json;
  json["environment"] = config_.environment();
  json["algorithm"] = config_.algorithm();
  json["preset"] = config_.preset();
  json["seed"] = config_.seed();
  json["environment_steps"] = summary.environment_steps;
  if (!evaluations_.empty()) {
    const EvaluationRow& last = evaluations_.back();
    json["final_evaluation"] = {{"environment_steps", last.environment_steps},
                                {"mean_return", last.mean_return},
                                {"stddev_return", last.stddev_return},
                                {"episodes", last.episodes}};
  }
  json["wall_s"] = earlier_wall_s_ + summary.wall_s;
  json["updates"] = summary.updates;
  json["model_trainings"] = summary.model_trainings;
  json["planned_rows"] = summary.planned_rows;
  json["config_hash"] = config_hash_;
  json["revision"] = Revision();
  json["finished"] = summary.finished;
  for (const auto& [name, seconds] : summary.cpu_seconds) {
    json["cpu_seconds"][name] = seconds;
  }
  return WriteFileAtomically(path_ / "summary.json", json.dump(2) + "\n");
}

}  // namespace demorl
