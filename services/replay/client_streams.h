#pragma once

#include <memory>
#include <string>

#include "demorl/replay/v1/replay_service.grpc.pb.h"
#include "services/replay/replay_client.h"

namespace demorl {

// How ReplayClient makes its streams.
std::unique_ptr<ReplayWriter> MakeReplayWriter(std::shared_ptr<demorl::replay::v1::ReplayService::Stub> stub,
                                               const std::string& run_id, const ReplayWriterOptions& options);
std::unique_ptr<BatchSampler> MakeBatchSampler(std::shared_ptr<demorl::replay::v1::ReplayService::Stub> stub,
                                               const std::string& run_id, const BatchSamplerOptions& options);
std::unique_ptr<TableTail> MakeTableTail(std::shared_ptr<demorl::replay::v1::ReplayService::Stub> stub,
                                         const std::string& run_id, const std::string& table,
                                         uint64_t position);

}  // namespace demorl
