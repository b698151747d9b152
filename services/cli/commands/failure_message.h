#pragma once

#include <string>

#include "CLI/CLI.hpp"

namespace demorl {

// What a command line that cannot be read is told, in a line: what was asked, and what there is.
std::string FailureMessage(const CLI::App* app, const CLI::Error& error);

}  // namespace demorl
