#include "services/cli/certs/dialled_names.h"

#include <string>

#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DialledNamesTest, AHostIsKnownByItsNameWhateverTheTargetsForm) {
  for (const std::string address :
       {"replay:50051", "dns:replay:50051", "dns:///replay:50051", "dns://10.0.0.53/replay:50051"}) {
    ASSERT_OK_AND_ASSIGN(const DialledNames names, NamesDialledAt(address));
    EXPECT_THAT(names.dns_names, ElementsAre("replay")) << address;
    EXPECT_THAT(names.addresses, IsEmpty()) << address;
  }
}

TEST(DialledNamesTest, AddressesAreNoNames) {
  const struct {
    const char* address;
    std::vector<std::string> expected;
  } kCases[] = {
      {"192.168.7.2:1", {"192.168.7.2"}},
      {"[fd00::7]:1", {"fd00::7"}},
      {"ipv4:10.0.0.1:1,10.0.0.2:1", {"10.0.0.1", "10.0.0.2"}},
      {"ipv6:[fd00::7]:1", {"fd00::7"}},
  };
  for (const auto& [address, expected] : kCases) {
    ASSERT_OK_AND_ASSIGN(const DialledNames names, NamesDialledAt(address));
    EXPECT_EQ(names.addresses, expected) << address;
    EXPECT_THAT(names.dns_names, IsEmpty()) << address;
  }
}

TEST(DialledNamesTest, OneOfThisMachineStandsForAllOfItsNames) {
  for (const std::string address : {"127.0.0.1:0", "localhost:1", "[::1]:1", "unix:/run/replay"}) {
    ASSERT_OK_AND_ASSIGN(const DialledNames names, NamesDialledAt(address));
    EXPECT_THAT(names.dns_names, ElementsAre("localhost")) << address;
    EXPECT_THAT(names.addresses, ElementsAre("127.0.0.1", "::1")) << address;
  }
}

TEST(DialledNamesTest, WhatIsNoAddressIsNamed) {
  for (const std::string address :
       {"", "replay", ":50051", "fd00::7:1", "[fd00::7:1", "dns://replay:50051", "a:1,"}) {
    EXPECT_THAT(NamesDialledAt(address),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("\"" + address + "\""), HasSubstr("want host:port"))))
        << address;
  }
}

}  // namespace
}  // namespace demorl
