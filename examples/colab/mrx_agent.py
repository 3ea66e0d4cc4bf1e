#!/usr/bin/env python3
"""An agent of MrX in one file: for a notebook, or for any machine with Python 3.9 or later and nothing else.

It claims jobs with a one-time code, runs one command for each, sends the log as it grows, and reports the end. All calls go
out from here, over HTTPS. docs/agents.md is the protocol, docs/programs.md says what the command finds and leaves.

What is to be told is on disk before it is sent, so neither a dead network nor a killed process loses it: run the same command
again. The command runs as this user, without a sandbox, and could read what the agent can: run only what you trust. Secrets of
a project are not fetched.
"""
import argparse
import datetime
import getpass
import hashlib
import http.client
import ipaddress
import json
import os
import random
import secrets
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.parse

ANSWER_BYTES_MAX = 4 << 20  # longer than any answer that is read here
PIECE_BYTES_MAX = 1 << 20  # the protocol's bound on one call with log
LOG_BYTES_MAX = 1 << 30  # a longer log is read by nobody and fills the disk
RESULT_BYTES_MAX = 512 << 10  # half of what a job's file takes
ANSWER_TEXT_BYTES_MAX = 256 << 10  # the protocol's bound on the answer of a chat
PROGRESS_BYTES_MAX = 4 << 10  # more than the 200 characters that are shown
ARTIFACTS_MAX = 1000  # whoever makes more should pack them
CALL_SECONDS = 15
UPLOAD_SECONDS = 3600
WAIT_SECONDS = 30  # of one claim; the code of the next lives five minutes
CLAIM_MARGIN_SECONDS = 15
POLL_SECONDS = 1.0  # how soon a cancel is heard
GRACE_SECONDS = 1.5  # what a command has to end in good order
RENEW_CODE_SECONDS = 120  # well within the life of a code
RETRY_SECONDS_MAX = 30.0
LOG_ROUNDS_MAX = 10  # a daemon that still misses some has a fault that sending does not mend


class Away(Exception):
    """The daemon or the network failed for now; the same call may be sent again."""

    def __init__(self, what, retry_after=0.0):
        super().__init__(what)
        self.retry_after = retry_after


class Gone(Exception):
    """The job is no longer ours."""


class Refused(Exception):
    """The daemon understood and said no."""

    def __init__(self, answer):
        super().__init__("%s %s: %s" % (answer.status, answer.code, answer.message))
        self.status, self.code = answer.status, answer.code


class Unpaired(Exception):
    """The code is not accepted: a person has to bring another."""


class Failure(Exception):
    """Why a job failed, for programs and for people."""

    def __init__(self, code, message, details=None):
        super().__init__(message)
        self.report = {"code": code, "message": message[:2000]}
        if details:
            self.report["details"] = details


def say(text):
    print("mrx-agent: " + text, file=sys.stderr, flush=True)


class Backoff:
    """Waits that double, with jitter, up to a bound."""

    def __init__(self):
        self.step = 0.5

    def reset(self):
        self.step = 0.5

    def next(self, at_least=0.0):
        step, self.step = self.step, min(self.step * 2, RETRY_SECONDS_MAX)
        return max(step * random.uniform(0.5, 1.0), min(at_least, 60.0))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body) if body else {}
        except ValueError:
            self.json = {}
        told = self.json if isinstance(self.json, dict) else {}
        self.code, self.message = str(told.get("code", "")), str(told.get("message", ""))

    def stored(self):
        """How many bytes of the log the daemon has, as `Range: 0-<size>` says."""
        text = self.headers.get("Range", "")
        return int(text[2:]) if text.startswith("0-") and text[2:].isdigit() else None


class Daemon:
    """The daemon over HTTPS; over HTTP on this machine alone. Redirects are not followed."""

    def __init__(self, server):
        url = urllib.parse.urlsplit(server)
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment:
            raise SystemExit("%r is no address of a daemon: use https:// and a host" % server)
        if url.scheme == "http" and not is_loopback(url.hostname):
            raise SystemExit("%r is not encrypted: use https:// for a daemon on another machine" % server)
        self.host, self.port, self.base = url.hostname, url.port, url.path.rstrip("/")
        self.tls = ssl.create_default_context() if url.scheme == "https" else None

    def call(self, method, path, token=None, body=None, headers=None, seconds=CALL_SECONDS):
        """One call. A failure that may pass is `Away`; every other answer is the caller's to judge."""
        headers = dict(headers or {})
        headers["User-Agent"] = "mrx-colab-agent"
        if token:
            headers["Authorization"] = "Bearer " + token
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        kind = http.client.HTTPConnection if self.tls is None else http.client.HTTPSConnection
        options = {} if self.tls is None else {"context": self.tls}
        connection = kind(self.host, self.port, timeout=seconds, **options)
        try:
            connection.request(method, self.base + path, body=body, headers=headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read(ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                raise SystemExit("the daemon's certificate is not accepted: %s" % error)
            raise Away("%s: %s" % (type(error).__name__, error))
        finally:
            connection.close()
        if answer.status >= 500 or answer.status in (408, 425, 429):
            after = answer.headers.get("Retry-After", "")
            raise Away("%s %s" % (answer.status, answer.message), float(after) if after.isdigit() else 0.0)
        return answer


def is_loopback(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class State:
    """What must outlive the process, in one file that only its owner reads. Each change is durable before it is acted on."""

    def __init__(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.folder = os.path.abspath(folder)
        self.path = os.path.join(self.folder, "state.json")
        self.lock = threading.Lock()
        try:
            with open(self.path, encoding="utf-8") as file:
                self.values = json.load(file)
        except FileNotFoundError:
            self.values = {}

    def get(self, name):
        return self.values.get(name)

    def set(self, **changes):
        with self.lock:
            self.values.update(changes)
            new = self.path + ".new"
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self.values, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
            sync_folder(self.folder)

    def keep_code(self, code, **changes):
        self.set(code=code, code_at=time.time(), claim=None, **changes)


def sync_folder(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Job:
    """A claimed job: its folder, and the calls that carry its lease."""

    def __init__(self, agent, claim):
        self.agent, self.claim = agent, claim
        self.id, self.project = claim["job"]["jobId"], claim["job"]["projectId"]
        name = "%s-%s" % (self.id, claim["job"].get("attempt", 1))
        self.folder = os.path.join(agent.state.folder, name)
        self.work = os.path.join(self.folder, "work")
        self.out = os.path.join(self.work, "out")
        self.log = os.path.join(self.folder, "log")
        self.is_cancelled = self.is_lost = False
        self.log_failure = None
        self.sent = 0
        self.piece = PIECE_BYTES_MAX

    def call(self, method, path, body=None, headers=None, seconds=CALL_SECONDS):
        headers = dict(headers or {}, **{"Job-Lease": self.claim["lease"]["id"]})
        token = self.claim["credentials"]["jobToken"]
        answer = self.agent.daemon.call(method, path, token, body, headers, seconds)
        status = answer.headers.get("Job-Status", "")
        self.is_cancelled = self.is_cancelled or status == "cancelling"
        if answer.status in (401, 404) or (answer.status, answer.code) == (409, "jobLeaseStale"):
            self.is_lost = True
            raise Gone("the daemon says %s %s" % (answer.status, answer.code))
        return answer

    def report(self, body):
        return self.call("PATCH", "/jobs/" + self.id, body)

    def send_log(self):
        """Sends the next piece of the log; says whether all of it is stored."""
        with open(self.log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            if self.sent >= size:
                return True
            file.seek(self.sent)
            piece = file.read(self.piece)
        span = "bytes %d-%d/*" % (self.sent, self.sent + len(piece) - 1)
        headers = {"Content-Range": span, "Content-Type": "application/octet-stream"}
        answer = self.call("PATCH", "/jobs/%s/logs" % self.id, piece, headers, 60)
        stored = answer.stored()
        if answer.status in (202, 416) and stored is not None:
            self.sent = stored
        elif answer.status == 413 and answer.code != "logTooLarge" and self.piece > 4096:
            self.piece //= 2
        else:
            self.log_failure = "logTooLarge" if answer.code == "logTooLarge" else "agentFault"
            raise Refused(answer)
        return False

    def log_sum(self):
        sum_, size = hashlib.sha256(), 0
        with open(self.log, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                sum_.update(piece)
                size += len(piece)
        return {"size": size, "sha256": sum_.hexdigest()}

    def line(self, text):
        """Adds a line of our own to the log, on a line of its own."""
        with open(self.log, "a+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            gap = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(gap + text.encode() + b"\n")

    def upload(self, path):
        name = os.path.basename(path)
        query = urllib.parse.urlencode({"name": name, "jobId": self.id})
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            path = "/projects/%s/artifacts?%s" % (self.project, query)
            answer = self.call("POST", path, file, headers, UPLOAD_SECONDS)
        if answer.status not in (200, 201):
            raise Failure("artifactRefused", "the daemon does not take %s: %s" % (name, answer.message))
        self.line("== artifact %s: %s, %d bytes" % (json.dumps(name), answer.json["artifactId"], size))
        return answer.json["artifactId"]

    # What the command left. It is read with a bound and through no link.

    def read(self, name, limit):
        handle = os.open(os.path.join(self.out, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is no regular file")
            text = file.read(limit + 1)
        if len(text) > limit:
            raise OSError("it is larger than %d bytes" % limit)
        return text

    def progress(self):
        """The last whole line of what the command says of how far it is."""
        try:
            handle = os.open(os.path.join(self.out, "progress"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - PROGRESS_BYTES_MAX, 0))
                whole = file.read(PROGRESS_BYTES_MAX).rpartition(b"\n")[0]
        except OSError:
            return None
        text = whole.rpartition(b"\n")[2].decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable()).strip()[:200] or None

    def made(self):
        """The report of a command that ended well, and the files to upload."""
        result = {}
        try:
            result = json.loads(self.read("result.json", RESULT_BYTES_MAX))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise Failure("resultInvalid", "result.json cannot be read: %s" % error)
        if not isinstance(result, dict):
            raise Failure("resultInvalid", "result.json is no JSON object")
        report = {"state": "completed", "result": result}
        if self.claim["job"]["type"] == "chat":
            try:
                report["answer"] = {"text": self.read("answer.md", ANSWER_TEXT_BYTES_MAX).decode()}
            except (OSError, ValueError) as error:
                raise Failure("resultInvalid", "answer.md cannot be read: %s" % error)
        return report, self.artifacts()

    def artifacts(self):
        found = []
        for folder, _, names in os.walk(os.path.join(self.out, "artifacts")):
            paths = [os.path.join(folder, name) for name in names]
            found += [path for path in paths if stat.S_ISREG(os.lstat(path).st_mode)]
        names = [os.path.basename(path) for path in found]
        if len(found) > ARTIFACTS_MAX or len(set(names)) < len(names):
            raise Failure("artifactRefused", "at most %d artifacts, no two of one name" % ARTIFACTS_MAX)
        return sorted(found)

    def failure(self, code):
        """The failure of a command that did not exit with 0, in its own words if it left any."""
        own = {}
        try:
            own = json.loads(self.read("failure.json", RESULT_BYTES_MAX))
        except (OSError, ValueError):
            pass
        own = own if isinstance(own, dict) else {}
        details = own.get("details") if isinstance(own.get("details"), dict) else {}
        details["exitCode" if code >= 0 else "signal"] = abs(code)
        how = "exited with %d" % code if code >= 0 else "was ended by signal %d" % -code
        message = own.get("message") if isinstance(own.get("message"), str) else ""
        return Failure("programFailed", message or "the program " + how, details)


class Sender(threading.Thread):
    """Sends the log, keeps the lease, tells progress and renews the code while a job is at work."""

    def __init__(self, job):
        super().__init__(daemon=True)
        self.job, self.done, self.said, self.heard = job, threading.Event(), None, 0.0

    def run(self):
        backoff = Backoff()
        while not self.done.is_set() and not self.job.is_lost:
            wait = 0.2
            try:
                while not self.job.log_failure and not self.job.send_log() and not self.done.is_set():
                    self.renew()
                self.renew()
                backoff.reset()
            except Away as error:
                say("no answer, trying again: %s" % error)
                wait = backoff.next(error.retry_after)
            except Gone:
                return
            except Refused as error:
                say("refused: %s" % error)
            self.done.wait(wait)

    def renew(self):
        if time.monotonic() - self.heard < POLL_SECONDS:
            return
        progress, body = self.job.progress(), {}
        if self.said is None:
            body["state"] = "running"
        if progress and progress != self.said:
            body["progress"] = progress
        self.job.report(body)
        self.said, self.heard = progress or self.said or "", time.monotonic()
        self.job.agent.renew_code(self.job)

    def stop(self):
        self.done.set()
        self.join()


class Agent:
    """Claims jobs of some types and runs `command` for each, until its time is over."""

    def __init__(self, server, name, command, state=None, labels=(), types=("build",), available_minutes=None):
        self.daemon, self.name, self.command = Daemon(server), name, list(command)
        self.labels, self.types = list(labels), list(types)
        self.state = State(state or "mrx-" + name)
        known = (self.state.get("server"), self.state.get("name"))
        if known not in ((None, None), (server, name)):
            raise SystemExit("%s belongs to agent %s of %s" % (self.state.path, known[1], known[0]))
        self.state.set(server=server, name=name)
        self.end = None if available_minutes is None else time.time() + available_minutes * 60

    def pair(self, code):
        """Takes a one-time code, which `POST /agents/claim-secret` gives to an admin."""
        code = code.strip()
        if not code.startswith("mrx_claim_"):
            raise Unpaired("that is no code: it begins with mrx_claim_")
        self.state.keep_code(code)

    def run(self):
        """Works until the time is over. Raises `Unpaired` if the code is not accepted."""
        if self.state.get("job"):
            self.resume(self.state.get("job"))
        say("agent %s is ready" % self.name)
        while self.end is None or time.time() < self.end:
            claim = self.claim()
            if claim is not None:
                self.work(Job(self, claim))
        say("the time is over")

    # Claims.

    def claim(self):
        """One claim, sent again until it is answered; the code of the next one is kept before anything else is done."""
        if not self.state.get("code"):
            raise Unpaired("this agent has no code yet")
        if not self.state.get("claim"):
            # The same key and body are sent again after a lost answer or a restart: they get the same job and code.
            self.state.set(claim={"key": secrets.token_hex(16), "body": self.wanted()})
        sent, backoff = self.state.get("claim"), Backoff()
        while True:
            if self.end is not None and time.time() >= self.end:
                return None
            try:
                answer = self.daemon.call(
                    "POST", "/jobs/claim", None, sent["body"], {"Idempotency-Key": sent["key"]},
                    sent["body"]["wait"] + CLAIM_MARGIN_SECONDS)
                break
            except Away as error:
                say("no answer to the claim, trying again: %s" % error)
                time.sleep(backoff.next(error.retry_after))
        if answer.status in (401, 403):
            self.state.set(claim=None)
            raise Unpaired("%s: %s" % (answer.code, answer.message))
        if answer.status != 200:
            raise SystemExit("the daemon refused the claim: %s" % Refused(answer))
        claim = answer.json
        job = claim if claim.get("job") else None
        claim.pop("secretsToken", None)
        kept = {"claim": claim, "stage": "running", "child": None} if job else None
        self.state.keep_code(claim["credentials"]["claimSecret"], job=kept)
        return job

    def wanted(self):
        body = {"colabId": self.name, "claimSecret": self.state.get("code"), "labels": self.labels,
                "types": self.types, "wait": WAIT_SECONDS}
        if self.end is not None:
            body["wait"] = max(0, min(WAIT_SECONDS, int(self.end - time.time())))
            end = datetime.datetime.fromtimestamp(self.end, datetime.timezone.utc)
            body["availableUntil"] = end.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return body

    def renew_code(self, job, after=RENEW_CODE_SECONDS):
        """A code lives five minutes, and a job may be longer: its token gives another."""
        if time.time() - (self.state.get("code_at") or 0) < after:
            return
        token = job.claim["credentials"]["jobToken"]
        answer = self.daemon.call("POST", "/agents/claim-secret", token, {"colabId": self.name})
        if answer.status == 201:
            self.state.keep_code(answer.json["claimSecret"])
        else:
            say("no new code: %s" % Refused(answer))

    # Jobs.

    def work(self, job):
        """Runs one job from its beginning to its reported end."""
        say("job %s begins" % job.id)
        shutil.rmtree(job.folder, ignore_errors=True)
        os.makedirs(os.path.join(job.out, "artifacts"), mode=0o700)
        open(job.log, "wb").close()
        sender = Sender(job)
        sender.start()
        try:
            try:
                report, files = self.run_command(job)
            except Failure as failure:
                report, files = {"state": "failed", "failure": failure.report}, []
            if report is not None:
                self.deliver(job, report, files, sender)
        except Gone as error:
            say("job %s is no longer this agent's; its work is thrown away (%s)" % (job.id, error))
        finally:
            sender.stop()
        self.forget(job)

    def run_command(self, job):
        """Runs the command; gives the report and the files that belong to it, or nothing for a job that was lost."""
        given = {"job": job.claim["job"], "code": job.claim.get("code"), "folder": job.work}
        path = os.path.join(job.folder, "input.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(given, file)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MRX_")}
        environment["MRX_OUT"] = job.out
        deadline = time.monotonic() + job.claim["job"]["timeoutSeconds"]
        # The log is the command's own output, to the file: a killed agent loses none of it.
        with open(path, "rb") as stdin, open(job.log, "ab") as log:
            try:
                child = subprocess.Popen(self.command, cwd=job.work, env=environment, stdin=stdin, stdout=log,
                                         stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                raise Failure("programFailed", "the program cannot be started: %s" % error, {"exitCode": 127})
        kept = {"claim": job.claim, "stage": "running", "child": [child.pid, started(child.pid)]}
        self.state.set(job=kept)
        try:
            return self.watch(job, child, deadline)
        except BaseException as error:
            end_group(child)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                self.state.set(job=dict(kept, stage="stopped", child=None))
            raise
        finally:
            kill_group(child.pid, signal.SIGKILL)

    def watch(self, job, child, deadline):
        while child.poll() is None:
            if job.is_lost or job.is_cancelled:
                end_group(child)
                break
            if time.monotonic() >= deadline:
                end_group(child)
                raise Failure("jobTimedOut", "the program took longer than the job may")
            if job.log_failure or os.path.getsize(job.log) > LOG_BYTES_MAX:
                end_group(child)
                raise Failure(job.log_failure or "logTooLarge", "the log is not taken, or too large")
            time.sleep(0.05)
        if job.is_lost:
            return None, []
        if job.is_cancelled:
            return {"state": "cancelled"}, []
        if child.returncode != 0:
            raise job.failure(child.returncode)
        return job.made()

    def deliver(self, job, report, files, sender):
        """Uploads the files, ends the log and tells the end, each recorded before it is begun."""
        with open(job.log, "ab") as log:
            os.fsync(log.fileno())
        self.state.set(job={"claim": job.claim, "stage": "ending", "report": report, "files": files})
        ids, backoff = [], Backoff()
        while len(ids) < len(files) and not job.is_cancelled:
            try:
                ids.append(job.upload(files[len(ids)]))
                backoff.reset()
            except Away as error:
                say("an artifact was not taken, trying again: %s" % error)
                time.sleep(backoff.next(error.retry_after))
            except (Failure, OSError) as error:
                refused = error if isinstance(error, Failure) else Failure("artifactRefused", str(error))
                report, ids, files = {"state": "failed", "failure": refused.report}, [], []
        if ids:
            report["result"]["artifacts"] = ids
        if job.is_cancelled:
            report = {"state": "cancelled"}
        job.line("== " + report["state"] + said(report))
        if sender is not None:
            sender.stop()
        with open(job.log, "ab") as log:
            os.fsync(log.fileno())
        self.state.set(job={"claim": job.claim, "stage": "told", "report": report})
        self.tell(job, report)

    def tell(self, job, report):
        """Sends the report until it is acknowledged, with whatever the daemon misses of the log."""
        backoff, rounds = Backoff(), 0
        whole = None if job.log_failure else job.log_sum()
        while True:
            if job.is_cancelled and report["state"] != "cancelled":
                report = {"state": "cancelled"}
            try:
                self.renew_code(job, 60)
                answer = job.report(dict(report, **({"log": whole} if whole else {})))
                if answer.status == 200:
                    say("job %s: %s%s" % (job.id, report["state"], said(report)))
                    return
                if job.is_cancelled and report["state"] != "cancelled":
                    continue  # a cancel came between; it is told instead
                if answer.code in ("jobTooLarge", "answerTooLarge") and report["state"] == "completed":
                    failure = Failure("resultInvalid", "the result is larger than the daemon keeps")
                    report = {"state": "failed", "failure": failure.report}
                    continue
                if answer.status != 412 or answer.stored() is None:
                    say("job %s: the end was refused: %s" % (job.id, Refused(answer)))
                    return
                job.sent, rounds = answer.stored(), rounds + 1
                if rounds > LOG_ROUNDS_MAX:
                    whole = None
                while whole and not job.send_log():
                    backoff.reset()
            except Refused as error:
                say("the log is not taken, the end is told without it: %s" % error)
                whole = None
            except Away as error:
                say("no answer, trying again: %s" % error)
                time.sleep(backoff.next(error.retry_after))

    def resume(self, kept):
        """Brings the job of an earlier run of this program to its end, if it is still ours."""
        job = Job(self, kept["claim"])
        say("job %s was not known to have ended; telling its end now" % job.id)
        if kept.get("child"):
            pid, when = kept["child"]
            if when is not None and started(pid) == when:
                kill_group(pid, signal.SIGKILL)
        try:
            os.makedirs(job.folder, mode=0o700, exist_ok=True)
            open(job.log, "ab").close()
            stopped = kept["stage"] == "stopped"
            failure = Failure("agentStopped" if stopped else "agentRestarted",
                              "the agent was stopped while the job ran")
            report = kept.get("report") or {"state": "failed", "failure": failure.report}
            if kept["stage"] == "told":
                self.tell(job, report)
            else:
                sender = Sender(job)
                sender.start()
                try:
                    self.deliver(job, report, kept.get("files") or [], sender)
                finally:
                    sender.stop()
        except Gone as error:
            say("job %s is no longer this agent's; what was left of it is dropped (%s)" % (job.id, error))
        self.forget(job)

    def forget(self, job):
        self.state.set(job=None)
        shutil.rmtree(job.folder, ignore_errors=True)


def said(report):
    return ": " + report["failure"]["message"] if "failure" in report else ""


def started(pid):
    """When a process began, so that a number that was given to another is not taken for it. Linux alone tells."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def end_group(child):
    """Asks a command and all that it started to end, and kills what has not."""
    kill_group(child.pid, signal.SIGTERM)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    kill_group(child.pid, signal.SIGKILL)
    child.wait()


def kill_group(pid, number):
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def main(arguments=None):
    parser = argparse.ArgumentParser(description="An agent of MrX: runs a command for each job.")
    parser.add_argument("--server", required=True, help="the daemon's address: https://…")
    parser.add_argument("--name", required=True, help="the agent's name, for which the code was made")
    parser.add_argument("--pair", action="store_true",
                        help="ask for a one-time code, or read it from stdin where there is no terminal")
    parser.add_argument("--state", help="the folder of what outlives the program; mrx-NAME if absent")
    parser.add_argument("--labels", default="", help="what the agent offers, separated by commas: gpu")
    parser.add_argument("--types", default="build", help="types of jobs, separated by commas")
    parser.add_argument("--available-minutes", type=float, help="how long this machine stays")
    parser.add_argument("command", nargs="+", help="behind --: the command that is run for each job")
    options = parser.parse_args(arguments)
    words = [[word for word in text.split(",") if word] for text in (options.labels, options.types)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    agent = Agent(options.server, options.name, options.command, options.state, words[0], words[1],
                  options.available_minutes)
    try:
        if options.pair:
            agent.pair(getpass.getpass("code: ") if sys.stdin.isatty() else sys.stdin.readline())
        agent.run()
    except Unpaired as error:
        say("%s\nA code is good once, for five minutes. Ask an admin for another (POST /agents/claim-secret with this "
            "agent's name) and start again with --pair." % error)
        return 3
    except KeyboardInterrupt:
        say("stopped; start again to tell the end of the job")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
