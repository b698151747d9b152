#pragma once

namespace demorl {

// Debian's Abseil looks for cycles among the mutexes that are held, at every lock and under a lock of its
// own; gRPC's mutexes are of that kind, too. Off after this call in release builds, on as before in others.
// For main functions.
void SkipLockOrderChecks();

}  // namespace demorl
