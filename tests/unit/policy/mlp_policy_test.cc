#include "common/policy/mlp_policy.h"

#include <malloc.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

extern "C" void* __libc_malloc(size_t size);
extern "C" void* __libc_memalign(size_t alignment, size_t size);

namespace {
std::atomic<int64_t> num_allocations{0};
}  // namespace

// Counts every allocation of the process, those of Eigen included, which do not go through operator new.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" void* malloc(size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
extern "C" int posix_memalign(void** pointer, size_t alignment, size_t size) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  *pointer = __libc_memalign(alignment, size);
  return *pointer == nullptr ? ENOMEM : 0;
}
#endif

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

void AddLayer(TensorFile& file, const std::string& name, int outputs, int inputs, Random& random) {
  NamedTensor weight{.shape = {outputs, inputs}, .values = std::vector<float>(outputs * inputs)};
  NamedTensor bias{.shape = {outputs}, .values = std::vector<float>(outputs)};
  for (float& value : weight.values) {
    value = static_cast<float>(random.Normal() / std::sqrt(inputs));
  }
  random.FillNormal(bias.values);
  file.tensors[name + ".weight"] = std::move(weight);
  file.tensors[name + ".bias"] = std::move(bias);
}

TensorFile RandomPolicy(int observation_size, const std::vector<int>& hidden_sizes, int action_size) {
  Random random(5);
  TensorFile file;
  int inputs = observation_size;
  for (size_t i = 0; i < hidden_sizes.size(); ++i) {
    AddLayer(file, absl::StrCat("policy.hidden.", i), hidden_sizes[i], inputs, random);
    inputs = hidden_sizes[i];
  }
  AddLayer(file, "policy.mean", action_size, inputs, random);
  AddLayer(file, "policy.log_stddev", action_size, inputs, random);
  file.metadata["log_stddev_min"] = "-20";
  file.metadata["log_stddev_max"] = "2";
  return file;
}

// The same network in plain double loops.
std::vector<double> Reference(const TensorFile& file, const std::string& name, std::vector<double> input) {
  const NamedTensor& weight = file.tensors.at(name + ".weight");
  const NamedTensor& bias = file.tensors.at(name + ".bias");
  std::vector<double> output(bias.values.begin(), bias.values.end());
  for (size_t i = 0; i < output.size(); ++i) {
    for (size_t j = 0; j < input.size(); ++j) {
      output[i] += static_cast<double>(weight.values[i * input.size() + j]) * input[j];
    }
  }
  return output;
}

std::vector<double> ReferenceFeatures(const TensorFile& file, std::vector<double> values) {
  for (int i = 0; file.tensors.count(absl::StrCat("policy.hidden.", i, ".weight")) > 0; ++i) {
    values = Reference(file, absl::StrCat("policy.hidden.", i), values);
    for (double& value : values) {
      value = std::max(value, 0.0);
    }
  }
  return values;
}

TEST(MlpPolicy, ComputesTheSquashedMeanOfItsNetwork) {
  for (const std::vector<int>& hidden : {std::vector<int>{}, {8}, {64, 32}, {256, 256}}) {
    const TensorFile file = RandomPolicy(17, hidden, 6);
    ASSERT_OK_AND_ASSIGN(const auto policy, MlpPolicy::Create(file, 17, 6));
    Random random(1);
    std::vector<float> observation(17), action(6);
    random.FillNormal(observation);
    policy->Mean(observation, action);
    const std::vector<double> mean =
        Reference(file, "policy.mean", ReferenceFeatures(file, {observation.begin(), observation.end()}));
    for (int i = 0; i < 6; ++i) {
      EXPECT_NEAR(action[i], std::tanh(mean[i]), 2e-6) << hidden.size() << " hidden layers";
    }
  }
}

TEST(MlpPolicy, DrawsFromTheSquashedGaussian) {
  const TensorFile file = RandomPolicy(3, {16}, 2);
  ASSERT_OK_AND_ASSIGN(const auto policy, MlpPolicy::Create(file, 3, 2));
  const std::vector<float> observation = {0.1f, -0.2f, 0.3f};
  const std::vector<double> features = ReferenceFeatures(file, {observation.begin(), observation.end()});
  const std::vector<double> mean = Reference(file, "policy.mean", features);
  const std::vector<double> log_stddev = Reference(file, "policy.log_stddev", features);
  Random random(11), same(11);
  std::vector<float> action(2);
  for (int draw = 0; draw < 100; ++draw) {
    policy->Sample(observation, random, action);
    for (int i = 0; i < 2; ++i) {
      const double expected =
          std::tanh(mean[i] + std::exp(std::clamp(log_stddev[i], -20.0, 2.0)) * same.Normal());
      EXPECT_NEAR(action[i], expected, 1e-5);
    }
  }
}

TEST(MlpPolicy, ClipsTheLogStandardDeviation) {
  TensorFile file = RandomPolicy(3, {4}, 1);
  for (float& weight : file.tensors["policy.mean.weight"].values) {
    weight = 0;
  }
  file.tensors["policy.mean.bias"].values[0] = 0.25f;
  file.tensors["policy.log_stddev.bias"].values[0] = 50;
  file.metadata["log_stddev_max"] = "-30";
  file.metadata["log_stddev_min"] = "-30";
  ASSERT_OK_AND_ASSIGN(const auto policy, MlpPolicy::Create(file, 3, 1));
  Random random(1);
  std::vector<float> action(1);
  policy->Sample(std::vector<float>{1, 2, 3}, random, action);
  EXPECT_NEAR(action[0], std::tanh(0.25), 1e-6);
}

TEST(MlpPolicy, AllocatesNothingAfterConstruction) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers own malloc";
#endif
  ASSERT_OK_AND_ASSIGN(const auto policy, MlpPolicy::Create(RandomPolicy(376, {256, 256, 255}, 17), 376, 17));
  std::vector<float> observation(376, 0.5f), action(17);
  Random random(1);
  const int64_t before = num_allocations;
  for (int i = 0; i < 10; ++i) {
    policy->Mean(observation, action);
    policy->Sample(observation, random, action);
  }
  EXPECT_EQ(num_allocations, before);
  std::unique_ptr<std::vector<float>> counted = std::make_unique<std::vector<float>>(1000);
  EXPECT_GT(num_allocations, before) << "the hook counts nothing";
}

TEST(MlpPolicy, ReadsASnapshotPayload) {
  const TensorFile file = RandomPolicy(3, {4}, 2);
  ASSERT_OK_AND_ASSIGN(const auto policy, MlpPolicy::Create(EncodeSafetensors(file), 3, 2));
  EXPECT_EQ(policy->observation_size(), 3);
  EXPECT_EQ(policy->action_size(), 2);
  EXPECT_THAT(MlpPolicy::Create("garbage", 3, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
}

TEST(MlpPolicy, RefusesFilesThatDoNotFit) {
  const TensorFile good = RandomPolicy(3, {4, 5}, 2);
  EXPECT_THAT(MlpPolicy::Create(good, 4, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[4, 3], expected [4, 4]")));
  EXPECT_THAT(MlpPolicy::Create(good, 3, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.mean.weight")));

  TensorFile file = good;
  file.tensors.erase("policy.log_stddev.bias");
  EXPECT_THAT(MlpPolicy::Create(file, 3, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.log_stddev.bias")));
  file = good;
  file.tensors["policy.hidden.3.bias"] = {.shape = {1}, .values = {0}};
  EXPECT_THAT(MlpPolicy::Create(file, 3, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("9 tensors")));
  file = good;
  file.tensors["policy.mean.bias"].values[1] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(MlpPolicy::Create(file, 3, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.mean.bias")));
  file = good;
  file.metadata["log_stddev_min"] = "low";
  EXPECT_THAT(MlpPolicy::Create(file, 3, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("log_stddev_min")));
  EXPECT_THAT(MlpPolicy::Create(TensorFile{}, 3, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.mean.weight")));
}

}  // namespace
}  // namespace demorl
