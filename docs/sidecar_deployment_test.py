#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the systemd unit and the Kubernetes manifest in docs/sidecar/, with the sidecar's own --check.

It needs Debian's python3-yaml and systemd for some of it, and skips that if they are missing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

try:
  import yaml
except ImportError:
  yaml = None

SIDECAR = os.path.abspath(sys.argv.pop(1))
MANIFEST, UNIT, PAGE = "docs/sidecar/kubernetes.yaml", "docs/sidecar/tether-sidecar.service", "docs/sidecar_configuration.md"
PROTO = "proto/tether/v1/sidecar.proto"


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


class DeploymentTest(unittest.TestCase):

  def setUp(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = folder.name

  def run_it(self, *command, **options):
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=120, check=False, **options)
    return run.returncode, run.stdout

  def check(self, text):
    path = os.path.join(self.folder, "sidecar.textproto")
    with open(path, "w", encoding="utf-8") as file:
      file.write(text)
    return self.run_it(SIDECAR, "--config=" + path, "--check")

  def configuration(self):
    """The manifest's configuration: the lines that are indented below its name."""
    return textwrap.dedent(re.search(r"  sidecar\.textproto: \|\n((?:    .*\n)+)", read(MANIFEST)).group(1))

  def test_the_manifests_configuration_is_right(self):
    # The program with the page needs more packages than this test.
    without_page = re.sub(r"^ *http_listen: .*\n", "", self.configuration(), flags=re.M)
    self.assertEqual(self.check(without_page), (0, "ok\n"))
    self.assertIn("tether-sidecar-http has it", self.check(self.configuration())[1])
    self.assertEqual(self.check(self.configuration().replace("allow_remote", "allowed"))[0], 1)

  @unittest.skipUnless(yaml, "python3-yaml is missing")
  def test_the_manifest_names_the_ports_of_its_configuration(self):
    config, deployment, service = yaml.safe_load_all(read(MANIFEST))
    text = config["data"]["sidecar.textproto"]
    self.assertEqual(text, self.configuration())
    pod = deployment["spec"]["template"]["spec"]
    app, sidecar = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    listens = dict(re.findall(r'(\w*listen): "[^"]*:(\d+)"', text.split("egress", 1)[0] + text.split("admin {", 1)[1]))
    self.assertEqual(ports, {"grpc": int(listens["listen"]), "admin": int(listens["http_listen"]),
                             "admin-grpc": int(listens["grpc_listen"])})
    self.assertIn(sidecar["livenessProbe"]["httpGet"]["port"], ports)
    self.assertIn(sidecar["readinessProbe"]["grpc"]["port"], ports.values())
    self.assertEqual(service["spec"]["ports"][0]["targetPort"], "grpc")
    # The app is where the configuration looks for it, and calls where it listens.
    environment = {variable["name"]: variable["value"] for variable in app["env"]}
    self.assertIn('app: "%s"' % environment["LISTEN"], text)
    self.assertIn('listen: "%s"' % environment["ORDERS"], text)

  @unittest.skipUnless(yaml, "python3-yaml is missing")
  def test_the_pod_has_time_to_drain(self):
    config, deployment, _ = yaml.safe_load_all(read(MANIFEST))
    pod = deployment["spec"]["template"]["spec"]
    app, sidecar = [int(c["lifecycle"]["preStop"]["exec"]["command"][1]) for c in pod["containers"]]
    drain = int(re.search(r"drain \{ seconds: (\d+) \}", config["data"]["sidecar.textproto"]).group(1))
    self.assertGreaterEqual(app, sidecar + drain)
    self.assertGreater(pod["terminationGracePeriodSeconds"], sidecar + drain)

  def test_each_mount_has_its_volume_and_each_argument_its_file(self):
    self.assertIn("mountPath: /etc/tether,", read(MANIFEST))
    self.assertIn("--config=/etc/tether/sidecar.textproto", read(MANIFEST))

  # ---- systemd ------------------------------------------------------------------------------------------------------

  def unit(self):
    """A copy of the unit that starts the sidecar from where it is."""
    path = os.path.join(self.folder, "tether-sidecar.service")
    with open(path, "w", encoding="utf-8") as file:
      file.write(read(UNIT).replace("/usr/bin/tether-sidecar", SIDECAR))
    return path

  @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is missing")
  def test_the_unit_is_valid(self):
    code, out = self.run_it("systemd-analyze", "verify", "--man=no", self.unit())
    # systemd also tells of the machine's other units.
    own = [line for line in out.split("\n") if "tether-sidecar" in line]
    self.assertEqual((code, own), (0, []), out)

  @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is missing")
  def test_the_unit_may_do_little(self):
    code, out = self.run_it("systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", self.unit())
    self.assertEqual(code, 0, out)

  def test_the_unit_has_time_to_drain(self):
    stop = int(re.search(r"^TimeoutStopSec=(\d+)s$", read(UNIT), re.M).group(1))
    drain = int(re.search(r"Default: (\d+) s\.\n  optional google.protobuf.Duration drain", read(PROTO)).group(1))
    self.assertGreater(stop, drain)

  # ---- The page -----------------------------------------------------------------------------------------------------

  def test_the_page_has_a_row_for_each_field(self):
    """And none for what isn't a field."""
    fields = {}
    for name, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", read(PROTO), re.M | re.S):
      fields[name] = re.findall(r"^  (?:optional |repeated )?[\w.]+ (\w+) = \d+;", body, re.M)
    rows = {}
    for section in re.split(r"^#+ ", read(PAGE), flags=re.M)[1:]:
      names = re.findall(r"^\| `(\w+)` \|", section, re.M)
      for message in re.findall(r"`(\w+)`", section.split("\n")[0]):
        rows.setdefault(message, []).extend(names)
    self.assertEqual({name: sorted(names) for name, names in rows.items()},
                     {name: sorted(names) for name, names in fields.items()})


if __name__ == "__main__":
  unittest.main()
