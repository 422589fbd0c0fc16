# SPDX-License-Identifier: Apache-2.0
"""A headless chromium, driven over a pipe with the DevTools protocol."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PATIENCE = 60  # seconds, on a loaded machine
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-proxy-server",
    "--force-device-scale-factor=1", "--remote-debugging-pipe", "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]


class Browser:
  """Use it as a context manager. It has one tab."""

  def __init__(self):
    self._program = shutil.which("chromium")
    if not self._program:
      raise AssertionError("chromium is missing; run: tools/setup.sh browser")
    self._last_id = 0
    self._session = None
    self._unread = b""
    self.events = []  # all that the browser has told without being asked

  def __enter__(self):
    self._folder = tempfile.mkdtemp()
    ends = []
    for _ in range(2):
      for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    theirs_in, self._commands, self._answers, theirs_out = ends
    self._log = open(os.path.join(self._folder, "log"), "w+b")
    # Chromium reads commands from 3, and writes answers to 4.
    self._process = subprocess.Popen(
        ["bash", "-c", 'exec "$@" 3<&%d 4>&%d' % (theirs_in, theirs_out), "bash", self._program] + FLAGS +
        ["--user-data-dir=" + os.path.join(self._folder, "profile"), "about:blank"],
        stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, pass_fds=(theirs_in, theirs_out),
        env=dict(os.environ, HOME=self._folder))
    os.close(theirs_in)
    os.close(theirs_out)
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
      self.call(domain + ".enable")
    return self

  def __exit__(self, *_):
    self._process.kill()
    self._process.wait()
    for end in (self._commands, self._answers):
      os.close(end)
    self._log.close()
    shutil.rmtree(self._folder, ignore_errors=True)

  def call(self, method, **params):
    """The result of a command of the DevTools protocol."""
    self._last_id += 1
    command = {"id": self._last_id, "method": method, "params": params}
    if self._session:
      command["sessionId"] = self._session
    os.write(self._commands, json.dumps(command).encode() + b"\0")
    end = time.monotonic() + PATIENCE
    while True:
      message = self._read(end)
      if message.get("id") == self._last_id:
        if "error" in message:
          raise AssertionError("%s: %s" % (method, message["error"]))
        return message["result"]
      self.events.append(message)

  def _read(self, end):
    while b"\0" not in self._unread:
      ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
      part = os.read(self._answers, 1 << 20) if ready else b""
      if not part:
        self._log.seek(0)
        raise AssertionError("chromium doesn't answer:\n" + self._log.read().decode(errors="replace"))
      self._unread += part
    message, self._unread = self._unread.split(b"\0", 1)
    return json.loads(message)

  def run(self, script):
    """The value of an expression in the page."""
    answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
    if "exceptionDetails" in answer:
      raise AssertionError("%s: %s" % (script, answer["exceptionDetails"]))
    return answer["result"].get("value")

  def until(self, script):
    """Waits until an expression in the page is true."""
    end = time.monotonic() + PATIENCE
    while not self.run("!!(%s)" % script):
      if time.monotonic() > end:
        raise AssertionError("never true: %s\n%s" % (script, self.run("document.body.innerText")))
      time.sleep(0.05)

  def open(self, url):
    self.events.clear()
    error = self.call("Page.navigate", url=url).get("errorText")
    if error:
      raise AssertionError("%s: %s" % (url, error))
    self.until("document.readyState === 'complete'")

  def press_enter(self):
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
    self.call("Input.dispatchKeyEvent", type="keyUp", **key)

  def resize(self, width, height, is_dark=False):
    self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    self.call("Emulation.setEmulatedMedia",
              features=[{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}])

  def screenshot(self, path, is_whole=True):
    """Writes the whole page, or what is visible of it, as PNG."""
    picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)["data"]
    with open(path, "wb") as file:
      file.write(base64.b64decode(picture))

  def complaints(self):
    """What went wrong in the page: exceptions, violations of its policy, dialogs, failed fetches."""
    self.run("0")  # collects events
    return [e for e in self.events if e.get("method") in (
        "Runtime.exceptionThrown", "Page.javascriptDialogOpening") or
            (e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] in ("error", "warning")) or
            (e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] in ("error", "warning", "assert"))]

  def requested(self):
    """The URLs that the page has asked for."""
    self.run("0")
    return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
