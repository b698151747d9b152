"""The chart against a real API server: every object by dry run and for good, upgrades from the chart's previous version and
between profiles, rollback and removal."""

import json
import pathlib
import subprocess
import tempfile
import unittest

import chart
from api_server import ApiServer
from chart import CASES, CHART, ROOT, objects, run

SERVER = None


def setUpModule():
    global SERVER
    SERVER = ApiServer()
    unittest.addModuleCleanup(SERVER.close)
    SERVER.install_crds()
    # Pods that ask for any right at all are refused, and workloads with such pods warned of.
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "robots", "labels": {
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}}}
    classes = [{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "training"}, "value": 1000},
               {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"}]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "any", "namespace": "robots"}}
    for item in [namespace, account, *classes]:
        done = SERVER.kubectl("apply", "-f", "-", input=json.dumps(item))
        assert done.returncode == 0, done.stderr


def previous_chart(folder):
    """The chart's last version that is not this one, unpacked into `folder`; None where the history has none."""
    version = chart.objects((CHART / "Chart.yaml").read_text())[0]["version"]
    commits = run("git", "-C", ROOT, "log", "--format=%H", "--", "k8s/demorl/Chart.yaml").stdout.split()
    for commit in commits:
        text = run("git", "-C", ROOT, "show", f"{commit}:k8s/demorl/Chart.yaml").stdout
        if text and chart.objects(text)[0]["version"] != version:
            archive = subprocess.run(["git", "-C", ROOT, "archive", commit, "k8s", "deploy"], capture_output=True, check=True)
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
            return folder / "k8s/demorl"
    return None


def values(files):
    return [part for file in files for part in ("--values", file)]


class ApiServerTest(unittest.TestCase):
    def tearDown(self):
        SERVER.helm("uninstall", "walk", "--namespace", "robots")

    def helm(self, *arguments):
        done = SERVER.helm(*arguments, "--namespace", "robots")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("Warning", done.stderr)
        return done.stdout

    def installed(self):
        """(kind, name) of what the release has in the cluster."""
        kinds = ("deployments,statefulsets,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,"
                 "horizontalpodautoscalers,scaledobjects,certificates,issuers,podmonitors,servicemonitors,prometheusrules,tlsroutes")
        found = SERVER.get("-n", "robots", kinds, "-l", "app.kubernetes.io/managed-by=Helm")["items"]
        return {(item["kind"], item["metadata"]["name"]) for item in found}

    def expected(self, files, where=CHART):
        return {(item["kind"], item["metadata"]["name"]) for item in objects(chart.render(files, chart=where))
                if "helm.sh/hook" not in item["metadata"].get("annotations", {})}

    def test_every_object_is_taken_by_dry_run(self):
        for name in CASES:
            with self.subTest(name):
                items = [item for item in objects(chart.render_case(name)) if item["kind"] != "Pod"]
                done = SERVER.kubectl("-n", "robots", "apply", "--dry-run=server", "--validate=strict", "-f", "-",
                                      input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr, "")
                self.assertEqual(len(done.stdout.splitlines()), len(items))

    def test_pods_of_every_workload_are_admitted_to_a_restricted_namespace(self):
        for name in CASES:
            for item in objects(chart.render_case(name)):
                template = item["spec"].get("template") if item["kind"] in ("Deployment", "StatefulSet") else item if item["kind"] == "Pod" else None
                if template is None:
                    continue
                with self.subTest(name, workload=item["metadata"]["name"]):
                    claims = [{"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "any"}}
                              for claim in item["spec"].get("volumeClaimTemplates", [])]
                    spec = {**template["spec"], "serviceAccountName": "any", "volumes": template["spec"]["volumes"] + claims}
                    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "labels": template["metadata"]["labels"]}, "spec": spec}
                    done = SERVER.kubectl("-n", "robots", "create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(pod))
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_pod_with_rights_is_not_admitted(self):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {
            "serviceAccountName": "any", "hostNetwork": True, "containers": [{"name": "one", "image": "one:1"}]}}
        done = SERVER.kubectl("-n", "robots", "create", "--dry-run=server", "-f", "-", input=json.dumps(pod))
        self.assertIn("violates PodSecurity", done.stderr)

    def test_each_case_is_installed_and_removed_without_a_trace(self):
        for name, files in CASES.items():
            with self.subTest(name):
                notes = self.helm("install", "walk", CHART, *values(files))
                self.assertIn("Run robots-walk trains", notes)
                self.assertEqual(self.installed(), self.expected(files))
                self.helm("uninstall", "walk")
                self.assertEqual(self.installed(), set())

    def test_an_upgrade_from_the_previous_version_and_back(self):
        with tempfile.TemporaryDirectory() as folder:
            previous = previous_chart(pathlib.Path(folder))
            if previous is None:
                self.skipTest("the history holds no other version of the chart")
            self.helm("install", "walk", previous, "--set", "actor.replicas=3")
            before = self.installed()
            self.assertEqual(before, self.expected([], previous))
            # Helm would take the old chart's defaults for the new one's.
            done = SERVER.helm("upgrade", "walk", CHART, "--reuse-values", "--namespace", "robots")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("missing propert", done.stderr)
            self.helm("upgrade", "walk", CHART, "--reset-then-reuse-values")
            self.assertEqual(self.installed(), self.expected([]))
            self.assertEqual(SERVER.get("-n", "robots", "deployment", "walk-demorl-actor")["spec"]["replicas"], 3)
            self.helm("rollback", "walk", "1")
            self.assertEqual(self.installed(), before)

    def test_another_profile_and_a_rollback(self):
        self.helm("install", "walk", CHART)
        before = SERVER.get("-n", "robots", "deployment", "walk-demorl-actor")
        self.helm("upgrade", "walk", CHART, *values([CHART / "values-spot.yaml"]), "--set", "run.algorithm=sac")
        after = SERVER.get("-n", "robots", "deployment", "walk-demorl-actor")
        self.assertEqual((before["spec"]["replicas"], after["spec"]["replicas"]), (1, 8))
        self.assertNotEqual(*[one["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for one in (before, after)])
        self.assertNotIn(("Deployment", "walk-demorl-mpc-rollout"), self.installed())
        self.helm("rollback", "walk", "1")
        back = SERVER.get("-n", "robots", "deployment", "walk-demorl-actor")
        self.assertEqual(back["spec"]["template"], before["spec"]["template"])
        self.assertIn(("Deployment", "walk-demorl-mpc-rollout"), self.installed())

    def test_releases_share_a_namespace(self):
        self.helm("install", "walk", CHART, *values(CASES["everything on"]))
        self.addCleanup(SERVER.helm, "uninstall", "run", "--namespace", "robots")
        self.helm("install", "run", CHART, *values(CASES["everything on"]))
        self.helm("uninstall", "run")
        self.assertEqual(self.installed(), self.expected(CASES["everything on"]))

    def test_the_longest_name_of_a_release_is_taken(self):
        release = "w" * 53
        self.addCleanup(SERVER.helm, "uninstall", release, "--namespace", "robots")
        self.helm("install", release, CHART, *values(CASES["everything on"]))

    def test_an_autoscaler_takes_the_replicas_over(self):
        self.helm("install", "walk", CHART, "--set", "actor.replicas=5")
        self.helm("upgrade", "walk", CHART, "--set", "actor.autoscaling.kind=hpa")
        self.assertIn(("HorizontalPodAutoscaler", "walk-demorl-actor"), self.installed())
        SERVER.kubectl("-n", "robots", "scale", "deployment", "walk-demorl-actor", "--replicas=17")
        self.helm("upgrade", "walk", CHART, "--set", "actor.autoscaling.kind=hpa", "--set", "run.seed=3")
        self.assertEqual(SERVER.get("-n", "robots", "deployment", "walk-demorl-actor")["spec"]["replicas"], 17)

    def test_another_volume_is_refused_with_what_to_do(self):
        self.helm("install", "walk", CHART, "--set", "snapshot.persistence.enabled=false")
        for setting, message in {
                "replay.persistence.size=20Gi": "replay.persistence.size is 20Gi, but the volume of this release has 10Gi",
                "replay.persistence.storageClass=fast": "replay.persistence.storageClass is fast, but",
                "replay.persistence.accessModes={ReadWriteMany}": "accessModes is [ReadWriteMany], but the volume of this release has [ReadWriteOnce]",
                "replay.persistence.annotations.backup=daily": "replay.persistence.annotations is map[backup:daily], but",
                "replay.persistence.enabled=false": "replay.persistence.enabled is false, but the volume of this release has true",
                "snapshot.persistence.enabled=true": "snapshot.persistence.enabled is true, but"}.items():
            with self.subTest(setting):
                done = SERVER.helm("upgrade", "walk", CHART, "--namespace", "robots", "--set",
                                   f"snapshot.persistence.enabled=false,{setting}")
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(message, done.stderr)
        self.helm("upgrade", "walk", CHART, "--set", "snapshot.persistence.enabled=false,replay.persistence.size=10240Mi")


if __name__ == "__main__":
    unittest.main()
