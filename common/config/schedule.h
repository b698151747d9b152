#pragma once

#include "common/base/epoch_schedule.h"
#include "demorl/config/v1/schedule.pb.h"

namespace demorl {

inline EpochSchedule MakeEpochSchedule(const demorl::config::v1::LinearSchedule& schedule) {
  return {.start_epoch = schedule.start_epoch(),
          .end_epoch = schedule.end_epoch(),
          .start_value = schedule.start_value(),
          .end_value = schedule.end_value()};
}

}  // namespace demorl
