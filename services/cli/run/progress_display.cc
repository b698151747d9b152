#include "services/cli/run/progress_display.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace demorl {
namespace {

constexpr absl::Duration kPlainInterval = absl::Seconds(15);
constexpr double kRateWindowS = 120;

}  // namespace

std::string WithThousands(int64_t value) {
  const std::string digits = absl::StrCat(value < 0 ? -value : value);
  std::string grouped = value < 0 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) {
      grouped.push_back(',');
    }
    grouped.push_back(digits[i]);
  }
  return grouped;
}

std::string FormatDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) {
    return "?";
  }
  const int64_t total = std::llround(seconds);
  if (total >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", total / 3600, total / 60 % 60, total % 60);
  }
  return absl::StrFormat("%d:%02d", total / 60, total % 60);
}

ProgressDisplay::ProgressDisplay(int64_t total_environment_steps)
    : total_environment_steps_(total_environment_steps), terminal_(::isatty(STDOUT_FILENO) != 0) {}

std::string ProgressDisplay::Format(const ProgressRow& row, const std::string& waiting_for) const {
  std::string line = absl::StrFormat("%s/%s steps", WithThousands(row.environment_steps),
                                     WithThousands(total_environment_steps_));
  if (std::isfinite(row.episode_return)) {
    absl::StrAppendFormat(&line, " | return %.1f", row.episode_return);
  }
  absl::StrAppendFormat(&line, " | %s updates", WithThousands(row.updates));
  if (std::isfinite(row.updates_per_second)) {
    absl::StrAppendFormat(&line, ", %.0f/s", row.updates_per_second);
  }
  if (row.model_trainings > 0) {
    absl::StrAppendFormat(&line, " | model loss %.3f", row.training_loss);
  }
  if (row.planned_rows > 0) {
    absl::StrAppendFormat(&line, " | D_MPC %s rows, real %.2f", WithThousands(row.planned_rows),
                          row.real_ratio);
  }
  const int64_t done = row.environment_steps - marks_.front().environment_steps;
  if (done > 0) {
    const double seconds_per_step = (row.wall_s - marks_.front().wall_s) / static_cast<double>(done);
    const int64_t left = total_environment_steps_ - row.environment_steps;
    absl::StrAppend(&line, " | ", FormatDuration(seconds_per_step * static_cast<double>(left)), " left");
  }
  if (!waiting_for.empty()) {
    absl::StrAppend(&line, " | ", waiting_for);
  }
  return line;
}

void ProgressDisplay::Update(const ProgressRow& row, const std::string& waiting_for) {
  marks_.push_back({row.environment_steps, row.wall_s});
  while (marks_.size() > 1 && marks_[1].wall_s < row.wall_s - kRateWindowS) {
    marks_.pop_front();
  }
  if (terminal_) {
    std::printf("\r\x1b[K%s", Format(row, waiting_for).c_str());
  } else if (const absl::Time now = absl::Now(); now - last_print_ >= kPlainInterval) {
    last_print_ = now;
    std::printf("%s\n", Format(row, waiting_for).c_str());
  }
  std::fflush(stdout);
}

void ProgressDisplay::Note(const std::string& text) {
  std::printf("%s%s\n", terminal_ ? "\r\x1b[K" : "", text.c_str());
  std::fflush(stdout);
}

}  // namespace demorl
