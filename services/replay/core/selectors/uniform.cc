#include "services/replay/core/selectors/uniform.h"

#include "services/replay/core/byte_codec.h"

namespace demorl {

bool UniformSelector::CanSelect(const RowIndex& rows, int64_t count) const {
  return count == 0 || rows.size() > 0;
}

Selection UniformSelector::Select(const RowIndex& rows) {
  const auto size = static_cast<uint64_t>(rows.size());
  return {.index = static_cast<int64_t>(random_.Index(size)), .probability = 1.0 / static_cast<double>(size)};
}

std::string UniformSelector::SaveState() const {
  ByteWriter writer;
  for (const uint64_t word : random_.SaveState()) {
    writer.PutU64(word);
  }
  return writer.Take();
}

absl::Status UniformSelector::RestoreState(absl::string_view state) {
  ByteReader reader(state);
  Random::State words;
  for (uint64_t& word : words) {
    word = reader.GetU64();
  }
  if (!reader.done()) {
    return absl::DataLossError("state of a uniform selector is damaged");
  }
  random_.RestoreState(words);
  return absl::OkStatus();
}

}  // namespace demorl
