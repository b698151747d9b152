#include "common/planning/objectives.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace demorl {
namespace {

constexpr double kVanishingSum = 1e-6;

// Indices of samples with a finite return, greatest first; ties by index, so that the order is reproducible.
std::vector<int> RankedSamples(std::span<const double> returns) {
  std::vector<int> ranked;
  for (int i = 0; i < static_cast<int>(returns.size()); ++i) {
    if (std::isfinite(returns[i])) {
      ranked.push_back(i);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(), [&](int a, int b) { return returns[a] > returns[b]; });
  return ranked;
}

// The first p = round(elite_ratio M) of `ranked`, at least one, and whatever ties with the last of them.
std::span<const int> Elites(double elite_ratio, std::span<const int> ranked,
                            std::span<const double> returns) {
  const auto wanted = std::max(1L, std::lround(elite_ratio * static_cast<double>(returns.size())));
  size_t count = std::min<size_t>(wanted, ranked.size());
  while (count < ranked.size() && returns[ranked[count]] == returns[ranked[count - 1]]) {
    ++count;
  }
  return ranked.first(count);
}

std::vector<double> Uniform(std::span<const int> elites, size_t num_samples) {
  std::vector<double> weights(num_samples, 0.0);
  for (const int i : elites) {
    weights[i] = 1.0 / elites.size();
  }
  return weights;
}

// w_i = U_i / sum U over the elites; uniform where the sum vanishes against the sum of absolutes.
std::vector<double> Normalised(std::span<const int> elites, std::span<const double> utilities,
                               size_t num_samples) {
  double sum = 0;
  double absolute_sum = 0;
  for (const double utility : utilities) {
    sum += utility;
    absolute_sum += std::abs(utility);
  }
  if (absolute_sum == 0 || std::abs(sum) < kVanishingSum * absolute_sum) {
    return Uniform(elites, num_samples);
  }
  std::vector<double> weights(num_samples, 0.0);
  for (size_t e = 0; e < elites.size(); ++e) {
    weights[elites[e]] = utilities[e] / sum;
  }
  return weights;
}

// `ranked` are all finite samples, the elites first.
std::vector<double> ReturnWeighted(std::span<const int> ranked, std::span<const int> elites,
                                   std::span<const double> returns) {
  const double baseline = returns[elites.back()] > 0 ? 0.0 : returns[ranked.back()];
  std::vector<double> utilities;
  for (const int i : elites) {
    utilities.push_back(returns[i] - baseline);
  }
  return Normalised(elites, utilities, returns.size());
}

std::vector<double> CostWeighted(std::span<const int> elites, std::span<const double> returns) {
  std::vector<double> costs;
  for (const int i : elites) {
    costs.push_back(-returns[i]);
  }
  return Normalised(elites, costs, returns.size());
}

std::vector<double> Softmax(std::span<const int> ranked, std::span<const double> returns,
                            double temperature) {
  const double greatest = returns[ranked.front()];
  std::vector<double> weights(returns.size(), 0.0);
  double sum = 0;
  for (const int i : ranked) {
    weights[i] = std::exp((returns[i] - greatest) / temperature);
    sum += weights[i];
  }
  for (double& weight : weights) {
    weight /= sum;
  }
  return weights;
}

}  // namespace

std::vector<double> ObjectiveWeights(const DmdMpcOptions& options, std::span<const double> returns) {
  const std::vector<int> ranked = RankedSamples(returns);
  if (ranked.empty()) {
    return {};
  }
  const std::span<const int> elites = Elites(options.elite_ratio, ranked, returns);
  switch (options.objective) {
    case ObjectiveKind::kEliteUniform:
      return Uniform(elites, returns.size());
    case ObjectiveKind::kEliteReturnWeighted:
      return ReturnWeighted(ranked, elites, returns);
    case ObjectiveKind::kEliteCostWeighted:
      return CostWeighted(elites, returns);
    case ObjectiveKind::kSoftmax:
      return Softmax(ranked, returns, options.mppi_temperature);
    case ObjectiveKind::kNone:
      break;
  }
  if (!std::isfinite(returns[0])) {
    return {};
  }
  std::vector<double> weights(returns.size(), 0.0);
  weights[0] = 1;
  return weights;
}

}  // namespace demorl
