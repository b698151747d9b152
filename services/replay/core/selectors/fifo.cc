#include "services/replay/core/selectors/fifo.h"

#include "services/replay/core/byte_codec.h"

namespace demorl {

bool FifoSelector::CanSelect(const RowIndex& rows, int64_t count) const {
  return rows.size() - rows.LowerBound(next_key_) >= count;
}

Selection FifoSelector::Select(const RowIndex& rows) {
  const int64_t index = rows.LowerBound(next_key_);
  next_key_ = rows.key(index) + 1;
  return {.index = index, .probability = 1};
}

std::string FifoSelector::SaveState() const {
  ByteWriter writer;
  writer.PutU64(next_key_);
  return writer.Take();
}

absl::Status FifoSelector::RestoreState(absl::string_view state) {
  ByteReader reader(state);
  const uint64_t next_key = reader.GetU64();
  if (!reader.done()) {
    return absl::DataLossError("state of a FIFO selector is damaged");
  }
  next_key_ = next_key;
  return absl::OkStatus();
}

}  // namespace demorl
