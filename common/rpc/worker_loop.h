#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/service_component.h"

namespace demorl {

// The life of a component's worker thread that writes checkpoints: started once, paused and resumed, asked
// for checkpoints, drained. A subclass says what the thread does; its destructor calls Drain, since the
// thread calls its virtual methods. Public methods are thread-safe.
class WorkerLoop {
 public:
  struct Options {
    std::string thread_name;
    // As messages name them: "learner", "training".
    std::string worker, task;
  };

  explicit WorkerLoop(Options options);
  virtual ~WorkerLoop() = default;

  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  // Does nothing a second time or after Drain.
  void Start();
  // Takes effect where the thread calls WaitForWork; neither blocks.
  void Pause();
  void Resume();

  // Blocks until the thread has written one, between two pieces of its work. FAILED_PRECONDITION before the
  // worker is ready or after it has ended, UNAVAILABLE if it ends meanwhile. The folder; empty without a
  // store.
  absl::StatusOr<std::string> Checkpoint();

  // Ends the work after the current piece and blocks until the thread has finished; the deadline is for what
  // Finish leaves to others. Idempotent; the status of Finish.
  absl::Status Drain(absl::Time deadline);

  ComponentStatus Status() const;

 protected:
  // Called by the thread, in this order.
  // Gets ready and calls MarkReady.
  virtual absl::Status Prepare() = 0;
  // Only after a good Prepare; until WaitForWork answers false. An error other than CANCELLED leaves the
  // component unhealthy until it is drained.
  virtual absl::Status Work() = 0;
  // Lets go of what the work reads from.
  virtual void CloseInput() = 0;
  // After Drain was called, also when Prepare failed: saves what there is and answers a last request.
  virtual absl::Status Finish() = 0;

  // The folder. Called by the thread, through AnswerCheckpointRequest or directly.
  virtual absl::StatusOr<std::string> WriteCheckpoint() = 0;

  // Adds to a copy of the status what the subclass keeps elsewhere. Called by any thread.
  virtual void AddToStatus(ComponentStatus* status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;

  // For the thread.
  // Repeats `attempt` while it answers UNAVAILABLE, NOT_FOUND or DEADLINE_EXCEEDED, and says that it waits
  // for `what`. Another error of `attempt` is returned; CANCELLED when drained.
  absl::Status RetryUntilThere(absl::string_view what, absl::FunctionRef<absl::Status()> attempt);
  // Checkpoints can be asked for from here on.
  void MarkReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { ready_ = true; }
  // Blocks while paused, and answers checkpoint requests. False to end.
  bool WaitForWork();
  void AnswerCheckpointRequest();
  // Blocks for the delay between two attempts, or until drained (true).
  bool WaitForRetry();
  // Running does not make an unhealthy worker healthy: waiting and trying again say nothing new about health.
  void Describe(ComponentState state, std::string detail);

  // Thread-safe.
  bool StopRequested() const;
  absl::Time DrainDeadline() const;

  // Also guards what a subclass shares between its thread and AddToStatus.
  mutable absl::Mutex mutex_;
  ComponentStatus status_ ABSL_GUARDED_BY(mutex_);

 private:
  void Run();

  const Options options_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status end_status_ ABSL_GUARDED_BY(mutex_);
  // Requests made and answered; the last answer.
  int64_t checkpoints_asked_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t checkpoints_answered_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::StatusOr<std::string> checkpoint_answer_ ABSL_GUARDED_BY(mutex_) = std::string();
  absl::Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

// A component that is one worker loop and serves no RPC. A subclass names it and makes the loop.
class WorkerLoopComponent : public ServiceComponent {
 public:
  std::vector<grpc::Service*> rpc_services() override { return {}; }
  absl::Status Start() override {
    loop_->Start();
    return absl::OkStatus();
  }
  ComponentStatus Status() const override { return loop_->Status(); }
  absl::Status Pause() override {
    loop_->Pause();
    return absl::OkStatus();
  }
  absl::Status Resume() override {
    loop_->Resume();
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Checkpoint() override { return loop_->Checkpoint(); }
  absl::Status Drain(absl::Time deadline) override { return loop_->Drain(deadline); }

 protected:
  // Once, before the component is handed out. What the loop borrows from the subclass outlives its thread
  // only if the subclass's destructor calls EndLoop.
  void HostLoop(std::unique_ptr<WorkerLoop> loop) { loop_ = std::move(loop); }
  void EndLoop() { loop_.reset(); }

 private:
  std::unique_ptr<WorkerLoop> loop_;
};

}  // namespace demorl
