"""An actor for any Gymnasium environment with flat Box spaces: collects transitions, follows policies, evaluates.

    python -m demorl.actor --environment Pendulum-v1 --replay HOST:PORT --snapshot HOST:PORT --run-id RUN
    python -m demorl.actor --environment Pendulum-v1 --describe
    python -m demorl.actor --list
"""

import argparse
import json
import logging
import signal
import sys
import threading
import time

import numpy as np

from demorl.environment import Environment, UnknownEnvironment, UnsupportedEnvironment, known_ids, split_seed

LOG = logging.getLogger("demorl")
SLICE_S = 0.2  # longest wait before a stop request is looked at
UNKNOWN_ENVIRONMENT = 3  # exit status for an id that Gymnasium does not know


class Collector:
    """Steps one environment and hands chunks to a writer. One thread."""

    def __init__(self, environment, writer, policies, options, stop):
        self._environment, self._writer, self._policies = environment, writer, policies
        self._options, self._stop = options, stop
        self._random = np.random.default_rng(split_seed(options.seed, "actor"))
        self._next_episode = (int(time.time()) << 20) + 1
        self._seed = split_seed(options.seed, "environment")
        self._segment = None
        self._observation = None
        self.num_steps = 0
        self.num_non_finite = 0

    def run(self):
        while not self._stop.is_set() and not (self._options.steps and self.num_steps >= self._options.steps):
            if self._may_step():
                self._step()
        if self._segment is not None and len(self._segment) > 0:
            self._send(truncated=True)

    def _may_step(self):
        open_rows = len(self._segment) if self._segment is not None else 0
        if self._writer.wait_for_rows_allowed(open_rows + 1, 0):
            return True
        # Rows that wait in an open segment cannot earn the updates that would let the next ones in.
        if open_rows > 0:
            self._send()
        return self._writer.wait_for_rows_allowed(1, SLICE_S)

    def _action(self):
        policy, version = self._policies.latest()
        if policy is None or self._writer.rows_inserted() < self._options.random_steps:
            return self._random.uniform(-1, 1, self._environment.spec.action_size).astype(np.float32), 0
        return policy.sample(self._observation, self._random), version

    def _begin(self):
        from demorl.services import SegmentRecorder

        self._observation = self._environment.reset(self._seed)
        self._seed = None  # later episodes go on with the stream
        self._segment = SegmentRecorder(self._environment.spec, self._next_episode)
        self._next_episode += 1
        self._segment.start(self._observation)

    def _step(self):
        if self._segment is None:
            self._begin()
        self._policies.check()
        action, version = self._action()
        observation, reward, terminated, truncated = self._environment.step(action)
        if not (np.isfinite(observation).all() and np.isfinite(reward)):
            self.num_non_finite += 1
            LOG.error("non-finite observation or reward; the episode is cut before that step")
            if len(self._segment) > 0:
                self._send(truncated=True)
            self._segment = None
            return
        self._segment.add(action, reward, observation, version)
        self._observation = observation
        self.num_steps += 1
        if terminated or truncated:
            self._send(terminated, truncated)
            self._segment = None
        elif len(self._segment) >= self._options.chunk_steps:
            self._send()

    def _send(self, terminated=False, truncated=False):
        chunk = self._segment.take(terminated, truncated)
        deadline = None  # counts from the stop request
        while not self._writer.append(chunk, SLICE_S):
            if self._stop.is_set():
                deadline = deadline or time.monotonic() + self._options.drain_s
                if time.monotonic() > deadline:
                    raise TimeoutError("rows were left behind: replay took no chunk")


def collect(options, stop):
    from demorl import security, services

    who = security.from_options(options)
    environment = Environment(options.environment)
    with services.connect(options.replay, who) as replay, services.connect(options.snapshot, who) as snapshot:
        policies = services.PolicyWatch(snapshot, options.run_id, environment.spec)
        writer = services.ReplayWriter(replay, options.run_id, options.writer_id, time.time_ns(), environment.spec)
        service = services.EvaluationService(options.run_id, environment.spec, policies, who)
        server = None
        try:
            server, port = services.serve_evaluation(options.listen, service)
            print(f"demorl.actor: {options.environment} evaluates on port {port}", flush=True)
            collector = Collector(environment, writer, policies, options, stop)
            collector.run()
            if not writer.flush(options.drain_s):
                raise TimeoutError("rows were left behind: replay did not make them durable in time")
            LOG.info("%d steps, %d non-finite, drained", collector.num_steps, collector.num_non_finite)
            if options.stay:
                stop.wait()
        finally:
            if server is not None:
                server.stop(1).wait()
            writer.close()
            policies.close()
            environment.close()


def collect_until_signalled(options):
    """Collects on a thread of its own and waits for SIGTERM or SIGINT, or for the end of the work."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before any thread starts, so that none is interrupted
    stop, failures, main_thread = threading.Event(), [], threading.get_ident()

    def work():
        try:
            collect(options, stop)
        except Exception as error:
            failures.append(error)
        finally:
            signal.pthread_kill(main_thread, signal.SIGTERM)

    worker = threading.Thread(target=work, name="collector")
    worker.start()
    signal.sigwait(signals)
    stop.set()
    worker.join()
    if failures:
        raise failures[0]


def describe(fields, form):
    if form == "json":
        print(json.dumps(fields))
        return
    for key, value in fields.items():
        print(key, *(value if isinstance(value, list) else [value]))


def parse(arguments):
    parser = argparse.ArgumentParser(prog="demorl.actor", description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true", help="print the ids that Gymnasium knows")
    parser.add_argument(
        "--describe",
        nargs="?",
        const="json",
        choices=["json", "text"],
        help="print the environment's specification as JSON, or as lines of a key and its values",
    )
    parser.add_argument("--environment", metavar="ID")
    parser.add_argument("--replay", metavar="ADDRESS")
    parser.add_argument("--snapshot", metavar="ADDRESS")
    parser.add_argument("--run-id", metavar="ID")
    parser.add_argument("--writer-id", default="python-actor-0", help="stable over restarts of this actor")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="ADDRESS", help="where Evaluate is served")
    parser.add_argument("--tls-dir", metavar="FOLDER", help="tls.crt, tls.key and ca.crt; else $DEMORL_TLS_DIR, else plain text")
    parser.add_argument("--token-file", metavar="FILE", help="a token in place of a certificate; else $DEMORL_TOKEN_FILE")
    parser.add_argument("--trust-domain", default="demorl.local", help="of the roles in certificates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="stop collecting after this many; 0 for never")
    parser.add_argument("--stay", action="store_true", help="go on serving Evaluate after --steps")
    parser.add_argument(
        "--random-steps", type=int, default=0, help="random actions until the table has taken this many rows"
    )
    parser.add_argument("--chunk-steps", type=int, default=25)
    parser.add_argument("--drain-s", type=float, default=10, help="longest time to send what is left at the end")
    options = parser.parse_args(arguments)
    if not options.list and options.environment is None:
        parser.error("--environment is needed")
    missing = [name for name in ("replay", "snapshot", "run_id") if getattr(options, name) is None]
    if not options.list and not options.describe and missing:
        parser.error("needed to collect: " + ", ".join("--" + name.replace("_", "-") for name in missing))
    return options


def main(arguments=None):
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if options.list:
            print("\n".join(known_ids()))
        elif options.describe:
            describe(Environment(options.environment).spec.as_dict(), options.describe)
        else:
            collect_until_signalled(options)
    except BrokenPipeError:
        return 0
    except UnsupportedEnvironment as error:
        print(f"demorl.actor: {error}", file=sys.stderr)
        return UNKNOWN_ENVIRONMENT if isinstance(error, UnknownEnvironment) else 1
    except Exception as error:
        from demorl.security import BadSecurity
        from demorl.services import Fatal

        if not isinstance(error, (BadSecurity, Fatal, TimeoutError)):
            raise
        print(f"demorl.actor: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
