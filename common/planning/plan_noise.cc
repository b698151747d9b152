#include "common/planning/plan_noise.h"

#include <cmath>

namespace demorl {
namespace {

constexpr double kTruncation = 2.0;

float TruncatedNormal(Random& random) {
  double draw;
  do {
    draw = random.Normal();
  } while (std::abs(draw) > kTruncation);
  return static_cast<float>(draw);
}

}  // namespace

void FillPlanNoise(PlanNoiseKind kind, double beta, int action_size, Random& random, std::span<float> noise) {
  if (kind == PlanNoiseKind::kTruncated) {
    for (float& value : noise) {
      value = TruncatedNormal(random);
    }
    return;
  }
  random.FillNormal(noise);
  if (kind == PlanNoiseKind::kTimeCorrelated) {
    const auto weight = static_cast<float>(beta);
    for (size_t i = 0; i < noise.size(); ++i) {
      const float previous = i < static_cast<size_t>(action_size) ? 0.0F : noise[i - action_size];
      noise[i] = weight * noise[i] + (1 - weight) * previous;
    }
  }
}

}  // namespace demorl
