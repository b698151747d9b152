#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace demorl {

// Feeds `bytes` in pieces of `piece` bytes and calls `handle` on each message.
template <typename Parser, typename Message, typename Handle>
void FeedParser(Parser& parser, std::span<const uint8_t> bytes, size_t piece, Handle handle) {
  Message message;
  while (!bytes.empty()) {
    const std::span<uint8_t> space = parser.window().FreeSpace();
    const size_t count = std::min({piece, space.size(), bytes.size()});
    if (count == 0) {
      std::abort();  // a parser that is full and finds nothing would stay so for ever
    }
    std::copy_n(bytes.begin(), count, space.begin());
    parser.window().Commit(count);
    bytes = bytes.subspan(count);
    while (parser.Next(message)) {
      handle(message);
    }
  }
}

// The first byte chooses how the others are split; the split must not change what is found. `digest` turns a
// message into a number.
template <typename Parser, typename Message, typename Digest>
void CheckSplitChangesNothing(std::span<const uint8_t> input, Digest digest) {
  if (input.empty()) {
    return;
  }
  const std::span<const uint8_t> bytes = input.subspan(1);
  const auto parse = [&bytes, &digest](size_t piece) {
    Parser parser;
    std::vector<uint64_t> found;
    FeedParser<Parser, Message>(parser, bytes, piece, [&](const Message& m) { found.push_back(digest(m)); });
    found.push_back(parser.bad_messages());
    found.push_back(parser.window().skipped_bytes());
    return found;
  };
  if (parse(bytes.size()) != parse(1 + input[0] % 16)) {
    std::abort();
  }
}

inline uint64_t Fnv(std::span<const uint8_t> bytes, uint64_t hash = 14695981039346656037u) {
  for (const uint8_t byte : bytes) {
    hash = (hash ^ byte) * 1099511628211u;
  }
  return hash;
}

}  // namespace demorl
