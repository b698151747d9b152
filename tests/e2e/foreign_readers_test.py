"""What a traced run writes, read by others: event files by TensorBoard's own reader, traces by OpenTelemetry's messages.

Needs the programs (DEMORL_BIN), and tensorboard and opentelemetry-proto among the modules. Run by tools/check-deploy.
"""

import base64
import collections
import json
import math
import pathlib
import sys
import unittest

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from support import SMALL, RunTest, read_table, wait_until
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "prometheus"))
from scraped_run import ScrapedRunTest  # noqa: E402  (needs the path above)

# From a tick to the policy that was learned from it, by span and service.
POLICY_CHAIN = [("collect", "actor"), ("append", "replay"), ("sample", "replay"), ("update", "sac_learner"),
                ("publish", "sac_learner"), ("store", "snapshot"), ("apply", "actor")]
# The same of a robot: its control loop's own ticks, the first one of a chunk and the first one that acts by the policy.
ROBOT_CHAIN = [("collect", "leg_gateway"), *POLICY_CHAIN[1:-1], ("apply", "leg_gateway")]
# From a tick over the dynamics that were trained on it to the rows planned with them.
MODEL_CHAIN = [("collect", "actor"), ("append", "replay"), ("train", "model_trainer"), ("publish", "model_trainer"),
               ("store", "snapshot"), ("plan", "mpc_rollout"), ("append", "replay")]
# Names that users of Stable-Baselines3 and of CleanRL look for, and the column of progress.csv that both show.
SAME_FIGURES = [("rollout/ep_rew_mean", "charts/episodic_return", "episode_return"),
                ("train/critic_loss", "losses/qf_loss", "critic_loss"),
                ("train/actor_loss", "losses/actor_loss", "policy_loss"),
                ("train/ent_coef", "losses/alpha", "entropy_temperature")]


def parsed(line):
    """A line of OTLP/JSON as protobuf's own reader takes it: that wants bytes in base64, not the ids' hexadecimal."""
    message = json.loads(line)
    for resource in message["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in {"traceId", "spanId", "parentSpanId"} & set(span):
                    span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return json_format.ParseDict(message, TracesData())


def read_spans(folder):
    """(span, service) by span id; a field that OTLP does not know, or of another type, is an error."""
    spans = {}
    for path in sorted(pathlib.Path(folder).glob("*.jsonl*")):
        for line in path.read_text().splitlines():
            for resource in parsed(line).resource_spans:
                names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    spans[span.span_id] = (span, names["service.name"])
    return spans


def chain_of(span_id, spans):
    """The span and what led to it, the first one first."""
    chain = []
    while span_id:
        chain.insert(0, spans[span_id])
        span_id = chain[0][0].parent_span_id
    return chain


def attributes(span):
    return {pair.key: pair.value.int_value for pair in span.attributes}


class RobotTracesTest(ScrapedRunTest):
    def test_a_trace_goes_from_tick_to_tick(self):
        traces = self.folder / "traces"
        self.start_robot("--set", f"tracing.directory={traces}", "--set", "tracing.sample_ratio=1")
        up = next(iter(self.outputs))
        wait_until(lambda: self.all_run() and any('"apply"' in path.read_text() for path in traces.glob("leg_gateway-*.jsonl")),
                   "the robot to act by a policy that was learned from it", 300)
        self.stop_driving()
        up.terminate()
        up.wait(60)
        spans = read_spans(traces)
        chains = [chain_of(span_id, spans) for span_id, (span, _) in spans.items() if span.name == "apply"]
        for chain in chains:
            self.assertEqual([(span.name, service) for span, service in chain], ROBOT_CHAIN)
            self.assertEqual(len({span.trace_id for span, _ in chain}), 1)
            collect, *_, publish, store, apply = [span for span, _ in chain]
            self.assertEqual(attributes(publish)["version"], attributes(store)["version"])
            self.assertGreaterEqual(attributes(apply)["policy_version"], attributes(store)["version"])
            self.assertGreater(attributes(apply)["tick"], attributes(collect)["rows"])
            self.assertLess(collect.end_time_unix_nano, apply.end_time_unix_nano)
        print(f"{len(chains)} ways from tick to tick, the quickest in "
              f"{min(chain[-1][0].end_time_unix_nano - chain[0][0].start_time_unix_nano for chain in chains) / 1e9:.1f} s",
              file=sys.stderr)


class ForeignReadersTest(RunTest):
    def test_traces_and_event_files(self):
        run, traces = self.folder / "run", self.folder / "traces"
        self.must("train", *SMALL, "--algorithm", "mdemorl", "--steps", "1500", "--out", run,
                  "--set", f"tracing.directory={traces}", "--set", "tracing.sample_ratio=0.2")
        self.check_traces(read_spans(traces))
        self.check_event_files(run)

    def check_traces(self, spans):
        chains = collections.Counter()
        for span_id, (span, _) in spans.items():
            self.assertEqual((len(span.trace_id), len(span.span_id)), (16, 8))
            chain = chain_of(span_id, spans)  # every parent is there
            for (before, _), (after, _) in zip(chain, chain[1:]):
                self.assertEqual(before.trace_id, after.trace_id)
                self.assertLessEqual(before.start_time_unix_nano, after.end_time_unix_nano)
            self.assertLessEqual(span.start_time_unix_nano, span.end_time_unix_nano)
            self.assertGreater(span.start_time_unix_nano, 1.7e18)
            chains[tuple((each.name, service) for each, service in chain)] += 1
        for wanted in (POLICY_CHAIN, MODEL_CHAIN):
            self.assertGreater(chains[tuple(wanted)], 0, f"{wanted} is not among {list(chains)}")
        for span, _ in spans.values():
            if span.name == "apply":
                stored = attributes(spans[span.parent_span_id][0])
                self.assertGreaterEqual(attributes(span)["policy_version"], stored["version"])

    def check_event_files(self, run):
        events = EventAccumulator(str(run))
        events.Reload()
        tags = set(events.Tags()["scalars"])
        for ours, theirs, column in SAME_FIGURES:
            for tag in (ours, theirs):
                rows = [(int(row["environment_steps"]), float(row[column]))
                        for row in read_table(run / "progress.csv") if math.isfinite(float(row[column]))]
                seen = [(event.step, event.value) for event in events.Scalars(tag)]
                self.assertEqual([step for step, _ in seen], [step for step, _ in rows], tag)
                for (_, got), (_, want) in zip(seen, rows):
                    self.assertAlmostEqual(got, want, delta=1e-4 * max(1, abs(want)), msg=tag)
        self.assertLessEqual({"charts/SPS", "time/fps", "eval/mean_reward", "model/holdout_error"}, tags)
        self.assertTrue(all(event.value > 0 for event in events.Scalars("charts/SPS")))
        evaluations = [event.value for event in events.Scalars("eval/mean_reward")]
        for got, row in zip(evaluations, read_table(run / "eval.csv"), strict=True):
            self.assertAlmostEqual(got, float(row["mean_return"]), delta=1e-3 * abs(got))


if __name__ == "__main__":
    unittest.main()
