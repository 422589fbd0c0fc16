# SPDX-License-Identifier: Apache-2.0
"""Runs a real Prometheus for tests. It needs prometheus (tools/setup.sh prometheus)."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

GIVE_UP = 90  # seconds, for what is certain to happen

# No proxy of the environment is for loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url):
  with OPENER.open(url, timeout=20) as response:
    return response.read().decode()


def program(name):
  found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/bin")
  if not found:
    raise AssertionError(name + " is missing; run: tools/setup.sh prometheus")
  return found


def wait_for(what, condition):
  """Returns the first result of condition() that is true."""
  end = time.monotonic() + GIVE_UP
  while time.monotonic() < end:
    result = condition()
    if result:
      return result
    time.sleep(0.1)
  raise AssertionError("timed out: " + what)


def free_port():
  with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


class Prometheus:
  """Scrapes the addresses of each job once a second: {job: [address]}, and evaluates the rules in these files."""

  def __init__(self, jobs, rules=()):
    self.folder = tempfile.mkdtemp(prefix="tether-prometheus.")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [os.path.abspath(path) for path in rules],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": addresses}]} for job, addresses in jobs.items()],
    }
    # JSON is YAML.
    path = os.path.join(self.folder, "prometheus.yml")
    with open(path, "w", encoding="utf-8") as file:
      json.dump(config, file)
    address = "127.0.0.1:%d" % free_port()
    self.url = "http://" + address
    self.log_path = os.path.join(self.folder, "log")
    with open(self.log_path, "w", encoding="utf-8") as log:
      self.process = subprocess.Popen(
          [program("prometheus"), "--config.file=" + path, "--storage.tsdb.path=" + os.path.join(self.folder, "data"),
           "--web.listen-address=" + address, "--log.level=warn"],
          cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
      wait_for("prometheus is ready", self.is_ready)
    except BaseException:
      self.stop()
      raise

  def log(self):
    with open(self.log_path, encoding="utf-8") as file:
      return file.read()

  def is_ready(self):
    if self.process.poll() is not None:
      raise AssertionError("prometheus ended: " + self.log())
    try:
      return "Ready" in get(self.url + "/-/ready")
    except OSError:
      return False

  def api(self, path, **parameters):
    try:
      answer = json.loads(get("%s/api/v1/%s?%s" % (self.url, path, urllib.parse.urlencode(parameters))))
    except urllib.error.HTTPError as error:
      raise AssertionError(error.read().decode()) from error
    assert answer["status"] == "success", answer
    return answer["data"]

  def query(self, promql):
    """The values of an instant vector, by job."""
    found = {}
    for sample in self.api("query", query=promql)["result"]:
      assert sample["metric"]["job"] not in found, "not one value for each job: " + promql
      found[sample["metric"]["job"]] = float(sample["value"][1])
    return found

  def stop(self):
    self.process.terminate()
    try:
      self.process.wait(timeout=20)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
    shutil.rmtree(self.folder)
