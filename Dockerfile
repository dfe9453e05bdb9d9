# One image for every process: python -m services.auth, .profile, .commerce, .gateway.
#
#   docker build --tag lockstep .
#   docker build --tag lockstep-all --target all .   (also has PostgreSQL: runs everything, for a look)
#
# The layers change seldom (dependencies), now and then (the browser client) and often (our code).
ARG PYTHON=python:3.13.9-slim-trixie

FROM ${PYTHON} AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

FROM base AS dependencies
COPY requirements-image.lock ./
RUN python -m venv /venv \
    && /venv/bin/pip install --require-hashes --requirement requirements-image.lock

FROM base AS everything
COPY requirements-run.lock ./
RUN python -m venv /venv \
    && /venv/bin/pip install --require-hashes --requirement requirements-run.lock

# Without isolation: the stubs must come from the grpcio-tools of the lock.
FROM everything AS wheels
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY clients/python clients/python
COPY gateway gateway
COPY services services
RUN /venv/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels ./clients/python ./gateway .

FROM base AS runtime
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="lockstep" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-log-init --home-dir /data lockstep \
    && install --directory --owner lockstep --group lockstep --mode 700 /data /data/keys \
       /data/keys/auth /data/keys/profile /data/keys/commerce /data/keys/gateway /data/keys/operator /data/keys/relay
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOCKSTEP_HOME=/data \
    LOCKSTEP_HOST=0.0.0.0 \
    LOCKSTEP_METRICS_HOST=0.0.0.0 \
    LOCKSTEP_STOP_DELAY_SECONDS=5 \
    LOCKSTEP_LOG_FORMAT=json \
    LOCKSTEP_GATEWAY_STATIC=/web
WORKDIR /data
EXPOSE 8080 50051 50052 50053 9051 9052 9053 9080

# Everything on one machine, with a PostgreSQL of its own.
FROM runtime AS all
COPY --from=everything /venv /venv
COPY clients/web /web
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    /venv/bin/pip install --no-deps /wheels/*.whl
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["lockstep", "health", "gateway"]
CMD ["lockstep", "up"]

# The last stage is what `docker build` makes: one process, which the command names.
FROM runtime AS service
COPY --from=dependencies /venv /venv
COPY clients/web /web
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    /venv/bin/pip install --no-deps /wheels/*.whl
USER 10001:10001
# Asks the management ports, and so whichever process this is.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["lockstep", "health", "self"]
CMD ["python", "-m", "services.gateway"]
