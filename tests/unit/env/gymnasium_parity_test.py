"""Every native environment against the Gymnasium package: the same state and actions give the same numbers.

The environment variable ENVIRONMENT_TRACE names the binary of environment_trace.cc.
"""

import math
import os
import subprocess
import unittest
import warnings

import gymnasium
import numpy as np

from demorl.environment import Environment

TRACE = os.environ["ENVIRONMENT_TRACE"]
gymnasium.logger.min_level = gymnasium.logger.ERROR

NUM_STEPS = 1000
RELATIVE_TOLERANCE = 1e-9
# Entries that are zero up to rounding.
ABSOLUTE_TOLERANCE = 1e-12

# Native ids that are a Gymnasium task with options; all others are Gymnasium's own.
WITH_OPTIONS = {
    "AntContactForces-v4": ("Ant-v4", {"use_contact_forces": True}),
    "AntNoContact-v5": ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}),
    "AntTruncatedObs-v5": ("Ant-v5", {"include_cfrc_ext_in_observation": False}),
    "HumanoidTruncatedObs-v5": (
        "Humanoid-v5",
        {
            "include_cinert_in_observation": False,
            "include_cvel_in_observation": False,
            "include_qfrc_actuator_in_observation": False,
            "include_cfrc_ext_in_observation": False,
        },
    ),
}
WITHOUT_PEER = {
    "CartpoleSwingUp-v0",
    "Leg2R-v0",
    "Leg2RAuthors-v0",
    "Leg2RLiteral-v0",
    "Leg2RObs3-v0",
    "Leg2RObs5-v0",
    "Stoch2-v0",
    "Stoch2Noisy-v0",
    "Stoch2Robust-v0",
    "Stoch2Steep-v0",
    "StochLite-v0",
    "StochLiteAuthors-v0",
    "StochLiteRobust-v0",
    "StochLiteSlope5-v0",
    "Leg2RSlow-v0",
}


class NativeEnvironment:
    """The native environment at the other end of a pipe."""

    def __init__(self, environment_id):
        self._process = subprocess.Popen([TRACE, environment_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        fields = self._process.stdout.readline().split()
        self.observation_size, self.action_size, self.nq, self.nv, self.max_episode_steps = map(int, fields[:5])
        self.control_period = float(fields[5])
        self.schema_hash = fields[6].decode()
        bounds = np.array(fields[7:], dtype=np.float64).reshape(2, self.action_size)
        self.command_minimum, self.command_maximum = bounds

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _ask(self, request, count):
        self._process.stdin.write(request)
        self._process.stdin.flush()
        return np.frombuffer(self._process.stdout.read(8 * count))

    def start_at(self, qpos, qvel):
        return self._ask(b"R" + np.concatenate([qpos, qvel]).tobytes(), self.observation_size)

    def start(self):
        return self._ask(b"D", self.observation_size)

    def step(self, action):
        answer = self._ask(b"S" + np.asarray(action, dtype=np.float64).tobytes(), self.observation_size + 3)
        return answer[:-3], answer[-3], bool(answer[-2]), bool(answer[-1])


def native_ids():
    return subprocess.run([TRACE, "--list"], check=True, capture_output=True, text=True).stdout.split()


def make_gymnasium(environment_id):
    name, options = WITH_OPTIONS.get(environment_id, (environment_id, {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gymnasium.make(name, disable_env_checker=True, **options)


class GymnasiumParityTest(unittest.TestCase):
    def assert_close(self, native, expected, message):
        np.testing.assert_allclose(
            native, expected, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, err_msg=message
        )

    def start(self, native, peer, seed):
        expected, _ = peer.reset(seed=seed)
        data = peer.unwrapped.data
        self.assert_close(native.start_at(data.qpos, data.qvel), expected, "first observation")

    def check_specification(self, native, peer):
        self.assertEqual(peer.observation_space.shape, (native.observation_size,))
        self.assertEqual(peer.action_space.shape, (native.action_size,))
        self.assertEqual(peer.spec.max_episode_steps, native.max_episode_steps)
        self.assertAlmostEqual(peer.unwrapped.dt, native.control_period, delta=1e-12)
        np.testing.assert_array_equal(peer.action_space.low.astype(np.float64), native.command_minimum)
        np.testing.assert_array_equal(peer.action_space.high.astype(np.float64), native.command_maximum)

    def check_task(self, environment_id):
        native, peer = NativeEnvironment(environment_id), make_gymnasium(environment_id)
        self.addCleanup(native.close)
        self.addCleanup(peer.close)
        self.check_specification(native, peer)
        random = np.random.default_rng(1)
        center = (native.command_maximum + native.command_minimum) / 2
        half_range = (native.command_maximum - native.command_minimum) / 2
        self.start(native, peer, 0)
        for step in range(NUM_STEPS):
            action = random.uniform(-1, 1, native.action_size)
            expected, expected_reward, *expected_flags, _ = peer.step(center + half_range * action)
            observation, reward, *flags = native.step(action)
            where = f"{environment_id} step {step}"
            self.assert_close(observation, expected, where)
            self.assert_close(reward, expected_reward, where + " reward")
            self.assertEqual(flags, [bool(flag) for flag in expected_flags], where)
            if any(flags):
                self.start(native, peer, step + 1)

    def test_cartpole_swing_up_moves_like_cartpole(self):
        """Within the track, full force to either side is CartPole-v1's two actions."""
        native, peer = NativeEnvironment("CartpoleSwingUp-v0"), gymnasium.make("CartPole-v1").unwrapped
        self.addCleanup(native.close)
        peer.reset(seed=0)
        random = np.random.default_rng(1)
        x, velocity, cosine, sine, angular_velocity = native.start()
        for _ in range(400):
            peer.state = (x, velocity, math.atan2(sine, cosine), angular_velocity)
            inside = abs(x) < 2.4
            push = int(random.integers(2))
            peer.step(push)
            (x, velocity, cosine, sine, angular_velocity), reward, _, _ = native.step([2.0 * push - 1.0])
            if inside:
                expected = peer.state
                self.assert_close([x, velocity, angular_velocity], [expected[0], expected[1], expected[3]], "state")
                self.assert_close([cosine, sine], [math.cos(expected[2]), math.sin(expected[2])], "angle")
            self.assert_close(reward, cosine - 0.01 * x**2, "reward")

    def test_the_python_actor_computes_the_same_schema_hash(self):
        for environment_id in set(native_ids()) & set(gymnasium.registry):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                environment = Environment(environment_id)
            native = NativeEnvironment(environment_id)
            self.assertEqual(environment.spec.schema_hash(), native.schema_hash, environment_id)
            native.close()
            environment.close()

    def test_every_id_has_a_peer(self):
        known = set(gymnasium.registry) | set(WITH_OPTIONS) | WITHOUT_PEER
        self.assertEqual(set(native_ids()) - known, set())


def add_tests():
    for environment_id in native_ids():
        if environment_id not in WITHOUT_PEER:
            name = "test_" + environment_id.replace("-", "_")
            setattr(GymnasiumParityTest, name, lambda self, i=environment_id: self.check_task(i))


add_tests()

if __name__ == "__main__":
    unittest.main()
