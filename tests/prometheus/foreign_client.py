"""Calls services as a client that is not ours does: by grpcurl, which learns the methods from the services. Standard library only."""

import base64
import json
import os
import pathlib
import struct
import subprocess


def base64_of(data):
    return base64.b64encode(data).decode()


def floats(*values):
    """float32 numbers as the messages carry them."""
    return base64_of(struct.pack(f"<{len(values)}f", *values))


def crc32c(data):
    """The digest of a snapshot."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def scaled(safetensors, factor):
    """The file with every weight multiplied."""
    begin = 8 + struct.unpack("<Q", safetensors[:8])[0]
    count = (len(safetensors) - begin) // 4
    weights = struct.unpack(f"<{count}f", safetensors[begin:])
    return safetensors[:begin] + struct.pack(f"<{count}f", *(weight * factor for weight in weights))


def call(address, method, *messages):
    """The answers; an error of the call is one here. DEMORL_GO_TOOLS: the folder of bin/grpcurl."""
    program = pathlib.Path(os.environ["DEMORL_GO_TOOLS"]) / "bin" / "grpcurl"
    done = subprocess.run([program, "-plaintext", "-max-time", "60", "-d", "@", address, method],
                          input="\n".join(map(json.dumps, messages)), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{method} at {address}: {done.stderr}")
    answers, decoder, rest = [], json.JSONDecoder(), done.stdout.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].strip()
    return answers


class ForeignClient:
    """Of one run; `addresses` are of its services."""

    def __init__(self, addresses):
        self.addresses = addresses
        found, = call(addresses["replay"], "demorl.replay.v1.ReplayService/ListTables", {})
        self.run_id = found["run_id"]
        self.environment = next(table for table in found["tables"] if table["name"] == "env")["environment"]
        self.sizes = [self.environment[part]["shape"][0] for part in ("observation", "action")]

    def append(self, observations, rewards):
        """One episode of a writer of its own, with actions 0."""
        steps = len(rewards)
        segment = {"episode_id": 1, "num_steps": steps, "observations": floats(*observations), "rewards": floats(*rewards),
                   "actions": floats(*[0] * (steps * self.sizes[1])), "policy_versions": [0] * steps, "truncated": True}
        chunk = {"observation_size": self.sizes[0], "action_size": self.sizes[1], "segments": [segment]}
        return call(self.addresses["replay"], "demorl.replay.v1.ReplayService/Append",
                    {"open": {"run_id": self.run_id, "table": "env", "writer_id": "foreign", "writer_epoch": 1,
                              "environment": self.environment}},
                    {"chunk": {"sequence": 1, "chunk": chunk}})

    def publish(self, kind, payload):
        """`payload` as a snapshot of the run's environment."""
        metadata = {"kind": f"SNAPSHOT_KIND_{kind}", "run_id": self.run_id, "schema_hash": self.environment["schema_hash"],
                    "observation_size": self.sizes[0], "action_size": self.sizes[1],
                    "payload_crc32c": crc32c(payload), "payload_bytes": len(payload)}
        return call(self.addresses["snapshot"], "demorl.snapshot.v1.SnapshotService/Publish",
                    {"metadata": metadata}, {"payload_piece": base64_of(payload)})

    def plan(self, count, time_budget):
        """Plans from one state, `count` times."""
        request = {"run_id": self.run_id, "schema_hash": self.environment["schema_hash"], "time_budget": time_budget,
                   "observation": floats(*[0] * self.sizes[0])}
        return call(self.addresses["mpc_rollout"], "demorl.planning.v1.PlanningService/Plan", *[request] * count)
