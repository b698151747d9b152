#include "common/robot/drivers/imu/rvc_messages.h"
#include "tests/fuzz/imu_parser_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace demorl;
  CheckSplitChangesNothing<RvcParser, RvcMessage>({data, size}, [](const RvcMessage& message) {
    std::vector<uint8_t> bytes;
    AppendRvcMessage(message, bytes);
    return Fnv(bytes);
  });
  return 0;
}
