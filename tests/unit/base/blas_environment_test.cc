#include "common/base/blas_environment.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demorl {
namespace {

using ::testing::HasSubstr;

// Runs this program as a child that prints what it finds; `settings` are assignments for env(1).
std::string RunChild(const std::string& settings) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command =
      "env -u OPENBLAS_NUM_THREADS -u OMP_NUM_THREADS -u OPENBLAS_CORETYPE -u DEMORL_BLAS_ENVIRONMENT " +
      settings + " '" + program + "' --child 'two words'";
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::string output;
  char buffer[256];
  while (fgets(buffer, sizeof(buffer), pipe) != nullptr) {
    output += buffer;
  }
  EXPECT_EQ(pclose(pipe), 0);
  return output;
}

TEST(UseFastestBlasTest, SetsWhatIsMissingAndRunsTheProgramOnceMoreWithItsArguments) {
  const std::string output = RunChild("");
  EXPECT_THAT(output, HasSubstr("blas threads 1, omp threads 1"));
  EXPECT_THAT(output, HasSubstr("argument two words"));
  EXPECT_EQ(output.find("child"), output.rfind("child")) << output;
}

TEST(UseFastestBlasTest, LeavesWhatTheUserHasSet) {
  EXPECT_THAT(RunChild("OPENBLAS_NUM_THREADS=7 OPENBLAS_CORETYPE=Haswell"),
              HasSubstr("blas threads 7, omp threads 1, core Haswell"));
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "--child") == 0) {
    demorl::UseFastestBlas(argv);
    const auto value = [](const char* name) { return getenv(name) == nullptr ? "unset" : getenv(name); };
    std::printf("child: blas threads %s, omp threads %s, core %s, argument %s\n",
                value("OPENBLAS_NUM_THREADS"), value("OMP_NUM_THREADS"), value("OPENBLAS_CORETYPE"), argv[2]);
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
