#pragma once

#include <cstdint>

#include "demorl/replay/v1/replay_service.pb.h"
#include "services/replay/core/replay_core.h"

namespace demorl {

// Between the core's structs and the wire.

demorl::replay::v1::TableInfo EncodeTableInfo(const TableSummary& table);
demorl::replay::v1::WriterAudit EncodeWriterAudit(const WriterSummary& writer);
demorl::replay::v1::AppendResponse EncodePosition(const WriterPosition& position);
demorl::replay::v1::SampleResponse EncodeBatch(const DrawnBatch& drawn);
demorl::replay::v1::TailResponse EncodeRows(const RowsRead& rows);
RoundClaim DecodeRoundClaim(const demorl::replay::v1::ClaimRoundRequest& request);

// Segments that cannot be decoded are left out, and the rows they seem to have are counted.
TransitionChunk DecodeChunkLeniently(const demorl::common::v1::TransitionChunk& message,
                                     int64_t* malformed_rows);

}  // namespace demorl
