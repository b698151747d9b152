#pragma once

#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

// What a stream's state means for the bus behind it.
inline BusResult BusStateOf(const IoResult& stream) {
  switch (stream.code) {
    case IoResult::Code::kOk:
    case IoResult::Code::kTimedOut:
      return {};
    case IoResult::Code::kClosed:
      return {BusResult::Code::kClosed, stream.error_number};
    case IoResult::Code::kFailed:
      break;
  }
  return {BusResult::Code::kFailed, stream.error_number};
}

}  // namespace demorl
