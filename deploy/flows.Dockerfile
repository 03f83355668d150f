# The flows with Prefect, for its worker, its server and the commands kronos db, load, deploy …, without PyTorch and
# compiler. From the repository's root:
#   docker build --file deploy/flows.Dockerfile --tag kronos-flows .

# The minor version is pinned; building again takes the newest patches of Python and Debian.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Without a compiler: only the server runs compiled operators.
WORKDIR /app
RUN python -m venv --without-pip /opt/kronos
COPY . .
# Prefect runs a deployment from the folder of prefect.yaml, so the code stays there instead of being copied.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/kronos/bin/python install --constraint constraints.txt --editable ".[flows]"

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kronos && \
    install --directory --owner=kronos --group=kronos --mode=700 /var/lib/prefect
COPY --from=build /opt/kronos /opt/kronos
COPY --from=build /app /app
# The root file system may be read-only: only /tmp is written to, and a Prefect server's PREFECT_HOME, /var/lib/prefect.
ENV PATH=/opt/kronos/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    PREFECT_WORKER_WEBSERVER_HOST=127.0.0.1 \
    PROJECT_ROOT=/app
WORKDIR /app
USER 10001:10001
# Of the worker; compose.yaml has the Prefect server's.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
CMD ["prefect", "worker", "start", "--pool", "local", "--with-healthcheck"]
