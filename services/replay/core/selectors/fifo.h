#pragma once

#include "services/replay/core/selectors/selector.h"

namespace demorl {

// Rows in insertion order, each once; rows that left the table unseen are skipped.
class FifoSelector final : public Selector {
 public:
  bool CanSelect(const RowIndex& rows, int64_t count) const override;
  Selection Select(const RowIndex& rows) override;
  std::string SaveState() const override;
  absl::Status RestoreState(absl::string_view state) override;

 private:
  uint64_t next_key_ = 0;
};

}  // namespace demorl
