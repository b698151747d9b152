#pragma once

#include <memory>

#include "common/base/clock.h"
#include "common/robot/drivers/imu.h"
#include "common/robot/drivers/imu/imu_link.h"
#include "common/robot/drivers/imu/sample_counter.h"
#include "common/robot/drivers/imu/xbus_messages.h"

namespace demorl {

// Bytes of a sample on the wire; at 8N1 it takes ten bits a byte: 100 Hz fit 115200 baud, 400 Hz 460800.
constexpr int kXsensSampleBytes = 66;

struct XsensOptions {
  // One that the device has; 400 and its whole parts on the MTi series.
  int rate_hz = 100;
};

// An Xsens MTi (MTData2 over Xbus). Start puts it into configuration, sets the outputs and reads back what it
// has set; the settings of the filter stay those of the device. Frames: the sensor's own axes are x forward,
// y left, z up as printed on its case, its world is east, north, up; nothing is turned.
class XsensImu final : public Imu {
 public:
  XsensImu(const XsensOptions& options, std::unique_ptr<ByteStream> stream,
           const Clock* clock = &RealClock::Get())
      : options_(options), receiver_(std::move(stream), clock) {}

  absl::Status Start() override;
  bool Poll(ImuSample& sample) override;
  ImuCounters counters() const override;

 private:
  // Sends until the device acknowledges; `answer` gets the acknowledgement's data.
  absl::Status Request(XbusId id, std::span<const uint8_t> data, absl::string_view verb,
                       absl::Duration deadline, std::vector<uint8_t>& answer);
  absl::Status SetOutputs(absl::Duration deadline);
  bool Take(const XbusMessage& message, ImuSample& sample);

  const XsensOptions options_;
  ImuReceiver<XbusParser, XbusMessage> receiver_;
  SampleCounter counter_{1 << 16};
  uint64_t num_samples_ = 0;
  uint64_t bad_samples_ = 0;
};

}  // namespace demorl
