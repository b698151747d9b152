#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/robot/drivers/moteus/fdcanusb_port.h"
#include "common/robot/drivers/moteus/moteus_bus.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/moteus/emulated_stream.h"

namespace demorl::testing {

struct MoteusRigOptions {
  bool checksums = false;
  bool reply_before_ok = false;
  EmulatedMoteusOptions second = {.id = 2, .joint = 1};
};

// Two controllers on one adapter, stepped by the test.
class MoteusRig {
 public:
  explicit MoteusRig(const MoteusRigOptions& options = {})
      : emulator({.controllers = {{.id = 1, .joint = 0}, options.second},
                  .reply_before_ok = options.reply_before_ok}) {
    auto owned = std::make_unique<EmulatedStream>(&emulator);
    stream = owned.get();
    auto port =
        std::make_unique<FdcanusbPort>(FdcanusbOptions{.checksums = options.checksums}, std::move(owned));
    absl::StatusOr<std::unique_ptr<MoteusBus>> created = MoteusBus::Create(
        {.actuators = {{.id = 1}, {.id = 2}}, .reply_timeout = absl::Milliseconds(2)}, std::move(port));
    EXPECT_OK(created);
    bus = *std::move(created);
    Step(absl::Milliseconds(1));
  }

  void Step(absl::Duration duration) {
    std::vector<double> torques(2, 0.0);
    std::vector<uint8_t> output;
    for (const absl::Duration end = stream->now + duration; stream->now < end;) {
      stream->now += absl::Microseconds(500);
      emulator.Step(stream->now, plant, torques, output);
      plant.Advance(absl::Microseconds(500), torques);
    }
    torques_nm = torques;
  }

  BusResult Read() { return bus->Read(RealClock::Get().Now() + absl::Milliseconds(50), measured); }

  BusResult Write(const JointCommand& command) {
    const std::array<JointCommand, 2> commands = {command, command};
    return bus->Write(commands);
  }

  MoteusEmulator emulator;
  FreeBodies plant{2};
  EmulatedStream* stream = nullptr;
  std::unique_ptr<MoteusBus> bus;
  std::array<JointMeasurement, 2> measured;
  std::vector<double> torques_nm;
};

inline constexpr JointCommand kHalfNewtonMetre = {.mode = ActuatorMode::kTorque, .torque_nm = 0.5};

// A port whose test answers every frame by hand.
class HandPort final : public CanPort {
 public:
  using Answer = std::function<std::optional<CanFrame>(const CanFrame&)>;
  explicit HandPort(Answer answer) : answer_(std::move(answer)) {}

  IoResult Send(const CanFrame& frame) override {
    next_ = answer_(frame);
    return {};
  }
  IoResult Receive(CanFrame& frame, absl::Duration /*deadline*/) override {
    if (!next_.has_value()) {
      return {.code = IoResult::Code::kTimedOut};
    }
    frame = *next_;
    next_.reset();
    return {};
  }
  CanPortCounters counters() const override { return {}; }

 private:
  Answer answer_;
  std::optional<CanFrame> next_;
};

inline std::unique_ptr<MoteusBus> BusOverHand(HandPort::Answer answer) {
  auto bus = MoteusBus::Create({.actuators = {{.id = 1}}, .reply_timeout = absl::Milliseconds(1)},
                               std::make_unique<HandPort>(std::move(answer)));
  EXPECT_OK(bus);
  return *std::move(bus);
}

inline CanFrame ReplyTo(const CanFrame& question, std::span<const MoteusValue> values) {
  CanFrame reply{.id = (question.id & 0x7f) << 8 | (question.id >> 8 & 0x7f)};
  EXPECT_TRUE(MoteusFrameWriter(reply).Append(MoteusSubframe::kReply, values));
  return reply;
}

inline std::array<MoteusValue, 7> ReportOf(double mode, double fault) {
  constexpr auto kFloat = MoteusResolution::kFloat;
  return {{{0, kFloat, mode},
           {1, kFloat, 0},
           {2, kFloat, 0},
           {3, kFloat, 0},
           {13, kFloat, 24},
           {14, kFloat, 20},
           {15, kFloat, fault}}};
}

}  // namespace demorl::testing
