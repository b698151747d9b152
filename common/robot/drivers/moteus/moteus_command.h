#pragma once

#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/moteus/moteus_codec.h"
#include "common/robot/transport/can_port.h"

namespace demorl {

struct MoteusActuator {
  // 1 to 63 or 96 to 126; those between are addresses of replies.
  int id = 1;
  // The gains servo.pid_position.kp and .kd that this controller is configured with, which commands can only
  // scale. The defaults are those of the firmware.
  double position_kp_nm_rev = 4.0;
  double position_kd_nm_s_rev = 0.05;
};

// Writes the frame, without its id, that asks a controller for `command`; false if a number that the mode
// uses is not finite or a bound is negative. Real-time safe. Exact registers: README.md in this folder.
bool WriteMoteusCommand(const MoteusActuator& actuator, double watchdog_s, const JointCommand& command,
                        CanFrame& frame);

// The same for "stopped": motor off, and faults cleared on the device.
void WriteMoteusStop(CanFrame& frame);

// Appends the question that MoteusBus asks in each round.
void AppendMoteusQuery(CanFrame& frame);

}  // namespace demorl
