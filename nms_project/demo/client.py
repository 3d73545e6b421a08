"""The public API as the demo uses it: `requests` and a token, nothing of the project's own code."""

from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TIMEOUT_SECONDS = 30
# Who shares the login may have used up its share of requests: asked again when the server says.
WHEN_THROTTLED = Retry(
    5, connect=0, read=0, status_forcelist=[429], allowed_methods=None, raise_on_status=False
)


class Client:
    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy between us and loopback
        self.session.mount(base_url, HTTPAdapter(max_retries=WHEN_THROTTLED))
        self._login: tuple[str, str] | None = None

    def is_up(self) -> bool:
        try:
            return self.session.get(f"{self.base_url}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def login(self, username: str, password: str) -> None:
        """Done again by itself when the token has expired."""
        answer = self.session.post(
            f"{self.base_url}/login",
            json={"username": username, "password": password},
            timeout=TIMEOUT_SECONDS,
        )
        answer.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self._login = (username, password)

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        url = f"{self.base_url}/api/v1/{path}"
        answer = self.session.request(method, url, timeout=TIMEOUT_SECONDS, **content)
        if answer.status_code == requests.codes.unauthorized and self._login:
            self.login(*self._login)
            answer = self.session.request(method, url, timeout=TIMEOUT_SECONDS, **content)
        answer.raise_for_status()
        return answer.json()

    def every(self, path: str, **query: Any) -> Iterator[Any]:
        """All rows of a list, page by page."""
        page = 1
        while True:
            answer = self.get(path, page=page, page_size=500, **query)
            yield from answer["results"]
            if answer["next"] is None:
                return
            page += 1

    def ensure(self, path: str, body: dict[str, Any]) -> Any:
        """The object of this name, created where there is none yet: a second demo finds its data again."""
        for found in self.every(path, search=body["name"]):
            if found["name"] == body["name"]:
                return found
        return self.post(path, body)
