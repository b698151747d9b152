#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Abseil 20220623 has no such macros; these carry the names its users know.
#define RETURN_IF_ERROR(expression)                           \
  do {                                                        \
    if (absl::Status _status = (expression); !_status.ok()) { \
      return _status;                                         \
    }                                                         \
  } while (false)

#define DEMORL_CONCAT_INNER(a, b) a##b
#define DEMORL_CONCAT(a, b) DEMORL_CONCAT_INNER(a, b)

#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_IMPL(DEMORL_CONCAT(_status_or_, __LINE__), declaration, expression)

#define ASSIGN_OR_RETURN_IMPL(status_or, declaration, expression) \
  auto status_or = (expression);                                  \
  if (!status_or.ok()) {                                          \
    return std::move(status_or).status();                         \
  }                                                               \
  declaration = *std::move(status_or)
