"""A headless Chromium, driven by its DevTools protocol over a pipe.

The messages are JSON, each followed by a zero byte. The tests only need to open a page, press keys and read
the page, for which the standard library is sufficient. https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

# The browser reads commands from file descriptor 3 and writes replies to 4.
LAUNCH = """
import os, sys
for descriptor, place in zip(sys.argv[1:3], (3, 4)):
    os.dup2(int(descriptor), place)
os.execv(sys.argv[3], sys.argv[3:])
"""
CODES = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}


def program():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """A page of the browser."""

    def __init__(self, read, write):
        self._read, self._write = read, write
        self._buffer, self._number, self._session = b"", 0, {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self.problems = []  # Errors of scripts, blocked loads and similar events.
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _receive(self, until):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self._read, 1 << 16)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        """Calls a method of the protocol and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        until = time.monotonic() + 60
        while (reply := self._receive(until)).get("id") != self._number:
            if reply.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(reply["params"])
        assert "error" not in reply, reply
        return reply["result"]

    def evaluate(self, expression):
        """Returns the value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression, seconds=60):
        """Waits until a JavaScript expression is true."""
        until = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < until, (expression, self.evaluate("document.body.innerText"))
            time.sleep(0.01)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def press(self, key):
        """Presses and releases a key: a letter, or one of ``CODES``."""
        code = CODES.get(key) or ord(key.upper())
        named = {"key": key, "windowsVirtualKeyCode": code}
        text = {"Enter": {"text": "\r"}}.get(key, {} if key in CODES else {"text": key})
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def box(self, selector):
        """Returns the position and size of an element: x, y, width and height, in points."""
        return self.evaluate(
            f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()"
        )

    def tap(self, selector):
        """Touches the middle of an element."""
        box = self.box(selector)
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def size(self, width, height, *, scale=1, touch=False):
        """Sets the size of the screen.

        Args:
          width: Width in points.
          height: Height in points.
          scale: Pixels per point along a side.
          touch: Whether the screen is a touch screen.
        """
        screen = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": touch}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def page(folder):
    """Opens a page of a Chromium that keeps its files in a folder."""
    commands, replies = os.pipe(), os.pipe()
    arguments = [
        program(),
        "--headless",
        "--no-sandbox",  # Root has no sandbox, and the page shown is trusted.
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--remote-debugging-pipe",
        f"--user-data-dir={folder}",
    ]
    ends = (commands[0], replies[1])
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *map(str, ends), *arguments],
        pass_fds=ends,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in ends:
        os.close(end)
    try:
        yield Page(replies[0], commands[1])
    finally:
        os.close(commands[1])  # The browser ends when this pipe is closed.
        os.close(replies[0])
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
