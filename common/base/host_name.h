#pragma once

#include <string>

namespace demorl {

// `text` with this machine's name for each "${HOSTNAME}".
std::string ExpandHostName(const std::string& text);

}  // namespace demorl
