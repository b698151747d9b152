#include "common/config/loader.h"

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/file_io.h"
#include "common/base/nearest_names.h"
#include "common/base/status_macros.h"
#include "common/config/text_position.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"

namespace demorl {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using ::google::protobuf::TextFormat;

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->name());
  }
  return names;
}

// " (nearest: a, b)", or empty when nothing is near.
std::string DidYouMean(absl::string_view name, const std::vector<std::string>& known) {
  const std::vector<std::string> nearest = NearestNames(name, known);
  return nearest.empty() ? "" : absl::StrCat(" (nearest: ", absl::StrJoin(nearest, ", "), ")");
}

// Keeps the first error; what follows it is mostly its consequence.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (message_.empty()) {
      line_ = line;
      column_ = column;
      message_ = message;
    }
  }
  void AddWarning(int, google::protobuf::io::ColumnNumber, const std::string&) override {}

  // From 0; -1 when unknown.
  int line() const { return line_; }
  int column() const { return column_; }
  const std::string& message() const { return message_; }

 private:
  int line_ = -1;
  int column_ = -1;
  std::string message_;
};

// The text between the first two double quotes after `prefix`.
std::string QuotedAfter(const std::string& message, absl::string_view prefix) {
  const size_t start = message.find(std::string(prefix) + "\"");
  if (start == std::string::npos) {
    return "";
  }
  const size_t begin = start + prefix.size() + 1;
  const size_t end = message.find('"', begin);
  return end == std::string::npos ? "" : message.substr(begin, end - begin);
}

// The parser's own message, with the nearest fields or enum values where a name is unknown.
std::string Explain(const std::string& message, const google::protobuf::DescriptorPool& pool) {
  const std::string field = QuotedAfter(message, "has no field named ");
  if (const Descriptor* type = pool.FindMessageTypeByName(QuotedAfter(message, "Message type "));
      type != nullptr && !field.empty()) {
    return absl::StrCat("unknown field \"", field, "\" of ", type->name(),
                        DidYouMean(field, FieldNames(*type)));
  }
  return message;
}

absl::Status ParseText(const std::string& text, absl::string_view source, Message* message) {
  FirstError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(text, message)) {
    return absl::OkStatus();
  }
  const std::string explanation = Explain(error.message(), *message->GetDescriptor()->file()->pool());
  if (error.line() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", explanation));
  }
  const std::string path = PathAtPosition(text, error.line(), error.column());
  return absl::InvalidArgumentError(absl::StrCat(source, ":", error.line() + 1, ":", error.column() + 1, ": ",
                                                 path.empty() ? "" : absl::StrCat("in ", path, ": "),
                                                 explanation));
}

// Clears the repeated fields of `target` that `overlay` sets, so that merging replaces instead of appending.
void ClearReplacedLists(const Message& overlay, Message* target) {
  const Reflection& reflection = *overlay.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(overlay, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      reflection.ClearField(target, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && reflection.HasField(*target, field)) {
      ClearReplacedLists(reflection.GetMessage(overlay, field), reflection.MutableMessage(target, field));
    }
  }
}

// One step of an override's path: a field, perhaps with an element in brackets.
struct PathStep {
  std::string field;
  std::string element;
  bool has_element = false;
};

absl::StatusOr<PathStep> ParseStep(absl::string_view text) {
  PathStep step;
  const size_t bracket = text.find('[');
  step.field = std::string(absl::StripAsciiWhitespace(text.substr(0, bracket)));
  if (bracket != absl::string_view::npos) {
    if (text.back() != ']' || text.size() < bracket + 3) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text, "\" is not a field or field[index]; an index is a number or a name"));
    }
    step.has_element = true;
    step.element = std::string(text.substr(bracket + 1, text.size() - bracket - 2));
  }
  return step;
}

// Finds an element of a repeated field by number, or by the value of the elements' field "name".
// `size_allowed` also accepts the index just past the end.
absl::StatusOr<int> FindElement(const Message& message, const FieldDescriptor& field, const PathStep& step,
                                bool size_allowed) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  if (int index = 0; absl::SimpleAtoi(step.element, &index)) {
    if (index < 0 || index > size || (index == size && !size_allowed)) {
      return absl::InvalidArgumentError(
          absl::StrCat(step.field, "[", step.element, "]: the list has ", size, " elements, counted from 0"));
    }
    return index;
  }
  std::vector<std::string> names;
  const FieldDescriptor* name = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE
                                    ? field.message_type()->FindFieldByName("name")
                                    : nullptr;
  if (name != nullptr && name->cpp_type() == FieldDescriptor::CPPTYPE_STRING && !name->is_repeated()) {
    for (int i = 0; i < size; ++i) {
      const Message& element = reflection.GetRepeatedMessage(message, &field, i);
      names.push_back(element.GetReflection()->GetString(element, name));
      if (names.back() == step.element) {
        return i;
      }
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(step.field, "[", step.element,
                                                 "]: no such element; there are ", size,
                                                 names.empty() ? "" : ": ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<const FieldDescriptor*> FindField(const Descriptor& type, const std::string& name,
                                                 absl::string_view path) {
  const FieldDescriptor* field = type.FindFieldByName(name);
  if (field == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown field \"", name, "\" of ", type.name(), " in \"",
                                                   path, "\"", DidYouMean(name, FieldNames(type))));
  }
  return field;
}

// The message that holds the last step's field; messages on the way are made present.
absl::StatusOr<Message*> Descend(const std::vector<PathStep>& steps, absl::string_view path,
                                 Message* message) {
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    ASSIGN_OR_RETURN(const FieldDescriptor* field,
                     FindField(*message->GetDescriptor(), steps[i].field, path));
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return absl::InvalidArgumentError(absl::StrCat("\"", steps[i].field, "\" in \"", path, "\" is ",
                                                     field->type_name(), " and has no fields"));
    }
    if (field->is_repeated() != steps[i].has_element) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", steps[i].field, "\" in \"", path, "\" ",
          field->is_repeated() ? "is a list: write field[index]" : "is no list: it takes no index"));
    }
    const Reflection& reflection = *message->GetReflection();
    if (field->is_repeated()) {
      ASSIGN_OR_RETURN(const int index, FindElement(*message, *field, steps[i], false));
      message = reflection.MutableRepeatedMessage(message, field, index);
    } else {
      message = reflection.MutableMessage(message, field);
    }
  }
  return message;
}

std::string QuotedUnlessQuoted(absl::string_view value) {
  value = absl::StripAsciiWhitespace(value);
  if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0]) {
    return std::string(value);
  }
  return absl::StrCat("\"", absl::CEscape(value), "\"");
}

// Strings may be written without quotes, enum values without their prefix and in any case.
std::string ScalarText(const FieldDescriptor& field, absl::string_view value) {
  value = absl::StripAsciiWhitespace(value);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    return QuotedUnlessQuoted(value);
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    const std::string upper = absl::AsciiStrToUpper(value);
    for (int i = 0; i < field.enum_type()->value_count(); ++i) {
      const std::string& name = field.enum_type()->value(i)->name();
      if (name == upper || (!upper.empty() && absl::EndsWith(name, "_" + upper) &&
                            field.enum_type()->FindValueByName(upper) == nullptr)) {
        return name;
      }
    }
  }
  return std::string(value);
}

std::string ValueText(const FieldDescriptor& field, absl::string_view value) {
  value = absl::StripAsciiWhitespace(value);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return absl::StrCat(field.name(), " ", value);
  }
  const bool is_list = field.is_repeated() && absl::StartsWith(value, "[") && absl::EndsWith(value, "]");
  if (!is_list) {
    return absl::StrCat(field.name(), ": ", ScalarText(field, value));
  }
  std::vector<std::string> elements;
  const absl::string_view inside = absl::StripAsciiWhitespace(value.substr(1, value.size() - 2));
  if (!inside.empty()) {
    for (absl::string_view element : absl::StrSplit(inside, ',')) {
      elements.push_back(ScalarText(field, element));
    }
  }
  return absl::StrCat(field.name(), ": [", absl::StrJoin(elements, ", "), "]");
}

std::string AllowedText(const FieldDescriptor& field) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM) {
    return absl::StrCat(field.is_repeated() ? "a list of " : "", field.type_name());
  }
  std::vector<std::string> names;
  for (int i = 1; i < field.enum_type()->value_count(); ++i) {
    names.push_back(field.enum_type()->value(i)->name());
  }
  return absl::StrCat("one of ", absl::StrJoin(names, ", "));
}

// Sets the last step's field in `parent` to the parsed `value`.
absl::Status Assign(const PathStep& step, absl::string_view path, absl::string_view value, Message* parent) {
  ASSIGN_OR_RETURN(const FieldDescriptor* field, FindField(*parent->GetDescriptor(), step.field, path));
  if (step.has_element && !field->is_repeated()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", step.field, "\" in \"", path, "\" is no list"));
  }
  const std::unique_ptr<Message> parsed(parent->New());
  FirstError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  const Reflection& reflection = *parent->GetReflection();
  // A value that ends the field and starts another one is as wrong as one that does not parse.
  std::vector<const FieldDescriptor*> set;
  if (parser.ParseFromString(ValueText(*field, value), parsed.get())) {
    reflection.ListFields(*parsed, &set);
  }
  const bool is_empty_list = field->is_repeated() && absl::StripAsciiWhitespace(value) == "[]";
  const bool fits =
      is_empty_list ? set.empty() && error.message().empty() : set.size() == 1 && set[0] == field;
  if (!fits || (step.has_element && reflection.FieldSize(*parsed, field) != 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is ", step.has_element ? field->type_name() : AllowedText(*field), ", found \"", value, "\"",
        error.message().empty() ? ""
                                : absl::StrCat(" (", Explain(error.message(), *field->file()->pool()), ")")));
  }
  if (!step.has_element) {
    reflection.ClearField(parent, field);
    parent->MergeFrom(*parsed);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int index, FindElement(*parent, *field, step, true));
  const int size = reflection.FieldSize(*parent, field);
  parent->MergeFrom(*parsed);
  if (index < size) {
    reflection.SwapElements(parent, field, index, size);
    reflection.RemoveLast(parent, field);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MergeTextProto(absl::string_view text, absl::string_view source, Message* message) {
  const std::unique_ptr<Message> overlay(message->New());
  RETURN_IF_ERROR(ParseText(std::string(text), source, overlay.get()));
  ClearReplacedLists(*overlay, message);
  message->MergeFrom(*overlay);
  return absl::OkStatus();
}

absl::Status MergeTextProtoFile(const std::filesystem::path& path, Message* message) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return MergeTextProto(text, path.string(), message);
}

absl::Status ApplyOverride(absl::string_view assignment, Message* message) {
  const size_t equals = assignment.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "override \"", assignment, "\" is not of the form path=value, such as sac.batch_size=512"));
  }
  const absl::string_view path = absl::StripAsciiWhitespace(assignment.substr(0, equals));
  std::vector<PathStep> steps;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    ASSIGN_OR_RETURN(PathStep step, ParseStep(part));
    steps.push_back(std::move(step));
  }
  const std::unique_ptr<Message> changed(message->New());
  changed->CopyFrom(*message);
  ASSIGN_OR_RETURN(Message * parent, Descend(steps, path, changed.get()));
  RETURN_IF_ERROR(Assign(steps.back(), path, assignment.substr(equals + 1), parent));
  message->CopyFrom(*changed);
  return absl::OkStatus();
}

}  // namespace demorl
