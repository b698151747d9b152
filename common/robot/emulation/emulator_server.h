#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/robot/emulation/device_emulator.h"
#include "common/robot/transport/pty_pair.h"

namespace demorl {

// Runs a robot of emulated devices in real time: one pseudo-terminal per device (or per bus of devices), one
// plant that all their motors move. Its thread answers the hosts and steps the plant; a machine that falls
// behind makes the plant skip time, never hurry.
class EmulatorServer {
 public:
  struct Options {
    // Of the plant and of what the devices send by themselves.
    absl::Duration step = absl::Microseconds(500);
    uint64_t seed = 0;
  };

  // Borrows the emulators, one per pseudo-terminal, and the plant. UNAVAILABLE without pseudo-terminals.
  static absl::StatusOr<std::unique_ptr<EmulatorServer>> Start(const Options& options,
                                                               std::vector<DeviceEmulator*> devices,
                                                               RobotPlant* plant);
  // Stops the thread; the hosts then find their ports closed.
  ~EmulatorServer();

  // What the host of device `index` opens; another one after each Replug. Any thread.
  std::string path(size_t index);
  size_t num_devices() const { return links_.size(); }

  // Faults of device `index` from now on. An unplugged device stays so until Replug. Any thread.
  void SetFaults(size_t index, const EmulatorFaults& faults);

  // Connects an unplugged device again, at a new path and without faults; the device itself has never lost
  // power. UNAVAILABLE without pseudo-terminals. Any thread.
  absl::Status Replug(size_t index);

  // Runs `operation` between two steps, where devices and plant may be looked at and changed; blocks until it
  // has run. Any thread but the server's.
  template <typename Operation>
  void Inspect(Operation operation) {
    absl::MutexLock lock(&mutex_);
    operation();
  }

 private:
  struct Message {
    absl::Duration due;
    std::vector<uint8_t> bytes;
  };
  struct Link {
    DeviceEmulator* device = nullptr;
    std::unique_ptr<PtyPair> port;
    EmulatorFaults faults;
    std::vector<Message> outgoing;  // by due time
    absl::Duration next_babble;
  };

  EmulatorServer(const Options& options, RobotPlant* plant);
  void Run();
  void WaitForWork(absl::Duration until);
  void ServeHost(Link& link, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StepPlant(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Post(Link& link, std::vector<uint8_t>& bytes, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Babble(Link& link, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Deliver(Link& link, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration NextDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  RobotPlant* const plant_;
  Random random_;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Link> links_;  // as many as at the start; each is guarded
  std::vector<double> torques_nm_;
  absl::Duration next_step_;
  std::thread thread_;
};

}  // namespace demorl
