#pragma once

#include "common/base/random.h"
#include "services/replay/core/selectors/selector.h"

namespace demorl {

// Every held row with the same probability, with replacement.
class UniformSelector final : public Selector {
 public:
  explicit UniformSelector(uint64_t seed) : random_(seed) {}
  bool CanSelect(const RowIndex& rows, int64_t count) const override;
  Selection Select(const RowIndex& rows) override;
  std::string SaveState() const override;
  absl::Status RestoreState(absl::string_view state) override;

 private:
  Random random_;
};

}  // namespace demorl
