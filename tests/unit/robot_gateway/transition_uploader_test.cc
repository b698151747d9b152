#include "services/robot_gateway/transition_uploader.h"

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/tensor/transition_codec.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// What a replay server knows of one writer, and how it behaves. The rewards it has are in order.
struct FakeServer {
  absl::Mutex mutex;
  std::vector<float> rewards;  // one chunk of one row each
  uint64_t durable = 0;
  bool makes_durable = true;
  bool reachable = true;
  absl::Status refusal;
  int num_writers = 0;

  void Settle() {
    if (makes_durable) {
      durable = rewards.size();
    }
  }
};

// Keeps, as the real one does, what is not durable, and sends it anew to a server that lost it.
class FakeWriter final : public ReplayWriter {
 public:
  explicit FakeWriter(FakeServer* server) : server_(server) {
    absl::MutexLock lock(&server_->mutex);
    ++server_->num_writers;
  }

  absl::Status Append(const TransitionChunk& chunk, absl::Time deadline) override {
    absl::MutexLock lock(&server_->mutex);
    RETURN_IF_ERROR(Connect(deadline));
    held_.push_back(chunk.segments[0].rewards[0]);
    server_->rewards.push_back(held_.back());
    last_ = server_->rewards.size();
    Drop();
    return absl::OkStatus();
  }
  int64_t RowsAllowed() override { return std::numeric_limits<int64_t>::max(); }
  absl::Status WaitForRowsAllowed(int64_t, absl::Time deadline) override {
    absl::MutexLock lock(&server_->mutex);
    return Connect(deadline);
  }
  int64_t RowsInserted() const override { return 0; }
  uint64_t LastSequence() const override {
    absl::MutexLock lock(&server_->mutex);
    return last_;
  }
  uint64_t DurableSequence() const override {
    absl::MutexLock lock(&server_->mutex);
    return std::min<uint64_t>(server_->durable, last_);
  }
  absl::Status Flush(absl::Time deadline) override {
    absl::MutexLock lock(&server_->mutex);
    RETURN_IF_ERROR(Connect(deadline));
    server_->Settle();
    const auto durable = [this] { return server_->durable >= last_; };
    if (!server_->mutex.AwaitWithDeadline(absl::Condition(&durable), deadline)) {
      return absl::DeadlineExceededError("not durable");
    }
    Drop();
    return absl::OkStatus();
  }
  void Close() override {}

 private:
  void Drop() {
    server_->Settle();
    while (!held_.empty() && last_ - held_.size() < server_->durable) {
      held_.pop_front();
    }
  }
  absl::Status Connect(absl::Time deadline) {
    const auto answers = [this] { return server_->reachable || !server_->refusal.ok(); };
    if (!server_->mutex.AwaitWithDeadline(absl::Condition(&answers), deadline)) {
      return absl::DeadlineExceededError("replay does not answer");
    }
    RETURN_IF_ERROR(server_->refusal);
    if (!connected_) {
      connected_ = true;
      last_ = server_->rewards.size();
    }
    if (server_->rewards.size() >= last_) {
      return absl::OkStatus();
    }
    for (const float reward : held_) {
      server_->rewards.push_back(reward);
    }
    last_ = server_->rewards.size();
    return absl::DataLossError("replay has less than it called durable");
  }

  FakeServer* const server_;
  bool connected_ = false;
  uint64_t last_ = 0;
  std::deque<float> held_;
};

class TransitionUploaderTest : public ::testing::Test {
 protected:
  TransitionUploaderTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("uploader_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    Restart();
  }
  ~TransitionUploaderTest() override {
    uploader_.reset();
    std::filesystem::remove_all(folder_);
  }

  // A start of the gateway's process.
  void Restart() {
    uploader_.reset();
    delivery_.reset();
    spool_.reset();
    auto spool = RecordSpool::Open({.folder = folder_, .file_bytes = 2000});
    ASSERT_OK(spool);
    spool_ = *std::move(spool);
    auto delivery = SpoolDelivery::Open(spool_.get());
    ASSERT_OK(delivery);
    delivery_ = *std::move(delivery);
    uploader_ = std::make_unique<TransitionUploader>(
        TransitionUploader::Options{.retry_interval = absl::Milliseconds(10)},
        TransitionUploader::Parts{.spool = spool_.get(), .delivery = delivery_.get(), .make_writer = [this] {
                                    return std::make_unique<FakeWriter>(&server_);
                                  }});
  }
  void Spool(int num_chunks = 1) {
    for (int i = 0; i < num_chunks; ++i) {
      const TransitionChunk chunk{.observation_size = 1,
                                  .action_size = 1,
                                  .segments = {{.num_steps = 1,
                                                .observations = {0, 0},
                                                .actions = {0},
                                                .rewards = {static_cast<float>(num_spooled_++)},
                                                .policy_versions = {0}}}};
      ASSERT_OK(spool_->Append(EncodeTransitionChunk(chunk).SerializeAsString()));
    }
  }
  template <typename Predicate>
  bool AwaitServer(const Predicate& predicate) {
    absl::MutexLock lock(&server_.mutex);
    return server_.mutex.AwaitWithDeadline(absl::Condition(&predicate), Soon());
  }
  bool AwaitFigures(const std::function<bool(const TransitionUploader::Figures&)>& predicate) {
    const absl::Time give_up = Soon();
    while (!predicate(uploader_->figures())) {
      if (absl::Now() > give_up) {
        return false;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }
  void Set(const std::function<void()>& change) {
    absl::MutexLock lock(&server_.mutex);
    change();
  }
  void ExpectEachOnceInOrder() {
    absl::MutexLock lock(&server_.mutex);
    ASSERT_EQ(server_.rewards.size(), static_cast<size_t>(num_spooled_));
    for (int i = 0; i < num_spooled_; ++i) {
      EXPECT_EQ(server_.rewards[i], i);
    }
  }

  const std::filesystem::path folder_;
  FakeServer server_;
  std::unique_ptr<RecordSpool> spool_;
  std::unique_ptr<SpoolDelivery> delivery_;
  std::unique_ptr<TransitionUploader> uploader_;
  int num_spooled_ = 0;
};

TEST_F(TransitionUploaderTest, UploadsWhatIsThereAndWhatComesAndEmptiesTheSpool) {
  Spool(10);
  uploader_->Start();
  ASSERT_TRUE(AwaitServer([this] { return server_.rewards.size() == 10; }));
  Spool(10);
  ASSERT_OK(uploader_->Drain(Soon()));
  ExpectEachOnceInOrder();
  EXPECT_EQ(spool_->figures().records, 0);
  EXPECT_EQ(uploader_->figures().rows_sent, 20);
  EXPECT_EQ(uploader_->figures().rows_durable, 20);
}

TEST_F(TransitionUploaderTest, WaitsForReplayForAsLongAsItIsAway) {
  Set([this] { server_.reachable = false; });
  Spool(10);
  uploader_->Start();
  ASSERT_TRUE(AwaitFigures([](const auto& figures) { return figures.detail == "waiting for replay"; }));
  Set([this] { server_.reachable = true; });
  ASSERT_TRUE(AwaitServer([this] { return server_.rewards.size() == 10; }));
  Set([this] { server_.reachable = false; });
  Spool(10);
  ASSERT_TRUE(
      AwaitFigures([](const auto& figures) { return figures.detail == "waiting for replay to take rows"; }));
  Set([this] { server_.reachable = true; });
  ASSERT_OK(uploader_->Drain(Soon()));
  ExpectEachOnceInOrder();
}

TEST_F(TransitionUploaderTest, DrainEndsAtItsDeadlineAndTheNextStartGoesOn) {
  Set([this] { server_.makes_durable = false; });
  Spool(10);
  uploader_->Start();
  ASSERT_TRUE(AwaitServer([this] { return server_.rewards.size() == 10; }));
  EXPECT_THAT(uploader_->Drain(absl::Now() + absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("10 records stay")));
  Set([this] {
    server_.rewards.resize(7);  // the others were on their way
    server_.makes_durable = true;
  });
  Restart();
  Spool(5);
  uploader_->Start();
  ASSERT_OK(uploader_->Drain(Soon()));
  ExpectEachOnceInOrder();
}

TEST_F(TransitionUploaderTest, WhatReplayHadOnlyAcceptedIsSentAgainIfItIsLost) {
  Set([this] { server_.makes_durable = false; });
  Spool(10);
  uploader_->Start();
  ASSERT_TRUE(AwaitServer([this] { return server_.rewards.size() == 10; }));
  Restart();
  uploader_->Start();
  // Not durable yet, so the new process does not count on it.
  ASSERT_TRUE(AwaitFigures([](const auto& figures) { return figures.detail == "waiting for replay"; }));
  EXPECT_EQ(spool_->figures().records, 10);
  Set([this] {
    server_.rewards.resize(4);
    server_.makes_durable = true;
  });
  ASSERT_OK(uploader_->Drain(Soon()));
  ExpectEachOnceInOrder();
}

TEST_F(TransitionUploaderTest, GoesOnWithAReplayThatLostDurableRows) {
  Spool(10);
  uploader_->Start();
  ASSERT_TRUE(AwaitFigures([](const auto& figures) { return figures.rows_durable == 10; }));
  Set([this] {
    server_.rewards.clear();
    server_.durable = 0;
  });
  Spool(5);
  ASSERT_TRUE(AwaitServer([this] { return server_.rewards.size() == 5; }));
  Restart();
  uploader_->Start();
  Spool(1);
  ASSERT_OK(uploader_->Drain(Soon()));
  absl::MutexLock lock(&server_.mutex);
  EXPECT_EQ(server_.rewards, (std::vector<float>{10, 11, 12, 13, 14, 15}));
}

TEST_F(TransitionUploaderTest, CountsALossAndTriesARefusedWriterAgain) {
  Spool(3);
  uploader_->Start();
  ASSERT_TRUE(AwaitFigures([](const auto& figures) { return figures.rows_durable == 3; }));
  Set([this] {
    server_.rewards.resize(1);
    server_.durable = 1;
  });
  Spool(1);
  ASSERT_TRUE(AwaitFigures([](const auto& figures) { return figures.data_losses == 1; }));
  ASSERT_TRUE(AwaitFigures([](const auto& figures) { return figures.rows_durable == 4; }));
  Set([this] { server_.refusal = absl::FailedPreconditionError("another run"); });
  Spool(3);
  ASSERT_TRUE(AwaitServer([this] { return server_.num_writers >= 3; }));
  EXPECT_THAT(uploader_->figures().refusal, StatusIs(absl::StatusCode::kFailedPrecondition, "another run"));
  Set([this] { server_.refusal = absl::OkStatus(); });
  ASSERT_OK(uploader_->Drain(Soon()));
  EXPECT_OK(uploader_->figures().refusal);
  absl::MutexLock lock(&server_.mutex);
  EXPECT_EQ(server_.rewards, (std::vector<float>{0, 3, 4, 5, 6}));
}

TEST_F(TransitionUploaderTest, PassesOverRecordsThatAreNoChunks) {
  Spool(2);
  ASSERT_OK(spool_->Append("garbage"));
  ASSERT_OK(spool_->Append(""));
  Spool(2);
  uploader_->Start();
  ASSERT_OK(uploader_->Drain(Soon()));
  ExpectEachOnceInOrder();
  EXPECT_EQ(uploader_->figures().undecodable_records, 2);
  Restart();
  uploader_->Start();
  ASSERT_OK(uploader_->Drain(Soon()));
  ExpectEachOnceInOrder();
}

}  // namespace
}  // namespace demorl
