#pragma once

#include <string>

namespace demorl {

// Rows of a batch that come from one table of replay.
struct TableShare {
  std::string table;
  int rows = 0;
};

}  // namespace demorl
