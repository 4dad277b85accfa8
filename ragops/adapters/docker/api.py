"""The connection to the Docker engine, made when it is first needed."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragops.adapters.docker.context import DockerEndpoint, find_docker_endpoint
from ragops.adapters.docker.errors import translate_errors
from ragops.errors import MissingError, RagopsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker import APIClient

MINIMUM_API = (1, 41)  # Docker 20.10
_TIMEOUT = 60.0  # of one request: as long as an engine under load may be silent


class DockerApi:
    """The base of `DockerHost`: one lazily made client of docker-py."""

    def __init__(self, url: str = "", timeout: float = _TIMEOUT) -> None:
        self._given = url
        self._timeout = timeout
        self._client: APIClient | None = None
        self._turn = threading.Lock()

    @cached_property
    def endpoint(self) -> DockerEndpoint:
        """Return the engine's endpoint. Raises MissingError, UsageError as `find_docker_endpoint`."""
        if not self._given:
            return find_docker_endpoint()
        try:
            usual = find_docker_endpoint()
        except RagopsError:
            return DockerEndpoint(self._given)
        return usual if usual.url == self._given else DockerEndpoint(self._given)

    @property
    def url(self) -> str:
        """Return its URL."""
        return self.endpoint.url

    @property
    def api(self) -> APIClient:
        """Return the client. Raises MissingError (docker_missing) with a hint."""
        with self._turn:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def close(self) -> None:
        """Give the connections back; the next call makes new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> APIClient:
        from docker import APIClient
        from docker.errors import InvalidVersion

        with translate_errors("connect to the Docker engine", self.url):
            try:
                secure: Any = _tls(self.endpoint) if self.endpoint.certificates else False
                client = APIClient(base_url=self.url, version="auto", timeout=int(self._timeout), tls=secure)
            except InvalidVersion as error:
                raise _too_old("one below 1.24") from error
        if tuple(int(number) for number in client.api_version.split(".")) < MINIMUM_API:
            client.close()
            raise _too_old(client.api_version)
        return client

    def get_stream(self, resource: str, timeout: float = _TIMEOUT, **params: Any) -> Any:
        """Return the API's answer about `resource`, its body not read yet. Raises what docker-py does."""
        from docker.errors import create_api_error_from_http_exception
        from requests.exceptions import HTTPError

        address = f"{self.api.base_url}/v{self.api.api_version}/{resource}"
        plain = {"Accept-Encoding": "identity"}  # or the engine compresses what is read raw
        answer = self.api.get(address, params=params, headers=plain, stream=True, timeout=timeout)
        try:
            answer.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)  # raises it
        return answer

    def translate_errors(self, doing: str) -> Any:
        """Translate failures of the block into RagopsErrors; `doing` completes "cannot …"."""
        return translate_errors(doing, self.url)


def label_filters(labels: Mapping[str, str]) -> list[str]:
    """Return the labels as a filter of the API; one without a value matches any."""
    return [f"{key}={value}" if value else key for key, value in labels.items()]


def _tls(place: DockerEndpoint) -> Any:
    """Return the TLS settings for the certificates that exist; a context may have only a CA."""
    from docker.tls import TLSConfig

    folder = Path(place.certificates)
    pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
    authority = folder / "ca.pem"
    return TLSConfig(
        client_cert=pair if Path(pair[0]).exists() else None,
        ca_cert=str(authority) if authority.exists() else None,
        verify=place.verify,
    )


def _too_old(api: str) -> MissingError:
    wanted = ".".join(str(number) for number in MINIMUM_API)
    what = f"cannot use the Docker engine: it has API {api}, ragops needs {wanted} or later"
    return MissingError("docker_missing", what, "upgrade Docker to 20.10 or later")
