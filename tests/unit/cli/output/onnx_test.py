"""Runs exported policies with onnxruntime and compares them with our own inference."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
import onnx
import onnxruntime

SAMPLE = os.environ["ONNX_SAMPLE"]


def read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    tensors = {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return tensors, header["__metadata__"]


def expected_log_stddev(tensors, metadata, values):
    layer = 0
    while f"policy.hidden.{layer}.weight" in tensors:
        values = values @ tensors[f"policy.hidden.{layer}.weight"].T + tensors[f"policy.hidden.{layer}.bias"]
        values = np.maximum(values, 0)
        layer += 1
    values = values @ tensors["policy.log_stddev.weight"].T + tensors["policy.log_stddev.bias"]
    return np.clip(values, float(metadata["log_stddev_min"]), float(metadata["log_stddev_max"]))


class OnnxTest(unittest.TestCase):
    def check(self, kind):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            subprocess.run([SAMPLE, name, kind], check=True)
            onnx.checker.check_model(onnx.load(folder / "policy.onnx"), full_check=True)
            session = onnxruntime.InferenceSession(folder / "policy.onnx", providers=["CPUExecutionProvider"])
            observations = np.fromfile(folder / "observations.bin", np.float32).reshape(-1, 17)
            actions = np.fromfile(folder / "actions.bin", np.float32).reshape(-1, 6)
            tensors, metadata = read_safetensors(folder / "policy.safetensors")
        action, log_stddev = session.run(["action", "log_stddev"], {"observation": observations})
        self.assertEqual(action.shape, actions.shape)
        self.assertGreater(np.abs(actions).max(), 0.3)
        self.assertLessEqual(np.abs(action - actions).max(), 1e-5)
        expected = expected_log_stddev(tensors, metadata, observations)
        self.assertLessEqual(np.abs(log_stddev - expected).max(), 1e-5)
        self.assertGreater(len(np.unique(expected)), 10)
        one, _ = session.run(None, {"observation": observations[:1]})
        self.assertLessEqual(np.abs(one - actions[:1]).max(), 1e-5)

    def test_gives_the_actions_of_our_inference(self):
        self.check("small")

    def test_gives_the_actions_of_a_linear_policy(self):
        self.check("linear")


if __name__ == "__main__":
    unittest.main()
