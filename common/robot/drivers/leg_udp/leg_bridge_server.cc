#include "common/robot/drivers/leg_udp/leg_bridge_server.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr absl::Duration kMaxLag = absl::Milliseconds(20);
constexpr absl::Duration kBabblePeriod = absl::Milliseconds(1);

}  // namespace

LegBridgeServer::LegBridgeServer(const Options& options, std::unique_ptr<UdpSocket> socket, RobotPlant* plant)
    : options_(options),
      socket_(std::move(socket)),
      plant_(plant),
      bridge_(options.bridge),
      random_(options.seed),
      torques_nm_(plant->num_joints(), 0.0),
      next_step_(RealClock::Get().Now()) {}

absl::StatusOr<std::unique_ptr<LegBridgeServer>> LegBridgeServer::Start(const Options& options,
                                                                        RobotPlant* plant) {
  ASSIGN_OR_RETURN(std::unique_ptr<UdpSocket> socket, UdpSocket::Bind(options.address, options.port));
  std::unique_ptr<LegBridgeServer> server(new LegBridgeServer(options, std::move(socket), plant));
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

LegBridgeServer::~LegBridgeServer() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void LegBridgeServer::SetFaults(const EmulatorFaults& faults) {
  absl::MutexLock lock(&mutex_);
  faults_ = faults;
}

void LegBridgeServer::Run() {
  pthread_setname_np(pthread_self(), "leg bridge");
  for (;;) {
    WaitForWork(next_step_);
    absl::MutexLock lock(&mutex_);
    if (stop_) {
      return;
    }
    const absl::Duration now = RealClock::Get().Now();
    StepPlant(now);
    ServeHosts(now);
    Babble(now);
    Deliver(now);
  }
}

// Until a host has sent something or it is time.
void LegBridgeServer::WaitForWork(absl::Duration until) {
  pollfd poller{.fd = socket_->descriptor(), .events = POLLIN};
  const timespec timeout = absl::ToTimespec(std::max(until - RealClock::Get().Now(), absl::ZeroDuration()));
  ppoll(&poller, 1, &timeout, nullptr);
}

void LegBridgeServer::StepPlant(absl::Duration now) {
  if (now - next_step_ > kMaxLag) {
    next_step_ = now;
  }
  while (next_step_ <= now) {
    bridge_.Step(*plant_, torques_nm_);
    plant_->Advance(options_.step, torques_nm_);
    next_step_ += options_.step;
  }
}

void LegBridgeServer::ServeHosts(absl::Duration now) {
  std::array<uint8_t, 256> datagram;
  UdpAddress from;
  for (int i = 0; i < 64; ++i) {
    const IoResult received = socket_->Receive(datagram, absl::ZeroDuration(), &from);
    if (received.code == IoResult::Code::kTimedOut) {
      return;
    }
    const size_t size = std::min(received.num_bytes, datagram.size());
    LegReply reply;
    if (received.ok() && !faults_.stuck && !faults_.unplugged &&
        bridge_.Receive(std::span(datagram).first(size), reply)) {
      last_host_ = from;
      Post(reply, from, now);
    }
  }
}

// Puts a reply on its way, with the network's faults.
void LegBridgeServer::Post(const LegReply& reply, const UdpAddress& to, absl::Duration now) {
  const auto encoded = EncodeLegMessage(reply);
  Reply post{.due = now + faults_.reply_delay, .to = to, .bytes = {encoded.begin(), encoded.end()}};
  if (random_.Uniform() < faults_.corrupted_share) {
    post.bytes[random_.Index(post.bytes.size())] ^= 0x04;
  }
  outgoing_.insert(outgoing_.end(), faults_.duplicate_replies ? 2 : 1, post);
}

void LegBridgeServer::Babble(absl::Duration now) {
  if (faults_.babble_bytes <= 0 || last_host_.size == 0 || now < next_babble_) {
    return;
  }
  next_babble_ = now + kBabblePeriod;
  Reply noise{.due = now, .to = last_host_};
  for (int i = 0; i < faults_.babble_bytes; ++i) {
    noise.bytes.push_back(static_cast<uint8_t>(random_.NextUint64()));
  }
  outgoing_.push_back(std::move(noise));
}

void LegBridgeServer::Deliver(absl::Duration now) {
  const auto is_due = [now](const Reply& reply) { return reply.due <= now; };
  for (const Reply& reply : outgoing_) {
    if (is_due(reply)) {
      socket_->SendTo(reply.bytes, reply.to);
    }
  }
  outgoing_.erase(std::remove_if(outgoing_.begin(), outgoing_.end(), is_due), outgoing_.end());
}

}  // namespace demorl
