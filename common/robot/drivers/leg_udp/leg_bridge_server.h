#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/robot/drivers/leg_udp/leg_bridge_emulator.h"
#include "common/robot/transport/udp_socket.h"

namespace demorl {

// Runs an emulated leg bridge in real time on a UDP port, and the plant that its motors move. A machine that
// falls behind makes the plant skip time, never hurry.
class LegBridgeServer {
 public:
  struct Options {
    LegBridgeEmulatorOptions bridge;
    std::string address = "127.0.0.1";
    // 0 takes a free one.
    int port = 0;
    // Of the plant.
    absl::Duration step = absl::Microseconds(500);
    uint64_t seed = 0;
  };

  // Borrows the plant. UNAVAILABLE if the port is taken.
  static absl::StatusOr<std::unique_ptr<LegBridgeServer>> Start(const Options& options, RobotPlant* plant);
  ~LegBridgeServer();

  int port() const { return socket_->port(); }

  // From now on. Unplugged and stuck are the same on a network. Any thread.
  void SetFaults(const EmulatorFaults& faults);

  // Runs `operation` on the bridge between two steps, where the plant may be looked at and changed, too. Any
  // thread but the server's.
  template <typename Operation>
  void Inspect(Operation operation) {
    absl::MutexLock lock(&mutex_);
    operation(bridge_);
  }

 private:
  struct Reply {
    absl::Duration due;
    UdpAddress to;
    std::vector<uint8_t> bytes;
  };

  LegBridgeServer(const Options& options, std::unique_ptr<UdpSocket> socket, RobotPlant* plant);
  void Run();
  void WaitForWork(absl::Duration until);
  void StepPlant(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ServeHosts(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Post(const LegReply& reply, const UdpAddress& to, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Babble(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Deliver(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const std::unique_ptr<UdpSocket> socket_;
  RobotPlant* const plant_;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  LegBridgeEmulator bridge_ ABSL_GUARDED_BY(mutex_);
  EmulatorFaults faults_ ABSL_GUARDED_BY(mutex_);
  Random random_ ABSL_GUARDED_BY(mutex_);
  std::vector<Reply> outgoing_ ABSL_GUARDED_BY(mutex_);
  UdpAddress last_host_ ABSL_GUARDED_BY(mutex_);
  // Of the server's thread.
  std::vector<double> torques_nm_;
  absl::Duration next_step_;
  absl::Duration next_babble_;
  std::thread thread_;
};

}  // namespace demorl
