// onnx_sample FOLDER: writes policy.onnx, policy.safetensors, and float32 rows observations.bin and
// actions.bin of what our own inference answers, for onnx_test.py to compare.

#include <cstdio>
#include <string>
#include <vector>

#include "common/base/file_io.h"
#include "common/policy/mlp_policy.h"
#include "services/cli/export/export_onnx.h"
#include "tests/fakes/policies.h"

namespace {

std::string Bytes(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

absl::Status WriteSample(const std::string& folder, int observation_size,
                         const std::vector<int>& hidden_sizes, int action_size) {
  constexpr int kRows = 64;
  demorl::TensorFile file = demorl::RandomPolicy(observation_size, hidden_sizes, action_size, 7);
  file.metadata["log_stddev_min"] = "-0.5";
  file.metadata["log_stddev_max"] = "0.25";
  const auto policy = demorl::MlpPolicy::Create(file, observation_size, action_size);
  if (!policy.ok()) {
    return policy.status();
  }
  demorl::Random random(3);
  std::vector<float> observations(kRows * observation_size), actions(kRows * action_size);
  random.FillNormal(observations);
  for (int row = 0; row < kRows; ++row) {
    (*policy)->Mean(std::span<const float>(observations).subspan(row * observation_size, observation_size),
                    std::span<float>(actions).subspan(row * action_size, action_size));
  }
  absl::Status status = demorl::ExportOnnx(file, folder + "/policy.onnx");
  status.Update(demorl::WriteFileAtomically(folder + "/policy.safetensors", demorl::EncodeSafetensors(file)));
  status.Update(demorl::WriteFileAtomically(folder + "/observations.bin", Bytes(observations)));
  status.Update(demorl::WriteFileAtomically(folder + "/actions.bin", Bytes(actions)));
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: onnx_sample FOLDER small|linear\n");
    return 2;
  }
  const bool linear = std::string(argv[2]) == "linear";
  const absl::Status status =
      WriteSample(argv[1], 17, linear ? std::vector<int>{} : std::vector<int>{256, 128}, 6);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
  }
  return status.ok() ? 0 : 1;
}
