#include "common/env/mj_handles.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// MuJoCo's own handler writes a log file into the working directory.
void IgnoreWarning(const char*) {}

struct ModelCache {
  absl::Mutex mutex;
  std::map<std::string, std::weak_ptr<const mjModel>> models ABSL_GUARDED_BY(mutex);
};

ModelCache& GlobalModelCache() {
  static ModelCache& cache = *new ModelCache;
  return cache;
}

absl::StatusOr<MjModelHandle> ParseModel(const std::string& path) {
  mju_user_warning = IgnoreWarning;
  char error[1000] = "";
  mjModel* model = mj_loadXML(path.c_str(), nullptr, error, sizeof(error));
  if (model == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("MuJoCo cannot load ", path, ": ", error));
  }
  return MjModelHandle(model, [](const mjModel* m) { mj_deleteModel(const_cast<mjModel*>(m)); });
}

}  // namespace

absl::StatusOr<std::string> FindAssetsFolder() {
  std::error_code error;
  if (const char* folder = std::getenv("DEMORL_ASSETS_DIR"); folder != nullptr && *folder != '\0') {
    if (!std::filesystem::is_directory(folder, error)) {
      return absl::NotFoundError(absl::StrCat("DEMORL_ASSETS_DIR names ", folder, ", which is no folder"));
    }
    return std::string(folder);
  }
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path folder = executable.parent_path().parent_path() / "share" / "demorl" / "assets";
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat(
        "the task models are not in ", folder.string(),
        "; expected there, beside the executable, or in the folder that DEMORL_ASSETS_DIR names"));
  }
  return folder.string();
}

absl::StatusOr<MjModelHandle> LoadMjModel(absl::string_view file_name) {
  ASSIGN_OR_RETURN(const std::string folder, FindAssetsFolder());
  const std::string path = absl::StrCat(folder, "/", file_name);
  if (std::error_code error; !std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat("no task model ", path));
  }
  ModelCache& cache = GlobalModelCache();
  absl::MutexLock lock(&cache.mutex);
  std::weak_ptr<const mjModel>& entry = cache.models[path];
  if (MjModelHandle model = entry.lock()) {
    return model;
  }
  ASSIGN_OR_RETURN(MjModelHandle model, ParseModel(path));
  entry = model;
  return model;
}

}  // namespace demorl
