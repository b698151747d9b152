#include "common/env/registry.h"

#include <cmath>

#include "common/base/nearest_names.h"
#include "common/base/random.h"
#include "common/env/mujoco_environment.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<double> RandomAction(Random& random, int size) {
  std::vector<double> action(size);
  for (double& value : action) {
    value = random.Uniform(-1, 1);
  }
  return action;
}

std::string TestName(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class EveryNativeTask : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Environment> Make(uint64_t seed) {
    auto environment = MakeEnvironment(GetParam(), seed);
    EXPECT_OK(environment);
    return *std::move(environment);
  }
};

INSTANTIATE_TEST_SUITE_P(Registry, EveryNativeTask, ::testing::ValuesIn(NativeEnvironmentIds()), TestName);

TEST_P(EveryNativeTask, SpecificationAgreesWithItsModel) {
  const std::unique_ptr<Environment> environment = Make(1);
  ASSERT_OK_AND_ASSIGN(const EnvironmentSpec spec, GetEnvironmentSpec(GetParam()));
  EXPECT_EQ(spec.environment_id, GetParam());
  EXPECT_EQ(spec.SchemaHash(), environment->spec().SchemaHash());
  EXPECT_EQ(environment->Reset().observation.size(), spec.observation_size);
  const auto* mujoco = dynamic_cast<const MujocoEnvironment*>(environment.get());
  if (mujoco == nullptr) {
    return;
  }
  // Actions of StochLite and Stoch2 are parameters of their gaits.
  const bool own_actuators = GetParam().find("Stoch") == 0;
  ASSERT_EQ(mujoco->model().nu, own_actuators ? 12 : spec.action_size);
  for (int i = 0; i < spec.action_size && !own_actuators; ++i) {
    EXPECT_EQ(static_cast<float>(spec.command_minimum[i]),
              static_cast<float>(mujoco->model().actuator_ctrlrange[2 * i]));
    EXPECT_EQ(static_cast<float>(spec.command_maximum[i]),
              static_cast<float>(mujoco->model().actuator_ctrlrange[2 * i + 1]));
  }
  // From an upright or resting start the clock advances by the control period in one step.
  environment->Step(std::vector<double>(spec.action_size, 0.0));
  EXPECT_NEAR(mujoco->data().time, absl::ToDoubleSeconds(spec.control_period), 1e-12);
}

TEST_P(EveryNativeTask, SameSeedGivesTheSameEpisodesAndAnotherSeedOthers) {
  const std::unique_ptr<Environment> first = Make(7), second = Make(7), other = Make(8);
  Random random(3);
  Timestep a = first->Reset(), b = second->Reset();
  EXPECT_NE(std::vector<double>(a.observation.begin(), a.observation.end()),
            std::vector<double>(other->Reset().observation.begin(), other->Reset().observation.end()));
  for (int step = 0; step < 60; ++step) {
    ASSERT_TRUE(std::ranges::equal(a.observation, b.observation));
    ASSERT_EQ(a.reward, b.reward);
    if (a.step_type == StepType::kLast) {
      a = first->Reset();
      b = second->Reset();
      continue;
    }
    const std::vector<double> action = RandomAction(random, first->spec().action_size);
    a = first->Step(action);
    b = second->Step(action);
  }
}

TEST_P(EveryNativeTask, ContinuesBitByBitFromASavedState) {
  const std::unique_ptr<Environment> original = Make(5), restored = Make(99);
  Random random(4);
  const auto advance = [&](Environment& environment, Timestep last, const std::vector<double>& action) {
    return last.step_type == StepType::kLast ? environment.Reset() : environment.Step(action);
  };
  Timestep timestep = original->Reset();
  for (int step = 0; step < 33 || timestep.step_type == StepType::kLast; ++step) {
    timestep = advance(*original, timestep, RandomAction(random, original->spec().action_size));
  }
  restored->Reset();
  ASSERT_OK(restored->RestoreState(original->SaveState()));
  Timestep copy = timestep;
  for (int step = 0; step < 150; ++step) {
    const std::vector<double> action = RandomAction(random, original->spec().action_size);
    timestep = advance(*original, timestep, action);
    copy = advance(*restored, copy, action);
    ASSERT_TRUE(std::ranges::equal(timestep.observation, copy.observation)) << "step " << step;
    ASSERT_EQ(timestep.reward, copy.reward) << "step " << step;
    ASSERT_EQ(timestep.terminated, copy.terminated);
    ASSERT_EQ(timestep.truncated, copy.truncated);
  }
  EXPECT_EQ(original->SaveState(), restored->SaveState());
}

TEST_P(EveryNativeTask, RefusesAStateThatIsNotItsOwn) {
  const std::unique_ptr<Environment> environment = Make(1);
  environment->Reset();
  const std::string other_id = GetParam() == "Hopper-v5" ? "Walker2d-v5" : "Hopper-v5";
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Environment> other, MakeEnvironment(other_id, 1));
  const std::string before = environment->SaveState();
  for (const std::string& bad : {std::string(), std::string("garbage"), other->SaveState(),
                                 before.substr(0, before.size() - 1), before + "x"}) {
    EXPECT_THAT(environment->RestoreState(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam())));
  }
  EXPECT_EQ(environment->SaveState(), before);
}

TEST_P(EveryNativeTask, ClipsActionsToTheUnitBox) {
  const std::unique_ptr<Environment> clipped = Make(2), wild = Make(2);
  clipped->Reset();
  wild->Reset();
  const int size = clipped->spec().action_size;
  const Timestep expected = clipped->Step(std::vector<double>(size, 1.0));
  const Timestep actual = wild->Step(std::vector<double>(size, 7.5));
  EXPECT_TRUE(std::ranges::equal(expected.observation, actual.observation));
  EXPECT_EQ(expected.reward, actual.reward);
}

TEST(RegistryTest, UnknownIdNamesTheNearestKnownOnes) {
  EXPECT_THAT(
      MakeEnvironment("HalfCheeta-v5", 1),
      StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("HalfCheeta-v5"), HasSubstr("HalfCheetah-v5"))));
  EXPECT_THAT(GetEnvironmentSpec("hopper"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("Hopper-v5")));
  EXPECT_THAT(GetTerminationRule("Pusher-v4"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("Pusher-v5")));
}

TEST(RegistryTest, ListsIdsOfBothVersionsSorted) {
  const std::vector<std::string> ids = NativeEnvironmentIds();
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  for (const char* id : {"Ant-v4", "Ant-v5", "AntTruncatedObs-v5", "CartpoleSwingUp-v0", "Humanoid-v5",
                         "HumanoidStandup-v4", "InvertedPendulum-v5", "Leg2R-v0", "Pusher-v5", "Reacher-v4",
                         "Stoch2-v0", "StochLite-v0", "Swimmer-v5"}) {
    EXPECT_THAT(ids, Contains(id));
  }
}

TEST(NearestNamesTest, RanksByDistanceAndFindsNothingForNonsense) {
  const std::vector<std::string> known = {"alpha", "alphabet", "beta", "batch_size", "tau"};
  EXPECT_THAT(NearestNames("Alpha", known), ElementsAre("alpha", "alphabet"));
  EXPECT_THAT(NearestNames("bacth_size", known), ElementsAre("batch_size"));
  EXPECT_THAT(NearestNames("qqqqqqqq", known), IsEmpty());
  EXPECT_THAT(NearestNames("alpha", known, 1), ElementsAre("alpha"));
}

}  // namespace
}  // namespace demorl
