"""The Gymnasium actor of tools/python against small servers that speak the same protos."""

import contextlib
import io
import json
import signal
import struct
import subprocess
import sys
import threading
import unittest
from concurrent import futures

import grpc
import numpy as np

from demorl import actor, services
from demorl.environment import Environment, UnsupportedEnvironment
from demorl.policy import BadPolicy, MlpPolicy
from demorl.services import (
    evaluation_service_pb2,
    evaluation_service_pb2_grpc,
    replay_service_pb2,
    replay_service_pb2_grpc,
    snapshot_service_pb2,
    snapshot_service_pb2_grpc,
)

TIMEOUT_S = 30
DEFAULT_CHUNK_STEPS = 25  # of the actor


def encode_safetensors(tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        raw = np.asarray(tensor, dtype="<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(np.shape(tensor)),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def policy_tensors(observation_size=3, action_size=1, hidden=4, seed=0):
    random = np.random.default_rng(seed)
    shapes = {
        "policy.hidden.0.weight": (hidden, observation_size),
        "policy.hidden.0.bias": (hidden,),
        "policy.hidden.1.weight": (hidden, hidden),
        "policy.hidden.1.bias": (hidden,),
        "policy.mean.weight": (action_size, hidden),
        "policy.mean.bias": (action_size,),
        "policy.log_stddev.weight": (action_size, hidden),
        "policy.log_stddev.bias": (action_size,),
    }
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


BOUNDS = {"log_stddev_min": "-20", "log_stddev_max": "2"}


class FakeReplay(replay_service_pb2_grpc.ReplayServiceServicer):
    """Keeps accepted chunks; can break streams, hold back rows, and refuse."""

    def __init__(self, rows_allowed=1 << 40, break_after=()):
        self.condition = threading.Condition()
        self.chunks = []  # (sequence, chunk) as accepted
        self.opens = []
        self.num_duplicates = 0
        self.rows = 0
        self.rows_allowed = rows_allowed
        self._break_after = list(break_after)
        self.refusal = None

    def Append(self, requests, context):  # noqa: N802
        received = 0
        for request in requests:
            with self.condition:
                if request.WhichOneof("request") == "open":
                    self.opens.append(request.open)
                    if self.refusal is not None:
                        context.abort(*self.refusal)
                else:
                    self._accept(request.chunk)
                    received += request.chunk.chunk.ByteSize()
                self.condition.notify_all()
                if self._break_after and len(self.chunks) >= self._break_after[0]:
                    self._break_after.pop(0)
                    context.abort(grpc.StatusCode.UNAVAILABLE, "cut by the test")
                response = self._position(received)
            yield response

    def _accept(self, request):
        expected = len(self.chunks) + 1
        if request.sequence < expected:
            self.num_duplicates += 1
            return
        assert request.sequence == expected, (request.sequence, expected)
        self.chunks.append((request.sequence, request.chunk))
        self.rows += sum(segment.num_steps for segment in request.chunk.segments)

    def _position(self, received):
        return replay_service_pb2.AppendResponse(
            accepted_sequence=len(self.chunks),
            durable_sequence=len(self.chunks),
            bytes_granted=received + 4096,
            rows_allowed=self.rows_allowed,
            rows_inserted=self.rows,
        )

    def wait_for(self, predicate):
        with self.condition:
            return self.condition.wait_for(predicate, timeout=TIMEOUT_S)

    def segments(self):
        with self.condition:
            return [segment for _, chunk in self.chunks for segment in chunk.segments]


class FakeSnapshot(snapshot_service_pb2_grpc.SnapshotServiceServicer):
    """Sends what the test publishes to its watcher."""

    def __init__(self):
        self.condition = threading.Condition()
        self.published = []

    def publish(self, payload):
        with self.condition:
            self.published.append(payload)
            self.condition.notify_all()

    def Watch(self, request, context):  # noqa: N802
        context.add_callback(lambda: self.publish(None))
        sent = request.known_version
        while context.is_active():
            with self.condition:
                self.condition.wait_for(lambda: len(self.published) > sent)
                sent += 1
                payload = self.published[sent - 1]
            if payload is None:
                return
            metadata = snapshot_service_pb2.SnapshotMetadata(version=sent)
            yield snapshot_service_pb2.WatchResponse(metadata=metadata, payload=payload)


class Servers:
    def __init__(self, replay):
        self.replay, self.snapshot = replay, FakeSnapshot()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        replay_service_pb2_grpc.add_ReplayServiceServicer_to_server(self.replay, self._server)
        snapshot_service_pb2_grpc.add_SnapshotServiceServicer_to_server(self.snapshot, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self):
        self.snapshot.publish(None)
        self._server.stop(0).wait()


class EnvironmentTest(unittest.TestCase):
    def refusal(self, environment_id):
        with self.assertRaises(UnsupportedEnvironment) as caught:
            Environment(environment_id)
        return str(caught.exception)

    def test_describes_a_task_that_is_not_native(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(actor.main(["--environment", "Pendulum-v1", "--describe"]), 0)
        described = json.loads(out.getvalue())
        self.assertEqual(described["observation_size"], 3)
        self.assertEqual((described["command_minimum"], described["command_maximum"]), ([-2.0], [2.0]))
        self.assertEqual((described["max_episode_steps"], described["control_period_s"]), (200, 0.05))
        self.assertRegex(described["schema_hash"], "^[0-9a-f]{16}$")

    def test_lists_ids(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(actor.main(["--list"]), 0)
        self.assertIn("Pendulum-v1", out.getvalue().split())

    def test_refuses_what_it_cannot_learn_and_says_why(self):
        self.assertIn("Discrete(2)", self.refusal("CartPole-v1"))
        self.assertIn("Pendulum-v1", self.refusal("Pendulm-v1"))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            self.assertEqual(actor.main(["--environment", "CartPole-v1", "--describe"]), 1)
            self.assertEqual(actor.main(["--environment", "Pendulm-v1", "--describe"]), actor.UNKNOWN_ENVIRONMENT)
        self.assertIn("only Box spaces", err.getvalue())

    def test_scales_and_clips_actions(self):
        full, over = Environment("Pendulum-v1"), Environment("Pendulum-v1")
        full.reset(1)
        over.reset(1)
        np.testing.assert_array_equal(full.step(np.array([1.0]))[0], over.step(np.array([3.0]))[0])
        unwrapped = full._environment.unwrapped
        self.assertAlmostEqual(float(unwrapped.last_u), 2.0)


class PolicyTest(unittest.TestCase):
    def test_mean_is_tanh_of_the_network(self):
        tensors = policy_tensors()
        observation = np.array([0.3, -1.0, 2.0])
        hidden = np.maximum(tensors["policy.hidden.0.weight"] @ observation + tensors["policy.hidden.0.bias"], 0)
        hidden = np.maximum(tensors["policy.hidden.1.weight"] @ hidden + tensors["policy.hidden.1.bias"], 0)
        expected = np.tanh(tensors["policy.mean.weight"] @ hidden + tensors["policy.mean.bias"])
        policy = MlpPolicy(encode_safetensors(tensors, BOUNDS), 3, 1)
        np.testing.assert_allclose(policy.mean(observation), expected, rtol=1e-5)

    def test_spread_follows_the_clipped_log_stddev(self):
        tensors = policy_tensors()
        tensors["policy.log_stddev.weight"][:] = 0
        tensors["policy.log_stddev.bias"][:] = 50
        policy = MlpPolicy(encode_safetensors(tensors, {"log_stddev_min": "-20", "log_stddev_max": "-1"}), 3, 1)
        random = np.random.default_rng(0)
        draws = np.arctanh([policy.sample(np.zeros(3), random)[0] for _ in range(4000)])
        self.assertAlmostEqual(float(np.std(draws)), np.exp(-1), delta=0.02)

    def test_refuses_malformed_payloads(self):
        good = policy_tensors()
        not_finite = dict(good) | {"policy.mean.bias": np.array([np.nan], dtype=np.float32)}
        missing = {name: tensor for name, tensor in good.items() if name != "policy.log_stddev.bias"}
        payload = encode_safetensors(good, BOUNDS)
        for bad in [
            b"",
            b"\xff" * 64,
            payload[:-4],
            payload[:20],
            encode_safetensors(not_finite, BOUNDS),
            encode_safetensors(missing, BOUNDS),
            encode_safetensors(policy_tensors(observation_size=5), BOUNDS),
            struct.pack("<Q", 2) + b"[]",
        ]:
            with self.assertRaises(BadPolicy):
                MlpPolicy(bad, 3, 1)


class ReplayWriterTest(unittest.TestCase):
    def open(self, replay):
        servers = Servers(replay)
        self.addCleanup(servers.close)
        connection = services.connect(servers.address)
        self.addCleanup(connection.close)
        self.spec = Environment("Pendulum-v1").spec
        writer = services.ReplayWriter(connection, "run", "writer", 7, self.spec)
        self.addCleanup(writer.close)
        return writer

    def chunk(self, value, steps=2):
        recorder = services.SegmentRecorder(self.spec, 1)
        recorder.start(np.zeros(3))
        for _ in range(steps):
            recorder.add([value], value, np.full(3, value), 0)
        return recorder.take()

    def test_every_chunk_arrives_once_and_in_order_through_lost_connections(self):
        replay = FakeReplay(break_after=[3, 11, 12])
        writer = self.open(replay)
        for i in range(40):
            self.assertTrue(writer.append(self.chunk(float(i)), TIMEOUT_S))
        self.assertTrue(writer.flush(TIMEOUT_S))
        values = [np.frombuffer(segment.rewards, "<f4")[0] for segment in replay.segments()]
        self.assertEqual(values, [float(i) for i in range(40)])
        self.assertEqual(len(replay.opens), 4)
        self.assertEqual(replay.opens[0].environment.schema_hash, self.spec.schema_hash())

    def test_goes_on_after_what_the_server_has_of_an_earlier_start(self):
        replay = FakeReplay()
        replay.chunks = [(1, None), (2, None)]
        writer = self.open(replay)
        writer.append(self.chunk(1.0), TIMEOUT_S)
        self.assertTrue(writer.flush(TIMEOUT_S))
        self.assertEqual([sequence for sequence, _ in replay.chunks], [1, 2, 3])

    def test_counts_queued_rows_against_the_allowance(self):
        replay = FakeReplay(rows_allowed=4)
        writer = self.open(replay)
        self.assertTrue(writer.wait_for_rows_allowed(4, TIMEOUT_S))
        writer.append(self.chunk(1.0, steps=3), TIMEOUT_S)
        self.assertFalse(writer.wait_for_rows_allowed(2, 0))
        self.assertTrue(writer.wait_for_rows_allowed(1, TIMEOUT_S))

    def test_a_fenced_writer_ends(self):
        replay = FakeReplay()
        replay.refusal = (grpc.StatusCode.ABORTED, "epoch 8 has fenced it")
        writer = self.open(replay)
        with self.assertRaisesRegex(services.Fatal, "epoch 8 has fenced it"):
            writer.append(self.chunk(1.0), TIMEOUT_S)


class ActorTest(unittest.TestCase):
    def start(self, replay, *arguments):
        self.servers = Servers(replay)
        self.addCleanup(self.servers.close)
        command = [sys.executable, "-m", "demorl.actor", "--environment", "Pendulum-v1", "--run-id", "run"]
        command += ["--replay", self.servers.address, "--snapshot", self.servers.address, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.port = int(process.stdout.readline().split()[-1])
        return process

    def test_collects_whole_episodes_and_marks_the_clock_as_truncation(self):
        replay = FakeReplay()
        process = self.start(replay, "--steps", "410", "--chunk-steps", "30", "--seed", "3")
        self.assertEqual(process.wait(TIMEOUT_S), 0)
        segments = replay.segments()
        self.assertEqual(sum(segment.num_steps for segment in segments), 410)
        ends = [segment for segment in segments if segment.truncated]
        self.assertEqual([segment.first_step + segment.num_steps for segment in ends], [200, 200, 10])
        self.assertFalse(any(segment.terminated for segment in segments))
        self.assertEqual(len({segment.episode_id for segment in segments}), 3)
        for segment in segments:
            observations = np.frombuffer(segment.observations, "<f4").reshape(segment.num_steps + 1, 3)
            np.testing.assert_allclose(np.hypot(observations[:, 0], observations[:, 1]), 1, rtol=1e-5)
            self.assertLessEqual(np.abs(np.frombuffer(segment.actions, "<f4")).max(), 1)
            self.assertEqual(list(segment.policy_versions), [0] * segment.num_steps)
        previous, following = segments[0], segments[1]
        self.assertEqual(previous.observations[-12:], following.observations[:12])

    def test_waits_at_its_allowance_with_nothing_kept_back(self):
        replay = FakeReplay(rows_allowed=37)
        process = self.start(replay)
        self.assertTrue(replay.wait_for(lambda: replay.rows == 37))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT_S), 0)
        self.assertEqual(replay.rows, 37)

    def test_follows_policies_evaluates_them_and_drains_when_told_to(self):
        replay = FakeReplay()
        process = self.start(replay)
        self.assertTrue(replay.wait_for(lambda: replay.rows > 0))  # of random actions
        self.servers.snapshot.publish(b"not a policy")
        payload = encode_safetensors(policy_tensors(), BOUNDS)
        self.servers.snapshot.publish(payload)

        def has_version_2():
            return any(2 in segment.policy_versions for _, chunk in replay.chunks for segment in chunk.segments)

        self.assertTrue(replay.wait_for(has_version_2))
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            self.check_evaluation(evaluation_service_pb2_grpc.EvaluationServiceStub(channel), payload)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT_S), 0, process.stderr.read())
        versions = [version for segment in replay.segments() for version in segment.policy_versions]
        self.assertEqual(versions, sorted(versions))
        self.assertEqual(set(versions), {0, 2})
        last = replay.segments()[-1]
        # Nothing is left to mark where the signal came just as a chunk was full.
        self.assertTrue(last.truncated or last.num_steps == DEFAULT_CHUNK_STEPS)
        self.assertFalse(last.terminated)

    def check_evaluation(self, stub, payload):
        request = evaluation_service_pb2.EvaluateRequest(run_id="run", num_episodes=2, seed=5)
        current = stub.Evaluate(request, timeout=TIMEOUT_S)
        self.assertEqual((list(current.lengths), list(current.terminated)), ([200, 200], [False, False]))
        self.assertEqual((current.policy_version, current.observation_count), (2, 400))
        self.assertNotEqual(current.returns[0], current.returns[1])
        request.policy_payload = payload
        self.assertEqual(list(stub.Evaluate(request, timeout=TIMEOUT_S).returns), list(current.returns))
        for field, value, reason in [("planned", True, "plans"), ("run_id", "other", "'other'")]:
            setattr(request, field, value)
            with self.assertRaises(grpc.RpcError) as caught:
                stub.Evaluate(request, timeout=TIMEOUT_S)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
            self.assertIn(reason, caught.exception.details())


if __name__ == "__main__":
    unittest.main()
