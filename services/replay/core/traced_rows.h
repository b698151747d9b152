#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "common/base/trace_context.h"

namespace demorl {

// The newest traced chunks of one table: whose rows they are, and who has seen them already.
// Thread-compatible.
class TracedRows {
 public:
  // Rows with keys [begin, end); keys grow from call to call.
  void Add(uint64_t begin, uint64_t end, const TraceContext& trace);

  // Traces of which these keys, in any order, hold the first row that is drawn: for an update, or else for
  // something other than an update, which counts apart.
  std::vector<TraceContext> TakeDrawn(std::span<const uint64_t> keys, bool for_update);
  // Whether TakeDrawn can find any.
  bool AwaitsDraw(bool for_update) const { return num_awaiting_[for_update ? 1 : 0] > 0; }

  // Traces that begin in [begin, end).
  std::vector<TraceContext> BeginningIn(uint64_t begin, uint64_t end) const;

 private:
  struct Entry {
    uint64_t begin = 0;
    uint64_t end = 0;
    TraceContext trace;
    bool drawn[2] = {false, false};  // not for an update, for one
  };

  std::deque<Entry> entries_;  // by key
  int num_awaiting_[2] = {0, 0};
};

}  // namespace demorl
