"""What can be said of the chart without a cluster: it renders, its objects are valid and keep our rules, and wrong values
say what is wrong."""

import json
import pathlib
import re
import tempfile
import unittest

import chart
from chart import CASES, CHART, ROOT, TOOLS, helm, objects, render, run

SCHEMAS = ROOT  # set by setUpModule
# The oldest that Chart.yaml takes, and the newest with schemas here.
KUBERNETES_VERSIONS = ["1.27.0", "1.34.0"]
# What kube-score wants and we do not.
IGNORED_SCORES = {
    "container-image-pull-policy": "tags are fixed and digests possible; Always would only tie restarts to the registry",
    "deployment-replicas": "one actor or planner is a run; its absence delays it and loses nothing",
}
# Checkov, likewise.
IGNORED_CHECKS = {
    "CKV_K8S_8": "of helm's test, a pod that ends",
    "CKV_K8S_9": "likewise",
    "CKV_K8S_11": "a CPU limit would throttle a learner that could use an idle core",
    "CKV_K8S_15": "as for kube-score",
    "CKV_K8S_21": "it does not see the namespace that helm's caller gives",
    "CKV_K8S_43": "image.digest of each component takes one, which only its registry can say",
}


def setUpModule():
    global SCHEMAS
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    SCHEMAS = pathlib.Path(folder.name)
    for version in KUBERNETES_VERSIONS:
        (SCHEMAS / version).mkdir()
        chart.write_builtin_schemas(SCHEMAS / version, version)
    chart.write_crd_schemas(SCHEMAS)


def pod_specs(items):
    """(name, pod template or pod) of everything that runs."""
    for item in items:
        if item["kind"] == "Pod":
            yield item["metadata"]["name"], item
        elif "template" in item.get("spec", {}):
            yield item["metadata"]["name"], item["spec"]["template"]


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class RenderTest(unittest.TestCase):
    def test_lint_finds_nothing(self):
        for name, files in CASES.items():
            with self.subTest(name):
                done = helm("lint", "--strict", CHART, *[part for file in files for part in ("--values", file)])
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_objects_fit_the_schemas_of_kubernetes_and_of_the_operators(self):
        for name in CASES:
            for version in KUBERNETES_VERSIONS:
                with self.subTest(name, version=version):
                    done = run(TOOLS / "bin/kubeconform", "-strict", "-summary",
                               "-schema-location", f"{SCHEMAS}/{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
                               "-schema-location", f"{SCHEMAS}/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json",
                               input=chart.render_case(name))
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_an_object_with_an_unknown_field_does_not_fit(self):
        for kind, group, field in [("Certificate", "cert-manager.io/v1", "dnsName"), ("ScaledObject", "keda.sh/v1alpha1", "trigger")]:
            text = f"apiVersion: {group}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{{field}: x}}\n"
            done = run(TOOLS / "bin/kubeconform", "-strict",
                       "-schema-location", f"{SCHEMAS}/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json", input=text)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("additional", done.stdout)

    def test_kube_score_finds_nothing(self):
        ignored = [part for test in IGNORED_SCORES for part in ("--ignore-test", test)]
        for name in CASES:
            with self.subTest(name):
                # A CPU limit would throttle a learner that could use an idle core.
                done = run(TOOLS / "bin/kube-score", "score", "-", "--ignore-container-cpu-limit", "--exit-one-on-warning",
                           "-o", "ci", *ignored, input=chart.render_case(name))
                self.assertEqual(done.returncode, 0, "".join(
                    line for line in done.stdout.splitlines(True) if "[OK]" not in line and "[SKIPPED]" not in line))

    def test_checkov_finds_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in CASES:
                (pathlib.Path(folder) / f"{name}.yaml").write_text(chart.render_case(name))
            done = run(TOOLS.parent / "checkov/bin/checkov", "--directory", folder, "--framework", "kubernetes", "--compact",
                       "--skip-download", "--skip-check", ",".join(IGNORED_CHECKS), "--output", "json")
            summary = json.loads(done.stdout)["summary"]
            self.assertEqual((done.returncode, summary["failed"], summary["parsing_errors"]), (0, 0, 0), done.stdout)
            self.assertGreater(summary["resource_count"], 20 * len(CASES))

    def test_a_package_renders_as_its_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            done = helm("package", CHART, "--destination", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            package = next(pathlib.Path(folder).glob("demorl-*.tgz"))
            self.assertLess(package.stat().st_size, 200_000)
            files = CASES["everything on"]
            self.assertEqual(render(files, chart=package), render(files))


class RulesTest(unittest.TestCase):
    """Ours, and those of linters that are not to be had here."""

    @classmethod
    def setUpClass(cls):
        cls.cases = {name: objects(chart.render_case(name)) for name in CASES}

    def each(self, kinds=None):
        for name, items in self.cases.items():
            for item in items:
                if kinds is None or item["kind"] in kinds:
                    with self.subTest(name, object=f"{item['kind']} {item['metadata']['name']}"):
                        yield items, item

    def each_pod(self):
        for name, items in self.cases.items():
            for pod_name, pod in pod_specs(items):
                with self.subTest(name, pod=pod_name):
                    yield pod, pod["spec"]["containers"][0]

    def test_every_object_is_labelled_and_in_the_namespace(self):
        for _, item in self.each():
            self.assertLessEqual(len(item["metadata"]["name"]), 63)
            if item["metadata"]["name"].endswith("-mine"):
                continue
            self.assertEqual(item["metadata"]["namespace"], "robots")
            labels = item["metadata"]["labels"]
            self.assertEqual(labels["app.kubernetes.io/instance"], "walk")
            self.assertEqual(labels["app.kubernetes.io/managed-by"], "Helm")

    def test_selectors_find_exactly_one_workload(self):
        for items, item in self.each({"Service", "PodDisruptionBudget"}):
            selector = item["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            found = [name for name, pod in pod_specs(items) if matches(selector, pod["metadata"]["labels"])]
            self.assertEqual(len(found), 1, f"{selector} selects {found}")

    def test_network_policies_name_pods_that_exist(self):
        for items, item in self.each({"NetworkPolicy"}):
            peers = [peer for rule in item["spec"].get("ingress", []) for peer in rule.get("from", [])]
            peers += [peer for rule in item["spec"].get("egress", []) for peer in rule.get("to", [])]
            selectors = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer and "namespaceSelector" not in peer]
            for selector in [item["spec"]["podSelector"]["matchLabels"], *selectors]:
                self.assertTrue(any(matches(selector, pod["metadata"]["labels"]) for _, pod in pod_specs(items)), selector)

    def test_every_workload_has_its_network_policy(self):
        for name, items in self.cases.items():
            policies = {item["metadata"]["name"] for item in items if item["kind"] == "NetworkPolicy"}
            for workload, _ in pod_specs(items):
                with self.subTest(name, workload=workload):
                    self.assertIn(workload, policies)

    def test_autoscalers_own_the_replicas_of_workloads_that_exist(self):
        for items, item in self.each({"HorizontalPodAutoscaler", "ScaledObject"}):
            target = item["spec"]["scaleTargetRef"]
            found = [other for other in items if other["kind"] == target["kind"] and other["metadata"]["name"] == target["name"]]
            self.assertEqual(len(found), 1)
            self.assertNotIn("replicas", found[0]["spec"])

    def test_pods_have_no_rights(self):
        for pod, container in self.each_pod():
            spec = pod["spec"]
            self.assertFalse(spec["automountServiceAccountToken"])
            self.assertNotIn(spec["serviceAccountName"], ("", "default"))
            self.assertFalse(any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")))
            self.assertFalse(any("hostPath" in volume for volume in spec["volumes"]))
            security = container["securityContext"]
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertFalse(security["allowPrivilegeEscalation"])
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertGreater(spec["securityContext"]["runAsUser"], 10_000)
            self.assertFalse(any(re.search("secret|password|token", variable["name"], re.I) for variable in container["env"]))

    def test_containers_ask_for_what_they_take_and_mount_what_is_there(self):
        for pod, container in self.each_pod():
            for resource in ("cpu", "memory", "ephemeral-storage"):
                self.assertIn(resource, container["resources"]["requests"])
            self.assertIn("memory", container["resources"]["limits"])
            self.assertNotRegex(container["image"], r":latest$|^[^:@]+$")
            volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {"data"}
            self.assertLessEqual({mount["name"] for mount in container["volumeMounts"]}, volumes)
            self.assertFalse(any("subPath" in mount for mount in container["volumeMounts"]))

    def test_a_pod_is_given_time_to_drain(self):
        for name, items in self.cases.items():
            text = next(item["data"]["70-services.textproto"] for item in items if item["kind"] == "ConfigMap" and item["metadata"]["name"].endswith("-run"))
            drains = {match[1]: float(match[2]) for match in re.finditer(r"(\w+) \{[^}]*?drain_timeout_s: (\d+)", text)}
            for workload, pod in pod_specs(items):
                component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
                if component in drains:
                    with self.subTest(name, workload=workload):
                        self.assertGreater(pod["spec"]["terminationGracePeriodSeconds"], drains[component])

    def test_probes_ask_a_port_that_is_open(self):
        for pod, container in self.each_pod():
            if pod.get("kind") == "Pod":
                continue
            ports = {port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.assertIn(container[probe]["grpc"]["port"], ports)


class PresetsTest(unittest.TestCase):
    """The chart runs the services that an algorithm's preset asks for: common/config/run_modes.cc, in other words."""

    @staticmethod
    def services_of(preset):
        def value(field, default):
            found = re.findall(rf"^\s*{field}: (\S+)", preset, re.M)
            return found[-1] if found else default

        model_based = value("model_based", "true") == "true"
        sink = value("sink", "PLAN_SINK_TABLE")
        acts = model_based and sink != "PLAN_SINK_TABLE"
        fills = model_based and sink != "PLAN_SINK_ACT"
        learns = (not acts or fills or value("shift_model", "SHIFT_MODEL_POLICY") == "SHIFT_MODEL_POLICY"
                  or float(value("policy_proposal_ratio", "0")) > 0 or value("closed_loop_rows", "false") == "true"
                  or value("terminal_value", "TERMINAL_VALUE_AFTER_HORIZON") != "TERMINAL_VALUE_NONE")
        services = {"replay", "snapshot", "actor", "evaluator"}
        services |= {"sac_learner"} if learns else set()
        services |= {"mpc_rollout"} if model_based else set()
        services |= {"model_trainer"} if model_based and value("model_draw", "") != "MODEL_DRAW_SIMULATOR" else set()
        return services

    def test_each_algorithm_has_its_services(self):
        presets = sorted((ROOT / "deploy/config/presets/algorithms").glob("*.textproto"))
        self.assertGreater(len(presets), 5)
        for preset in presets:
            with self.subTest(preset.stem):
                rendered = objects(render(settings=[f'run.algorithm="{preset.stem}"']))
                components = {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in rendered
                              if item["kind"] in ("Deployment", "StatefulSet")}
                self.assertEqual(components, self.services_of(preset.read_text()))


class WrongValuesTest(unittest.TestCase):
    CASES = [
        (['run.enviroment="x"'], "enviroment"),
        (['run.algorithm="mdemoral"'], 'run.algorithm is "mdemoral"; want one of dmd_mpc, loop, mbpo, mdemorl'),
        (['run.preset="x"'], 'run.preset is "x"; want one of constant_horizon'),
        (['run.environmentSteps="many"'], "environmentSteps"),
        (["replay.replicas=3"], "replicas"),
        (["tracing.sampleRatio=2"], "sampleRatio"),
        (['tracing.volume={"name": "mine", "emptyDir": {}}'], "volume"),
        (['image.tag="latest"'], "tag"),
        (["replay.drainTimeoutSeconds=60"], "replay.terminationGracePeriodSeconds is 60; want more than replay.drainTimeoutSeconds, 60"),
        (['actor.autoscaling.kind="both"'], "kind"),
        (['actor.autoscaling.kind="keda"', "actor.autoscaling.keda.fallbackReplicas=3"], "metricType is Value, with which KEDA has no fallback"),
        (['actor.autoscaling.kind="hpa"', "actor.autoscaling.minReplicas=9", "actor.autoscaling.maxReplicas=3"],
         "actor.autoscaling.minReplicas is 9; want at most maxReplicas, 3"),
        (['actor.autoscaling.kind="hpa"', "actor.autoscaling.hpa.targetCPUUtilizationPercentage=null"], "actor.autoscaling.hpa has no metric"),
        (['tls.mode="existingSecrets"'], "tls.existingSecrets.actor names none"),
        (['tls.mode="certManager"', "tls.certManager.create=false"], "issuerRef.name is empty"),
        (["gateways.enabled=true"], "gateways.enabled opens replay and snapshot to the outside, but tls.mode is disabled"),
        (["gateways.enabled=true", 'tls.mode="certManager"'], "gateways.allowedCIDRs is empty"),
        (["gateways.enabled=true", 'tls.mode="certManager"', 'gateways.allowedCIDRs=["192.0.2.0/24"]', 'gateways.kind="tlsRoute"'],
         "gateways.tlsRoute.parentRefs is empty"),
        (["gateways.enabled=true", 'tls.mode="certManager"', 'gateways.allowedCIDRs=["192.0.2.0/24"]', 'gateways.hostnames.replay="r"'],
         "gateways.hostnames.snapshot is empty; want the name"),
        (["gateways.enabled=true", 'tls.mode="certManager"', 'gateways.allowedCIDRs=["192.0.2.0/24"]', 'gateways.kind="tlsRoute"',
          'gateways.hostnames={"replay": "r", "snapshot": "192.0.2.9"}', 'gateways.tlsRoute.parentRefs=[{"name": "lab"}]'],
         "gateways.hostnames.snapshot is 192.0.2.9, but gateways.kind is tlsRoute"),
        (["gateways.enabled=true", 'tls.mode="certManager"', 'gateways.allowedCIDRs=["192.0.2.0/24"]', 'gateways.kind="tlsRoute"',
          'gateways.hostnames={"replay": "r", "snapshot": "s"}', 'gateways.tlsRoute.parentRefs=[{"name": "lab"}]'],
         "gatewayNamespaceSelector is empty, which would open replay and snapshot to every namespace"),
        (['gateways.leg="a:1"', 'gateways.stochlite="b:1"'], "want one robot a run"),
        (["replay.limits.max_conections=3"], "max_conections"),
        (['fullnameOverride="My_Run"'], "'My_Run' does not match pattern"),
        (['commonLabels={"app.kubernetes.io/name": "x"}'], "'app.kubernetes.io/name'"),
        (['actor.podLabels={"app.kubernetes.io/component": "x"}'], "'app.kubernetes.io/component'"),
        (['serviceAccount.name="robots"'], 'serviceAccount.name is "robots", but create is true'),
        (['tls.mode="certManager"', 'tls.certManager.algorithm="RSA"'], "tls.certManager.size is 256 with algorithm RSA; want"),
        (['gateways.leg="a:1"'], "gateways.allowedCIDRs is empty, so that the network policy keeps the evaluator from it"),
        (['actor.autoscaling.keda.prometheusServer="prometheus:9090"'], "prometheusServer"),
    ]

    def test_each_says_what_is_wrong(self):
        for settings, message in self.CASES:
            with self.subTest(settings), self.assertRaises(RuntimeError) as raised:
                render(settings=settings)
            self.assertIn(message, str(raised.exception))

    def test_a_release_whose_services_could_not_be_named_after_it_is_refused(self):
        for release in ("walk.v2", "2walk"):
            with self.subTest(release), self.assertRaises(RuntimeError) as raised:
                render(release=release)
            self.assertIn(f'would begin with "{release}-demorl"; want lower case letters', str(raised.exception))
            self.assertIn("name: walk-two-actor", render(release=release, settings=['fullnameOverride="walk-two"']))


if __name__ == "__main__":
    unittest.main()
