"""Reads dashboards, rules and alerts, and says what is wrong with them. Standard library only.

Run by itself it writes the dashboards anew in the form that they all have, for example after an export from Grafana.
"""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "deploy" / "grafana"
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"

# Made by Prometheus itself.
SCRAPE_METRICS = {"up": set()}
# What every target has: Prometheus adds them.
TARGET_LABELS = {"run", "job", "instance"}

# Of those that dashboard-linter knows: Grafana has more.
UNITS = {"none", "short", "percentunit", "s", "bytes", "cps", "ops", "reqps", "celsius", "volt", "forceNm"}
PANEL_TYPES = {"timeseries", "stat", "state-timeline", "xychart"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = ["datasource", "run", "job", "instance"]
KEYWORDS = {"and", "or", "unless", "bool", "offset", "Inf"}
# Shown as counts: calls begun minus calls ended.
COUNTERS_WITHOUT_RATE = {"Open calls"}


def exported_metrics():
    """Labels of each time series that the services export, by its name: docs/metrics.md, which comes from the code."""
    series, labels = {}, set()
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| `"):
            continue
        own = {label.strip() for label in re.sub(r"\([^)]*\)", "", cells[2]).split(",") if label.strip()}
        labels = own - {"the same"} | (labels if "the same" in own else set())
        for name in re.findall(r"`(\w+)`", cells[0]):
            for suffix in ("_bucket", "_sum", "_count") if cells[1] == "histogram" else ("",):
                series[name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return series


def unset_metrics():
    """Gauges that are NaN at first: one such instance would make an average NaN."""
    return set(re.findall(r"^\| `(\w+)` .*; NaN before the first \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))


PROMQL_TOKEN = re.compile(
    r"""  "(?:[^"\\]|\\.)*" | \[[^\]]*\]                                             # a string, a window
      | \b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)            # labels
      | \{(?P<matchers>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\}
      | (?<![\w$:.])(?P<name>[A-Za-z_:][\w:]*)(?P<call>\s*(?:\b(?:by|without)\s*\([^)]*\)\s*)?\()? """, re.VERBOSE)


def selectors(expression):
    """(name, matchers) for each vector selector; matchers is what stands between the braces."""
    found = []
    for token in PROMQL_TOKEN.finditer(expression):
        if token["matchers"] is not None and found:
            found[-1] = (found[-1][0], token["matchers"])
        elif token["name"] and not token["call"] and token["name"] not in KEYWORDS:
            found.append((token["name"], ""))
    return found


def rule_entries(text):
    """Dictionaries of the rules of a file in the form that ours have: one key a line, `|-` and `>-` blocks."""
    entries, block = [], None
    for line in text.splitlines():
        key = re.match(r"\s*(- )?(\w+): (.*)", line)
        if block and (line.startswith(" " * 10) or not line.strip()):
            entries[-1][block] += line.strip() + "\n"
            continue
        block = None
        if not key or line.lstrip().startswith("#"):
            continue
        if key[1] and key[2] in ("alert", "record"):
            entries.append({})
        if entries:
            entries[-1][key[2]] = "" if key[3] in (">-", "|-") else key[3].strip("'")
            block = key[2] if key[3] in (">-", "|-") else None
    return entries


def load_rules():
    return [entry for name in ("rules.yaml", "alerts.yaml") for entry in rule_entries((PROMETHEUS / name).read_text())]


def known_metrics():
    """Labels by name: what is exported, what Prometheus adds, and what our rules record."""
    recorded = {entry["record"]: set() for entry in load_rules() if "record" in entry}
    return exported_metrics() | SCRAPE_METRICS | recorded


def unknown_labels(name, matchers, known):
    named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"(?:[^"\\]|\\.)*"', "", matchers)))
    return sorted(named - known.get(name, named) - TARGET_LABELS)


def formatted(value, indent=0, width=140):
    """JSON with whatever fits on one line; within a dashboard that is one line for each part of a panel."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or len(flat) + indent <= width:
        return flat
    margin = " " * (indent + 2)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {formatted(item, indent + 2, width)}" for key, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [formatted(item, indent + 2, width) for item in value]
        opening, closing = "[", "]"
    return opening + "\n" + ",\n".join(margin + item for item in items) + "\n" + " " * indent + closing


def load_dashboards():
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def lint_dashboard(name, dashboard, known):
    """What is wrong with a dashboard, one sentence each: the rules of Grafana's dashboard-linter, and our own."""
    found = []
    if dashboard.get("uid") != f"demorl-{name}":
        found.append(f"uid is {dashboard.get('uid')}; want demorl-{name}")
    if dashboard.get("editable") is not False:
        found.append("is editable; its file is the source")
    if dashboard.get("schemaVersion", 0) < 39:
        found.append(f"schemaVersion is {dashboard.get('schemaVersion')}; want 39 or more")
    for key in ("title", "description", "tags"):
        if not dashboard.get(key):
            found.append(f"has no {key}")
    found += lint_variables(dashboard)
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        found.append("two panels have the same id")
    titles = [panel.get("title") for panel in panels(dashboard)]
    found += [f"two panels are called '{title}'" for title in sorted({title for title in titles if titles.count(title) > 1})]
    found += lint_layout(dashboard["panels"])
    for panel in panels(dashboard):
        found += [f"panel '{panel.get('title')}' {what}" for what in lint_panel(panel, known)]
    return found


def lint_variables(dashboard):
    variables = dashboard.get("templating", {}).get("list", [])
    if [variable["name"] for variable in variables] != VARIABLES:
        return [f"its variables are not {', '.join(VARIABLES)}"]
    found = []
    source = variables[0]
    if (source.get("type"), source.get("query"), source.get("label")) != ("datasource", "prometheus", "Data source"):
        found.append("variable datasource does not choose a Prometheus under the label 'Data source'")
    for variable in variables[1:]:
        name = variable["name"]
        if variable.get("datasource") != DATASOURCE or variable.get("refresh") != 2:
            found.append(f"variable {name} does not ask the chosen data source at each change of time")
        if variable.get("label") != name.capitalize() or not variable.get("multi") or variable.get("allValue") != ".+":
            found.append(f"variable {name} needs its label, several values and '.+' for all of them")
        if not re.fullmatch(rf"label_values\(up\{{[^}}]*\}}, {name}\)", variable.get("query", {}).get("query", "")):
            found.append(f"variable {name} is not filled with that label of up")
    return found


def lint_layout(all_panels):
    taken, found = {}, []
    for panel in all_panels:
        grid = panel["gridPos"]
        for cell in ((x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])):
            if cell[0] > 23:
                found.append(f"panel '{panel['title']}' leaves the grid")
                break
            if taken.setdefault(cell, panel["title"]) != panel["title"]:
                found.append(f"panel '{panel['title']}' covers '{taken[cell]}'")
                break
    return found


def lint_panel(panel, known):
    found = []
    if panel["type"] not in PANEL_TYPES:
        found.append(f"is a {panel['type']}")
    if not panel.get("title") or not panel.get("description", "").endswith("."):
        found.append("needs a title and a description of whole sentences")
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
    if unit not in UNITS:
        found.append(f"has unit {unit}")
    if panel.get("datasource") != DATASOURCE:
        found.append("does not use the chosen data source")
    targets = panel.get("targets", [])
    if not targets or len({target["refId"] for target in targets}) != len(targets):
        found.append("needs queries, each with a refId of its own")
    for target in targets:
        if target.get("datasource") != DATASOURCE or not target.get("legendFormat"):
            found.append(f"query {target['refId']} needs the chosen data source and a legend")
        found += [f"query {target['refId']} {what}" for what in lint_query(target["expr"], panel["title"], known)]
    lint_type = {"xychart": lint_xychart, "stat": lint_stat}.get(panel["type"], lambda _: [])
    return found + lint_type(panel)


def lint_stat(panel):
    """Where a panel does not say otherwise, Grafana shows numbers below 80 in green and all others in red."""
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    fixed = defaults.get("color", {}).get("mode") == "fixed"
    steps = defaults.get("thresholds", {}).get("steps", [])
    return [] if fixed or len(steps) > 1 else ["needs a fixed color, or thresholds of its own"]


def lint_xychart(panel):
    """Grafana draws one quantity over another where both stand in the rows of a table: each query gives one, `merge` joins them by
    time and run, and `partitionByValues` makes one of each run. The quantity of a query is called "Value #" and its refId."""
    found = []
    targets = panel.get("targets", [])
    if any(target.get("format") != "table" for target in targets):
        found.append("joins queries, of which each needs the format table")
    steps = [step["id"] for step in panel.get("transformations", [])]
    if steps != ["merge", "organize", "partitionByValues"] or panel["transformations"][2]["options"]["fields"] != ["run"]:
        return found + ["needs the transformations merge, organize and partitionByValues, by run"]
    values = {f"Value #{target['refId']}" for target in targets}
    if set(panel["transformations"][1]["options"]["renameByName"]) != values:
        found.append("does not name the value of each query")
    series = panel["options"].get("series", [{}])
    if panel["options"].get("mapping") != "auto" or len(series) != 1 or not series[0].get("x"):
        return found + ["needs the mapping auto with one x"]
    named = [series[0]["x"]["matcher"]] + [override["matcher"] for override in panel["fieldConfig"]["overrides"]]
    return found + [f"asks for {matcher['options']}, which no query gives" for matcher in named
                    if matcher["id"] != "byName" or matcher["options"] not in values]


def lint_query(expression, title, known):
    found = []
    for name, matchers in selectors(expression):
        if name not in known:
            found.append(f"asks for {name}, which nothing exports")
        found += [f"selects {name} by {label}, which it has not" for label in unknown_labels(name, matchers, known)]
        for label in ("run", "job", "instance"):
            if not re.search(rf'\b{label}=~"', matchers):
                found.append(f"does not select {name} by {label}")
        if re.search(r"_(total|bucket|sum|count)$", name) and title not in COUNTERS_WITHOUT_RATE:
            if not re.search(rf"\b(rate|increase)\({name}\{{[^}}]*\}}\[", expression):
                found.append(f"shows the counter {name} without rate")
        if name in unset_metrics() and re.search(r"\b(avg|sum|min|max) by", expression) and not re.search(rf"\b{name}\{{[^}}]*\}} > -Inf", expression):
            found.append(f"aggregates {name}, which may be NaN, without '> -Inf'")
    for window in re.findall(r"\brate\([^\[]*\[([^\]]*)\]", expression):
        if window != "$__rate_interval":
            found.append(f"has a rate over {window}; want $__rate_interval")
    return found


def lint_rules(entries, known):
    found = []
    for entry in entries:
        name = entry.get("record") or entry.get("alert")
        for metric, matchers in selectors(entry.get("expr", "")):
            if metric not in known:
                found.append(f"{name} asks for {metric}, which nothing exports")
            found += [f"{name} selects {metric} by {label}, which it has not"
                      for label in unknown_labels(metric, matchers, known)]
        if "record" in entry and not re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", name):
            found.append(f"{name} is not level:metric:operation")
        if "alert" in entry:
            found += [f"{name} {what}" for what in lint_alert(entry)]
    return found


def lint_alert(entry):
    found = []
    if not re.fullmatch(r"\{severity: (critical|warning)\}", entry.get("labels", "")):
        found.append("needs the severity critical or warning")
    for key in ("summary", "description"):
        if not entry.get(key):
            found.append(f"has no {key}")
    runbook = f"docs/runbooks/{entry['alert']}.md"
    if entry.get("runbook_url") != runbook or not (ROOT / runbook).is_file():
        found.append(f"has no runbook {runbook}")
    for counter, window in re.findall(r"\bincrease\((\w+)\[(\w+)\]\)\s*> 0", entry["expr"]):
        young = f"({counter} > 0 and on (run, job, instance) instance:process_start_time_seconds:last{window})"
        if young not in entry["expr"]:
            found.append(f"sees nothing that {counter} counts before its first scrape; want 'or {young}'")
    return found


if __name__ == "__main__":
    for dashboard_path in DASHBOARDS.glob("*.json"):
        dashboard_path.write_text(formatted(json.loads(dashboard_path.read_text())) + "\n")
