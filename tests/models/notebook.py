"""Runs the code cells of a notebook in a real kernel, and answers what they ask as a person would.

Each line of stdin is JSON: the first a list of [words of the question, answer]; then {"interrupt": true} presses the stop button of the
cell that runs. Each line of stdout is JSON: what became of a cell, and what it asked. Ends after the last cell, or the first that fails.
"""

import json
import os
import queue
import sys
import threading

from jupyter_client.manager import KernelManager

START_SECONDS = 120
CELL_SECONDS = 120


def main():
    cells = [cell for cell in read(sys.argv[1])["cells"] if cell["cell_type"] == "code"]
    answers = json.loads(sys.stdin.readline())
    # Sockets in a folder of this user's own: no port, so nobody else of this machine sees what is typed.
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=os.path.join(sys.argv[2], "kernel"))
    manager.start_kernel(cwd=sys.argv[2])
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=START_SECONDS)
    threading.Thread(target=interrupts, args=(manager,), daemon=True).start()
    try:
        for number, cell in enumerate(cells):
            done = run(client, "".join(cell["source"]), answers)
            print(json.dumps(dict(done, cell=number)), flush=True)
            if done["status"] != "ok":
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def interrupts(manager):
    for line in sys.stdin:
        if json.loads(line).get("interrupt"):
            manager.interrupt_kernel()


def run(client, source, answers):
    said, asked = [], []

    def output(message):
        if message["header"]["msg_type"] == "stream":
            said.append(message["content"]["text"])

    def question(message):
        prompt, hidden = message["content"]["prompt"], message["content"]["password"]
        asked.append({"prompt": prompt, "hidden": hidden})
        client.input(next(answer for words, answer in answers if words in prompt))

    # A cell that waits for work is silent; the caller presses stop.
    try:
        reply = client.execute_interactive(
            source, allow_stdin=True, timeout=CELL_SECONDS, output_hook=output, stdin_hook=question)
    except (queue.Empty, TimeoutError):
        return {"status": "silent", "said": "".join(said), "asked": asked}
    content = reply["content"]
    error = {"name": content.get("ename"), "value": content.get("evalue")}
    return {"status": content["status"], "said": "".join(said), "asked": asked, "error": error}


main()
