"""Clients of replay and snapshot, and the evaluation service. Needs the generated code (demorl.stubs)."""

import collections
import logging
import random
import threading
import time

import grpc
import numpy as np

from demorl import stubs

stubs.load()

from demorl.common.v1 import environment_pb2, tensor_pb2, transition_pb2  # noqa: E402
from demorl.evaluation.v1 import evaluation_service_pb2, evaluation_service_pb2_grpc  # noqa: E402
from demorl.replay.v1 import replay_service_pb2, replay_service_pb2_grpc  # noqa: E402
from demorl.snapshot.v1 import snapshot_service_pb2, snapshot_service_pb2_grpc  # noqa: E402

from demorl.environment import Environment, split_seed  # noqa: E402
from demorl.policy import BadPolicy, MlpPolicy  # noqa: E402
from demorl.security import CHANNEL_OPTIONS, Connection, Security  # noqa: E402

LOG = logging.getLogger("demorl")
# After these the same call may succeed later; after any other code it will not.
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN}
MAX_HELD_CHUNKS = 256
MAY_EVALUATE = ("evaluator", "operator")  # as the roles of docs/security.md


class Fatal(Exception):
    """A refusal that repeating does not cure: fenced writer, other run or schema."""


def connect(address, security=None):
    return Connection(address, security or Security())


def encode_specification(spec):
    float32 = tensor_pb2.DATA_TYPE_FLOAT32
    message = environment_pb2.EnvironmentSpec(
        environment_id=spec.environment_id,
        observation=tensor_pb2.TensorSpec(name="observation", data_type=float32, shape=[spec.observation_size]),
        action=tensor_pb2.TensorSpec(
            name="action",
            data_type=float32,
            shape=[spec.action_size],
            minimum=spec.command_minimum,
            maximum=spec.command_maximum,
        ),
        max_episode_steps=spec.max_episode_steps,
        schema_hash=spec.schema_hash(),
    )
    message.control_period.FromNanoseconds(round(spec.control_period_s * 1e9))
    return message


class SegmentRecorder:
    """Steps of one episode until they are packed. observations [n + 1], the rest [n]."""

    def __init__(self, spec, episode_id):
        self._spec, self._episode_id, self._first_step = spec, episode_id, 0
        self._clear(None)

    def _clear(self, observation):
        self._observations = [] if observation is None else [observation]
        self._actions, self._rewards, self._versions = [], [], []

    def start(self, observation):
        self._clear(observation)

    def __len__(self):
        return len(self._actions)

    def add(self, action, reward, next_observation, policy_version):
        self._observations.append(next_observation)
        self._actions.append(action)
        self._rewards.append(reward)
        self._versions.append(policy_version)

    def take(self, terminated=False, truncated=False):
        """The steps so far as a chunk; the episode goes on with the last observation."""

        def pack(rows):
            return np.asarray(rows, dtype="<f4").tobytes()

        segment = transition_pb2.Segment(
            episode_id=self._episode_id,
            first_step=self._first_step,
            num_steps=len(self),
            observations=pack(self._observations),
            actions=pack(self._actions),
            rewards=pack(self._rewards),
            policy_versions=self._versions,
            terminated=terminated,
            truncated=truncated,
        )
        self._first_step += len(self)
        self._clear(self._observations[-1])
        return transition_pb2.TransitionChunk(
            observation_size=self._spec.observation_size, action_size=self._spec.action_size, segments=[segment]
        )


class _Background:
    """A thread that repeats a streaming call with back-off until closed or refused for good."""

    def __init__(self, name, connection):
        self._connection = connection
        self._condition = threading.Condition()
        self._closed = False
        self._failure = None
        self._call = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)

    def _stream(self):
        raise NotImplementedError

    def _run(self):
        delay_s, num_losses = 0.1, 0
        while not self._closed:
            started = time.monotonic()
            try:
                self._stream()
            except grpc.RpcError as error:
                if self._closed:
                    return
                reason = self._connection.security.explain(error)
                if error.code() not in RETRYABLE and error.code() != grpc.StatusCode.CANCELLED:
                    self._fail(f"{error.code().name}: {reason}")
                    return
                num_losses = 1 if time.monotonic() - started > 5 else num_losses + 1
                if num_losses == 1 or num_losses % 10 == 0:
                    LOG.warning("%s: no connection (%s), trying again", self._thread.name, reason)
            except Exception as error:  # a bug of ours must end the actor, not hang it
                LOG.exception("%s failed", self._thread.name)
                self._fail(repr(error))
                return
            delay_s = 0.1 if time.monotonic() - started > 5 else min(2 * delay_s, 5)
            with self._condition:
                self._condition.wait_for(lambda: self._closed, timeout=delay_s * random.uniform(0.5, 1))

    def _fail(self, reason):
        with self._condition:
            self._failure = reason
            self._condition.notify_all()

    def check(self):
        if self._failure is not None:
            raise Fatal(f"{self._thread.name}: {self._failure}")

    def close(self):
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            call = self._call
        if call is not None:
            call.cancel()
        self._thread.join()


class _AppendStream:
    """Where one Append call stands; a new call starts anew."""

    def __init__(self):
        self.position = None  # the last response
        self.next_sequence = None
        self.bytes_sent = 0
        self.ended = False


class ReplayWriter(_Background):
    """Appends chunks exactly once: numbers them, keeps those not durable yet, sends them again after a loss."""

    def __init__(self, connection, run_id, writer_id, writer_epoch, spec, table="env"):
        super().__init__("replay writer", connection)
        self._open = replay_service_pb2.AppendOpen(
            run_id=run_id,
            table=table,
            writer_id=writer_id,
            writer_epoch=writer_epoch,
            environment=encode_specification(spec),
            simulated=True,
        )
        self._held = collections.deque()  # (sequence, chunk, rows), consecutive sequences
        self._last_sequence = None  # unknown until the server has said where the writer stands
        self._position = None
        self._thread.start()

    def _requests(self, stream):
        """What one call sends: the opening, then chunk after chunk within the bytes granted."""
        yield replay_service_pb2.AppendRequest(open=self._open)
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or stream.ended or self._can_send(stream))
                if self._closed or stream.ended:
                    return
                sequence, chunk, _ = self._held[stream.next_sequence - self._held[0][0]]
                stream.bytes_sent += chunk.ByteSize()
                stream.next_sequence = sequence + 1
            yield replay_service_pb2.AppendRequest(
                chunk=replay_service_pb2.SequencedChunk(sequence=sequence, chunk=chunk)
            )

    def _can_send(self, stream):
        if stream.position is None or not self._held:
            return False
        if not self._held[0][0] <= stream.next_sequence <= self._held[-1][0]:
            return False
        alone = stream.position.accepted_sequence + 1 == stream.next_sequence
        size = self._held[stream.next_sequence - self._held[0][0]][1].ByteSize()
        return alone or stream.bytes_sent + size <= stream.position.bytes_granted

    def _stream(self):
        stream = _AppendStream()
        stub = replay_service_pb2_grpc.ReplayServiceStub(self._connection.channel())
        call = stub.Append(self._requests(stream))
        with self._condition:
            self._call = call
            if self._closed:
                call.cancel()
        try:
            for response in call:
                self._take(stream, response)
        finally:
            with self._condition:
                stream.ended = True
                self._condition.notify_all()

    def _take(self, stream, response):
        with self._condition:
            if stream.position is None:
                self._handshake(response.accepted_sequence)
                stream.next_sequence = response.accepted_sequence + 1
            self._position = stream.position = response
            while self._held and self._held[0][0] <= response.durable_sequence:
                self._held.popleft()
            self._condition.notify_all()

    def _handshake(self, accepted):
        """Goes on after what the server has; a server that lost chunks gets those that are still held."""
        first_held = self._held[0][0] if self._held else (self._last_sequence or 0) + 1
        if self._last_sequence is not None and first_held <= accepted + 1 <= self._last_sequence + 1:
            return
        if self._last_sequence is not None:
            LOG.error("replay has chunks up to %d; it had called %d durable", accepted, first_held - 1)
        self._held = collections.deque((accepted + 1 + i, held[1], held[2]) for i, held in enumerate(self._held))
        self._last_sequence = accepted + len(self._held)

    def _wait(self, predicate, timeout_s):
        with self._condition:
            self._condition.wait_for(lambda: self._failure is not None or predicate(), timeout=timeout_s)
            self.check()
            return predicate()

    def append(self, chunk, timeout_s=None):
        """Queues a chunk; False when the queue stayed full."""
        rows = sum(segment.num_steps for segment in chunk.segments)
        with self._condition:
            if not self._wait(lambda: self._last_sequence is not None and len(self._held) < MAX_HELD_CHUNKS, timeout_s):
                return False
            self._last_sequence += 1
            self._held.append((self._last_sequence, chunk, rows))
            self._condition.notify_all()
            return True

    def _rows_allowed(self):
        if self._position is None:
            return 0
        accepted = self._position.accepted_sequence
        queued = sum(rows for sequence, _, rows in self._held if sequence > accepted)
        return self._position.rows_allowed - self._position.rows_inserted - queued

    def wait_for_rows_allowed(self, rows, timeout_s):
        """True once this many more rows may be collected, queued ones counted."""
        return self._wait(lambda: self._rows_allowed() >= rows, timeout_s)

    def rows_inserted(self):
        with self._condition:
            return 0 if self._position is None else self._position.rows_inserted

    def flush(self, timeout_s):
        """True once everything queued is durable."""
        return self._wait(lambda: not self._held, timeout_s)


class PolicyWatch(_Background):
    """Follows the newest policy; a payload that is not usable is counted and skipped."""

    def __init__(self, connection, run_id, spec):
        super().__init__("policy watch", connection)
        self._run_id, self._spec = run_id, spec
        self._known_version = 0
        self._latest = (None, 0)
        self.num_refused = 0
        self._thread.start()

    def _stub(self):
        return snapshot_service_pb2_grpc.SnapshotServiceStub(self._connection.channel())

    def _stream(self):
        request = snapshot_service_pb2.WatchRequest(
            run_id=self._run_id, kind=snapshot_service_pb2.SNAPSHOT_KIND_POLICY, known_version=self._known_version
        )
        call = self._stub().Watch(request)
        with self._condition:
            self._call = call
            if self._closed:
                call.cancel()
        for response in call:
            self._known_version = response.metadata.version
            try:
                policy = MlpPolicy(response.payload, self._spec.observation_size, self._spec.action_size)
            except BadPolicy as error:
                self.num_refused += 1
                LOG.error("policy version %d refused: %s", response.metadata.version, error)
                continue
            with self._condition:
                self._latest = (policy, response.metadata.version)
                self._condition.notify_all()

    def latest(self):
        """(policy, version), or (None, 0) before the first."""
        with self._condition:
            return self._latest

    def get(self, version):
        """A stored version. Raises grpc.RpcError or BadPolicy."""
        request = snapshot_service_pb2.GetRequest(kind=snapshot_service_pb2.SNAPSHOT_KIND_POLICY, version=version)
        pieces = [response.payload_piece for response in self._stub().Get(request)]
        return MlpPolicy(b"".join(pieces), self._spec.observation_size, self._spec.action_size)


class EvaluationService(evaluation_service_pb2_grpc.EvaluationServiceServicer):
    """Runs whole episodes on an environment of its own, apart from training."""

    def __init__(self, run_id, spec, policies, security=None):
        self._run_id, self._spec, self._policies = run_id, spec, policies
        self.security = security or Security()

    def Evaluate(self, request, context):  # noqa: N802: gRPC's name
        self.security.check_caller(context, MAY_EVALUATE)
        if request.run_id != self._run_id:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the request is for run '{request.run_id}', this is run '{self._run_id}'",
            )
        if request.planned:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "an evaluation by plans, but this actor follows the policy")
        if request.num_episodes < 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "num_episodes is 0; at least 1 is needed")
        if request.max_episode_steps == 0 and self._spec.max_episode_steps == 0:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"{self._spec.environment_id} has no step limit; max_episode_steps must be set",
            )
        policy, version = self._policy(request, context)
        response = evaluation_service_pb2.EvaluateResponse(policy_version=version)
        environment = Environment(self._spec.environment_id)
        try:
            sums = np.zeros((2, self._spec.observation_size))
            for episode in range(request.num_episodes):
                self._run_episode(environment, policy, request, episode, response, sums, context)
            response.observation_sum.extend(sums[0])
            response.observation_sum_squares.extend(sums[1])
        finally:
            environment.close()
        return response

    def _policy(self, request, context):
        try:
            if request.WhichOneof("policy") == "policy_payload":
                return MlpPolicy(request.policy_payload, self._spec.observation_size, self._spec.action_size), 0
            if request.policy_version != 0:
                return self._policies.get(request.policy_version), request.policy_version
        except BadPolicy as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except grpc.RpcError as error:
            context.abort(error.code(), f"policy version {request.policy_version}: {error.details()}")
        policy, version = self._policies.latest()
        if policy is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no policy has arrived yet")
        return policy, version

    def _run_episode(self, environment, policy, request, episode, response, sums, context):
        seed = split_seed(request.seed, "evaluation", episode)
        random_stream = np.random.default_rng(seed)
        observation = environment.reset(seed)
        total, length, terminated, truncated = 0.0, 0, False, False
        limit = request.max_episode_steps or self._spec.max_episode_steps
        while not (terminated or truncated or length >= limit):
            if not context.is_active():
                context.abort(grpc.StatusCode.CANCELLED, "the caller has gone")
            sums += (observation, observation**2)
            response.observation_count += 1
            action = policy.sample(observation, random_stream) if request.stochastic else policy.mean(observation)
            observation, reward, terminated, truncated = environment.step(action)
            total += reward
            length += 1
        response.returns.append(total)
        response.lengths.append(length)
        response.terminated.append(terminated)


def serve_evaluation(address, service):
    """(running server, port)."""
    from concurrent import futures

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=CHANNEL_OPTIONS)
    evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server(service, server)
    port = service.security.add_port(server, address)
    if port == 0:
        raise Fatal(f"cannot listen on {address}")
    server.start()
    return server, port
