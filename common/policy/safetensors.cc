#include "common/policy/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace demorl {
namespace {

static_assert(std::endian::native == std::endian::little, "float32 data is copied as it lies in memory");

using Json = nlohmann::json;

constexpr absl::string_view kMetadataKey = "__metadata__";
constexpr size_t kLengthBytes = 8;
// The limit of the reference implementation.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// {tensor: {"shape": [..]}}.
constexpr int kMaxDepth = 3;

// A tensor as the header describes it; offsets into the data section.
struct TensorEntry {
  std::string name;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed safetensors file: ", what));
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Parses JSON and refuses what a plain parse lets pass: repeated keys and deep nesting.
absl::StatusOr<Json> ParseStrictly(absl::string_view text) {
  std::vector<std::set<std::string>> keys(kMaxDepth + 2);
  std::string problem;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (depth >= kMaxDepth) {
        problem = "header nested too deeply";
        return false;
      }
      keys[depth + 1].clear();
    } else if (event == Json::parse_event_t::key && problem.empty()) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!keys[depth].insert(key).second) {
        problem = absl::StrCat("name '", key, "' occurs twice in the header");
      }
    }
    return problem.empty();
  };
  Json header = Json::parse(text.begin(), text.end(), check, /*allow_exceptions=*/false);
  if (!problem.empty()) {
    return Malformed(problem);
  }
  if (!header.is_object()) {
    return Malformed("the header is not a JSON object");
  }
  return header;
}

// Number of bytes of a float32 tensor; INVALID_ARGUMENT if it does not fit in 63 bits.
absl::StatusOr<uint64_t> NumBytes(const TensorEntry& entry) {
  int64_t bytes = sizeof(float);
  for (const int64_t size : entry.shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) {
      return Malformed(absl::StrCat("shape ", ShapeText(entry.shape), " of '", entry.name, "' is too large"));
    }
  }
  return static_cast<uint64_t>(bytes);
}

absl::StatusOr<std::vector<uint64_t>> UnsignedList(const Json& json, absl::string_view name,
                                                   const char* field) {
  const auto found = json.find(field);
  if (found == json.end() || !found->is_array()) {
    return Malformed(absl::StrCat("'", name, "' has no list '", field, "'"));
  }
  std::vector<uint64_t> values;
  for (const Json& value : *found) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      return Malformed(absl::StrCat("'", field, "' of '", name, "' holds ", value.dump().substr(0, 64),
                                    ", not a whole number of at most 63 bits"));
    }
    values.push_back(value.get<uint64_t>());
  }
  return values;
}

absl::StatusOr<TensorEntry> ParseEntry(const std::string& name, const Json& json) {
  if (!json.is_object() || json.size() != 3) {
    return Malformed(absl::StrCat("'", name, "' is not described by dtype, shape and data_offsets"));
  }
  const auto dtype = json.find("dtype");
  if (dtype == json.end() || *dtype != "F32") {
    return Malformed(absl::StrCat("'", name, "' has dtype ",
                                  dtype == json.end() ? "(none)" : dtype->dump(-1, ' ', true).substr(0, 64),
                                  "; only F32 is allowed"));
  }
  TensorEntry entry{.name = name};
  ASSIGN_OR_RETURN(const std::vector<uint64_t> shape, UnsignedList(json, name, "shape"));
  entry.shape.assign(shape.begin(), shape.end());
  ASSIGN_OR_RETURN(const std::vector<uint64_t> offsets, UnsignedList(json, name, "data_offsets"));
  if (offsets.size() != 2) {
    return Malformed(absl::StrCat("'", name, "' has ", offsets.size(), " data_offsets instead of 2"));
  }
  entry.begin = offsets[0];
  entry.end = offsets[1];
  return entry;
}

// Offsets must tile the data section without gap or overlap, and each range must fit its shape.
absl::Status CheckLayout(std::vector<TensorEntry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const TensorEntry& entry : entries) {
    ASSIGN_OR_RETURN(const uint64_t num_bytes, NumBytes(entry));
    if (entry.begin != position || entry.end < entry.begin || entry.end > data_bytes) {
      return Malformed(absl::StrCat("'", entry.name, "' lies at bytes ", entry.begin, " to ", entry.end,
                                    "; expected a start at ", position, " and an end of at most ",
                                    data_bytes));
    }
    if (entry.end - entry.begin != num_bytes) {
      return Malformed(absl::StrCat("'", entry.name, "' has ", entry.end - entry.begin, " bytes, its shape ",
                                    ShapeText(entry.shape), " needs ", num_bytes));
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    return Malformed(absl::StrCat(data_bytes - position, " bytes of data belong to no tensor"));
  }
  return absl::OkStatus();
}

absl::Status ParseMetadata(const Json& json, std::map<std::string, std::string>* metadata) {
  if (!json.is_object()) {
    return Malformed("__metadata__ is not an object");
  }
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return Malformed(absl::StrCat("metadata '", key, "' is not a string"));
    }
    (*metadata)[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeSafetensors(const TensorFile& file) {
  Json header = Json::object();
  if (!file.metadata.empty()) {
    header[std::string(kMetadataKey)] = file.metadata;
  }
  uint64_t position = 0;
  for (const auto& [name, tensor] : file.tensors) {
    DEMORL_CHECK(name != kMetadataKey);
    uint64_t count = 1;
    for (const int64_t size : tensor.shape) {
      count *= static_cast<uint64_t>(size);
    }
    DEMORL_CHECK_MSG(count == tensor.values.size(), name);
    const uint64_t end = position + count * sizeof(float);
    header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that data is aligned in a mapped file
  const uint64_t header_bytes = text.size();

  std::string bytes;
  bytes.reserve(kLengthBytes + text.size() + position);
  bytes.append(reinterpret_cast<const char*>(&header_bytes), kLengthBytes);
  bytes.append(text);
  for (const auto& [name, tensor] : file.tensors) {
    bytes.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  }
  return bytes;
}

absl::StatusOr<TensorFile> DecodeSafetensors(absl::string_view bytes) {
  if (bytes.size() < kLengthBytes) {
    return Malformed(absl::StrCat(bytes.size(), " bytes, at least ", kLengthBytes, " are needed"));
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), kLengthBytes);
  const uint64_t header_limit = std::min<uint64_t>(bytes.size() - kLengthBytes, kMaxHeaderBytes);
  if (header_bytes > header_limit) {
    return Malformed(absl::StrCat("header length ", header_bytes, ", at most ", header_limit, " is allowed"));
  }
  const absl::string_view data = bytes.substr(kLengthBytes + header_bytes);
  ASSIGN_OR_RETURN(const Json header, ParseStrictly(bytes.substr(kLengthBytes, header_bytes)));

  TensorFile file;
  std::vector<TensorEntry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadataKey) {
      RETURN_IF_ERROR(ParseMetadata(json, &file.metadata));
    } else {
      ASSIGN_OR_RETURN(TensorEntry entry, ParseEntry(name, json));
      entries.push_back(std::move(entry));
    }
  }
  RETURN_IF_ERROR(CheckLayout(entries, data.size()));
  for (TensorEntry& entry : entries) {
    NamedTensor& tensor = file.tensors[entry.name];
    tensor.shape = std::move(entry.shape);
    tensor.values.resize((entry.end - entry.begin) / sizeof(float));
    if (!tensor.values.empty()) {
      std::memcpy(tensor.values.data(), data.data() + entry.begin, entry.end - entry.begin);
    }
  }
  return file;
}

absl::Status CheckFinite(const TensorFile& file) {
  for (const auto& [name, tensor] : file.tensors) {
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      if (!std::isfinite(tensor.values[i])) {
        return absl::InvalidArgumentError(
            absl::StrCat("tensor '", name, "' holds ", tensor.values[i], " at element ", i));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const NamedTensor*> FindTensor(const TensorFile& file, absl::string_view name,
                                              const std::vector<int64_t>& shape) {
  const auto found = file.tensors.find(std::string(name));
  if (found == file.tensors.end()) {
    return absl::NotFoundError(absl::StrCat("no tensor '", name, "' of shape ", ShapeText(shape)));
  }
  if (found->second.shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor '", name, "' has shape ", ShapeText(found->second.shape), ", expected ", ShapeText(shape)));
  }
  return &found->second;
}

}  // namespace demorl
