// The part of loader.h that walks over messages by reflection.

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/config/loader.h"
#include "demorl/config/v1/range.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"

namespace demorl {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using ::google::protobuf::TextFormat;

bool IsMessage(const FieldDescriptor& field) { return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE; }

void SetToDefault(const FieldDescriptor& field, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.SetInt32(message, &field, field.default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.SetInt64(message, &field, field.default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.SetUInt32(message, &field, field.default_value_uint32());
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.SetUInt64(message, &field, field.default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.SetDouble(message, &field, field.default_value_double());
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.SetFloat(message, &field, field.default_value_float());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(message, &field, field.default_value_bool());
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.SetEnum(message, &field, field.default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(message, &field, field.default_value_string());
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return;
  }
}

void FillPresent(Message* message) {
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message->GetDescriptor()->field(i);
    if (!IsMessage(field)) {
      if (field.has_default_value() && !reflection.HasField(*message, &field)) {
        SetToDefault(field, message);
      }
    } else if (field.is_repeated()) {
      for (int k = 0; k < reflection.FieldSize(*message, &field); ++k) {
        FillPresent(reflection.MutableRepeatedMessage(message, &field, k));
      }
    } else if (reflection.HasField(*message, &field)) {
      FillPresent(reflection.MutableMessage(message, &field));
    }
  }
}

// Element `index` of a numeric field, or the singular value for -1; nothing for other types.
bool GetNumber(const Message& message, const FieldDescriptor& field, int index, double* value) {
  const Reflection& reflection = *message.GetReflection();
  const bool repeated = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      *value = repeated ? reflection.GetRepeatedInt32(message, &field, index)
                        : reflection.GetInt32(message, &field);
      return true;
    case FieldDescriptor::CPPTYPE_INT64:
      *value = static_cast<double>(repeated ? reflection.GetRepeatedInt64(message, &field, index)
                                            : reflection.GetInt64(message, &field));
      return true;
    case FieldDescriptor::CPPTYPE_UINT32:
      *value = repeated ? reflection.GetRepeatedUInt32(message, &field, index)
                        : reflection.GetUInt32(message, &field);
      return true;
    case FieldDescriptor::CPPTYPE_UINT64:
      *value = static_cast<double>(repeated ? reflection.GetRepeatedUInt64(message, &field, index)
                                            : reflection.GetUInt64(message, &field));
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      *value = repeated ? reflection.GetRepeatedDouble(message, &field, index)
                        : reflection.GetDouble(message, &field);
      return true;
    case FieldDescriptor::CPPTYPE_FLOAT:
      *value = repeated ? reflection.GetRepeatedFloat(message, &field, index)
                        : reflection.GetFloat(message, &field);
      return true;
    default:
      return false;
  }
}

std::string AllowedText(const demorl::config::v1::Range& range) {
  std::vector<std::string> parts;
  if (range.has_min()) {
    parts.push_back(absl::StrCat(range.above_min() ? "above " : "at least ", range.min()));
  }
  if (range.has_max()) {
    parts.push_back(absl::StrCat("at most ", range.max()));
  }
  return parts.empty() ? "a finite number" : absl::StrJoin(parts, " and ");
}

bool IsAllowed(double value, const demorl::config::v1::Range& range) {
  if (!std::isfinite(value)) {
    return false;
  }
  if (range.has_min() && (range.above_min() ? !(value > range.min()) : value < range.min())) {
    return false;
  }
  return !range.has_max() || value <= range.max();
}

std::string Join(const std::string& path, const std::string& name) {
  return path.empty() ? name : absl::StrCat(path, ".", name);
}

std::string ElementPath(const std::string& path, int index) { return absl::StrCat(path, "[", index, "]"); }

void CheckNumber(const Message& message, const FieldDescriptor& field, int index, const std::string& path,
                 std::vector<std::string>* errors) {
  double value = 0;
  const demorl::config::v1::Range& range = field.options().GetExtension(demorl::config::v1::range);
  if (GetNumber(message, field, index, &value) && !IsAllowed(value, range)) {
    errors->push_back(absl::StrCat(path, " is ", value, ", allowed is ", AllowedText(range)));
  }
}

void CheckRanges(const Message& message, const std::string& prefix, std::vector<std::string>* errors) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = Join(prefix, field->name());
    if (!field->is_repeated()) {
      IsMessage(*field) ? CheckRanges(reflection.GetMessage(message, field), path, errors)
                        : CheckNumber(message, *field, -1, path, errors);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      const std::string element = ElementPath(path, i);
      IsMessage(*field) ? CheckRanges(reflection.GetRepeatedMessage(message, field, i), element, errors)
                        : CheckNumber(message, *field, i, element, errors);
    }
  }
}

// One value, or the whole of a list, on one line.
std::string FieldText(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  if (!field.is_repeated()) {
    printer.PrintFieldValueToString(message, &field, -1, &text);
    return IsMessage(field) ? absl::StrCat("{ ", text, "}") : text;
  }
  std::vector<std::string> elements;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    printer.PrintFieldValueToString(message, &field, i, &text);
    elements.push_back(IsMessage(field) ? absl::StrCat("{ ", text, "}") : text);
  }
  return absl::StrCat("[", absl::StrJoin(elements, ", "), "]");
}

std::string FieldTextOrNotSet(const Message& message, const FieldDescriptor& field) {
  const bool shows =
      field.is_repeated() || field.has_default_value() || message.GetReflection()->HasField(message, &field);
  return shows ? FieldText(message, field) : "(not set)";
}

void FindDifferences(const Message& a, const Message& b, const std::string& prefix,
                     std::vector<std::string>* differences);

// Lists of messages of one length are compared element by element.
bool CompareElements(const Message& a, const Message& b, const FieldDescriptor& field,
                     const std::string& path, std::vector<std::string>* differences) {
  const Reflection& reflection = *a.GetReflection();
  const int size = reflection.FieldSize(a, &field);
  if (!IsMessage(field) || size != reflection.FieldSize(b, &field)) {
    return false;
  }
  for (int i = 0; i < size; ++i) {
    FindDifferences(reflection.GetRepeatedMessage(a, &field, i), reflection.GetRepeatedMessage(b, &field, i),
                    ElementPath(path, i), differences);
  }
  return true;
}

void FindDifferences(const Message& a, const Message& b, const std::string& prefix,
                     std::vector<std::string>* differences) {
  const Reflection& reflection = *a.GetReflection();
  for (int i = 0; i < a.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *a.GetDescriptor()->field(i);
    const std::string path = Join(prefix, field.name());
    if (field.is_repeated() && CompareElements(a, b, field, path, differences)) {
      continue;
    }
    if (!field.is_repeated() && IsMessage(field) && reflection.HasField(a, &field) &&
        reflection.HasField(b, &field)) {
      FindDifferences(reflection.GetMessage(a, &field), reflection.GetMessage(b, &field), path, differences);
      continue;
    }
    const std::string left = FieldTextOrNotSet(a, field);
    const std::string right = FieldTextOrNotSet(b, field);
    if (left != right) {
      differences->push_back(absl::StrCat(path, ": ", left, " != ", right));
    }
  }
}

}  // namespace

void FillDefaults(Message* message) {
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message->GetDescriptor()->field(i);
    if (IsMessage(field) && !field.is_repeated() && absl::EndsWith(field.message_type()->name(), "Config")) {
      reflection.MutableMessage(message, &field);
    }
  }
  FillPresent(message);
}

absl::Status ValidateRanges(const Message& message) {
  std::vector<std::string> errors;
  CheckRanges(message, "", &errors);
  return errors.empty() ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrJoin(errors, "; "));
}

std::string ToTextProto(const Message& message) {
  TextFormat::Printer printer;
  printer.SetUseShortRepeatedPrimitives(true);
  std::string text;
  printer.PrintToString(message, &text);
  return text;
}

std::string ConfigHash(const Message& message) {
  // FNV-1a, 64 bits: a fingerprint for people and logs, no protection against intent.
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : ToTextProto(message)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return absl::StrFormat("%016x", hash);
}

std::vector<std::string> Differences(const Message& a, const Message& b) {
  std::vector<std::string> differences;
  FindDifferences(a, b, "", &differences);
  return differences;
}

}  // namespace demorl
