#pragma once

// Multilayer perceptrons with ReLU over one flat parameter buffer, with their backward pass written out: at
// the sizes of SAC the bookkeeping of automatic differentiation costs a third of an update. Nothing here
// records gradients.
//
// Shapes: B rows, I inputs, H_l units of hidden layer l, Y outputs, P parameters.

#include <cstdint>
#include <vector>

#include "ATen/ATen.h"
#include "common/base/random.h"

namespace demorl {

struct MlpSize {
  int64_t inputs = 0;
  std::vector<int64_t> hidden;
  int64_t outputs = 0;
  // Whether hidden units are normalised over their layer, row by row, before ReLU (mean 0, variance 1; no
  // gain and offset of their own, so that the parameters are the same). Source: Ba et al. 2016, "Layer
  // Normalization" (arXiv 1607.06450), eq. 4.
  bool layer_norm = false;

  int64_t num_layers() const { return static_cast<int64_t>(hidden.size()) + 1; }
  int64_t layer_inputs(int64_t layer) const { return layer == 0 ? inputs : hidden[layer - 1]; }
  int64_t layer_outputs(int64_t layer) const { return layer + 1 == num_layers() ? outputs : hidden[layer]; }
  int64_t num_parameters() const;
};

// Views of one network in a flat buffer: per layer weight [out, in], then bias [out]. The same layout serves
// parameters, gradients and target copies.
struct MlpLayers {
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> biases;
};
MlpLayers ViewLayers(const MlpSize& size, const at::Tensor& flat_P, int64_t offset = 0);

// Weights and biases uniform in +-1/sqrt(layer inputs), as torch.nn.Linear starts.
void InitialiseLayers(MlpLayers& layers, Random& random);

// What a forward pass leaves for the backward pass; allocated once per batch size.
struct MlpActivations {
  std::vector<at::Tensor> hidden;  // [B, H_l], after ReLU
  at::Tensor output_BY;
  // With layer norm only: what ReLU saw [B, H_l], and by what each row was multiplied [B].
  std::vector<at::Tensor> normalised, inverse_stddev;

  static MlpActivations Allocate(const MlpSize& size, int64_t rows, at::Device device);
  // Views of rows [first, first + count).
  MlpActivations Rows(int64_t first, int64_t count) const;
};

// Fills `activations`, which have been allocated for a network with or without layer norm.
void Forward(const MlpLayers& layers, const at::Tensor& input_BI, MlpActivations& activations);

// The derivative of a scalar loss by each layer's pre-activation, in the shapes of the activations.
// `gradients.output_BY` is input, the hidden ones are filled.
void BackpropagateHidden(const MlpLayers& layers, const MlpActivations& activations,
                         MlpActivations& gradients);

// Overwrites the loss's derivative by the parameters, summed over the rows.
void ParameterGradients(const at::Tensor& input_BI, const MlpActivations& activations,
                        const MlpActivations& gradients, MlpLayers& parameter_gradients);

// The loss's derivative by `count` input columns from `first` on: result [B, count].
void InputGradients(const MlpLayers& layers, const MlpActivations& gradients, int64_t first, int64_t count,
                    at::Tensor& result);

}  // namespace demorl
