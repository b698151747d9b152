#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace demorl {

// The path of messages that are open at a position of a text proto, for example "replay.tables[1]"; empty at
// the top level. `line` and `column` count from 0, a tab advances to the next multiple of 8 as in protobuf's
// tokenizer. Tolerates malformed text.
std::string PathAtPosition(absl::string_view text, int line, int column);

}  // namespace demorl
