"""A Gymnasium environment as demorl sees it: flat float observations, actions normalised to [-1, 1]."""

import difflib
import math

import gymnasium
import numpy as np

_MASK = (1 << 64) - 1


class UnsupportedEnvironment(Exception):
    """An environment that does not exist or that demorl cannot learn; the message says why."""


class UnknownEnvironment(UnsupportedEnvironment):
    """An id that Gymnasium does not know."""


def _split_mix(state):
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return state, z ^ (z >> 31)


def split_seed(root_seed, name, index=0):
    """SplitSeed of common/base/random.h."""
    digest = 0xCBF29CE484222325
    for byte in name.encode():
        digest = ((digest ^ byte) * 0x100000001B3) & _MASK
    _, mixed = _split_mix(root_seed & _MASK)
    _, mixed = _split_mix(mixed ^ digest)
    _, mixed = _split_mix(mixed ^ index)
    return mixed


def _hexadecimal(value):
    """C's %a of a finite number."""
    if value == 0:
        return "-0x0p+0" if math.copysign(1, value) < 0 else "0x0p+0"
    mantissa, exponent = float(value).hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}"


class Specification:
    """EnvironmentSpec of common/tensor/environment_spec.h."""

    def __init__(self, environment_id, observation_size, minimum, maximum, control_period_s, max_episode_steps):
        self.environment_id = environment_id
        self.observation_size = observation_size
        self.command_minimum = [float(value) for value in minimum]
        self.command_maximum = [float(value) for value in maximum]
        self.action_size = len(self.command_minimum)
        self.control_period_s = control_period_s
        self.max_episode_steps = max_episode_steps

    def schema_hash(self):
        fields = [
            self.environment_id,
            str(self.observation_size),
            str(self.action_size),
            ",".join(map(_hexadecimal, self.command_minimum)),
            ",".join(map(_hexadecimal, self.command_maximum)),
            str(self.max_episode_steps),
        ]
        return f"{split_seed(0, '|'.join(fields)):016x}"

    def as_dict(self):
        return {
            "environment_id": self.environment_id,
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "command_minimum": self.command_minimum,
            "command_maximum": self.command_maximum,
            "control_period_s": self.control_period_s,
            "max_episode_steps": self.max_episode_steps,
            "schema_hash": self.schema_hash(),
        }


def known_ids():
    return sorted(gymnasium.registry)


def _make(environment_id):
    try:
        return gymnasium.make(environment_id, disable_env_checker=True)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.NamespaceNotFound) as error:
        near = difflib.get_close_matches(environment_id, known_ids(), n=3, cutoff=0.5)
        hint = f"; nearest known: {', '.join(near)}" if near else ""
        raise UnknownEnvironment(f"no Gymnasium environment '{environment_id}'{hint}") from error
    except Exception as error:  # a missing dependency or a retired version, in the environment's own words
        raise UnsupportedEnvironment(f"Gymnasium cannot make '{environment_id}': {error}") from error


def _check_vector(environment_id, what, space):
    allowed = "only Box spaces of one dimension with float32 or float64 elements are supported"
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1 or space.dtype.kind != "f":
        raise UnsupportedEnvironment(f"{environment_id} has the {what} space {space}; {allowed}")
    if space.shape[0] < 1:
        raise UnsupportedEnvironment(f"{environment_id} has an empty {what} space; {allowed}")


def _control_period_s(environment):
    period = getattr(environment.unwrapped, "dt", None) or getattr(environment.unwrapped, "tau", None)
    if not period:
        fps = environment.metadata.get("render_fps")
        period = 1 / fps if fps else 0
    return float(period)


class Environment:
    """Thread-compatible. Raises UnsupportedEnvironment at construction."""

    def __init__(self, environment_id):
        self._environment = _make(environment_id)
        observation, action = self._environment.observation_space, self._environment.action_space
        _check_vector(environment_id, "observation", observation)
        _check_vector(environment_id, "action", action)
        if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
            raise UnsupportedEnvironment(f"{environment_id} has unbounded actions: {action}; bounds must be finite")
        low, high = action.low.astype(np.float64), action.high.astype(np.float64)
        self._center, self._half_range = (high + low) / 2, (high - low) / 2
        self._dtype = action.dtype
        limit = self._environment.spec.max_episode_steps or 0
        period = _control_period_s(self._environment)
        self.spec = Specification(environment_id, observation.shape[0], low, high, period, limit)

    def reset(self, seed=None):
        """Starts an episode; with a seed (any integer), restarts the environment's random stream."""
        observation, _ = self._environment.reset(seed=None if seed is None else seed & 0x7FFFFFFF)
        return np.asarray(observation, dtype=np.float64)

    def step(self, action):
        """One step with a normalised action; (observation, reward, terminated, truncated)."""
        command = self._center + self._half_range * np.clip(action, -1.0, 1.0)
        observation, reward, terminated, truncated, _ = self._environment.step(command.astype(self._dtype))
        return np.asarray(observation, dtype=np.float64), float(reward), bool(terminated), bool(truncated)

    def close(self):
        self._environment.close()
