#include "services/replay/core/traced_rows.h"

#include <algorithm>

namespace demorl {
namespace {

// Chunks remembered: far more than are drawn late where one in a hundred is traced.
constexpr size_t kMaxEntries = 256;

}  // namespace

void TracedRows::Add(uint64_t begin, uint64_t end, const TraceContext& trace) {
  if (entries_.size() == kMaxEntries) {
    for (int use : {0, 1}) {
      num_awaiting_[use] -= entries_.front().drawn[use] ? 0 : 1;
    }
    entries_.pop_front();
  }
  entries_.push_back({.begin = begin, .end = end, .trace = trace});
  ++num_awaiting_[0];
  ++num_awaiting_[1];
}

std::vector<TraceContext> TracedRows::TakeDrawn(std::span<const uint64_t> keys, bool for_update) {
  const int use = for_update ? 1 : 0;
  std::vector<TraceContext> taken;
  for (const uint64_t key : keys) {
    const auto after =
        std::upper_bound(entries_.begin(), entries_.end(), key,
                         [](uint64_t wanted, const Entry& entry) { return wanted < entry.begin; });
    if (after == entries_.begin()) {
      continue;
    }
    Entry& entry = *std::prev(after);
    if (key < entry.end && !entry.drawn[use]) {
      entry.drawn[use] = true;
      --num_awaiting_[use];
      taken.push_back(entry.trace);
    }
  }
  return taken;
}

std::vector<TraceContext> TracedRows::BeginningIn(uint64_t begin, uint64_t end) const {
  std::vector<TraceContext> found;
  for (const Entry& entry : entries_) {
    if (entry.begin >= begin && entry.begin < end) {
      found.push_back(entry.trace);
    }
  }
  return found;
}

}  // namespace demorl
