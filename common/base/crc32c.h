#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace demorl {

// CRC-32C (Castagnoli) of `data`, or of data that continues what `crc` covers. Uses SSE4.2 where the machine
// has it.
uint32_t Crc32c(absl::string_view data, uint32_t crc = 0);

}  // namespace demorl
