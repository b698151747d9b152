// Searches a linear policy for Stoch2 at random and prints what it returns: augmented random search in its
// form V1-t [Mania et al. 2018], with the step sizes of Stoch2's authors. Not a test: takes minutes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/env/mujoco_environment.h"
#include "common/env/registry.h"

namespace demorl {
namespace {

constexpr double kStepSize = 0.05;
constexpr double kExplorationStddev = 0.04;
constexpr int kNumDirections = 16;
constexpr int kNumBestDirections = 8;
constexpr int kNumEvaluations = 12;

struct EpisodeReport {
  double episode_return = 0;
  double forward_m = 0;
  bool fell = false;
};

// A matrix [A, O] by rows.
using Weights = std::vector<double>;

struct Direction {
  Weights weights;
  double positive_return = 0;
  double negative_return = 0;

  double best() const { return std::max(positive_return, negative_return); }
};

class LinearSearch {
 public:
  LinearSearch(std::string environment_id, uint64_t seed)
      : environment_id_(std::move(environment_id)), seed_(seed), random_(SplitSeed(seed, "directions")) {
    const EnvironmentSpec spec = *GetEnvironmentSpec(environment_id_);
    weights_.resize(spec.action_size * spec.observation_size);
  }

  void Improve() {
    std::vector<Direction> directions(kNumDirections);
    for (Direction& direction : directions) {
      direction.weights.resize(weights_.size());
      std::ranges::generate(direction.weights, [this] { return random_.Normal(); });
      // Both on the same ground.
      const uint64_t episode = SplitSeed(seed_, "episode", num_episodes_++);
      direction.positive_return = Walk(Moved(direction.weights, kExplorationStddev), episode).episode_return;
      direction.negative_return = Walk(Moved(direction.weights, -kExplorationStddev), episode).episode_return;
    }
    std::ranges::sort(directions, std::ranges::greater(), &Direction::best);
    directions.resize(kNumBestDirections);
    Follow(directions);
  }

  // Over episodes that no search has seen.
  void Print(int iteration) const {
    EpisodeReport sum;
    int num_fallen = 0;
    for (int i = 0; i < kNumEvaluations; ++i) {
      const EpisodeReport report = Walk(weights_, SplitSeed(seed_, "evaluation", i));
      sum.episode_return += report.episode_return / kNumEvaluations;
      sum.forward_m += report.forward_m / kNumEvaluations;
      num_fallen += report.fell;
    }
    std::printf("iteration %d: return %.0f, forward %+.2f m, %d of %d fell\n", iteration, sum.episode_return,
                sum.forward_m, num_fallen, kNumEvaluations);
    std::fflush(stdout);
  }

 private:
  Weights Moved(const Weights& direction, double step) const {
    Weights moved = weights_;
    for (size_t i = 0; i < moved.size(); ++i) {
      moved[i] += step * direction[i];
    }
    return moved;
  }

  void Follow(const std::vector<Direction>& directions) {
    std::vector<double> returns;
    for (const Direction& direction : directions) {
      returns.insert(returns.end(), {direction.positive_return, direction.negative_return});
    }
    const double mean = std::accumulate(returns.begin(), returns.end(), 0.0) / returns.size();
    double variance = 0;
    for (const double value : returns) {
      variance += (value - mean) * (value - mean) / returns.size();
    }
    const double scale = kStepSize / (directions.size() * std::max(std::sqrt(variance), 1e-6));
    for (const Direction& direction : directions) {
      weights_ = Moved(direction.weights, scale * (direction.positive_return - direction.negative_return));
    }
  }

  EpisodeReport Walk(const Weights& weights, uint64_t episode_seed) const {
    const std::unique_ptr<Environment> environment = *MakeEnvironment(environment_id_, episode_seed);
    Timestep timestep = environment->Reset();
    const size_t num_observed = timestep.observation.size();
    std::vector<double> action(weights.size() / num_observed);
    EpisodeReport report;
    while (timestep.step_type != StepType::kLast) {
      for (size_t row = 0; row < action.size(); ++row) {
        action[row] = std::inner_product(timestep.observation.begin(), timestep.observation.end(),
                                         weights.begin() + row * num_observed, 0.0);
      }
      timestep = environment->Step(action);
      report.episode_return += timestep.reward;
    }
    report.fell = timestep.terminated;
    report.forward_m = static_cast<const MujocoEnvironment&>(*environment).data().qpos[0];
    return report;
  }

  const std::string environment_id_;
  const uint64_t seed_;
  Random random_;
  uint64_t num_episodes_ = 0;
  Weights weights_;
};

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  const int num_iterations = argc > 1 ? std::atoi(argv[1]) : 40;
  demorl::LinearSearch search("Stoch2-v0", argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0);
  search.Print(0);
  for (int iteration = 1; iteration <= num_iterations; ++iteration) {
    search.Improve();
    if (iteration % 5 == 0 || iteration == num_iterations) {
      search.Print(iteration);
    }
  }
}
