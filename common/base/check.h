#pragma once

#include <string>

// A failed check is a bug of ours, never reachable from input, a file or the network. Prints and aborts.
#define DEMORL_CHECK(condition)                                  \
  do {                                                           \
    if (!(condition)) {                                          \
      ::demorl::CheckFailed(__FILE__, __LINE__, #condition, ""); \
    }                                                            \
  } while (false)

#define DEMORL_CHECK_MSG(condition, message)                            \
  do {                                                                  \
    if (!(condition)) {                                                 \
      ::demorl::CheckFailed(__FILE__, __LINE__, #condition, (message)); \
    }                                                                   \
  } while (false)

namespace demorl {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace demorl
