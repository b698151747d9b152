#pragma once

namespace demorl {

// From here on, every TLS connection of this process, of either side, is TLS 1.3 or does not come about.
// Idempotent; not for the middle of a handshake.
void RequireTls13();

}  // namespace demorl
