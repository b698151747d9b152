#include "common/robot/drivers/imu/vectornav_messages.h"
#include "tests/fuzz/imu_parser_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace demorl;
  CheckSplitChangesNothing<VectorNavParser, VectorNavMessage>({data, size}, [](const VectorNavMessage& m) {
    const bool is_sample = ParseVectorNavSample(m).has_value();
    const std::span text(reinterpret_cast<const uint8_t*>(m.text.data()), m.text.size());
    return Fnv(m.payload, Fnv(text)) + m.fields + (is_sample ? 1 : 0) + (m.has_checksum ? 2 : 0);
  });
  return 0;
}
