#include "common/robot/drivers/moteus/fdcanusb_port.h"

#include "common/base/clock.h"

namespace demorl {

IoResult FdcanusbPort::Flush() {
  while (outgoing_begin_ < outgoing_end_) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(outgoing_.data());
    const IoResult written = stream_->Write({bytes + outgoing_begin_, outgoing_end_ - outgoing_begin_});
    if (!written.ok()) {
      return written;
    }
    if (written.num_bytes == 0) {
      return {.code = IoResult::Code::kTimedOut};
    }
    outgoing_begin_ += written.num_bytes;
  }
  return {};
}

IoResult FdcanusbPort::Send(const CanFrame& frame) {
  if (const IoResult flushed = Flush(); !flushed.ok()) {
    return flushed;
  }
  outgoing_begin_ = 0;
  outgoing_end_ = WriteSendLine(frame, options_.checksums, outgoing_);
  const IoResult written = Flush();
  if (written.code != IoResult::Code::kTimedOut) {
    return written;
  }
  if (outgoing_begin_ == 0) {
    outgoing_end_ = 0;  // all or nothing: old commands must not pile up for later
    return written;
  }
  return {};
}

IoResult FdcanusbPort::Receive(CanFrame& frame, absl::Duration deadline) {
  for (;;) {
    if (TakeFrame(frame)) {
      return {};
    }
    const IoResult read = stream_->Read(incoming_, deadline);
    if (!read.ok()) {
      return read;
    }
    incoming_begin_ = 0;
    incoming_end_ = read.num_bytes;
    if (TakeFrame(frame)) {
      return {};
    }
    // A device that babbles always has bytes to read.
    if (RealClock::Get().Now() >= deadline) {
      return {.code = IoResult::Code::kTimedOut};
    }
  }
}

bool FdcanusbPort::TakeFrame(CanFrame& frame) {
  while (incoming_begin_ < incoming_end_) {
    if (reader_.Push(incoming_[incoming_begin_++]) && HandleLine(frame)) {
      return true;
    }
  }
  return false;
}

bool FdcanusbPort::HandleLine(CanFrame& frame) {
  using Kind = FdcanusbLine::Kind;
  const FdcanusbLine line = ParseFdcanusbLine(reader_.line());
  if (options_.checksums && !line.has_checksum) {
    ++counters_.bad_messages;
    return false;
  }
  switch (line.kind) {
    case Kind::kReceived:
      frame = line.frame;
      return true;
    case Kind::kOk:
      return false;
    case Kind::kError:
      ++counters_.adapter_errors;
      return false;
    default:
      ++counters_.bad_messages;
      return false;
  }
}

CanPortCounters FdcanusbPort::counters() const {
  CanPortCounters counters = counters_;
  counters.skipped_bytes = reader_.skipped_bytes();
  return counters;
}

}  // namespace demorl
