#include "common/rl/torch_state.h"

#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// magic; number of tensors; per tensor: name, type, rank, sizes, values; number of word lists; per list:
// name, length, words; CRC-32C of everything before it. Little-endian.
constexpr absl::string_view kMagic = "DMRLSTA1";
constexpr int kMaxRank = 8;

constexpr std::pair<uint8_t, at::ScalarType> kTypes[] = {
    {1, at::kFloat}, {2, at::kDouble}, {3, at::kLong}, {4, at::kByte}};

uint8_t TypeCode(at::ScalarType type) {
  for (const auto& [code, known] : kTypes) {
    if (known == type) {
      return code;
    }
  }
  DEMORL_CHECK_MSG(false, "a state holds float32, float64, int64 and uint8 only");
}

std::optional<at::ScalarType> TypeOfCode(uint8_t code) {
  for (const auto& [known, type] : kTypes) {
    if (known == code) {
      return type;
    }
  }
  return std::nullopt;
}

template <typename T>
void Put(std::string* out, T value) {
  static_assert(std::is_integral_v<T>);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutName(std::string* out, const std::string& name) {
  Put<uint32_t>(out, static_cast<uint32_t>(name.size()));
  out->append(name);
}

// Reads from the front; every read checks what is left.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  absl::StatusOr<T> Take() {
    ASSIGN_OR_RETURN(const absl::string_view raw, TakeBytes(sizeof(T)));
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  absl::StatusOr<absl::string_view> TakeBytes(uint64_t size) {
    if (size > bytes_.size()) {
      return absl::DataLossError(
          absl::StrCat("learner state is cut: needs ", size, " more bytes, ", bytes_.size(), " are left"));
    }
    const absl::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  absl::StatusOr<std::string> TakeName() {
    ASSIGN_OR_RETURN(const uint32_t size, Take<uint32_t>());
    ASSIGN_OR_RETURN(const absl::string_view name, TakeBytes(size));
    return std::string(name);
  }

  uint64_t left() const { return bytes_.size(); }

 private:
  absl::string_view bytes_;
};

void PutTensor(std::string* out, const at::Tensor& tensor) {
  const at::Tensor source = tensor.detach().to(at::kCPU).contiguous();
  Put<uint8_t>(out, TypeCode(source.scalar_type()));
  Put<uint8_t>(out, static_cast<uint8_t>(source.dim()));
  for (const int64_t size : source.sizes()) {
    Put<int64_t>(out, size);
  }
  out->append(static_cast<const char*>(source.data_ptr()), source.nbytes());
}

absl::StatusOr<at::Tensor> TakeTensor(Reader& reader) {
  ASSIGN_OR_RETURN(const uint8_t code, reader.Take<uint8_t>());
  ASSIGN_OR_RETURN(const uint8_t rank, reader.Take<uint8_t>());
  const std::optional<at::ScalarType> type = TypeOfCode(code);
  if (!type.has_value() || rank > kMaxRank) {
    return absl::DataLossError(
        absl::StrCat("learner state holds a tensor of type ", code, " and rank ", rank));
  }
  std::vector<int64_t> shape(rank);
  uint64_t bytes = c10::elementSize(*type);
  for (int64_t& size : shape) {
    ASSIGN_OR_RETURN(size, reader.Take<int64_t>());
    if (size < 0 || (size > 0 && bytes > reader.left() / static_cast<uint64_t>(size))) {
      return absl::DataLossError(
          absl::StrCat("learner state holds a tensor larger than itself: size ", size));
    }
    bytes *= static_cast<uint64_t>(size);
  }
  ASSIGN_OR_RETURN(const absl::string_view raw, reader.TakeBytes(bytes));
  at::Tensor tensor = at::empty(shape, at::TensorOptions(*type));
  if (!raw.empty()) {
    std::memcpy(tensor.data_ptr(), raw.data(), raw.size());
  }
  return tensor;
}

absl::StatusOr<std::vector<uint64_t>> TakeWords(Reader& reader) {
  ASSIGN_OR_RETURN(const uint32_t count, reader.Take<uint32_t>());
  ASSIGN_OR_RETURN(const absl::string_view raw, reader.TakeBytes(uint64_t{count} * sizeof(uint64_t)));
  std::vector<uint64_t> words(count);
  if (count > 0) {
    std::memcpy(words.data(), raw.data(), raw.size());
  }
  return words;
}

std::string Describe(const at::Tensor& tensor) {
  return absl::StrCat(c10::toString(tensor.scalar_type()), "[", absl::StrJoin(tensor.sizes().vec(), ","),
                      "]");
}

}  // namespace

std::string EncodeTorchState(const TorchState& state) {
  std::string out(kMagic);
  Put<uint32_t>(&out, static_cast<uint32_t>(state.tensors.size()));
  for (const auto& [name, tensor] : state.tensors) {
    PutName(&out, name);
    PutTensor(&out, tensor);
  }
  Put<uint32_t>(&out, static_cast<uint32_t>(state.words.size()));
  for (const auto& [name, words] : state.words) {
    PutName(&out, name);
    Put<uint32_t>(&out, static_cast<uint32_t>(words.size()));
    out.append(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(uint64_t));
  }
  Put<uint32_t>(&out, Crc32c(out));
  return out;
}

absl::StatusOr<TorchState> DecodeTorchState(absl::string_view bytes) {
  if (bytes.size() < kMagic.size() + sizeof(uint32_t) || bytes.substr(0, kMagic.size()) != kMagic) {
    return absl::DataLossError(
        absl::StrCat("learner state of ", bytes.size(), " bytes does not begin with ", kMagic));
  }
  uint32_t stored_crc;
  std::memcpy(&stored_crc, bytes.data() + bytes.size() - sizeof(stored_crc), sizeof(stored_crc));
  bytes.remove_suffix(sizeof(stored_crc));
  if (const uint32_t crc = Crc32c(bytes); crc != stored_crc) {
    return absl::DataLossError(
        absl::StrCat("learner state is damaged: CRC-32C is ", crc, ", should be ", stored_crc));
  }
  Reader reader(bytes.substr(kMagic.size()));
  TorchState state;
  ASSIGN_OR_RETURN(const uint32_t num_tensors, reader.Take<uint32_t>());
  for (uint32_t i = 0; i < num_tensors; ++i) {
    ASSIGN_OR_RETURN(const std::string name, reader.TakeName());
    ASSIGN_OR_RETURN(state.tensors[name], TakeTensor(reader));
  }
  ASSIGN_OR_RETURN(const uint32_t num_lists, reader.Take<uint32_t>());
  for (uint32_t i = 0; i < num_lists; ++i) {
    ASSIGN_OR_RETURN(const std::string name, reader.TakeName());
    ASSIGN_OR_RETURN(state.words[name], TakeWords(reader));
  }
  if (reader.left() != 0) {
    return absl::DataLossError(absl::StrCat("learner state has ", reader.left(), " bytes too many"));
  }
  return state;
}

absl::Status LoadTensors(const TorchState& state, const std::map<std::string, at::Tensor>& destinations) {
  for (const auto& [name, destination] : destinations) {
    const auto found = state.tensors.find(name);
    if (found == state.tensors.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("state has no tensor ", name, "; needed: ", Describe(destination)));
    }
    if (found->second.sizes() != destination.sizes() ||
        found->second.scalar_type() != destination.scalar_type()) {
      return absl::InvalidArgumentError(absl::StrCat("state holds ", name, " as ", Describe(found->second),
                                                     "; needed: ", Describe(destination)));
    }
  }
  for (const auto& [name, destination] : destinations) {
    at::Tensor target = destination;
    target.copy_(state.tensors.at(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> LoadWords(const TorchState& state, absl::string_view name,
                                                size_t count) {
  const auto found = state.words.find(std::string(name));
  if (found == state.words.end() || found->second.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("state has ",
                                                   found == state.words.end() ? 0 : found->second.size(),
                                                   " words under ", name, "; needed: ", count));
  }
  return found->second;
}

}  // namespace demorl
