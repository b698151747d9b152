#include "services/cli/certs/authority_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/roles.h"
#include "services/cli/certs/certificate_need.h"
#include "services/cli/certs/dialled_names.h"
#include "services/cli/certs/tls_folder.h"
#include "services/cli/process/child_process.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

// RFC 5280's bound of a common name.
constexpr size_t kMaxNameLength = 64;
constexpr int kMaxDays = 36500;

// Paths are relative to the authority's folder, where openssl runs (through its -config alone, hence $dir).
std::string OpenSslConfiguration(const fs::path& folder) {
  return absl::StrCat("[ca]\ndefault_ca = authority\n[authority]\ndir = ", folder.string(), R"(
database = $dir/index.txt
new_certs_dir = $dir/issued
certificate = $dir/ca.crt
private_key = $dir/ca.key
crlnumber = $dir/crlnumber
rand_serial = yes
unique_subject = no
default_md = sha256
default_crl_days = 3650
policy = policy
copy_extensions = none
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
)");
}

absl::Status Run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "openssl");
  ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> program, ChildProcess::Start(arguments));
  return program->Finish();
}

bool ConsistsOf(absl::string_view text, absl::string_view others) {
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && !absl::StrContains(others, c)) {
      return false;
    }
  }
  return !text.empty();
}

absl::Status CheckDays(int days) {
  return days >= 1 && days <= kMaxDays
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("--days ", days, "; want 1 to ", kMaxDays));
}

// All that ends up in a file for openssl, where a stray line or comma would be an instruction.
absl::Status Check(const CertificateRequest& request) {
  RETURN_IF_ERROR(ParsePeer(request.peer).status());
  if (request.peer.size() > kMaxNameLength) {
    return absl::InvalidArgumentError(absl::StrCat("\"", request.peer, "\" has ", request.peer.size(),
                                                   " characters; want at most ", kMaxNameLength));
  }
  for (const std::string& name : request.dns_names) {
    if (!ConsistsOf(name, ".-*")) {
      return absl::InvalidArgumentError(absl::StrCat("--dns \"", name, "\" is no name of a machine"));
    }
  }
  for (const std::string& address : request.addresses) {
    if (!IsAddress(address)) {
      return absl::InvalidArgumentError(absl::StrCat("--ip \"", address, "\" is no address"));
    }
  }
  return CheckDays(request.days);
}

std::vector<std::string> AlternativeNames(const CertificateRequest& request,
                                          const std::string& trust_domain) {
  std::vector<std::string> names = {absl::StrCat("URI:spiffe://", trust_domain, "/", request.peer)};
  for (const std::string& name : request.dns_names) {
    names.push_back("DNS:" + name);
  }
  for (const std::string& address : request.addresses) {
    names.push_back("IP:" + address);
  }
  return names;
}

// Of files that openssl writes on the way.
class ScratchFolder {
 public:
  explicit ScratchFolder(fs::path path) : path_(std::move(path)) {}
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

// Held by whoever changes what openssl keeps in the folder, which knows no others; waits for its turn.
class FolderLock {
 public:
  static absl::StatusOr<std::unique_ptr<FolderLock>> Take(const fs::path& folder) {
    const fs::path file = folder / ".lock";
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::flock(fd, LOCK_EX) != 0) {
      const absl::Status status = ErrnoToStatus(errno, "lock", file);
      ::close(fd);
      return status;
    }
    return absl::WrapUnique(new FolderLock(fd));
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}

  const int fd_;
};

// As openssl takes and keeps it: slashes part its fields.
std::string Subject(const std::string& peer) {
  return absl::StrCat("/CN=", absl::StrReplaceAll(peer, {{"/", "\\/"}}));
}

std::string Config(const fs::path& folder) { return (folder / "openssl.cnf").string(); }

}  // namespace

absl::StatusOr<AuthorityFolder> AuthorityFolder::Init(const fs::path& relative,
                                                      const std::string& trust_domain, int days) {
  const fs::path folder = fs::absolute(relative);
  if (fs::exists(folder / "ca.key") || fs::exists(folder / "ca.crt")) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder.string(), " holds an authority; want another folder, or remove it first"));
  }
  if (!ConsistsOf(trust_domain, ".-_")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--trust-domain \"", trust_domain, "\"; want letters, digits, . - _"));
  }
  RETURN_IF_ERROR(CheckDays(days));
  RETURN_IF_ERROR(MakeFolders(folder / "issued"));
  ASSIGN_OR_RETURN(const auto lock, FolderLock::Take(folder));
  RETURN_IF_ERROR(MakeFolders(folder / "crl"));
  fs::permissions(folder / "issued", fs::perms::owner_all);
  RETURN_IF_ERROR(WriteFileAtomically(Config(folder), OpenSslConfiguration(folder)));
  RETURN_IF_ERROR(WriteFileAtomically(folder / "trust_domain", trust_domain));
  RETURN_IF_ERROR(WriteFileAtomically(folder / "index.txt", ""));
  RETURN_IF_ERROR(WriteFileAtomically(folder / "crlnumber", "01\n"));
  RETURN_IF_ERROR(Run({"req",
                       "-x509",
                       "-new",
                       "-newkey",
                       "ec",
                       "-pkeyopt",
                       "ec_paramgen_curve:P-256",
                       "-nodes",
                       "-config",
                       Config(folder),
                       "-subj",
                       absl::StrCat("/CN=demorl authority of ", trust_domain),
                       "-addext",
                       "basicConstraints=critical,CA:TRUE,pathlen:0",
                       "-addext",
                       "keyUsage=critical,keyCertSign,cRLSign",
                       "-days",
                       absl::StrCat(days),
                       "-keyout",
                       (folder / "ca.key").string(),
                       "-out",
                       (folder / "ca.crt").string()}));
  fs::permissions(folder / "ca.key", fs::perms::owner_read | fs::perms::owner_write);
  AuthorityFolder authority(folder, trust_domain);
  RETURN_IF_ERROR(authority.WriteRevocationList());
  return authority;
}

absl::StatusOr<AuthorityFolder> AuthorityFolder::Open(const fs::path& relative) {
  const fs::path folder = fs::absolute(relative);
  if (!fs::exists(folder / "ca.key") || !fs::exists(folder / "trust_domain")) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), " holds no authority; want one made by `demorl certs init`"));
  }
  ASSIGN_OR_RETURN(const auto lock, FolderLock::Take(folder));
  ASSIGN_OR_RETURN(const std::string trust_domain, ReadFile(folder / "trust_domain"));
  // It may have been moved.
  RETURN_IF_ERROR(WriteFileAtomically(Config(folder), OpenSslConfiguration(folder)));
  AuthorityFolder authority(folder, trust_domain);
  // Of a volume of its own, which may have been lost: the index knows what was revoked.
  if (!fs::exists(folder / "crl" / "authority.crl")) {
    RETURN_IF_ERROR(MakeFolders(folder / "crl"));
    RETURN_IF_ERROR(authority.WriteRevocationList());
  }
  return authority;
}

absl::StatusOr<fs::path> AuthorityFolder::Issue(const CertificateRequest& request) {
  RETURN_IF_ERROR(Check(request));
  ASSIGN_OR_RETURN(const auto lock, FolderLock::Take(folder_));
  const ScratchFolder scratch(folder_ / "issued" / "under_way");
  RETURN_IF_ERROR(MakeFolders(scratch.path()));
  const auto file = [&](const char* name) { return (scratch.path() / name).string(); };
  RETURN_IF_ERROR(WriteFileAtomically(
      file("extensions"),
      absl::StrCat("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n",
                   "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=",
                   absl::StrJoin(AlternativeNames(request, trust_domain_), ","), "\n")));
  RETURN_IF_ERROR(Run({"req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                       "-config", Config(folder_), "-subj", Subject(request.peer), "-keyout", file("key"),
                       "-out", file("request")}));
  RETURN_IF_ERROR(
      Run({"ca", "-batch", "-notext", "-config", Config(folder_), "-days", absl::StrCat(request.days),
           "-extfile", file("extensions"), "-in", file("request"), "-out", file("certificate")}));
  TlsFiles files;
  ASSIGN_OR_RETURN(files.certificate, ReadFile(file("certificate")));
  ASSIGN_OR_RETURN(files.key, ReadFile(file("key")));
  ASSIGN_OR_RETURN(files.authorities, ReadFile(folder_ / "ca.crt"));
  RETURN_IF_ERROR(ReplaceTlsFiles(OutOf(request), files));
  return OutOf(request);
}

absl::StatusOr<std::string> AuthorityFolder::IssueIfDue(const CertificateRequest& request) {
  RETURN_IF_ERROR(Check(request));
  CertificateNeed need = {.tls_dir = OutOf(request),
                          .names = AlternativeNames(request, trust_domain_),
                          .crl_dir = folder_ / "crl"};
  ASSIGN_OR_RETURN(need.authorities, ReadFile(folder_ / "ca.crt"));
  std::string reason = WhyDue(need, absl::Now());
  if (!reason.empty()) {
    RETURN_IF_ERROR(Issue(request).status());
  }
  return reason;
}

fs::path AuthorityFolder::OutOf(const CertificateRequest& request) const {
  return request.out.empty() ? folder_ / absl::StrReplaceAll(request.peer, {{"/", "-"}})
                             : fs::absolute(request.out);
}

absl::StatusOr<int> AuthorityFolder::Revoke(const std::string& peer) {
  RETURN_IF_ERROR(ParsePeer(peer).status());
  ASSIGN_OR_RETURN(const auto lock, FolderLock::Take(folder_));
  RETURN_IF_ERROR(Run({"ca", "-config", Config(folder_), "-updatedb"}));
  ASSIGN_OR_RETURN(const std::string index, ReadFile(folder_ / "index.txt"));
  const std::string subject = Subject(peer);
  int num_revoked = 0;
  // State, expiry, revocation, serial, file, subject.
  for (const absl::string_view line : absl::StrSplit(index, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() == 6 && fields[0] == "V" && fields[5] == subject) {
      RETURN_IF_ERROR(Run({"ca", "-config", Config(folder_), "-revoke",
                           (folder_ / "issued" / (fields[3] + ".pem")).string()}));
      ++num_revoked;
    }
  }
  if (num_revoked == 0) {
    return absl::NotFoundError(
        absl::StrCat("no certificate of ", peer, " that is still valid in ", folder_.string()));
  }
  RETURN_IF_ERROR(WriteRevocationList());
  return num_revoked;
}

absl::Status AuthorityFolder::WriteRevocationList() const {
  const fs::path next = folder_ / "crl" / "authority.next";
  RETURN_IF_ERROR(Run({"ca", "-config", Config(folder_), "-gencrl", "-out", next.string()}));
  std::error_code error;
  fs::rename(next, folder_ / "crl" / "authority.crl", error);
  return error ? absl::InternalError(absl::StrCat("cannot replace authority.crl: ", error.message()))
               : absl::OkStatus();
}

}  // namespace demorl
