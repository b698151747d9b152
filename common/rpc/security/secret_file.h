#pragma once

#include <filesystem>

namespace demorl {

// Logs that a file with a secret may be read, or written, by everybody on the machine. One that its group may
// read is as Kubernetes and systemd hand secrets out.
void WarnIfOthersMayRead(const std::filesystem::path& file);

}  // namespace demorl
