#pragma once

#include <memory>

#include "grpcpp/support/byte_buffer.h"
#include "services/snapshot/core/snapshot_record.h"

namespace demorl {

// The bytes of a demorl.snapshot.v1.WatchResponse. The payload is not copied: every watcher's message refers
// to the same snapshot and keeps it alive.
grpc::ByteBuffer MakeWatchResponse(std::shared_ptr<const StoredSnapshot> snapshot);

}  // namespace demorl
