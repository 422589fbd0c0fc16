# SPDX-License-Identifier: Apache-2.0
"""A terminal for tests: runs a program on a pseudo-terminal, and knows what is on its screen.

It understands what ncurses writes for TERM=xterm. Anything else is an error, so a test can't overlook it.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

SEQUENCE = re.compile(rb"\x1b\[([?>]?)([0-9;]*)([@-~])|\x1b[()][A-Z0-9]|\x1b[=>78M]")
GIVE_UP = 30  # seconds; a loaded machine is slow


class Screen:
  """The characters of a terminal, from the bytes that were written to it."""

  def __init__(self, width, height):
    self.width, self.height = width, height
    self.x = self.y = 0
    self.top, self.bottom = 0, height  # the lines that scroll
    self.cells = [[" "] * width for _ in range(height)]
    self.rest = b""

  def lines(self):
    return ["".join(line).rstrip() for line in self.cells]

  def text(self):
    return "\n".join(self.lines())

  def resize(self, width, height):
    self.cells = [(line + [" "] * width)[:width] for line in self.cells[:height]]
    self.cells += [[" "] * width for _ in range(height - len(self.cells))]
    self.width, self.height = width, height
    self.x, self.y = min(self.x, width - 1), min(self.y, height - 1)
    self.top, self.bottom = 0, height

  def scroll(self, first, count):
    """Moves the lines from `first` to the end of the region up, or down if the count is negative."""
    region = self.cells[first:self.bottom]
    blank = [[" "] * self.width for _ in range(min(abs(count), len(region)))]
    self.cells[first:self.bottom] = region[count:] + blank if count > 0 else blank + region[:count]

  def put(self, c):
    if self.x >= self.width:
      self.x, self.y = 0, min(self.y + 1, self.height - 1)
    self.cells[self.y][self.x] = c
    self.x += 1
    self.last = c

  def write(self, data):
    data = self.rest + data
    at = 0
    while at < len(data):
      byte = data[at:at + 1]
      if byte == b"\x1b":
        found = SEQUENCE.match(data, at)
        if not found:
          if len(data) - at < 20:
            break  # the rest comes later
          raise ValueError("unknown sequence: %r" % data[at:at + 20])
        self.obey(found)
        at = found.end()
        continue
      if byte >= b"\xc0":  # UTF-8
        size = 2 if byte < b"\xe0" else 3 if byte < b"\xf0" else 4
        if len(data) - at < size:
          break
        self.put(data[at:at + size].decode())
        at += size
        continue
      at += 1
      if byte == b"\r":
        self.x = 0
      elif byte == b"\n":
        if self.y == self.bottom - 1:
          self.scroll(self.top, 1)
        else:
          self.y = min(self.y + 1, self.height - 1)
      elif byte == b"\b":
        self.x = max(self.x - 1, 0)
      elif byte >= b" ":
        self.put(byte.decode("ascii"))
      elif byte != b"\x0f":
        raise ValueError("unknown control character %r" % byte)
    self.rest = data[at:]

  def obey(self, found):
    private, parameters, command = found.group(1), found.group(2), found.group(3)
    if found.group(0) == b"\x1bM":
      if self.y == self.top:
        self.scroll(self.top, -1)
      else:
        self.y = max(self.y - 1, 0)
    if private == b"?" and parameters == b"1049":  # another screen
      if command == b"h":
        self.saved = [list(line) for line in self.cells]
        self.clear(2)
      else:
        self.cells = self.saved
    if command is None or private or command in b"mhlt":
      return
    numbers = [int(n) if n else 0 for n in parameters.split(b";")]
    n = max(numbers[0], 1)
    line = self.cells[self.y]
    if command == b"H":
      self.y = min(n, self.height) - 1
      self.x = min(max(numbers[1] if len(numbers) > 1 else 1, 1), self.width) - 1
    elif command == b"A":
      self.y = max(self.y - n, 0)
    elif command == b"B":
      self.y = min(self.y + n, self.height - 1)
    elif command == b"C":
      self.x = min(self.x + n, self.width - 1)
    elif command == b"D":
      self.x = max(self.x - n, 0)
    elif command == b"G":
      self.x = min(n, self.width) - 1
    elif command == b"d":
      self.y = min(n, self.height) - 1
    elif command == b"J":
      self.clear(numbers[0])
    elif command == b"K":
      first, last = {0: (self.x, self.width), 1: (0, self.x + 1), 2: (0, self.width)}[numbers[0]]
      line[first:last] = [" "] * (last - first)
    elif command == b"X":
      last = min(self.x + n, self.width)
      line[self.x:last] = [" "] * (last - self.x)
    elif command == b"@":
      line[self.x:self.x] = [" "] * n
      del line[self.width:]
    elif command == b"P":
      del line[self.x:self.x + n]
      line += [" "] * (self.width - len(line))
    elif command == b"b":
      for _ in range(n):
        self.put(self.last)
    elif command == b"L":
      self.scroll(self.y, -n)
    elif command == b"M":
      self.scroll(self.y, n)
    elif command == b"S":
      self.scroll(self.top, n)
    elif command == b"T":
      self.scroll(self.top, -n)
    elif command == b"r":
      self.top, self.bottom = n - 1, self.height
      if len(numbers) > 1:
        self.bottom = min(numbers[1], self.height)
      self.x = self.y = 0
    else:
      raise ValueError("unknown command %r" % found.group(0))

  def clear(self, what):
    if what in (0, 2):
      first = self.y if what == 0 else 0
      for y in range(first, self.height):
        start = self.x if what == 0 and y == self.y else 0
        self.cells[y][start:] = [" "] * (self.width - start)


class Terminal:
  """A program on a terminal of its own."""

  def __init__(self, command, width=80, height=24, env=None):
    self.master, self.slave = pty.openpty()
    self.screen = Screen(width, height)
    self.output = b""
    self.resize(width, height)
    self.before = termios.tcgetattr(self.slave)
    variables = dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8")
    variables.pop("NO_COLOR", None)
    variables.update(env or {})
    self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE, env=variables,
                                    preexec_fn=self._own_terminal)

  def _own_terminal(self):
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

  def resize(self, width, height):
    self.screen.resize(width, height)
    fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

  def press(self, keys):
    os.write(self.master, keys if isinstance(keys, bytes) else keys.encode())

  def read(self, seconds=0.05):
    """Reads what there is, or waits for something. Returns whether there was anything."""
    if not select.select([self.master], [], [], seconds)[0]:
      return False
    data = os.read(self.master, 65536)
    self.output += data
    self.screen.write(data)
    return bool(data)

  def wait_for(self, condition):
    """Reads until condition(text of the screen); fails with the screen after a while."""
    end = time.monotonic() + GIVE_UP
    while not condition(self.screen.text()):
      if time.monotonic() > end:
        raise AssertionError("waited in vain; the screen is:\n" + self.screen.text())
      self.read()

  def wait_for_text(self, text):
    self.wait_for(lambda screen: text in screen)

  def end(self):
    """Waits for the program, reads the rest, and returns the exit code."""
    end = time.monotonic() + GIVE_UP
    while self.process.poll() is None and time.monotonic() < end:
      self.read()
    code = self.process.poll()
    # One read returns a part only. The terminal has no end of file, as this process has it open, too.
    while code is not None and self.read(0.2) and time.monotonic() < end + GIVE_UP:
      pass
    return code

  def is_restored(self):
    """Whether the terminal is as it was before the program."""
    return (termios.tcgetattr(self.slave) == self.before and b"\x1b[?1049h" in self.output and
            self.output.rindex(b"\x1b[?1049l") > self.output.rindex(b"\x1b[?1049h"))

  def hang_up(self):
    os.close(self.slave)
    os.close(self.master)
    self.master = self.slave = None

  def close(self):
    if self.process.poll() is None:
      self.process.send_signal(signal.SIGKILL)
    self.process.wait()
    self.process.stderr.close()
    for fd in (self.master, self.slave):
      if fd is not None:
        os.close(fd)
