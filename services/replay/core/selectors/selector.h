#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/replay/core/replay_options.h"

namespace demorl {

// The held rows of a table in insertion order, as a selector sees them.
class RowIndex {
 public:
  virtual ~RowIndex() = default;
  virtual int64_t size() const = 0;
  virtual uint64_t key(int64_t index) const = 0;
  // Index of the first held row with a key of at least `key`; size() if there is none.
  virtual int64_t LowerBound(uint64_t key) const = 0;
};

struct Selection {
  int64_t index = 0;
  // With which this row was drawn.
  double probability = 0;
};

// Chooses the rows of a batch. Thread-compatible.
class Selector {
 public:
  virtual ~Selector() = default;

  // Whether `count` rows can be drawn now.
  virtual bool CanSelect(const RowIndex& rows, int64_t count) const = 0;

  // Draws one row; requires CanSelect(rows, 1).
  virtual Selection Select(const RowIndex& rows) = 0;

  // Random stream and position, for checkpoints; what one instance saves another of its kind takes.
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

std::unique_ptr<Selector> MakeSelector(SelectorKind kind, uint64_t seed);

}  // namespace demorl
