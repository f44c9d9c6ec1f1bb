# The gateway as an image:
#
#   docker build -t grpcweb-gateway .
#   docker run --rm --read-only --stop-timeout 20 -p 8443:8443 -v "$PWD/conf:/etc/grpcweb-gateway:ro" grpcweb-gateway
#
# Rule: the last stage holds an interpreter and one virtual environment, nothing to build or install with. It runs as a
# user that is only a number, and writes nothing.
#
# No init process is put before it: it handles SIGTERM and SIGINT itself, and its children (`workers`) are waited for.
#
# tests/support/dockerfile replays these instructions without an engine, and knows only those that are used here.

# Pin the base by digest with --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
# /app gets no pip of its own: that of `tools` installs into it.
RUN python3 -m venv tools && python3 -m venv --without-pip /app
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN tools/bin/pip --python /app/bin/python3 install --require-hashes -r requirements/runtime.txt
RUN tools/bin/pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY web web
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . && \
    tools/bin/pip --python /app/bin/python3 install --no-deps dist/*.whl && \
    tools/bin/pip --python /app/bin/python3 check

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="grpcweb-gateway" \
      org.opencontainers.image.description="A browser gRPC-Web gateway in front of native gRPC over mutual TLS" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
# Bytecode of the packages was compiled when they were installed.
ENV PATH=/app/bin:${PATH} PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8443
# 9901 is the default of admin.bind; with another, give the container a --health-cmd of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python3", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 9901, timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["grpcweb-gateway"]
CMD ["serve", "-c", "/etc/grpcweb-gateway/gateway.yaml"]
