"""A client's process that is killed (kill -9) and started again."""

import subprocess


class Killable:
    """`command` writes to `log`, behind what was there. Not running before start()."""

    def __init__(self, command, log):
        self.command, self.log = command, log
        self.process = None

    is_running = property(lambda self: self.process.poll() is None)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
