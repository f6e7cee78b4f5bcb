# The service: docker build -t pneumoscope .
# docs/serving.md says how to run it.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE constraints.txt ./
COPY src ./src
# The environment gets no pip of its own, and torch without its GPU libraries.
RUN python -m venv --without-pip /opt/pneumoscope \
 && python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m pip --python /opt/pneumoscope/bin/python install --no-cache-dir \
      --extra-index-url https://download.pytorch.org/whl/cpu \
      --constraint constraints.txt "pneumoscope[service] @ file://$(ls /wheels/pneumoscope-*.whl)"

FROM python:3.12-slim
RUN python -m pip uninstall --yes pip setuptools wheel \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pneumoscope
COPY --from=build /opt/pneumoscope /opt/pneumoscope
ENV PATH=/opt/pneumoscope/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["pneumoscope", "serve"]
CMD ["/bundle", "--host", "0.0.0.0", "--tokens", "/run/secrets/tokens"]
