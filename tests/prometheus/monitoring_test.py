"""Dashboards, rules and alerts ask for metrics that exist and are complete; what breaks a rule is named."""

import copy
import json
import re
import unittest

import monitoring


class MonitoringTest(unittest.TestCase):
    def setUp(self):
        self.known = monitoring.known_metrics()
        self.dashboards = monitoring.load_dashboards()

    def assert_flags(self, part, change):
        """`change` breaks a copy of a dashboard; what is found must speak of it."""
        broken = copy.deepcopy(self.dashboards["plumbing"])
        change(broken, next(panel for panel in monitoring.panels(broken) if panel["title"] == "Rows taken in"))
        found = "\n".join(monitoring.lint_dashboard("plumbing", broken, self.known))
        self.assertIn(part, found)

    def test_dashboards_keep_the_rules(self):
        self.assertEqual(list(self.dashboards), ["capacity", "plumbing", "robots", "training"])
        for name, dashboard in self.dashboards.items():
            self.assertEqual(monitoring.lint_dashboard(name, dashboard, self.known), [], name)

    def test_dashboards_are_formatted_alike(self):
        for path in sorted(monitoring.DASHBOARDS.glob("*.json")):
            text = path.read_text()
            self.assertEqual(text, monitoring.formatted(json.loads(text)) + "\n",
                             f"{path.name}: python3 tests/prometheus/monitoring.py formats it")

    def test_flags_a_metric_that_nothing_exports(self):
        def rename(_, panel):
            panel["targets"][0]["expr"] = panel["targets"][0]["expr"].replace("rows_inserted", "rows_swallowed")
        self.assert_flags("asks for demorl_replay_rows_swallowed_total, which nothing exports", rename)

    def test_flags_a_label_that_the_metric_has_not(self):
        def select(_, panel):
            panel["targets"][0]["expr"] = panel["targets"][0]["expr"].replace("{run", '{kind="policy", run')
        self.assert_flags("selects demorl_replay_rows_inserted_total by kind, which it has not", select)

    def test_flags_queries_that_do_not_follow_the_variables(self):
        def forget(label):
            def change(_, panel):
                query = panel["targets"][0]
                query["expr"] = re.sub(rf'{label}=~"\${label}",? ?', "", query["expr"])
            return change
        for label in ("run", "job", "instance"):
            self.assert_flags(f"does not select demorl_replay_rows_inserted_total by {label}", forget(label))

    def test_flags_bare_counters_and_rates_over_a_fixed_window(self):
        def change(old, new):
            def apply(_, panel):
                query = panel["targets"][0]
                self.assertIn(old, query["expr"])
                query["expr"] = query["expr"].replace(old, new)
            return apply
        self.assert_flags("has a rate over 5m", change("$__rate_interval", "5m"))
        self.assert_flags("shows the counter demorl_replay_rows_inserted_total without rate", change("(rate(", "(max("))

    def test_flags_averages_over_what_may_be_nan(self):
        query = 'avg by (run) (demorl_actor_last_return{run=~"$run", job=~"$job", instance=~"$instance"} > -Inf)'
        self.assertEqual(monitoring.lint_query(query, "Return", self.known), [])
        self.assertIn("which may be NaN", "".join(monitoring.lint_query(query.replace(" > -Inf", ""), "Return", self.known)))

    def test_flags_single_numbers_in_the_colors_that_nobody_chose(self):
        stat = next(panel for panel in monitoring.panels(self.dashboards["plumbing"]) if panel["title"] == "Services down")
        stat["fieldConfig"]["defaults"].pop("thresholds")
        self.assertIn("thresholds of its own", "".join(monitoring.lint_panel(stat, self.known)))

    def test_flags_panels_that_lack_something(self):
        self.assert_flags("needs a title and a description", lambda _, panel: panel.pop("description"))
        self.assert_flags("has unit None", lambda _, panel: panel["fieldConfig"]["defaults"].pop("unit"))
        self.assert_flags("needs queries", lambda _, panel: panel.update(targets=[]))
        self.assert_flags("does not use the chosen data source", lambda _, panel: panel.pop("datasource"))
        self.assert_flags("two panels are called 'Rows sampled'", lambda _, panel: panel.update(title="Rows sampled"))
        self.assert_flags("leaves the grid", lambda _, panel: panel["gridPos"].update(x=20))
        self.assert_flags("covers", lambda _, panel: panel["gridPos"].update(y=0))

    def test_flags_quantities_that_cannot_be_drawn_over_each_other(self):
        chart = next(panel for panel in monitoring.panels(self.dashboards["training"]) if panel["type"] == "xychart")
        for part, change in (("needs the format table", lambda panel: panel["targets"][0].pop("format")),
                             ("needs the transformations", lambda panel: panel["transformations"].pop()),
                             ("does not name the value of each", lambda panel: panel["targets"].pop()),
                             ("needs the mapping auto", lambda panel: panel["options"].update(series=[])),
                             ("asks for Value #X", lambda panel: panel["options"]["series"][0]["x"]["matcher"].update(options="Value #X"))):
            broken = copy.deepcopy(chart)
            change(broken)
            self.assertIn(part, "\n".join(monitoring.lint_panel(broken, self.known)))

    def test_flags_dashboards_that_lack_something(self):
        self.assert_flags("is editable", lambda board, _: board.update(editable=True))
        self.assert_flags("uid is", lambda board, _: board.update(uid="other"))
        self.assert_flags("schemaVersion", lambda board, _: board.update(schemaVersion=16))
        self.assert_flags("variables are not", lambda board, _: board["templating"]["list"].pop())
        def variable(board, index):
            return board["templating"]["list"][index]
        self.assert_flags("does not choose a Prometheus", lambda board, _: variable(board, 0).update(query="loki"))
        self.assert_flags("does not ask the chosen data source", lambda board, _: variable(board, 2).update(refresh=1))
        self.assert_flags("needs its label, several", lambda board, _: variable(board, 2).update(multi=False))
        self.assert_flags("not filled with that label", lambda board, _: variable(board, 3).update(query={"query": "up"}))
        self.assert_flags("same id", lambda board, panel: panel.update(id=1))

    def test_rules_and_alerts_keep_the_rules(self):
        entries = monitoring.load_rules()
        self.assertGreater(len(entries), 20)
        self.assertEqual(monitoring.lint_rules(entries, self.known), [])

    def test_flags_rules_and_alerts_that_break_a_rule(self):
        alert = next(entry for entry in monitoring.load_rules() if entry.get("alert") == "DemorlReplayNotDurable")
        for change, part in ((dict(expr="rate(demorl_gone_total[5m]) > 0"), "asks for demorl_gone_total"),
                             (dict(expr='demorl_actor_last_return{table="env"} < 0'), "by table, which it has not"),
                             (dict(labels="{severity: bad}"), "needs the severity"),
                             (dict(description=""), "has no description"),
                             (dict(runbook_url="docs/runbooks/Other.md"), "has no runbook"),
                             (dict(expr="increase(demorl_sac_learner_skipped_total[10m]) > 0"), "before its first scrape")):
            self.assertIn(part, "\n".join(monitoring.lint_rules([alert | change], self.known)))
        self.assertIn("is not level:metric:operation",
                      monitoring.lint_rules([{"record": "demorl_rate", "expr": "up"}], self.known)[0])

    def test_each_alert_has_a_test_and_each_runbook_an_alert(self):
        alerts = {entry["alert"] for entry in monitoring.load_rules() if "alert" in entry}
        tested = re.findall(r"- alertname: (\w+)", (monitoring.ROOT / "tests/prometheus/alerts_test.yaml").read_text())
        self.assertEqual(alerts, set(tested))
        self.assertEqual(alerts, {path.stem for path in monitoring.RUNBOOKS.glob("Demorl*.md")})

    def test_reads_the_selectors_of_a_query(self):
        self.assertEqual(
            monitoring.selectors('sum by (run, le) (rate(a_bucket{run=~"$run", x!~"}|by (y)"}[5m] offset 1h)) / (b:c:d > 0) or up'),
            [("a_bucket", 'run=~"$run", x!~"}|by (y)"'), ("b:c:d", ""), ("up", "")])


if __name__ == "__main__":
    unittest.main()
