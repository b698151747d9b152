#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/record_spool.h"

namespace demorl {

// Which records of a spool a receiver has, so that each arrives once over restarts of both sides. The
// receiver numbers what it takes in, consecutively, and tells a sender that comes back its last number; the
// spool's sequences have gaps. One pair of them, kept on disk beside the records, ties the two together: from
// there on both grow alike. It is rewritten before a record is sent for which that does not hold.
// Thread-compatible: owned by the thread that sends.
class SpoolDelivery {
 public:
  // Before this process appends to the spool, which must outlive this.
  static absl::StatusOr<std::unique_ptr<SpoolDelivery>> Open(RecordSpool* spool);
  ~SpoolDelivery();

  SpoolDelivery(const SpoolDelivery&) = delete;
  SpoolDelivery& operator=(const SpoolDelivery&) = delete;

  // Before anything is sent, and again whenever the sender forgets what it has sent: `accepted` is the
  // receiver's last number, and all it has is durable. Removes from the spool what the receiver has. The
  // sequence after which to go on.
  absl::StatusOr<uint64_t> Resume(uint64_t accepted);

  // Before record `sequence` is sent as `number`, the one after the receiver's last; also when the receiver
  // has lost rows and numbers what was sent anew. UNAVAILABLE: there is a gap before the record, and what was
  // sent before must be durable first.
  absl::Status Prepare(uint64_t sequence, uint64_t number);

  // After it was sent.
  void Sent(uint64_t sequence) { last_sent_ = sequence; }
  uint64_t last_sent() const { return last_sent_; }
  // Up to this sequence, records are durable at the receiver.
  uint64_t durable() const { return durable_; }

  // What has numbers up to `number` is durable; removes it from the spool.
  absl::Status Durable(uint64_t number);

 private:
  struct Link {
    uint64_t sequence = 0;
    uint64_t number = 0;
  };

  SpoolDelivery(RecordSpool* spool, int descriptor);
  absl::Status Load();
  absl::Status Store(const Link& link);
  // The sequence that has `number`; 0 if that was before all sequences.
  uint64_t SequenceOf(uint64_t number) const;

  RecordSpool* const spool_;
  const uint64_t last_recovered_;
  const int descriptor_;
  uint64_t generation_ = 0;
  std::optional<Link> link_;
  uint64_t last_sent_ = 0;
  uint64_t durable_ = 0;
};

}  // namespace demorl
