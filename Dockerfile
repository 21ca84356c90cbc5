# The emulator with the functions, as docker-compose.yml runs them. Needs BuildKit, Docker's usual builder since version
# 23: its cache mounts keep crates and compiled dependencies, so that a changed line does not compile everything again.

FROM rust:1.95.0-bookworm AS build
# The image's own toolchain, whatever the build context may name.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bins \
        --package emulator --package api --package poller --package averager --package upkeep --package redrive \
        --package instruments --package export --package keys \
    && install -D --target-directory=/out \
        target/release/emulator target/release/api target/release/poller target/release/averager \
        target/release/upkeep target/release/redrive target/release/instruments \
        target/release/export target/release/keys

# The same Debian as the builder's, so the same C library.
FROM debian:12.14-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A volume takes over the data directory's owner; a tmpfs, which is root's, its mode.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/market-data --shell /usr/sbin/nologin market \
    && install --directory --owner=market --group=market --mode=1777 /var/lib/market-data
COPY --from=build /out /opt/market-data/bin
COPY template.yaml /opt/market-data/
ENV PATH=/opt/market-data/bin:$PATH
WORKDIR /opt/market-data
# By number, which a host can tell from root without asking the image who it is.
USER 10001:10001
EXPOSE 8080
# Seldom, since each check has the api look at Postgres, Kafka and the providers; often only until it is ready.
HEALTHCHECK --interval=60s --timeout=15s --start-period=90s --start-interval=2s --retries=3 \
    CMD ["emulator", "health", "--data-dir", "/var/lib/market-data"]
# Nothing is built here: the functions are those beside the emulator, the wiring is the template in the working directory.
ENTRYPOINT ["emulator", "--bin-dir", "/opt/market-data/bin", "--data-dir", "/var/lib/market-data", "--listen", "0.0.0.0", "--output", "text"]
