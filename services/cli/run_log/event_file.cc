#include "services/cli/run_log/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "services/cli/run_log/wire_writer.h"

namespace demorl {
namespace {

// Fields of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
constexpr int kEventWallTime = 1;
constexpr int kEventStep = 2;
constexpr int kEventFileVersion = 3;
constexpr int kEventSummary = 5;
constexpr int kSummaryValue = 1;
constexpr int kValueTag = 1;
constexpr int kValueSimpleValue = 2;

std::string HostName() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

// TFRecord stores CRCs rotated and offset, so that a CRC of data that holds CRCs stays useful.
uint32_t MaskedCrc(absl::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <typename T>
void AppendRaw(T value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

double Seconds(absl::Time time) { return static_cast<double>(absl::ToUnixMicros(time)) * 1e-6; }

}  // namespace

EventFileWriter::EventFileWriter(std::filesystem::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

EventFileWriter::~EventFileWriter() { close(descriptor_); }

absl::StatusOr<std::unique_ptr<EventFileWriter>> EventFileWriter::Create(const std::filesystem::path& folder,
                                                                         absl::Time now) {
  const std::filesystem::path path =
      folder / absl::StrCat("events.out.tfevents.", absl::ToUnixSeconds(now), ".", HostName(), ".", getpid());
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return ErrnoToStatus(errno, "create", path);
  }
  std::unique_ptr<EventFileWriter> writer(new EventFileWriter(path, descriptor));
  WireWriter event;
  event.Double(kEventWallTime, Seconds(now));
  event.Bytes(kEventFileVersion, "brain.Event:2");
  RETURN_IF_ERROR(writer->WriteRecord(event.bytes()));
  return writer;
}

absl::Status EventFileWriter::AddScalar(absl::string_view tag, int64_t step, double value, absl::Time now) {
  WireWriter summary_value;
  summary_value.Bytes(kValueTag, tag);
  summary_value.Float(kValueSimpleValue, static_cast<float>(value));
  WireWriter summary;
  summary.Message(kSummaryValue, summary_value);
  WireWriter event;
  event.Double(kEventWallTime, Seconds(now));
  event.Varint(kEventStep, static_cast<uint64_t>(step));
  event.Message(kEventSummary, summary);
  return WriteRecord(event.bytes());
}

absl::Status EventFileWriter::WriteRecord(absl::string_view event) {
  std::string record;
  AppendRaw(static_cast<uint64_t>(event.size()), &record);
  AppendRaw(MaskedCrc(record), &record);
  record.append(event.data(), event.size());
  AppendRaw(MaskedCrc(event), &record);
  const ssize_t written = write(descriptor_, record.data(), record.size());
  if (written != static_cast<ssize_t>(record.size())) {
    return ErrnoToStatus(written < 0 ? errno : ENOSPC, "write", path_);
  }
  return absl::OkStatus();
}

}  // namespace demorl
