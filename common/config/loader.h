#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace demorl {

// Configuration is one proto2 message per component, written as text proto. An unknown field, a wrong type
// and a value outside its declared (range) are errors that name the field's path, what was found and what is
// allowed.

// Merges a text proto over `message`: what it sets wins, a repeated field that it names replaces the whole
// previous list. `source` names the text in errors ("file.textproto:12:3: ..."). Leaves `message` as it was
// on an error.
absl::Status MergeTextProto(absl::string_view text, absl::string_view source,
                            google::protobuf::Message* message);

// Reads a file and merges it.
absl::Status MergeTextProtoFile(const std::filesystem::path& path, google::protobuf::Message* message);

// Applies "path=value", for example "sac.batch_size=512", "sac.hidden_sizes=[64,64]",
// "replay.tables[0].max_rows=1000" or, by the element's name, "replay.tables[env].max_rows=1000". An unknown
// path names the nearest known fields. Leaves `message` as it was on an error.
absl::Status ApplyOverride(absl::string_view assignment, google::protobuf::Message* message);

// Sets every unset singular scalar that has a default to it, in `message` and all messages below it that are
// present, so that the text form shows all that is in effect. The sections of a component (fields of
// `message` itself whose type is named ...Config) are made present; deeper down absence has a meaning, as in
// a schedule that is not set, and stays.
void FillDefaults(google::protobuf::Message* message);

// Checks every (range) option below `message`, and that every number is finite. Names each offender.
absl::Status ValidateRanges(const google::protobuf::Message& message);

// The text form, and a hash of it (16 hexadecimal digits) for lineage and for refusing another configuration.
std::string ToTextProto(const google::protobuf::Message& message);
std::string ConfigHash(const google::protobuf::Message& message);

// Fields in which two messages of one type differ, one "path: a != b" each. A field that is not set counts as
// its default.
std::vector<std::string> Differences(const google::protobuf::Message& a, const google::protobuf::Message& b);

}  // namespace demorl
