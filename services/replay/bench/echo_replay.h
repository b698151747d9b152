#pragma once

namespace demorl {

// The ceiling: a server that calls each chunk durable as it comes and keeps nothing. Prints its port and
// serves until it is killed. main's exit status.
int RunEchoReplay();

}  // namespace demorl
