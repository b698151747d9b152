#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace demorl {

// What one process of light actors does: connections of their own, one chunk per tick each.
struct ClientLoad {
  int port = 0;
  int first_client = 0;
  int num_clients = 1;
  double rate_hz = 20;
  int rows_per_chunk = 1;
  // Hears of the rate limit (and takes no notice).
  bool simulated = false;
  // On the clock that all processes of the machine share: see MonotonicNow.
  absl::Duration begin;
  absl::Duration end;
};

// CLOCK_MONOTONIC.
absl::Duration MonotonicNow();

// Opens the writers, appends from `begin` to `end`, waits until everything is durable, and prints what it saw
// for ReadLoadReport. main's exit status.
int RunClients(const ClientLoad& load);

struct WatcherLoad {
  int port = 0;
  int num_watchers = 1;
  absl::Duration end;
};

// Watches policies over connections of their own, and prints when each version came to how many.
int RunWatchers(const WatcherLoad& load);

}  // namespace demorl
