#include "common/base/spool_delivery.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr char kFileName[] = "delivery";

// Two slots that are written in turn, in place: the other one is whole if a write is torn, and a full disk
// does not matter once the file is there.
constexpr int kNumSlots = 2;
constexpr int64_t kSlotBytes = 512;

struct Slot {
  uint64_t generation = 0;  // 0: never written
  uint64_t sequence = 0;
  uint64_t number = 0;
  uint64_t crc = 0;  // CRC32C of the words before
};

uint64_t SlotCrc(const Slot& slot) {
  return Crc32c(absl::string_view(reinterpret_cast<const char*>(&slot), offsetof(Slot, crc)));
}

}  // namespace

SpoolDelivery::SpoolDelivery(RecordSpool* spool, int descriptor)
    : spool_(spool), last_recovered_(spool->last_sequence()), descriptor_(descriptor) {}

SpoolDelivery::~SpoolDelivery() { close(descriptor_); }

absl::StatusOr<std::unique_ptr<SpoolDelivery>> SpoolDelivery::Open(RecordSpool* spool) {
  const std::filesystem::path path = spool->folder() / kFileName;
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return ErrnoToStatus(errno, "open", path);
  }
  std::unique_ptr<SpoolDelivery> delivery(new SpoolDelivery(spool, descriptor));
  RETURN_IF_ERROR(delivery->Load());
  return delivery;
}

absl::Status SpoolDelivery::Load() {
  for (int i = 0; i < kNumSlots; ++i) {
    Slot slot;
    if (pread(descriptor_, &slot, sizeof(slot), i * kSlotBytes) != sizeof(slot)) {
      // New: takes its place on the disk now.
      const std::array<char, kSlotBytes> zeros{};
      if (pwrite(descriptor_, zeros.data(), zeros.size(), i * kSlotBytes) != kSlotBytes) {
        return ErrnoToStatus(errno, "write", spool_->folder() / kFileName);
      }
    } else if (slot.crc == SlotCrc(slot) && slot.generation > generation_) {
      generation_ = slot.generation;
      link_ = Link{slot.sequence, slot.number};
    }
  }
  return absl::OkStatus();
}

absl::Status SpoolDelivery::Store(const Link& link) {
  Slot slot{.generation = generation_ + 1, .sequence = link.sequence, .number = link.number};
  slot.crc = SlotCrc(slot);
  const auto offset = static_cast<int64_t>(slot.generation % kNumSlots) * kSlotBytes;
  if (pwrite(descriptor_, &slot, sizeof(slot), offset) != sizeof(slot) || fdatasync(descriptor_) != 0) {
    return ErrnoToStatus(errno, "write", spool_->folder() / kFileName);
  }
  generation_ = slot.generation;
  link_ = link;
  return absl::OkStatus();
}

uint64_t SpoolDelivery::SequenceOf(uint64_t number) const {
  if (number >= link_->number) {
    return link_->sequence + (number - link_->number);
  }
  const uint64_t before = link_->number - number;
  return before < link_->sequence ? link_->sequence - before : 0;
}

absl::StatusOr<uint64_t> SpoolDelivery::Resume(uint64_t accepted) {
  // A receiver that has less than it had when the two were tied has lost rows, and gets all there is.
  const bool known = link_.has_value() && accepted + 1 >= link_->number;
  // It may have records of which a power cut left nothing here.
  durable_ = known ? std::min(SequenceOf(accepted), std::max(last_recovered_, last_sent_)) : 0;
  last_sent_ = durable_;
  RETURN_IF_ERROR(spool_->RemoveThrough(durable_));
  return durable_;
}

absl::Status SpoolDelivery::Prepare(uint64_t sequence, uint64_t number) {
  if (link_.has_value() && sequence - link_->sequence == number - link_->number) {
    return absl::OkStatus();
  }
  // Without a gap, the new pair holds for what was sent before as well.
  if (durable_ < last_sent_ && sequence != last_sent_ + 1) {
    return absl::UnavailableError(absl::StrCat("record ", sequence, " of ", spool_->folder().string(),
                                               " waits until record ", last_sent_, " is durable"));
  }
  return Store({sequence, number});
}

absl::Status SpoolDelivery::Durable(uint64_t number) {
  if (!link_.has_value()) {
    return absl::OkStatus();
  }
  const uint64_t through = std::min(SequenceOf(number), last_sent_);
  if (through <= durable_) {
    return absl::OkStatus();
  }
  durable_ = through;
  return spool_->RemoveThrough(durable_);
}

}  // namespace demorl
