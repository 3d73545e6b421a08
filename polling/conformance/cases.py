"""The cases: what every plugin must do, in batch mode and, where its manifest says so, in stream mode."""

import json
import signal
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from plugins.contract import ErrorCode
from plugins.registry import Plugin, read
from polling.conformance.process import (
    LOOPBACK,
    Ended,
    Stream,
    closed_port,
    converse,
    results_of,
    silent_host,
)
from polling.conformance.report import Case, Deviation, Finding, expect, findings_of

BOM = b"\xef\xbb\xbf"
MANY = 10_000
MARK = "s3cret-of-the-check"
QUICK_SECONDS = 20.0  # for a process to start and say little
MANY_SECONDS = 150.0
IN_FLIGHT = 200  # as many as a worker has under way
TASK_SECONDS = 2.0
SLACK_SECONDS = 1.0  # past a task's own time
TERM_SECONDS = 3.0  # the host kills a plugin that takes longer to end
SAMPLE = "sample/task.json"


def plugin_check(folder: Path, *, only: str = "", many: int = MANY) -> Iterator[Finding]:
    """Everything about the plugin in `folder`, as it is found out; `only` is how the wanted cases begin,
    `many` the number of tasks where many are sent.
    """
    try:
        plugin = read(folder)
    except ValueError as error:
        yield Finding("manifest", str(error), 0.0)
        return
    yield Finding("manifest", "", 0.0)
    yield from findings_of([("files and schema", partial(_check_files, plugin, folder))], only)
    try:
        kit = _Kit(plugin, folder, many)
    except Deviation:
        return  # said already: without a sample there is nothing to send
    yield from findings_of(kit.batch_cases(), only)
    if plugin.has_stream_mode:
        yield from findings_of(kit.stream_cases(), only)


def _check_files(plugin: Plugin, folder: Path) -> None:
    expect((folder / "README.md").is_file(), "README.md is missing: say what it watches and what it needs.")
    credentials = _sample_credentials(folder)
    errors = plugin.credential_errors(credentials)
    expect(not errors, f"the credentials in {SAMPLE} do not fit the manifest's schema: {' '.join(errors)}")
    expect(bool(plugin.version), "'version' is missing in the manifest.")
    properties = plugin.credential_schema.get("properties", {})
    for name in properties:
        is_secret = any(word in name for word in ("password", "secret", "token", "passphrase"))
        expect(
            not is_secret or properties[name].get("writeOnly") is True,
            f'the schema\'s {name!r} looks like a secret: give it "writeOnly": true, so that forms hide it.',
        )


def _sample_credentials(folder: Path) -> dict[str, Any]:
    """Raises Deviation."""
    try:
        (task, *_) = json.loads((folder / SAMPLE).read_text(encoding="utf-8"))
        credentials: dict[str, Any] = dict(task["credentials"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Deviation(
            f"{SAMPLE} must hold an array of one task with credentials that fit the schema."
        ) from None
    return credentials


class _Kit:
    """The plugin, with tasks made for it."""

    def __init__(self, plugin: Plugin, folder: Path, many: int) -> None:
        self.plugin = plugin
        self.many = many
        self.credentials = _sample_credentials(folder)
        for name, rule in plugin.credential_schema.get("properties", {}).items():
            if rule.get("writeOnly") and isinstance(self.credentials.get(name), str):
                marked = {**self.credentials, name: MARK}
                if not plugin.credential_errors(marked):  # a key or the like stays as the sample has it
                    self.credentials = marked

    def batch_cases(self) -> list[Case]:
        return [
            ("batch: empty stdin is answered with []", self._batch_empty),
            ("batch: a byte order mark is passed over", self._batch_bom),
            ("batch: stdin that is no array ends with an exit code", self._batch_unusable),
            ("batch: a closed port becomes a failed result", self._batch_refused),
            ("batch: discovery is asked for by -discovery", self._batch_discovery),
            ("batch: unknown keys, and credentials as a string", self._batch_tolerant),
            ("batch: a task without credentials fails alone", self._batch_no_credentials),
            ("batch: a silent host ends at its deadline and delays nobody", self._batch_slow),
            (f"batch: {self.many:,} tasks, each answered once", self._batch_many),
        ]

    def stream_cases(self) -> list[Case]:
        return [
            ("stream: a line for a line", self._stream_one),
            ("stream: a byte order mark, empty and unusable lines", self._stream_noise),
            ("stream: a task without credentials fails alone", self._stream_no_credentials),
            ("stream: a silent host ends at its deadline and delays nobody", self._stream_slow),
            (f"stream: {self.many:,} tasks, each answered once", self._stream_many),
            ("stream: end of file while a task is under way", self._stream_eof),
            ("stream: SIGTERM while a task is under way", self._stream_term),
        ]

    # --- tasks ------------------------------------------------------------------------------------

    def task(self, request_id: str, port: int, **fields: Any) -> dict[str, Any]:
        return {
            "request_id": request_id,
            "device_id": 1,
            "target": LOOPBACK,
            "port": port,
            "credentials": self.credentials,
            "timeout_seconds": TASK_SECONDS,
            "operation": "poll",
            **fields,
        }

    def _batch(self, tasks: list[Any], *arguments: str, within: float = QUICK_SECONDS) -> dict[str, Any]:
        ended = converse(self.plugin, json.dumps(tasks).encode(), *arguments, within_seconds=within)
        self._check_clean(ended)
        return self._check_answers(tasks, results_of(ended.stdout))

    def _check_clean(self, ended: Ended) -> None:
        expect(ended.exit_code == 0, f"it ended with exit code {ended.exit_code}: {ended.words()}")
        self._check_secrets(ended.stdout + ended.stderr)

    def _check_secrets(self, said: bytes) -> None:
        expect(MARK.encode() not in said, "a secret of the credentials stands in what it printed.")

    def _check_answers(self, tasks: list[Any], results: list[dict[str, Any]]) -> dict[str, Any]:
        """By request id, each once."""
        found = {}
        for result in results:
            request_id = result.get("request_id")
            expect(isinstance(request_id, str), "a result has no request_id: repeat the task's.")
            expect(request_id not in found, f"the task {request_id!r} was answered twice.")
            found[str(request_id)] = result
        missing = [task["request_id"] for task in tasks if task["request_id"] not in found]
        expect(not missing, f"{len(missing)} tasks got no result, the first is {missing[:1]}.")
        return found

    # --- batch ------------------------------------------------------------------------------------

    def _batch_empty(self) -> None:
        for arguments in ((), ("-discovery",)):
            for stdin in (b"", b" \n", b"[]"):
                ended = converse(self.plugin, stdin, *arguments, within_seconds=QUICK_SECONDS)
                self._check_clean(ended)
                expect(results_of(ended.stdout) == [], f"stdin {stdin!r} must be answered with [].")

    def _batch_bom(self) -> None:
        ended = converse(self.plugin, BOM + b"[]", within_seconds=QUICK_SECONDS)
        self._check_clean(ended)
        expect(results_of(ended.stdout) == [], "a byte order mark before [] must change nothing.")

    def _batch_unusable(self) -> None:
        for stdin in (b"{", b"{}", b"nonsense"):
            ended = converse(self.plugin, stdin, within_seconds=QUICK_SECONDS)
            expect(
                ended.exit_code != 0,
                f"stdin {stdin!r} is no array of tasks, and was taken: end with a code other than 0.",
            )

    def _batch_refused(self) -> None:
        port = closed_port()
        result = self._batch([self.task("a", port)])["a"]
        _check_failure(result)
        expect(
            result["error_code"] in (ErrorCode.REFUSED, ErrorCode.TIMEOUT, ErrorCode.UNREACHABLE),
            f"a closed port is `refused` (or `timeout`, by UDP), not {result['error_code']!r}.",
        )
        for key, value in (("target", LOOPBACK), ("port", port)):
            expect(result.get(key) == value, f"the result must repeat the task's {key!r}.")

    def _batch_discovery(self) -> None:
        tasks = [self.task("a", closed_port(), operation="discovery")]
        _check_failure(self._batch(tasks, "-discovery")["a"])

    def _batch_tolerant(self) -> None:
        tasks = [
            self.task("a", closed_port(), something_new={"a": [1]}),
            self.task("b", closed_port(), credentials=json.dumps(self.credentials)),
        ]
        for result in self._batch(tasks).values():
            _check_failure(result)
            expect(
                result["error_code"] != ErrorCode.INTERNAL,
                f"pass over unknown keys, and take a string for the object it holds: {result['error']}",
            )

    def _batch_no_credentials(self) -> None:
        tasks = [self.task("bad", closed_port(), credentials={}), self.task("good", closed_port())]
        found = self._batch(tasks)
        if self.plugin.credential_errors({}):
            _check_failure(found["bad"])
        _check_failure(found["good"])

    def _batch_slow(self) -> None:
        with silent_host() as port:
            tasks = [self.task("slow", port), self.task("quick", closed_port())]
            started = time.monotonic()
            found = self._batch(tasks, within=QUICK_SECONDS)
            elapsed = time.monotonic() - started
        _check_failure(found["slow"])
        expect(
            found["slow"]["error_code"] == ErrorCode.TIMEOUT,
            f"a host that says nothing is `timeout`, not {found['slow']['error_code']!r}.",
        )
        allowed = (
            TASK_SECONDS + SLACK_SECONDS + 4.0
        )  # for the process to start and end, on a busy machine too
        expect(
            elapsed <= allowed,
            f"timeout_seconds was {TASK_SECONDS:g}, the whole took {elapsed:.1f} s: keep a clock of its own.",
        )

    def _batch_many(self) -> None:
        port = closed_port()
        tasks = [self.task(str(number), port, timeout_seconds=1.0) for number in range(self.many)]
        for result in self._batch(tasks, within=MANY_SECONDS).values():
            _check_failure(result)

    # --- stream -----------------------------------------------------------------------------------

    def _stream_one(self) -> None:
        with Stream(self.plugin) as stream:
            stream.send(_line(self.task("a", closed_port())))
            result = _parsed(stream.await_lines(1, within_seconds=QUICK_SECONDS))["a"]
            _check_failure(result)
            stream.close_stdin()
            code = stream.await_end(within_seconds=QUICK_SECONDS)
            expect(code == 0, f"after end of file it ended with exit code {code}: {stream.words()}")
            self._check_secrets(stream.stderr)

    def _stream_noise(self) -> None:
        task = self.task("a", closed_port(), something_new=1)
        with Stream(self.plugin) as stream:
            stream.send(BOM + _line(task), b"", b"   ", b"{nonsense", _line({**task, "request_id": "b"}))
            found = _parsed(stream.await_lines(2, within_seconds=QUICK_SECONDS))
            for name in ("a", "b"):
                _check_failure(found[name])

    def _stream_no_credentials(self) -> None:
        with Stream(self.plugin) as stream:
            stream.send(
                _line(self.task("bad", closed_port(), credentials={})),
                _line(self.task("good", closed_port())),
            )
            found = _parsed(stream.await_lines(2, within_seconds=QUICK_SECONDS))
            _check_failure(found["good"])

    def _stream_slow(self) -> None:
        with silent_host() as port, Stream(self.plugin) as stream:
            stream.send(_line(self.task("warm up", closed_port())))
            stream.await_lines(1, within_seconds=QUICK_SECONDS)
            started = time.monotonic()
            stream.send(_line(self.task("slow", port)), _line(self.task("quick", closed_port())))
            _parsed(stream.await_lines(3, within_seconds=QUICK_SECONDS))
            arrived = {json.loads(line)["request_id"]: at - started for at, line in stream.lines}
        expect(
            arrived["slow"] <= TASK_SECONDS + SLACK_SECONDS,
            f"timeout_seconds was {TASK_SECONDS:g}, the answer came after {arrived['slow']:.1f} s.",
        )
        expect(
            arrived["quick"] <= max(TASK_SECONDS, arrived["slow"]) + 0.5,
            "a slow host delays the others: answer each task as it ends.",
        )

    def _stream_many(self) -> None:
        port = closed_port()
        deadline = time.monotonic() + MANY_SECONDS
        with Stream(self.plugin) as stream:
            for first in range(0, self.many, IN_FLIGHT):
                numbers = range(first, min(first + IN_FLIGHT, self.many))
                stream.send(*(_line(self.task(str(number), port, timeout_seconds=1.0)) for number in numbers))
                stream.await_lines(numbers.stop, within_seconds=max(1.0, deadline - time.monotonic()))
            found = _parsed([line for _, line in stream.lines])
            expect(len(found) == self.many == len(stream.lines), "a task was answered twice, or not at all.")
            stream.close_stdin()
            code = stream.await_end(within_seconds=QUICK_SECONDS)
            expect(code == 0, f"after end of file it ended with exit code {code}: {stream.words()}")

    def _stream_eof(self) -> None:
        with silent_host() as port, Stream(self.plugin) as stream:
            stream.send(_line(self.task("slow", port)))
            time.sleep(0.5)
            stream.close_stdin()
            _check_failure(_parsed(stream.await_lines(1, within_seconds=QUICK_SECONDS))["slow"])
            code = stream.await_end(within_seconds=TASK_SECONDS + TERM_SECONDS)
            expect(code == 0, f"it ended with exit code {code}: {stream.words()}")

    def _stream_term(self) -> None:
        with silent_host() as port, Stream(self.plugin) as stream:
            stream.send(_line(self.task("warm up", closed_port())))
            stream.await_lines(1, within_seconds=QUICK_SECONDS)
            stream.send(_line(self.task("slow", port, timeout_seconds=30.0)))
            time.sleep(0.5)
            stream.process.send_signal(signal.SIGTERM)
            code = stream.await_end(within_seconds=TERM_SECONDS)
            expect(
                code == 0,
                f"it ended with exit code {code}: on SIGTERM give up all tasks, close sessions, exit 0.",
            )


def _line(task: Mapping[str, Any]) -> bytes:
    return json.dumps(task).encode()


def _parsed(lines: list[bytes]) -> dict[str, Any]:
    return {
        str(result.get("request_id")): result for line in lines for result in results_of(b"[" + line + b"]")
    }


def _check_failure(result: Mapping[str, Any]) -> None:
    """A result that says what failed, as the host wants it."""
    expect(result.get("success") is False, "'success' must be false for a target that was not reached.")
    code = result.get("error_code")
    expect(code in set(ErrorCode), f"'error_code' is {code!r}; it must be one of {', '.join(ErrorCode)}.")
    expect(
        isinstance(result.get("error"), str) and bool(result["error"]),
        "'error' must say in words what failed.",
    )
