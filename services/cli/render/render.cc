#include "services/cli/render/render.h"

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/env/mujoco_environment.h"
#include "common/env/registry.h"
#include "common/policy/mlp_policy.h"
#include "services/cli/process/child_process.h"
#include "services/cli/render/gl_context.h"

namespace demorl {
namespace {

constexpr double kMaxFramesPerSecond = 60;
constexpr int kMaxGeoms = 5000;
constexpr int kMaxPixels = 4096;

// MuJoCo's scene and its GPU side. The GL context must be current for as long as it lives.
class Scene {
 public:
  Scene(const mjModel& model, int width, int height)
      : model_(model), viewport_{0, 0, width, height}, pixels_(3 * static_cast<size_t>(width) * height) {
    mjv_defaultOption(&option_);
    mjv_defaultScene(&scene_);
    mjr_defaultContext(&context_);
    mjv_makeScene(&model, &scene_, kMaxGeoms);
    mjr_makeContext(&model, &context_, mjFONTSCALE_100);
    mjr_resizeOffscreen(width, height, &context_);
    mjr_setBuffer(mjFB_OFFSCREEN, &context_);
    mjv_defaultFreeCamera(&model, &camera_);
    // Gymnasium's tasks that move have a camera of this name.
    if (const int track = mj_name2id(&model, mjOBJ_CAMERA, "track"); track >= 0) {
      camera_.type = mjCAMERA_FIXED;
      camera_.fixedcamid = track;
    }
  }
  ~Scene() {
    mjr_freeContext(&context_);
    mjv_freeScene(&scene_);
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  bool has_offscreen_buffer() const { return context_.currentBuffer == mjFB_OFFSCREEN; }

  // RGB rows, bottom row first, valid until the next call.
  absl::string_view Draw(const mjData& data) {
    // Drawing reads the data only; the C interface does not say so.
    mjv_updateScene(&model_, const_cast<mjData*>(&data), &option_, nullptr, &camera_, mjCAT_ALL, &scene_);
    mjr_render(viewport_, &scene_, &context_);
    mjr_readPixels(pixels_.data(), nullptr, viewport_, &context_);
    return absl::string_view(reinterpret_cast<const char*>(pixels_.data()), pixels_.size());
  }

 private:
  const mjModel& model_;
  const mjrRect viewport_;
  mjvOption option_;
  mjvScene scene_;
  mjvCamera camera_;
  mjrContext context_;
  std::vector<unsigned char> pixels_;
};

// Drawn steps and the rate at which they are shown: real time, at most 60 frames a second.
struct FrameRate {
  int steps_per_frame = 1;
  double frames_per_second = 0;
};

FrameRate ChooseFrameRate(absl::Duration control_period) {
  const double steps_per_second = 1 / absl::ToDoubleSeconds(control_period);
  FrameRate rate;
  rate.steps_per_frame =
      std::max(1, static_cast<int>(std::ceil(steps_per_second / kMaxFramesPerSecond - 1e-9)));
  rate.frames_per_second = steps_per_second / rate.steps_per_frame;
  return rate;
}

absl::Status Validate(const RenderOptions& options) {
  for (const int size : {options.width, options.height}) {
    if (size < 16 || size > kMaxPixels || size % 2 != 0) {
      return absl::InvalidArgumentError(absl::StrCat("picture of ", options.width, "x", options.height,
                                                     " pixels; even sizes from 16 to ", kMaxPixels,
                                                     " are allowed"));
    }
  }
  if (options.max_steps < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_steps is ", options.max_steps, ", at least 0 is needed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ChildProcess>> StartEncoder(const RenderOptions& options,
                                                           const FrameRate& rate, const std::string& out) {
  absl::StatusOr<std::unique_ptr<ChildProcess>> encoder =
      ChildProcess::Start({"ffmpeg",
                           "-y",
                           "-nostdin",
                           "-loglevel",
                           "error",
                           "-f",
                           "rawvideo",
                           "-pixel_format",
                           "rgb24",
                           "-video_size",
                           absl::StrCat(options.width, "x", options.height),
                           "-framerate",
                           absl::StrFormat("%.6f", rate.frames_per_second),
                           "-i",
                           "pipe:0",
                           "-vf",
                           "vflip",
                           "-c:v",
                           "libx264",
                           "-pix_fmt",
                           "yuv420p",
                           "-movflags",
                           "+faststart",
                           "-f",
                           "mp4",
                           absl::StrCat("file:", out)});
  if (absl::IsNotFound(encoder.status())) {
    return absl::FailedPreconditionError(
        "ffmpeg, which packs the film, is not installed: apt install ffmpeg");
  }
  return encoder;
}

class Film {
 public:
  Film(MlpPolicy* policy, MujocoEnvironment* environment, Scene* scene, ChildProcess* encoder,
       const RenderOptions& options)
      : policy_(policy),
        environment_(environment),
        scene_(scene),
        encoder_(encoder),
        options_(options),
        random_(SplitSeed(options.seed, "action")) {}

  absl::Status Shoot(int steps_per_frame, int max_steps, RenderResult* result) {
    std::vector<float> observation(policy_->observation_size()), action(policy_->action_size());
    std::vector<double> command(action.size());
    Timestep timestep = environment_->Reset();
    RETURN_IF_ERROR(Expose(result));
    for (int step = 1; timestep.step_type != StepType::kLast && step <= max_steps; ++step) {
      std::copy(timestep.observation.begin(), timestep.observation.end(), observation.begin());
      if (options_.stochastic) {
        policy_->Sample(observation, random_, action);
      } else {
        policy_->Mean(observation, action);
      }
      std::transform(action.begin(), action.end(), command.begin(),
                     [](float value) { return std::isfinite(value) ? value : 0; });
      timestep = environment_->Step(command);
      result->episode_return += timestep.reward;
      if (step % steps_per_frame == 0) {
        RETURN_IF_ERROR(Expose(result));
      }
      if (options_.progress) {
        options_.progress(step);
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Expose(RenderResult* result) {
    RETURN_IF_ERROR(encoder_->Write(scene_->Draw(environment_->data())));
    ++result->num_frames;
    return absl::OkStatus();
  }

  MlpPolicy* const policy_;
  MujocoEnvironment* const environment_;
  Scene* const scene_;
  ChildProcess* const encoder_;
  const RenderOptions& options_;
  Random random_;
};

}  // namespace

absl::StatusOr<RenderResult> RenderPolicy(const TensorFile& policy, const RenderOptions& options) {
  RETURN_IF_ERROR(Validate(options));
  ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment,
                   MakeEnvironment(options.environment_id, SplitSeed(options.seed, "environment")));
  auto* mujoco = dynamic_cast<MujocoEnvironment*>(environment.get());
  if (mujoco == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(options.environment_id, " is no MuJoCo task"));
  }
  const EnvironmentSpec& spec = environment->spec();
  ASSIGN_OR_RETURN(const std::unique_ptr<MlpPolicy> network,
                   MlpPolicy::Create(policy, spec.observation_size, spec.action_size));
  const int max_steps = options.max_steps > 0 ? options.max_steps : spec.max_episode_steps;
  if (max_steps == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("episodes of ", options.environment_id, " may never end; set max_steps"));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<GlContext> context, GlContext::Create());
  Scene scene(mujoco->model(), options.width, options.height);
  if (!scene.has_offscreen_buffer()) {
    return absl::FailedPreconditionError(
        absl::StrCat(context->backend(), " offers no buffer to draw into off screen"));
  }
  const FrameRate rate = ChooseFrameRate(spec.control_period);
  // Renamed when complete, so that a film that broke off leaves an older one in place.
  const std::string unfinished = absl::StrCat(options.out.string(), ".new");
  ASSIGN_OR_RETURN(const std::unique_ptr<ChildProcess> encoder, StartEncoder(options, rate, unfinished));
  RenderResult result{.backend = context->backend()};
  Film film(network.get(), mujoco, &scene, encoder.get(), options);
  const absl::Status shot = film.Shoot(rate.steps_per_frame, max_steps, &result);
  const absl::Status finished = encoder->Finish();
  RETURN_IF_ERROR(finished);  // tells more than that writing to it failed
  RETURN_IF_ERROR(shot);
  std::error_code error;
  std::filesystem::rename(unfinished, options.out, error);
  if (error) {
    return absl::InternalError(absl::StrCat("cannot write ", options.out.string(), ": ", error.message()));
  }
  return result;
}

}  // namespace demorl
