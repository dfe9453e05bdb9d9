# One image; the command chooses the service: python -m services.auth, .profile, .commerce, .gateway.
# Without a command it runs everything, with an embedded PostgreSQL: good for a look.
FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /venv
COPY requirements.lock ./
RUN /venv/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY clients/python clients/python
COPY gateway gateway
COPY services services
# Without isolation: the stubs must come from the grpcio-tools of the lock.
RUN /venv/bin/pip install --no-build-isolation --no-deps ./clients/python ./gateway .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data lockstep \
    && install --directory --owner lockstep --mode 700 /data /data/keys \
       /data/keys/auth /data/keys/profile /data/keys/commerce /data/keys/gateway /data/keys/operator
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    LOCKSTEP_HOME=/data \
    LOCKSTEP_HOST=0.0.0.0 \
    LOCKSTEP_METRICS_HOST=0.0.0.0 \
    LOCKSTEP_STOP_DELAY_SECONDS=5 \
    LOCKSTEP_LOG_FORMAT=json
WORKDIR /data
USER lockstep
EXPOSE 8080 50051 50052 50053 9051 9052 9053 9080
CMD ["lockstep", "up"]
