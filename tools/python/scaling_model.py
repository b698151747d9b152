"""What bounds a deployment of a given size: demand on each part against what one core, process or link of it does.

Two views that must agree: arithmetic (`demands`) and a simulation of the closed loop in small steps of time (`simulate`), in
which actors insert, replay's rate limiter holds simulated ones back, and the learner draws. The costs are measured, see
docs/scaling.md; give others by --set name=value.

    tools/python/scaling_model.py                      # the tables of docs/scaling.md
    tools/python/scaling_model.py --actors 300 --rate 50 --robots
"""

import argparse
import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of one core where nothing else is said."""

    replay_us_per_chunk: float = 33.0  # of a busy replay, the answer included
    replay_us_per_wake_up: float = 290.0  # of one that is mostly idle, and wakes up for each chunk
    replay_wake_up_cores: float = 0.58  # at most, for all wake-ups
    replay_us_per_chunk_awake: float = 4.6
    replay_us_per_row: float = 1.0
    replay_us_per_sampled_row: float = 0.7
    replay_kib_per_actor: float = 39.0
    row_bytes: float = 168.0  # HalfCheetah: 17 observations, 6 actions, reward
    chunk_overhead_bytes: float = 150.0
    resident_bytes_per_row: float = 170.0  # of chunks of ten rows; 410 where each row is a chunk
    learner_updates_per_s: float = 165.0  # batch 256, two threads, CPU
    batch_rows: int = 256
    snapshot_bytes: float = 292e3
    fan_out_bytes_per_s: float = 0.8e9
    planner_model_rows_per_s: float = 0.16e6
    model_rows_per_planned_row: float = 100.0  # candidates per start state
    network_bytes_per_s: float = 1.25e9  # 10 Gbit/s
    disk_bytes_per_s: float = 450e6


@dataclasses.dataclass(frozen=True)
class Deployment:
    actors: int
    rate_hz: float = 20.0  # steps a second of each
    chunk_rows: int = 10
    robots: bool = True  # never held back; simulated actors wait for the learner
    updates_per_row: float = 1.0  # that the limiter keeps, for simulated actors
    max_rows_ahead: int = 1000
    snapshots_per_s: float = 1.0
    planners: int = 1
    planned_rows_per_s: float = 2000.0
    replay_cores: int = 2
    learners_speedup: float = 1.0  # of one learner, by a GPU


def wanted_rows(deployment):
    return deployment.actors * deployment.rate_hz


def learner_updates(deployment, costs):
    return costs.learner_updates_per_s * deployment.learners_speedup


def replay_seconds_per_row(deployment, costs):
    return 1e-6 * (costs.replay_us_per_row + costs.replay_us_per_chunk / deployment.chunk_rows)


def replay_cores_used(rows_per_s, deployment, costs):
    """Without sampling. Waking up for single chunks costs more than their work, until they come thick and fast."""
    chunks = rows_per_s / deployment.chunk_rows
    awake = costs.replay_wake_up_cores + 1e-6 * costs.replay_us_per_chunk_awake * chunks
    wake_ups = min(1e-6 * costs.replay_us_per_wake_up * chunks, awake)
    return max(wake_ups, rows_per_s * replay_seconds_per_row(deployment, costs))


def sampling_share(updates_per_s, deployment, costs):
    """Of replay's cores."""
    return 1e-6 * costs.replay_us_per_sampled_row * costs.batch_rows * updates_per_s / deployment.replay_cores


def demands(deployment, costs, rows_per_s=None):
    """What each part is asked for, as a share of what it can do; at the rate that the actors want unless told."""
    rows = wanted_rows(deployment) if rows_per_s is None else rows_per_s
    most_updates = learner_updates(deployment, costs)
    asked_updates = rows * deployment.updates_per_row
    sampled = min(asked_updates, most_updates)
    chunks = rows / deployment.chunk_rows
    insert_bytes = rows * costs.row_bytes + chunks * costs.chunk_overhead_bytes
    batch_bytes = sampled * costs.batch_rows * (costs.row_bytes + 68)  # both observations of a row
    snapshot_bytes = deployment.actors * deployment.snapshots_per_s * costs.snapshot_bytes
    return {
        "learner": asked_updates / most_updates,
        "replay": replay_cores_used(rows, deployment, costs) / deployment.replay_cores
        + sampling_share(sampled, deployment, costs),
        "fan-out": snapshot_bytes / costs.fan_out_bytes_per_s,
        "network": max(insert_bytes, batch_bytes, snapshot_bytes) / costs.network_bytes_per_s,
        "disk": insert_bytes * 2 / costs.disk_bytes_per_s,  # a log, then a table
        "planner": deployment.planned_rows_per_s
        * costs.model_rows_per_planned_row
        / (deployment.planners * costs.planner_model_rows_per_s),
    }


# Their lag does not hold actors back.
BESIDE_THE_LOOP = ("planner", "fan-out", "network")


def attainable_rows(deployment, costs):
    """Rows a second that all parts of the loop keep up with."""
    wanted = wanted_rows(deployment)
    most = {"actors": wanted}
    if not deployment.robots:
        most["learner"] = learner_updates(deployment, costs) / deployment.updates_per_row
    per_row = replay_seconds_per_row(deployment, costs)
    left = max(0.0, 1.0 - sampling_share(learner_updates(deployment, costs), deployment, costs))
    most["replay"] = left * deployment.replay_cores / per_row
    bytes_per_row = 2 * (costs.row_bytes + costs.chunk_overhead_bytes / deployment.chunk_rows)
    most["disk"] = costs.disk_bytes_per_s / bytes_per_row
    bound = min(most, key=most.get)
    return most[bound], bound


def simulate(deployment, costs, seconds=60.0, step_s=0.01):
    """Rows and updates a second over the second half, the most rows that waited for replay, and how far ahead the actors were."""
    waiting = inserted = updates = 0.0
    collected = 0.0
    most_waiting = most_ahead = 0.0
    half = (0.0, 0.0)
    rows_per_step = wanted_rows(deployment) * step_s
    updates_per_step = learner_updates(deployment, costs) * step_s
    replay_row_s = replay_seconds_per_row(deployment, costs)
    disk_rows = step_s * costs.disk_bytes_per_s / (2 * (costs.row_bytes + costs.chunk_overhead_bytes / deployment.chunk_rows))
    steps = int(seconds / step_s)
    for number in range(steps):
        if number == steps // 2:
            half = (inserted, updates)
        new = rows_per_step
        if not deployment.robots:
            allowed = updates / deployment.updates_per_row + deployment.max_rows_ahead
            new = max(0.0, min(new, allowed - collected))
        collected += new
        waiting += new
        drawn = min(updates_per_step, max(0.0, inserted * deployment.updates_per_row - updates))
        updates += drawn
        replay_s = step_s * deployment.replay_cores * (1 - sampling_share(drawn / step_s, deployment, costs))
        taken = min(waiting, max(0.0, replay_s) / replay_row_s, disk_rows)
        waiting -= taken
        inserted += taken
        most_waiting = max(most_waiting, waiting)
        most_ahead = max(most_ahead, inserted - updates / deployment.updates_per_row)
    window = (steps - steps // 2) * step_s
    return {
        "rows_per_s": (inserted - half[0]) / window,
        "updates_per_s": (updates - half[1]) / window,
        "rows_waiting": most_waiting,
        "rows_ahead": most_ahead,
        "collected": collected,
        "inserted": inserted,
    }


def row_of(deployment, costs):
    rows, bound = attainable_rows(deployment, costs)
    simulated = simulate(deployment, costs)
    shares = demands(deployment, costs, rows)
    parts = [f"{100 * shares[part]:.3g} %" for part in ("replay", "disk", "network", "fan-out")]
    memory = deployment.actors * costs.replay_kib_per_actor / 1024
    learner = simulated["updates_per_s"] / learner_updates(deployment, costs)
    hold = "nothing" if bound == "actors" else bound
    if max(shares["network"], shares["fan-out"]) > 1:
        hold = "policies late" if hold == "nothing" else hold + ", policies late"
    cells = [
        f"{deployment.actors:,}",
        f"{wanted_rows(deployment):,.0f}",
        f"{rows:,.0f}",
        f"{simulated['rows_per_s']:,.0f}",
        f"{100 * learner:.3g} %",
        *parts,
        f"{memory:,.0f} MiB",
        hold,
    ]
    return "| " + " | ".join(cells) + " |"


HEADER = (
    "| actors | rows/s wanted | had | simulated | learner | replay | disk | network | fan-out | connections' memory | bound by |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def tables(costs):
    sizes = (10, 100, 1000, 10000)
    lines = ["Robots at 20 Hz, never held back:", "", HEADER]
    lines += [row_of(Deployment(actors=n, replay_cores=2 if n <= 1000 else 8), costs) for n in sizes]
    lines += ["", "Simulated actors at 1,000 steps/s, one update per row:", "", HEADER]
    lines += [
        row_of(Deployment(actors=n, rate_hz=1000, robots=False, max_rows_ahead=max(1000, 50 * n), chunk_rows=50), costs)
        for n in sizes
    ]
    return "\n".join(lines)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actors", type=int, help="one size instead of the tables")
    parser.add_argument("--rate", type=float, default=20.0, help="steps a second of each")
    parser.add_argument("--chunk-rows", type=int, default=10)
    parser.add_argument("--robots", action="store_true", help="never held back")
    parser.add_argument("--updates-per-row", type=float, default=1.0)
    parser.add_argument("--planners", type=int, default=1)
    parser.add_argument("--replay-cores", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another cost")
    options = parser.parse_args(arguments)
    changes = dict(assignment.split("=", 1) for assignment in options.set)
    costs = dataclasses.replace(Costs(), **{name: float(value) for name, value in changes.items()})
    if options.actors is None:
        print(tables(costs))
        return 0
    deployment = Deployment(
        actors=options.actors,
        rate_hz=options.rate,
        chunk_rows=options.chunk_rows,
        robots=options.robots,
        updates_per_row=options.updates_per_row,
        max_rows_ahead=max(1000, 50 * options.actors),
        planners=options.planners,
        replay_cores=options.replay_cores,
    )
    print(HEADER)
    print(row_of(deployment, costs))
    for part, share in sorted(demands(deployment, costs).items(), key=lambda item: -item[1]):
        print(f"{part}: {100 * share:.3g} % of what it can do")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
