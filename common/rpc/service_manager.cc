#include "common/rpc/service_manager.h"

#include <systemd/sd-daemon.h>

#include "absl/strings/str_cat.h"

namespace demorl {

void NotifyReady(absl::string_view status) { sd_notify(0, absl::StrCat("READY=1\nSTATUS=", status).c_str()); }

void NotifyAlive() { sd_notify(0, "WATCHDOG=1"); }

void NotifyStopping() { sd_notify(0, "STOPPING=1"); }

}  // namespace demorl
