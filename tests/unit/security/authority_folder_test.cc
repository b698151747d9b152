#include "services/cli/certs/authority_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/rpc/security/certificate.h"
#include "common/rpc/security/revocation_lists.h"
#include "gmock/gmock.h"
#include "services/cli/certs/certificate_need.h"
#include "tests/testing/secure_server.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::SecureServerTest;
using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class AuthorityFolderTest : public SecureServerTest {
 protected:
  fs::path certs() const { return folder_ / "certs"; }

  AuthorityFolder MakeAuthority() {
    absl::StatusOr<AuthorityFolder> authority = AuthorityFolder::Init(certs(), "demorl.local", 100);
    EXPECT_OK(authority.status());
    return *std::move(authority);
  }
  std::string Read(const fs::path& file) {
    absl::StatusOr<std::string> text = ReadFile(file);
    EXPECT_OK(text.status());
    return text.value_or("");
  }
  SecurityConfig ConfigOf(const fs::path& tls_dir) {
    SecurityConfig config;
    config.set_tls_dir(tls_dir.string());
    config.set_crl_dir((certs() / "crl").string());
    return config;
  }
};

TEST_F(AuthorityFolderTest, WhatItIssuesIsWhatServersAndClientsNeed) {
  AuthorityFolder authority = MakeAuthority();
  ASSERT_OK_AND_ASSIGN(
      const fs::path server,
      authority.Issue({.peer = "replay", .dns_names = {"localhost"}, .addresses = {"127.0.0.1", "::1"}}));
  EXPECT_EQ(server, certs() / "replay");
  ASSERT_OK_AND_ASSIGN(const fs::path lead, authority.Issue({.peer = "operator/ada", .days = 7}));
  EXPECT_EQ(lead, certs() / "operator-ada");
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, ReadCertificate(Read(lead / "tls.crt")));
  EXPECT_THAT(certificate.uris, ElementsAre("spiffe://demorl.local/operator/ada"));
  EXPECT_NEAR(absl::ToDoubleHours(certificate.not_after - absl::Now()), 7 * 24, 1);
  for (const fs::path& key : {certs() / "ca.key", lead / "tls.key"}) {
    EXPECT_EQ(fs::status(key).permissions(), fs::perms::owner_read | fs::perms::owner_write) << key;
  }

  server_config_ = ConfigOf(server);
  StartServer();
  const auto operators = Dial(Client(ConfigOf(lead)));
  EXPECT_OK(Pause(operators));
  ASSERT_OK_AND_ASSIGN(const int num_revoked, authority.Revoke("operator/ada"));
  EXPECT_EQ(num_revoked, 1);
  EXPECT_THAT(
      Until(absl::StatusCode::kUnauthenticated, [&] { return Pause(operators); }),
      StatusIs(absl::StatusCode::kUnauthenticated, AllOf(HasSubstr("operator/ada"), HasSubstr("revoked"))));
}

TEST_F(AuthorityFolderTest, ANewCertificateTakesThePlaceOfTheOneBeforeInOneStep) {
  AuthorityFolder authority = MakeAuthority();
  const CertificateRequest request = {.peer = "gateway/leg", .out = folder_ / "out"};
  ASSERT_OK(authority.Issue(request));
  const std::string first = Read(request.out / "tls.crt");
  ASSERT_OK(authority.Issue(request));
  EXPECT_NE(Read(request.out / "tls.crt"), first);
  EXPECT_OK(CheckKeyFits(Read(request.out / "tls.crt"), Read(request.out / "tls.key")));
  int folders = 0;
  for (const auto& entry : fs::directory_iterator(request.out)) {
    folders += entry.is_directory() && !entry.is_symlink() ? 1 : 0;
  }
  EXPECT_EQ(folders, 1) << "the one before is gone";
  ASSERT_OK_AND_ASSIGN(const int num_revoked, authority.Revoke("gateway/leg"));
  EXPECT_EQ(num_revoked, 2);
  EXPECT_THAT(authority.Revoke("gateway/leg"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no certificate of gateway/leg")));
  ASSERT_OK_AND_ASSIGN(const auto lists, RevocationLists::Open(certs() / "crl"));
  EXPECT_THAT(lists->Check(first), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(AuthorityFolderTest, ARevocationListThatWasLostIsWrittenAgain) {
  AuthorityFolder authority = MakeAuthority();
  ASSERT_OK(authority.Issue({.peer = "viewer"}));
  const std::string certificate = Read(certs() / "viewer" / "tls.crt");
  ASSERT_OK(authority.Revoke("viewer").status());
  fs::remove_all(certs() / "crl");
  ASSERT_OK(AuthorityFolder::Open(certs()).status());
  ASSERT_OK_AND_ASSIGN(const auto lists, RevocationLists::Open(certs() / "crl"));
  EXPECT_THAT(lists->Check(certificate), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(AuthorityFolderTest, WhatRootIssuesBelongsToWhomTheFolderBelongsTo) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "not root";
  }
  AuthorityFolder authority = MakeAuthority();
  const fs::path out = folder_ / "out";
  ASSERT_OK(MakeFolders(out));
  ASSERT_EQ(chown(out.c_str(), 65532, 65533), 0);
  for (int i = 0; i < 2; ++i) {  // the next one too
    ASSERT_OK(authority.Issue({.peer = "replay", .out = out}));
    for (const char* name : {"tls.crt", "tls.key", "ca.crt", "..data/."}) {
      struct stat found = {};
      ASSERT_EQ(stat((out / name).c_str(), &found), 0) << name;
      EXPECT_EQ(found.st_uid, 65532) << name;
      EXPECT_EQ(found.st_gid, 65533) << name;
    }
  }
  EXPECT_EQ(fs::status(out / "tls.key").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(AuthorityFolderTest, WhatIsStillGoodIsLeftAlone) {
  AuthorityFolder authority = MakeAuthority();
  const CertificateRequest request = {.peer = "replay",
                                      .dns_names = {"replay", "localhost"},
                                      .addresses = {"0:0:0:0:0:0:0:1", "10.0.0.1"},
                                      .out = folder_ / "out"};
  ASSERT_OK_AND_ASSIGN(const std::string first_reason, authority.IssueIfDue(request));
  EXPECT_EQ(first_reason, "there was none");
  const std::string first = Read(request.out / "tls.crt");
  ASSERT_OK_AND_ASSIGN(const std::string second_reason, authority.IssueIfDue(request));
  EXPECT_EQ(second_reason, "");
  EXPECT_EQ(Read(request.out / "tls.crt"), first);
}

TEST_F(AuthorityFolderTest, WhatIsNotGoodAnyLongerIsReplacedAndTheReasonGiven) {
  AuthorityFolder authority = MakeAuthority();
  CertificateRequest request = {.peer = "replay", .dns_names = {"replay"}, .out = folder_ / "out"};
  ASSERT_OK(authority.IssueIfDue(request).status());
  const auto expect_due = [&](const char* reason) {
    const std::string before = Read(request.out / "tls.crt");
    EXPECT_THAT(*authority.IssueIfDue(request), HasSubstr(reason));
    EXPECT_NE(Read(request.out / "tls.crt"), before) << reason;
    EXPECT_EQ(*authority.IssueIfDue(request), "") << reason;
  };
  request.dns_names.emplace_back("replay.lab");
  expect_due("URI:spiffe://demorl.local/replay");
  request.dns_names = {"replay"};
  expect_due("DNS:replay.lab");
  ASSERT_OK(authority.Revoke("replay").status());
  expect_due("was revoked");
  fs::remove(request.out / "..data" / "tls.key");
  expect_due("there was none");
  ASSERT_OK(WriteFileAtomically(request.out / "..data" / "tls.crt", "not a certificate"));
  expect_due("did not fit");
  const std::string old_certificate = Read(request.out / "tls.crt");
  const std::string old_key = Read(request.out / "tls.key");
  fs::remove_all(certs());
  authority = MakeAuthority();
  expect_due("another authority");
  ASSERT_OK(WriteFileAtomically(request.out / "..data" / "tls.crt", old_certificate));
  ASSERT_OK(WriteFileAtomically(request.out / "..data" / "tls.key", old_key));
  expect_due("another authority");
}

TEST_F(AuthorityFolderTest, ACertificateIsDueWhenLessThanAThirdOfItsTimeIsLeft) {
  AuthorityFolder authority = MakeAuthority();
  ASSERT_OK_AND_ASSIGN(const fs::path out, authority.Issue({.peer = "replay", .days = 300}));
  const CertificateNeed need = {.tls_dir = out,
                                .names = {"URI:spiffe://demorl.local/replay"},
                                .authorities = Read(certs() / "ca.crt"),
                                .crl_dir = certs() / "crl"};
  EXPECT_EQ(WhyDue(need, absl::Now() + absl::Hours(199 * 24)), "");
  EXPECT_THAT(WhyDue(need, absl::Now() + absl::Hours(201 * 24)), HasSubstr("valid until 20"));
}

TEST_F(AuthorityFolderTest, SeveralAtOnceTakeTurns) {
  MakeAuthority();
  constexpr int kEach = 5;
  std::vector<std::thread> threads;
  for (const std::string peer : {"actor/a", "actor/b", "actor/c"}) {
    threads.emplace_back([this, peer] {
      absl::StatusOr<AuthorityFolder> authority = AuthorityFolder::Open(certs());
      ASSERT_OK(authority.status());
      for (int i = 0; i < kEach; ++i) {
        EXPECT_OK(authority->Issue({.peer = peer}));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::string index = Read(certs() / "index.txt");
  EXPECT_EQ(std::count(index.begin(), index.end(), '\n'), 3 * kEach);
}

TEST_F(AuthorityFolderTest, GoesOnWhereItWasAlsoAtAnotherPlace) {
  MakeAuthority();
  fs::rename(certs(), folder_ / "moved");
  ASSERT_OK_AND_ASSIGN(AuthorityFolder authority, AuthorityFolder::Open(folder_ / "moved"));
  ASSERT_OK(authority.Issue({.peer = "viewer"}));
  EXPECT_OK(authority.Revoke("viewer").status());
}

TEST_F(AuthorityFolderTest, BadInputIsNamedAndLeavesNothing) {
  EXPECT_THAT(AuthorityFolder::Open(folder_ / "absent"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("absent"), HasSubstr("certs init"))));
  EXPECT_THAT(AuthorityFolder::Init(certs(), "a b", 1), StatusIs(kInvalid, HasSubstr("a b")));
  EXPECT_THAT(AuthorityFolder::Init(certs(), "a", 0), StatusIs(kInvalid, HasSubstr("--days 0")));
  EXPECT_FALSE(fs::exists(certs()));
  AuthorityFolder authority = MakeAuthority();
  EXPECT_THAT(AuthorityFolder::Init(certs(), "a", 1),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("certs")));
  const struct {
    CertificateRequest request;
    const char* message;
  } kCases[] = {
      {{.peer = "king"}, "no role \"king\""},
      {{.peer = ""}, "no role"},
      {{.peer = "actor/a b"}, "cannot be a name"},
      {{.peer = "actor/a\nCA:TRUE"}, "cannot be a name"},
      {{.peer = "actor/../../etc"}, "cannot be a name"},
      {{.peer = "actor/"}, "cannot be a name"},
      {{.peer = "actor/" + std::string(80, 'a')}, "want at most 64"},
      {{.peer = "actor", .dns_names = {"a,URI:spiffe://demorl.local/operator"}}, "no name of a machine"},
      {{.peer = "actor", .dns_names = {""}}, "no name of a machine"},
      {{.peer = "actor", .addresses = {"1.2.3"}}, "no address"},
      {{.peer = "actor", .days = 0}, "--days 0"},
      {{.peer = "actor", .days = 100000}, "--days 100000"},
  };
  for (const auto& [request, message] : kCases) {
    EXPECT_THAT(authority.Issue(request), StatusIs(kInvalid, HasSubstr(message))) << request.peer;
    EXPECT_THAT(authority.IssueIfDue(request), StatusIs(kInvalid, HasSubstr(message))) << request.peer;
  }
  EXPECT_EQ(Read(certs() / "index.txt"), "");
  ASSERT_OK(MakeFolders(folder_ / "taken"));
  ASSERT_OK(WriteFileAtomically(folder_ / "taken" / "tls.key", "somebody's"));
  EXPECT_THAT(authority.Issue({.peer = "actor", .out = folder_ / "taken"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("taken/tls.key")));
  EXPECT_EQ(Read(folder_ / "taken" / "tls.key"), "somebody's");
  EXPECT_THAT(authority.Revoke("king"), StatusIs(kInvalid, HasSubstr("no role")));
}

}  // namespace
}  // namespace demorl
