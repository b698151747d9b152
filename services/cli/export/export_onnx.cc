#include "services/cli/export/export_onnx.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/policy/mlp_policy.h"
#include "services/cli/run_log/wire_writer.h"

namespace demorl {
namespace {

// Fields and enum values of onnx/onnx.proto.
constexpr int kModelIrVersion = 1, kModelProducerName = 2, kModelGraph = 7, kModelOpsetImport = 8;
constexpr int kOpsetVersion = 2;
constexpr int kGraphNode = 1, kGraphName = 2, kGraphInitializer = 5, kGraphInput = 11, kGraphOutput = 12;
constexpr int kNodeInput = 1, kNodeOutput = 2, kNodeName = 3, kNodeOpType = 4, kNodeAttribute = 5;
constexpr int kAttributeName = 1, kAttributeInt = 3, kAttributeType = 20, kAttributeTypeInt = 2;
constexpr int kTensorDims = 1, kTensorDataType = 2, kTensorName = 8, kTensorRawData = 9;
constexpr int kValueName = 1, kValueType = 2, kTypeTensor = 1;
constexpr int kTensorTypeElement = 1, kTensorTypeShape = 2, kShapeDim = 1, kDimValue = 1, kDimParam = 2;
constexpr int kFloat = 1;
constexpr int kIrVersion = 7;  // the one of opset 13
constexpr int kOpset = 13;

class GraphBuilder {
 public:
  void AddTensor(const std::string& name, const std::vector<int64_t>& shape,
                 const std::vector<float>& values) {
    WireWriter tensor;
    for (const int64_t size : shape) {
      tensor.Varint(kTensorDims, static_cast<uint64_t>(size));
    }
    tensor.Varint(kTensorDataType, kFloat);
    tensor.Bytes(kTensorName, name);
    tensor.Bytes(kTensorRawData, absl::string_view(reinterpret_cast<const char*>(values.data()),
                                                   values.size() * sizeof(float)));
    graph_.Message(kGraphInitializer, tensor);
  }

  void AddNode(const std::string& op_type, const std::vector<std::string>& inputs, const std::string& output,
               bool transposes_second = false) {
    WireWriter node;
    for (const std::string& input : inputs) {
      node.Bytes(kNodeInput, input);
    }
    node.Bytes(kNodeOutput, output);
    node.Bytes(kNodeName, absl::StrCat("make_", output));
    node.Bytes(kNodeOpType, op_type);
    if (transposes_second) {
      WireWriter attribute;
      attribute.Bytes(kAttributeName, "transB");
      attribute.Varint(kAttributeInt, 1);
      attribute.Varint(kAttributeType, kAttributeTypeInt);
      node.Message(kNodeAttribute, attribute);
    }
    graph_.Message(kGraphNode, node);
  }

  // output = input * weight^T + bias; both tensors are the policy's own.
  void AddLinear(const TensorFile& file, const std::string& layer, const std::string& input,
                 const std::string& output) {
    for (const char* part : {".weight", ".bias"}) {
      const NamedTensor& tensor = file.tensors.at(layer + part);
      AddTensor(layer + part, tensor.shape, tensor.values);
    }
    AddNode("Gemm", {input, layer + ".weight", layer + ".bias"}, output, /*transposes_second=*/true);
  }

  // A float32[batch, size] input or output.
  void AddValue(int field, const std::string& name, int64_t size) {
    WireWriter batch, columns, shape, tensor, type, value;
    batch.Bytes(kDimParam, "batch");
    columns.Varint(kDimValue, static_cast<uint64_t>(size));
    shape.Message(kShapeDim, batch);
    shape.Message(kShapeDim, columns);
    tensor.Varint(kTensorTypeElement, kFloat);
    tensor.Message(kTensorTypeShape, shape);
    type.Message(kTypeTensor, tensor);
    value.Bytes(kValueName, name);
    value.Message(kValueType, type);
    graph_.Message(field, value);
  }

  std::string Finish() {
    graph_.Bytes(kGraphName, "demorl_policy");
    WireWriter opset, model;
    opset.Varint(kOpsetVersion, kOpset);
    model.Varint(kModelIrVersion, kIrVersion);
    model.Bytes(kModelProducerName, "demorl");
    model.Message(kModelOpsetImport, opset);
    model.Message(kModelGraph, graph_);
    return model.bytes();
  }

 private:
  WireWriter graph_;
};

// The bound that MlpPolicy has found to be a number.
float Bound(const TensorFile& policy, const std::string& name, float default_value) {
  const auto found = policy.metadata.find(name);
  double value = default_value;
  if (found != policy.metadata.end() && !absl::SimpleAtod(found->second, &value)) {
    value = default_value;
  }
  return static_cast<float>(value);
}

struct Sizes {
  int64_t observation = 0;
  int64_t action = 0;
};

// Sizes that the shapes imply, confirmed by the one reader of policies.
absl::StatusOr<Sizes> CheckPolicy(const TensorFile& policy) {
  const auto first = policy.tensors.find("policy.hidden.0.weight");
  const auto mean = policy.tensors.find("policy.mean.weight");
  if (mean == policy.tensors.end() || mean->second.shape.size() != 2) {
    return absl::InvalidArgumentError(
        "not a usable policy: no tensor 'policy.mean.weight' with two dimensions");
  }
  const NamedTensor& input = first == policy.tensors.end() ? mean->second : first->second;
  if (input.shape.size() != 2) {
    return absl::InvalidArgumentError("not a usable policy: 'policy.hidden.0.weight' has not two dimensions");
  }
  const Sizes sizes{.observation = input.shape[1], .action = mean->second.shape[0]};
  RETURN_IF_ERROR(
      MlpPolicy::Create(policy, static_cast<int>(sizes.observation), static_cast<int>(sizes.action))
          .status());
  return sizes;
}

}  // namespace

absl::StatusOr<std::string> EncodeOnnx(const TensorFile& policy) {
  ASSIGN_OR_RETURN(const Sizes sizes, CheckPolicy(policy));
  GraphBuilder graph;
  graph.AddValue(kGraphInput, "observation", sizes.observation);
  std::string input = "observation";
  for (int i = 0; policy.tensors.count(absl::StrCat("policy.hidden.", i, ".weight")) > 0; ++i) {
    const std::string sum = absl::StrCat("hidden_", i, "_sum"), hidden = absl::StrCat("hidden_", i);
    graph.AddLinear(policy, absl::StrCat("policy.hidden.", i), input, sum);
    graph.AddNode("Relu", {sum}, hidden);
    input = hidden;
  }
  graph.AddLinear(policy, "policy.mean", input, "mean");
  graph.AddNode("Tanh", {"mean"}, "action");
  graph.AddLinear(policy, "policy.log_stddev", input, "log_stddev_unclipped");
  graph.AddTensor("log_stddev_min", {}, {Bound(policy, "log_stddev_min", -20)});
  graph.AddTensor("log_stddev_max", {}, {Bound(policy, "log_stddev_max", 2)});
  graph.AddNode("Clip", {"log_stddev_unclipped", "log_stddev_min", "log_stddev_max"}, "log_stddev");
  graph.AddValue(kGraphOutput, "action", sizes.action);
  graph.AddValue(kGraphOutput, "log_stddev", sizes.action);
  return graph.Finish();
}

absl::Status ExportOnnx(const TensorFile& policy, const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string model, EncodeOnnx(policy));
  return WriteFileAtomically(path, model);
}

}  // namespace demorl
