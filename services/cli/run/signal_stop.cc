#include "services/cli/run/signal_stop.h"

#include <cstdio>

namespace demorl {

SignalStop::SignalStop()
    : signals_([this](int) {
        std::fprintf(stderr, "\nstopping (a second signal ends the program at once)\n");
        source_.RequestStop();
      }) {}

}  // namespace demorl
