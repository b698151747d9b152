#include "common/base/spool_delivery.h"

#include <unistd.h>

#include <filesystem>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

// Numbers what it takes in; the first `durable` of it survive its restarts.
struct Receiver {
  std::vector<std::string> records;
  uint64_t durable = 0;

  uint64_t last() const { return records.size(); }
};

class SpoolDeliveryTest : public ::testing::Test {
 protected:
  SpoolDeliveryTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("delivery_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~SpoolDeliveryTest() override { std::filesystem::remove_all(folder_); }

  // A start of the sending process.
  void Start(int64_t max_bytes = 1 << 20) {
    reader_.reset();
    delivery_.reset();
    spool_.reset();
    auto spool = RecordSpool::Open({.folder = folder_,
                                    .max_bytes = max_bytes,
                                    .file_bytes = 60,
                                    .when_full = RecordSpool::WhenFull::kDropOldest});
    ASSERT_OK(spool);
    spool_ = *std::move(spool);
    auto delivery = SpoolDelivery::Open(spool_.get());
    ASSERT_OK(delivery);
    delivery_ = *std::move(delivery);
    pending_.reset();
  }
  void Resume() {
    receiver_.durable = receiver_.last();
    ASSERT_OK_AND_ASSIGN(const uint64_t sequence, delivery_->Resume(receiver_.last()));
    reader_ = std::make_unique<RecordSpool::Reader>(spool_.get(), sequence);
  }
  void Append(int num_records = 1) {
    for (int i = 0; i < num_records; ++i) {
      ASSERT_OK(spool_->Append(absl::StrCat("record ", num_appended_++)));
    }
  }
  // False if there is nothing to send, or not yet.
  bool SendOne() {
    if (!pending_.has_value()) {
      auto record = reader_->Next();
      EXPECT_OK(record);
      pending_ = *std::move(record);
    }
    if (!pending_.has_value()) {
      return false;
    }
    const absl::Status status = delivery_->Prepare(pending_->sequence, receiver_.last() + 1);
    if (absl::IsUnavailable(status)) {
      return false;
    }
    EXPECT_OK(status);
    receiver_.records.push_back(pending_->payload);
    delivery_->Sent(pending_->sequence);
    pending_.reset();
    return true;
  }
  void MakeDurable(uint64_t number) {
    receiver_.durable = number;
    EXPECT_OK(delivery_->Durable(number));
  }
  void SendAll() {
    do {
      MakeDurable(receiver_.last());
    } while (SendOne());
  }
  void ExpectEachOnceInOrder() const {
    ASSERT_EQ(receiver_.records.size(), static_cast<size_t>(num_appended_));
    for (int i = 0; i < num_appended_; ++i) {
      EXPECT_EQ(receiver_.records[i], absl::StrCat("record ", i));
    }
  }

  const std::filesystem::path folder_;
  std::unique_ptr<RecordSpool> spool_;
  std::unique_ptr<SpoolDelivery> delivery_;
  std::unique_ptr<RecordSpool::Reader> reader_;
  std::optional<RecordSpool::Record> pending_;
  Receiver receiver_;
  int num_appended_ = 0;
};

TEST_F(SpoolDeliveryTest, GoesOnAfterWhatTheReceiverHas) {
  Start();
  Resume();
  Append(10);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(SendOne());
  }
  MakeDurable(3);
  Start();
  Append(5);
  Resume();
  SendAll();
  ExpectEachOnceInOrder();
  EXPECT_EQ(spool_->figures().records, 0);
}

TEST_F(SpoolDeliveryTest, WaitsAtAGapUntilWhatCameBeforeIsDurable) {
  Start(/*max_bytes=*/240);
  Resume();
  Append(2);
  ASSERT_TRUE(SendOne());
  ASSERT_TRUE(SendOne());
  Append(100);  // more than there is room for
  EXPECT_FALSE(SendOne());
  MakeDurable(1);
  EXPECT_FALSE(SendOne());
  MakeDurable(2);
  EXPECT_TRUE(SendOne());
  EXPECT_NE(receiver_.records.back(), "record 2");
  Start(/*max_bytes=*/240);
  Resume();
  SendAll();
  const std::set<std::string> distinct(receiver_.records.begin(), receiver_.records.end());
  EXPECT_EQ(distinct.size(), receiver_.records.size());
  EXPECT_EQ(receiver_.records.back(), "record 101");
}

TEST_F(SpoolDeliveryTest, EachRecordArrivesOnceOverRandomRestartsOfBothSides) {
  for (int seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    std::filesystem::remove_all(folder_);
    receiver_ = {};
    num_appended_ = 0;
    Random random(seed);
    Start();
    Resume();
    for (int i = 0; i < 300; ++i) {
      switch (random.Index(8)) {
        case 0:
        case 1:
        case 2:
          Append(random.Index(4));
          break;
        case 3:
        case 4:
        case 5:
          SendOne();
          break;
        case 6:
          MakeDurable(receiver_.durable + random.Index(receiver_.last() - receiver_.durable + 1));
          break;
        default:
          if (random.Index(4) == 0) {
            Start();
            Append(random.Index(3));
            Resume();
          }
      }
    }
    SendAll();
    ExpectEachOnceInOrder();
  }
}

TEST_F(SpoolDeliveryTest, ASenderThatForgetsWhatItSentGoesOnAfterWhatArrived) {
  Start();
  Resume();
  Append(10);
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(SendOne());
  }
  MakeDurable(3);
  receiver_.records.resize(4);  // the other two were on their way
  Resume();
  SendAll();
  ExpectEachOnceInOrder();
}

TEST_F(SpoolDeliveryTest, PassesOverWhatTheSpoolDropped) {
  Start(/*max_bytes=*/240);
  Resume();
  Append(1);
  ASSERT_TRUE(SendOne());
  Append(100);
  SendAll();
  const int64_t dropped = spool_->figures().dropped_records;
  EXPECT_GT(dropped, 50);
  // The first one may be among those dropped, and was sent nevertheless.
  EXPECT_GE(static_cast<int64_t>(receiver_.records.size()), 101 - dropped);
  EXPECT_EQ(receiver_.records.front(), "record 0");
  EXPECT_EQ(receiver_.records.back(), "record 100");
  const size_t before = receiver_.records.size();
  Start(/*max_bytes=*/240);
  Resume();
  SendAll();
  EXPECT_EQ(receiver_.records.size(), before);
}

TEST_F(SpoolDeliveryTest, AReceiverThatLostItsStoreGetsWhatIsLeftOnce) {
  Start();
  Resume();
  Append(10);
  SendAll();
  Append(5);
  ASSERT_TRUE(SendOne());
  receiver_ = {};  // and this process restarts, too
  Start();
  Resume();
  SendAll();
  EXPECT_EQ(receiver_.records,
            (std::vector<std::string>{"record 10", "record 11", "record 12", "record 13", "record 14"}));
  Start();
  Resume();
  EXPECT_FALSE(SendOne());
}

TEST_F(SpoolDeliveryTest, FollowsAReceiverThatNumbersAnew) {
  Start();
  Resume();
  Append(6);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(SendOne());
  }
  MakeDurable(3);
  // It comes back empty, and the sender's connection gives it the two that were not durable.
  receiver_.records.erase(receiver_.records.begin(), receiver_.records.begin() + 3);
  receiver_.durable = 0;
  ASSERT_TRUE(SendOne());
  EXPECT_EQ(receiver_.last(), 3u);
  MakeDurable(1);
  EXPECT_EQ(spool_->figures().records, 2);
  Start();
  Resume();
  EXPECT_FALSE(SendOne());
  EXPECT_EQ(receiver_.records.back(), "record 5");
}

TEST_F(SpoolDeliveryTest, APowerCutThatTookTheEndOfTheSpoolDoesNotHideNewRecords) {
  Start();
  Resume();
  Append(1);
  const std::filesystem::path first_file = folder_ / "spool-00000000000000000001.log";
  ASSERT_TRUE(std::filesystem::exists(first_file));
  Append(20);
  while (SendOne()) {
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().extension() == ".log" && entry.path() != first_file) {
      std::filesystem::remove(entry.path());
    }
  }
  for (int start = 0; start < 2; ++start) {
    Start();
    Append(3);
    Resume();
    SendAll();
    ExpectEachOnceInOrder();
  }
}

TEST_F(SpoolDeliveryTest, ALostSpoolDoesNotHideNewRecords) {
  Start();
  Resume();
  Append(20);
  SendAll();
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (entry.path().extension() == ".log") {
      std::filesystem::remove(entry.path());
    }
  }
  Start();
  Append(3);
  Resume();
  SendAll();
  ExpectEachOnceInOrder();
}

TEST_F(SpoolDeliveryTest, ADamagedPairIsReplacedByTheOneBefore) {
  Start();
  Resume();
  Append(3);
  SendAll();
  Start();
  Resume();
  Append(3);
  SendAll();
  ASSERT_OK_AND_ASSIGN(std::string contents, ReadFile(folder_ / "delivery"));
  for (const size_t slot : {0, 512}) {
    std::string damaged = contents;
    damaged[slot + 9] ^= 1;
    ASSERT_OK(WriteFileAtomically(folder_ / "delivery", damaged));
    Start();
    Resume();
    EXPECT_FALSE(SendOne());
  }
  ExpectEachOnceInOrder();
}

}  // namespace
}  // namespace demorl
