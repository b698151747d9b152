#include "common/rpc/security/accepted_tokens.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/certificate.h"
#include "spdlog/spdlog.h"

namespace demorl {

absl::Status AcceptedTokens::ReadLine(absl::string_view line, Entries* entries) {
  const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (words.size() != 2 && words.size() != 3) {
    return absl::InvalidArgumentError("want <role>[/<name>] <sha256 of the token, hex> [<expiry, RFC 3339>]");
  }
  Entry entry = {.expiry = absl::InfiniteFuture()};
  ASSIGN_OR_RETURN(entry.peer, ParsePeer(words[0]));
  const std::string digest = absl::AsciiStrToLower(words[1]);
  if (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the digest has ", digest.size(), " characters or is not hexadecimal; want the 64 of a SHA-256"));
  }
  std::string error;
  if (words.size() == 3 && !absl::ParseTime(absl::RFC3339_full, words[2], &entry.expiry, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", words[2], "\" is no time of RFC 3339, for example 2027-01-31T00:00:00Z"));
  }
  if (!entries->emplace(digest, entry).second) {
    return absl::InvalidArgumentError("the token stands in an earlier line too");
  }
  return absl::OkStatus();
}

absl::StatusOr<AcceptedTokens::Entries> AcceptedTokens::Read(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  Entries entries;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') {
      continue;
    }
    if (absl::Status status = ReadLine(line, &entries); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(file.string(), ":", number, ": ", status.message()));
    }
  }
  return entries;
}

absl::StatusOr<std::unique_ptr<AcceptedTokens>> AcceptedTokens::Open(const std::filesystem::path& file) {
  std::unique_ptr<AcceptedTokens> opened(new AcceptedTokens(file));
  absl::MutexLock lock(&opened->mutex_);
  opened->watch_.Changed();
  ASSIGN_OR_RETURN(opened->entries_, Read(file));
  return opened;
}

void AcceptedTokens::Refresh() {
  if (!watch_.Changed()) {
    return;
  }
  absl::StatusOr<Entries> entries = Read(watch_.path());
  if (!entries.ok()) {
    if (watch_.NoteFailure()) {
      spdlog::error("accepted tokens are not read again: {}; those from before hold",
                    std::string(entries.status().message()));
    }
    return;
  }
  entries_ = *std::move(entries);
  spdlog::info("{} accepted tokens in {}", entries_.size(), watch_.path().string());
}

absl::StatusOr<Peer> AcceptedTokens::Find(absl::string_view token) {
  const std::string digest = Sha256Hex(token);
  absl::MutexLock lock(&mutex_);
  Refresh();
  const auto found = entries_.find(digest);
  if (found == entries_.end()) {
    return absl::UnauthenticatedError("the bearer token is not one of those that this server takes");
  }
  if (absl::Now() >= found->second.expiry) {
    return absl::UnauthenticatedError(
        absl::StrCat("the bearer token of ", found->second.peer.Describe(), " has expired on ",
                     absl::FormatTime(absl::RFC3339_sec, found->second.expiry, absl::UTCTimeZone())));
  }
  return found->second.peer;
}

}  // namespace demorl
