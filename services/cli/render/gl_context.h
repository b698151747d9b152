#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace demorl {

// An OpenGL context without a display, current in the thread that made it until it is destroyed. Uses EGL (a
// GPU, or Mesa in software), else OSMesa; both are loaded when needed, so that the program runs without them.
// MUJOCO_GL=egl or osmesa, MuJoCo's own variable, leaves only one of them. Thread-compatible; one at a time
// in a process.
class GlContext {
 public:
  // FAILED_PRECONDITION naming what both said and what to install.
  static absl::StatusOr<std::unique_ptr<GlContext>> Create();
  virtual ~GlContext() = default;

  // "EGL" or "OSMesa".
  virtual const char* backend() const = 0;
};

}  // namespace demorl
