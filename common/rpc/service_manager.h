#pragma once

#include "absl/strings/string_view.h"

namespace demorl {

// What systemd is told by a unit of Type=notify (sd_notify(3)); without systemd nothing happens. Thread-safe.

// Startup is over; `status` is what `systemctl status` shows.
void NotifyReady(absl::string_view status);

// The process is alive, for WatchdogSec.
void NotifyAlive();

// Draining: the stop has begun and may take its time.
void NotifyStopping();

}  // namespace demorl
