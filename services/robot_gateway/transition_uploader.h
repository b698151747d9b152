#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/record_spool.h"
#include "common/base/spool_delivery.h"
#include "common/tensor/transition_chunk.h"
#include "services/replay/replay_client.h"
#include "services/robot_gateway/drained_thread.h"

namespace demorl {

// Hands what a recorder has spooled to replay, in order and each chunk once, in a thread of its own; removes
// from the spool what is durable there. Replay may be away for as long as it likes, refuse this writer, or
// come back without what it had: it is tried again for ever. Thread-safe.
class TransitionUploader {
 public:
  struct Options {
    // After replay has refused the writer: another run, another environment, a newer epoch.
    absl::Duration retry_interval = absl::Seconds(5);
  };
  // Borrows spool and delivery; `make_writer` opens a writer that is not simulated, with the same id each
  // time.
  struct Parts {
    RecordSpool* spool = nullptr;
    SpoolDelivery* delivery = nullptr;
    std::function<std::unique_ptr<ReplayWriter>()> make_writer;
  };
  struct Figures {
    // Handed to replay by this process, and durable there.
    int64_t rows_sent = 0;
    int64_t rows_durable = 0;
    // Of the table, from all writers, as of replay's last answer.
    int64_t rows_in_table = 0;
    // Records of the spool that are no chunks, and are passed over.
    int64_t undecodable_records = 0;
    // Times that replay came back without chunks that it had called durable.
    int64_t data_losses = 0;
    // What it is doing, in words.
    std::string detail;
    // Why replay refuses the writer; OK while it does not.
    absl::Status refusal;
  };

  TransitionUploader(const Options& options, Parts parts);
  TransitionUploader(const TransitionUploader&) = delete;
  TransitionUploader& operator=(const TransitionUploader&) = delete;

  void Start() { thread_.Start(); }

  // Sends what the spool holds and waits until that is durable, then ends the thread; after the recorder was
  // drained. Idempotent. DEADLINE_EXCEEDED if something stays in the spool, for the next start.
  absl::Status Drain(absl::Time deadline) { return thread_.Drain(deadline); }

  Figures figures() const;

 private:
  struct SentChunk {
    uint64_t sequence = 0;
    int64_t rows = 0;
  };
  struct Pending {
    uint64_t sequence = 0;
    TransitionChunk chunk;
  };

  absl::Status Run();
  // Until the writer is refused (the reason), or the thread is to end (OK).
  absl::Status UploadWithNewWriter();
  absl::Status WaitUntilReachable();
  absl::Status Step();
  absl::Status TakeNext();
  absl::Status Send();
  absl::Status WaitForMore();
  absl::Status Trim();
  void CountDurable();
  // What a call of the writer said, without what trying again may mend.
  absl::Status Judge(const absl::Status& status);
  void Describe(std::string detail);

  const Options options_;
  const Parts parts_;

  // Of the thread.
  std::unique_ptr<ReplayWriter> writer_;
  std::unique_ptr<RecordSpool::Reader> reader_;
  uint64_t last_read_ = 0;
  std::optional<Pending> pending_;
  std::deque<SentChunk> sent_;  // and not durable yet
  bool done_ = false;

  mutable absl::Mutex mutex_;
  Figures figures_ ABSL_GUARDED_BY(mutex_);
  DrainedThread thread_;  // the last: it ends before the rest
};

}  // namespace demorl
