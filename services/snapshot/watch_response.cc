#include "services/snapshot/watch_response.h"

#include <string>
#include <utility>

#include "demorl/snapshot/v1/snapshot_service.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "services/snapshot/snapshot_conversion.h"

namespace demorl {
namespace {

using ::google::protobuf::internal::WireFormatLite;

// Everything of the message but the payload's bytes, which come last.
std::string Header(const StoredSnapshot& snapshot) {
  demorl::snapshot::v1::WatchResponse response;
  *response.mutable_metadata() = InfoToProto(snapshot.info);
  std::string header;
  {
    google::protobuf::io::StringOutputStream stream(&header);
    google::protobuf::io::CodedOutputStream coded(&stream);
    response.SerializeToCodedStream(&coded);
    coded.WriteTag(WireFormatLite::MakeTag(demorl::snapshot::v1::WatchResponse::kPayloadFieldNumber,
                                           WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
    coded.WriteVarint64(snapshot.payload.size());
  }
  return header;
}

}  // namespace

grpc::ByteBuffer MakeWatchResponse(std::shared_ptr<const StoredSnapshot> snapshot) {
  auto* const holder = new std::shared_ptr<const StoredSnapshot>(std::move(snapshot));
  const std::string& payload = (*holder)->payload;
  const grpc::Slice slices[] = {
      grpc::Slice(Header(**holder)),
      grpc::Slice(
          const_cast<char*>(payload.data()), payload.size(),
          [](void* user_data) { delete static_cast<std::shared_ptr<const StoredSnapshot>*>(user_data); },
          holder)};
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace demorl
