#include "common/robot/emulation/emulator_server.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// Further behind than this the plant skips time instead of catching up.
constexpr absl::Duration kMaxLag = absl::Milliseconds(20);
constexpr absl::Duration kBabblePeriod = absl::Milliseconds(1);

}  // namespace

EmulatorServer::EmulatorServer(const Options& options, RobotPlant* plant)
    : options_(options),
      plant_(plant),
      random_(options.seed),
      torques_nm_(plant->num_joints(), 0.0),
      next_step_(RealClock::Get().Now()) {}

absl::StatusOr<std::unique_ptr<EmulatorServer>> EmulatorServer::Start(const Options& options,
                                                                      std::vector<DeviceEmulator*> devices,
                                                                      RobotPlant* plant) {
  std::unique_ptr<EmulatorServer> server(new EmulatorServer(options, plant));
  for (DeviceEmulator* device : devices) {
    Link link{.device = device};
    ASSIGN_OR_RETURN(link.port, PtyPair::Open());
    server->links_.push_back(std::move(link));
  }
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

EmulatorServer::~EmulatorServer() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

void EmulatorServer::SetFaults(size_t index, const EmulatorFaults& faults) {
  absl::MutexLock lock(&mutex_);
  Link& link = links_[index];
  link.faults = faults;
  link.next_babble = RealClock::Get().Now();
  if (faults.unplugged) {
    link.port->Unplug();
  }
}

absl::Status EmulatorServer::Replug(size_t index) {
  absl::MutexLock lock(&mutex_);
  Link& link = links_[index];
  ASSIGN_OR_RETURN(link.port, PtyPair::Open());
  link.faults = {};
  link.outgoing.clear();
  return absl::OkStatus();
}

std::string EmulatorServer::path(size_t index) {
  absl::MutexLock lock(&mutex_);
  return links_[index].port->path();
}

void EmulatorServer::Run() {
  pthread_setname_np(pthread_self(), "emulator");
  absl::Duration wait_until;
  for (;;) {
    WaitForWork(wait_until);
    absl::MutexLock lock(&mutex_);
    if (stop_) {
      return;
    }
    const absl::Duration now = RealClock::Get().Now();
    StepPlant(now);
    for (Link& link : links_) {
      ServeHost(link, now);
      Babble(link, now);
      Deliver(link, RealClock::Get().Now());
    }
    wait_until = std::min(next_step_, NextDue());
  }
}

// Until a host has sent something or it is time.
void EmulatorServer::WaitForWork(absl::Duration until) {
  std::vector<pollfd> pollers;
  {
    absl::MutexLock lock(&mutex_);
    for (const Link& link : links_) {
      pollers.push_back({.fd = link.port->descriptor(), .events = POLLIN});
    }
  }
  const absl::Duration left = std::max(until - RealClock::Get().Now(), absl::ZeroDuration());
  const timespec timeout = absl::ToTimespec(left);
  ppoll(pollers.data(), pollers.size(), &timeout, nullptr);
}

void EmulatorServer::StepPlant(absl::Duration now) {
  if (now - next_step_ > kMaxLag) {
    next_step_ = now;
  }
  std::vector<uint8_t> output;
  while (next_step_ <= now) {
    for (Link& link : links_) {
      output.clear();
      link.device->Step(next_step_, *plant_, torques_nm_, output);
      Post(link, output, now);
    }
    plant_->Advance(options_.step, torques_nm_);
    next_step_ += options_.step;
  }
}

void EmulatorServer::ServeHost(Link& link, absl::Duration now) {
  std::array<uint8_t, 4096> bytes;
  const IoResult received = link.port->Read(bytes, absl::ZeroDuration());
  if (link.faults.stuck || (!received.ok() && link.device->next_output() > now)) {
    return;
  }
  std::vector<uint8_t> replies;
  link.device->Receive({bytes.data(), received.num_bytes}, now, replies);
  Post(link, replies, now);
}

// Puts what a device sends on its way, with the wire's faults.
void EmulatorServer::Post(Link& link, std::vector<uint8_t>& bytes, absl::Duration now) {
  if (bytes.empty() || link.faults.stuck) {
    return;
  }
  if (random_.Uniform(0, 1) < link.faults.corrupted_share) {
    const size_t index = static_cast<size_t>(random_.Uniform(0, static_cast<double>(bytes.size())));
    bytes[std::min(index, bytes.size() - 1)] ^= 0x04;
  }
  const absl::Duration due = now + link.faults.reply_delay;
  const auto later = std::find_if(link.outgoing.begin(), link.outgoing.end(),
                                  [due](const Message& message) { return message.due > due; });
  link.outgoing.insert(later, link.faults.duplicate_replies ? 2 : 1, Message{due, bytes});
}

void EmulatorServer::Babble(Link& link, absl::Duration now) {
  if (link.faults.babble_bytes <= 0 || now < link.next_babble) {
    return;
  }
  link.next_babble = now + kBabblePeriod;
  Message noise{.due = now};
  for (int i = 0; i < link.faults.babble_bytes; ++i) {
    noise.bytes.push_back(static_cast<uint8_t>(random_.Uniform(0, 256)));
  }
  link.outgoing.insert(link.outgoing.begin(), std::move(noise));
}

void EmulatorServer::Deliver(Link& link, absl::Duration now) {
  while (!link.outgoing.empty() && link.outgoing.front().due <= now) {
    // What a host that does not read has no room for is lost, as on a wire.
    link.port->Write(link.outgoing.front().bytes);
    link.outgoing.erase(link.outgoing.begin());
  }
}

absl::Duration EmulatorServer::NextDue() {
  absl::Duration next = absl::InfiniteDuration();
  for (const Link& link : links_) {
    if (!link.faults.stuck) {
      next = std::min(next, link.device->next_output());
    }
    if (!link.outgoing.empty()) {
      next = std::min(next, link.outgoing.front().due);
    }
  }
  return next;
}

}  // namespace demorl
