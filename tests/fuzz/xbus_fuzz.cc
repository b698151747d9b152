#include "common/robot/drivers/imu/xbus_messages.h"
#include "tests/fuzz/imu_parser_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace demorl;
  CheckSplitChangesNothing<XbusParser, XbusMessage>({data, size}, [](const XbusMessage& message) {
    const bool is_sample = ParseMtData2(message.data).has_value();
    return Fnv(message.data) + message.id * 2 + (is_sample ? 1 : 0);
  });
  return 0;
}
