#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace demorl {

// Beside the device's own codes, which end below 0x100, what its mode tells.
//
// It stopped without being told to: it was restarted, or somebody else commands it.
inline constexpr uint32_t kMoteusRestartFault = 0x100;
// It says "fault" without saying which.
inline constexpr uint32_t kMoteusUnknownFault = 0x101;
// Its watchdog ran out; it brakes until it is told to stop.
inline constexpr uint32_t kMoteusTimeoutFault = 0x10b;

// Source: mjbots/moteus docs/protocol/registers.md, register 0x00f.
absl::string_view MoteusFaultName(uint32_t fault);

}  // namespace demorl
