"""The tanh-Gaussian policy of a snapshot, in NumPy; tensors as in common/policy/mlp_policy.h."""

import json
import struct

import numpy as np


class BadPolicy(Exception):
    """A payload that is no usable policy; the message says why."""


def decode_safetensors(payload):
    """(tensors by name as float32 arrays, metadata). Checks every length before use."""
    if len(payload) < 8:
        raise BadPolicy(f"a safetensors file of {len(payload)} bytes")
    (header_size,) = struct.unpack_from("<Q", payload)
    if header_size > len(payload) - 8:
        raise BadPolicy(f"a safetensors header of {header_size} bytes in a file of {len(payload)}")
    try:
        header = json.loads(payload[8 : 8 + header_size])
        metadata = dict(header.pop("__metadata__", {}))
        data = memoryview(payload)[8 + header_size :]
        tensors = {name: _tensor(name, entry, data) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadPolicy(f"a malformed safetensors header: {error}") from error
    return tensors, metadata


def _tensor(name, entry, data):
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    wanted = 4 * int(np.prod(shape, dtype=np.int64))
    if entry["dtype"] != "F32" or not 0 <= begin <= end <= len(data) or end - begin != wanted:
        raise BadPolicy(f"tensor '{name}' is {entry}; want F32 within {len(data)} bytes")
    return np.frombuffer(data[begin:end], dtype="<f4").reshape(shape)


class MlpPolicy:
    """Thread-safe: holds no scratch space."""

    def __init__(self, payload, observation_size, action_size):
        tensors, metadata = decode_safetensors(payload)
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise BadPolicy(f"tensor '{name}' has non-finite values")
        self._hidden, width = [], observation_size
        while f"policy.hidden.{len(self._hidden)}.weight" in tensors:
            name = f"policy.hidden.{len(self._hidden)}"
            layer = self._layer(tensors, name, tensors[name + ".weight"].shape[0], width)
            self._hidden.append(layer)
            width = layer[1].size
        self._mean = self._layer(tensors, "policy.mean", action_size, width)
        self._log_stddev = self._layer(tensors, "policy.log_stddev", action_size, width)
        self._log_stddev_min = float(metadata.get("log_stddev_min", -20))
        self._log_stddev_max = float(metadata.get("log_stddev_max", 2))

    @staticmethod
    def _layer(tensors, name, outputs, inputs):
        shapes = {name + ".weight": (outputs, inputs), name + ".bias": (outputs,)}
        for key, shape in shapes.items():
            if key not in tensors or tensors[key].shape != shape:
                found = tensors[key].shape if key in tensors else "nothing"
                raise BadPolicy(f"tensor '{key}' is {found}; want shape {shape}")
        return tensors[name + ".weight"], tensors[name + ".bias"]

    def _features(self, observation):
        features = np.asarray(observation, dtype=np.float32)
        for weight, bias in self._hidden:
            features = np.maximum(weight @ features + bias, 0)
        return features

    def mean(self, observation):
        weight, bias = self._mean
        return np.tanh(weight @ self._features(observation) + bias)

    def sample(self, observation, random):
        features = self._features(observation)
        mean = self._mean[0] @ features + self._mean[1]
        log_stddev = self._log_stddev[0] @ features + self._log_stddev[1]
        stddev = np.exp(np.clip(log_stddev, self._log_stddev_min, self._log_stddev_max))
        return np.tanh(mean + stddev * random.standard_normal(mean.size, dtype=np.float32))
