#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

// Abseil 20220623 has no status matchers; these carry the names its users know.
namespace demorl::testing {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, "is OK") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status;
  return status.ok();
}

// Code, and a part of the message.
MATCHER_P2(StatusIs, code, message_matcher, "") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status;
  return status.code() == code &&
         ::testing::ExplainMatchResult(message_matcher, std::string(status.message()), result_listener);
}

}  // namespace demorl::testing

#define EXPECT_OK(expression) EXPECT_THAT(expression, ::demorl::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT(expression, ::demorl::testing::IsOk())

#define DEMORL_ASSERT_CONCAT_INNER(a, b) a##b
#define DEMORL_ASSERT_CONCAT(a, b) DEMORL_ASSERT_CONCAT_INNER(a, b)
#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  ASSERT_OK_AND_ASSIGN_IMPL(DEMORL_ASSERT_CONCAT(_status_or_, __LINE__), declaration, expression)
#define ASSERT_OK_AND_ASSIGN_IMPL(status_or, declaration, expression) \
  auto status_or = (expression);                                      \
  ASSERT_OK(status_or);                                               \
  declaration = *std::move(status_or)
