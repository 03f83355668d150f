# The inference server, without PyTorch, Prefect and compiler. From the repository's root:
#   docker build --file deploy/server.Dockerfile --tag kronos-server .
# --build-arg EXTRAS=server,cuda adds CUDA's libraries for a GPU.

# The minor version is pinned; building again takes the newest patches of Python and Debian.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=server
# The compiled operators need it; the image that is built has only their library.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends g++ && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv --without-pip /opt/kronos
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/kronos/bin/python install --constraint constraints.txt ".[${EXTRAS}]"

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kronos
COPY --from=build /opt/kronos /opt/kronos
# The root file system may be read-only: only /tmp is written to.
ENV PATH=/opt/kronos/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    KRONOS_BUNDLE=/bundle \
    KRONOS_HOST=0.0.0.0
WORKDIR /
USER 10001:10001
EXPOSE 8200
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8200/health/ready', timeout=4)"]
CMD ["python", "-m", "inference_server"]
