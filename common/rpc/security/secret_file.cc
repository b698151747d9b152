#include "common/rpc/security/secret_file.h"

#include <sys/stat.h>

#include "spdlog/spdlog.h"

namespace demorl {

void WarnIfOthersMayRead(const std::filesystem::path& file) {
  struct stat state = {};
  if (stat(file.c_str(), &state) == 0 && (state.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    spdlog::warn("{} is a secret of mode {:04o}; want 0600 or 0640, so that nobody else reads it",
                 file.string(), state.st_mode & 07777);
  }
}

}  // namespace demorl
