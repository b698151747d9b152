#include "common/config/text_position.h"

#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace demorl {
namespace {

constexpr int kTabWidth = 8;

// Walks over the text and keeps the stack of open messages.
class Walker {
 public:
  std::string PathAt(absl::string_view text, int line, int column) {
    for (size_t i = 0; i < text.size() && (line_ < line || (line_ == line && column_ < column)); ++i) {
      Take(text[i]);
      Advance(text[i]);
    }
    std::vector<std::string> names;
    for (const Level& level : open_) {
      names.push_back(level.name);
    }
    return absl::StrJoin(names, ".");
  }

 private:
  struct Level {
    std::string name;
    // How often each message was opened inside, to number the elements of lists.
    std::map<std::string, int> opened;
  };

  void Advance(char c) {
    if (c == '\n') {
      ++line_;
      column_ = 0;
    } else {
      column_ = c == '\t' ? (column_ / kTabWidth + 1) * kTabWidth : column_ + 1;
    }
  }

  void Take(char c) {
    if (in_comment_) {
      in_comment_ = c != '\n';
    } else if (quote_ != 0) {
      TakeQuoted(c);
    } else if (c == '#') {
      in_comment_ = true;
    } else if (c == '"' || c == '\'') {
      quote_ = c;
    } else if (c == '{' || c == '<') {
      Open();
    } else if (c == '}' || c == '>') {
      Close();
    } else if (absl::ascii_isalnum(c) || c == '_') {
      word_ = word_ended_ ? std::string(1, c) : word_ + c;
      word_ended_ = false;
    } else {
      word_ended_ = true;
    }
  }

  void TakeQuoted(char c) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == quote_) {
      quote_ = 0;
    }
  }

  void Open() {
    const int index = (open_.empty() ? top_ : open_.back()).opened[word_]++;
    open_.push_back({.name = index == 0 ? word_ : absl::StrCat(word_, "[", index, "]"), .opened = {}});
    word_ended_ = true;
  }

  void Close() {
    if (!open_.empty()) {
      open_.pop_back();
    }
    word_ended_ = true;
  }

  Level top_;
  std::vector<Level> open_;
  std::string word_;
  bool word_ended_ = true;
  bool in_comment_ = false;
  bool escaped_ = false;
  char quote_ = 0;
  int line_ = 0;
  int column_ = 0;
};

}  // namespace

std::string PathAtPosition(absl::string_view text, int line, int column) {
  return Walker().PathAt(text, line, column);
}

}  // namespace demorl
