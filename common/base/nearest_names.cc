#include "common/base/nearest_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace demorl {
namespace {

// Levenshtein distance, one row of the table at a time.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> NearestNames(absl::string_view wanted, const std::vector<std::string>& known,
                                      size_t max_names) {
  const std::string lower = absl::AsciiStrToLower(wanted);
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const std::string& name : known) {
    const std::string candidate = absl::AsciiStrToLower(name);
    const bool contains = lower.size() >= 3 && candidate.size() >= 3 &&
                          (absl::StrContains(candidate, lower) || absl::StrContains(lower, candidate));
    const size_t distance = EditDistance(lower, candidate);
    if (contains || distance <= std::max<size_t>(2, lower.size() / 3)) {
      ranked.emplace_back(contains ? std::min<size_t>(distance, 2) : distance, name);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(max_names, ranked.size()); ++i) {
    names.push_back(ranked[i].second);
  }
  return names;
}

}  // namespace demorl
