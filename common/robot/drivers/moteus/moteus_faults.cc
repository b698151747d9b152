#include "common/robot/drivers/moteus/moteus_faults.h"

namespace demorl {

absl::string_view MoteusFaultName(uint32_t fault) {
  switch (fault) {
    case 0:
      return "no fault";
    case 32:
      return "calibration: no magnet sensed";
    case 33:
      return "motor driver, most often too weak a supply";
    case 34:
      return "over-voltage";
    case 35:
      return "encoder";
    case 36:
      return "motor not calibrated";
    case 37:
      return "firmware overrun";
    case 38:
      return "over-temperature";
    case 39:
      return "started outside its position limits";
    case 40:
      return "under-voltage";
    case 41:
      return "configuration changed while running";
    case 42:
      return "no valid commutation encoder";
    case 43:
      return "no valid output encoder";
    case 44:
      return "gate driver did not start";
    case 45:
      return "stop position together with limits";
    case 46:
      return "firmware timing";
    case 47:
      return "back-EMF feed-forward without acceleration limit";
    case 48:
      return "invalid position limits";
    case 49:
      return "position error too large";
    case 50:
      return "velocity error too large";
    case kMoteusRestartFault:
      return "stopped by itself: restarted, or commanded by somebody else";
    case kMoteusUnknownFault:
      return "fault without a code";
    case kMoteusTimeoutFault:
      return "watchdog timeout: commands stayed away";
    default:
      return "a code that this driver does not know";
  }
}

}  // namespace demorl
