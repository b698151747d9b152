#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace demorl {

// The names of `known` that `wanted` was most likely meant to be, best first: by edit distance without regard
// to case, a name that contains the other counting as close. Empty when nothing is near.
std::vector<std::string> NearestNames(absl::string_view wanted, const std::vector<std::string>& known,
                                      size_t max_names = 3);

}  // namespace demorl
