#include "services/snapshot/core/snapshot_store.h"

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "common/concurrency/bounded_queue.h"
#include "common/policy/safetensors.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr SnapshotKind kPolicy = SnapshotKind::kPolicy;

std::string Payload(std::vector<float> values) {
  TensorFile file;
  const int64_t size = static_cast<int64_t>(values.size());
  file.tensors["policy.mean.bias"] = {.shape = {size}, .values = std::move(values)};
  return EncodeSafetensors(file);
}

SnapshotInfo InfoFor(const std::string& payload, SnapshotKind kind = kPolicy) {
  SnapshotInfo info;
  info.kind = kind;
  info.run_id = "run";
  info.architecture = {{"type", "tanh_gaussian_mlp"}};
  info.observation_size = 4;
  info.action_size = 1;
  info.schema_hash = "00ff";
  info.lineage = {.learner_step = 250, .environment_rows = 1000, .config_hash = "abc", .parent_version = 3};
  info.payload_crc32c = Crc32c(payload);
  info.payload_bytes = payload.size();
  info.evaluation_return = 0.1;
  return info;
}

class SnapshotStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              absl::StrCat("snapshot_", ::getpid(), "_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  SnapshotStore::Options OptionsFor(const fs::path& data_dir) {
    return {
        .data_dir = data_dir, .keep_versions = 3, .run_id = "run", .metrics = metrics_.get(), .now_us = [] {
          return int64_t{1700000000000000};
        }};
  }

  // Opens anew, as after a kill: nothing is flushed or closed first.
  std::unique_ptr<SnapshotStore> Open() {
    auto store = SnapshotStore::Open(OptionsFor(folder_));
    EXPECT_OK(store);
    return store.ok() ? *std::move(store) : nullptr;
  }

  std::unique_ptr<SnapshotStore> OpenInMemory() { return *SnapshotStore::Open(OptionsFor("")); }

  static uint64_t MustPublish(SnapshotStore& store, float value, SnapshotKind kind = kPolicy) {
    const std::string payload = Payload({value});
    const auto version = store.Publish(InfoFor(payload, kind), payload);
    EXPECT_OK(version);
    return version.ok() ? *version : 0;
  }

  double Damaged() { return SnapshotMetrics(metrics_.get()).Damaged("policy").Value(); }
  double Refused(const char* reason) {
    return SnapshotMetrics(metrics_.get()).Refused("policy", reason).Value();
  }

  fs::path folder_;
  std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
};

std::vector<uint64_t> Versions(const SnapshotStore& store) {
  std::vector<uint64_t> versions;
  for (const SnapshotInfo& info : store.List(kPolicy, 0)) {
    versions.push_back(info.version);
  }
  return versions;
}

TEST_F(SnapshotStoreTest, VersionsGrowPerKind) {
  const auto store = OpenInMemory();
  EXPECT_EQ(store->Current(kPolicy), nullptr);
  EXPECT_EQ(MustPublish(*store, 1), 1);
  EXPECT_EQ(MustPublish(*store, 2), 2);
  EXPECT_EQ(MustPublish(*store, 3, SnapshotKind::kDynamics), 1);
  EXPECT_EQ(store->Current(kPolicy)->payload, Payload({2}));
  EXPECT_EQ(store->List(std::nullopt, 0).size(), 3);
  EXPECT_EQ(store->List(kPolicy, 1).size(), 1);
}

TEST_F(SnapshotStoreTest, EverythingIsBackAfterAKill) {
  SnapshotInfo before;
  {
    const auto store = Open();
    MustPublish(*store, 1);
    MustPublish(*store, 2);
    ASSERT_OK(store->Pin("run", kPolicy, 1));
    before = store->List(kPolicy, 1).front();
  }
  const auto store = Open();
  EXPECT_THAT(Versions(*store), ElementsAre(2, 1));
  EXPECT_EQ(store->List(kPolicy, 1).front(), before) << "lineage and all";
  EXPECT_THAT(store->Pinned(), UnorderedElementsAre(Pair(kPolicy, 1)));
  EXPECT_EQ(store->Current(kPolicy)->payload, Payload({1}));
  ASSERT_OK_AND_ASSIGN(const auto second, store->Get(kPolicy, 2));
  EXPECT_EQ(second->payload, Payload({2}));
  EXPECT_EQ(MustPublish(*store, 3), 3);
}

TEST_F(SnapshotStoreTest, OldVersionsArePrunedButPinnedOnesStay) {
  const auto store = Open();
  MustPublish(*store, 1);
  ASSERT_OK(store->Pin("run", kPolicy, 1));
  for (float value = 2; value <= 6; ++value) {
    MustPublish(*store, value);
  }
  EXPECT_THAT(Versions(*store), ElementsAre(6, 5, 4, 1));
  EXPECT_THAT(Versions(*Open()), ElementsAre(6, 5, 4, 1));
  EXPECT_THAT(store->Get(kPolicy, 2), StatusIs(absl::StatusCode::kNotFound, HasSubstr("version 2")));
  ASSERT_OK(store->Unpin("run", kPolicy));
  EXPECT_THAT(Versions(*store), ElementsAre(6, 5, 4));
  EXPECT_EQ(store->Current(kPolicy)->info.version, 6);
  EXPECT_EQ(Open()->Current(kPolicy)->info.version, 6) << "an unpin is durable too";
}

TEST_F(SnapshotStoreTest, PinningWhatIsNotThereChangesNothing) {
  const auto store = Open();
  MustPublish(*store, 1);
  EXPECT_THAT(store->Pin("run", kPolicy, 7), StatusIs(absl::StatusCode::kNotFound, HasSubstr("7")));
  EXPECT_THAT(store->Pinned(), IsEmpty());
}

TEST_F(SnapshotStoreTest, EveryFlippedByteOfAPayloadIsFoundAndTheOlderVersionServes) {
  {
    const auto store = Open();
    MustPublish(*store, 1);
    MustPublish(*store, 2);
  }
  const fs::path pristine = folder_.string() + "_pristine";
  fs::remove_all(pristine);
  fs::rename(folder_, pristine);
  const std::string payload = Payload({2});
  for (size_t i = 0; i < payload.size(); ++i) {
    fs::remove_all(folder_);
    fs::copy(pristine, folder_, fs::copy_options::recursive);
    std::string damaged = payload;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    ASSERT_OK(AppendToFile(folder_ / "policy" / "tmp", damaged));
    fs::rename(folder_ / "policy" / "tmp", folder_ / "policy" / "0000000002.safetensors");
    const double before = Damaged();
    const auto store = Open();
    ASSERT_EQ(store->Current(kPolicy)->info.version, 1) << "byte " << i;
    ASSERT_EQ(Damaged(), before + 1) << "byte " << i;
    ASSERT_OK_AND_ASSIGN(const std::string kept, ReadFile(folder_ / "policy/damaged/0000000002.safetensors"));
    ASSERT_EQ(kept, damaged) << "set aside, not deleted";
  }
  const auto store = Open();
  EXPECT_EQ(MustPublish(*store, 3), 3) << "the number of a damaged version is not used again";
  fs::remove_all(pristine);
}

TEST_F(SnapshotStoreTest, EveryFlippedBitOfTheMetadataIsFound) {
  SnapshotInfo info = InfoFor(Payload({1}));
  info.version = 12;
  const std::string text = EncodeSnapshotInfo(info);
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo decoded, DecodeSnapshotInfo(text));
  EXPECT_EQ(decoded, info);
  for (size_t i = 0; i < text.size() * 8; ++i) {
    std::string damaged = text;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << (i % 8)));
    ASSERT_THAT(DecodeSnapshotInfo(damaged), StatusIs(absl::StatusCode::kDataLoss, _)) << "bit " << i;
  }
  for (size_t size = 0; size < text.size(); ++size) {
    ASSERT_THAT(DecodeSnapshotInfo(text.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss, _)) << size;
  }
}

TEST_F(SnapshotStoreTest, APayloadWithoutMetadataWasNeverAcknowledgedAndIsNoVersion) {
  MustPublish(*Open(), 1);
  ASSERT_OK(WriteFileAtomically(folder_ / "policy/0000000002.safetensors", Payload({2})));
  const auto store = Open();
  EXPECT_THAT(Versions(*store), ElementsAre(1));
  EXPECT_EQ(Damaged(), 0);
  EXPECT_TRUE(fs::exists(folder_ / "policy/damaged/0000000002.safetensors"));
}

TEST_F(SnapshotStoreTest, InPlaceOfADamagedPinnedVersionTheNextOlderServes) {
  {
    const auto store = Open();
    for (float value = 1; value <= 3; ++value) {
      MustPublish(*store, value);
    }
    ASSERT_OK(store->Pin("run", kPolicy, 2));
  }
  ASSERT_OK(AppendToFile(folder_ / "policy/0000000002.safetensors", "x"));
  EXPECT_EQ(Open()->Current(kPolicy)->info.version, 1);
}

TEST_F(SnapshotStoreTest, ADamagedListOfPinsIsNotGuessed) {
  MustPublish(*Open(), 1);
  ASSERT_OK(WriteFileAtomically(folder_ / "pins.json", "{\"policy\": "));
  EXPECT_THAT(SnapshotStore::Open(OptionsFor(folder_)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("pins.json")));
}

TEST_F(SnapshotStoreTest, AFolderOfAnotherRunIsRefused) {
  MustPublish(*Open(), 1);
  SnapshotStore::Options other = OptionsFor(folder_);
  other.run_id = "other";
  EXPECT_THAT(SnapshotStore::Open(other), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                   AllOf(HasSubstr("\"run\""), HasSubstr("\"other\""))));
}

TEST_F(SnapshotStoreTest, WhatIsWrongWithAPublicationIsNamedAndNobodySeesIt) {
  const auto store = OpenInMemory();
  MustPublish(*store, 1);
  const auto subscription = store->Subscribe(kPolicy, 1, [] { FAIL() << "nothing new was to be seen"; });
  const std::string payload = Payload({2});

  SnapshotInfo info = InfoFor(payload);
  info.payload_crc32c ^= 1;
  EXPECT_THAT(store->Publish(info, payload), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("CRC32C")));
  info = InfoFor(payload);
  info.payload_bytes += 1;
  EXPECT_THAT(store->Publish(info, payload), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("bytes")));
  EXPECT_EQ(Refused("digest"), 2);

  const std::string garbage = "not a tensor file";
  EXPECT_THAT(store->Publish(InfoFor(garbage), garbage), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_EQ(Refused("malformed"), 1);

  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::string bad = Payload({1, value});
    EXPECT_THAT(store->Publish(InfoFor(bad), bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("policy.mean.bias")));
  }
  EXPECT_EQ(Refused("non_finite"), 2);

  info = InfoFor(payload);
  info.run_id = "other";
  EXPECT_THAT(store->Publish(info, payload), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                      AllOf(HasSubstr("\"run\""), HasSubstr("\"other\""))));
  info = InfoFor(payload);
  info.schema_hash = "beef";
  EXPECT_THAT(store->Publish(info, payload),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("beef"), HasSubstr("00ff"))));
  info = InfoFor(payload);
  info.observation_size = 17;
  EXPECT_THAT(store->Publish(info, payload),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("observation_size is 17"), HasSubstr("4"))));
  info = InfoFor(payload);
  info.action_size = 6;
  EXPECT_THAT(store->Publish(info, payload),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("action_size is 6")));
  EXPECT_EQ(Refused("mismatch"), 3);

  EXPECT_EQ(subscription->Take(), nullptr);
  EXPECT_EQ(store->Current(kPolicy)->info.version, 1);
  EXPECT_EQ(MustPublish(*OpenInMemory(), 2), 1);
}

TEST_F(SnapshotStoreTest, WithoutARunIdAllRunsAreAccepted) {
  SnapshotStore::Options options = OptionsFor("");
  options.run_id = "";
  ASSERT_OK_AND_ASSIGN(const auto store, SnapshotStore::Open(options));
  MustPublish(*store, 1);
}

TEST_F(SnapshotStoreTest, AFailedWriteKeepsTheLastVersionAndRepeatedOnesShow) {
  const auto store = Open();
  MustPublish(*store, 1);
  // In place of the folder stands a file: no new version can be created.
  fs::rename(folder_ / "policy", folder_ / "away");
  ASSERT_OK(WriteFileAtomically(folder_ / "policy", ""));
  const std::string payload = Payload({2});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(store->StorageTrouble(), "");
    EXPECT_FALSE(store->Publish(InfoFor(payload), payload).ok());
  }
  EXPECT_THAT(store->StorageTrouble(), HasSubstr("3 publications"));
  EXPECT_EQ(Refused("storage"), 3);
  EXPECT_EQ(store->Current(kPolicy)->info.version, 1);
  fs::remove(folder_ / "policy");
  fs::rename(folder_ / "away", folder_ / "policy");
  EXPECT_EQ(MustPublish(*store, 2), 2);
  EXPECT_EQ(store->StorageTrouble(), "");
}

TEST_F(SnapshotStoreTest, AFullDiskIsNamedAndLeavesNothingBehind) {
  const auto store = Open();
  MustPublish(*store, 1);
  // The temporary file of the next version's metadata lies on a device that is always full.
  const fs::path temporary = folder_ / "policy/0000000002.json.tmp";
  fs::create_symlink("/dev/full", temporary);
  const std::string payload = Payload({2});
  EXPECT_THAT(store->Publish(InfoFor(payload), payload),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(folder_.string())));
  EXPECT_EQ(store->Current(kPolicy)->info.version, 1);
  EXPECT_FALSE(fs::exists(folder_ / "policy/0000000002.safetensors"));
  fs::remove(temporary);
  EXPECT_EQ(MustPublish(*store, 2), 2);
}

TEST_F(SnapshotStoreTest, ASlowWatcherSkipsToTheNewest) {
  const auto store = OpenInMemory();
  int calls = 0;
  const auto subscription = store->Subscribe(kPolicy, 0, [&calls] { ++calls; });
  EXPECT_EQ(subscription->Take(), nullptr);
  for (float value = 1; value <= 4; ++value) {
    MustPublish(*store, value);
  }
  MustPublish(*store, 9, SnapshotKind::kValue);
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(subscription->Take()->info.version, 4);
  EXPECT_EQ(subscription->Take(), nullptr);
}

TEST_F(SnapshotStoreTest, AWatcherStartsWithTheCurrentVersionUnlessItHasIt) {
  const auto store = OpenInMemory();
  MustPublish(*store, 1);
  EXPECT_EQ(store->Subscribe(kPolicy, 0, [] {})->Take()->info.version, 1);
  EXPECT_EQ(store->Subscribe(kPolicy, 1, [] {})->Take(), nullptr);
  EXPECT_EQ(store->Subscribe(kPolicy, 50, [] {})->Take()->info.version, 1)
      << "of a store that lost its memory";
}

TEST_F(SnapshotStoreTest, WatchersFollowPinAndUnpin) {
  const auto store = OpenInMemory();
  MustPublish(*store, 1);
  MustPublish(*store, 2);
  const auto subscription = store->Subscribe(kPolicy, 2, [] {});
  ASSERT_OK_AND_ASSIGN(const SnapshotInfo pinned, store->Pin("run", kPolicy, 1));
  EXPECT_EQ(pinned.version, 1);
  EXPECT_EQ(subscription->Take()->info.version, 1);
  MustPublish(*store, 3);
  EXPECT_EQ(subscription->Take(), nullptr) << "pinned: what is newer is not sent";
  EXPECT_OK(store->Unpin("run", kPolicy));
  EXPECT_EQ(subscription->Take()->info.version, 3);
  EXPECT_THAT(store->Pin("other", kPolicy, 1), StatusIs(absl::StatusCode::kFailedPrecondition, _));
}

TEST_F(SnapshotStoreTest, PublishersWatchersAndReadersRunTogether) {
  constexpr int kVersions = 200;
  const auto store = OpenInMemory();
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      uint64_t last = 0;
      // Shared: the last call may come after this thread is done.
      const auto pending = std::make_shared<BoundedQueue<int>>(1);
      const auto subscription = store->Subscribe(kPolicy, 0, [pending] {
        int one = 1;
        pending->TryPush(one);
      });
      while (last < kVersions) {
        if (const auto snapshot = subscription->Take(); snapshot != nullptr) {
          EXPECT_GT(snapshot->info.version, last);
          last = snapshot->info.version;
        } else {
          EXPECT_OK(pending->Pop());
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!done.load()) {
      store->List(std::nullopt, 0);
      store->Get(kPolicy, 0).IgnoreError();
    }
  });
  for (int i = 1; i <= kVersions; ++i) {
    MustPublish(*store, static_cast<float>(i));
  }
  threads[0].join();
  threads[1].join();
  done.store(true);
  threads[2].join();
}

}  // namespace
}  // namespace demorl
