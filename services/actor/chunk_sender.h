#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/record_spool.h"
#include "common/base/spool_delivery.h"
#include "common/tensor/transition_chunk.h"
#include "services/actor/actor_metrics.h"
#include "services/replay/replay_client.h"

namespace demorl {

// Until then a blocking call of the collecting thread may wait before it looks at its flags again.
absl::Time CollectionSlice();

// Whether a call of replay may succeed when it is tried again. DATA_LOSS tells once that replay has lost
// rows, and is logged: nothing here can bring them back.
bool IsRetryable(const absl::Status& status);

// Hands collected rows to replay, through a spool on disk where there is one. Of one thread.
class ChunkSender {
 public:
  // Borrows what they point to.
  struct Parts {
    ReplayWriter* writer = nullptr;
    // May be null: chunks are then kept in memory only until they are durable.
    RecordSpool* spool = nullptr;
    // Of the spool; set where that is.
    SpoolDelivery* delivery = nullptr;
    ActorMetrics* metrics = nullptr;
    // Says what a blocked call waits for.
    std::function<void(std::string waiting_for)> describe;
    // By when blocked calls give up; none until a stop is requested.
    std::function<std::optional<absl::Time>()> drain_deadline;
  };

  explicit ChunkSender(Parts parts) : parts_(std::move(parts)) {}

  // Appends what an earlier process spooled, unless replay has it: the first response says which chunk was
  // the last it accepted from this writer. Blocks until that is durable, or a stop is requested.
  absl::Status Recover();

  // Blocks until the chunk is queued for replay, or `give_up`; retries what may be tried again.
  absl::Status Send(TransitionChunk chunk, absl::Time give_up);

  // Forgets what is durable by now.
  void Trim();

  // Rows sent, those of Recover not counted.
  int64_t rows_sent() const { return rows_sent_; }

 private:
  absl::Status SendPiece(const TransitionChunk& chunk, absl::Time give_up);
  // The sequence that the spool gave the chunk; 0 without one.
  absl::StatusOr<uint64_t> Spool(const TransitionChunk& chunk, absl::Time give_up);
  absl::Status SendSpooled(uint64_t sequence, const TransitionChunk& chunk, absl::Time give_up);
  absl::Status TryToSend(uint64_t sequence, const TransitionChunk& chunk, absl::Time deadline);
  absl::Status WaitUntilReachable();
  // Sends what the spool holds beyond `sequence`; the number of chunks.
  absl::StatusOr<int> SendRest(uint64_t sequence);
  bool stop_requested() const { return parts_.drain_deadline().has_value(); }
  absl::Time EarlierOf(absl::Time give_up) const {
    return std::min(give_up, parts_.drain_deadline().value_or(absl::InfiniteFuture()));
  }

  const Parts parts_;
  int64_t rows_sent_ = 0;
};

}  // namespace demorl
