# pixelflow with all that `make demo` needs, by the same command:
#     docker build -t pixelflow .                    CPU
#     docker build -t pixelflow --build-arg TORCH= . CUDA: pip's own torch, which brings its CUDA along
#     docker run --rm -v "$PWD/runs:/data/runs" pixelflow train digits
# and, at build time, the tests:  docker build --target test .
FROM python:3.11-slim AS base
# g++ is what torch.compile calls, on GPUs too.
RUN apt-get update && apt-get install -y --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/pixelflow
COPY . .
# Where torch's wheels come from; empty for the index of pip.
ARG TORCH=https://download.pytorch.org/whl/cpu
ENV PIP_EXTRA_INDEX_URL=$TORCH PIP_NO_CACHE_DIR=1
RUN make .venv/.base
ENV PATH=/opt/pixelflow/.venv/bin:$PATH OMP_WAIT_POLICY=PASSIVE

FROM base AS test
RUN make test

FROM base
WORKDIR /data
ENTRYPOINT ["pixelflow"]
CMD ["--help"]
