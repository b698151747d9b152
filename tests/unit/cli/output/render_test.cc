#include "services/cli/render/render.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "gtest/gtest.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class RenderTest : public ::testing::Test {
 protected:
  RenderTest() : folder_(fs::path(::testing::TempDir()) / absl::StrCat("render_", getpid())) {
    EXPECT_OK(MakeFolders(folder_));
  }
  ~RenderTest() override { fs::remove_all(folder_); }

  // Standard output of a shell command.
  static std::string Output(const std::string& command) {
    FILE* pipe = popen(command.c_str(), "r");
    std::string output(4096, '\0');
    output.resize(fread(output.data(), 1, output.size(), pipe));
    pclose(pipe);
    return output;
  }

  const fs::path folder_;
};

TEST_F(RenderTest, FilmsAnEpisodeInRealTimeWithoutADisplay) {
  unsetenv("DISPLAY");
  const fs::path out = folder_ / "film.mp4";
  int last_step = 0;
  ASSERT_OK_AND_ASSIGN(
      const RenderResult result,
      RenderPolicy(RandomPolicy(17, {8}, 6, 1), {.environment_id = "HalfCheetah-v5",
                                                 .out = out,
                                                 .max_steps = 20,
                                                 .width = 320,
                                                 .height = 240,
                                                 .progress = [&](int step) { last_step = step; }}));
  EXPECT_EQ(result.num_frames, 21);
  EXPECT_EQ(last_step, 20);
  const char* wanted = std::getenv("MUJOCO_GL");
  if (wanted != nullptr && std::string(wanted) == "osmesa") {
    EXPECT_EQ(result.backend, "OSMesa");
  } else {
    EXPECT_THAT(result.backend, ::testing::AnyOf("EGL", "OSMesa"));
  }
  EXPECT_FALSE(fs::exists(folder_ / "film.mp4.new"));
  const std::string probe =
      Output(absl::StrCat("ffprobe -v error -count_frames -show_entries "
                          "stream=width,height,r_frame_rate,nb_read_frames -of csv=p=0 ",
                          out.string()));
  EXPECT_EQ(probe, "320,240,20/1,21\n");
  // There is something to see, and it moves: luma varies within a frame and between frames.
  const std::string frames = absl::StrCat("ffmpeg -v error -i ", out.string(), " -f rawvideo -pix_fmt gray ");
  const std::string first = Output(frames + "-frames:v 1 - | od -An -v -tu1 -w1 | sort -u | wc -l");
  EXPECT_GT(std::atoi(first.c_str()), 20);
  const std::string distinct =
      Output(absl::StrCat("ffmpeg -v error -i ", out.string(), " -f framemd5 - | grep -v '#' | ",
                          "awk '{print $NF}' | sort -u | wc -l"));
  EXPECT_GT(std::atoi(distinct.c_str()), 15);
  if (const char* keep = std::getenv("DEMORL_KEEP_PICTURE")) {
    Output(
        absl::StrCat("ffmpeg -y -v error -i ", out.string(), " -vf 'select=eq(n\\,15)' -frames:v 1 ", keep));
  }
}

TEST_F(RenderTest, RefusesWhatItCannotFilm) {
  const TensorFile policy = RandomPolicy(17, {8}, 6, 1);
  const fs::path out = folder_ / "film.mp4";
  EXPECT_THAT(RenderPolicy(policy, {.environment_id = "HalfCheetah-v9", .out = out}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("HalfCheetah-v5")));
  EXPECT_THAT(RenderPolicy(policy, {.environment_id = "Hopper-v5", .out = out}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected")));
  EXPECT_THAT(RenderPolicy(policy, {.environment_id = "HalfCheetah-v5", .out = out, .width = 321}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("even sizes")));
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(RenderTest, SaysThatFfmpegIsMissingOrCannotWrite) {
  const TensorFile policy = RandomPolicy(17, {8}, 6, 1);
  EXPECT_THAT(
      RenderPolicy(policy, {.environment_id = "HalfCheetah-v5", .out = "/no/such/film.mp4", .max_steps = 2}),
      StatusIs(absl::StatusCode::kInternal, HasSubstr("/no/such/film.mp4")));
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder_.c_str(), 1);
  const auto result =
      RenderPolicy(policy, {.environment_id = "HalfCheetah-v5", .out = folder_ / "film.mp4", .max_steps = 2});
  setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("apt install ffmpeg")));
}

}  // namespace
}  // namespace demorl
