// Drawing of batches: composition, limits, gathering of columns.

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/replay/core/replay_core.h"
#include "services/replay/core/replay_metrics.h"

namespace demorl {
namespace {

// A batch must fit a message of 64 MiB.
constexpr int64_t kMaxBatchBytes = 48 << 20;

absl::Status CheckComposition(const BatchSpec& spec) {
  std::set<std::string> names;
  int64_t rows = 0;
  for (const TableShare& share : spec.shares) {
    if (share.rows < 0 || !names.insert(share.table).second) {
      return absl::InvalidArgumentError(absl::StrCat("share of ", share.rows, " rows of table '", share.table,
                                                     "'; want >= 0 rows and each table once"));
    }
    rows += share.rows;
  }
  if (rows == 0) {
    return absl::InvalidArgumentError("a batch of 0 rows; want shares with at least 1");
  }
  if (std::count(spec.may_be_empty.begin(), spec.may_be_empty.end(), spec.shares.front().table) > 0) {
    return absl::InvalidArgumentError(absl::StrCat("may_be_empty names the first table, '",
                                                   spec.shares.front().table,
                                                   "', from which others are filled"));
  }
  return absl::OkStatus();
}

bool MayBeEmpty(const BatchSpec& spec, const std::string& table) {
  return std::count(spec.may_be_empty.begin(), spec.may_be_empty.end(), table) > 0;
}

TransitionBatch Gather(const std::vector<DrawnRow>& rows) {
  TransitionBatch batch;
  const PackedSegment& first = *rows.front().segment;
  batch.Resize(static_cast<int>(rows.size()), first.observation_size(), first.action_size());
  batch.keys.reserve(rows.size());
  batch.probabilities.reserve(rows.size());
  const auto o = static_cast<size_t>(first.observation_size());
  const auto a = static_cast<size_t>(first.action_size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const PackedSegment& segment = *rows[i].segment;
    const int step = rows[i].step;
    std::ranges::copy(segment.observation(step), batch.observations.begin() + static_cast<ptrdiff_t>(i * o));
    std::ranges::copy(segment.action(step), batch.actions.begin() + static_cast<ptrdiff_t>(i * a));
    std::ranges::copy(segment.observation(step + 1),
                      batch.next_observations.begin() + static_cast<ptrdiff_t>(i * o));
    batch.rewards[i] = segment.reward(step);
    batch.terminated[i] = segment.terminated(step) ? 1 : 0;
    batch.keys.push_back(rows[i].key);
    batch.probabilities.push_back(static_cast<float>(rows[i].probability));
  }
  return batch;
}

// Of the first `count` rows.
absl::Duration MeanAge(const std::vector<DrawnRow>& rows, int64_t count, absl::Duration now) {
  absl::Duration sum;
  for (int64_t i = 0; i < count; ++i) {
    sum += now - rows[static_cast<size_t>(i)].inserted;
  }
  return count == 0 ? sum : sum / count;
}

std::vector<uint64_t> KeysFrom(const std::vector<DrawnRow>& rows, size_t begin) {
  std::vector<uint64_t> keys;
  for (size_t i = begin; i < rows.size(); ++i) {
    keys.push_back(rows[i].key);
  }
  return keys;
}

uint64_t NewestDynamics(const std::vector<DrawnRow>& rows) {
  uint64_t newest = 0;
  for (const DrawnRow& row : rows) {
    newest = std::max(newest, row.segment->dynamics_version());
  }
  return newest;
}

}  // namespace

absl::StatusOr<DrawnBatch> ReplayCore::TrySample(const BatchSpec& spec) {
  if (spec.shares.empty()) {
    return absl::InvalidArgumentError("a batch without shares; want at least one table");
  }
  RETURN_IF_ERROR(CheckComposition(spec));
  const absl::Duration start = clock_.Now();
  Drawing drawing;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(drawing, DrawRows(spec));
  }
  if (spec.counts_as_update) {
    NotifyChange();
  }
  DrawnBatch drawn = std::move(drawing.batch);
  drawn.batch = Gather(drawing.rows);
  drawn.dynamics_version = NewestDynamics(drawing.rows);
  const absl::Duration end = clock_.Now();
  drawn.mean_age = MeanAge(drawing.rows, drawing.rows_of_first, end);
  drawing.instruments->SampleTook(absl::ToDoubleSeconds(end - start));
  if (!drawn.traces.empty()) {
    const absl::Time now = absl::Now();
    drawn.traces = AddChildSpans(trace_log_, drawn.traces,
                                 {.name = "sample",
                                  .start = now - (end - start),
                                  .end = now,
                                  .attributes = {{"rows", int64_t{drawn.batch.num_rows}},
                                                 {"mean_age_s", absl::ToDoubleSeconds(drawn.mean_age)}}});
  }
  return drawn;
}

absl::StatusOr<ReplayCore::Drawing> ReplayCore::DrawRows(const BatchSpec& spec) {
  if (closed_) {
    return absl::CancelledError("replay is closed");
  }
  if (paused_) {
    return absl::UnavailableError("replay is paused");
  }
  ASSIGN_OR_RETURN(DrawPlan plan, PlanDraw(spec));
  Drawing drawing;
  for (auto& [entry, count] : plan.draws) {
    const size_t begin = drawing.rows.size();
    entry->table->Draw(count, &drawing.rows);
    if (entry->traced.AwaitsDraw(spec.counts_as_update)) {
      KeepTraces(entry->traced.TakeDrawn(KeysFrom(drawing.rows, begin), spec.counts_as_update),
                 &drawing.batch.traces);
    }
    entry->instruments->Sampled(static_cast<double>(count));
    MarkTable(static_cast<size_t>(entry - tables_.data()), /*lazily=*/true);
  }
  TableEntry& first = *plan.draws.front().first;
  if (spec.counts_as_update) {
    first.table->limiter().CountUpdate();
    UpdateFigures(first);
  }
  drawing.rows_of_first = plan.draws.front().second;
  drawing.instruments = first.instruments.get();
  drawing.batch.rows_inserted = first.table->rows_inserted();
  drawing.batch.table_sizes = std::move(plan.table_sizes);
  return drawing;
}

absl::StatusOr<ReplayCore::DrawPlan> ReplayCore::PlanDraw(const BatchSpec& spec) {
  DrawPlan plan;
  int64_t from_first = 0, total = 0;
  for (size_t i = 0; i < spec.shares.size(); ++i) {
    const TableShare& share = spec.shares[i];
    ASSIGN_OR_RETURN(const size_t index, FindTable(share.table));
    TableEntry& entry = tables_[index];
    const Table& table = *entry.table;
    plan.table_sizes.push_back(table.size());
    total += share.rows;
    const bool replaced = table.size() == 0 && MayBeEmpty(spec, share.table);
    if (share.rows > 0 && !replaced) {
      RETURN_IF_ERROR(CheckMinRows(spec, i, table));
    }
    if (i == 0 || replaced) {
      from_first += share.rows;
    }
    if (i == 0 || (!replaced && share.rows > 0)) {
      plan.draws.emplace_back(&entry, share.rows);
    }
  }
  TableEntry& first = *plan.draws.front().first;
  plan.draws.front().second = from_first;
  if (from_first > 0) {
    RETURN_IF_ERROR(CheckMinRows(spec, 0, *first.table));
  }
  RETURN_IF_ERROR(CheckLimiter(spec, first));
  for (const auto& [entry, count] : plan.draws) {
    const Table& table = *entry->table;
    if (!table.CanDraw(count)) {
      return absl::UnavailableError(absl::StrCat("table '", table.options().name, "' cannot give ", count,
                                                 " rows yet; it holds ", table.size()));
    }
    if (count > 0 && first.table->environment().has_value()) {
      RETURN_IF_ERROR(entry->table->environment().has_value() && entry != &first
                          ? entry->table->CheckEnvironment(*first.table->environment())
                          : absl::OkStatus());
    }
  }
  const std::optional<EnvironmentSpec>& environment = first.table->environment();
  if (environment.has_value() &&
      total * 4 * (2 * environment->observation_size + environment->action_size + 5) > kMaxBatchBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch of ", total, " rows; want at most ", kMaxBatchBytes, " bytes"));
  }
  return plan;
}

absl::Status ReplayCore::CheckMinRows(const BatchSpec& spec, size_t share, const Table& table) const {
  const bool enough =
      table.limiter().HasMinRows(table.rows_inserted()) || MayBeEmpty(spec, spec.shares[share].table);
  if (enough && table.size() > 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("table '", table.options().name, "' has taken in ",
                                             table.rows_inserted(), " rows and holds ", table.size(),
                                             "; waiting for ", table.limiter().options().min_rows));
}

absl::Status ReplayCore::CheckLimiter(const BatchSpec& spec, TableEntry& first) {
  const Table& table = *first.table;
  if (!spec.counts_as_update || table.limiter().UpdateAllowed(table.rows_inserted())) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("rate limit: table '", table.options().name, "' has taken in ",
                                             table.rows_inserted(), " rows and given ",
                                             table.limiter().updates(), " updates"));
}

void ReplayCore::AddWaitingSampler(const std::string& name, int change) {
  const absl::StatusOr<size_t> index = FindTable(name);
  if (!index.ok()) {
    return;
  }
  absl::MutexLock lock(&mutex_);
  WaitingTime& waiting = tables_[*index].waiting_samplers;
  waiting.SetWaiting(waiting.waiting() + change, clock_.Now());
  UpdateFigures(tables_[*index]);
}

}  // namespace demorl
