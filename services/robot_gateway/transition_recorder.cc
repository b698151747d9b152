#include "services/robot_gateway/transition_recorder.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/tensor/transition_codec.h"
#include "services/robot_gateway/applied_traces.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// One record of the spool is one message to replay; far below where its writer would cut it.
constexpr size_t kMaxChunkFloats = 64 << 10;

size_t NumFloats(const Segment& segment) {
  return segment.observations.size() + segment.actions.size() + segment.rewards.size();
}

}  // namespace

TransitionRecorder::TransitionRecorder(const Options& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      builder_(options.segments),
      thread_("robot-record", [this] { return Run(); }) {}

TransitionRecorder::Figures TransitionRecorder::figures() const {
  absl::MutexLock lock(&mutex_);
  return figures_;
}

absl::Status TransitionRecorder::Run() {
  bool stop = false;
  while (!stop) {
    stop = thread_.WaitForStop(options_.interval);
    // All that was pushed before the request to stop.
    const bool took = TakeTicks();
    CloseOldSegment(absl::Now());
    if (stop) {
      builder_.Cut();
    }
    CollectChunks();
    const bool news = took || stop || !waiting_.empty();
    SpoolWaiting();
    if (news) {
      Publish();
    }
  }
  return DrainWaiting();
}

// Tries until the deadline of the stop.
absl::Status TransitionRecorder::DrainWaiting() {
  bool done = waiting_.empty();
  while (!done) {
    if (retry_at_ >= thread_.deadline()) {
      return absl::Status(
          current_.spool_status.code(),
          absl::StrCat(current_.rows_waiting, " rows were not spooled: ", current_.spool_status.message()));
    }
    absl::SleepFor(retry_at_ - absl::Now());
    done = SpoolWaiting();
    Publish();
  }
  return absl::OkStatus();
}

bool TransitionRecorder::TakeTicks() {
  bool took = false;
  // As many as fit into the ring: a loop faster than this thread must not keep it here.
  for (size_t i = 0; i < parts_.ticks->capacity() && parts_.ticks->TryPop(newest_); ++i) {
    TakeTick(newest_);
    took = true;
  }
  return took;
}

void TransitionRecorder::TakeTick(const TickRecord& record) {
  ++current_.ticks;
  builder_.Add(record);
  if (chunk_start_ns_ == 0 && builder_.open_rows() > 0) {
    chunk_start_ns_ = record.scheduled_ns;
  }
  if (parts_.observe) {
    parts_.observe(record);
  }
  if (parts_.log == nullptr) {
    return;
  }
  if (const absl::Status status = parts_.log->Append(record); !status.ok()) {
    if (current_.log_errors++ == 0) {
      spdlog::warn("log of ticks: {}", std::string(status.message()));
    }
  }
}

void TransitionRecorder::CloseOldSegment(absl::Time now) {
  if (builder_.open_rows() == 0) {
    row_waits_since_ = absl::InfiniteFuture();
    return;
  }
  row_waits_since_ = std::min(row_waits_since_, now);
  if (now - row_waits_since_ >= options_.max_row_age) {
    builder_.CloseSegment();
    row_waits_since_ = absl::InfiniteFuture();
  }
}

void TransitionRecorder::CollectChunks() {
  TransitionChunk chunk{.observation_size = options_.segments.observation_size,
                        .action_size = options_.segments.action_size};
  size_t num_floats = 0;
  for (Segment& segment : builder_.TakeSegments()) {
    row_waits_since_ = absl::InfiniteFuture();
    if (num_floats > 0 && num_floats + NumFloats(segment) > kMaxChunkFloats) {
      AddChunk(std::exchange(chunk,
                             {.observation_size = chunk.observation_size, .action_size = chunk.action_size}));
      num_floats = 0;
    }
    num_floats += NumFloats(segment);
    chunk.segments.push_back(std::move(segment));
  }
  if (!chunk.segments.empty()) {
    AddChunk(std::move(chunk));
    chunk_start_ns_ = builder_.open_rows() > 0 ? newest_.scheduled_ns : 0;
  }
}

void TransitionRecorder::BeginTrace(TransitionChunk* chunk) {
  chunk->trace = parts_.trace_log == nullptr ? std::nullopt : parts_.trace_log->StartTrace();
  if (chunk->trace.has_value()) {
    const Segment& first = chunk->segments.front();
    parts_.trace_log->Add(
        *chunk->trace, nullptr,
        {.name = "collect",
         .start = WallTime(chunk_start_ns_ == 0 ? newest_.scheduled_ns : chunk_start_ns_),
         .end = WallTime(newest_.finished_ns),
         .attributes = {{"rows", int64_t{chunk->num_rows()}},
                        {"episode", static_cast<int64_t>(first.episode_id)},
                        {"first_step", int64_t{first.first_step}},
                        {"policy_version", static_cast<int64_t>(first.policy_versions.front())}}});
  }
}

void TransitionRecorder::AddChunk(TransitionChunk chunk) {
  BeginTrace(&chunk);
  waiting_.push_back({EncodeTransitionChunk(chunk).SerializeAsString(), chunk.num_rows()});
  waiting_bytes_ += static_cast<int64_t>(waiting_.back().payload.size());
  current_.rows_waiting += waiting_.back().rows;
  while (waiting_bytes_ > options_.max_waiting_bytes) {
    current_.rows_dropped += waiting_.front().rows;
    current_.rows_waiting -= waiting_.front().rows;
    waiting_bytes_ -= static_cast<int64_t>(waiting_.front().payload.size());
    waiting_.pop_front();
  }
}

bool TransitionRecorder::SpoolWaiting() {
  if (!waiting_.empty() && absl::Now() < retry_at_) {
    return false;
  }
  while (!waiting_.empty()) {
    const Waiting& next = waiting_.front();
    const absl::Status status = parts_.spool->Append(next.payload).status();
    if (!status.ok()) {
      if (current_.spool_status.ok()) {
        spdlog::warn("spool: {}; rows wait in memory", std::string(status.message()));
      }
      current_.spool_status = status;
      retry_at_ = absl::Now() + options_.retry_interval;
      return false;
    }
    current_.rows_spooled += next.rows;
    current_.rows_waiting -= next.rows;
    waiting_bytes_ -= static_cast<int64_t>(next.payload.size());
    waiting_.pop_front();
  }
  if (!current_.spool_status.ok()) {
    spdlog::info("spool: takes rows again; {} were dropped", current_.rows_dropped);
    current_.spool_status = absl::OkStatus();
  }
  return true;
}

void TransitionRecorder::Publish() {
  current_.segments = builder_.counts();
  absl::MutexLock lock(&mutex_);
  figures_ = current_;
}

}  // namespace demorl
