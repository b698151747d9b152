#include "common/rpc/security/token_credentials.h"

#include <string>

#include "absl/algorithm/container.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/file_watch.h"
#include "common/rpc/security/secret_file.h"

namespace demorl {
namespace {

// Metadata of a call have 16 KiB by default.
constexpr size_t kMaxTokenBytes = 4096;

absl::StatusOr<std::string> ReadToken(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(std::string token, ReadFile(file));
  absl::StripAsciiWhitespace(&token);
  std::string wrong;
  if (token.empty()) {
    wrong = "is empty";
  } else if (token.size() > kMaxTokenBytes) {
    wrong = absl::StrCat("has ", token.size(), " bytes");
  } else if (!absl::c_all_of(token, [](unsigned char c) { return absl::ascii_isgraph(c); })) {
    wrong = "has more than one line or word, or characters that are not printable ASCII";
  }
  if (!wrong.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file.string(), " ", wrong, "; want one token, a line of at most ", kMaxTokenBytes, " characters"));
  }
  WarnIfOthersMayRead(file);
  return token;
}

class TokenPlugin final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenPlugin(const std::filesystem::path& file) : watch_(file) {}

  bool IsBlocking() const override { return false; }
  const char* GetType() const override { return "demorl_token"; }

  absl::Status Refresh() {
    absl::MutexLock lock(&mutex_);
    if (watch_.Changed()) {
      token_ = ReadToken(watch_.path());
    }
    return token_.status();
  }

  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<std::string, std::string>* metadata) override {
    if (absl::Status status = Refresh(); !status.ok()) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(status.message()));
    }
    absl::MutexLock lock(&mutex_);
    metadata->emplace("authorization", absl::StrCat("Bearer ", *token_));
    return grpc::Status::OK;
  }

 private:
  absl::Mutex mutex_;
  FileWatch watch_ ABSL_GUARDED_BY(mutex_);
  absl::StatusOr<std::string> token_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::CallCredentials>> MakeTokenCredentials(
    const std::filesystem::path& file) {
  auto plugin = std::make_unique<TokenPlugin>(file);
  RETURN_IF_ERROR(plugin->Refresh());
  return grpc::MetadataCredentialsFromPlugin(std::move(plugin));
}

}  // namespace demorl
