#pragma once

namespace demorl {

// Sends gRPC's own log to ours at debug level, since what matters reaches the user as a status; except failed
// TLS handshakes, of which the other side's status says too little. Idempotent.
void RedirectGrpcLog();

}  // namespace demorl
